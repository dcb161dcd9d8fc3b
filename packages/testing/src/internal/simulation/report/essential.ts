import type { Violation } from "../history.ts"
import type { Outcome, TimelineEntry } from "../trial.ts"

const entryOf = (violation: Violation, end: number): TimelineEntry => ({
  time: violation.time ?? end,
  actor: "checker",
  kind: "violation",
  text: `${violation.invariant}: ${violation.message}`
})

/** The timeline with the violations at their place: those without a time at the end. */
export const timelineWithViolations = (outcome: Outcome): ReadonlyArray<TimelineEntry> => {
  const { timeline, violations } = outcome
  if (violations.length === 0 || timeline.some(({ kind }) => kind === "violation")) return timeline
  const end = Math.max(outcome.time, timeline.at(-1)?.time ?? 0)
  // Sorting is stable: a violation comes after what happened at its time.
  return [...timeline, ...violations.map((violation) => entryOf(violation, end))].sort((a, b) => a.time - b.time)
}

/** What a violation is about, as far as its message says. */
interface Subject {
  readonly time: number | undefined
  readonly records: ReadonlySet<string>
  readonly partitions: ReadonlySet<string>
  /** A partition and an offset: `3/57`. */
  readonly places: ReadonlySet<string>
  readonly generations: ReadonlySet<string>
  readonly message: string
}

const matches = (text: string, pattern: RegExp): ReadonlySet<string> =>
  new Set(Array.from(text.matchAll(pattern), (match) => match[1]!))

const recordsIn = (text: string): ReadonlySet<string> => matches(text, /\brecord #?(\d+)/gi)

/** Named in words, or with an offset as `3/57`. */
const partitionsIn = (text: string): ReadonlySet<string> =>
  matches(text, /(?:\bpartition |(?<![\w/.-])(?=\d+\/\d))(\d+)\b/gi)

/** As `topic-3`: so requests name it. Members' ids look the same. */
const topicPartitionsIn = (text: string): ReadonlySet<string> => matches(text, /[\w.]-(\d+)\b/g)

const placesIn = (text: string): ReadonlySet<string> => matches(text, /(?<![\w/.-])(\d+\/\d+)(?![\w/.-])/g)

const generationsIn = (text: string): ReadonlySet<string> => matches(text, /\bgeneration (\d+)/g)

/** Whole numbers that are no part of anything else: what producers and consumers call a record. */
const numbersIn = (text: string): ReadonlySet<string> => matches(text, /(?<![\w/.-])(\d+)(?![\w/.-]| bytes)/g)

const meet = (a: ReadonlySet<string>, b: ReadonlySet<string>): boolean => {
  for (const each of a) if (b.has(each)) return true
  return false
}

const namesRecord = ({ kind, text }: TimelineEntry, records: ReadonlySet<string>): boolean =>
  meet(recordsIn(text), records) || ((kind === "producer" || kind === "consumer") && meet(numbersIn(text), records))

/** What a producer or a member says of itself alone: that it starts, or closes. */
const isOwnState = ({ kind, text }: TimelineEntry): boolean =>
  (kind === "producer" || kind === "consumer") && !/\d/.test(text)

/** A member gets into a generation; heartbeats and commits name it too, all the time. */
const isJoining = ({ text }: TimelineEntry): boolean => /\b(Join|Sync)Group\b/.test(text)

/** How long before and after a violation things are of interest, in milliseconds. */
const around = { named: { before: 2000, after: 500 }, anything: { before: 250, after: 100 } }

const concerns = (entry: TimelineEntry, subject: Subject): boolean => {
  const { generations, message, partitions, places, records, time } = subject
  if (records.size > 0 && namesRecord(entry, records)) return true
  if (places.size > 0 && meet(placesIn(entry.text), places)) return true
  if (generations.size > 0 && isJoining(entry) && meet(generationsIn(entry.text), generations)) return true
  if (isOwnState(entry) && message.includes(entry.actor)) return true
  if (time === undefined) return false
  const namesPartition = partitions.size > 0
  const { after, before } = namesPartition ? around.named : around.anything
  if (entry.time < time - before || entry.time > time + after) return false
  return !namesPartition || meet(partitionsIn(entry.text), partitions) ||
    meet(topicPartitionsIn(entry.text), partitions)
}

/** Of each promise only the first violation: others follow from it more often than not. */
const firstOfEach = (violations: ReadonlyArray<Violation>): ReadonlyArray<Violation> => {
  const seen = new Set<string>()
  return violations.filter(({ invariant }) => !seen.has(invariant) && seen.add(invariant))
}

/**
 * What to read first: faults, what the cluster did, violations; and of all else what concerns the first violation of each
 * promise. That is what names its record or its place in the log, who joined its generation, and when those that it names
 * start and close; what names its partition in the two seconds before it; and if it names none, everything shortly
 * before it.
 */
export const essential = (
  timeline: ReadonlyArray<TimelineEntry>,
  violations: ReadonlyArray<Violation>
): ReadonlyArray<TimelineEntry> => {
  const subjects = firstOfEach(violations).map(({ message, time }): Subject => ({
    time,
    records: recordsIn(message),
    partitions: partitionsIn(message),
    places: placesIn(message),
    generations: generationsIn(message),
    message
  }))
  return timeline.filter((entry) =>
    entry.kind === "fault" || entry.kind === "cluster" || entry.kind === "violation" ||
    subjects.some((subject) => concerns(entry, subject))
  )
}
