import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

import type { AssignOptions, ConsumerOptions, StartPosition as StartPositionInput } from "../../Consumer.ts"
import { FatalError } from "../../KafkaError.ts"
import type * as Topic from "../../Topic.ts"
import { Check } from "../cluster/settings.ts"
import type { Assignor } from "../kernel/assignor.ts"
import { assignors } from "../kernel/assignors.ts"
import { validateTopicName } from "../kernel/topicName.ts"
import { type TopicPartition, topicPartitionKey } from "../kernel/topicPartition.ts"
import type { CommitSettings } from "./committer.ts"
import type { StartPosition, StartSettings } from "./start.ts"
import { Subscription } from "./subscription.ts"

/** How records are fetched; checked. */
export interface FetchSettings {
  readonly subscription: Subscription
  readonly readCommitted: boolean
  readonly maxWait: Duration.Duration
  readonly minBytes: number
  readonly partitionBytes: number
  readonly partitionRecords: number
  readonly maxBytes: number
  readonly bufferBytes: number
  readonly checkCrcs: boolean
  /** Empty for none. */
  readonly rack: string
  readonly reset: "earliest" | "latest" | "fail"
  readonly start: StartSettings
}

/** A hook of the application. */
export type Hook = ((partitions: ReadonlyArray<TopicPartition>) => Effect.Effect<unknown, unknown>) | undefined

/** What the application wants to do when its partitions change. */
export interface Hooks {
  readonly assigned: Hook
  readonly revoked: Hook
  readonly lost: Hook
}

/** A group member's options, checked, with their defaults. */
export interface GroupSettings extends CommitSettings {
  readonly groupId: string
  /** In the order of preference. */
  readonly assignors: ReadonlyArray<Assignor>
  /** The name of a static member. */
  readonly groupInstanceId: string | null
  readonly hooks: Hooks
  readonly sessionTimeout: Duration.Duration
  readonly heartbeatInterval: Duration.Duration
  readonly rebalanceTimeout: Duration.Duration
  readonly drainTimeout: Duration.Duration
  readonly closeTimeout: Duration.Duration
}

const mib = 1024 * 1024
/** What an int32 of the protocol can hold: bytes, or milliseconds. */
const maxInt32 = 2 ** 31 - 1

const parseTopics = (owner: string, topics: ReadonlyArray<Topic.AnySource>) =>
  Effect.gen(function*() {
    const check = new Check(owner)
    if (!Array.isArray(topics) || topics.length === 0) return yield* check.fail("topics", "is empty")
    const byName = new Map<string, Topic.Any>()
    const patterns: Array<Topic.TopicPattern<any, any>> = []
    for (const topic of topics as ReadonlyArray<Topic.AnySource>) {
      if ("pattern" in topic) {
        if (!(topic.pattern instanceof RegExp)) return yield* check.fail("topics", "has a pattern that is no RegExp")
        patterns.push(topic)
        continue
      }
      const problem = validateTopicName(topic.name)
      if (problem !== undefined) {
        return yield* Effect.fail(
          new FatalError({
            reason: { _tag: "InvalidTopicException", topic: topic.name },
            scope: "topic",
            message: `${owner}: ${problem}`
          })
        )
      }
      if (byName.has(topic.name)) return yield* check.fail("topics", `names "${topic.name}" twice`)
      byName.set(topic.name, topic)
    }
    return new Subscription(byName, patterns)
  })

/** Checks a place to start at, given as `option`. */
export const parseStart = (
  owner: string,
  option: string,
  start: StartPositionInput
): Effect.Effect<StartPosition, FatalError> => {
  const check = new Check(owner)
  if (start === "earliest" || start === "latest") return Effect.succeed(start)
  if (typeof start === "object" && start !== null && "offset" in start) {
    const offset = Number(start.offset)
    return Number.isSafeInteger(offset) && offset >= 0 && typeof start.offset !== "string"
      ? Effect.succeed({ offset })
      : check.fail(option, `has an offset that is none: ${String(start.offset)}`)
  }
  if (typeof start === "object" && start !== null && "timestamp" in start) {
    const timestamp = Number(start.timestamp)
    return Number.isSafeInteger(timestamp) && timestamp >= 0 && typeof start.timestamp !== "string"
      ? Effect.succeed({ timestamp })
      : check.fail(option, `has a timestamp that is no whole number of milliseconds: ${String(start.timestamp)}`)
  }
  return check.fail(
    option,
    `must be "earliest", "latest", { offset }, { timestamp } or, of a new consumer, { store }, got ${String(start)}`
  )
}

/** Gives the application's effects what there was where the consumer was made. */
type Provide<R> = <A, E>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E>

const parseFetch = <R>(
  owner: string,
  options: Pick<ConsumerOptions<any, R>, "topics" | "fetch" | "isolation" | "from" | "reset">,
  defaultFrom: StartPosition | undefined,
  provide: Provide<R>
): Effect.Effect<FetchSettings, FatalError> =>
  Effect.gen(function*() {
    const check = new Check(owner)
    const { from } = options
    const isStore = typeof from === "object" && from !== null && "store" in from
    if (isStore && typeof from.store !== "function") return yield* check.fail("from", "has a store that is no function")
    const start = from === undefined || isStore ? defaultFrom : yield* parseStart(owner, "from", from)
    const reset = yield* check.oneOf("reset", options.reset, start === "latest" ? "latest" : "earliest", [
      "earliest",
      "latest",
      "fail"
    ])
    const fetch = options.fetch ?? {}
    const { rack = "" } = fetch
    if (typeof rack !== "string") return yield* check.fail("fetch.rack", "is not a string")
    const isolation = yield* check.oneOf("isolation", options.isolation, "read_committed", [
      "read_committed",
      "read_uncommitted"
    ])
    return {
      subscription: yield* parseTopics(owner, options.topics),
      readCommitted: isolation === "read_committed",
      // Without a wait, or with nothing to wait for, an idle consumer would ask without a pause.
      maxWait: yield* millis(check, "fetch.maxWait", fetch.maxWait, "500 millis", 1),
      minBytes: yield* check.integer("fetch.minBytes", fetch.minBytes, 1, { min: 1, max: maxInt32 }),
      partitionBytes: yield* check.integer("fetch.partitionBytes", fetch.partitionBytes, 2 * mib, {
        min: 1,
        max: maxInt32
      }),
      partitionRecords: yield* check.integer("fetch.partitionRecords", fetch.partitionRecords, 100_000, { min: 1 }),
      maxBytes: yield* check.integer("fetch.maxBytes", fetch.maxBytes, 16 * mib, { min: 1, max: maxInt32 }),
      checkCrcs: yield* check.boolean("fetch.checkCrcs", fetch.checkCrcs, true),
      rack,
      bufferBytes: yield* check.integer("fetch.bufferBytes", fetch.bufferBytes, 64 * mib, { min: 1, max: maxInt32 }),
      reset,
      start: {
        load: isStore ? (partitions) => provide(from.store(partitions)) : undefined,
        otherwise: isStore ? reset : start ?? reset
      }
    }
  })

/** A duration in whole milliseconds, as the protocol has it. */
const millis = (
  check: Check,
  option: string,
  input: Duration.DurationInput | undefined,
  fallback: Duration.DurationInput,
  min = 0
): Effect.Effect<Duration.Duration, FatalError> =>
  Effect.flatMap(check.duration(option, input, fallback, { min }), (duration) => {
    const millis = Math.round(Duration.toMillis(duration))
    return millis <= maxInt32
      ? Effect.succeed(Duration.millis(millis))
      : check.fail(option, `must be at most ${maxInt32} milliseconds, got ${Duration.format(duration)}`)
  })

const parseCommit = (check: Check, options: ConsumerOptions<any, any>): Effect.Effect<CommitSettings, FatalError> =>
  Effect.gen(function*() {
    const { backoff, maxBackoff, times } = options.commitRetry ?? {}
    return {
      commitInterval: yield* millis(check, "commitInterval", options.commitInterval, "1 second"),
      commitCount: yield* check.integer("commitCount", options.commitCount, Number.MAX_SAFE_INTEGER, { min: 1 }),
      commitRetries: yield* check.integer("commitRetry.times", times, Number.MAX_SAFE_INTEGER, { min: 0 }),
      commitBackoff: backoff === undefined ? undefined : yield* millis(check, "commitRetry.backoff", backoff, 0, 1),
      commitBackoffMax: maxBackoff === undefined
        ? undefined
        : yield* millis(check, "commitRetry.maxBackoff", maxBackoff, 0, 1)
    }
  })
const hook = <R>(
  provide: Provide<R>,
  own: ((partitions: ReadonlyArray<TopicPartition>) => Effect.Effect<unknown, unknown, R>) | undefined
): Hook => own === undefined ? undefined : (partitions) => provide(Effect.suspend(() => own(partitions)))

/** Checks a group member's options; nothing is sent before. */
export const parseGroup = <R>(
  options: ConsumerOptions<any, R>,
  provide: Provide<R>
): Effect.Effect<readonly [GroupSettings, FetchSettings], FatalError> =>
  Effect.gen(function*() {
    const check = new Check("Consumer")
    if (typeof options.groupId !== "string" || options.groupId === "") {
      return yield* check.fail("groupId", "is empty")
    }
    const fetch = yield* parseFetch("Consumer", options, undefined, provide)
    const given = options.assignor ?? "cooperative-sticky"
    const names: ReadonlyArray<Assignor["name"]> = typeof given === "string" ? [given] : given
    if (!Array.isArray(given) && typeof given !== "string") {
      return yield* check.fail("assignor", "is not a name or names")
    }
    if (names.length === 0) return yield* check.fail("assignor", "is empty")
    for (const name of names) {
      yield* check.oneOf("assignor", name, name, Object.keys(assignors) as Array<Assignor["name"]>)
    }
    if (new Set(names).size < names.length) return yield* check.fail("assignor", "names one twice")
    const { groupInstanceId } = options
    if (groupInstanceId !== undefined) {
      const problem = typeof groupInstanceId === "string" ? validateTopicName(groupInstanceId) : "it is not a string"
      if (problem !== undefined) {
        return yield* check.fail("groupInstanceId", problem.replace(/^.*: it /, "").replace(/^it /, ""))
      }
    }
    const sessionTimeout = yield* millis(check, "sessionTimeout", options.sessionTimeout, "45 seconds", 1)
    const heartbeatInterval = yield* millis(check, "heartbeatInterval", options.heartbeatInterval, "3 seconds", 1)
    if (Duration.greaterThanOrEqualTo(heartbeatInterval, sessionTimeout)) {
      return yield* check.fail("heartbeatInterval", "must be less than sessionTimeout; a third of it or less is usual")
    }
    return [{
      groupId: options.groupId,
      assignors: names.map((name) => assignors[name]),
      groupInstanceId: groupInstanceId ?? null,
      hooks: {
        assigned: hook(provide, options.onAssigned),
        revoked: hook(provide, options.onRevoked),
        lost: hook(provide, options.onLost)
      },
      sessionTimeout,
      heartbeatInterval,
      rebalanceTimeout: yield* millis(check, "rebalanceTimeout", options.rebalanceTimeout, "1 minute", 1),
      ...yield* parseCommit(check, options),
      drainTimeout: yield* millis(check, "drainTimeout", options.drainTimeout, "20 seconds"),
      closeTimeout: yield* millis(check, "closeTimeout", options.closeTimeout, "10 seconds")
    }, fetch] as const
  })

/** Checks the options of a consumer without a group. */
export const parseAssign = <R>(
  options: AssignOptions<any, R>,
  provide: Provide<R>
): Effect.Effect<FetchSettings, FatalError> =>
  Effect.gen(function*() {
    const check = new Check("Consumer.assign")
    const { partitions } = options
    if (partitions !== undefined) {
      if (!Array.isArray(partitions) || partitions.length === 0) return yield* check.fail("partitions", "is empty")
      const names = new Set(Array.isArray(options.topics) ? options.topics.map(({ name }) => name) : [])
      const keys = new Set<string>()
      for (const each of partitions as ReadonlyArray<number | TopicPartition>) {
        const { partition, topic } = typeof each === "object" && each !== null ? each : { partition: each, topic: "" }
        yield* check.integer("partitions", partition, -1, { min: 0, max: maxInt32 })
        if (topic !== "" && !names.has(topic)) return yield* check.fail("partitions", `names "${topic}", not in topics`)
        for (const name of topic === "" ? names : [topic]) {
          const key = topicPartitionKey({ topic: name, partition })
          if (keys.has(key)) return yield* check.fail("partitions", "names one twice")
          keys.add(key)
        }
      }
    }
    const fetch = yield* parseFetch("Consumer.assign", options, "earliest", provide)
    if (fetch.subscription.hasPatterns) return yield* check.fail("topics", "has a pattern: name the topics")
    return fetch
  })
