/** Histories written by hand, shorter than in full. */
import { assert, it } from "@effect/vitest"

import type { Check } from "../../../src/internal/simulation/checkers/check.ts"
import type {
  Flaw,
  History,
  HistoryEvent,
  LoggedRecord,
  PartitionIndex,
  ProducerFacts
} from "../../../src/internal/simulation/history.ts"

type Untimed<E> = E extends { readonly time: number } ? Omit<E, "time"> : never
/** An event, or the time from which on what follows happens. */
export type Step = Untimed<HistoryEvent> | number

const producer = (
  name: string,
  acks: ProducerFacts["acks"],
  hasReports: boolean,
  idempotent = acks === "all"
): ProducerFacts => ({
  name,
  acks,
  idempotent,
  bufferBytes: 100,
  deliveryTimeout: 100,
  hasReports
})

/** Five producers and two members; `a` reads by `run`. All is well but for what the steps and the facts say. */
export const history = (steps: ReadonlyArray<Step>, facts: Partial<History> = {}): History => {
  let time = 0
  const events: Array<HistoryEvent> = []
  for (const step of steps) {
    if (typeof step === "number") time = step
    else events.push({ ...step, time } as HistoryEvent)
  }
  return {
    events,
    producers: [
      producer("all", "all", false),
      producer("reporting", "all", true),
      producer("repeating", "all", false, false),
      producer("leader", "leader", false),
      producer("none", "none", false)
    ],
    members: ["a", "b"],
    sessionTimeout: 1000,
    log: [],
    committed: new Map(),
    settledAt: time,
    settleWithin: 1000,
    leftovers: [],
    runs: ["a"],
    cooperative: true,
    ...facts
  }
}

/** A partition with these records, from offset 0 on. */
export const log = (partition: PartitionIndex, ...records: ReadonlyArray<number>): ReadonlyArray<LoggedRecord> =>
  records.map((record, offset) => ({ partition, offset, record }))

export const invoked = (
  record: number,
  {
    content,
    flaw,
    hasCorrelation,
    isAside,
    lane,
    mayNotWait,
    partition,
    partitionOnceGrown,
    producer = "all",
    size = 10
  }: {
    readonly partition?: PartitionIndex
    readonly partitionOnceGrown?: PartitionIndex
    readonly flaw?: Flaw
    readonly isAside?: boolean
    readonly hasCorrelation?: boolean
    readonly content?: string
    readonly producer?: string
    readonly size?: number
    readonly lane?: number
    readonly mayNotWait?: "at once" | "once known"
  } = {}
): Step => ({
  _tag: "Invoked",
  producer,
  record,
  size,
  partition,
  ...(lane !== undefined && { lane }),
  ...(mayNotWait !== undefined && { mayNotWait }),
  ...(flaw !== undefined && { flaw }),
  ...(isAside !== undefined && { isAside }),
  ...(hasCorrelation !== undefined && { hasCorrelation }),
  ...(content !== undefined && { content }),
  ...(partitionOnceGrown !== undefined && { partitionOnceGrown })
})
export const accepted = (record: number, producer = "all"): Step => ({ _tag: "Accepted", producer, record })
export const acknowledged = (
  record: number,
  partition: PartitionIndex,
  offset: number | undefined,
  producer = "all"
): Step => ({ _tag: "Acknowledged", producer, record, partition, offset })
export const failed = (
  record: number,
  persisted: "no" | "maybe",
  producer = "all",
  reason = "DeliveryTimeout"
): Step => ({ _tag: "Failed", producer, record, persisted, reason })
export const abandoned = (record: number, producer = "all"): Step => ({ _tag: "Abandoned", producer, record })
export const reported = (record: number, partition: PartitionIndex, offset: number, producer = "reporting"): Step => ({
  _tag: "Reported",
  producer,
  record,
  outcome: { _tag: "Acknowledged", partition, offset }
})
/** Reported, at the beginning of partition 0, with what was handed over with it. */
export const reportedWith = (record: number, correlation: number): Step => ({
  _tag: "Reported",
  producer: "reporting",
  record,
  correlation,
  outcome: { _tag: "Acknowledged", partition: 0, offset: 0 }
})
export const reportedFailure = (
  record: number,
  persisted: "no" | "maybe",
  producer = "reporting",
  reason = "DeliveryTimeout"
): Step => ({
  _tag: "Reported",
  producer,
  record,
  outcome: { _tag: "Failed", persisted, reason }
})
export const flushing: Step = { _tag: "Flushing", producer: "all" }
export const flushed: Step = { _tag: "Flushed", producer: "all" }
export const sinkDone = (lane: number, producer = "all"): Step => ({ _tag: "SinkDone", producer, lane })
/** A broker has acknowledged these offsets of partition 0. */
export const stored = (from: number, end: number): Step => ({ _tag: "Stored", partition: 0, from, end })
export const partitionsAdded = (count: number): Step => ({ _tag: "PartitionsAdded", count })
export const topicDeleted: Step = { _tag: "TopicDeleted" }
export const topicMade: Step = { _tag: "TopicMade" }
export const producerClosing = (producer = "all"): Step => ({ _tag: "ProducerClosing", producer })
export const producerClosed = (producer = "all"): Step => ({ _tag: "ProducerClosed", producer })

/** Records of partition 0 in these tests have ten times their offset as their id. */
const recordAt = (offset: number) => offset * 10
export const started = (member: string, offset: number, record = recordAt(offset), partition = 0): Step => ({
  _tag: "Started",
  member,
  partition,
  offset,
  record
})
export const processed = (member: string, offset: number, record = recordAt(offset), partition = 0): Step => ({
  _tag: "Processed",
  member,
  partition,
  offset,
  record
})
/** Started and processed at once. */
export const handled = (member: string, ...offsets: ReadonlyArray<number>): ReadonlyArray<Step> =>
  offsets.flatMap((offset) => [started(member, offset), processed(member, offset)])
export const handlerEnded = (member: string, offset: number, how: "failed" | "interrupted", partition = 0): Step => ({
  _tag: "HandlerEnded",
  member,
  partition,
  offset,
  how
})
export const read = (offset: number, record = recordAt(offset), partition = 0): Step => ({
  _tag: "Read",
  reader: "reader",
  partition,
  offset,
  record
})
export const member = (event: "Started" | "Closing" | "Closed", name: string): Step => ({
  _tag: `Member${event}`,
  member: name
})
export const restarted = (name: string): Step => ({ _tag: "ReaderRestarted", member: name })

/** Partition 0 is this member's, by its id; the others have nothing. */
export const assigned = (generation: number, owner: string | undefined, ...others: ReadonlyArray<string>): Step => {
  const partitions = new Map<string, ReadonlyArray<PartitionIndex>>(others.map((id) => [id, []]))
  if (owner !== undefined) partitions.set(owner, [0])
  return { _tag: "Assigned", generation, partitions }
}
export const synced = (memberId: string, generation: number): Step => ({ _tag: "Synced", memberId, generation })
export const committed = (
  memberId: string,
  generation: number,
  offset: number,
  { errorCode = 0, sentAt }: { readonly sentAt: number; readonly errorCode?: number }
): Step => ({ _tag: "Committed", memberId, generation, partition: 0, offset, sentAt, errorCode })
export const expelled = (memberId: string, why: "session" | "join" | "sync" = "session"): Step => ({
  _tag: "Expelled",
  memberId,
  why
})

export const absent = (memberId: string): Step => ({ _tag: "Absent", memberId })

/** Records of partition 0, which were sent to `a` unless told otherwise. */
export const fetched = (
  from: number,
  end: number,
  bytes: number,
  { broker = 1, excess = 0, member = "a", sentAt }: {
    readonly sentAt: number
    readonly member?: string
    readonly broker?: number
    readonly excess?: number
  }
): Step => ({ _tag: "Fetched", sentAt, member, broker, excess, parts: [{ partition: 0, from, end, bytes }] })

export const faultBegan = (id = 1, members?: ReadonlyArray<string>): Step => ({
  _tag: "FaultBegan",
  id,
  fault: "Crash",
  ...(members !== undefined && { members })
})
export const faultEnded = (id = 1): Step => ({ _tag: "FaultEnded", id, fault: "Crash" })
export const silenceBegan = (member: string): Step => ({ _tag: "SilenceBegan", member, connection: 1 })
export const silenceFelt = (until: number): Step => ({ _tag: "SilenceFelt", connection: 1, until })
export const silenceEnded: Step = { _tag: "SilenceEnded", connection: 1 }
export const truncated = (offset: number, partition = 0): Step => ({ _tag: "Truncated", partition, offset })
export const healed: Step = { _tag: "Healed" }

/** A checker finds nothing in some histories, and something in others. */
export const cases = (
  { check, name }: Check,
  { accepts, rejects }: {
    readonly accepts: Record<string, History>
    readonly rejects: Record<string, History>
  }
): void => {
  it.each(Object.entries(accepts))("accepts %s", (_, accepted) => {
    assert.deepStrictEqual(check(accepted), [])
  })
  it.each(Object.entries(rejects))("rejects %s", (_, rejected) => {
    const violations = check(rejected)
    assert.isNotEmpty(violations)
    for (const { invariant, message } of violations) {
      assert.strictEqual(invariant, name)
      assert.isNotEmpty(message)
    }
  })
}
