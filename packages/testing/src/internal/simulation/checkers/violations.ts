import type { Violation } from "../history.ts"

/** How many violations of one invariant are told one by one. */
const most = 20

/** Collects what a checker finds, and only counts what is too much to be read. */
export class Violations {
  readonly #invariant: string
  readonly #found: Array<Violation> = []
  #more = 0

  constructor(invariant: string) {
    this.#invariant = invariant
  }

  add(message: string, time: number | undefined): void {
    if (this.#found.length < most) this.#found.push({ invariant: this.#invariant, message, time })
    else this.#more++
  }

  get all(): ReadonlyArray<Violation> {
    return this.#more === 0
      ? this.#found
      : [...this.#found, { invariant: this.#invariant, message: `and ${this.#more} more`, time: undefined }]
  }
}
