import type { Trouble } from "../../Consumer.ts"

/** What fails at the moment, and is tried again. */
export class Troubles {
  readonly #current = new Map<string, Trouble>()
  readonly #onChange: () => void

  constructor(onChange: () => void) {
    this.#onChange = onChange
  }

  /** All of them, the one that has lasted longest first. */
  get current(): ReadonlyArray<Trouble> {
    return Array.from(this.#current.values())
  }

  /** `what` failed so many times in a row. */
  add(what: string, failures: number, message: string): void {
    this.#current.set(what, { what, failures, message })
    this.#onChange()
  }

  /** `what` works, or is over. */
  clear(what: string): void {
    if (this.#current.delete(what)) this.#onChange()
  }
}
