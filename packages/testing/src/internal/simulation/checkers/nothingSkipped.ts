import type { Checker } from "../history.ts"
import { Beginnings } from "./beginnings.ts"
import type { Check } from "./check.ts"
import { LogIndex } from "./logIndex.ts"
import { Violations } from "./violations.ts"

const name = "nothing-skipped"

const check: Checker = (history) => {
  const violations = new Violations(name)
  if (history.members.length === 0 || history.atMostOnce === true) return violations.all
  const beginnings = new Beginnings(history)
  const processed = new Map<number, Set<number>>()
  for (const event of history.events) {
    if (event._tag !== "Processed") continue
    const offsets = processed.get(event.partition)
    if (offsets === undefined) processed.set(event.partition, new Set([event.offset]))
    else offsets.add(event.offset)
  }
  for (const [partition, records] of new LogIndex(history).partitions) {
    const skipped = records.filter(({ offset }) =>
      processed.get(partition)?.has(offset) !== true && beginnings.excusedAt(partition, offset) === undefined
    )
    const [first] = skipped
    if (first !== undefined) {
      violations.add(
        `partition ${partition}: ${skipped.length} records were never processed; the first is record ${first.record}, at ${first.offset}`,
        undefined
      )
    }
  }
  return violations.all
}

/**
 * Each record that is in the log in the end was processed by some member by then. That none was skipped on the way is
 * `commit-not-past-processed`.
 *
 * Exceptions: a history without members; a group that commits before it handles; what a member left out by a seek; what was deleted before it was processed; and where the group begins at the end,
 * what is before the first end that it was told while nothing was broken, or before its first commit.
 */
export const nothingSkipped: Check = {
  name,
  statement: "each record in the log was processed by some member",
  check
}
