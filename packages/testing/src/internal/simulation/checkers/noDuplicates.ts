import type { Checker } from "../history.ts"
import type { Check } from "./check.ts"
import { fatesOf, isIdempotent, places } from "./fates.ts"
import { Violations } from "./violations.ts"

const name = "no-duplicates"

const check: Checker = (history) => {
  const violations = new Violations(name)
  for (const { copies, producer, record } of fatesOf(history).values()) {
    if (isIdempotent(producer) && copies.length > 1) {
      violations.add(`record ${record} is in the log ${copies.length} times: at ${places(copies)}`, undefined)
    }
  }
  return violations.all
}

/**
 * A record of an idempotent producer (acks all, by default) is in the log at most once, whatever its outcome was: also if it failed
 * with `"maybe"`, and if its sender was interrupted. Without idempotence a record may be written again by a retry.
 */
export const noDuplicates: Check = {
  name,
  statement: "a record of an idempotent producer is in the log at most once",
  check
}
