import { relative } from "node:path"

import { type Mutant, patchDirectory } from "./mutant.ts"
import type { Trial } from "./trial.ts"

/** A mutant and what became of it. */
export interface Row {
  readonly mutant: Mutant
  readonly trial: Trial
}

const begin = "<!-- mutants: begin; written by `pnpm mutants --write` -->"
const end = "<!-- mutants: end -->"

/** What became of a trial, in words. */
export const inWords = ({ elapsed, seeds, verdict }: Trial): string => {
  const after = `after ${seeds} ${seeds === 1 ? "seed" : "seeds"}, ${(elapsed / 1000).toFixed(1)} s`
  switch (verdict._tag) {
    case "Caught":
      return `caught by ${verdict.invariant}, seed ${verdict.seed}, ${after}`
    case "CaughtByAnother":
      return `NOT CAUGHT BY WHAT IT BREAKS, but by ${verdict.invariants.join(", ")}, seed ${verdict.seed}, ${after}`
    case "NotCaught":
      return `NOT CAUGHT, ${after}`
    case "Broken":
      return `BROKEN: ${verdict.why}`
  }
}

const aligned = (rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  return rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column]!)).join("  ").trimEnd()).join("\n")
}

const caughtBy = ({ verdict }: Trial): string =>
  verdict._tag === "Caught"
    ? verdict.invariant
    : verdict._tag === "CaughtByAnother"
    ? `only ${verdict.invariants.join(", ")}`
    : verdict._tag === "NotCaught"
    ? "nothing"
    : "broken"

const seedOf = ({ verdict }: Trial): string => "seed" in verdict ? String(verdict.seed) : ""

/** The table for a terminal. */
export const textTable = (rows: ReadonlyArray<Row>): string =>
  aligned([
    ["mutant", "caught by", "seed", "seeds run", "seconds"],
    ...rows.map(({ mutant, trial }) => [
      mutant.name,
      caughtBy(trial),
      seedOf(trial),
      String(trial.seeds),
      (trial.elapsed / 1000).toFixed(1)
    ])
  ])

/** A page with the table between its markers; throws where it has none. */
export const withTable = (page: string, rows: ReadonlyArray<Row>): string => {
  const [from, to] = [page.indexOf(begin), page.indexOf(end)]
  if (from === -1 || to < from) throw new Error(`the page must have the lines ${begin} and ${end}`)
  const lines = rows.map(({ mutant, trial }) => {
    const link = `[\`${mutant.name}\`](${relative("docs", `${patchDirectory}/${mutant.name}.patch`)})`
    return `| ${link} | ${mutant.fault} | ${caughtBy(trial)} | ${seedOf(trial)} |`
  })
  const table = ["| Mutant | What is wrong | Caught by | Seed |", "|---|---|---|---|", ...lines]
  return `${page.slice(0, from)}${begin}\n${table.join("\n")}\n${page.slice(to)}`
}
