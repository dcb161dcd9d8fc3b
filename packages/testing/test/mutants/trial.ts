import { spawn } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { clearTimeout, setTimeout } from "node:timers"

import type { Mutant } from "./mutant.ts"
import { applyMutant, copySources } from "./sources.ts"

/** What became of a mutant. */
export type Verdict =
  /** A seed failed with an invariant that the mutant breaks. */
  | { readonly _tag: "Caught"; readonly invariant: string; readonly message: string; readonly seed: number }
  /** A seed failed, but with others. */
  | { readonly _tag: "CaughtByAnother"; readonly invariants: ReadonlyArray<string>; readonly seed: number }
  | { readonly _tag: "NotCaught" }
  /** It could not be tried. */
  | { readonly _tag: "Broken"; readonly why: string }

/** A trial that has ended. */
export interface Trial {
  readonly verdict: Verdict
  /** How many seeds were run to their end. */
  readonly seeds: number
  /** How long it took, in milliseconds. */
  readonly elapsed: number
}

/** How a mutant is tried. */
export interface TrialOptions {
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
const simulate = (copy: string, { minutes, onProgress, seeds }: TrialOptions): Promise<Report | string> =>
  new Promise((resolve) => {
    const json = join(copy, "report.json")
    const main = join(copy, "packages", "testing", "src", "internal", "simulation", "cli", "main.ts")
    const child = spawn(
      process.execPath,
      [main, "--seeds", seeds, "--minutes", String(minutes), "--no-shrink", "--json", json],
      { cwd: copy, stdio: ["ignore", "ignore", "pipe"] }
    )
    const said: Array<string> = []
    createInterface({ input: child.stderr }).on("line", (line) => {
      if (/^[\d,]+\/[\d,]+ seeds /.test(line)) onProgress(line)
      else if (said.push(line) > 40) said.shift()
    })
    const timer = setTimeout(() => child.kill("SIGKILL"), minutes * 60_000 + patience)
    child.on("close", (code) => {
      clearTimeout(timer)
      resolve(
        existsSync(json)
          ? JSON.parse(readFileSync(json, "utf8")) as Report
          : [`the simulation ended with ${code ?? "a signal"}`, ...said].join("\n")
      )
    })
  })

const judge = (report: Report, breaks: ReadonlyArray<string>): Verdict => {
  const [failure] = report.failures
  if (failure === undefined) return { _tag: "NotCaught" }
  const { seed, violations } = failure
  for (const invariant of breaks) {
    const violation = violations.find((each) => each.invariant === invariant)
    if (violation !== undefined) return { _tag: "Caught", invariant, message: violation.message, seed }
  }
  return {
    _tag: "CaughtByAnother",
    invariants: Array.from(new Set(violations.map(({ invariant }) => invariant))),
    seed
  }
}

/** Runs seeds with a mutant, or without any, until the first that fails. */
export const tryMutant = async (mutant: Mutant | undefined, options: TrialOptions): Promise<Trial> => {
  const start = performance.now()
  const copy = mkdtempSync(join(tmpdir(), "sluice-mutant-"))
  const remove = () => rmSync(copy, { recursive: true, force: true })
  process.once("exit", remove)
  const ended = (verdict: Verdict, seeds: number): Trial => ({ verdict, seeds, elapsed: performance.now() - start })
  try {
    copySources(copy)
    const problem = mutant === undefined ? undefined : applyMutant(copy, mutant)
    if (problem !== undefined) return ended({ _tag: "Broken", why: `the patch does not apply: ${problem}` }, 0)
    const report = await simulate(copy, options)
    return typeof report === "string"
      ? ended({ _tag: "Broken", why: report }, 0)
      : ended(judge(report, mutant?.breaks ?? []), report.passed + report.failed)
  } finally {
    process.off("exit", remove)
    remove()
  }
}
