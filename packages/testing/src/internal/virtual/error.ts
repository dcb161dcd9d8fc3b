import * as Data from "effect/Data"

/**
 * Why a run cannot go on, or may not.
 *
 * - `Deadlock`: the program has not ended, nothing is ready, and nobody sleeps
 * - `NoEnd`: it takes more steps than it may
 * - `Escaped`: it used a clock, a timer, chance or a scheduler of the machine's
 * - `Failed`: it failed, or left something behind; only of `check`
 *
 * @since 0.1.0
 * @category errors
 */
export type SimulationErrorReason = "Deadlock" | "NoEnd" | "Escaped" | "Failed"

/**
 * A run did not come to its end. The seed runs it again.
 *
 * @since 0.1.0
 * @category errors
 */
export class SimulationError extends Data.TaggedError("SimulationError")<{
  readonly reason: SimulationErrorReason
  /** What happened, when, and who was waiting. */
  readonly message: string
  readonly seed: number
  /** Virtual time, in milliseconds. */
  readonly time: number
  /** The fibers that had not ended, numbered in the order of their starts, and what each was waiting for. */
  readonly waiting: ReadonlyArray<string>
  readonly cause?: unknown
}> {}
