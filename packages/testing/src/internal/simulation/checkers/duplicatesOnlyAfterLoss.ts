import type { Checker } from "../history.ts"
import type { Check } from "./check.ts"
import { consumptionOf, type Delivery } from "./consumption.ts"
import { Trouble } from "./trouble.ts"
import { Violations } from "./violations.ts"

const name = "duplicates-only-after-loss"

/** Whether one of these, which rise, is between two others. */
const hasBetween = (indices: ReadonlyArray<number>, from: number, to: number): boolean => {
  let low = 0
  let high = indices.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (indices[middle]! < from) low = middle + 1
    else high = middle
  }
  return low < indices.length && indices[low]! < to
}

const check: Checker = (history) => {
  const violations = new Violations(name)
  const members = new Set(history.members)
  const runs = new Set(history.runs)
  const trouble = new Trouble(history)
  const { deliveries, disturbances, moves } = consumptionOf(history)
  const { drainTimeout = 500 } = history
  /** Whether a member had a handler that took long, between a delivery of its own and another one. */
  const hadLong = (before: Delivery, { index, time }: Delivery): boolean =>
    deliveries.some((one) =>
      one.member === before.member && one.index < index && (one.ended?.index ?? Infinity) > before.index &&
      Math.min(one.ended?.time ?? Infinity, time) - one.time >= drainTimeout / 2
    )
  const last = new Map<string, Delivery>()
  for (const delivery of deliveries) {
    const { index, jumpFrom, mayJump, member, offset, partition, time } = delivery
    if (!members.has(member)) continue
    const key = `${partition}/${offset}`
    const before = last.get(key)
    last.set(key, delivery)
    if (before === undefined) continue
    if (before.member === member) {
      if (jumpFrom !== undefined && !mayJump) {
        violations.add(`${member} was given ${key} twice, and had not lost it`, time)
      }
      continue
    }
    const { ended } = before
    const wasHandedOver = before.isOwner && delivery.isOwner && ended !== undefined && ended.index < index &&
      ended.how === "processed" &&
      runs.has(before.member) && trouble.wasCalm(before.time, time, before.member) &&
      !hasBetween(disturbances.get(before.member) ?? [], before.index, index) &&
      !hasBetween(moves.get(partition) ?? [], before.index, index)
    if (wasHandedOver && !hadLong(before, delivery)) {
      violations.add(`${member} was given ${key}, which ${before.member} had processed when it gave it up`, time)
    }
  }
  return violations.all
}

/**
 * A record is given to handlers again only after a loss.
 *
 * To the same member: only where it may go on elsewhere (see {@link consumptionOf}): its reader began again, its handler
 * failed or was interrupted, or it lost the partition.
 *
 * To another member: if the first one had not processed it; or if it could not commit that before its partition was
 * another's. That it could not is excused if anything that disturbs the first one was broken meanwhile or of late, if a handler of it failed, was
 * interrupted or took as long as half of the shortest drain timeout (all partitions that are revoked together share one
 * bound, and by key a record may wait for one of another partition), or if its reader began again. Whoever reads a stream commits when they like, so for them it is always excused,
 * as is a stream that still goes through its chunk beside the partition's next owner, or when it has the partition back.
 * And whoever moves a partition back wants its records again. Otherwise a partition changes hands without a duplicate, also when a member closes.
 */
export const duplicatesOnlyAfterLoss: Check = {
  name,
  statement: "a record is handled again only after its partition was lost, or its handler failed",
  check
}
