import type { Checker } from "../history.ts"
import type { Check } from "./check.ts"
import { type Fate, fatesAside, fatesOf } from "./fates.ts"
import { Violations } from "./violations.ts"

const name = "nothing-invented"

/** Whether a record is known, and is as it was handed over. */
const isAsItWas = (fate: Fate, content: string | undefined): boolean =>
  content === undefined || fate.invoked.content === undefined || content === fate.invoked.content

/** The beginning, with the key, and the end, with the headers. */
const brief = (content = ""): string =>
  content.length <= 80 ? `"${content}"` : `"${content.slice(0, 40)}…${content.slice(-40)}"`

const check: Checker = (history) => {
  const violations = new Violations(name)
  const fates = fatesOf(history)
  for (const [known, log] of [[fates, history.log], [fatesAside(history), history.logAside ?? []]] as const) {
    for (const { content, offset, partition, record } of log) {
      const fate = known.get(record)
      if (fate === undefined) {
        violations.add(`${partition}/${offset} is record ${record}, which nobody handed over`, undefined)
      } else if (!isAsItWas(fate, content)) {
        violations.add(
          `record ${record} was ${brief(fate.invoked.content)}, and ${brief(content)} is in the log`,
          undefined
        )
      }
    }
  }
  const invoked = new Set<number>()
  for (const event of history.events) {
    if (event._tag === "Invoked") invoked.add(event.record)
    else if ("record" in event && !invoked.has(event.record)) {
      violations.add(`${event._tag} of record ${event.record}, which nobody had handed over`, event.time)
    } else if (event._tag === "Started" || event._tag === "Read") {
      const fate = fates.get(event.record)
      if (fate !== undefined && !isAsItWas(fate, event.content)) {
        violations.add(
          `record ${event.record} was ${brief(fate.invoked.content)}, and ${brief(event.content)} was delivered`,
          event.time
        )
      }
    }
  }
  return violations.all
}

/**
 * A record in the log was handed over to a producer, and nobody hears of a record before it was handed over; what is in
 * the log, and what is delivered, has the key, the value and the headers that it was handed over with. No exceptions: a
 * history has all that writes to its topic.
 */
export const nothingInvented: Check = {
  name,
  statement: "whatever is in the log, or told of, was handed over before, as it is",
  check
}
