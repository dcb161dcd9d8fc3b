import * as Effect from "effect/Effect"

/** Wakes whoever waits at the moment: what they wait for is theirs to look up. */
export class Signal {
  #waiting = new Set<() => void>()
  /** A signal of more than this. */
  alsoNotify: Signal | undefined

  /** Resumes all that wait. */
  notify(): void {
    if (this.#waiting.size > 0) {
      const waiting = this.#waiting
      this.#waiting = new Set()
      for (const resume of waiting) resume()
    }
    this.alsoNotify?.notify()
  }

  /** Waits for the next {@link notify}. */
  readonly wait: Effect.Effect<void> = Effect.async((resume) => {
    const wake = () => resume(Effect.void)
    this.#waiting.add(wake)
    return Effect.sync(() => this.#waiting.delete(wake))
  })
}
