import type { Checker } from "../history.ts"
import type { Check } from "./check.ts"
import { acknowledgementsOf, fatesOf } from "./fates.ts"
import { Violations } from "./violations.ts"

const name = "right-partition"

const check: Checker = (history) => {
  const violations = new Violations(name)
  for (const fate of fatesOf(history).values()) {
    const { copies, invoked: { partition: chosen, time }, record } = fate
    const acknowledged = acknowledgementsOf(fate)
    const right = chosen ?? copies[0]?.partition ?? acknowledged[0]?.partition
    const wrong = copies.find(({ partition }) => partition !== right)
    if (wrong !== undefined) {
      violations.add(
        `record ${record} belongs into partition ${right}, and is at ${wrong.partition}/${wrong.offset}`,
        time
      )
    }
    const untrue = acknowledged.find(({ partition }) => partition !== right)
    if (untrue !== undefined) {
      violations.add(
        `record ${record} belongs into partition ${right}, and was acknowledged in ${untrue.partition}`,
        untrue.time
      )
    }
  }
  return violations.all
}

/**
 * The partition of a record is chosen once: all its copies and acknowledgements name the same one, and where it was
 * given, by number or by key, that one. No exceptions, whatever the acks.
 */
export const rightPartition: Check = {
  name,
  statement: "a record is in one partition only, the one that was chosen for it",
  check
}
