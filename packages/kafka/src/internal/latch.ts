import * as Effect from "effect/Effect"

import { suspended } from "./suspended.ts"

/**
 * A latch at which one fiber waits, again and again. Effect's own undoes a wait that is interrupted; here the next wait takes
 * its place.
 */
export class Latch {
  #isOpen: boolean
  #resume: ((effect: Effect.Effect<void>) => void) | undefined

  constructor(isOpen: boolean) {
    this.#isOpen = isOpen
  }

  open(): void {
    this.#isOpen = true
    const resume = this.#resume
    this.#resume = undefined
    resume?.(Effect.void)
  }

  close(): void {
    this.#isOpen = false
  }

  readonly #opened = suspended<void>((resume) => {
    // The fiber may have yielded since it looked.
    if (this.#isOpen) resume(Effect.void)
    else this.#resume = resume
  })

  /** Waits until it is open. */
  readonly await: Effect.Effect<void> = Effect.suspend(() => this.#isOpen ? Effect.void : this.#opened)
}
