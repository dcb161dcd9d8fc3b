import type { Checker } from "../history.ts"
import type { Check } from "./check.ts"
import { LogIndex } from "./logIndex.ts"
import { Violations } from "./violations.ts"

const name = "nothing-skipped"

const check: Checker = (history) => {
  const violations = new Violations(name)
  if (history.members.length === 0) return violations.all
  const processed = new Map<number, Set<number>>()
  for (const event of history.events) {
    if (event._tag !== "Processed") continue
    const offsets = processed.get(event.partition)
    if (offsets === undefined) processed.set(event.partition, new Set([event.offset]))
    else offsets.add(event.offset)
  }
  for (const [partition, records] of new LogIndex(history).partitions) {
    const skipped = records.filter(({ offset }) => processed.get(partition)?.has(offset) !== true)
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
 * Each record that is in the log in the end was processed by some member by then. The group begins at the beginning of
 * the log. No exceptions but a history without members. That none was skipped on the way is `commit-not-past-processed`.
 */
export const nothingSkipped: Check = {
  name,
  statement: "each record in the log was processed by some member",
  check
}
