import type { Checker } from "../history.ts"
import { type Check, clockError } from "./check.ts"
import { fatesOf } from "./fates.ts"
import { memberNames } from "./groups.ts"
import { Violations } from "./violations.ts"

const name = "close-is-orderly"

const check: Checker = (history) => {
  const violations = new Violations(name)
  const fates = fatesOf(history)
  const nameOf = memberNames(history)
  const runs = new Set(history.runs)
  const producers = new Map<string, number>()
  const members = new Map<string, number>()
  const late = new Set<number>()
  for (const event of history.events) {
    switch (event._tag) {
      case "ProducerClosed":
        producers.set(event.producer, event.time)
        break
      case "Invoked":
        if (producers.has(event.producer)) late.add(event.record)
        break
      case "Accepted":
      case "Acknowledged":
      case "Failed":
      case "Abandoned":
      case "Reported": {
        const closedAt = producers.get(event.producer)
        if (closedAt === undefined) break
        const isRefusal = event._tag === "Abandoned" || event._tag === "Failed" && event.persisted === "no"
        if (event._tag === "Reported") {
          violations.add(`${event.producer} reported record ${event.record} after it was closed`, event.time)
        } else if (late.has(event.record)) {
          if (!isRefusal) {
            violations.add(`${event.producer} took record ${event.record} after it was closed`, event.time)
          }
        } else if (event.time > closedAt && history.timersOvertake !== true) {
          violations.add(
            `${event.producer} told of record ${event.record} (${event._tag}) after it was closed`,
            event.time
          )
        }
        break
      }
      case "MemberStarted":
        members.delete(event.member)
        break
      case "MemberKilled":
      case "MemberClosed":
        members.set(event.member, event.time)
        break
      case "Started":
        if (runs.has(event.member) && members.has(event.member)) {
          violations.add(
            `${event.member} was given ${event.partition}/${event.offset} after it was closed`,
            event.time
          )
        }
        break
      case "Committed": {
        const closedAt = members.get(nameOf(event.memberId) ?? "")
        if (closedAt !== undefined && event.sentAt > closedAt + clockError) {
          violations.add(
            `${event.memberId} committed ${event.partition}/${event.offset} after it was closed`,
            event.time
          )
        }
      }
    }
  }
  for (const record of late) {
    const copies = fates.get(record)?.copies ?? []
    if (copies.length > 0) {
      violations.add(`record ${record} was sent by a closed producer, and is in the log`, undefined)
    }
  }
  return violations.all
}

/**
 * A producer that is closed reports nothing, takes nothing, and sends nothing; a member that is closed gives its handler
 * nothing and commits nothing, until it starts again.
 *
 * Exceptions. A record that is handed to a closed producer is refused (`"no"`). Senders are told by fibers of their own,
 * which may run after the fiber that closes, at the same instant; where timers overtake ready work, also later. The reader
 * of a stream may go on with the chunk in hand when the time to drain is over: only of a run it is known that it takes
 * nothing more. A handler that cannot be interrupted may end after its member has closed. A commit counts when it is sent:
 * it may arrive later.
 */
export const closeIsOrderly: Check = {
  name,
  statement: "nothing comes from a producer or a member after it is closed",
  check
}
