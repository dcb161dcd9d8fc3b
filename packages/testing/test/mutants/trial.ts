import type { Mutant } from "./mutant.ts"

/** What became of a mutant. */
export type Verdict =
  /** By an invariant that it breaks, in a run of that seed; or by its tests. */
  | { readonly _tag: "Caught"; readonly by: string; readonly message: string; readonly seed?: number }
  /** A seed failed, but with other invariants. */
  | { readonly _tag: "CaughtByAnother"; readonly by: string; readonly seed: number }
  /** All seeds passed, or a test that should have failed. */
  | { readonly _tag: "NotCaught"; readonly why: string }
  /** It could not be tried. */
  | { readonly _tag: "Broken"; readonly why: string }

/** A trial that has ended. */
export interface Trial {
  readonly mutant: Mutant
  readonly by: "simulation" | "tests"
  readonly verdict: Verdict
  /** In milliseconds. */
  readonly elapsed: number
}
