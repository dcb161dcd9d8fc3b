import type { Outcome, Plan } from "../trial.ts"

/** What makes a plan of a seed, and runs it. It is synchronous and pure: the same plan comes to the same outcome. */
export interface Runner<P extends Plan = Plan> {
  readonly makePlan: (seed: number) => P
  readonly runPlan: (plan: P, options: { readonly timeline: boolean }) => Outcome
}

/** A runner that is spread over modules, as URLs: so that a worker can load it too. */
export interface RunnerModules {
  /** Exports `makePlan`. */
  readonly plan: string
  /** Exports `runPlan`. */
  readonly run: string
}

/** Loads a runner. */
export const loadRunner = async (modules: RunnerModules): Promise<Runner> => {
  const { makePlan } = await import(modules.plan) as Pick<Runner, "makePlan">
  const { runPlan } = await import(modules.run) as Pick<Runner, "runPlan">
  return { makePlan, runPlan }
}
