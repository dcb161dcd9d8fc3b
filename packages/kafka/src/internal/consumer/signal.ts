import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"

import { suspended } from "../suspended.ts"

/**
 * Wakes whoever waits: what they wait for is theirs to look up. A fiber may yield between its look and its wait, so it
 * says what it had seen of the signal before it looked.
 */
export class Signal {
  #waiting: Array<Waiter> = []
  /** How many may wait before a look is taken at which of them have ended. */
  #mostWaiting = leastLooked
  #version = 0
  /** A signal of more than this. */
  alsoNotify: Signal | undefined

  /** Grows with every {@link notify}. To be read before what is waited for is looked up. */
  get version(): number {
    return this.#version
  }

  /** Resumes all that wait. */
  notify(): void {
    this.#version++
    if (this.#waiting.length > 0) {
      const waiting = this.#waiting
      this.#waiting = []
      for (const { resume } of waiting) resume(Effect.void)
    }
    this.alsoNotify?.notify()
  }

  /** Waits for the first {@link notify} after the signal had this version. */
  wait(version: number): Effect.Effect<void> {
    return Effect.withFiberRuntime((fiber) =>
      suspended<void>((resume) => {
        if (this.#version !== version) return resume(Effect.void)
        // Nothing undoes it at an interruption, by a mask that would outlive the wait: those that have ended go later.
        if (this.#waiting.push({ fiber, resume }) <= this.#mostWaiting) return
        this.#waiting = this.#waiting.filter(({ fiber }) => fiber.unsafePoll() === null)
        this.#mostWaiting = Math.max(leastLooked, 2 * this.#waiting.length)
      })
    )
  }
}

/** So few may wait in vain. */
const leastLooked = 16

interface Waiter {
  readonly fiber: Fiber.RuntimeFiber<unknown, unknown>
  readonly resume: (effect: Effect.Effect<void>) => void
}
