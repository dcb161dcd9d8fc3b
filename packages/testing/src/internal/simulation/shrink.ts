import type { Outcome, Plan, ScheduledFault } from "./trial.ts"

/** How far it has come. */
export interface ShrinkProgress {
  /** How often it was tried. */
  readonly runs: number
  /** How many of the items are left. */
  readonly left: number
}

/** How long it may take, and who is told. */
export interface ShrinkOptions {
  /** How often it may be tried at most. */
  readonly maxRuns: number
  /** Called after each try. */
  readonly onProgress?: ((progress: ShrinkProgress) => void) | undefined
}

/** What is left. */
export interface Shrunk<A> {
  /** In their order. */
  readonly items: ReadonlyArray<A>
  readonly runs: number
  /** Whether each of the items is needed. Otherwise it was tried `maxRuns` times, and fewer might do. */
  readonly isMinimal: boolean
}

/**
 * Takes away what is not needed to fail: first everything, then halves, quarters and so on, then one by one until no
 * single one can go (delta debugging, Zeller and Hildebrandt 2002). The last items are tried first.
 *
 * `fails` holds for all items together, which is not tried again. No set of items is tried twice.
 */
export const shrink = <A>(
  items: ReadonlyArray<A>,
  fails: (items: ReadonlyArray<A>) => boolean,
  options: ShrinkOptions
): Shrunk<A> => {
  let left = items.map((_, index) => index)
  let runs = 0
  const passed = new Set<string>()

  const failsWith = (indices: ReadonlyArray<number>): boolean => {
    const key = indices.join()
    if (passed.has(key) || runs >= options.maxRuns) return false
    runs++
    const failed = fails(indices.map((index) => items[index]!))
    if (failed) left = [...indices]
    else passed.add(key)
    options.onProgress?.({ runs, left: left.length })
    return failed
  }

  const takeAway = (size: number): boolean => {
    const before = left.length
    for (let end = left.length; end > 0; end -= size) {
      failsWith([...left.slice(0, Math.max(0, end - size)), ...left.slice(end)])
    }
    return left.length < before
  }

  if (left.length > 0 && !failsWith([])) {
    for (let size = Math.ceil(left.length / 2); size > 1; size = Math.ceil(size / 2)) takeAway(size)
    while (runs < options.maxRuns && left.length > 1 && takeAway(1));
  }
  const isNeeded = (index: number): boolean => passed.has(left.filter((other) => other !== index).join())
  return { items: left.map((index) => items[index]!), runs, isMinimal: left.every(isNeeded) }
}

/** Whether a run breaks the promise. */
export const breaks = (outcome: Outcome, invariant: string): boolean =>
  outcome.violations.some((violation) => violation.invariant === invariant)

/** The shortest schedule of faults with which a plan, which breaks a promise, still breaks the same one. */
export const shrinkPlan = <P extends Plan>(
  plan: P,
  invariant: string,
  runPlan: (plan: P) => Outcome,
  options: ShrinkOptions
): Shrunk<ScheduledFault> => shrink(plan.faults, (faults) => breaks(runPlan({ ...plan, faults }), invariant), options)
