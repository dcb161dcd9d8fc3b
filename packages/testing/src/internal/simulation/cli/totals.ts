import { describe } from "../../../Fault.ts"
import type { Violation } from "../history.ts"
import { counted, grouped, inSeconds, lasting, printable } from "../report/format.ts"
import type { SeedRange } from "./arguments.ts"
import type { Explanation, SeedResult } from "./trySeed.ts"

/** What all seeds came to so far. */
export interface Totals {
  readonly seeds: number
  readonly records: number
  readonly faults: number
  /** In how many seeds a kind of fault took hold. */
  readonly faultKinds: ReadonlyMap<string, number>
  /** Virtual, in milliseconds. */
  readonly time: number
  readonly failures: ReadonlyArray<SeedResult>
}

/** Before the first seed. */
export const noTotals: Totals = { seeds: 0, records: 0, faults: 0, faultKinds: new Map(), time: 0, failures: [] }

/** With one more seed. */
export const withResult = (totals: Totals, result: SeedResult): Totals => {
  const faultKinds = new Map(totals.faultKinds)
  for (const kind of result.faultKinds) faultKinds.set(kind, (faultKinds.get(kind) ?? 0) + 1)
  return {
    seeds: totals.seeds + 1,
    records: totals.records + result.records,
    faults: totals.faults + result.faults,
    faultKinds,
    time: totals.time + result.time,
    // Its timeline has been shown.
    failures: result.violations.length === 0 ? totals.failures : [...totals.failures, { ...result, text: undefined }]
  }
}

const rate = (seeds: number, elapsed: number): string => `${(seeds / Math.max(elapsed, 1) * 1000).toFixed(1)} seeds/s`

/** How far it has come. All times are milliseconds. */
export const progressLine = (
  totals: Totals,
  options: { readonly planned: number; readonly elapsed: number; readonly limit: number | undefined }
): string => {
  const { elapsed, limit, planned } = options
  const left = totals.seeds === 0 ? undefined : elapsed / totals.seeds * (planned - totals.seeds)
  const untilLimit = limit === undefined ? Infinity : Math.max(0, limit - elapsed)
  return [
    `${grouped(totals.seeds)}/${grouped(planned)} seeds`,
    rate(totals.seeds, elapsed),
    counted(totals.records, "record"),
    counted(totals.faults, "fault"),
    `${totals.failures.length} failed`,
    ...(left === undefined ? [] : [`${lasting(Math.min(left, untilLimit))} left`])
  ].join("  ")
}

/** The command that runs a seed again. */
export const replayCommand = (seed: number): string => `pnpm simulate --seed ${seed}`

const violationInWords = ({ invariant, message, time }: Violation): string =>
  printable(`${time === undefined ? "" : `${inSeconds(time)} s `}${invariant}: ${message}`)

/** A seed that failed, shortly; with the stack of what it threw. */
export const failureInWords = ({ seed, stack, violations }: SeedResult): string => {
  const shown = violations.slice(0, 5)
  const more = violations.length - shown.length
  return [
    `seed ${seed} fails: ${counted(violations.length, "violation")}`,
    ...shown.map((violation) => violationInWords(violation)),
    ...(more === 0 ? [] : [`and ${more} more`]),
    ...(stack === undefined ? [] : [printable(stack)])
  ].join("\n").replaceAll("\n", "\n  ") + `\n  again: ${replayCommand(seed)}\n`
}

/** What was found of a seed that failed, and where its page is. */
export const explanationInWords = (explanation: Explanation, page: string): string => {
  const { isReproduced, plannedFaults, seed, shrunk } = explanation
  const lines = [
    `seed ${seed}`,
    ...(isReproduced
      ? []
      : ["IT DID NOT FAIL IN THE SAME WAY AGAIN: the same plan does not always give the same run."]),
    ...(shrunk === undefined ? [] : [
      `${shrunk.faults.length} of ${counted(plannedFaults, "fault")} are enough (${counted(shrunk.runs, "run")}${
        shrunk.isMinimal ? "" : "; there may be fewer"
      })${shrunk.faults.length === 0 ? "" : ":"}`,
      ...shrunk.faults.map(({ at, fault }) => `  ${inSeconds(at)} s  ${printable(describe(fault))}`)
    ]),
    `page: ${page}`,
    `again: ${replayCommand(seed)}`
  ]
  return `${lines.join("\n  ")}\n`
}

/** Why not all seeds were run. */
export type Ending = "done" | "failed" | "time" | "interrupted"

/** How it ended. */
export interface End {
  /** Seeds. */
  readonly planned: number
  /** Real time in milliseconds, without looking into failures. */
  readonly elapsed: number
  readonly ending: Ending
  /** The seeds that the time chose. */
  readonly fresh: SeedRange | undefined
}

/** A failing seed that was looked into, and the file with its page. */
export interface Explained {
  readonly explanation: Explanation
  readonly page: string
}

/** What it all came to, for programs to read. */
export const jsonReport = (totals: Totals, explained: ReadonlyMap<number, Explained>, options: End): string =>
  `${
    JSON.stringify(
      {
        passed: totals.seeds - totals.failures.length,
        failed: totals.failures.length,
        planned: options.planned,
        ending: options.ending,
        fresh: options.fresh,
        records: totals.records,
        faults: totals.faults,
        faultKinds: Object.fromEntries([...totals.faultKinds].sort(([a], [b]) => a < b ? -1 : 1)),
        virtualMillis: totals.time,
        realMillis: Math.round(options.elapsed),
        failures: totals.failures.map(({ seed, stack, violations }) => {
          const found = explained.get(seed)
          return {
            seed,
            violations,
            stack,
            isReproduced: found?.explanation.isReproduced,
            shrunk: found?.explanation.shrunk,
            page: found?.page,
            replay: replayCommand(seed)
          }
        })
      },
      null,
      2
    )
  }\n`

/** What it all came to, for people. */
export const summary = (totals: Totals, { elapsed, ending, fresh, planned }: End): string => {
  const why = { done: "", failed: "stopped at the failure", time: "the time is up", interrupted: "interrupted" }[ending]
  const kinds = [...totals.faultKinds].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1))
  const failed = totals.failures.map(({ seed }) => seed)
  return [
    `${counted(totals.seeds, "seed")}${why === "" ? "" : ` of ${grouped(planned)} (${why})`}, ` +
    `${totals.failures.length} failed: ${counted(totals.records, "record")}, ${counted(totals.faults, "fault")}, ` +
    `${lasting(totals.time)} of virtual time in ${lasting(elapsed)} (${rate(totals.seeds, elapsed)})`,
    ...(kinds.length === 0
      ? []
      : [`seeds with each kind of fault: ${kinds.map(([kind, count]) => `${kind} ${count}`).join(", ")}`]),
    ...(fresh === undefined ? [] : [`the fresh seeds again: pnpm simulate --seeds ${fresh.first}..${fresh.last}`]),
    ...failed.slice(0, 20).map((seed) => `failed: ${replayCommand(seed)}`),
    ...(failed.length > 20 ? [`and ${failed.length - 20} more`] : [])
  ].join("\n") + "\n"
}
