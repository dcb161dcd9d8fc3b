import type { Checker } from "../history.ts"
import type { Check } from "./check.ts"
import { consumptionOf } from "./consumption.ts"
import { Violations } from "./violations.ts"

const name = "in-order"

const check: Checker = (history) => {
  const violations = new Violations(name)
  for (const { jumpFrom, mayJump, member, offset, partition, time } of consumptionOf(history).deliveries) {
    if (jumpFrom !== undefined && !mayJump) {
      violations.add(`${member} was given ${partition}/${offset} after ${partition}/${jumpFrom}`, time)
    }
  }
  return violations.all
}

/**
 * As long as a member keeps a partition, what its handler is given are the records of the log one after the other: the
 * offsets rise, and no record that is in the log in the end is left out. The same for a reader without a group.
 *
 * Exceptions: where the member may go on elsewhere, see {@link consumptionOf}.
 */
export const inOrder: Check = {
  name,
  statement: "a member that keeps a partition is given its records one after the other",
  check
}
