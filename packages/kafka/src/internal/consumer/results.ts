import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"

import { Signal } from "./signal.ts"

/** Results on their way from handlers to the stream that they are for. */
class Results<A, E> {
  readonly #capacity: number
  readonly #changed = new Signal()
  #values: Array<A> = []
  #end: Exit.Exit<void, E> | undefined
  #isWanted = true

  constructor(capacity: number) {
    this.#capacity = capacity
  }

  /** Waits for room, while anybody wants it. */
  offer(value: A): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (!this.#isWanted) return Effect.void
      const { version } = this.#changed
      if (this.#values.length >= this.#capacity) {
        return Effect.zipRight(this.#changed.wait(version), this.offer(value))
      }
      this.#values.push(value)
      if (this.#values.length === 1) this.#changed.notify()
      return Effect.void
    })
  }

  /** No more are offered. */
  end(exit: Exit.Exit<void, E>): void {
    this.#end = exit
    this.#changed.notify()
  }

  /** Nobody takes what is offered. */
  unwanted(): void {
    this.#isWanted = false
    this.#changed.notify()
  }

  /** All that there are. */
  readonly take: Effect.Effect<Chunk.Chunk<A>, Option.Option<E>> = Effect.suspend(() => {
    const { version } = this.#changed
    if (this.#values.length > 0) {
      const values = this.#values
      this.#values = []
      if (values.length >= this.#capacity) this.#changed.notify()
      return Effect.succeed(Chunk.unsafeFromArray(values))
    }
    if (this.#end === undefined) return Effect.zipRight(this.#changed.wait(version), this.take)
    return Exit.isSuccess(this.#end)
      ? Effect.fail(Option.none())
      : Effect.mapErrorCause(Effect.failCause(this.#end.cause), (cause) => Cause.map(cause, Option.some))
  })
}

/**
 * What handlers of a run make of their records, as a stream. The run lives in a fiber of its own: when the stream ends,
 * however it does, the run drains before that is over, and what it still makes goes nowhere.
 */
export const resultStream = <A, B, E, R, E1>(
  f: (input: A) => Effect.Effect<B, E, R>,
  capacity: number,
  run: (handler: (input: A) => Effect.Effect<void, E, R>) => Effect.Effect<void, E1, R>
): Stream.Stream<B, E1, R> =>
  Stream.unwrapScoped(Effect.gen(function*() {
    const results = new Results<B, E1>(capacity)
    yield* Effect.acquireRelease(
      Effect.forkDaemon(
        Effect.interruptible(run((input) => Effect.flatMap(f(input), (result) => results.offer(result)))).pipe(
          Effect.onExit((exit) => Effect.sync(() => results.end(exit)))
        )
      ),
      (fiber) => Effect.zipRight(Effect.sync(() => results.unwanted()), Fiber.interrupt(fiber))
    )
    return Stream.repeatEffectChunkOption(results.take)
  }))
