import type { Checker } from "../history.ts"
import type { Check } from "./check.ts"
import { failedAt, fatesAside, fatesOf, places } from "./fates.ts"
import { Violations } from "./violations.ts"

const name = "failed-no-is-absent"

const check: Checker = (history) => {
  const violations = new Violations(name)
  const failed = new Map<number, number>()
  for (const fate of [...fatesOf(history).values(), ...fatesAside(history).values()]) {
    const time = failedAt(fate, "no")
    if (time === undefined) continue
    failed.set(fate.record, time)
    if (fate.copies.length > 0) {
      violations.add(`record ${fate.record} was surely not written, and is at ${places(fate.copies)}`, time)
    }
  }
  for (const event of history.events) {
    if ((event._tag === "Started" || event._tag === "Read") && failed.has(event.record)) {
      const who = event._tag === "Started" ? event.member : event.reader
      violations.add(`record ${event.record} was surely not written, and ${who} was given it`, event.time)
    }
  }
  return violations.all
}

/**
 * A record that failed with `persisted: "no"`, told to its sender or to the delivery handler, is not in the log, and no
 * consumer was given it. That holds for all acks, and for records that were never accepted. No exceptions: each record
 * is handed over once, and one that is sent again has another id.
 */
export const failedNoIsAbsent: Check = {
  name,
  statement: "a record that failed with persisted \"no\" is not in the log",
  check
}
