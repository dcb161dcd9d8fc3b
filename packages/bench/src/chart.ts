import type { Kind, Measured } from "./client.ts"
import { inDigits, inMicros, inShort, inWhole } from "./format.ts"
import type { Workload } from "./plan.ts"
import { coreOf, cpuOf, over, rateOf, type Results, type Row } from "./results.ts"

const rowHeight = 22
const barHeight = 14
const labelWidth = 330
const panelWidth = 290
const numberWidth = 80
const margin = 20
const width = margin + labelWidth + 2 * (panelWidth + numberWidth) + margin

interface Bars {
  readonly title: string
  readonly of: (measured: Measured) => number | undefined
  readonly format: (value: number) => string
}

const bars = {
  rate: { title: "records a second (more is better)", of: rateOf, format: inShort },
  cpu: { title: "CPU a record (less is better)", of: cpuOf, format: inMicros },
  p50: { title: "p50 (less is better)", of: ({ latency }) => latency?.p50, format: inMicros },
  p99: { title: "p99 (less is better)", of: ({ latency }) => latency?.p99, format: inMicros },
  core: { title: "CPU, % of a core (less is better)", of: coreOf, format: inDigits },
  rss: { title: "peak RSS, MB (less is better)", of: ({ peakRssMb }) => peakRssMb, format: inWhole }
} satisfies Record<string, Bars>

/** The latency of an open loop says more than its rate, which is given. */
const barsOf = ({ id, kind }: Workload): ReadonlyArray<Bars> => {
  const ofKind: Record<Kind, ReadonlyArray<Bars>> = {
    send: id === "open-loop" ? [bars.p50, bars.p99] : [bars.rate, bars.cpu],
    read: [bars.rate, bars.cpu],
    pass: [bars.p50, bars.p99],
    idle: [bars.core, bars.rss]
  }
  return ofKind[kind]
}

const escaped = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;")

const text = (x: number, y: number, content: string, kind: string): string =>
  `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" class="${kind}">${escaped(content)}</text>`

/** A title, and a line a row with its two bars; gives its height too. */
const part = (workload: Workload, rows: ReadonlyArray<Row>, top: number): readonly [svg: string, height: number] => {
  const lines = [text(margin, top + 16, workload.title, "title")]
  for (const [panel, { format, of, title }] of barsOf(workload).entries()) {
    const left = margin + labelWidth + panel * (panelWidth + numberWidth)
    const values = rows.map((row) => over(row, of))
    const longest = Math.max(...values.map((value) => value ?? 0), Number.MIN_VALUE)
    lines.push(text(left, top + 38, title, "heading"))
    for (const [index, value] of values.entries()) {
      const y = top + 48 + index * rowHeight
      const { contender } = rows[index]!.entry
      const kind = contender === "sluice" ? "ours" : contender === "sluice-null" ? "null" : "theirs"
      const length = Math.max(1, (value ?? 0) / longest * panelWidth)
      if (value !== undefined) {
        lines.push(
          `<rect x="${left}" y="${y}" width="${length.toFixed(1)}" height="${barHeight}" rx="2" class="${kind}"/>`
        )
      }
      lines.push(
        text(left + (value === undefined ? 0 : length + 6), y + 11, value === undefined ? "–" : format(value), "number")
      )
    }
  }
  for (const [index, { entry, label }] of rows.entries()) {
    lines.push(text(margin, top + 59 + index * rowHeight, `${label}: ${entry.call.replaceAll("`", "")}`, "label"))
  }
  return [lines.join("\n"), 48 + rows.length * rowHeight + 28]
}

const style = `
svg { background: #ffffff; font: 12px system-ui, sans-serif; }
.title { font-size: 15px; font-weight: 600; fill: #1f2328; }
.heading, .number { fill: #59636e; }
.label { fill: #1f2328; }
.ours { fill: #0969da; }
.null { fill: #0969da; opacity: 0.45; }
.theirs { fill: #afb8c1; }
@media (prefers-color-scheme: dark) {
  svg { background: #0d1117; }
  .title, .label { fill: #f0f6fc; }
  .heading, .number { fill: #9198a1; }
  .ours, .null { fill: #4493f8; }
  .theirs { fill: #515965; }
}`

/** The medians of all workloads as bars, in an SVG that follows the reader's light or dark. */
export const chartOf = (workloads: ReadonlyArray<Workload>, results: Results): string => {
  const parts: Array<string> = []
  let height = margin
  for (const workload of workloads) {
    const [svg, partHeight] = part(workload, results.rows(workload), height)
    parts.push(svg)
    height += partHeight
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">
<title>Sluice beside other clients: medians of the rounds</title>
<style>${style}
</style>
${parts.join("\n")}
</svg>
`
}
