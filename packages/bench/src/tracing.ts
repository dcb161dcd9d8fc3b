/**
 * What tracing costs while it is off: CPU a record of the client as it is, and of a copy without the code that traces, on
 * the null transport, in turn: `node packages/bench/src/tracing.ts`.
 */
import { spawnSync } from "node:child_process"
import { cpSync, mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync, symlinkSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join, sep } from "node:path"
import { parseArgs } from "node:util"

import type { Measured, Mode } from "./client.ts"
import { inDigits } from "./format.ts"
import { jobOf } from "./job.ts"
import { OptionError, whole } from "./options.ts"
import { runWorker } from "./programs.ts"
import { cpuOf, quantile } from "./results.ts"

const root = join(import.meta.dirname, "..", "..", "..")
const patch = join(import.meta.dirname, "..", "without-tracing.patch")

const help = `Usage: node packages/bench/src/tracing.ts [options]

  --cases <a,b>   of sendAll, sink, enqueue, pipe, send-1000, send-1; default sendAll
  --rounds <n>    of both, one after the other; default 30
  --records <n>   a measurement; default 1000000
  --help          prints this`

const cases: ReadonlyArray<Mode> = ["sendAll", "sink", "enqueue", "pipe", "send-1000", "send-1"]

/** Links to the same dependencies, but to the client in the copy. */
const linkDependencies = (name: string, copy: string): void => {
  const from = join(root, "packages", name, "node_modules")
  const to = join(copy, "packages", name, "node_modules")
  for (const each of readdirSync(from)) {
    if (each.startsWith(".")) continue
    mkdirSync(to, { recursive: true })
    if (each !== "@sluice") symlinkSync(realpathSync(join(from, each)), join(to, each))
  }
}

/** What a measurement on the null transport loads. */
const copyClient = (copy: string): void => {
  for (const name of ["kafka", "bench"]) {
    for (const part of ["package.json", "src"]) {
      cpSync(join(root, "packages", name, part), join(copy, "packages", name, part), { recursive: true })
    }
    linkDependencies(name, copy)
  }
  const scope = join(copy, "packages", "bench", "node_modules", "@sluice")
  mkdirSync(scope)
  symlinkSync(join(copy, "packages", "kafka"), join(scope, "kafka"))
}

/** Takes the code that traces out of a copy; or says why it cannot be taken out. */
export const withoutTracing = (copy: string): string | undefined => {
  const { error, status, stderr } = spawnSync("git", ["apply", "--whitespace=nowarn", patch], {
    cwd: copy,
    encoding: "utf8",
    // Inside of a repository it would take paths from there.
    env: { ...process.env, GIT_CEILING_DIRECTORIES: dirname(copy) + sep }
  })
  return error?.message ?? (status === 0 ? undefined : stderr.trim())
}

/** Uses two copies of the client, one of them without the code that traces; they are gone afterwards. */
const withCopies = async (use: (traced: string, untraced: string) => Promise<void>): Promise<void> => {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "sluice-bench-")))
  const remove = () => rmSync(folder, { recursive: true, force: true })
  process.once("exit", remove)
  try {
    // Names of the same length: nothing else is to be different.
    const [traced, untraced] = [join(folder, "with"), join(folder, "none")]
    for (const copy of [traced, untraced]) copyClient(copy)
    const problem = withoutTracing(untraced)
    if (problem !== undefined) throw new Error(`without-tracing.patch does not apply: ${problem}`)
    await use(traced, untraced)
  } finally {
    process.off("exit", remove)
    remove()
  }
}

const run = (copy: string, mode: Mode, records: number): Promise<Measured> =>
  runWorker(
    join(copy, "packages", "bench", "src", "worker.ts"),
    jobOf({ mode, records, warmUp: Math.min(records, 100_000) })
  )

const percent = (ratio: number): string => `${((ratio - 1) * 100).toFixed(1)} %`

const compare = async (mode: Mode, rounds: number, records: number): Promise<void> => {
  await withCopies(async (traced, untraced) => {
    const withIt: Array<number> = []
    const withoutIt: Array<number> = []
    for (let round = 0; round <= rounds; round++) {
      const start = performance.now()
      const sides = [[traced, withIt], [untraced, withoutIt]] as const
      for (const [copy, figures] of round % 2 === 0 ? sides : sides.toReversed()) {
        const cpu = cpuOf(await run(copy, mode, records))
        if (round > 0) figures.push(cpu)
      }
      if (round === 0) continue
      const left = Math.round((rounds - round) * (performance.now() - start) / 1_000)
      console.error(
        `${mode}  ${round}/${rounds}  ${inDigits(withIt.at(-1))} µs with, ${
          inDigits(withoutIt.at(-1))
        } µs without  (about ${left} s left)`
      )
    }
    const ratios = withIt.map((cpu, round) => cpu / withoutIt[round]!)
    const at = (share: number) => percent(quantile(ratios, share)!)
    console.log(
      `${mode}: median CPU a record ${inDigits(quantile(withIt, 0.5))} µs with tracing off, ` +
        `${inDigits(quantile(withoutIt, 0.5))} µs without its code: ` +
        `${percent(quantile(withIt, 0.5)! / quantile(withoutIt, 0.5)!)} by the medians; ` +
        `of the ${rounds} rounds' ratios the median is ${at(0.5)}, half are from ${at(0.25)} to ${at(0.75)}, ` +
        `all from ${at(0)} to ${at(1)}`
    )
  })
}

const main = async (): Promise<void> => {
  const { values } = (() => {
    try {
      return parseArgs({
        options: {
          cases: { type: "string", default: "sendAll" },
          rounds: { type: "string", default: "30" },
          records: { type: "string", default: "1000000" },
          help: { type: "boolean", short: "h", default: false }
        }
      })
    } catch (error) {
      throw new OptionError((error as Error).message)
    }
  })()
  if (values.help) {
    console.log(help)
    return
  }
  const rounds = whole("rounds", values.rounds, 10_000)
  const records = whole("records", values.records, 1e9)
  const chosen = values.cases.split(",").map((name) => {
    const mode = cases.find((each) => each === name.trim())
    if (mode === undefined) throw new OptionError(`--cases: there is no "${name}"; there are ${cases.join(", ")}`)
    return mode
  })
  for (const mode of chosen) await compare(mode, rounds, records)
}

if (import.meta.main) {
  // So that the copies are removed.
  process.once("SIGINT", () => process.exit(130))
  await main().catch((error: unknown) => {
    if (!(error instanceof OptionError)) throw error
    console.error(error.message)
    process.exitCode = 2
  })
}
