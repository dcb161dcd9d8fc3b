import type { Measured } from "./client.ts"
import { baseline, contenders, type Entry, type Workload } from "./plan.ts"

/** One row of a workload, with what its rounds came to: undefined for a round that failed. */
export interface Row {
  readonly entry: Entry
  readonly label: string
  readonly rounds: ReadonlyArray<Measured | undefined>
}

/** What a measurement comes to. */
export const rateOf = ({ records, seconds }: Measured): number => records / seconds
/** Microseconds a record. */
export const cpuOf = ({ cpuSeconds, records }: Measured): number => cpuSeconds / records * 1e6
/** Percent of a core. */
export const coreOf = ({ cpuSeconds, seconds }: Measured): number => cpuSeconds / seconds * 100

/** The value below which that share of the numbers is, between two of them where it falls there; undefined of none. */
export const quantile = (numbers: ReadonlyArray<number>, share: number): number | undefined => {
  const sorted = numbers.toSorted((one, other) => one - other)
  const position = (sorted.length - 1) * share
  const below = sorted[Math.floor(position)]
  return below === undefined ? undefined : below + (sorted[Math.ceil(position)]! - below) * (position % 1)
}

/** The middle one, or between the two in the middle; undefined of none. */
export const median = (numbers: ReadonlyArray<number>): number | undefined => quantile(numbers, 0.5)

/** Measurements of a run, by workload, entry and round. */
export class Results {
  readonly #measured = new Map<Entry, Array<Measured | undefined>>()

  add(entry: Entry, round: number, measured: Measured | undefined): void {
    const rounds = this.#measured.get(entry) ?? []
    rounds[round - 1] = measured
    this.#measured.set(entry, rounds)
  }

  rows(workload: Workload): ReadonlyArray<Row> {
    return workload.entries.map((entry) => ({
      entry,
      label: contenders.find(({ id }) => id === entry.contender)!.label,
      rounds: Array.from(this.#measured.get(entry) ?? [])
    }))
  }
}

/** The median over the rounds. */
export const over = ({ rounds }: Row, of: (measured: Measured) => number | undefined): number | undefined =>
  median(rounds.flatMap((measured) => measured === undefined ? [] : of(measured) ?? []))

/** The median of the ratios to the baseline of the same round; undefined on the null transport, which is not comparable. */
export const ratio = (row: Row, rows: ReadonlyArray<Row>, of: (measured: Measured) => number): number | undefined => {
  const base = rows.find(({ entry }) => entry.contender === baseline)
  if (base === undefined || row.entry.contender === "sluice-null") return undefined
  return median(row.rounds.flatMap((measured, round) => {
    const other = base.rounds[round]
    return measured === undefined || other === undefined ? [] : of(measured) / of(other)
  }))
}
