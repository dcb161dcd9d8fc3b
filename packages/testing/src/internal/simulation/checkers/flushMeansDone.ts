import type { Checker, HistoryEvent, LoggedRecord } from "../history.ts"
import type { Check } from "./check.ts"
import { type Fate, fatesOf } from "./fates.ts"
import { Truncations } from "./truncations.ts"
import { Violations } from "./violations.ts"

const name = "flush-means-done"

type Stored = Extract<HistoryEvent, { readonly _tag: "Stored" }>

const check: Checker = (history) => {
  const violations = new Violations(name)
  const truncations = new Truncations(history)
  const fates = fatesOf(history)
  /** By producer: what was accepted and has no outcome yet, and what of it a flush waits for. */
  const open = new Map<string, Set<Fate>>()
  const flushing = new Map<string, ReadonlyArray<Fate>>()
  const lanes = new Map<string, Array<Fate>>()
  const closed = new Set<string>()
  /** What was told to be in the log until now, by partition. */
  const told = new Map<number, Array<Stored>>()
  const tellsStored = history.events.some(({ _tag }) => _tag === "Stored")
  const isStored = ({ offset, partition }: LoggedRecord): boolean =>
    told.get(partition)?.some(({ end, from }) => from <= offset && offset < end) ?? false
  /** What was handed over when its producer was closed. */
  const tooLate = new Set<Fate>()
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
        if (closed.has(event.producer)) tooLate.add(fate)
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
      case "Stored": {
        const batches = told.get(event.partition)
        if (batches === undefined) told.set(event.partition, [event])
        else batches.push(event)
        break
      }
      case "ProducerClosed":
        closed.add(event.producer)
        break
      case "SinkDone":
        for (const fate of lanes.get(`${event.producer}/${event.lane}`) ?? []) {
          const { copies, invoked, producer: { acks }, record, reported } = fate
          const failed = reported.find(({ outcome }) => outcome._tag === "Failed")
          const isExcused = acks === "none" || (acks === "leader" && truncations.coversAny(invoked.time))
          const isGone = copies.length === 0 && (tooLate.has(fate) || !isExcused)
          const isEarly = tellsStored && copies.length > 0 && !isExcused && !copies.some(isStored)
          if (failed !== undefined || isGone || isEarly || invoked.flaw !== undefined) {
            violations.add(
              `the sink that took record ${record} was done, and the record ${
                failed !== undefined ? "failed" : isEarly ? "is acknowledged later" : "is nowhere"
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
 * records is acknowledged: none of them failed, each is in the log, and a broker has said so.
 *
 * Exceptions. Of a flush, only records whose acceptance was seen are judged; whoever waits for them is told within the same
 * instant, and where timers overtake ready work perhaps later. With acks none, nothing is promised of the log; with acks
 * leader, a record may be gone where anything was truncated after it was handed over: a sink does not tell where it was.
 * Neither excuses a sink that is done with what was handed over when its producer was closed.
 */
export const flushMeansDone: Check = {
  name,
  statement: "a flush or a sink is done when the records that it waits for are",
  check
}
