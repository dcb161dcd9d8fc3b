import type { Checker } from "../history.ts"
import type { Check } from "./check.ts"
import { type Fate, fatesOf } from "./fates.ts"
import { Truncations } from "./truncations.ts"
import { Violations } from "./violations.ts"

const name = "flush-means-done"

const check: Checker = (history) => {
  const violations = new Violations(name)
  const truncations = new Truncations(history)
  const fates = fatesOf(history)
  /** By producer: what was accepted and has no outcome yet, and what of it a flush waits for. */
  const open = new Map<string, Set<Fate>>()
  const flushing = new Map<string, ReadonlyArray<Fate>>()
  const lanes = new Map<string, Array<Fate>>()
  const openOf = (producer: string): Set<Fate> => {
    let records = open.get(producer)
    if (records === undefined) open.set(producer, records = new Set())
    return records
  }
  for (const event of history.events) {
    switch (event._tag) {
      case "Invoked": {
        if (event.lane === undefined) break
        const lane = `${event.producer}/${event.lane}`
        const fate = fates.get(event.record)!
        const records = lanes.get(lane)
        if (records === undefined) lanes.set(lane, [fate])
        else records.push(fate)
        break
      }
      case "Accepted": {
        const fate = fates.get(event.record)
        if (fate !== undefined && !fate.told.some(({ time }) => time <= event.time)) openOf(event.producer).add(fate)
        break
      }
      case "Acknowledged":
      case "Failed":
      case "Abandoned": {
        const fate = fates.get(event.record)
        if (fate !== undefined) openOf(event.producer).delete(fate)
        break
      }
      case "Flushing":
        flushing.set(event.producer, Array.from(openOf(event.producer)))
        break
      case "Flushed": {
        // Senders are told by fibers of their own, which may run after the one that flushes.
        const late = (flushing.get(event.producer) ?? []).find(({ told: [first] }) =>
          first === undefined || (first.time > event.time && history.timersOvertake !== true)
        )
        if (late !== undefined) {
          violations.add(`record ${late.record} was accepted before a flush, which was done before it`, event.time)
        }
        break
      }
      case "SinkDone":
        for (
          const { copies, invoked, producer: { acks }, record, reported }
            of lanes.get(`${event.producer}/${event.lane}`) ?? []
        ) {
          const failed = reported.find(({ outcome }) => outcome._tag === "Failed")
          const isGone = acks !== "none" && copies.length === 0 &&
            !(acks === "leader" && truncations.coversAny(invoked.time))
          if (failed !== undefined || isGone || invoked.flaw !== undefined) {
            violations.add(
              `the sink that took record ${record} was done, and the record ${
                failed === undefined ? "is nowhere" : "failed"
              }`,
              event.time
            )
          }
        }
    }
  }
  return violations.all
}

/**
 * When a flush is done, each record that was accepted before it began has its outcome. When a sink is done, each of its
 * records is acknowledged: none of them failed, and each is in the log.
 *
 * Exceptions. Of a flush, only records whose acceptance was seen are judged; whoever waits for them is told within the same
 * instant, and where timers overtake ready work perhaps later. With acks none, nothing is promised of the log; with acks
 * leader, a record may be gone where anything was truncated after it was handed over: a sink does not tell where it was.
 */
export const flushMeansDone: Check = {
  name,
  statement: "a flush or a sink is done when the records that it waits for are",
  check
}
