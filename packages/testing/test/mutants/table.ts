import { basename, relative } from "node:path"

import { patchDirectory } from "./mutant.ts"
import type { Trial } from "./trial.ts"

const begin = "<!-- mutants: begin; written by `pnpm mutants --write` -->"
const end = "<!-- mutants: end -->"

const seconds = (elapsed: number): string => (elapsed / 1000).toFixed(1)

/** What became of a trial, in words. */
export const inWords = ({ elapsed, verdict }: Pick<Trial, "elapsed" | "verdict">): string => {
  switch (verdict._tag) {
    case "Caught":
      return `caught by ${verdict.by}${verdict.seed === undefined ? "" : `, seed ${verdict.seed}`}, ${
        seconds(elapsed)
      } s`
    case "CaughtByAnother":
      return `NOT CAUGHT BY WHAT IT BREAKS, but by ${verdict.by}, seed ${verdict.seed}, ${seconds(elapsed)} s`
    case "NotCaught":
      return `NOT CAUGHT: ${verdict.why}, ${seconds(elapsed)} s`
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
    ? verdict.by
    : verdict._tag === "CaughtByAnother"
    ? `only ${verdict.by}`
    : verdict._tag === "NotCaught"
    ? "nothing"
    : "broken"

const seedOf = ({ verdict }: Trial): string => "seed" in verdict ? String(verdict.seed) : ""

/** The table for a terminal. */
export const textTable = (trials: ReadonlyArray<Trial>): string =>
  aligned([
    ["mutant", "seconds", "seed", "caught by"],
    ...trials.map((trial) => [trial.mutant.name, seconds(trial.elapsed), seedOf(trial), caughtBy(trial)])
  ])

const link = (text: string, path: string): string => `[${text}](${relative("docs", path)})`

const mutantLink = ({ mutant }: Trial): string => link(`\`${mutant.name}\``, `${patchDirectory}/${mutant.name}.patch`)

const testLinks = ({ mutant, verdict }: Trial): string =>
  verdict._tag === "Caught"
    ? mutant.tests.map(({ file, title }) => `“${title}” in ${link(`\`${basename(file)}\``, file)}`).join("; ")
    : verdict._tag === "NotCaught"
    ? "nothing"
    : "broken"

/** A table of Markdown; a bar in a cell would end it. */
const markdown = (head: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string>>): ReadonlyArray<string> =>
  [head, head.map(() => "---"), ...rows].map((row) =>
    `| ${row.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`
  )

/** A page with the tables between its markers; throws where it has none. */
export const withTables = (page: string, trials: ReadonlyArray<Trial>): string => {
  const [from, to] = [page.indexOf(begin), page.indexOf(end)]
  if (from === -1 || to < from) throw new Error(`the page must have the lines ${begin} and ${end}`)
  const of = (by: Trial["by"]) => trials.filter((trial) => trial.by === by)
  const tables = [
    ...markdown(
      ["Mutant", "What is wrong", "Caught by", "Seed"],
      of("simulation").map((trial) => [mutantLink(trial), trial.mutant.fault, caughtBy(trial), seedOf(trial)])
    ),
    "",
    ...markdown(
      ["Mutant", "What is wrong", "Caught by the test"],
      of("tests").map((trial) => [mutantLink(trial), trial.mutant.fault, testLinks(trial)])
    )
  ]
  return `${page.slice(0, from)}${begin}\n${tables.join("\n")}\n${page.slice(to)}`
}
