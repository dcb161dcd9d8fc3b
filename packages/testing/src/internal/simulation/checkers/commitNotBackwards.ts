import type { Checker, HistoryEvent, PartitionIndex } from "../history.ts"
import { type Check, clockError } from "./check.ts"
import { Violations } from "./violations.ts"

const name = "commit-not-backwards"

type Committed = Extract<HistoryEvent, { readonly _tag: "Committed" }>

const check: Checker = (history) => {
  const violations = new Violations(name)
  /** When a partition was moved elsewhere: what was sent before may come later. */
  const movedAt = new Map<PartitionIndex, number>()
  const stored = new Map<PartitionIndex, Committed>()
  for (const event of history.events) {
    // What follows is committed from there on, whether the member could go there or not.
    if (event._tag === "Seeking" || event._tag === "Sought") {
      stored.delete(event.partition)
      movedAt.set(event.partition, event.time)
    }
    if (event._tag !== "Committed" || event.errorCode !== 0) continue
    const { memberId, offset, partition, sentAt, time } = event
    if (sentAt <= (movedAt.get(partition) ?? -Infinity) + clockError) continue
    const before = stored.get(partition)
    stored.set(partition, event)
    if (before === undefined || offset >= before.offset) continue
    const isOvertaken = memberId === before.memberId && sentAt < before.sentAt
    if (!isOvertaken) {
      violations.add(`${memberId} committed ${partition}/${offset}, after ${before.memberId} ${before.offset}`, time)
    }
  }
  for (const [partition, { offset }] of stored) {
    const end = history.committed.get(partition)
    if (end === undefined || end < offset) {
      violations.add(`${partition}/${offset} was committed, and in the end it is ${end ?? "nothing"}`, undefined)
    }
  }
  return violations.all
}

/**
 * Accepted commits of a partition never go back, whoever makes them, and in the end the group has the last one. The next
 * owner of a partition begins at what is committed, and the generation fences the one before it.
 *
 * Exceptions: where a member moves a partition, commits go on from there. And a commit that an earlier request of the same member makes. A member that has no answer in time gives the
 * connection up and commits on another one, and what it had sent on the first may reach the coordinator last, in the same
 * generation. Its next commit, or its partition's next owner, mends that.
 */
export const commitNotBackwards: Check = {
  name,
  statement: "commits of a partition never go back",
  check
}
