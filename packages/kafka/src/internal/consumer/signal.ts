import * as Effect from "effect/Effect"

import { cancelable } from "../fiber.ts"

/**
 * Wakes whoever waits: what they wait for is theirs to look up. A fiber may yield between its look and its wait, so it
 * says what it had seen of the signal before it looked.
 */
export class Signal {
  #waiting = new Set<() => void>()
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
    if (this.#waiting.size > 0) {
      const waiting = this.#waiting
      this.#waiting = new Set()
      for (const resume of waiting) resume()
    }
    this.alsoNotify?.notify()
  }

  /** Waits for the first {@link notify} after the signal had this version. */
  wait(version: number): Effect.Effect<void> {
    return cancelable((resume) => {
      const wake = () => resume(Effect.void)
      if (this.#version === version) this.#waiting.add(wake)
      else wake()
      return () => this.#waiting.delete(wake)
    })
  }
}
