import { inDigits, inMicros, inWhole } from "./format.ts"
import type { Workload } from "./plan.ts"
import { cpuOf, over, rateOf, ratio, type Results, type Row } from "./results.ts"

const row = (cells: ReadonlyArray<string>): string => `| ${cells.join(" | ")} |`

const headings = [
  "client",
  "call",
  "records/s",
  "× kafkajs",
  "CPU µs/record",
  "× kafkajs",
  "ack p50",
  "p99",
  "p99.9",
  "peak RSS MB"
]

const cells = (each: Row, rows: ReadonlyArray<Row>): ReadonlyArray<string> => {
  const failed = each.rounds.filter((measured) => measured === undefined).length
  return [
    each.label,
    `${each.entry.call}${failed === 0 ? "" : ` (${failed} of ${each.rounds.length} rounds failed)`}`,
    inWhole(over(each, rateOf)),
    inDigits(ratio(each, rows, rateOf)),
    inDigits(over(each, cpuOf)),
    inDigits(ratio(each, rows, cpuOf)),
    inMicros(over(each, ({ latency }) => latency?.p50)),
    inMicros(over(each, ({ latency }) => latency?.p99)),
    inMicros(over(each, ({ latency }) => latency?.p999)),
    inWhole(over(each, ({ peakRssMb }) => peakRssMb))
  ]
}

/** A table of a workload in Markdown, under its title. */
export const tableOf = (workload: Workload, results: Results): string => {
  const rows = results.rows(workload)
  return [
    `#### ${workload.title}`,
    "",
    row(headings),
    row(headings.map((_, column) => column < 2 ? "---" : "--:")),
    ...rows.map((each) => row(cells(each, rows)))
  ].join("\n")
}
