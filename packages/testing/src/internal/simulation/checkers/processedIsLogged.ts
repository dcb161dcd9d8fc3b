import type { Checker } from "../history.ts"
import type { Check } from "./check.ts"
import { LogIndex } from "./logIndex.ts"
import { Violations } from "./violations.ts"

const name = "processed-is-logged"

const check: Checker = (history) => {
  const violations = new Violations(name)
  const log = new LogIndex(history)
  const furthest = new Map<number, number>()
  for (const event of history.events) {
    switch (event._tag) {
      case "Started":
      case "Processed":
      case "Read": {
        const { offset, partition, record, time } = event
        const who = event._tag === "Read" ? event.reader : event.member
        const there = log.at(partition, offset)
        if (there?.record !== record) {
          violations.add(
            `${who} was given record ${record} at ${partition}/${offset}, where ${
              there === undefined ? "nothing" : `record ${there.record}`
            } is`,
            time
          )
        }
        furthest.set(partition, Math.max(furthest.get(partition) ?? -1, offset))
        break
      }
      case "Truncated":
        if ((furthest.get(event.partition) ?? -1) >= event.offset) {
          violations.add(
            `partition ${event.partition} was truncated to ${event.offset}, after ${
              furthest.get(event.partition)
            } was given to a consumer`,
            event.time
          )
        }
    }
  }
  return violations.all
}

/**
 * What a handler or a reader is given is in the log in the end, at that partition and offset, and is not truncated
 * afterwards. No exceptions: consumers see only what is replicated, and such records survive every change of leaders.
 */
export const processedIsLogged: Check = {
  name,
  statement: "what a consumer is given is in the log at that place, for good",
  check
}
