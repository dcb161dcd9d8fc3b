/**
 * A model of producers, a log and a group that never lies: what it does is a valid history. It is small enough to be seen
 * to be right: a log is an array, a group has one owner a partition, and time passes only where a step says so.
 */
import type {
  History,
  HistoryEvent,
  LoggedRecord,
  PartitionIndex,
  ProducerFacts
} from "../../../src/internal/simulation/history.ts"

type Untimed<E> = E extends { readonly time: number } ? Omit<E, "time"> : never

/** What happens next. Numbers are taken modulo what there is to choose from. */
export type Move =
  /** A producer sends records in one of the ways in which that can end. */
  | {
    readonly _tag: "Send"
    readonly producer: number
    readonly partition: number
    readonly count: number
    readonly fate: "acknowledged" | "duplicated" | "maybeWritten" | "maybeLost" | "refused" | "abandoned"
  }
  /** A partition's owner handles some records, and the last one perhaps in vain. */
  | { readonly _tag: "Handle"; readonly partition: number; readonly count: number; readonly fails: boolean }
  | { readonly _tag: "Commit"; readonly partition: number }
  /** A partition moves to another member, as a cooperative assignor moves it. */
  | { readonly _tag: "Move"; readonly partition: number }
  /** A member is cut off and expelled, and comes back with nothing. */
  | { readonly _tag: "Expel"; readonly member: number }
  | { readonly _tag: "Read"; readonly partition: number; readonly count: number }

const producers: ReadonlyArray<ProducerFacts> = [
  { name: "p", acks: "all", bufferBytes: 1000, deliveryTimeout: 1_000_000, hasReports: true },
  { name: "q", acks: "leader", bufferBytes: 1000, deliveryTimeout: 1_000_000, hasReports: false },
  { name: "r", acks: "none", bufferBytes: 1000, deliveryTimeout: 1_000_000, hasReports: true }
]
const members = ["m", "n"]
const partitionCount = 3
const readerName = "reader"

/** A partition as the group sees it. */
interface Partition {
  readonly log: Array<number>
  /** The index of the member that owns it. */
  owner: number
  position: number
  committed: number
  read: number
}

class Model {
  readonly #events: Array<HistoryEvent> = []
  readonly #partitions: ReadonlyArray<Partition> = Array.from({ length: partitionCount }, () => ({
    log: [],
    owner: 0,
    position: 0,
    committed: 0,
    read: 0
  }))
  readonly #ids = ["m-1", "n-2"]
  #time = 0
  #records = 0
  #generation = 0
  #lastId = 2
  #faults = 0

  #tell(event: Untimed<HistoryEvent>): void {
    this.#events.push({ ...event, time: this.#time } as HistoryEvent)
  }

  #passes(milliseconds: number): void {
    this.#time += milliseconds
  }

  start(): void {
    for (const member of members) this.#tell({ _tag: "MemberStarted", member })
    this.#assign()
  }

  /** The next generation. `none` is for a partition that is between two owners. */
  #assign(none?: Partition): void {
    const generation = ++this.#generation
    this.#tell({
      _tag: "Assigned",
      generation,
      partitions: new Map(
        this.#ids.map((id, member) => [
          id,
          this.#partitions.flatMap((each, index) => each.owner === member && each !== none ? [index] : [])
        ])
      )
    })
    for (const memberId of this.#ids) this.#tell({ _tag: "Synced", memberId, generation })
  }

  do(move: Move): void {
    this.#passes(5)
    switch (move._tag) {
      case "Send":
        return this.#send(move)
      case "Handle":
        return this.#handle(move.partition, move.count, move.fails)
      case "Commit":
        return this.#commit(move.partition)
      case "Move":
        return this.#move(move.partition)
      case "Expel":
        return this.#expel(move.member)
      case "Read":
        return this.#read(move.partition, move.count)
    }
  }

  #send({ count, fate, partition, producer: which }: Extract<Move, { readonly _tag: "Send" }>): void {
    const { acks, hasReports, name: producer } = producers[which]!
    const { log } = this.#partitions[partition]!
    for (let i = 0; i < count; i++) {
      const record = this.#records++
      const isLost = fate === "maybeLost" || fate === "refused"
      this.#tell({ _tag: "Invoked", producer, record, size: 10, partition: record % 2 === 0 ? partition : undefined })
      if (fate !== "abandoned" && fate !== "refused") this.#tell({ _tag: "Accepted", producer, record })
      this.#passes(1)
      const place = log.length
      if (!isLost) log.push(record)
      if (fate === "duplicated" && acks === "leader") log.push(record)
      const offset = acks === "none" ? undefined : place
      const outcome = fate === "acknowledged" || fate === "duplicated" || fate === "abandoned"
        ? { _tag: "Acknowledged" as const, partition, offset }
        : {
          _tag: "Failed" as const,
          persisted: fate === "refused" ? "no" as const : "maybe" as const,
          reason: "MessageTooLarge"
        }
      if (hasReports && fate !== "refused") this.#tell({ _tag: "Reported", producer, record, outcome })
      this.#tell(fate === "abandoned" ? { _tag: "Abandoned", producer, record } : { ...outcome, producer, record })
    }
  }

  #handle(index: number, count: number, fails: boolean): void {
    const partition = this.#partitions[index]!
    const member = members[partition.owner]!
    const end = Math.min(partition.log.length, partition.position + count)
    while (partition.position < end) {
      const offset = partition.position
      const record = partition.log[offset]!
      this.#tell({ _tag: "Started", member, partition: index, offset, record })
      this.#passes(2)
      if (fails && offset === end - 1) {
        this.#tell({ _tag: "HandlerEnded", member, partition: index, offset, how: "failed" })
        return this.#tell({ _tag: "ReaderRestarted", member })
      }
      this.#tell({ _tag: "Processed", member, partition: index, offset, record })
      partition.position++
    }
  }

  #commit(index: number): void {
    const partition = this.#partitions[index]!
    if (partition.position === partition.committed) return
    const sentAt = this.#time
    this.#passes(2)
    partition.committed = partition.position
    this.#tell({
      _tag: "Committed",
      sentAt,
      memberId: this.#ids[partition.owner]!,
      generation: this.#generation,
      partition: index,
      offset: partition.position,
      errorCode: 0
    })
  }

  #move(index: number): void {
    const partition = this.#partitions[index]!
    this.#assign(partition)
    this.#passes(3)
    this.#commit(index)
    partition.owner = 1 - partition.owner
    this.#assign()
  }

  #expel(member: number): void {
    const fault = { id: ++this.#faults, fault: "Partition" }
    this.#tell({ _tag: "FaultBegan", ...fault })
    this.#passes(1500)
    const memberId = this.#ids[member]!
    this.#tell({ _tag: "Expelled", memberId, why: "session" })
    for (const partition of this.#partitions) {
      if (partition.owner !== member) continue
      partition.owner = 1 - member
      partition.position = partition.committed
    }
    this.#tell({ _tag: "FaultEnded", ...fault })
    this.#ids[member] = `${members[member]}-${++this.#lastId}`
    this.#assign()
  }

  #read(index: number, count: number): void {
    const partition = this.#partitions[index]!
    for (const end = Math.min(partition.log.length, partition.read + count); partition.read < end; partition.read++) {
      const offset = partition.read
      const record = partition.log[offset]!
      this.#tell({ _tag: "Read", reader: readerName, partition: index, offset, record })
    }
  }

  /** Everything is done, and closed. */
  end(): History {
    this.#passes(10)
    this.#tell({ _tag: "Healed" })
    this.#partitions.forEach((partition, index) => {
      this.#handle(index, partition.log.length, false)
      this.#commit(index)
      this.#read(index, partition.log.length)
    })
    const settledAt = this.#time
    for (const { name: producer } of producers) this.#tell({ _tag: "ProducerClosing", producer })
    for (const { name: producer } of producers) this.#tell({ _tag: "ProducerClosed", producer })
    for (const member of members) {
      this.#tell({ _tag: "MemberClosing", member })
      this.#tell({ _tag: "MemberClosed", member })
    }
    return {
      events: this.#events,
      producers,
      members,
      sessionTimeout: 1000,
      log: this.#partitions.flatMap(({ log }, partition) =>
        log.map((record, offset): LoggedRecord => ({ partition, offset, record }))
      ),
      committed: new Map(
        this.#partitions.flatMap(({ committed }, partition): Array<[PartitionIndex, number]> =>
          committed === 0 ? [] : [[partition, committed]]
        )
      ),
      settledAt,
      settleWithin: 100_000,
      maxMessageBytes: 50,
      leftovers: [],
      runs: members,
      cooperative: true
    }
  }
}

/** The history of these moves, after some without which there would be too little to get wrong. */
export const play = (moves: ReadonlyArray<Move>): History => {
  const model = new Model()
  model.start()
  const first: ReadonlyArray<Move> = [
    { _tag: "Send", producer: 0, partition: 0, count: 4, fate: "acknowledged" },
    { _tag: "Handle", partition: 0, count: 4, fails: false },
    { _tag: "Commit", partition: 0 },
    { _tag: "Send", producer: 0, partition: 0, count: 3, fate: "acknowledged" },
    { _tag: "Send", producer: 0, partition: 1, count: 1, fate: "refused" }
  ]
  for (const move of first) model.do(move)
  for (const move of moves) model.do(move)
  return model.end()
}

export const partitionsOfModel = partitionCount
