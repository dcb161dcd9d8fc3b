import type { Checker } from "../history.ts"
import type { Check } from "./check.ts"
import { consumptionOf } from "./consumption.ts"
import { LogIndex } from "./logIndex.ts"
import { Violations } from "./violations.ts"

const name = "in-order"

const check: Checker = (history) => {
  const violations = new Violations(name)
  for (const { jumpFrom, mayJump, member, offset, partition, time } of consumptionOf(history).deliveries) {
    if (jumpFrom !== undefined && !mayJump) {
      const before = jumpFrom < 0 ? "at first" : `after ${partition}/${jumpFrom}`
      violations.add(`${member} was given ${partition}/${offset} ${before}`, time)
    }
  }
  const { events, undecodable = new Set<number>() } = history
  const log = new LogIndex(history)
  for (const event of events) {
    if (event._tag !== "Read" && event._tag !== "ReadFailed") continue
    const { offset, partition, reader, time } = event
    const logged = log.at(partition, offset)
    const isUndecodable = logged !== undefined && undecodable.has(logged.record)
    if (isUndecodable !== (event._tag === "ReadFailed")) {
      violations.add(`${reader} ${isUndecodable ? "could" : "could not"} read ${partition}/${offset}`, time)
    }
  }
  return violations.all
}

/**
 * As long as a member keeps a partition, what its handler is given are the records of the log one after the other: the
 * offsets rise, and no record that is in the log in the end is left out. The same for a reader without a group, from the
 * first record on; it fails at the place of a record that does not decode, and at no other.
 *
 * Exceptions: where the member may go on elsewhere, see {@link consumptionOf}.
 */
export const inOrder: Check = {
  name,
  statement: "a member that keeps a partition is given its records one after the other",
  check
}
