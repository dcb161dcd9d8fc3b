import type { TextOptions } from "../report/text.ts"
import type { ShrinkProgress } from "../shrink.ts"
import type { Runner } from "./runner.ts"
import { type ExplainOptions, explainSeed, type Explanation, type SeedResult, trySeed } from "./trySeed.ts"

/** Something for a worker to do. */
export type Job =
  | { readonly _tag: "Try"; readonly seed: number; readonly text: TextOptions | undefined }
  | {
    readonly _tag: "Explain"
    readonly seed: number
    /** That of its first violation; `undefined` if nothing is wrong with it. */
    readonly invariant: string | undefined
    readonly options: Omit<ExplainOptions, "onProgress">
  }

/** What comes of a job. */
export interface Results {
  readonly Try: SeedResult
  readonly Explain: Explanation
}

/** What a worker says. After `Done` or `Failed` it can have another job. */
export type Message =
  | { readonly _tag: "Progress"; readonly progress: ShrinkProgress }
  | { readonly _tag: "Done"; readonly result: SeedResult | Explanation }
  | { readonly _tag: "Failed"; readonly stack: string }

/** Does a job. */
export const doJob = (
  runner: Runner,
  job: Job,
  onProgress: (progress: ShrinkProgress) => void
): SeedResult | Explanation =>
  job._tag === "Try"
    ? trySeed(runner, job.seed, job.text)
    : explainSeed(runner, job.seed, job.invariant, { ...job.options, onProgress })
