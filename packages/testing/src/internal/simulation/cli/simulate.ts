import { join } from "node:path"

import type { TextOptions } from "../report/text.ts"
import { type Arguments, help, parseArguments, seedCount, seedsOf } from "./arguments.ts"
import { explainSeeds, type Subject } from "./explainSeeds.ts"
import { runSeeds } from "./runSeeds.ts"
import { type Output, Screen } from "./screen.ts"
import type { Thread } from "./thread.ts"
import {
  type Ending,
  type Explained,
  explanationInWords,
  failureInWords,
  jsonReport,
  noTotals,
  progressLine,
  summary,
  type Totals,
  withResult
} from "./totals.ts"
import type { SeedResult } from "./trySeed.ts"

/** What the program needs of the process that it runs in. */
export interface Surroundings {
  readonly stdout: Output
  readonly stderr: Output
  /** Whether `NO_COLOR` is set. */
  readonly noColour: boolean
  /** The time of day, and since the start; in milliseconds. */
  readonly now: () => number
  readonly elapsed: () => number
  readonly cores: number
  readonly makeThread: () => Thread
  /** Ends it early. */
  readonly interrupted: AbortSignal
  readonly writeFile: (file: string, text: string) => void
}

/** How often a failing seed is run at most to find the fewest faults. */
const shrinkRuns = 100

/** How many failing seeds are looked into. */
const maxExplained = 4

/** The first failing seed for each promise that is broken; or that one which a page was asked for. */
const subjectsOf = (totals: Totals, { html, ranges }: Arguments): ReadonlyArray<Subject> => {
  if (totals.failures.length === 0) {
    const isAskedFor = html !== undefined && totals.seeds > 0
    return isAskedFor ? [{ seed: ranges[0]!.first, invariant: undefined, page: html }] : []
  }
  const byInvariant = new Map<string, SeedResult>()
  for (const failure of totals.failures) {
    const { invariant } = failure.violations[0]!
    if (!byInvariant.has(invariant)) byInvariant.set(invariant, failure)
  }
  return Array.from(byInvariant.values()).slice(0, maxExplained).map(({ seed, violations }, index) => ({
    seed,
    invariant: violations[0]!.invariant,
    page: (index === 0 ? html : undefined) ?? join(".cache", "simulation", `seed-${seed}.html`)
  }))
}

const runOn = async (
  threads: ReadonlyArray<Thread>,
  screen: Screen,
  options: Arguments,
  io: Surroundings
): Promise<number> => {
  const planned = seedCount(options.ranges)
  const limit = options.minutes === undefined ? undefined : options.minutes * 60_000
  const text: TextOptions = { verbose: options.verbose, colours: io.stdout.isTerminal && !io.noColour }
  let totals = noTotals
  screen.progress = () => progressLine(totals, { planned, elapsed: io.elapsed(), limit })
  if (options.fresh !== undefined) screen.tell(`fresh seeds: ${options.fresh.first}..${options.fresh.last}\n`)

  await runSeeds(seedsOf(options.ranges), threads, {
    text: options.timeline || options.isReplay ? text : undefined,
    keepGoing: options.keepGoing,
    isOver: () => io.interrupted.aborted || (limit !== undefined && io.elapsed() >= limit),
    onResult: (result) => {
      totals = withResult(totals, result)
      const failed = result.violations.length > 0
      // There will be a better timeline of a seed that fails.
      if (result.text !== undefined && (options.timeline || !failed)) screen.show(result.text)
      if (failed) screen.tell(failureInWords(result))
    }
  })
  const ending: Ending = io.interrupted.aborted
    ? "interrupted"
    : totals.seeds === planned
    ? "done"
    : totals.failures.length > 0 && !options.keepGoing
    ? "failed"
    : "time"
  const end = { planned, elapsed: io.elapsed(), ending, fresh: options.fresh }

  const explained = new Map<number, Explained>()
  await explainSeeds(subjectsOf(totals, options), threads, {
    shrinkRuns: options.shrink ? shrinkRuns : 0,
    text,
    isOver: () => io.interrupted.aborted,
    onProgress: (progress) => {
      screen.progress = () => Array.from(progress.values()).join("  ")
    },
    onEnded: ({ invariant, page, seed }, ended) => {
      if (ended._tag === "Broken") screen.tell(`seed ${seed} cannot be looked into: ${ended.stack}\n`)
      if (ended._tag !== "Done") return
      io.writeFile(page, ended.result.html)
      if (invariant === undefined) return screen.tell(`page: ${page}\n`)
      explained.set(seed, { explanation: ended.result, page })
      if (!(options.timeline && ended.result.isWhole)) screen.show(ended.result.text)
      screen.tell(explanationInWords(ended.result, page))
    }
  })

  screen.tell(summary(totals, end))
  if (options.json !== undefined) io.writeFile(options.json, jsonReport(totals, explained, end))
  return totals.failures.length > 0 ? 1 : io.interrupted.aborted ? 130 : 0
}

const run = async (options: Arguments, io: Surroundings): Promise<number> => {
  const count = Math.min(seedCount(options.ranges), options.workers ?? io.cores)
  const threads = Array.from({ length: count }, io.makeThread)
  const stopAll = () => Promise.all(threads.map((thread) => thread.stop()))
  const onInterrupt = () => void stopAll()
  const screen = new Screen(io.stdout, io.stderr, () => "")
  io.interrupted.addEventListener("abort", onInterrupt)
  try {
    return await runOn(threads, screen, options, io)
  } finally {
    io.interrupted.removeEventListener("abort", onInterrupt)
    screen.end()
    await stopAll()
  }
}

/** The program: what it is told on the command line, to its exit code. */
export const simulate = async (args: ReadonlyArray<string>, io: Surroundings): Promise<number> => {
  const parsed = parseArguments(args, io.now())
  switch (parsed._tag) {
    case "Help":
      io.stdout.write(`${help}\n`)
      return 0
    case "Wrong":
      io.stderr.write(`${parsed.message}\nSee --help.\n`)
      return 2
    case "Run":
      return run(parsed.arguments, io)
  }
}
