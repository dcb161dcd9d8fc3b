import type { Checker } from "../history.ts"

/** A checker and what it checks. */
export interface Check {
  /** Of the invariant, in kebab case. */
  readonly name: string
  /** The invariant in a sentence. */
  readonly statement: string
  readonly check: Checker
}

/** Times are of two clocks that show the same, and one may have no fractions. */
export const clockError = 1
