import type { Checker } from "../history.ts"
import type { Check } from "./check.ts"
import { Violations } from "./violations.ts"

const name = "progress"

const check: Checker = ({ events, settleWithin, settledAt }) => {
  const violations = new Violations(name)
  const healedAt = events.find((event) => event._tag === "Healed")?.time
  if (settledAt === undefined) {
    const since = healedAt === undefined ? "nothing was ever healed" : `all was healed at ${healedAt}`
    violations.add(`not everything was done in the end: ${since}`, events.at(-1)?.time)
  } else if (healedAt !== undefined && settledAt - healedAt > settleWithin) {
    violations.add(
      `it took ${settledAt - healedAt} ms until everything was done, and ${settleWithin} are allowed`,
      settledAt
    )
  }
  return violations.all
}

/**
 * After everything is mended, everything is done within `settleWithin`: each outcome is known, each record is processed
 * and committed. No exceptions.
 */
export const progress: Check = {
  name,
  statement: "everything is done soon after everything is mended",
  check
}
