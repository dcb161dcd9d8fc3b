import type { Checker } from "../history.ts"
import type { Check } from "./check.ts"
import { fatesOf } from "./fates.ts"
import { Violations } from "./violations.ts"

const name = "buffer-bound"

/** What a producer holds. */
interface Held {
  bytes: number
  records: number
}

const check: Checker = (history) => {
  const violations = new Violations(name)
  if (history.timersOvertake === true) return violations.all
  const fates = fatesOf(history)
  const producers = new Map(
    history.producers.map((facts) => [facts.name, { facts, held: { bytes: 0, records: 0 } as Held }])
  )
  const seen = new Map<number, "held" | "over">()
  const judge = (time: number) => {
    for (const { facts, held } of producers.values()) {
      if (held.records > 1 && held.bytes > facts.bufferBytes) {
        violations.add(
          `${facts.name} holds ${held.bytes} bytes in ${held.records} records, and its bound is ${facts.bufferBytes}`,
          time
        )
      }
    }
  }
  let now = -Infinity
  let changed = false
  for (const event of history.events) {
    if (changed && event.time !== now) {
      judge(now)
      changed = false
    }
    now = event.time
    switch (event._tag) {
      case "Accepted":
      case "Acknowledged":
      case "Failed":
      case "Abandoned":
      case "Reported": {
        const state = seen.get(event.record)
        const fate = fates.get(event.record)
        const isOver = event._tag !== "Accepted"
        if (fate === undefined || state === "over" || !isOver && state === "held") break
        seen.set(event.record, isOver ? "over" : "held")
        if (isOver && state === undefined) break
        const { held } = producers.get(fate.producer.name)!
        held.bytes += isOver ? -fate.invoked.size : fate.invoked.size
        held.records += isOver ? -1 : 1
        changed = true
      }
    }
  }
  if (changed) judge(now)
  return violations.all
}

/**
 * At the end of each instant, the records that a producer has accepted and that have no outcome yet are at most
 * `bufferBytes` of keys and values.
 *
 * Exceptions. One record alone may be larger: whatever its size, it fits into an empty buffer. Only records whose
 * acceptance was seen are counted; one whose sender stopped waiting is not counted any longer. Within an instant a record
 * may be accepted before the sender of another one hears of the outcome that made room for it; where timers overtake
 * ready work that may even be later, so nothing is judged then.
 */
export const bufferBound: Check = {
  name,
  statement: "a producer holds at most bufferBytes of accepted records without an outcome",
  check
}
