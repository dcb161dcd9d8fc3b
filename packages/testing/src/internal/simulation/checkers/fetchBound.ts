import type { Checker, HistoryEvent, PartitionIndex } from "../history.ts"
import { type Check, clockError } from "./check.ts"
import { Assignments, memberNames } from "./groups.ts"
import { Violations } from "./violations.ts"

const name = "fetch-bound"

type Fetched = Extract<HistoryEvent, { readonly _tag: "Fetched" }>

/** What a member surely holds of one partition: parts that follow each other. */
interface Lane {
  parts: ReadonlyArray<{ readonly end: number; readonly bytes: number }>
  end: number
}

/** What a member surely holds. */
class Holdings {
  readonly #lanes = new Map<PartitionIndex, Lane>()
  /** By broker: how much more than was asked for its last answer brought. */
  readonly #excess = new Map<number, number>()
  assigned: ReadonlyArray<PartitionIndex> = []
  /** Between its start and the beginning of its end. */
  isThere = false
  /** Nothing counts that was asked for before. */
  #since = 0

  /** All may have been dropped. */
  forget(since: number): void {
    this.#since = since
    this.#lanes.clear()
    this.#excess.clear()
  }

  add({ broker, excess, parts, sentAt }: Fetched): void {
    this.#excess.set(broker, excess)
    if (!this.isThere || sentAt <= this.#since + clockError) return
    for (const { bytes, end, from, partition } of parts) {
      if (!this.assigned.includes(partition)) continue
      const lane = this.#lanes.get(partition)
      const before = lane?.end === from ? lane.parts : []
      this.#lanes.set(partition, { parts: [...before, { end, bytes }], end })
    }
  }

  /** What is before it is done, and it is in hand. */
  begin(partition: PartitionIndex, offset: number): void {
    const lane = this.#lanes.get(partition)
    if (lane !== undefined) lane.parts = lane.parts.filter(({ end }) => end > offset + 1)
  }

  get bytes(): number {
    let bytes = 0
    for (const { parts } of this.#lanes.values()) for (const part of parts) bytes += part.bytes
    return bytes
  }

  get excess(): number {
    let bytes = 0
    for (const one of this.#excess.values()) bytes += one
    return bytes
  }
}

const check: Checker = (history) => {
  const violations = new Violations(name)
  const { events, fetchBuffers = new Map<string, number>(), timersOvertake } = history
  if (timersOvertake === true) return violations.all
  const nameOf = memberNames(history)
  const assignments = new Assignments()
  const members = new Map(Array.from(fetchBuffers, ([member, bound]) => [member, { bound, holdings: new Holdings() }]))
  for (const event of events) {
    switch (event._tag) {
      case "Assigned":
        assignments.add(event)
        break
      case "Synced": {
        const holdings = members.get(nameOf(event.memberId) ?? "")?.holdings
        if (holdings === undefined) break
        assignments.synced(event)
        holdings.assigned = assignments.of(event.generation, event.memberId)
        holdings.forget(event.time)
        break
      }
      case "MemberStarted":
      case "MemberClosing":
      case "MemberKilled":
      case "ReaderRestarted": {
        const holdings = members.get(event.member)?.holdings
        if (holdings === undefined) break
        holdings.forget(event.time)
        if (event._tag !== "ReaderRestarted") holdings.isThere = event._tag === "MemberStarted"
        break
      }
      case "Started":
        members.get(event.member)?.holdings.begin(event.partition, event.offset)
        break
      case "Fetched": {
        const member = members.get(event.member)
        if (member === undefined) break
        const { bound, holdings } = member
        holdings.add(event)
        if (holdings.bytes > bound + holdings.excess) {
          violations.add(
            `${event.member} holds ${holdings.bytes} bytes of records, its bound is ${bound}, ` +
              `and brokers sent ${holdings.excess} more than it asked for`,
            event.time
          )
        }
      }
    }
  }
  return violations.all
}

/**
 * What a member has been sent and has not begun to handle is at most `fetch.bufferBytes`, and what each broker's last
 * answer brought beyond what was asked for: a broker sends its first batch whole (KIP-74).
 *
 * A member asks for no more than has room beside what it holds and what is asked for already, and has one Fetch under way
 * at each broker: so past what it had room for when it last asked, each broker can have added its excess once.
 *
 * What counts is what it surely holds, so this is less strict than the promise. What came is released when it is
 * delivered to the end, so a part whose last record is in hand counts no more. A member drops what it holds when it gives
 * a partition up, loses it, or begins to read anew: after each assignment, and after its reader began again, only what is
 * asked for from then on counts, and only of partitions that are its own; after it began to close nothing does. What does
 * not follow what came before shows that that was dropped. What it has asked for, and has not come, does not count. Where
 * timers overtake ready work it may be told late of what has come.
 */
export const fetchBound: Check = {
  name,
  statement: "a member holds at most fetch.bufferBytes of fetched records, and one batch of each broker",
  check
}
