import type { Checker } from "../history.ts"
import type { Check } from "./check.ts"
import { Violations } from "./violations.ts"

const name = "closes-in-time"

const check: Checker = ({ closingTimes, endedAt, events }) => {
  const violations = new Violations(name)
  const closing = new Map<string, number>()
  const stalls = new Map<string, Array<{ readonly from: number; to: number }>>()
  const judge = (member: string, since: number, until: number) => {
    const bound = closingTimes?.get(member) ?? Infinity
    const stalled = (stalls.get(member) ?? []).reduce(
      (sum, { from, to }) => sum + Math.max(0, Math.min(to, until) - Math.max(from, since)),
      0
    )
    const taken = until - since - stalled
    if (taken > bound) violations.add(`${member} took ${taken} ms to close, and has ${bound} at most`, until)
  }
  for (const event of events) {
    if (event._tag === "MemberClosing") closing.set(event.member, event.time)
    else if (event._tag === "MemberKilled") closing.delete(event.member)
    else if (event._tag === "Stalled") {
      const stall = { from: event.time, to: Infinity }
      stalls.set(event.member, [...stalls.get(event.member) ?? [], stall])
    } else if (event._tag === "Resumed") stalls.get(event.member)!.at(-1)!.to = event.time
    else if (event._tag === "MemberClosed") {
      const since = closing.get(event.member)
      if (since !== undefined) judge(event.member, since, event.time)
      closing.delete(event.member)
    }
  }
  const end = endedAt ?? events.at(-1)?.time ?? 0
  for (const [member, since] of closing) judge(member, since, end)
  return violations.all
}

/**
 * A member is closed within the bounds that it was given: its handlers' time, and that of closing for each wait that has
 * one: to commit, and to leave; where its run is ended first, that commits with a bound of its own. Time in which its
 * process stands still does not count. No exceptions: whatever is broken, and whatever its handlers do. One that never closes is judged by when all was over.
 */
export const closesInTime: Check = {
  name,
  statement: "a member closes within its bounds, whatever is broken and whatever its handlers do",
  check
}
