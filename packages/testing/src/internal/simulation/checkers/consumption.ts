import type { HandlingFacts, History, PartitionIndex } from "../history.ts"
import { Beginnings } from "./beginnings.ts"
import { Assignments, memberNames } from "./groups.ts"
import { LogIndex } from "./logIndex.ts"
import { Trouble } from "./trouble.ts"

/** What a handler needs to begin, in milliseconds: timers that overtake ready work, and fibers that are late, come to less. */
const lateness = 100

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
  /**
   * Whether the partition is its member's, or was when it last was anybody's: not so for what a stream still holds, though the
   * partition be its own again.
   */
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
  /** By partition: indices of events by which it was moved elsewhere. */
  readonly moves: ReadonlyMap<PartitionIndex, ReadonlyArray<number>>
  /** By member: indices of events after which what was processed may not have been committed for its next owner. */
  readonly disturbances: ReadonlyMap<string, ReadonlyArray<number>>
}

/** One partition in the hands of a member. */
interface Lane {
  readonly partition: PartitionIndex
  last: Delivery | undefined
  /** Out of order: the last one of each key, and positions of all. */
  readonly byKey: Map<string, Delivery>
  readonly begun: Set<number>
  /** Where it was moved to, if nothing was lost since: nothing before it comes, and in order it is the next. */
  base: number | undefined
  /** When it was moved there. */
  movedAt: number
  /** The next record may be any: the reader began again, or its handler has not done the last one. */
  restarted: boolean
  /** The partition was, or may have been, lost and taken again. */
  retaken: boolean
  /** A stream was in the middle of a chunk when it lost the partition: what follows on before this offset is of that chunk. */
  chunkEnd: number
}

/** Where a record came from. */
interface Place {
  readonly partition: PartitionIndex
  readonly offset: number
  readonly stream?: number
}

const keyOf = ({ offset, partition, stream = 0 }: Place): string => `${partition}/${offset}/${stream}`

interface Member {
  /** By partition and, where each has streams of its own, by stream. */
  readonly lanes: Map<string, Lane>
  /** Those whose handlers have not ended, by place. */
  readonly open: Map<string, Delivery>
  readonly order: HandlingFacts["order"]
  /** A handler has failed, and it has not begun to read again: what it does now may be for nothing. */
  isFailing: boolean
  readonly disturbances: Array<number>
  readonly isRun: boolean
  /** By partition: the end of what was fetched last. */
  readonly fetched: Map<PartitionIndex, number>
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
 * A partition that was moved elsewhere goes on there; what had been begun to begin may still come at that moment.
 *
 * By key it goes on with the next record of that key, and in no order with any that it was not given: the same exceptions.
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
  const moves = new Map<PartitionIndex, Array<number>>()
  const memberOf = (name: string): Member => {
    let member = members.get(name)
    if (member === undefined) {
      member = {
        lanes: new Map(),
        open: new Map(),
        order: history.handling?.get(name)?.order ?? "partition",
        isFailing: false,
        disturbances: [],
        isRun: runs.includes(name),
        fetched: new Map(),
        assigned: [],
        memberId: undefined,
        syncedAt: 0,
        isDisturbed: false
      }
      members.set(name, member)
    }
    return member
  }
  const laneOf = ({ lanes, order }: Member, { partition, stream }: Place): Lane => {
    // Batches are no streams of their own.
    const key = stream === undefined || order === "batch" ? `${partition}` : `${partition}/${stream}`
    let lane = lanes.get(key)
    if (lane === undefined) {
      lane = {
        partition,
        last: undefined,
        byKey: new Map(),
        begun: new Set(),
        base: undefined,
        movedAt: -Infinity,
        restarted: true,
        retaken: false,
        chunkEnd: -1
      }
      lanes.set(key, lane)
    }
    return lane
  }
  /** Whether a record may be the next one that is begun, out of order. */
  const mayBegin = ({ order }: Member, lane: Lane, position: number): { before?: Delivery; isNext: boolean } => {
    const key = order === "key" ? log.of(lane.partition)[position]?.key : undefined
    const before = typeof key === "string" ? lane.byKey.get(key) : undefined
    return before === undefined
      ? { isNext: !lane.begun.has(position) }
      : { before, isNext: log.nextOfKey(lane.partition, before.position) === position }
  }
  const disturb = (member: Member, index: number) => {
    member.disturbances.push(index)
    member.isDisturbed = true
  }
  /** What comes next may be any record. */
  const forget = ({ lanes }: Member) => {
    for (const lane of lanes.values()) {
      lane.restarted = true
      lane.chunkEnd = -1
      lane.base = undefined
      lane.byKey.clear()
      lane.begun.clear()
    }
  }
  /** Whether a record, and so all those before it, was deleted by then. */
  const wasDeleted = (partition: PartitionIndex, position: number, time: number): boolean =>
    (beginnings.deletedAt(partition, log.of(partition)[position]!.offset) ?? Infinity) <= time
  const deliver = (
    name: string,
    index: number,
    time: number,
    place: Place,
    isReader = false
  ) => {
    const { offset, partition } = place
    const member = memberOf(name)
    const lane = laneOf(member, place)
    const position = log.positionOf(partition, offset)
    const isAnyOrder = member.order === "key" || member.order === "none"
    const next = isAnyOrder ? mayBegin(member, lane, position) : undefined
    const isFirst = lane.last === undefined
    const before = lane.last?.position ?? -1
    // One that had begun to begin may still come.
    const isMoved = lane.base !== undefined && time > lane.movedAt + lateness
    const isNext = isMoved && position < lane.base! || isMoved && lane.restarted && !isAnyOrder
      ? position === lane.base
      : next?.isNext ?? (isFirst && !isReader || position === before + 1 ||
        position > before && wasDeleted(partition, position - 1, time))
    if (!isNext) lane.chunkEnd = -1
    // One stream of all partitions is done with a chunk when it is given something of another one.
    if (place.stream === undefined) {
      for (const other of member.lanes.values()) if (other !== lane) other.chunkEnd = -1
    }
    const delivery: Delivery = {
      index,
      time,
      member: name,
      partition,
      offset,
      position,
      jumpFrom: isNext ? undefined : (next?.before ?? lane.last)?.offset ?? -1,
      isOwner: offset >= lane.chunkEnd && member.memberId !== undefined &&
        assignments.lastOwner(partition) === member.memberId,
      mayJump: !isReader && !isAnyOrder && !isMoved && (lane.restarted || lane.retaken),
      ended: undefined
    }
    deliveries.push(delivery)
    member.open.set(keyOf(place), delivery)
    if (member.isFailing) disturb(member, index)
    lane.last = delivery
    if (isMoved && !isAnyOrder) lane.base = undefined
    if (isAnyOrder) {
      const { key } = log.of(partition)[position] ?? {}
      lane.begun.add(position)
      if (typeof key === "string") lane.byKey.set(key, delivery)
    }
    lane.restarted = false
    if (member.isRun || !isNext) lane.retaken = false
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
        const delivery = member.open.get(keyOf(event))
        member.open.delete(keyOf(event))
        const isProcessed = event._tag === "Processed"
        if (delivery !== undefined) {
          delivery.ended ??= { index, time: event.time, how: isProcessed ? "processed" : event.how }
        }
        if (!isProcessed) {
          const lane = laneOf(member, event)
          lane.restarted = true
          if (lane.base !== undefined && event.how === "failed") lane.base = undefined
        }
        if (!isProcessed && event.how === "failed") member.isFailing = true
        if (!isProcessed || event.time - (delivery?.time ?? 0) >= drainTimeout / 2) disturb(member, index)
        return
      }
      case "MemberKilled":
      case "MemberStarted":
      case "ReaderRestarted": {
        const member = memberOf(event.member)
        forget(member)
        member.isFailing = false
        if (event._tag === "MemberKilled") member.open.clear()
        return disturb(member, index)
      }
      case "Seeking":
      case "Sought": {
        const lane = laneOf(memberOf(event.member), event)
        moves.set(event.partition, [...moves.get(event.partition) ?? [], index])
        lane.restarted = true
        lane.byKey.clear()
        lane.begun.clear()
        lane.base = event._tag === "Sought" ? log.positionOf(event.partition, event.offset) : undefined
        lane.movedAt = event.time
        return disturb(memberOf(event.member), index)
      }
      case "Fetched": {
        const { fetched } = memberOf(event.member)
        for (const { end, partition } of event.parts) fetched.set(partition, end)
        return
      }
      case "Assigned":
        return assignments.add(event)
      case "Synced": {
        const name = nameOf(event.memberId)
        if (name === undefined) return
        assignments.synced(event)
        const member = memberOf(name)
        const before = member.memberId === event.memberId ? member.assigned : []
        const after = assignments.of(event.generation, event.memberId)
        const mayHaveLost = member.isDisturbed || !trouble.wasCalm(member.syncedAt, event.time, name) ||
          !(cooperative || member.isRun)
        for (const lane of member.lanes.values()) {
          if (!mayHaveLost && before.includes(lane.partition) && after.includes(lane.partition)) continue
          lane.retaken = true
          const isInHand = !member.isRun && lane.last !== undefined && lane.last.ended === undefined
          lane.chunkEnd = isInHand ? member.fetched.get(lane.partition) ?? -1 : -1
          lane.base = undefined
          lane.byKey.clear()
          lane.begun.clear()
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
    moves,
    disturbances: new Map(Array.from(members, ([name, { disturbances }]) => [name, disturbances]))
  }
}
