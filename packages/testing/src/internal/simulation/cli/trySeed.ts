import type { Violation } from "../history.ts"
import { renderHtml } from "../report/html.ts"
import { renderText, type TextOptions } from "../report/text.ts"
import { breaks, shrinkPlan, type ShrinkProgress } from "../shrink.ts"
import type { Outcome, Plan, ScheduledFault } from "../trial.ts"
import type { Runner } from "./runner.ts"

/** The invariant of a run that threw. */
export const crashInvariant = "no-crash"

/** What one seed came to. */
export interface SeedResult {
  readonly seed: number
  readonly violations: ReadonlyArray<Violation>
  /** Of the exception, if the run threw one. */
  readonly stack: string | undefined
  readonly records: number
  readonly faults: number
  readonly faultKinds: ReadonlyArray<string>
  readonly time: number
  /** The timeline, if it was asked for. */
  readonly text: string | undefined
}

/** Why a seed fails. */
export interface Explanation {
  readonly seed: number
  /** Whether it broke the same promise when it was run again: otherwise the same plan does not give the same run. */
  readonly isReproduced: boolean
  readonly plannedFaults: number
  /** Whether all of the planned faults are left: its timeline is that of the seed. */
  readonly isWhole: boolean
  readonly shrunk:
    | { readonly faults: ReadonlyArray<ScheduledFault>; readonly runs: number; readonly isMinimal: boolean }
    | undefined
  /** The timeline with the faults that are left. */
  readonly text: string
  /** The same as a page. */
  readonly html: string
}

interface Attempt {
  readonly outcome: Outcome
  readonly stack: string | undefined
}

const emptyPlan = (seed: number): Plan => ({ seed, interleaving: {}, faults: [] })

const crashed = (plan: Plan, error: unknown): Attempt => ({
  outcome: {
    plan,
    violations: [{ invariant: crashInvariant, message: String(error), time: undefined }],
    records: 0,
    faultKinds: [],
    faults: 0,
    time: 0,
    steps: 0,
    timeline: []
  },
  stack: error instanceof Error ? error.stack ?? String(error) : String(error)
})

const attempt = (runner: Runner, plan: Plan, timeline: boolean): Attempt => {
  try {
    return { outcome: runner.runPlan(plan, { timeline }), stack: undefined }
  } catch (error) {
    return crashed(plan, error)
  }
}

const planOf = (runner: Runner, seed: number): Plan | Attempt => {
  try {
    return runner.makePlan(seed)
  } catch (error) {
    return crashed(emptyPlan(seed), error)
  }
}

/** Runs a seed. An exception is a violation like others. */
export const trySeed = (runner: Runner, seed: number, text: TextOptions | undefined): SeedResult => {
  const plan = planOf(runner, seed)
  const { outcome, stack } = "outcome" in plan ? plan : attempt(runner, plan, text !== undefined)
  return {
    seed,
    violations: outcome.violations,
    stack,
    records: outcome.records,
    faults: outcome.faults,
    faultKinds: outcome.faultKinds,
    time: outcome.time,
    text: text === undefined ? undefined : renderText(outcome, text)
  }
}

/** How a failing seed is looked into. */
export interface ExplainOptions {
  /** How often it may be run to find the shortest schedule of faults; 0 leaves the schedule as it is. */
  readonly shrinkRuns: number
  readonly text: TextOptions
  readonly onProgress?: ((progress: ShrinkProgress) => void) | undefined
}

/** Looks into a seed: by its first violation, if there is one. */
export const explainSeed = (
  runner: Runner,
  seed: number,
  invariant: string | undefined,
  options: ExplainOptions
): Explanation => {
  const plan = planOf(runner, seed)
  if ("outcome" in plan) {
    return {
      seed,
      isReproduced: true,
      plannedFaults: 0,
      isWhole: true,
      shrunk: undefined,
      text: renderText(plan.outcome, options.text),
      html: renderHtml(plan.outcome)
    }
  }
  const run = (faults: ReadonlyArray<ScheduledFault>, timeline: boolean) =>
    attempt(runner, { ...plan, faults }, timeline).outcome
  const whole = run(plan.faults, true)
  const isReproduced = invariant === undefined ? whole.violations.length === 0 : breaks(whole, invariant)
  const shrunk = invariant === undefined || !isReproduced || options.shrinkRuns === 0
    ? undefined
    : shrinkPlan(plan, invariant, ({ faults }) => run(faults, false), {
      maxRuns: options.shrinkRuns,
      onProgress: options.onProgress
    })
  const outcome = shrunk === undefined || shrunk.items.length === plan.faults.length ? whole : run(shrunk.items, true)
  return {
    seed,
    isReproduced,
    plannedFaults: plan.faults.length,
    isWhole: outcome === whole,
    shrunk: shrunk && { faults: shrunk.items, runs: shrunk.runs, isMinimal: shrunk.isMinimal },
    text: (outcome === whole ? "" : `the fewest faults with which seed ${seed} still fails:\n\n`) +
      renderText(outcome, options.text),
    html: renderHtml(outcome)
  }
}
