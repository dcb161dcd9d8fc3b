/**
 * `pnpm mutants`: puts each of the faults of `packages/testing/mutants` into a copy of the client, and runs the simulation
 * until a seed fails. A simulation is worth what it catches. The exit code is 0 if every fault is caught by what it breaks,
 * and the client as it is passes.
 */
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { parseArgs } from "node:util"

import { readMutants, root } from "./mutant.ts"
import { inWords, type Row, textTable, withTable } from "./table.ts"
import { tryMutant } from "./trial.ts"

const help = `Usage: pnpm mutants [options]

  --only <name>     try this mutant; may be given several times
  --seeds <a..b>    run the seeds from a to b, until one fails; default 1..200
  --minutes <m>     start no further seed of a mutant after m minutes; default 5
  --write           write the table to docs/simulation.md
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

const main = async (): Promise<boolean> => {
  const mutants = readMutants()
  const unknown = values.only?.find((name) => !mutants.some((mutant) => mutant.name === name))
  if (unknown !== undefined) return refuse(`there is no mutant "${unknown}": see --list`)
  if (values.write && values.only !== undefined) return refuse("--write needs all mutants: it does not go with --only")
  if (!(Number(values.minutes) > 0)) return refuse("--minutes must be a number above 0")
  if (!/^\d+\.\.\d+$/.test(values.seeds)) return refuse("--seeds must be like 1..200")
  if (values.list) {
    for (const { breaks, fault, name } of mutants) say(`${name}\n  ${fault}\n  breaks: ${breaks.join(", ")}`)
    return true
  }

  const chosen = mutants.filter(({ name }) => values.only?.includes(name) ?? true)
  const optionsFor = (what: string, seeds: string) => ({
    seeds,
    minutes: Number(values.minutes),
    onProgress: (line: string) => progress(`${what}: ${line}`)
  })
  /** What the client comes to as it is: a seed that fails for both catches nothing. */
  const passes = async (seeds: string): Promise<boolean> => {
    const trial = await tryMutant(undefined, optionsFor("without a mutant", seeds))
    const isSound = trial.verdict._tag === "NotCaught" && trial.seeds > 0
    say(`without a mutant: ${isSound ? `seeds ${seeds} pass` : `FAILS: ${inWords(trial)}`}`)
    return isSound
  }
  let isSound = await passes(`1..${soundSeeds}`)
  const checked = new Set(Array.from({ length: soundSeeds }, (_, index) => index + 1))

  const rows: Array<Row> = []
  for (const [index, mutant] of chosen.entries()) {
    const what = `${index + 1}/${chosen.length} ${mutant.name}`
    progress(what)
    const trial = await tryMutant(mutant, optionsFor(what, values.seeds))
    rows.push({ mutant, trial })
    say(`${what}: ${inWords(trial)}`)
    if (trial.verdict._tag !== "Caught") continue
    const { message, seed } = trial.verdict
    say(`  ${message.replaceAll("\n", "\n  ")}`)
    if (checked.has(seed)) continue
    checked.add(seed)
    if (!await passes(`${seed}..${seed}`)) isSound = false
  }
  const caught = rows.filter(({ trial }) => trial.verdict._tag === "Caught").length
  say(`\n${textTable(rows)}\n\n${caught} of ${rows.length} mutants are caught`)
  if (values.write) writeFileSync(page, withTable(readFileSync(page, "utf8"), rows))
  return isSound && caught === rows.length
}

// So that the copy is removed.
process.once("SIGINT", () => process.exit(130))

if (values.help) console.log(help)
else process.exitCode = await main() ? 0 : 1
