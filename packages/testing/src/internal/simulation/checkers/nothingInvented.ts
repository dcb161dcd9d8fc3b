import type { Checker } from "../history.ts"
import type { Check } from "./check.ts"
import { fatesOf } from "./fates.ts"
import { Violations } from "./violations.ts"

const name = "nothing-invented"

const check: Checker = (history) => {
  const violations = new Violations(name)
  const fates = fatesOf(history)
  for (const { offset, partition, record } of history.log) {
    if (!fates.has(record)) {
      violations.add(`${partition}/${offset} is record ${record}, which nobody handed over`, undefined)
    }
  }
  const invoked = new Set<number>()
  for (const event of history.events) {
    if (event._tag === "Invoked") invoked.add(event.record)
    else if ("record" in event && !invoked.has(event.record)) {
      violations.add(`${event._tag} of record ${event.record}, which nobody had handed over`, event.time)
    }
  }
  return violations.all
}

/**
 * A record in the log was handed over to a producer, and nobody hears of a record before it was handed over. No
 * exceptions: a history has all that writes to its topic.
 */
export const nothingInvented: Check = {
  name,
  statement: "whatever is in the log, or told of, was handed over before",
  check
}
