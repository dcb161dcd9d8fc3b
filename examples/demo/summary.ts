import type { Journal } from "./journal.ts"

/** `16,000` */
export const count = (value: number | bigint): string => value.toLocaleString("en-US")

/** How far a run has come. */
export const formatCounts = ({ acknowledged, handled, sent }: Journal): string =>
  `${count(sent)} sent, ${count(acknowledged)} acknowledged, ${count(handled)} handled`

const perSecond = (records: number, milliseconds: number): string =>
  `${count(Math.round(records / (Math.max(1, milliseconds) / 1_000)))} records/s`

const table = (rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  return rows.map((row) => `  ${row.map((cell, column) => cell.padStart(widths[column]!)).join("  ")}`).join("\n")
}

/** The counts of a run. Times are milliseconds since the first line was read. */
export const formatSummary = (
  journal: Journal,
  committed: ReadonlyMap<number, bigint>,
  times: { readonly acknowledged: number; readonly handled: number }
): string => {
  const { acknowledged, failed, handled, repeated } = journal
  const partitions = Array.from(journal.partitions).sort(([left], [right]) => left - right)
  const members = Array.from(
    journal.members,
    ([name, { partitions, records }]) =>
      `  ${name}: ${count(records)} records of partitions ${Array.from(partitions).sort((a, b) => a - b).join(", ")}`
  )
  return [
    `Records    ${formatCounts(journal)}`,
    `           ${count(Math.max(0, acknowledged - handled))} lost, ${count(repeated)} handled twice`,
    `Rate       ${perSecond(acknowledged, times.acknowledged)} until the last was acknowledged`,
    `           ${perSecond(handled, times.handled)} until the last was handled`,
    "           with a span for each send and for each process",
    `Reports    ${count(acknowledged + failed)} delivery reports: ${count(acknowledged)} acknowledged, ${
      count(failed)
    } failed`,
    "",
    "Members of the group",
    ...members,
    "",
    "Offsets",
    table([
      ["partition", "records", "produced up to", "committed"],
      ...partitions.map(([partition, { acknowledged, end }]) => [
        String(partition),
        count(acknowledged),
        count(end),
        count(committed.get(partition) ?? -1)
      ])
    ])
  ].join("\n")
}
