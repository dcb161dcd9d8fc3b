import type { Checker, Flaw, History } from "../history.ts"
import type { Check } from "./check.ts"
import { type Fate, fatesAside, fatesOf } from "./fates.ts"
import { Trouble } from "./trouble.ts"
import { Violations } from "./violations.ts"

const name = "fails-for-a-reason"

/** What a batch takes beside the key and the value of its only record, at most. */
const batchOverhead = 61 + 19

/** How a record with a flaw fails, if nothing else is in the way. */
const reasonOf: Readonly<Record<Flaw, string>> = {
  "too large": "MessageTooLarge",
  "not serializable": "SerializationFailed",
  "no such partition": "UnknownTopicOrPartition",
  "no such topic": "UnknownTopicOrPartition"
}

/** A failure, told to the sender or to the handler. */
interface Failure {
  readonly time: number
  readonly reason: string
  readonly persisted: "no" | "maybe"
}

const failuresOf = ({ reported, told }: Fate): ReadonlyArray<Failure> => [
  ...told.flatMap((event) => event._tag === "Failed" ? [event] : []),
  ...reported.flatMap(({ outcome, time }) => outcome._tag === "Failed" ? [{ ...outcome, time }] : [])
]

/** What is wrong with the end of a record that cannot be sent. */
const problemOfFlawed = ({ copies, reported, told }: Fate, flaw: Flaw): string | undefined => {
  if (copies.length > 0) return "is in the log"
  if (reported.length > 0) return "was accepted"
  if (told.some(({ _tag }) => _tag === "Acknowledged")) return "was acknowledged"
  const failed = told.find((event) => event._tag === "Failed")
  if (failed === undefined) return undefined
  if (failed.persisted !== "no") return `failed with persisted "${failed.persisted}"`
  // How many partitions there are has to be asked for.
  return reasonOf[flaw] === "UnknownTopicOrPartition" || failed.reason === reasonOf[flaw]
    ? undefined
    : `failed with ${failed.reason}`
}

/** How long it takes at most until clients know of a topic that was made again. */
const learningTime = 3000

/** When the topic of the records that are aside was not there. */
class Away {
  readonly #from: number
  readonly #to: number

  constructor({ events }: History) {
    this.#from = events.find(({ _tag }) => _tag === "TopicDeleted")?.time ?? Infinity
    this.#to = (events.find(({ _tag }) => _tag === "TopicMade")?.time ?? Infinity) + learningTime
  }

  wasFelt(from: number, to: number): boolean {
    return this.#from <= to && this.#to >= from
  }
}

/** Why a record that can be sent should not have failed as it did. */
const problemOfGood = (
  { invoked }: Fate,
  { persisted, reason, time }: Failure,
  { maxMessageBytes = Infinity }: History,
  trouble: Trouble,
  away: Away
): string | undefined => {
  const isCalm = trouble.wasCalm(invoked.time, time) && !(invoked.isAside === true && away.wasFelt(invoked.time, time))
  switch (reason) {
    case "Closed":
      return undefined
    case "MessageTooLarge":
      return invoked.size + batchOverhead > maxMessageBytes || (persisted === "maybe" && !isCalm)
        ? undefined
        : `its ${invoked.size} bytes are not too many`
    case "SerializationFailed":
    case "InvalidArgument":
    case "UnknownTopicOrPartition":
      return "nothing is wrong with it"
    default:
      return isCalm ? `nothing was broken (persisted "${persisted}")` : undefined
  }
}

const check: Checker = (history) => {
  const violations = new Violations(name)
  const trouble = new Trouble(history)
  const away = new Away(history)
  for (const fate of [...fatesOf(history).values(), ...fatesAside(history).values()]) {
    const { invoked: { flaw, time }, record } = fate
    if (flaw !== undefined) {
      const problem = problemOfFlawed(fate, flaw)
      if (problem !== undefined) violations.add(`record ${record} cannot be sent (${flaw}), and ${problem}`, time)
      continue
    }
    for (const failure of failuresOf(fate)) {
      const problem = problemOfGood(fate, failure, history, trouble, away)
      if (problem === undefined) continue
      violations.add(`record ${record} failed with ${failure.reason}, and ${problem}`, failure.time)
      break
    }
  }
  return violations.all
}

/**
 * A record that cannot be sent as it is (too large for its producer, not serializable, to a partition or topic that is not there)
 * is refused alone, for that, with `persisted: "no"`, and nothing is written. A record that can be sent fails only if its
 * producer is closed, if it alone is too large for the topic, or if something is broken: never for the fault of another.
 *
 * Exceptions. One for a topic that is deleted waits for it, and may be too late then; it never fails because the topic is not
 * there. Whether a partition is there must be asked for, and that may fail in other ways. How much a batch takes
 * beside its record is an upper bound: a record that is almost too large for the topic may fail or not. A batch that is too
 * large, and of which an answer was lost before, is not split: who knows that the topic took no larger ones then? Whether something is
 * broken is known for as long as it may be felt.
 */
export const failsForAReason: Check = {
  name,
  statement: "a record that cannot be sent is refused, alone, and one that can fails only if something is broken",
  check
}
