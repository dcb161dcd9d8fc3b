import type { Checker, Flaw, History } from "../history.ts"
import type { Check } from "./check.ts"
import { acknowledgementsOf, type Fate, fatesAside, fatesOf, isIdempotent } from "./fates.ts"
import { Trouble } from "./trouble.ts"
import { Violations } from "./violations.ts"

const name = "fails-for-a-reason"

/** What a batch takes beside the key and the value of its only record, at most: its header, and the record's and its headers. */
const batchOverhead = 61 + 19 + 30

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
  /** How often it was sent, if that was told. */
  readonly attempts?: number | undefined
}

const failuresOf = ({ reported, told }: Fate): ReadonlyArray<Failure> => [
  ...told.flatMap((event) => event._tag === "Failed" ? [event] : []),
  ...reported.flatMap(({ attempts, outcome, time }) =>
    outcome._tag === "Failed" ? [{ ...outcome, time, attempts }] : []
  )
]

/** How a batch ends whose partition has lost its sequence, if an earlier attempt may have been written. */
const lostSequence: ReadonlySet<string> = new Set([
  "OutOfOrderSequenceNumber",
  "InvalidProducerEpoch",
  "UnknownProducerId"
])

/** How a record ends that a connection had taken, where nothing is answered. */
const lostConnection: ReadonlySet<string> = new Set(["ConnectionLost", "RequestTimeout"])

/** How asking for metadata ends if the deadline passes. */
const ofLookups: ReadonlySet<string> = new Set([
  "BrokersUnavailable",
  "ConnectionLost",
  "RequestTimeout",
  "LeaderNotAvailable",
  "UnknownTopicOrPartition"
])

/** How long a producer that closes waits at most for what it has stopped, before it settles what is left. */
const stopping = 1000

/** By how much what happens may be heard of late, where timers overtake who is to hear of it. */
const overtaking = 1000

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

/** Whether two records of a producer may be in the same batch. */
const mayShareBatch = (a: Fate, b: Fate): boolean =>
  (a.invoked.isAside === true) === (b.invoked.isAside === true) && a.invoked.flaw === b.invoked.flaw &&
  (a.invoked.partition === undefined || b.invoked.partition === undefined ||
    a.invoked.partition === b.invoked.partition || a.invoked.partitionOnceGrown !== undefined ||
    b.invoked.partitionOnceGrown !== undefined)

/** Whether a record may have been without an outcome until then. */
const endedSince = (
  { invoked: { lane }, producer: { deliveryTimeout }, reported, told }: Fate,
  since: number
): boolean =>
  (told.length > 0 || reported.length > 0) && reported.every(({ time }) => time >= since) &&
  // A sink ends when all of its records have; who is interrupted was accepted by then, or never.
  told.every(({ _tag, time }) => time + (_tag === "Abandoned" && lane === undefined ? deliveryTimeout : 0) >= since)

/** Whether a record may have had room until then: that is free when it has its outcome, and its report is handled. */
const hadRoomSince = (fate: Fate, since: number): boolean =>
  fate.reported.some(({ time }) => time >= since) || endedSince(fate, since)

/** Whether a record may have failed since it was too late. */
const mayBeLate = (fate: Fate): boolean =>
  acknowledgementsOf(fate).length === 0 && failuresOf(fate).every(({ reason }) => reason === "DeliveryTimeout")

/** What a record is judged by. */
class Circumstances {
  readonly history: History
  readonly #trouble: Trouble
  readonly #away: Away
  readonly #closings = new Map<string, number>()
  readonly #byProducer = new Map<string, Array<Fate>>()

  constructor(history: History, fates: ReadonlyArray<Fate>) {
    this.history = history
    this.#trouble = new Trouble(history)
    this.#away = new Away(history)
    for (const event of history.events) {
      if (event._tag !== "ProducerClosing" && event._tag !== "ProducerClosed") continue
      if (!this.#closings.has(event.producer)) this.#closings.set(event.producer, event.time)
    }
    for (const fate of fates) {
      const others = this.#byProducer.get(fate.producer.name)
      if (others === undefined) this.#byProducer.set(fate.producer.name, [fate])
      else others.push(fate)
    }
  }

  /** By how much what happens may be heard of late. */
  get delay(): number {
    return this.history.timersOvertake === true ? overtaking : 1
  }

  /** Whether nothing was broken from when a record was handed over until then. */
  wasCalm({ invoked: { flaw, isAside, time } }: Fate, until: number): boolean {
    return this.#trouble.wasCalm(time, until) &&
      !(isAside === true && flaw === undefined && this.#away.wasFelt(time, until))
  }

  isClosing({ producer: { name } }: Fate, time: number): boolean {
    return (this.#closings.get(name) ?? Infinity) <= time
  }

  /**
   * Whether a record's batch may be past its deadline. A batch has that of its first record, which was handed over a
   * delivery timeout before, and ends with it; of one that was split, it may have ended before, but not before this one came.
   */
  mayBeTooLate(fate: Fate): boolean {
    const { invoked, producer, told } = fate
    const time = Math.min(...failuresOf(fate).map((failure) => failure.time))
    const isSplit = this.history.maxMessageBytes !== undefined && invoked.isAside !== true
    // Whoever sent several is told of all when the last one has its outcome, and handlers may have to wait.
    const isPrompt = invoked.lane === undefined && told.some(({ _tag }) => _tag === "Failed")
    const since = isSplit || !isPrompt ? invoked.time : time - this.delay
    const isFirst = (other: Fate): boolean =>
      other.invoked.time + producer.deliveryTimeout <= time + 1 && mayShareBatch(fate, other) &&
      endedSince(other, since) && (isSplit || mayBeLate(other))
    return isFirst(fate) || this.#byProducer.get(producer.name)!.some(isFirst)
  }

  /** Whether something of its producer may have had room when a record came that may not wait for any. */
  mayBeFull(fate: Fate, { time }: Failure): boolean {
    return this.#byProducer.get(fate.producer.name)!.some((other) =>
      other !== fate && other.invoked.time <= time && other.invoked.flaw === undefined &&
      hadRoomSince(other, time - this.delay)
    )
  }

  /** Whether the cluster was asked in vain for as long as a client tries, for a record that was not accepted before. */
  mayHaveAskedInVain({ accepted, invoked, reported }: Fate, { persisted, reason, time }: Failure): boolean {
    return persisted === "no" && accepted === undefined && reported.length === 0 && ofLookups.has(reason) &&
      time - invoked.time >= (this.history.lookupTimeout ?? Infinity)
  }
}

/** What is wrong with how a record failed that cannot be sent. */
const problemOfRefusal = (
  fate: Fate,
  flaw: Flaw,
  failure: Failure,
  circumstances: Circumstances
): string | undefined => {
  const { persisted, reason, time } = failure
  if (persisted !== "no") return `failed with persisted "${persisted}"`
  if (reason === reasonOf[flaw]) return undefined
  // What is there has to be asked for.
  const isAskedFor = reasonOf[flaw] === "UnknownTopicOrPartition" && (reason === "Closed"
    ? circumstances.isClosing(fate, time)
    : !circumstances.wasCalm(fate, time) && circumstances.mayHaveAskedInVain(fate, failure))
  return isAskedFor ? undefined : `failed with ${reason}`
}

/** What is wrong with the end of a record that cannot be sent. */
const problemOfFlawed = (fate: Fate, flaw: Flaw, circumstances: Circumstances): string | undefined => {
  const { copies, reported, told } = fate
  if (copies.length > 0) return "is in the log"
  if (reported.length > 0) return "was accepted"
  if (told.some(({ _tag }) => _tag === "Acknowledged")) return "was acknowledged"
  const failed = told.find((event) => event._tag === "Failed")
  return failed === undefined ? undefined : problemOfRefusal(fate, flaw, failed, circumstances)
}

/** Why a record that can be sent should not have failed as it did. */
const problemOfGood = (fate: Fate, failure: Failure, circumstances: Circumstances): string | undefined => {
  const { invoked, producer } = fate
  const { persisted, reason, time } = failure
  const { maxMessageBytes = Infinity } = circumstances.history
  const isCalm = circumstances.wasCalm(fate, time)
  const { attempts = Infinity } = failure
  const isSpent = producer.retries !== undefined && attempts > producer.retries && !isCalm
  switch (reason) {
    case "Closed":
      return circumstances.isClosing(fate, time) ? undefined : "its producer was open"
    case "MessageTooLarge":
      return invoked.size + batchOverhead > maxMessageBytes || (persisted === "maybe" && !isCalm)
        ? undefined
        : `its ${invoked.size} bytes are not too many`
    case "BufferFull":
      return invoked.mayNotWait === undefined
        ? "it was to wait for room"
        : persisted === "no" && circumstances.mayBeFull(fate, failure)
        ? undefined
        : `nothing took up its room (persisted "${persisted}")`
    case "SerializationFailed":
    case "InvalidArgument":
      return "nothing is wrong with it"
    case "UnknownTopicOrPartition":
      return isSpent ? undefined : "nothing is wrong with it"
  }
  if (isCalm) return `nothing was broken (persisted "${persisted}")`
  if (reason === "DeliveryTimeout") {
    return circumstances.mayBeTooLate(fate)
      ? undefined
      : `nothing that was sent with it was ${producer.deliveryTimeout} ms old`
  }
  if (isSpent) return undefined
  const isLost = persisted === "maybe" &&
    (isIdempotent(producer) && lostSequence.has(reason) || producer.acks === "none" && lostConnection.has(reason))
  return isLost || circumstances.mayHaveAskedInVain(fate, failure)
    ? undefined
    : `it could be tried again (persisted "${persisted}")`
}

/** Whether whoever waits for a record that was accepted heard of it too late. */
const isLate = (fate: Fate, circumstances: Circumstances): boolean => {
  const { accepted, producer: { deliveryTimeout }, told: [first] } = fate
  if (accepted === undefined || first === undefined) return false
  const slack = circumstances.delay + (circumstances.isClosing(fate, first.time) ? stopping : 0)
  return first.time > accepted.time + deliveryTimeout + slack
}

/** How long a record took that may not wait: until it was accepted, or refused. */
const waited = ({ accepted, invoked, told: [first] }: Fate): number =>
  invoked.mayNotWait === "at once" && (accepted ?? first) !== undefined ? (accepted ?? first)!.time - invoked.time : 0

/** How often it was sent more than its producer may; several in flight are sent again for one another. */
const excess = ({ producer: { maxInFlight, retries }, reported: [report] }: Fate): number =>
  retries === undefined || maxInFlight !== 1 ? 0 : (report?.attempts ?? 0) - (retries + 1)

const check: Checker = (history) => {
  const violations = new Violations(name)
  const fates = [...fatesOf(history).values(), ...fatesAside(history).values()]
  const circumstances = new Circumstances(history, fates)
  for (const fate of fates) {
    const { invoked: { flaw, time }, producer: { deliveryTimeout }, record } = fate
    if (flaw !== undefined) {
      const problem = problemOfFlawed(fate, flaw, circumstances)
      if (problem !== undefined) violations.add(`record ${record} cannot be sent (${flaw}), and ${problem}`, time)
      continue
    }
    if (isLate(fate, circumstances)) {
      violations.add(
        `record ${record} was accepted at ${fate.accepted!.time}, and had no outcome ${deliveryTimeout} ms later`,
        fate.told[0]!.time
      )
    }
    if (waited(fate) > circumstances.delay) {
      violations.add(`record ${record} was not to wait, and did for ${waited(fate)} ms`, time)
    }
    if (excess(fate) > 0) {
      violations.add(`record ${record} was sent ${fate.reported[0]!.attempts} times`, fate.reported[0]!.time)
    }
    for (const failure of failuresOf(fate)) {
      const problem = problemOfGood(fate, failure, circumstances)
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
 * producer is closing, if it alone is too large for the topic, or if something is broken; never for the fault of another. What
 * is broken may be over in a moment: a record fails for it only when its delivery timeout is over, or, `"maybe"`, if it cannot be
 * sent again without a duplicate: its sequence is lost, or, with acks none, a connection that had taken it. Whoever waits for a
 * record that was accepted is told within its delivery timeout. With a bound on retries it may also fail when it was sent that
 * often, and is not sent more often. One that may not wait for room is accepted or refused at once, and refused only if
 * others have room: they have no outcome yet, or their reports are not handled.
 *
 * Exceptions. One for a topic that is deleted waits for it, and may be too late then; it never fails because the topic is not
 * there. Whether a partition is there must be asked for: it is asked in vain only while something is broken, and not less long
 * than clients try. How much a batch takes beside its record is an upper bound: a record that is almost too large for the topic
 * may fail or not. A batch that is too large, and of which an answer was lost before, is not split: who knows that the topic
 * took no larger ones then? A batch has the deadline of its first record, and those that came later fail with it. When that is
 * over is known of single records, not of those who wait for several, nor of a batch that was split. Whether something is
 * broken is known for as long as it may be felt. How often a record was sent is known of those that are reported, and judged
 * where one batch is in flight: several may be sent again for the sake of one another, which counts for nothing.
 */
export const failsForAReason: Check = {
  name,
  statement: "a record that cannot be sent is refused, alone, and one that can fails only if something stays broken",
  check
}
