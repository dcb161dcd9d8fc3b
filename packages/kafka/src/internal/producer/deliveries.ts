import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"

import type { Report } from "../../Producer.ts"
import type { Fibers } from "../fiber.ts"

/** Marks the fibers of a producer's delivery handlers: what they send themselves must not wait for reports. */
export class InsideHandler
  extends Context.Tag("@sluice/kafka/internal/InsideHandler")<InsideHandler, Deliveries<any>>()
{}

/** Reports in the order in which they came. */
class Lane<C> {
  #queue: Array<Report<C>> = []
  #head = 0
  /** Whether a worker may take one, or, of a lane that keeps its order, one is being handled. */
  isListed = false

  get size(): number {
    return this.#queue.length - this.#head
  }

  push(report: Report<C>): void {
    this.#queue.push(report)
  }

  shift(): Report<C> {
    const report = this.#queue[this.#head]!
    this.#queue[this.#head++] = undefined as never
    if (this.#head === this.#queue.length || this.#head > 1024) {
      this.#queue = this.#queue.slice(this.#head)
      this.#head = 0
    }
    return report
  }
}

/**
 * Reports on their way to the handler: those of a partition one after the other
 * if their order is kept, and partitions side by side. Bounded by the
 * accumulator, which accepts no more records than may be reported.
 */
export class Deliveries<C> {
  readonly #keepsOrder: boolean
  readonly #handled: (count: number) => void
  /** By partition; the only one where order is not kept is everybody's. */
  readonly #lanes = new Map<object, Lane<C>>()
  /** Lanes with a report that a worker may take; the one whose turn it is comes first. */
  readonly #ready = new Set<Lane<C>>()
  readonly #idle: Array<() => void> = []
  readonly #drained = new Set<() => void>()
  #pending = 0
  #busy = 0

  /** `handled` hears of each report that its handler is done with. */
  constructor(keepsOrder: boolean, handled: (count: number) => void) {
    this.#keepsOrder = keepsOrder
    this.#handled = handled
  }

  /** Whether a fiber belongs to a handler. */
  isInside(fiber: Fiber.RuntimeFiber<any, any>): boolean {
    return fiber.currentContext.unsafeMap.get(InsideHandler.key) === this
  }

  /** Reports whose handler is not done, or was not started. */
  get unhandled(): number {
    return this.#busy + this.#pending
  }

  /** `partition` is any value that stands for one. */
  push(partition: object, report: Report<C>): void {
    const key = this.#keepsOrder ? partition : this
    let lane = this.#lanes.get(key)
    if (lane === undefined) this.#lanes.set(key, lane = new Lane())
    lane.push(report)
    this.#pending++
    if (!lane.isListed) this.#list(lane)
    // One that has all its worker can take is listed already, and another worker may share it.
    else if (!this.#keepsOrder) this.#idle.pop()?.()
  }

  /** Starts the workers. Their handler's failures are logged, and stop nothing. */
  start<E, R>(
    fibers: Fibers,
    handler: (report: Report<C>) => Effect.Effect<unknown, E, R>,
    concurrency: number
  ): Effect.Effect<void, never, R> {
    const worker = Effect.forever(
      Effect.flatMap(this.#take, ({ lane, report }) =>
        Effect.suspend(() => handler(report)).pipe(
          Effect.catchAllCause((cause) => Effect.logError("a delivery handler failed", cause)),
          Effect.ensuring(Effect.sync(() => this.#done(lane)))
        ))
    ).pipe(Effect.provideService(InsideHandler, this))
    return Effect.forEach(Array.from({ length: concurrency }), () => fibers.fork(worker), { discard: true })
  }

  /** Every report pushed so far is handled. */
  readonly drain: Effect.Effect<void> = Effect.async((resume) => {
    if (this.unhandled === 0) {
      resume(Effect.void)
      return
    }
    const done = () => resume(Effect.void)
    this.#drained.add(done)
    return Effect.sync(() => this.#drained.delete(done))
  })

  readonly #take: Effect.Effect<{ readonly lane: Lane<C>; readonly report: Report<C> }> = Effect.suspend(() => {
    const [lane] = this.#ready
    if (lane !== undefined) return Effect.succeed({ lane, report: this.#next(lane) })
    return Effect.zipRight(
      Effect.async<void>((resume) => {
        if (this.#ready.size > 0) {
          resume(Effect.void)
          return
        }
        const wake = () => resume(Effect.void)
        this.#idle.push(wake)
        return Effect.sync(() => {
          const index = this.#idle.indexOf(wake)
          if (index !== -1) this.#idle.splice(index, 1)
        })
      }),
      this.#take
    )
  })

  #list(lane: Lane<C>): void {
    lane.isListed = true
    this.#ready.add(lane)
    this.#idle.pop()?.()
  }

  #next(lane: Lane<C>): Report<C> {
    const report = lane.shift()
    this.#ready.delete(lane)
    if (!this.#keepsOrder) {
      if (lane.size > 0) this.#ready.add(lane)
      else lane.isListed = false
    }
    this.#pending--
    this.#busy++
    return report
  }

  #done(lane: Lane<C>): void {
    this.#busy--
    if (this.#keepsOrder) {
      if (lane.size > 0) this.#list(lane)
      else lane.isListed = false
    }
    this.#handled(1)
    if (this.unhandled > 0) return
    for (const done of this.#drained) done()
    this.#drained.clear()
  }
}
