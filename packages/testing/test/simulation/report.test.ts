import { createHash } from "node:crypto"
import { Script } from "node:vm"

import { assert, describe, it } from "@effect/vitest"
import { describe as describeFault } from "@sluice/testing/Fault"
import { FastCheck } from "effect"

import { renderHtml } from "../../src/internal/simulation/report/html.ts"
import { renderText } from "../../src/internal/simulation/report/text.ts"
import type { Outcome, TimelineEntry } from "../../src/internal/simulation/trial.ts"

const plain = { verbose: false, colours: false }
const verbose = { verbose: true, colours: false }

const entry = (time: number, kind: TimelineEntry["kind"], text: string, actor: string = kind): TimelineEntry => ({
  time,
  actor,
  kind,
  text
})

const outcome = (parts: Partial<Outcome> = {}): Outcome => ({
  plan: {
    seed: 7,
    interleaving: { extraYields: 0.05 },
    faults: [
      { at: 1500, fault: { _tag: "Partition", links: { brokers: [2] }, duration: 2000 } },
      { at: 4000, fault: { _tag: "HalfOpen", links: {} } }
    ]
  },
  violations: [],
  records: 2000,
  faultKinds: ["Partition", "HalfOpen"],
  faults: 2,
  time: 61_250,
  steps: 123_456,
  timeline: [],
  ...parts
})

const linesOf = (text: string): ReadonlyArray<string> => text.split("\n")

/** Lines of the timeline. */
const timelineOf = (parts: Partial<Outcome>, options = plain): ReadonlyArray<string> => {
  const lines = linesOf(renderText(outcome(parts), options))
  return lines.slice(lines.indexOf("timeline") + 1, -1)
}

const hostile = "</script><script>alert(1)</script><!-- \" ' & \u2028 \u0000 \u001b[31m \ud800 ${x} `y` \\u003c $& $1"

const busy = (count: number): Outcome =>
  outcome({
    violations: [{ invariant: "no-loss", message: "record 17 of partition 2 is gone", time: 30_000 }],
    timeline: Array.from({ length: count }, (_, index) =>
      entry(
        index * 3,
        (["request", "answer", "producer", "cluster"] as const)[index % 4]!,
        `#${index} Produce records-${index % 7} ${hostile}`,
        `broker ${index % 5}`
      ))
  })

describe("a timeline as text", () => {
  it("begins with what is wrong, and has it at its place too", () => {
    const { faults } = outcome().plan
    const text = renderText(
      outcome({
        violations: [
          { invariant: "no-loss", message: "record 17 is gone", time: 9000 },
          { invariant: "progress", message: "not all was read", time: undefined }
        ],
        timeline: [
          entry(1500, "fault", "1 begins", "fault"),
          entry(9000, "cluster", "records-1 is cut off", "cluster"),
          entry(12_345.678, "cluster", "broker 2 is in the cluster again", "cluster")
        ]
      }),
      plain
    )
    assert.strictEqual(
      text,
      `seed 7: 2 violations
2,000 records, 2 faults of 2 kinds, 61.250 s, 123,456 steps, interleaving {"extraYields":0.05}

violations
 9.000  no-loss: record 17 is gone
        progress: not all was read

faults
 1.500  ${describeFault(faults[0]!.fault)}
 4.000  ${describeFault(faults[1]!.fault)}

timeline
 1.500  fault    1 begins
 9.000  cluster  records-1 is cut off
 9.000  checker  no-loss: record 17 is gone
12.345  cluster  broker 2 is in the cluster again
61.250  checker  progress: not all was read
`
    )
  })

  it("does not repeat violations that the timeline has", () => {
    const lines = timelineOf({
      violations: [{ invariant: "no-loss", message: "record 17 is gone", time: 9000 }],
      timeline: [entry(9000, "violation", "no-loss: record 17 is gone", "checker")]
    })
    assert.deepStrictEqual(lines, ["9.000  checker  no-loss: record 17 is gone"])
  })

  it("shows what a violation's record went through, at any time", () => {
    const timeline = [
      entry(1, "producer", "17 is sent (16 bytes)"),
      entry(2, "producer", "16 is sent (17 bytes)"),
      entry(3, "producer", "17 is acknowledged at 2/16"),
      entry(4, "producer", "16 is acknowledged at 2/17"),
      entry(5, "request", "#17 Produce v9 to broker 1 (connection 17) records-17 (17 records)"),
      entry(50_000, "consumer", "handles 17 of 2/16"),
      entry(50_001, "consumer", "handles 171 of 17/5")
    ]
    const violations = [{ invariant: "no-loss", message: "record 17 is gone", time: 30_000 }]
    const kept = timelineOf({ timeline, violations }).map((line) => line.split("  ").at(-1)!.trim())
    assert.deepStrictEqual(kept, [
      "17 is sent (16 bytes)",
      "17 is acknowledged at 2/16",
      "no-loss: record 17 is gone",
      "handles 17 of 2/16",
      "4 more, with --verbose"
    ])
    assert.lengthOf(timelineOf({ timeline, violations }, verbose), 8)
  })

  it("shows what happened to a violation's partition before it", () => {
    const timeline = [
      entry(1000, "request", "Fetch records-2 from 1"),
      entry(29_000, "request", "Fetch records-2 from 1"),
      entry(29_001, "request", "Fetch records-3 from 2"),
      entry(29_002, "request", "Fetch records-1 from 7, records-2 from 2"),
      entry(29_003, "consumer", "handles 9 of 2/5"),
      entry(29_004, "consumer", "handles 9 of 12/2"),
      entry(30_001, "request", "Fetch records-2 from 3"),
      entry(31_000, "request", "Fetch records-2 from 4")
    ]
    for (const message of ["partition 2 went back", "member-a-1 went back to 2/57"]) {
      const violations = [{ invariant: "order", message, time: 30_000 }]
      const times = timelineOf({ timeline, violations }).slice(0, -1).map((line) => line.slice(0, 6))
      assert.deepStrictEqual(times, ["29.000", "29.002", "29.003", "30.000", "30.001"], message)
    }
  })

  it("shows what happened to a violation's place in the log, and when those that it names start and close", () => {
    const timeline = [
      entry(1, "consumer", "starts", "member-a"),
      entry(2, "consumer", "starts", "member-b"),
      entry(3, "producer", "12 is acknowledged at 5/42"),
      entry(4, "producer", "13 is acknowledged at 5/420"),
      entry(5, "producer", "14 is acknowledged at 15/42"),
      entry(6, "consumer", "has handled 3 of 5/41", "member-b")
    ]
    const violations = [{ invariant: "close", message: "member-b was given 5/42 after it was closed", time: 30_000 }]
    const times = timelineOf({ timeline, violations }).slice(0, -1).map((line) => line.slice(0, 6))
    assert.deepStrictEqual(times, [" 0.002", " 0.003", "30.000"])
  })

  it("shows who joined a violation's generation", () => {
    const timeline = [
      entry(1, "answer", "#1 JoinGroup to member-a generation 3, member-a-1 leads"),
      entry(2, "answer", "#2 JoinGroup to member-a generation 4, member-a-1 leads"),
      entry(3, "request", "#3 SyncGroup v5 to broker 1 (connection 4) member-a-1 generation 4"),
      entry(4, "request", "#4 Heartbeat v4 to broker 1 (connection 4) member-a-1 generation 4")
    ]
    const violations = [{ invariant: "owner", message: "it committed in generation 4", time: 30_000 }]
    const times = timelineOf({ timeline, violations }).slice(0, -1).map((line) => line.slice(0, 6))
    assert.deepStrictEqual(times, [" 0.002", " 0.003", "30.000"])
  })

  it("looks at the first violation of each promise", () => {
    const timeline = [1, 2, 3].map((record) => entry(record, "producer", `${record} is accepted`))
    const violations = [1, 2, 3].map((record) => ({
      invariant: record === 3 ? "b" : "a",
      message: `record ${record} is gone`,
      time: 30_000
    }))
    const times = timelineOf({ timeline, violations }).slice(0, -1).map((line) => line.slice(0, 6))
    assert.deepStrictEqual(times, [" 0.001", " 0.003", "30.000", "30.000", "30.000"])
  })

  it("shows everything just before a violation that names nothing", () => {
    const timeline = [9000, 9900, 10_050, 10_200].map((time) => entry(time, "answer", "Heartbeat"))
    const violations = [{ invariant: "bounds", message: "too much is buffered", time: 10_000 }]
    const times = timelineOf({ timeline, violations }).slice(0, -1).map((line) => line.slice(0, 6))
    assert.deepStrictEqual(times, [" 9.900", "10.000", "10.050"])
  })

  it("keeps its columns where a text has several lines", () => {
    const lines = timelineOf({ timeline: [entry(1, "fault", "one\ntwo\r\nthree", "fault")] })
    assert.deepStrictEqual(lines, ["0.001  fault  one", "              two", "              three"])
  })

  it("lets no text rule the terminal", () => {
    const text = renderText(
      outcome({
        timeline: [entry(1, "fault", hostile, "a\u001b[2J")],
        violations: [
          { invariant: "\u0007", message: "\u009b1m\u202e", time: 1 }
        ]
      }),
      plain
    )
    assert.include(text, "\\x1b[31m")
    assert.include(text, "a\\x1b[2J")
    assert.notMatch(text, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u202e]/)
  })

  it("has colours only where they are asked for", () => {
    const colourful = renderText(busy(100), { verbose: true, colours: true })
    const withoutColours = colourful.replace(/\u001b\[[0-9;]*m/g, "")
    assert.notStrictEqual(colourful, withoutColours)
    assert.strictEqual(withoutColours, renderText(busy(100), verbose))
  })

  it("is fast where much happened, and the same each time", () => {
    const start = performance.now()
    const text = renderText(busy(20_000), plain)
    assert.isBelow(performance.now() - start, 3000)
    assert.strictEqual(renderText(busy(20_000), plain), text)
  })
})

/** What the page's own script reads. */
const dataIn = (html: string): any => {
  const [, json] = /<script type="application\/json" id="data">([^<]*)<\/script>/.exec(html)!
  return JSON.parse(json!)
}

const scriptIn = (html: string): string => /<script>([^]*?)<\/script>/.exec(html)![1]!

describe("a timeline as a page", () => {
  it("has a lane for each actor, bands for faults, and marks", () => {
    const html = renderHtml(outcome({
      violations: [{ invariant: "no-loss", message: "record 17 is gone", time: 9000 }],
      timeline: [
        entry(1, "producer", "17 is sent", "producer-a"),
        entry(2, "answer", "Produce", "broker 10"),
        entry(3, "answer", "Produce", "broker 2"),
        entry(4, "connection", "open", "network"),
        entry(1500, "fault", "1 begins", "fault")
      ]
    }))
    const { actors, end, entries, faults, kinds } = dataIn(html)
    assert.deepStrictEqual(actors, ["checker", "fault", "broker 2", "broker 10", "producer-a", "network"])
    assert.deepStrictEqual(kinds, ["answer", "connection", "fault", "producer", "violation"])
    assert.deepStrictEqual(entries[0], [1, 4, 3, "17 is sent"])
    assert.deepStrictEqual(entries.at(-1), [9000, 0, 4, "no-loss: record 17 is gone"])
    assert.deepStrictEqual(faults.map(([from, to]: [number, number]) => [from, to]), [[1500, 3500], [4000, 4000]])
    assert.strictEqual(end, 61_250)
    assert.include(html, "<rect class=\"band\" x=\"1500\" y=\"0\" width=\"2000\" height=\"156\">")
    assert.include(html, "<path class=\"moment\" d=\"M4000 0v156\"/>")
    assert.include(html, "<path class=\"broken\" d=\"M9000 0v156\"/>")
    assert.include(html, "<path class=\"mark violation\" data-actor=\"0\" data-kind=\"4\" d=\"M9000 4v18\"/>")
    assert.include(html, "<td class=\"wrong\">no-loss: record 17 is gone</td>")
    assert.include(html, "&#34;extraYields&#34;: 0.05")
  })

  it("has bands for faults inside of others, where their time is known", () => {
    const crash = { _tag: "Crash", broker: 1, duration: 100 } as const
    const { faults } = dataIn(renderHtml(outcome({
      plan: {
        seed: 1,
        interleaving: {},
        faults: [
          { at: 10, fault: { _tag: "All", faults: [crash, { _tag: "After", when: 5, fault: crash }] } },
          { at: 20, fault: { _tag: "After", when: { api: "Produce" }, fault: crash } }
        ]
      }
    })))
    assert.deepStrictEqual(faults.map(([from, to]: [number, number]) => [from, to]), [[10, 110], [15, 115]])
  })

  const actor = FastCheck.oneof(FastCheck.constant(hostile), FastCheck.string({ unit: "binary" }))
  it.prop("shows every text as it is, and runs none of them", [actor, FastCheck.string({ unit: "binary" })], (
    [name, text]
  ) => {
    const html = renderHtml(outcome({
      timeline: [entry(1, "fault", hostile, name), entry(2, "request", text, name)],
      violations: [{ invariant: hostile, message: text, time: undefined }]
    }))
    // The two that belong to the page.
    assert.lengthOf(html.match(/<script/g)!, 2)
    assert.lengthOf(html.match(/<\/script/g)!, 2)
    assert.notInclude(html, "<!--")
    assert.notMatch(html, /[\u0000-\u0008\u000b-\u001f]/)
    const { actors, entries } = dataIn(html)
    assert.include(actors, name)
    assert.deepStrictEqual(entries.slice(0, 2).map((each: Array<unknown>) => each[3]), [hostile, text])
  })

  it("has a script that a browser can read, the only one that its policy lets run", () => {
    const html = renderHtml(busy(10))
    const script = scriptIn(html)
    assert.isFunction(new Script(script).runInContext)
    assert.include(html, `script-src 'sha256-${createHash("sha256").update(script).digest("base64")}'`)
  })

  it("needs nothing from elsewhere", () => {
    const html = renderHtml(outcome({ timeline: [entry(1, "fault", "1 begins")] }))
    assert.include(html, "default-src 'none'")
    assert.notMatch(html, /https?:|src=|href=|@import|url\(/)
  })

  it("is fast where much happened, and the same each time", () => {
    const start = performance.now()
    const html = renderHtml(busy(20_000))
    assert.isBelow(performance.now() - start, 3000)
    assert.strictEqual(dataIn(html).entries.length, 20_001)
    assert.strictEqual(renderHtml(busy(20_000)), html)
  })

  it("is a page where nothing happened", () => {
    assert.deepStrictEqual(dataIn(renderHtml(outcome())).entries, [])
  })
})
