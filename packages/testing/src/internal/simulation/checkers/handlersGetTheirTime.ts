import type { Checker } from "../history.ts"
import type { Check } from "./check.ts"
import { Trouble } from "./trouble.ts"
import { Violations } from "./violations.ts"

const name = "handlers-get-their-time"

/** Timers that overtake ready work, and fibers that are late, come to less. */
const clockError = 100

const check: Checker = (history) => {
  const violations = new Violations(name)
  const { drainTimeouts, events, handling, runs = [] } = history
  const trouble = new Trouble(history)
  /** By member: when its handlers began, by partition and offset. */
  const begun = new Map<string, Map<string, number>>(runs.map((member) => [member, new Map()]))
  for (const event of events) {
    switch (event._tag) {
      case "Started":
        begun.get(event.member)?.set(`${event.partition}/${event.offset}`, event.time)
        break
      case "Processed":
      case "HandlerEnded": {
        const { member, offset, partition, time } = event
        const since = begun.get(member)?.get(`${partition}/${offset}`)
        begun.get(member)?.delete(`${partition}/${offset}`)
        if (event._tag === "Processed" || event.how === "failed" || since === undefined) break
        // Out of order, a run that drains still begins what is older than what it has begun.
        const order = handling?.get(member)?.order ?? "partition"
        const bound = order === "key" || order === "none" ? 0 : drainTimeouts?.get(member) ?? 0
        if (time - since < bound - clockError && trouble.wasCalm(since, time, member)) {
          violations.add(
            `${member}: the handler of ${partition}/${offset} was interrupted after ${
              time - since
            } ms, and has ${bound}`,
            time
          )
        }
        break
      }
      case "MemberKilled":
        begun.get(event.member)?.clear()
        break
      case "MemberClosed":
        for (const place of begun.get(event.member)?.keys() ?? []) {
          violations.add(`${event.member} is closed, and its handler of ${place} goes on`, event.time)
        }
    }
  }
  return violations.all
}

/**
 * A handler of a run is interrupted only when it has had the time that a drain gives it, whyever its member stops or gives
 * its partition up. It began before the drain did, since nothing is taken after that, but for what is handled by key or in no
 * order: of that, what is older than what was begun is still taken, so that only its end is judged. And when its member is closed it has
 * ended.
 *
 * Exceptions: while something is broken, or was of late, its partition may have been lost. A stream that is interrupted ends
 * in the middle of a record.
 */
export const handlersGetTheirTime: Check = {
  name,
  statement: "a handler is interrupted only when its time is over or its partition lost, and none outlives its member",
  check
}
