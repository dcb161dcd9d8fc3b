import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"

import type { Mutant } from "./mutant.ts"
import { runNode } from "./process.ts"
import { applyMutant, withCopy } from "./sources.ts"
import type { Verdict } from "./trial.ts"

/** How the simulation is run. */
export interface SimulationOptions {
  /** Such as `1..200`. */
  readonly seeds: string
  /** After which no further seed is started. */
  readonly minutes: number
  /** Is told how far it has come. */
  readonly onProgress: (line: string) => void
}

/** What `simulate --json` writes, as far as it matters here. */
interface Report {
  readonly passed: number
  readonly failed: number
  readonly failures: ReadonlyArray<{
    readonly seed: number
    readonly violations: ReadonlyArray<{ readonly invariant: string; readonly message: string }>
  }>
}

/** How long the last seed may take after the time is up, in milliseconds. */
const patience = 180_000

/** Runs the simulation of a copy. Gives its report, or what it said instead of one. */
const simulate = async (
  copy: string,
  { minutes, onProgress, seeds }: SimulationOptions
): Promise<Report | string> => {
  const json = join(copy, "report.json")
  const main = join(copy, "packages", "testing", "src", "internal", "simulation", "cli", "main.ts")
  const said = await runNode(
    [main, "--seeds", seeds, "--minutes", String(minutes), "--no-shrink", "--json", json],
    {
      directory: copy,
      timeout: minutes * 60_000 + patience,
      onLine: (line) => {
        const isProgress = /^[\d,]+\/[\d,]+ seeds /.test(line)
        if (isProgress) onProgress(line)
        return !isProgress
      }
    }
  )
  return existsSync(json) ? JSON.parse(readFileSync(json, "utf8")) as Report : `the simulation ${said}`
}

const judge = ({ failures, passed }: Report, breaks: ReadonlyArray<string>): Verdict => {
  const [failure] = failures
  if (failure === undefined) {
    return passed === 0
      ? { _tag: "Broken", why: "no seed was run" }
      : { _tag: "NotCaught", why: `${passed} seeds pass` }
  }
  const { seed, violations } = failure
  for (const invariant of breaks) {
    const violation = violations.find((each) => each.invariant === invariant)
    if (violation !== undefined) return { _tag: "Caught", by: invariant, message: violation.message, seed }
  }
  const others = new Set(violations.map(({ invariant }) => invariant))
  return { _tag: "CaughtByAnother", by: Array.from(others).join(", "), seed }
}

/** Runs seeds with a mutant, or without any, until the first that fails. */
export const trySeeds = (mutant: Mutant | undefined, options: SimulationOptions): Promise<Verdict> =>
  withCopy(async (copy): Promise<Verdict> => {
    const problem = mutant === undefined ? undefined : applyMutant(copy, mutant)
    if (problem !== undefined) return { _tag: "Broken", why: `the patch does not apply: ${problem}` }
    const report = await simulate(copy, options)
    return typeof report === "string" ? { _tag: "Broken", why: report } : judge(report, mutant?.breaks ?? [])
  })
