import type { Checker, PartitionIndex } from "../history.ts"
import { Beginnings } from "./beginnings.ts"
import { type Check, clockError } from "./check.ts"
import { LogIndex } from "./logIndex.ts"
import { Violations } from "./violations.ts"

const name = "commit-not-past-processed"

/** The record of a partition's beginning that was processed last, or deleted. */
interface Latest {
  readonly offset: number
  readonly time: number
}

const check: Checker = (history) => {
  const violations = new Violations(name)
  if (history.members.length === 0 || history.atMostOnce === true) return violations.all
  const log = new LogIndex(history)
  const beginnings = new Beginnings(history)
  const processedAt = new Map<PartitionIndex, Map<number, number>>()
  for (const event of history.events) {
    if (event._tag !== "Processed") continue
    let offsets = processedAt.get(event.partition)
    if (offsets === undefined) processedAt.set(event.partition, offsets = new Map())
    if (!offsets.has(event.offset)) offsets.set(event.offset, event.time)
  }
  /** By partition and position: of the records up to it, the one that was processed last. */
  const latest = new Map<PartitionIndex, ReadonlyArray<Latest>>()
  for (const [partition, records] of log.partitions) {
    const offsets = processedAt.get(partition)
    let last: Latest = { offset: -1, time: -Infinity }
    latest.set(
      partition,
      records.map(({ offset }) => {
        const time = Math.min(offsets?.get(offset) ?? Infinity, beginnings.excusedAt(partition, offset) ?? Infinity)
        if (time > last.time) last = { offset, time }
        return last
      })
    )
  }
  const judge = (partition: PartitionIndex, offset: number, by: number, who: string, time: number | undefined) => {
    const before = log.positionOf(partition, offset)
    const last = before === 0 ? undefined : latest.get(partition)![before - 1]!
    const end = (log.of(partition).at(-1)?.offset ?? -1) + 1
    if (offset > end) {
      violations.add(`${who} ${partition}/${offset}, and the log ends at ${end}`, time)
    } else if (last !== undefined && last.time > by) {
      violations.add(`${who} ${partition}/${offset}, and ${partition}/${last.offset} was not processed`, time)
    }
  }
  for (const event of history.events) {
    if (event._tag !== "Committed" || event.errorCode !== 0) continue
    judge(event.partition, event.offset, event.sentAt + clockError, `${event.memberId} committed`, event.time)
  }
  for (const [partition, offset] of history.committed) {
    judge(partition, offset, Number.MAX_VALUE, "in the end the group has committed", undefined)
  }
  return violations.all
}

/**
 * When a commit was sent that the coordinator accepted, every record before its offset had been processed, by this member
 * or another; and it is not past the end of the log. So for what is committed in the end.
 *
 * Exceptions: a group that commits before it handles; what a member left out by a seek; what was deleted by then, and what is before the group's first position, see `nothing-skipped`.
 */
export const commitNotPastProcessed: Check = {
  name,
  statement: "no commit is past a record that is not processed",
  check
}
