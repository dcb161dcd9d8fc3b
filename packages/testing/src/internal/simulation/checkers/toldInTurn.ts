import type { Checker } from "../history.ts"
import type { Check } from "./check.ts"
import { fatesOf } from "./fates.ts"
import { Violations } from "./violations.ts"

const name = "told-in-turn"

const check: Checker = (history) => {
  const violations = new Violations(name)
  const fates = fatesOf(history)
  const inTurn = new Set(
    history.producers.flatMap((producer) => producer.reportsInTurn === true ? [producer.name] : [])
  )
  const firstFault = history.events.find(({ _tag }) => _tag === "FaultBegan")?.time ?? Infinity
  const isOrdered = (time: number): boolean => history.inUsualOrder === true && time < firstFault
  /** What came out of a stream last; what is being handled of a partition, and what was reported of it last. */
  const piped = new Map<string, number>()
  const handled = new Map<string, number>()
  const reported = new Map<string, number>()
  for (const event of history.events) {
    switch (event._tag) {
      case "Piped": {
        const { correlation, lane, producer, record, time } = event
        if (correlation !== record) {
          violations.add(`record ${record} came out of a stream with the correlation ${correlation}`, time)
        }
        const key = `${producer}/${lane}`
        const before = piped.get(key)
        // Ids go up in a lane.
        if (before !== undefined && before >= record) {
          violations.add(`record ${record} came out of a stream after ${before}, and went into it before`, time)
        }
        piped.set(key, record)
        break
      }
      case "Reported": {
        const { outcome, producer, record, time } = event
        if (outcome._tag !== "Acknowledged" || !inTurn.has(producer) || fates.get(record) === undefined) break
        const key = `${producer}/${outcome.partition}`
        const other = handled.get(key)
        if (other !== undefined) {
          violations.add(`the report of record ${record} was handled beside that of ${other}, of its partition`, time)
        }
        handled.set(key, record)
        const before = reported.get(key)
        if (isOrdered(time) && before !== undefined && outcome.offset !== undefined && before >= outcome.offset) {
          violations.add(
            `offset ${outcome.offset} of partition ${outcome.partition} was reported after ${before}`,
            time
          )
        }
        if (outcome.offset !== undefined) reported.set(key, outcome.offset)
        break
      }
      case "ReportHandled":
        for (const [key, record] of handled) if (record === event.record) handled.delete(key)
    }
  }
  return violations.all
}

/**
 * What became of the records of a stream comes out of it in the order in which they went in, each with its correlation.
 * Where reports of a partition are handled in turn, no two of them are at a time, and they are in the order of its log.
 *
 * Exceptions. Reports of records that failed are not judged, since it is not known which partition had been chosen. The
 * order of the log is judged until the first fault: a batch that was written may have to be sent again, and is reported
 * behind those that came after it. Nor is it judged where fibers overtake each other: each answer has its own.
 */
export const toldInTurn: Check = {
  name,
  statement: "a stream gives outcomes in its order; with an order by partition, its reports are handled one by one",
  check
}
