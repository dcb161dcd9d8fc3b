import type { Checker } from "../history.ts"
import type { Check } from "./check.ts"
import { Assignments, memberNames } from "./groups.ts"
import { Trouble } from "./trouble.ts"
import { Violations } from "./violations.ts"

const name = "commit-only-owned"

const check: Checker = (history) => {
  const violations = new Violations(name)
  const trouble = new Trouble(history)
  const nameOf = memberNames(history)
  const assignments = new Assignments()
  const synced = new Map<string, { readonly generation: number; readonly time: number }>()
  for (const event of history.events) {
    switch (event._tag) {
      case "Assigned":
        assignments.add(event)
        break
      case "Synced":
        assignments.synced(event)
        synced.set(event.memberId, event)
        break
      case "Committed": {
        const { errorCode, generation, memberId, offset, partition, sentAt, time } = event
        if (generation < 0) break
        const what = `${memberId} committed ${partition}/${offset} in generation ${generation}`
        if (errorCode === 0) {
          const newest = assignments.current?.generation
          const owner = assignments.lastOwner(partition)
          if (newest === undefined || generation < newest) {
            violations.add(`${what}, and the newest one is ${newest ?? "none"}`, time)
          } else if (owner !== memberId) violations.add(`${what}, and ${owner ?? "nobody"} owns it`, time)
        }
        const last = synced.get(memberId)
        if (
          last !== undefined && last.generation > generation && sentAt > last.time &&
          history.timersOvertake !== true && trouble.wasCalm(last.time, sentAt, nameOf(memberId))
        ) {
          violations.add(`${what}, after it was in generation ${last.generation}`, time)
        }
      }
    }
  }
  return violations.all
}

/**
 * A commit that the coordinator accepts is of the newest generation that has assignments, or of a later one, and of a
 * partition that the committing member owns by the newest assignments; and no commit names a generation after its member was given a later one.
 *
 * Exceptions. With a cooperative assignor a partition that moves belongs to nobody for one generation: its last owner
 * finishes what it has in hand, and commits that in the new generation. A generation that has begun and is given up before
 * it has assignments changes nobody's partitions: members commit what they keep. Commits without a generation are not a member's.
 * Of a generation whose assignment was not seen (its leader's connection broke before it was answered) nothing is known.
 * Whose a partition is does not matter where the coordinator refuses. And a commit that waited for a connection while its
 * member joined names the generation that it was made in: it is refused, and harmless, so it counts only where nothing
 * was broken.
 */
export const commitOnlyOwned: Check = {
  name,
  statement: "a member commits only what it owns, in the generation that it is in",
  check
}
