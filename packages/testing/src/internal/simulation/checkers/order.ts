import type { Checker, LoggedRecord } from "../history.ts"
import type { Check } from "./check.ts"
import { acknowledgementsOf, type Fate, fatesOf, isIdempotent } from "./fates.ts"
import { Truncations } from "./truncations.ts"
import { Violations } from "./violations.ts"

const name = "order"

/** Of the records that came before others, the one that is furthest in a partition of the log. */
class Furthest {
  readonly #byPartition = new Map<string, LoggedRecord>()

  add(group: string, place: LoggedRecord): void {
    const key = `${group}/${place.partition}`
    const furthest = this.#byPartition.get(key)
    if (furthest === undefined || place.offset > furthest.offset) this.#byPartition.set(key, place)
  }

  of(group: string, partition: number): LoggedRecord | undefined {
    return this.#byPartition.get(`${group}/${partition}`)
  }
}

const check: Checker = (history) => {
  const violations = new Violations(name)
  const fates = fatesOf(history)
  const truncations = new Truncations(history)
  const hadFaults = history.events.some((event) => event._tag === "FaultBegan")
  const accepted = new Furthest()
  const inLane = new Furthest()

  /** Where a record is, as far as others can be compared with it. */
  const placesOf = (fate: Fate): ReadonlyArray<LoggedRecord> => {
    if (fate.producer.acks === "none" || isIdempotent(fate.producer)) return fate.copies
    const acknowledged = acknowledgementsOf(fate).find(({ offset }) => offset !== undefined)
    return acknowledged === undefined ||
        truncations.covers(acknowledged.partition, acknowledged.offset!, fate.invoked.time)
      ? []
      : fate.copies.filter(({ offset, partition }) =>
        partition === acknowledged.partition && offset === acknowledged.offset
      )
  }
  const settle = (record: number): void => {
    const fate = fates.get(record)
    if (fate !== undefined) { for (const place of placesOf(fate)) accepted.add(fate.producer.name, place) }
  }

  for (const event of history.events) {
    switch (event._tag) {
      case "Accepted":
      case "Acknowledged":
      case "Failed":
      case "Abandoned":
      case "Reported":
        settle(event.record)
        break
      case "Invoked": {
        const fate = fates.get(event.record)
        if (fate === undefined) break
        if (fate.producer.acks === "none" && hadFaults) break
        const lane = event.lane === undefined ? undefined : `${event.producer}/${event.lane}`
        const [first] = placesOf(fate)
        if (first !== undefined) {
          const before = [
            accepted.of(event.producer, first.partition),
            lane === undefined ? undefined : inLane.of(lane, first.partition)
          ].find((place) => place !== undefined && place.offset > first.offset)
          if (before !== undefined) {
            violations.add(
              `record ${before.record} was accepted before ${event.record}, and is behind it in partition ${first.partition}: at ${before.offset} and ${first.offset}`,
              event.time
            )
          }
        }
        if (lane !== undefined) { for (const place of placesOf(fate)) inLane.add(lane, place) }
      }
    }
  }
  return violations.all
}

/**
 * Records of one producer in one partition are in the log in the order in which they were accepted, as far as that is
 * known: a record came before another one if it was accepted, or its sender was told something, before the other one was
 * handed over; or if both have the same lane.
 *
 * Exceptions. With acks leader, or without idempotence, a retry may be written twice, perhaps after what comes behind it in its own batch, so only
 * the places that were acknowledged are compared: nothing of the partition is sent before an attempt is settled. A record
 * without one is not judged: what ended `"maybe"` may still sit unread in a connection that was given up, and no sequence
 * keeps a broker from writing it later. Nor is one whose place was truncated since. With acks none, what the socket took
 * counts as sent, so order holds only on one connection: it is judged only where nothing was broken at all.
 */
export const order: Check = {
  name,
  statement: "records of a producer are in a partition in the order in which they were accepted",
  check
}
