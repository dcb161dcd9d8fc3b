import type { Checker } from "../history.ts"
import type { Check } from "./check.ts"
import { acknowledgementsOf, fatesOf, isIdempotent, places } from "./fates.ts"
import { Truncations } from "./truncations.ts"
import { Violations } from "./violations.ts"

const name = "acknowledged-is-logged"

const check: Checker = (history) => {
  const violations = new Violations(name)
  const truncations = new Truncations(history)
  for (const fate of fatesOf(history).values()) {
    const { copies, invoked, producer, record } = fate
    if (producer.acks === "none") continue
    for (const { offset, partition, time } of acknowledgementsOf(fate)) {
      const at = offset === undefined ? "an offset that the broker did not tell" : offset
      const there = copies.some((copy) => copy.partition === partition && (offset ?? copy.offset) === copy.offset)
      const excused = producer.acks === "leader" && truncations.covers(partition, offset ?? Infinity, invoked.time)
      if (there ? isIdempotent(producer) && copies.length > 1 : !excused) {
        violations.add(`record ${record} was acknowledged at ${partition}/${at}, and it is at ${places(copies)}`, time)
        break
      }
    }
  }
  return violations.all
}

/**
 * Each record that is acknowledged, to its sender or to the delivery handler, is in the log at the partition and offset
 * that were told; with acks all it is there exactly once, with acks leader, or without idempotence, at least once.
 *
 * Exceptions. With acks leader a record may be gone where the log was truncated at or before its offset at any time
 * after it was handed over: not only after the acknowledgement, since an answer may still be on its way when its leader
 * is deposed. With acks none nothing is promised. An acknowledgement without an offset (the broker knows of a duplicate,
 * and not where it is) is satisfied by any offset of that partition.
 */
export const acknowledgedIsLogged: Check = {
  name,
  statement: "an acknowledged record is in the log where it was acknowledged; with acks all exactly once",
  check
}
