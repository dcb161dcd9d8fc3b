import type { Checker, History, PartitionIndex } from "../history.ts"
import type { Check } from "./check.ts"
import { acknowledgementsOf, type Fate, fatesOf } from "./fates.ts"
import { Trouble } from "./trouble.ts"
import { Violations } from "./violations.ts"

const name = "right-partition"

/** How long an answer takes while nothing is broken, at most. */
const answerTime = 1000

/** When the topic grew, and from when on each producer certainly knew. */
class Growth {
  readonly #grownAt: number
  readonly #knownAt = new Map<string, number>()

  constructor(history: History) {
    const { events, metadataMaxAge = Infinity, partitions = Infinity } = history
    const fates = fatesOf(history)
    const grownAt = events.find((event) => event._tag === "PartitionsAdded")?.time ?? Infinity
    const isCalm = (until: number) => trouble.wasCalm(grownAt, until)
    const trouble = new Trouble(history)
    const known = (producer: string, time: number) => {
      if (!this.#knownAt.has(producer)) this.#knownAt.set(producer, time)
    }
    this.#grownAt = grownAt
    if (grownAt === Infinity) return
    for (const event of events) {
      if (event._tag !== "Acknowledged") continue
      const { invoked } = fates.get(event.record) ?? {}
      // What it knows counts from its next request on.
      const isOld = invoked !== undefined && invoked.time > grownAt + metadataMaxAge + answerTime
      if (event.partition >= partitions || isOld && isCalm(event.time)) known(event.producer, event.time)
    }
  }

  /** Where a record may be, if that was chosen for it. */
  choices(fate: Fate): ReadonlyArray<PartitionIndex> {
    const { accepted, invoked: { partition, partitionOnceGrown, time }, producer, reported, told } = fate
    if (partition === undefined) return []
    if (partitionOnceGrown === undefined) return [partition]
    if (time > (this.#knownAt.get(producer.name) ?? Infinity)) return [partitionOnceGrown]
    const decidedBy = Math.min(...[accepted, told[0], reported[0]].map((event) => event?.time ?? Infinity))
    return decidedBy < this.#grownAt ? [partition] : [partition, partitionOnceGrown]
  }
}

const check: Checker = (history) => {
  const violations = new Violations(name)
  const growth = new Growth(history)
  for (const fate of fatesOf(history).values()) {
    const { copies, invoked: { time }, record } = fate
    const acknowledged = acknowledgementsOf(fate)
    const choices = growth.choices(fate)
    const found = copies[0]?.partition ?? acknowledged[0]?.partition
    const right = found === undefined || choices.length === 0 || choices.includes(found) ? found : choices[0]
    const wrong = copies.find(({ partition }) => partition !== right)
    if (wrong !== undefined) {
      violations.add(
        `record ${record} belongs into partition ${right}, and is at ${wrong.partition}/${wrong.offset}`,
        time
      )
    }
    const untrue = acknowledged.find(({ partition }) => partition !== right)
    if (untrue !== undefined) {
      violations.add(
        `record ${record} belongs into partition ${right}, and was acknowledged in ${untrue.partition}`,
        untrue.time
      )
    }
  }
  return violations.all
}

/**
 * The partition of a record is chosen once: all its copies and acknowledgements name the same one, and where it was
 * given, by number or by key, that one. The partition of a key depends on how many there are. While the topic grows that
 * is what the producer knows: the old count before; the new one once a record of it was acknowledged in a new partition,
 * or one that it sent when all it knew was too old, with nothing broken since; in between either. No other exceptions,
 * whatever the acks.
 */
export const rightPartition: Check = {
  name,
  statement: "a record is in one partition only, the one that was chosen for it",
  check
}
