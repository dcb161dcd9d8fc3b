import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"

import type { FatalError } from "../../KafkaError.ts"
import type { Report } from "../../Producer.ts"
import { invalidArgument } from "../errors.ts"
import { cancelable } from "../fiber.ts"

/** The reports that a fiber has taken, or the fiber that started it. */
const inHand = FiberRef.unsafeMake<object | undefined>(undefined)

/** The most reports that one pull gives. */
const maxChunk = 1024

/**
 * Reports on their way to one subscriber at a time. Those of a chunk count as
 * handled when the subscriber asks for the next one, or leaves. Bounded by the
 * accumulator, which accepts no more records than may be reported.
 */
export class DeliveryStream<C> {
  readonly #handled: (count: number) => void
  #queue: Array<Report<C>> = []
  #inHand = 0
  #subscriber: "none" | "present" | "left" = "none"
  /** What is in hand, for the fibers that have it. */
  #chunk: object | undefined
  #hasEnded = false
  #wake: (() => void) | undefined
  readonly #drained = new Set<() => void>()

  /** `handled` hears of how many reports the subscriber is done with. */
  constructor(handled: (count: number) => void) {
    this.#handled = handled
  }

  /** Reports that the subscriber is not done with. */
  get unhandled(): number {
    return this.#queue.length + this.#inHand
  }

  /** Whether a fiber has reports in hand, or was started by one for them, so that what it sends must not wait for them. */
  isInside(fiber: Fiber.RuntimeFiber<any, any>): boolean {
    return this.#inHand > 0 && fiber.getFiberRef(inHand) === this.#chunk
  }

  push(_partition: object, report: Report<C>): void {
    this.#queue.push(report)
    this.#wake?.()
  }

  /** Ends the stream after what is left. */
  end(): void {
    this.#hasEnded = true
    this.#wake?.()
  }

  /** Every report pushed so far is handled, or nobody is there any more to handle it. */
  readonly drain: Effect.Effect<void> = cancelable((resume) => {
    const done = () => resume(Effect.void)
    if (this.#isDrained) done()
    else this.#drained.add(done)
    return () => this.#drained.delete(done)
  })

  readonly #pull: Effect.Effect<Chunk.Chunk<Report<C>>, Option.Option<never>> = Effect.suspend(() => {
    this.#settle()
    if (this.#queue.length > 0) {
      const reports = this.#queue.splice(0, maxChunk)
      this.#inHand = reports.length
      this.#chunk = {}
      return Effect.as(FiberRef.set(inHand, this.#chunk), Chunk.unsafeFromArray(reports))
    }
    if (this.#hasEnded) return Effect.fail(Option.none())
    return Effect.zipRight(this.#more, this.#pull)
  })

  readonly #more: Effect.Effect<void> = cancelable((resume) => {
    const wake = () => resume(Effect.void)
    if (this.#queue.length > 0 || this.#hasEnded) wake()
    else this.#wake = wake
    return () => {
      this.#wake = undefined
    }
  })

  readonly stream: Stream.Stream<Report<C>, FatalError> = Stream.unwrapScoped(Effect.as(
    Effect.acquireRelease(
      Effect.suspend(() => {
        if (this.#subscriber === "present") {
          return Effect.fail(invalidArgument("Producer: somebody takes its `deliveries` already; one at a time can"))
        }
        this.#subscriber = "present"
        return Effect.void
      }),
      () =>
        Effect.sync(() => {
          this.#subscriber = "left"
          this.#settle()
        })
    ),
    Stream.repeatEffectChunkOption(this.#pull)
  ))

  get #isDrained(): boolean {
    return this.unhandled === 0 || this.#subscriber === "left"
  }

  /** What was in hand is handled. */
  #settle(): void {
    const count = this.#inHand
    this.#inHand = 0
    if (count > 0) this.#handled(count)
    if (!this.#isDrained) return
    for (const done of this.#drained) done()
    this.#drained.clear()
  }
}
