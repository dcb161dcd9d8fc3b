import type { Checker } from "../history.ts"
import type { Check } from "./check.ts"
import { Violations } from "./violations.ts"

const name = "handled-once"

const check: Checker = (history) => {
  const violations = new Violations(name)
  if (history.atMostOnce !== true) return violations.all
  const committed = new Map<number, number>()
  const started = new Set<string>()
  for (const event of history.events) {
    if (event._tag === "Committed" && event.errorCode === 0) {
      committed.set(event.partition, Math.max(committed.get(event.partition) ?? 0, event.offset))
    }
    if (event._tag !== "Started") continue
    const { member, offset, partition, time } = event
    const place = `${partition}/${offset}`
    if (started.has(place)) violations.add(`${member} was given ${place}, which had been handled before`, time)
    started.add(place)
    if ((committed.get(partition) ?? 0) <= offset) {
      violations.add(`${member} was given ${place}, and ${committed.get(partition) ?? "nothing"} was committed`, time)
    }
  }
  return violations.all
}

/**
 * A group that commits before it handles handles each record at most once, and only when the coordinator has stored its
 * offset. No exceptions: whatever is broken, and however its members end.
 */
export const handledOnce: Check = {
  name,
  statement: "committed before, a record is handled at most once, and not before it is committed",
  check
}
