import { createHash } from "node:crypto"

import { describe, type Fault } from "../../../Fault.ts"
import type { Outcome, ScheduledFault, TimelineEntry } from "../trial.ts"
import { timelineWithViolations } from "./essential.ts"
import { counted, inSeconds } from "./format.ts"
import { script } from "./page/script.ts"
import { style } from "./page/style.ts"

/** A text as it stands in HTML, in an attribute too. */
const escaped = (text: string): string =>
  text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`)
    // A parser would replace these, or take them for the end of the line.
    .replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, "\ufffd")

/** JSON that cannot end the element that it stands in. */
const embedded = (value: unknown): string =>
  JSON.stringify(value).replace(
    /[<>&\u2028\u2029]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`
  )

const laneHeight = 26

const rank = (actor: string): number => {
  const first = ["checker", "fault", "cluster", "broker", "producer", "member"].indexOf(actor.split(/[ -]/)[0]!)
  return first < 0 ? Number.MAX_SAFE_INTEGER : first
}

const actorsIn = (timeline: ReadonlyArray<TimelineEntry>): ReadonlyArray<string> =>
  [...new Set(timeline.map(({ actor }) => actor))].sort((a, b) =>
    // Not by the order of some locale: the same page on every machine.
    rank(a) - rank(b) || a.length - b.length || (a < b ? -1 : 1)
  )

interface Band {
  readonly from: number
  readonly to: number
  readonly text: string
}

/** When faults hold, as far as that is known beforehand: not of those that wait for a request. */
const bandsOf = ({ at, fault }: ScheduledFault): ReadonlyArray<Band> => {
  if (fault._tag === "All") return fault.faults.flatMap((each) => bandsOf({ at, fault: each }))
  if (fault._tag === "After") {
    return typeof fault.when === "number" ? bandsOf({ at: at + fault.when, fault: fault.fault }) : []
  }
  return [{ from: at, to: at + durationOf(fault), text: describe(fault) }]
}

const durationOf = (fault: Fault): number => "duration" in fault ? fault.duration ?? 0 : 0

/** An outcome as one page, which needs nothing else: lanes by actor, and all entries, to be zoomed and filtered. */
export const renderHtml = (outcome: Outcome): string => {
  const { faults, seed, ...decided } = outcome.plan
  const { violations } = outcome
  const timeline = timelineWithViolations(outcome)
  const actors = actorsIn(timeline)
  const kinds = [...new Set(timeline.map(({ kind }) => kind))].sort()
  const actorIndex = new Map(actors.map((actor, index) => [actor, index]))
  const bands = faults.flatMap(bandsOf)
  const end = Math.max(1, outcome.time, timeline.at(-1)?.time ?? 0)
  const height = actors.length * laneHeight

  const marks = new Map<string, Array<string>>()
  for (const { actor, kind, time } of timeline) {
    const index = actorIndex.get(actor)!
    const lane = `class="mark ${kind}" data-actor="${index}" data-kind="${kinds.indexOf(kind)}"`
    const path = marks.get(lane) ?? []
    if (path.length === 0) marks.set(lane, path)
    path.push(`M${time} ${index * laneHeight + 4}v${laneHeight - 8}`)
  }

  const lanes = [
    ...actors.flatMap((_, index) =>
      index % 2 === 0
        ? [`<rect class="stripe" x="0" y="${index * laneHeight}" width="${end}" height="${laneHeight}"/>`]
        : []
    ),
    ...bands.map(({ from, text, to }) =>
      to > from
        ? `<rect class="band" x="${from}" y="0" width="${to - from}" height="${height}"><title>${
          escaped(text)
        }</title></rect>`
        : `<path class="moment" d="M${from} 0v${height}"/>`
    ),
    ...violations.flatMap(({ time }) => time === undefined ? [] : [`<path class="broken" d="M${time} 0v${height}"/>`]),
    ...Array.from(marks, ([lane, path]) => `<path ${lane} d="${path.join("")}"/>`)
  ]

  const row = (time: number | undefined, text: string, className: string): string => {
    const at = time === undefined
      ? ""
      : `<button class="plain mono" data-time="${time}">${inSeconds(time)}</button>`
    return `<tr><td class="at">${at}</td><td class="${className}">${escaped(text)}</td></tr>`
  }
  const data = {
    actors,
    kinds,
    entries: timeline.map(({ actor, kind, text, time }) => [time, actorIndex.get(actor), kinds.indexOf(kind), text]),
    faults: bands.map(({ from, text, to }) => [from, to, text]),
    end,
    laneHeight
  }
  const allowed = `'sha256-${createHash("sha256").update(script).digest("base64")}'`

  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src ${allowed}">
<meta name="viewport" content="width=device-width">
<title>seed ${seed}</title>
<style>${style}</style>
</head>
<body>
<h1>Seed ${seed}: <span${violations.length === 0 ? "" : " class=\"wrong\""}>${
    violations.length === 0 ? "nothing is wrong" : counted(violations.length, "violation")
  }</span></h1>
<div class="faint">${counted(outcome.records, "record")}, ${counted(outcome.faults, "fault")}, ${
    inSeconds(outcome.time)
  } s, ${counted(outcome.steps, "step")}</div>
${
    violations.length === 0
      ? ""
      : `<h2>Violations</h2>
<table>
${violations.map(({ invariant, message, time }) => row(time, `${invariant}: ${message}`, "wrong")).join("\n")}
</table>
`
  }<h2>Faults</h2>
<table>
${faults.map(({ at, fault }) => row(at, describe(fault), "")).join("\n")}
</table>
<details><summary>What else the seed decided</summary><pre>${escaped(JSON.stringify(decided, null, 2))}</pre></details>
<h2>Timeline</h2>
<div class="faint">Drag or turn the wheel to zoom, double-click to see all; a click on an actor or a kind hides it.</div>
<div class="filters"><input id="search" type="search" placeholder="words in the text" aria-label="words in the text">${
    kinds.map((kind, index) => `<button class="${kind}" data-kind="${index}">${kind}</button>`).join("")
  }<button class="plain" id="all">all of the time</button><span class="faint" id="count"></span></div>
<div class="lanes">
<div class="labels">${
    actors.map((actor, index) => `<button data-actor="${index}">${escaped(actor)}</button>`).join("")
  }</div>
<div class="chart" id="chart"><svg viewBox="0 0 ${end} ${height}" height="${height}" preserveAspectRatio="none">
${lanes.join("\n")}
</svg><div class="cursor" id="cursor" hidden></div><div class="span" id="span" hidden></div></div>
<div class="axis" id="axis"></div>
</div>
<h2>Entries</h2>
<div class="entries" id="entries"></div>
<pre id="chosen" class="faint">A click on an entry shows all of it here.</pre>
<div class="tip" id="tip" hidden></div>
<script type="application/json" id="data">${embedded(data)}</script>
<script>${script}</script>
</body>
</html>
`
}
