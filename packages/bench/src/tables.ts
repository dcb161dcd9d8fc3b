import type { Kind, Measured } from "./client.ts"
import { inDigits, inMicros, inWhole } from "./format.ts"
import type { Workload } from "./plan.ts"
import { coreOf, cpuOf, over, rateOf, ratio, type Results, type Row } from "./results.ts"

interface Column {
  readonly heading: string
  readonly cell: (row: Row, rows: ReadonlyArray<Row>) => string
}

const column = (heading: string, cell: Column["cell"]): Column => ({ heading, cell })
const toBaseline = (of: (measured: Measured) => number): Column =>
  column("× kafkajs", (row, rows) => inDigits(ratio(row, rows, of)))

const rate = column("records/s", (row) => inWhole(over(row, rateOf)))
const cpu = column("CPU µs/record", (row) => inDigits(over(row, cpuOf)))
const rss = column("peak RSS MB", (row) => inWhole(over(row, ({ peakRssMb }) => peakRssMb)))
const latencies = (what: string): ReadonlyArray<Column> => [
  column(`${what}p50`, (row) => inMicros(over(row, ({ latency }) => latency?.p50))),
  column("p99", (row) => inMicros(over(row, ({ latency }) => latency?.p99))),
  column("p99.9", (row) => inMicros(over(row, ({ latency }) => latency?.p999)))
]

const columns: Record<Kind, ReadonlyArray<Column>> = {
  send: [rate, toBaseline(rateOf), cpu, toBaseline(cpuOf), ...latencies("ack "), rss],
  read: [rate, toBaseline(rateOf), cpu, toBaseline(cpuOf), rss],
  pass: [...latencies(""), cpu, toBaseline(cpuOf), rss],
  idle: [
    column("CPU, % of a core", (row) => inDigits(over(row, coreOf))),
    column("× kafkajs", (row, rows) => inDigits(ratio(row, rows, coreOf))),
    rss
  ]
}

const line = (cells: ReadonlyArray<string>): string => `| ${cells.join(" | ")} |`

const callOf = ({ entry, rounds }: Row): string => {
  const failed = rounds.filter((measured) => measured === undefined).length
  return `${entry.call}${failed === 0 ? "" : ` (${failed} of ${rounds.length} rounds failed)`}`
}

/** A table of a workload in Markdown, under its title. */
export const tableOf = (workload: Workload, results: Results): string => {
  const rows = results.rows(workload)
  const shown = columns[workload.kind]
  return [
    `#### ${workload.title}`,
    "",
    line(["client", "call", ...shown.map(({ heading }) => heading)]),
    line(["---", "---", ...shown.map(() => "--:")]),
    ...rows.map((row) => line([row.label, callOf(row), ...shown.map(({ cell }) => cell(row, rows))]))
  ].join("\n")
}
