import { describe } from "../../../Fault.ts"
import type { Outcome, TimelineEntry } from "../trial.ts"
import { essential, timelineWithViolations } from "./essential.ts"
import { counted, grouped, inSeconds, printable } from "./format.ts"

/** How much is shown, and how. */
export interface TextOptions {
  /** Everything that happened. Otherwise faults, what the cluster did, and what concerns the violations. */
  readonly verbose: boolean
  readonly colours: boolean
}

const styles = { red: "31;1", yellow: "33", cyan: "36", dim: "2", bold: "1" } as const

type Style = keyof typeof styles

const styleOf: { readonly [Kind in TimelineEntry["kind"]]: Style | undefined } = {
  violation: "red",
  fault: "yellow",
  cluster: "cyan",
  request: undefined,
  answer: undefined,
  connection: "dim",
  producer: undefined,
  consumer: undefined
}

/** An outcome to be read in a terminal: what is wrong, what was done to the cluster, what happened. */
export const renderText = (outcome: Outcome, options: TextOptions): string => {
  const paint = (style: Style | undefined, text: string): string =>
    options.colours && style !== undefined ? `\u001b[${styles[style]}m${text}\u001b[0m` : text
  const { plan, violations } = outcome
  const timeline = timelineWithViolations(outcome)
  const shown = options.verbose ? timeline : essential(timeline, violations)
  const shownTimes = [
    ...shown.map(({ time }) => time),
    ...violations.map(({ time }) => time ?? 0),
    ...plan.faults.map(({ at }) => at)
  ]
  const timeWidth = shownTimes.reduce((width, time) => Math.max(width, inSeconds(time).length), 5)
  const actorWidth = shown.reduce((width, { actor }) => Math.max(width, printable(actor).length), 0)

  const time = (milliseconds: number | undefined): string =>
    (milliseconds === undefined ? "" : inSeconds(milliseconds)).padStart(timeWidth)
  /** A text of several lines, all of them after the column. */
  const indented = (text: string, column: number): string => printable(text).split("\n").join(`\n${" ".repeat(column)}`)

  const lines = [
    paint(
      "bold",
      `seed ${plan.seed}: ${violations.length === 0 ? "nothing is wrong" : counted(violations.length, "violation")}`
    ),
    `${counted(outcome.records, "record")}, ${counted(outcome.faults, "fault")} of ${
      counted(outcome.faultKinds.length, "kind")
    }, ${inSeconds(outcome.time)} s, ${counted(outcome.steps, "step")}, interleaving ${
      JSON.stringify(plan.interleaving)
    }`
  ]
  if (violations.length > 0) {
    lines.push("", paint("bold", "violations"))
    for (const violation of violations) {
      const text = indented(`${violation.invariant}: ${violation.message}`, timeWidth + 2)
      lines.push(`${time(violation.time)}  ${paint("red", text)}`)
    }
  }
  lines.push("", paint("bold", plan.faults.length === 0 ? "no faults" : "faults"))
  for (const { at, fault } of plan.faults) {
    lines.push(`${time(at)}  ${paint("yellow", indented(describe(fault), timeWidth + 2))}`)
  }
  lines.push("", paint("bold", "timeline"))
  for (const { actor, kind, text, time: at } of shown) {
    const column = timeWidth + actorWidth + 4
    lines.push(
      `${paint("dim", time(at))}  ${printable(actor).padEnd(actorWidth)}  ${
        paint(styleOf[kind], indented(text, column))
      }`
    )
  }
  const hidden = timeline.length - shown.length
  if (hidden > 0) lines.push(paint("dim", `${grouped(hidden)} more, with --verbose`))
  return `${lines.join("\n")}\n`
}
