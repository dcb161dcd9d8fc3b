import { parseArgs } from "node:util"

/** What `--help` prints. */
export const help = `Usage: pnpm simulate [options]

Runs producers and consumers on a cluster in memory with faults, in virtual time.
A seed decides everything; it comes to the same each time.

  --seeds <a..b>     run the seeds from a to b; default 1..100
  --fresh <n>        run n seeds that the time of day chooses, after those of --seeds
  --seed <n>         run one seed, and show what happened
  --minutes <m>      start no further seeds after m minutes
  --workers <n>      run n seeds at a time; default as many as the machine has cores
  --keep-going       do not stop at the first seed that fails
  --timeline         show what happened in each seed, with all of its faults
  --verbose          show everything that happened, not only what matters most
  --no-shrink        do not look for the fewest faults with which a seed still fails
  --html <file>      write what happened to this page; default
                     .cache/simulation/seed-<n>.html, for seeds that fail
  --json <file>      write the counts and the failures to this file
  --help             print this

Timelines go to stdout, all else to stderr. The exit code is 0 if all is well, 1 if a
seed failed, 2 if the options are wrong, 130 if it was interrupted.`

/** Seeds one after the other; both ends are among them. */
export interface SeedRange {
  readonly first: number
  readonly last: number
}

/** What the command line asks for. */
export interface Arguments {
  readonly ranges: ReadonlyArray<SeedRange>
  /** Of the ranges, the one that the time chose. */
  readonly fresh: SeedRange | undefined
  /** One seed alone was asked for. */
  readonly isReplay: boolean
  readonly minutes: number | undefined
  readonly workers: number | undefined
  readonly keepGoing: boolean
  readonly timeline: boolean
  readonly verbose: boolean
  readonly shrink: boolean
  readonly html: string | undefined
  readonly json: string | undefined
}

/** What becomes of the command line. */
export type Parsed =
  | { readonly _tag: "Run"; readonly arguments: Arguments }
  | { readonly _tag: "Help" }
  | { readonly _tag: "Wrong"; readonly message: string }

const largestSeed = 2 ** 32 - 1

class Wrong extends Error {}

const whole = (option: string, text: string, least: number, most: number): number => {
  const value = Number(text)
  if (!/^\d+$/.test(text) || value < least || value > most) {
    throw new Wrong(`--${option} must be a whole number from ${least} to ${most}, got "${text}"`)
  }
  return value
}

const range = (text: string): SeedRange => {
  const [, a, b] = /^(\d+)\.\.(\d+)$/.exec(text) ?? []
  if (a === undefined || b === undefined) throw new Wrong(`--seeds must be like 1..500, got "${text}"`)
  const first = whole("seeds", a, 0, largestSeed)
  const last = whole("seeds", b, 0, largestSeed)
  if (last < first) throw new Wrong(`--seeds must go upwards, got "${text}"`)
  return { first, last }
}

/** From the time of day, so that two calls hardly choose the same. */
const freshRange = (count: number, now: number): SeedRange => {
  const first = Math.floor(now) % (largestSeed - count)
  return { first, last: first + count - 1 }
}

const boolean = { type: "boolean" } as const
const string = { type: "string" } as const

/** Reads the command line; `now` is the time of day in milliseconds. */
export const parseArguments = (args: ReadonlyArray<string>, now: number): Parsed => {
  try {
    const { values } = parseArgs({
      // `pnpm simulate -- --seed 1` hands the dashes on.
      args: args[0] === "--" ? args.slice(1) : Array.from(args),
      options: {
        seeds: string,
        fresh: string,
        seed: string,
        minutes: string,
        workers: string,
        "keep-going": boolean,
        timeline: boolean,
        verbose: boolean,
        "no-shrink": boolean,
        html: string,
        json: string,
        help: { type: "boolean", short: "h" }
      }
    })
    if (values.help === true) return { _tag: "Help" }
    const isReplay = values.seed !== undefined
    if (isReplay && (values.seeds ?? values.fresh) !== undefined) {
      throw new Wrong("--seed is one seed: it does not go with --seeds or --fresh")
    }
    const minutes = values.minutes === undefined ? undefined : Number(values.minutes)
    if (minutes !== undefined && !(minutes > 0 && minutes < Infinity)) {
      throw new Wrong(`--minutes must be a number above 0, got "${values.minutes}"`)
    }
    for (const option of ["html", "json"] as const) {
      if (values[option] === "") throw new Wrong(`--${option} must be the name of a file`)
    }
    const fresh = values.fresh === undefined
      ? undefined
      : freshRange(whole("fresh", values.fresh, 1, 1_000_000_000), now)
    const seed = values.seed === undefined ? undefined : whole("seed", values.seed, 0, largestSeed)
    const ranges: Array<SeedRange> = []
    if (seed !== undefined) ranges.push({ first: seed, last: seed })
    else if (values.seeds !== undefined) ranges.push(range(values.seeds))
    else if (fresh === undefined) ranges.push({ first: 1, last: 100 })
    if (fresh !== undefined) ranges.push(fresh)
    return {
      _tag: "Run",
      arguments: {
        ranges,
        fresh,
        isReplay,
        minutes,
        workers: values.workers === undefined ? undefined : whole("workers", values.workers, 1, 1024),
        keepGoing: values["keep-going"] === true,
        timeline: values.timeline === true,
        verbose: values.verbose === true,
        shrink: values["no-shrink"] !== true,
        html: values.html,
        json: values.json
      }
    }
  } catch (error) {
    // `parseArgs` adds advice on positional arguments, of which there are none here.
    const message = error instanceof Error ? error.message.replace(/\. To specify a positional.*/s, "") : String(error)
    return { _tag: "Wrong", message }
  }
}

/** How many seeds there are. */
export const seedCount = (ranges: ReadonlyArray<SeedRange>): number =>
  ranges.reduce((sum, { first, last }) => sum + last - first + 1, 0)

/** The seeds, one after the other. */
export function* seedsOf(ranges: ReadonlyArray<SeedRange>): Generator<number> {
  for (const { first, last } of ranges) for (let seed = first; seed <= last; seed++) yield seed
}
