import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"

import { monotonicMillis } from "./time.ts"

/**
 * Runs an effect at a time that may be set again and again: for what has a deadline so often that a timer for each would
 * cost more than what it guards. Its fiber sleeps until the earliest time, and is disturbed by an earlier one only.
 */
export class Alarm {
  readonly #clock: Clock.Clock
  readonly #ring: Effect.Effect<void>
  /** When it rings next, in milliseconds of {@link monotonicMillis}. */
  #at = Infinity
  readonly #isSet = Effect.unsafeMakeLatch(false)
  #sleeper: Fiber.RuntimeFiber<void> | undefined

  constructor(clock: Clock.Clock, ring: Effect.Effect<void>) {
    this.#clock = clock
    this.#ring = ring
  }

  /** It rings at that time, in milliseconds of {@link monotonicMillis}, or before. */
  set(at: number): void {
    if (at >= this.#at) return
    this.#at = at
    this.#isSet.unsafeOpen()
    this.#sleeper?.unsafeInterruptAsFork(FiberId.none)
  }

  /** To be run on a fiber of its own. */
  readonly run: Effect.Effect<never> = Effect.forever(
    Effect.suspend(() => {
      const at = this.#at
      if (at === Infinity) {
        this.#isSet.unsafeClose()
        return this.#isSet.await
      }
      const left = at - monotonicMillis(this.#clock)
      if (left <= 0) {
        this.#at = Infinity
        return this.#ring
      }
      return Effect.flatMap(Effect.fork(Effect.sleep(left)), (sleeper) => {
        this.#sleeper = sleeper
        // It may have been set between the look and the sleep.
        return Effect.zipRight(this.#at < at ? Fiber.interrupt(sleeper) : Fiber.await(sleeper), this.#awake)
      })
    })
  )

  readonly #awake = Effect.sync(() => {
    this.#sleeper = undefined
  })
}
