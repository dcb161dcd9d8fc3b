import type { Checker, HistoryEvent, PartitionIndex } from "../history.ts"
import type { Check } from "./check.ts"
import { Assignments, memberNames } from "./groups.ts"
import { Trouble } from "./trouble.ts"
import { Violations } from "./violations.ts"

const name = "one-owner"

/** A handler that runs, and who its member was in the group when it started. */
interface Running {
  readonly member: string
  readonly memberId: string | undefined
  readonly offset: number
  readonly time: number
  /** When it began with the records that it handles one after the other. */
  readonly since: number
}

/** Who a member is in the group, and when it was told that a partition is no longer its own. */
interface Identity {
  readonly memberId: string
  readonly assigned: ReadonlyArray<PartitionIndex>
  readonly takenAt: Map<PartitionIndex, number>
}

type Handled = Extract<HistoryEvent, { readonly _tag: "Started" }>

const check: Checker = (history) => {
  const violations = new Violations(name)
  const { drainTimeout = 500, events } = history
  const runs = new Set(history.runs)
  const trouble = new Trouble(history)
  const nameOf = memberNames(history)
  const assignments = new Assignments()
  const everAssigned = new Set<string>()
  const expelled = new Set<string>()
  /** Who is in the newest generation and has not joined it. */
  const absent = new Set<string>()
  const identities = new Map<string, Identity>()
  const running = new Map<PartitionIndex, Map<string, Running>>()
  const last = new Map<string, Running>()
  const keyOf = ({ member, offset, stream = 0 }: Pick<Handled, "member" | "offset" | "stream">) =>
    `${member}/${offset}/${stream}`
  /** By member, offset and stream. */
  const runningIn = (partition: PartitionIndex): Map<string, Running> => {
    let found = running.get(partition)
    if (found === undefined) running.set(partition, found = new Map())
    return found
  }
  const isMember = (memberId: string | undefined) =>
    assignments.isIn(memberId) && !expelled.has(memberId!) && !absent.has(memberId!)
  /** Whether one that has lost a partition may still handle its records. */
  const mayGoOn = ({ member, memberId, time }: Running, partition: PartitionIndex, now: number): boolean => {
    if (!isMember(memberId)) return true
    if (runs.has(member)) return false
    const takenAt = identities.get(member)!.takenAt.get(partition) ?? now
    return !trouble.wasCalm(Math.min(time, takenAt), now, member) || now - takenAt >= drainTimeout ||
      history.cooperative !== true
  }

  for (const event of events) {
    switch (event._tag) {
      case "Assigned":
        assignments.add(event)
        for (const [memberId, partitions] of event.partitions) {
          const member = nameOf(memberId)
          for (const partition of partitions) everAssigned.add(`${member}/${partition}`)
        }
        break
      case "Synced": {
        const { generation, memberId, time } = event
        absent.delete(memberId)
        const member = nameOf(memberId)
        if (member === undefined) break
        assignments.synced(event)
        for (const partition of event.partitions ?? []) everAssigned.add(`${member}/${partition}`)
        const before = identities.get(member)
        const takenAt = before?.takenAt ?? new Map<PartitionIndex, number>()
        const now = assignments.of(generation, memberId)
        for (const partition of before?.assigned ?? []) {
          if (now.includes(partition)) continue
          // It may have been given back, and taken again, while the reader went on with what it had before.
          const since = Math.min(
            ...Array.from(runningIn(partition).values(), (one) => one.member === member ? one.since : Infinity)
          )
          if (since > (takenAt.get(partition) ?? -Infinity)) takenAt.set(partition, time)
        }
        identities.set(member, { memberId, assigned: now, takenAt })
        break
      }
      case "Absent":
        absent.add(event.memberId)
        break
      case "Expelled":
        expelled.add(event.memberId)
        break
      case "Started": {
        const { member, offset, partition, time } = event
        if (!everAssigned.has(`${member}/${partition}`)) {
          violations.add(`${member} was given ${partition}/${offset}, and the partition was never assigned to it`, time)
        }
        const memberId = identities.get(member)?.memberId
        const key = `${member}/${partition}`
        const before = last.get(key)
        const since = before?.offset === offset - 1 ? before.since : time
        const self: Running = { member, memberId, offset, time, since }
        last.set(key, self)
        const isOwner = assignments.lastOwner(partition) === memberId
        const handlers = runningIn(partition)
        for (const other of handlers.values()) {
          if (other.member !== member && !mayGoOn(isOwner ? other : self, partition, time)) {
            violations.add(
              `${member} was given ${partition}/${offset} while ${other.member} handled ${partition}/${other.offset}`,
              time
            )
          }
        }
        handlers.set(keyOf(event), self)
        break
      }
      case "Processed":
      case "HandlerEnded":
        running.get(event.partition)?.delete(keyOf(event))
        break
      case "MemberKilled":
      case "MemberClosed":
        for (const handlers of running.values()) {
          for (const [key, { member }] of handlers) if (member === event.member) handlers.delete(key)
        }
    }
  }
  return violations.all
}

/**
 * While two members are in the newest generation of the group, one is not given a record of a partition while the other
 * one's handler works on a record of the same partition; and a member is given records only of partitions that were
 * assigned to it at some time.
 *
 * Exceptions. One that is not in the generation by the id that it had, expelled, closed or cut off, cannot know that it
 * lost the partition, and may go on until it does; nor can it stop others. So may a static member that has not joined the
 * generation, which keeps its place in it: the others share out what it does not say that it has. A run ends its handlers itself when its time to
 * drain is over, before it joins again, so nothing else excuses it. The reader of a stream is not ended: it may go on
 * with the chunk in hand when the time is over (counted from the answer that took the partition from it; without a
 * cooperative assignor it began earlier, and is not known), also with the next records of the chunk, and after a loss while something was
 * broken.
 */
export const oneOwner: Check = {
  name,
  statement: "two members of a generation never handle records of one partition at the same time",
  check
}
