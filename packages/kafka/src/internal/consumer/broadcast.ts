import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"

import { Signal } from "./signal.ts"

/** What a subscriber may be behind; what is older is dropped for it. */
const capacity = 256

/** Tells any number of streams, without waiting for any: one that is slow misses the oldest. */
export class Broadcast<A> {
  readonly #buffers = new Set<Array<A>>()
  readonly #signal = new Signal()
  #ended = false

  /** Tells all that listen now. */
  publish(value: A): void {
    for (const buffer of this.#buffers) {
      if (buffer.length === capacity) buffer.shift()
      buffer.push(value)
    }
    this.#signal.notify()
  }

  /** Ends every stream, after what it has not taken yet. */
  end(): void {
    this.#ended = true
    this.#signal.notify()
  }

  /** What is published from when it is run. */
  readonly stream: Stream.Stream<A> = Stream.unwrapScoped(Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => {
        const buffer: Array<A> = []
        this.#buffers.add(buffer)
        return buffer
      }),
      (buffer) => Effect.sync(() => this.#buffers.delete(buffer))
    ),
    (buffer) => Stream.repeatEffectChunkOption(this.#take(buffer))
  ))

  #take(buffer: Array<A>): Effect.Effect<Chunk.Chunk<A>, Option.Option<never>> {
    return Effect.suspend(() => {
      const { version } = this.#signal
      if (buffer.length > 0) return Effect.succeed(Chunk.unsafeFromArray(buffer.splice(0)))
      if (this.#ended) return Effect.fail(Option.none())
      return Effect.zipRight(this.#signal.wait(version), this.#take(buffer))
    })
  }
}
