/**
 * What goes wrong between a client and its cluster, as data: to be injected by hand (`MemoryCluster.inject`), scripted
 * with {@link after} and {@link all}, or drawn from a seed ({@link schedule}).
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"

import { millisOf } from "./internal/millis.ts"
import { checkShape, isApiName } from "./internal/network/checkFault.ts"
import { describeFault } from "./internal/network/describeFault.ts"
import { drawSchedule } from "./internal/network/schedule.ts"

/**
 * Which requests a fault is about: those that have all that is named.
 *
 * @since 0.1.0
 * @category models
 */
export interface RequestMatch {
  /** By its name in the protocol: `"Produce"`. */
  readonly api?: string
  readonly broker?: number
  /** The client id. */
  readonly client?: string
  /** The first one that matters, counted from 1 since the fault was injected. Default 1. */
  readonly nth?: number
  /** How many in a row. Default 1. */
  readonly times?: number
}

/**
 * Which connections a fault is about: all, or those of some brokers or clients.
 *
 * @since 0.1.0
 * @category models
 */
export interface LinkMatch {
  readonly brokers?: ReadonlyArray<number>
  /** Client ids. */
  readonly clients?: ReadonlyArray<string>
}

/**
 * A fault. All times are milliseconds. It is plain data, so that it can be stored as JSON and injected again.
 *
 * @since 0.1.0
 * @category models
 */
export type Fault =
  /** The broker never sees a request, nor anything that comes later on its connection. */
  | { readonly _tag: "LoseRequest"; readonly on: RequestMatch }
  /** The broker does it, and nothing that it answers on this connection arrives any more. */
  | { readonly _tag: "LoseResponse"; readonly on: RequestMatch }
  /** The connection breaks in the middle of a request, which is not served, or of a response, whose request was. */
  | { readonly _tag: "Reset"; readonly on: RequestMatch; readonly during: "request" | "response" }
  /** Open connections go silent in both directions for good, and nobody is told; new ones work. */
  | { readonly _tag: "HalfOpen"; readonly links: LinkMatch }
  /** Nothing gets through, and new connections time out; afterwards what was on its way arrives, as in TCP. */
  | { readonly _tag: "Partition"; readonly links: LinkMatch; readonly duration: number }
  /** Everything takes longer: by `latency`, and up to `jitter` more by chance; and by its size. */
  | {
    readonly _tag: "Slow"
    readonly links: LinkMatch
    readonly latency: number
    readonly jitter: number
    /** `undefined` for no bound. */
    readonly bytesPerSecond: number | undefined
    readonly duration: number
  }
  /** The broker asks the client to keep quiet, and reads nothing of the connection for as long (KIP-219). */
  | { readonly _tag: "Throttle"; readonly on: RequestMatch; readonly delay: number }
  /** The broker answers with an error, without having done anything. */
  | { readonly _tag: "Refuse"; readonly on: RequestMatch; readonly error: string }
  /** A broker dies, and starts again if there is a `duration`. */
  | { readonly _tag: "Crash"; readonly broker: number; readonly duration: number | undefined }
  /** A broker that died starts again. */
  | { readonly _tag: "Start"; readonly broker: number }
  /** A broker hangs, and goes on if there is a `duration`. */
  | { readonly _tag: "Pause"; readonly broker: number; readonly duration: number | undefined }
  /** A broker that hung goes on. */
  | { readonly _tag: "Resume"; readonly broker: number }
  /** Another replica leads: this one, or the next that is in sync. */
  | {
    readonly _tag: "MoveLeader"
    readonly topic: string
    readonly partition: number
    readonly broker: number | undefined
  }
  /** Another broker coordinates a group: this one, or the next that can. */
  | { readonly _tag: "MoveCoordinator"; readonly group: string; readonly broker: number | undefined }
  /** The clients' wall clock jumps forward, or back. Needs the clock of a simulation. */
  | { readonly _tag: "JumpClock"; readonly by: number }
  /** A fault that comes later: after a time, or with a request. */
  | { readonly _tag: "After"; readonly when: number | RequestMatch; readonly fault: Fault }
  /** Several faults. */
  | { readonly _tag: "All"; readonly faults: ReadonlyArray<Fault> }

/**
 * Which requests: all that is named, or the next one of an API.
 *
 * @since 0.1.0
 * @category models
 */
export type On = RequestMatch | string

const requestMatch = (on: On): RequestMatch => typeof on === "string" ? { api: on } : on

const lasting = (duration: Duration.DurationInput | undefined): number | undefined =>
  duration === undefined ? undefined : millisOf("A duration", duration)

const checked = (fault: Fault): Fault => {
  checkShape(fault)
  return fault
}

/**
 * The broker never sees a request, nor anything that comes later on its connection. Nobody is told: the client finds
 * out when its own request timeout has passed.
 *
 * Like all constructors here it throws a `RangeError` for what cannot be: an API that does not exist, a negative time.
 *
 * @example
 * ```ts
 * import { Fault } from "@sluice/testing"
 *
 * Fault.loseRequest("Produce")
 * Fault.loseRequest({ api: "Fetch", broker: 2, nth: 3 })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const loseRequest = (on: On): Fault => checked({ _tag: "LoseRequest", on: requestMatch(on) })

/**
 * The broker does what is asked, and nothing that it answers on this connection from now on arrives. Nobody is told.
 *
 * @since 0.1.0
 * @category constructors
 */
export const loseResponse = (on: On): Fault => checked({ _tag: "LoseResponse", on: requestMatch(on) })

/**
 * The connection breaks in the middle of a request, which the broker does not serve then, or of its response. The client
 * is told the same both times.
 *
 * @since 0.1.0
 * @category constructors
 */
export const reset = (on: On, during: "request" | "response"): Fault =>
  checked({ _tag: "Reset", on: requestMatch(on), during })

/**
 * Connections that are open now go silent in both directions for good, and nobody is told; new ones work.
 *
 * @since 0.1.0
 * @category constructors
 */
export const halfOpen = (links: LinkMatch): Fault => checked({ _tag: "HalfOpen", links })

/**
 * Nothing gets through for a time. What is on its way is held up, and arrives afterwards in its order; connecting takes
 * until then, or fails after the client's own `connectTimeout`. It is between clients and brokers: the brokers still
 * reach each other.
 *
 * @example
 * ```ts
 * import { Fault } from "@sluice/testing"
 *
 * Fault.partition({ brokers: [1] }, "10 seconds")
 * Fault.partition({ clients: ["billing"], brokers: [2, 3] }, "10 seconds")
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const partition = (links: LinkMatch, duration: Duration.DurationInput): Fault =>
  checked({ _tag: "Partition", links, duration: millisOf("A duration", duration) })

/**
 * Everything takes longer for a time, in each direction: by `latency` (default 0), by up to `jitter` more (default 0),
 * and by its size at `bytesPerSecond` (default: no bound). The order of a connection's bytes is kept. It adds to the
 * network's own latency.
 *
 * @example
 * ```ts
 * import { Fault } from "@sluice/testing"
 *
 * Fault.slow({ brokers: [2] }, { latency: "200 millis", jitter: "100 millis", duration: "1 minute" })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const slow = (links: LinkMatch, options: {
  readonly latency?: Duration.DurationInput
  readonly jitter?: Duration.DurationInput
  readonly bytesPerSecond?: number
  readonly duration: Duration.DurationInput
}): Fault =>
  checked({
    _tag: "Slow",
    links,
    latency: millisOf("A latency", options.latency ?? 0),
    jitter: millisOf("A jitter", options.jitter ?? 0),
    bytesPerSecond: options.bytesPerSecond,
    duration: millisOf("A duration", options.duration)
  })

/**
 * The broker serves a request, asks the client in its response to keep quiet for `delay`, and reads nothing of the
 * connection for as long (KIP-219).
 *
 * @since 0.1.0
 * @category constructors
 */
export const throttle = (on: On, delay: Duration.DurationInput): Fault =>
  checked({ _tag: "Throttle", on: requestMatch(on), delay: millisOf("A delay", delay) })

/**
 * The broker answers with an error, wherever the response has a place for one, and does nothing. `error` is a name of
 * Kafka's own table. Metadata that asks for no topic has no place for one before version 13.
 *
 * @example
 * ```ts
 * import { Fault } from "@sluice/testing"
 *
 * Fault.refuse({ api: "Produce", times: 3 }, "NotEnoughReplicas")
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const refuse = (on: On, error: string): Fault => checked({ _tag: "Refuse", on: requestMatch(on), error })

/**
 * A broker dies: its connections break, new ones are refused, and others take over what it led. It starts again after
 * `duration`; without one, by {@link start} or `heal`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const crash = (broker: number, duration?: Duration.DurationInput): Fault =>
  checked({ _tag: "Crash", broker, duration: lasting(duration) })

/**
 * A broker that died starts again, with its data, whatever else would keep it down. Nothing happens if it runs.
 *
 * @since 0.1.0
 * @category constructors
 */
export const start = (broker: number): Fault => checked({ _tag: "Start", broker })

/**
 * A broker hangs: its machine takes connections and bytes, and nothing is answered. The others put it out when its
 * session ends. It goes on after `duration`, with all that came meanwhile, also from clients that have given up;
 * without one, by {@link resume} or `heal`. Nothing happens if it does not run.
 *
 * @since 0.1.0
 * @category constructors
 */
export const pause = (broker: number, duration?: Duration.DurationInput): Fault =>
  checked({ _tag: "Pause", broker, duration: lasting(duration) })

/**
 * A broker that hung goes on, whatever else would keep it from that. Nothing happens if it does not hang.
 *
 * @since 0.1.0
 * @category constructors
 */
export const resume = (broker: number): Fault => checked({ _tag: "Resume", broker })

/**
 * Another replica leads a partition: this one, which must be in sync, or the next that is. Without a `broker` nothing
 * happens if there is no other.
 *
 * @since 0.1.0
 * @category constructors
 */
export const moveLeader = (topic: string, partition: number, broker?: number): Fault =>
  checked({ _tag: "MoveLeader", topic, partition, broker })

/**
 * Another broker coordinates a group: this one, which must have the groups' offsets in sync, or the next that can.
 *
 * @since 0.1.0
 * @category constructors
 */
export const moveCoordinator = (group: string, broker?: number): Fault =>
  checked({ _tag: "MoveCoordinator", group, broker })

/**
 * The clients' wall clock jumps forward, or back if `by` is negative (`-5000`, `"-5 seconds"`). Time itself goes on as
 * before: no sleep is longer or shorter for it. Only a simulation's clock can do this.
 *
 * @since 0.1.0
 * @category constructors
 */
export const jumpClock = (by: Duration.DurationInput | `-${Extract<Duration.DurationInput, string>}`): Fault =>
  checked({ _tag: "JumpClock", by: signedMillis(by) })

const signedMillis = (by: Duration.DurationInput | string): number => {
  if (typeof by === "number") return by
  return typeof by === "string" && by.startsWith("-")
    ? -Duration.toMillis(by.slice(1) as Duration.DurationInput)
    : Duration.toMillis(by as Duration.DurationInput)
}

/**
 * A fault that comes later: after a time, or with a request, which its broker has got and not yet begun with. What has
 * become impossible by then, such as a leader for a topic that was deleted, does not happen.
 *
 * @example
 * ```ts
 * import { Fault } from "@sluice/testing"
 *
 * Fault.after("5 seconds", Fault.crash(1, "10 seconds"))
 * Fault.after({ api: "Produce", nth: 10 }, Fault.moveLeader("orders", 0))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const after = (when: Duration.DurationInput | On, fault: Fault): Fault =>
  checked({ _tag: "After", when: isTime(when) ? millisOf("A time", when) : requestMatch(when), fault })

const isTime = (when: Duration.DurationInput | On): when is Duration.DurationInput =>
  typeof when === "string"
    ? !isApiName(when) && Duration.decodeUnknown(when)._tag === "Some"
    : typeof when !== "object" || Duration.isDuration(when) || Array.isArray(when)

/**
 * Several faults, at once.
 *
 * @since 0.1.0
 * @category constructors
 */
export const all = (...faults: ReadonlyArray<Fault>): Fault => checked({ _tag: "All", faults })

/**
 * A fault as one short line.
 *
 * @since 0.1.0
 * @category utils
 */
export const describe = (fault: Fault): string => describeFault(fault)

/**
 * What a schedule is drawn from.
 *
 * @since 0.1.0
 * @category models
 */
export interface ScheduleOptions {
  /** A whole number, which decides about everything. */
  readonly seed: number
  /** How many faults. */
  readonly count: number
  /** All begin, and all that last have ended, after as long: `"1 minute"`. */
  readonly within: Duration.DurationInput
  /** Ids of the brokers. */
  readonly brokers: ReadonlyArray<number>
  /** How many partitions each topic has. Default: no topics, so that no leaders move. */
  readonly topics?: Readonly<Record<string, number>>
  /** Ids of groups. Default: none, so that no coordinators move. */
  readonly groups?: ReadonlyArray<string>
  /** Client ids, for faults of one client's connections. Default: none. */
  readonly clients?: ReadonlyArray<string>
  /** Kinds of faults to draw from. Default: all that fit; `JumpClock` is among them, which needs a simulation's clock. */
  readonly kinds?: ReadonlyArray<Fault["_tag"]>
  /** How many brokers may be down, hang or be cut off at a time. Default: a minority. */
  readonly maxBrokersOut?: number
}

/**
 * Draws faults from a seed: one `All` of as many `After`s, in the order of their times. The same options give the same
 * faults. Among any 20 in a row there are ten kinds at least, unless `kinds` leaves fewer. Everything heals by itself
 * within the time, and never more than a minority of the brokers is out at once; so where there are fewer than three,
 * none is.
 *
 * @example
 * ```ts
 * import { Fault } from "@sluice/testing"
 *
 * const faults = Fault.schedule({
 *   seed: 42,
 *   count: 20,
 *   within: "1 minute",
 *   brokers: [1, 2, 3],
 *   topics: { orders: 3 },
 *   groups: ["billing"]
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const schedule = (options: ScheduleOptions): Fault =>
  checked(drawSchedule({ ...options, within: millisOf("A time", options.within) }))
