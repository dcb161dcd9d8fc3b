import type { History, PartitionIndex } from "../history.ts"
import { Beginnings } from "./beginnings.ts"
import { Assignments, memberNames } from "./groups.ts"
import { LogIndex } from "./logIndex.ts"
import { Trouble } from "./trouble.ts"

/** A record in the hands of a member's handler, or of a reader. */
export interface Delivery {
  /** Of the event, and its time. */
  readonly index: number
  readonly time: number
  readonly member: string
  readonly partition: PartitionIndex
  readonly offset: number
  /** How many records of the partition are before it in the log. */
  readonly position: number
  /** Where the one before it was, if this is not the next one; -1 if there was none. */
  readonly jumpFrom: number | undefined
  /** Whether the partition is its member's, or was when it last was anybody's: not so for what a stream still holds. */
  readonly isOwner: boolean
  /** Whether the member may go on elsewhere here. */
  readonly mayJump: boolean
  ended:
    | { readonly index: number; readonly time: number; readonly how: "processed" | "failed" | "interrupted" }
    | undefined
}

/** What members and readers were given. */
export interface Consumption {
  readonly deliveries: ReadonlyArray<Delivery>
  /** By member: indices of events after which what was processed may not have been committed for its next owner. */
  readonly disturbances: ReadonlyMap<string, ReadonlyArray<number>>
}

/** One partition in the hands of a member. */
interface Lane {
  last: Delivery | undefined
  /** The next record may be any: the reader began again, or its handler has not done the last one. */
  restarted: boolean
  /** The partition was, or may have been, lost and taken again. */
  retaken: boolean
}

interface Member {
  readonly lanes: Map<PartitionIndex, Lane>
  readonly disturbances: Array<number>
  readonly isRun: boolean
  assigned: ReadonlyArray<PartitionIndex>
  memberId: string | undefined
  syncedAt: number
  isDisturbed: boolean
}

const byHistory = new WeakMap<History, Consumption>()

/**
 * What each member and reader was given, in order. Made once for a history.
 *
 * A member goes on with the next record of a partition, but for these:
 * - its reader began again (`ReaderRestarted`), or the member itself did;
 * - its handler failed or was interrupted: that record comes again;
 * - it took the partition anew, that is, it synced a generation and did not have the partition in it or in the one that
 *   it synced before; or it may have lost it without a trace: something was broken meanwhile, or handlers took so long
 *   that they were not awaited. A stream still goes through the chunk that it was given before, so the leap may be later
 *   than the loss; a run ends its handlers before;
 * - what is between was deleted by then.
 *
 * A reader without a group begins with the first record of each partition. One whose stream fails with the place of a
 * record is taken to be given that.
 *
 * If the assignor is not known to be cooperative, every rebalance takes all from the readers of streams.
 */
export const consumptionOf = (history: History): Consumption => {
  const known = byHistory.get(history)
  if (known !== undefined) return known
  const consumption = makeConsumption(history)
  byHistory.set(history, consumption)
  return consumption
}

const makeConsumption = (history: History): Consumption => {
  const { cooperative = false, drainTimeout = 500, events, runs = [] } = history
  const log = new LogIndex(history)
  const beginnings = new Beginnings(history)
  const trouble = new Trouble(history)
  const nameOf = memberNames(history)
  const assignments = new Assignments()
  const members = new Map<string, Member>()
  const deliveries: Array<Delivery> = []
  const memberOf = (name: string): Member => {
    let member = members.get(name)
    if (member === undefined) {
      member = {
        lanes: new Map(),
        disturbances: [],
        isRun: runs.includes(name),
        assigned: [],
        memberId: undefined,
        syncedAt: 0,
        isDisturbed: false
      }
      members.set(name, member)
    }
    return member
  }
  const laneOf = ({ lanes }: Member, partition: PartitionIndex): Lane => {
    let lane = lanes.get(partition)
    if (lane === undefined) lanes.set(partition, lane = { last: undefined, restarted: true, retaken: false })
    return lane
  }
  /** Whether a record, and so all those before it, was deleted by then. */
  const wasDeleted = (partition: PartitionIndex, position: number, time: number): boolean =>
    (beginnings.deletedAt(partition, log.of(partition)[position]!.offset) ?? Infinity) <= time
  const deliver = (
    name: string,
    index: number,
    time: number,
    { offset, partition }: { readonly partition: PartitionIndex; readonly offset: number },
    isReader = false
  ) => {
    const member = memberOf(name)
    const lane = laneOf(member, partition)
    const position = log.positionOf(partition, offset)
    const isFirst = lane.last === undefined
    const before = lane.last?.position ?? -1
    const isNext = isFirst && !isReader || position === before + 1 ||
      position > before && wasDeleted(partition, position - 1, time)
    const delivery: Delivery = {
      index,
      time,
      member: name,
      partition,
      offset,
      position,
      jumpFrom: isNext ? undefined : lane.last?.offset ?? -1,
      isOwner: member.memberId !== undefined && assignments.lastOwner(partition) === member.memberId,
      mayJump: !isReader && (lane.restarted || lane.retaken),
      ended: undefined
    }
    deliveries.push(delivery)
    lane.last = delivery
    lane.restarted = false
    if (member.isRun || !isNext) lane.retaken = false
  }
  const disturb = (member: Member, index: number) => {
    member.disturbances.push(index)
    member.isDisturbed = true
  }

  events.forEach((event, index) => {
    switch (event._tag) {
      case "Started":
        return deliver(event.member, index, event.time, event)
      case "Read":
      case "ReadFailed":
        return deliver(event.reader, index, event.time, event, true)
      case "Processed":
      case "HandlerEnded": {
        const member = memberOf(event.member)
        const lane = laneOf(member, event.partition)
        const delivery = lane.last
        const isProcessed = event._tag === "Processed"
        if (delivery?.offset === event.offset) {
          delivery.ended ??= { index, time: event.time, how: isProcessed ? "processed" : event.how }
        }
        if (!isProcessed) lane.restarted = true
        if (!isProcessed || event.time - (delivery?.time ?? 0) >= drainTimeout / 2) disturb(member, index)
        return
      }
      case "MemberStarted":
      case "ReaderRestarted": {
        const member = memberOf(event.member)
        for (const lane of member.lanes.values()) lane.restarted = true
        return disturb(member, index)
      }
      case "Assigned":
        return assignments.add(event)
      case "Synced": {
        const name = nameOf(event.memberId)
        if (name === undefined) return
        const member = memberOf(name)
        const before = member.memberId === event.memberId ? member.assigned : []
        const after = assignments.of(event.generation, event.memberId)
        const mayHaveLost = member.isDisturbed || !trouble.wasCalm(member.syncedAt, event.time, name) ||
          !(cooperative || member.isRun)
        for (const [partition, lane] of member.lanes) {
          if (mayHaveLost || !before.includes(partition) || !after.includes(partition)) lane.retaken = true
        }
        member.assigned = after
        member.memberId = event.memberId
        member.syncedAt = event.time
        member.isDisturbed = false
      }
    }
  })
  return {
    deliveries,
    disturbances: new Map(Array.from(members, ([name, { disturbances }]) => [name, disturbances]))
  }
}
