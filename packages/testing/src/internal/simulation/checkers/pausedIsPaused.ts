import type { Checker, PartitionIndex } from "../history.ts"
import type { Check } from "./check.ts"
import { Violations } from "./violations.ts"

const name = "paused-is-paused"

/** What a handler needs to begin, in milliseconds: timers that overtake ready work, and fibers that are late, come to less. */
const lateness = 100

/** A partition that is paused. */
interface Pause {
  readonly since: number
  /** Where what had come by then ends. */
  readonly end: number
}

const check: Checker = (history) => {
  const violations = new Violations(name)
  const fetched = new Map<string, number>()
  const paused = new Map<string, Pause>()
  const keyOf = (member: string, partition: PartitionIndex) => `${member}/${partition}`
  for (const event of history.events) {
    switch (event._tag) {
      case "Fetched":
        for (const { end, partition } of event.parts) fetched.set(keyOf(event.member, partition), end)
        break
      case "Paused": {
        const key = keyOf(event.member, event.partition)
        paused.set(key, { since: event.time, end: fetched.get(key) ?? 0 })
        break
      }
      case "Continued":
        paused.delete(keyOf(event.member, event.partition))
        break
      case "MemberClosed":
      case "MemberKilled":
        for (const key of paused.keys()) if (key.startsWith(`${event.member}/`)) paused.delete(key)
        break
      // What was in hand does not count any more.
      case "Sought": {
        const key = keyOf(event.member, event.partition)
        if (paused.has(key)) paused.set(key, { since: event.time, end: 0 })
        break
      }
      case "Started": {
        const { member, offset, partition, time } = event
        const pause = paused.get(keyOf(member, partition))
        if (pause !== undefined && offset >= pause.end && time > pause.since + lateness) {
          violations.add(`${member} was given ${partition}/${offset}, and had paused it at ${pause.since}`, time)
        }
      }
    }
  }
  return violations.all
}

/**
 * A member that has paused a partition is given nothing of it that had not come by then, and nothing at all once it has
 * moved it elsewhere, until it lets it go on: also if the partition goes to another member and comes back.
 *
 * Exceptions: what had come may be in hand, and goes on; so what is paused is judged by what came later. A handler that
 * had begun to begin may come at that moment.
 */
export const pausedIsPaused: Check = {
  name,
  statement: "nothing of a paused partition is delivered but what had come before",
  check
}
