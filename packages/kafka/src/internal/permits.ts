import * as Effect from "effect/Effect"

import { cancelable } from "./fiber.ts"

/**
 * So many at a time do something; the others wait, and go in the order in which they came. Effect's own semaphore loses a
 * permit where whoever has just been given it is interrupted: everybody after waits for ever.
 */
export class Permits {
  #free: number
  readonly #waiting = new Set<() => void>()

  constructor(count: number) {
    this.#free = count
  }

  /** Runs `self` with one of them. */
  use<A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return Effect.uninterruptibleMask((restore) =>
      Effect.suspend(() => {
        // Noted in the same step in which it is given, so that it is given back whatever happens between two steps.
        let isHeld = false
        const taken = cancelable<void, never>((resume) => {
          const give = () => {
            isHeld = true
            resume(Effect.void)
          }
          if (this.#free > 0) {
            this.#free--
            give()
          } else this.#waiting.add(give)
          return () => this.#waiting.delete(give)
        })
        return Effect.ensuring(
          restore(Effect.zipRight(taken, self)),
          Effect.sync(() => {
            if (isHeld) this.#release()
          })
        )
      })
    )
  }

  #release(): void {
    const [next] = this.#waiting
    if (next === undefined) {
      this.#free++
      return
    }
    this.#waiting.delete(next)
    next()
  }
}
