/**
 * `pnpm mutants`: puts each of the faults of `packages/testing/mutants` into a copy of the client, and has it caught by the
 * simulation, by tests, or by both: whatever the patch names. Simulation and tests are worth what they catch. The exit code
 * is 0 if every fault is caught by what it names, and the client as it is passes.
 */
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { parseArgs } from "node:util"

import { trySeeds } from "./bySimulation.ts"
import { tryMutantTests, tryTests } from "./byTests.ts"
import { makeCompiler } from "./compiler.ts"
import { type Mutant, readMutants, root } from "./mutant.ts"
import { inWords, textTable, withTables } from "./table.ts"
import type { Trial, Verdict } from "./trial.ts"

const help = `Usage: pnpm mutants [options]

  --only <name>     try this mutant; may be given several times
  --by <what>       try those alone that "simulation" is to catch, or "tests"
  --seeds <a..b>    run the seeds from a to b, until one fails; default 1..200
  --minutes <m>     start no further seed of a mutant after m minutes, and kill tests that take longer; default 5
  --write           write the tables to docs/simulation.md
  --list            list the mutants
  --help            print this`

/** So many seeds must pass without any mutant, and those that catch one. */
const soundSeeds = 4
const page = join(root, "docs", "simulation.md")

const { values } = parseArgs({
  // `pnpm mutants -- --list` hands the dashes on.
  args: process.argv.slice(process.argv[2] === "--" ? 3 : 2),
  options: {
    only: { type: "string", multiple: true },
    by: { type: "string" },
    seeds: { type: "string", default: "1..200" },
    minutes: { type: "string", default: "5" },
    write: { type: "boolean", default: false },
    list: { type: "boolean", default: false },
    help: { type: "boolean", short: "h", default: false }
  }
})

const isTerminal = process.stderr.isTTY === true
const clear = () => {
  if (isTerminal) process.stderr.write("\r\u001b[2K")
}
const say = (line: string) => {
  clear()
  console.log(line)
}
const progress = (line: string) => {
  clear()
  process.stderr.write(isTerminal ? line.slice(0, (process.stderr.columns ?? 80) - 1) : `${line}\n`)
}

const refuse = (problem: string): boolean => {
  console.error(problem)
  return false
}

const timed = async (verdict: Promise<Verdict>): Promise<Pick<Trial, "elapsed" | "verdict">> => {
  const start = performance.now()
  return { verdict: await verdict, elapsed: performance.now() - start }
}

const list = (mutants: ReadonlyArray<Mutant>): void => {
  for (const { breaks, fault, name, numbers, tests } of mutants) {
    const invariants = [...breaks, ...numbers.map((number) => `${number} of internals`)]
    say(`${name}\n  ${fault}${invariants.length === 0 ? "" : `\n  breaks: ${invariants.join(", ")}`}`)
    for (const { file, title } of tests) say(`  fails: ${file} “${title}”`)
  }
}

const main = async (): Promise<boolean> => {
  const mutants = readMutants()
  const unknown = values.only?.find((name) => !mutants.some((mutant) => mutant.name === name))
  if (unknown !== undefined) return refuse(`there is no mutant "${unknown}": see --list`)
  if (values.by !== undefined && values.by !== "simulation" && values.by !== "tests") {
    return refuse("--by must be simulation or tests")
  }
  if (values.write && (values.only !== undefined || values.by !== undefined)) {
    return refuse("--write needs all mutants: it does not go with --only or --by")
  }
  if (!(Number(values.minutes) > 0)) return refuse("--minutes must be a number above 0")
  if (!/^\d+\.\.\d+$/.test(values.seeds)) return refuse("--seeds must be like 1..200")
  const minutes = Number(values.minutes)
  const chosen = mutants.filter(({ name }) => values.only?.includes(name) ?? true)
  const forSimulation = values.by === "tests" ? [] : chosen.filter(({ breaks }) => breaks.length > 0)
  const forTests = values.by === "simulation" ? [] : chosen.filter(({ tests }) => tests.length > 0)
  if (values.list) {
    list(chosen.filter((mutant) => forSimulation.includes(mutant) || forTests.includes(mutant)))
    return true
  }
  if (forSimulation.length + forTests.length === 0) return refuse(`none of them is to be caught by ${values.by}`)

  const simulated = (what: string, seeds: string, mutant?: Mutant) =>
    trySeeds(mutant, { seeds, minutes, onProgress: (line) => progress(`${what}: ${line}`) })
  /** What the client comes to as it is: a seed that fails for both catches nothing. */
  const seedsPass = async (seeds: string): Promise<boolean> => {
    const { elapsed, verdict } = await timed(simulated("without a mutant", seeds))
    const pass = verdict._tag === "NotCaught"
    say(`without a mutant: ${pass ? `seeds ${seeds} pass` : `FAILS: ${inWords({ elapsed, verdict })}`}`)
    return pass
  }
  /** The same for tests. */
  const testsPass = async (): Promise<boolean> => {
    const tests = forTests.flatMap((mutant) => mutant.tests)
    progress("without a mutant: the tests")
    const results = await tryTests(tests, minutes)
    for (const [index, result] of results.entries()) {
      const { file, title } = tests[index]!
      if (result._tag === "Passed") continue
      say(`without a mutant: FAILS: ${file} “${title}”: ${result._tag === "Failed" ? result.message : result.why}`)
    }
    const pass = results.every(({ _tag }) => _tag === "Passed")
    if (pass) say("without a mutant: the tests pass")
    return pass
  }

  let isSound = true
  const compiler = makeCompiler()
  const trials: Array<Trial> = []
  const total = forSimulation.length + forTests.length
  const ended = (trial: Trial, what: string): void => {
    trials.push(trial)
    say(`${what}: ${inWords(trial)}`)
    if (trial.verdict._tag === "Caught") say(`  ${trial.verdict.message.replaceAll("\n", "\n  ")}`)
  }
  /** What fails because it does not compile shows nothing. */
  const compiled = (mutant: Mutant, attempt: () => Promise<Verdict>): Promise<Verdict> => {
    const problem = compiler(mutant)
    return problem === undefined ? attempt() : Promise.resolve({ _tag: "Broken", why: problem })
  }

  if (forSimulation.length > 0) isSound = await seedsPass(`1..${soundSeeds}`)
  const checked = new Set(Array.from({ length: soundSeeds }, (_, index) => index + 1))
  for (const mutant of forSimulation) {
    const what = `${trials.length + 1}/${total} ${mutant.name}`
    progress(what)
    const trial = await timed(compiled(mutant, () => simulated(what, values.seeds, mutant)))
    ended({ ...trial, mutant, by: "simulation" }, what)
    if (trial.verdict._tag !== "Caught" || checked.has(trial.verdict.seed!)) continue
    checked.add(trial.verdict.seed!)
    if (!await seedsPass(`${trial.verdict.seed}..${trial.verdict.seed}`)) isSound = false
  }
  if (forTests.length > 0 && !await testsPass()) isSound = false
  for (const mutant of forTests) {
    const what = `${trials.length + 1}/${total} ${mutant.name}`
    progress(`${what}: its tests`)
    const trial = await timed(compiled(mutant, () => tryMutantTests(mutant, minutes)))
    ended({ ...trial, mutant, by: "tests" }, what)
  }
  const caught = trials.filter(({ verdict }) => verdict._tag === "Caught").length
  say(`\n${textTable(trials)}\n\n${caught} of ${trials.length} mutants are caught`)
  if (values.write) writeFileSync(page, withTables(readFileSync(page, "utf8"), trials))
  return isSound && caught === trials.length
}

// So that the copy is removed.
process.once("SIGINT", () => process.exit(130))

if (values.help) console.log(help)
else process.exitCode = await main() ? 0 : 1
