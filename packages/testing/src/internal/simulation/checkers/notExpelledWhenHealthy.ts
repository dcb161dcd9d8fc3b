import type { Checker } from "../history.ts"
import type { Check } from "./check.ts"
import { memberNames } from "./groups.ts"
import { Trouble } from "./trouble.ts"
import { Violations } from "./violations.ts"

const name = "not-expelled-when-healthy"

const check: Checker = (history) => {
  const violations = new Violations(name)
  const trouble = new Trouble(history)
  const nameOf = memberNames(history)
  const leaving = new Map<string, "closing" | "closed">()
  for (const event of history.events) {
    switch (event._tag) {
      case "MemberStarted":
        leaving.delete(event.member)
        break
      case "MemberClosing":
        leaving.set(event.member, "closing")
        break
      case "MemberKilled":
      case "MemberClosed":
        leaving.set(event.member, "closed")
        break
      case "MemberFenced":
        if (trouble.wasCalm(event.time, event.time, event.member)) {
          violations.add(`${event.member} was told that its name was taken, and nothing was broken`, event.time)
        }
        break
      case "Expelled": {
        const member = nameOf(event.memberId)
        const state = leaving.get(member ?? "")
        const excused = state === "closed" || state === "closing" && event.why !== "session"
        if (!excused && trouble.wasCalm(event.time, event.time, member)) {
          violations.add(`${event.memberId} was expelled (${event.why}), and nothing was broken`, event.time)
        }
      }
    }
  }
  return violations.all
}

/**
 * A member is expelled only if something that disturbs it is broken, or was of late ({@link Trouble}): slow handlers, rebalances and closing stop no
 * heartbeat, and no joining or syncing. So for a static member that hears that its name was taken: by a JoinGroup of its own that came late.
 *
 * Exceptions: a member that has closed may have been in the middle of joining, so that it could not take its leave; one
 * that is closing need not join or sync any more, but its heartbeat goes on while it drains.
 */
export const notExpelledWhenHealthy: Check = {
  name,
  statement: "a member is expelled only if something is broken",
  check
}
