import * as Context from "effect/Context"
import * as Effect from "effect/Effect"

import type { Delivery } from "../../Producer.ts"
import type { Fibers } from "../fiber.ts"

/** Marks the fibers of a producer's delivery handlers: what they send themselves must not wait for reports. */
export class InsideHandler
  extends Context.Tag("@sluice/kafka/internal/InsideHandler")<InsideHandler, Deliveries<any>>()
{}

/**
 * Reports on their way to the handler. Bounded by the accumulator, which
 * accepts no more records than may be reported.
 */
export class Deliveries<C> {
  #queue: Array<Delivery<C>> = []
  #head = 0
  #idle: Array<() => void> = []
  #busy = 0
  #drained = new Set<() => void>()
  readonly #handled: (count: number) => void

  /** `handled` hears of each report that its handler is done with. */
  constructor(handled: (count: number) => void) {
    this.#handled = handled
  }

  /** Reports whose handler is not done, or was not started. */
  get unhandled(): number {
    return this.#busy + this.#pending
  }

  push(delivery: Delivery<C>): void {
    this.#queue.push(delivery)
    const wake = this.#idle.pop()
    if (wake !== undefined) wake()
  }

  /** Starts the workers. Their handler's failures are logged, and stop nothing. */
  start<E, R>(
    fibers: Fibers,
    handler: (delivery: Delivery<C>) => Effect.Effect<unknown, E, R>,
    concurrency: number
  ): Effect.Effect<void, never, R> {
    const worker = Effect.forever(Effect.flatMap(this.#take, (delivery) =>
      Effect.suspend(() => handler(delivery)).pipe(
        Effect.catchAllCause((cause) => Effect.logError("a delivery handler failed", cause)),
        Effect.ensuring(Effect.sync(() => this.#done()))
      ))).pipe(Effect.provideService(InsideHandler, this))
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

  readonly #take: Effect.Effect<Delivery<C>> = Effect.suspend(() => {
    if (this.#pending > 0) return Effect.succeed(this.#next())
    return Effect.zipRight(
      Effect.async<void>((resume) => {
        if (this.#pending > 0) {
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

  /** Reports not yet taken by a worker. */
  get #pending(): number {
    return this.#queue.length - this.#head
  }

  #next(): Delivery<C> {
    const delivery = this.#queue[this.#head]!
    this.#queue[this.#head++] = undefined as never
    if (this.#head === this.#queue.length || this.#head > 1024) {
      this.#queue = this.#queue.slice(this.#head)
      this.#head = 0
    }
    this.#busy++
    return delivery
  }

  #done(): void {
    this.#busy--
    this.#handled(1)
    if (this.unhandled > 0) return
    for (const done of this.#drained) done()
    this.#drained.clear()
  }
}
