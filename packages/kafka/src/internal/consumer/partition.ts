import { FatalError, type KafkaError } from "../../KafkaError.ts"
import type * as Topic from "../../Topic.ts"
import { endPosition } from "../kernel/endPosition.ts"
import { type CommitPoint, makePartitionCommit, type PartitionCommit, settle } from "../kernel/partitionCommit.ts"
import type { PreferredReplica } from "../kernel/readReplica.ts"
import { type DecodeOptions, type RecordChunk, RecordsReader } from "../kernel/records.ts"
import { topicPartitionKey } from "../kernel/topicPartition.ts"
import { Decoding, takesEffects } from "./decoding.ts"
import type { KnownPosition } from "./positions.ts"
import { decodeRecord, FetchedRecord } from "./record.ts"
import { Signal } from "./signal.ts"

/** The most records that one pull gives. */
const maxChunk = 4096
/** The generation of partitions that are read without a group: nothing of them is settled. */
export const noGeneration = -1
/** What is damaged is fetched again so often before it counts as damaged in the log. */
const maxRefetches = 3

/** Records of one partition that a consumer was given, in their order. */
export interface DeliveredChunk {
  readonly records: ReadonlyArray<FetchedRecord>
  /** In which they were delivered. */
  readonly generation: number
  /** What comes after them in the log. */
  readonly nextOffset: number
}

/** What a Fetch brought of one partition. */
export interface FetchedBytes {
  readonly bytes: Uint8Array
  /** How far the partition can be read, -1 for unknown: no batch lies past it. */
  readonly highWatermark: number
  readonly options: DecodeOptions
}

/** Hears of bytes that are no longer held. */
export type Released = (bytes: number) => void

/**
 * A partition while it is assigned: what was fetched of it and not yet
 * delivered, where to go on, and how far it is settled.
 *
 * `active`: records are fetched and delivered. `draining`: nothing new is
 * delivered, what was may still be settled. `ended`: given up or lost.
 */
export class AssignedPartition {
  readonly definition: Topic.Any
  readonly partition: number
  readonly key: string
  /** The generation in which it was assigned, or a number below 0 of its own since it was repositioned. */
  #generation: number
  readonly #assignedIn: number
  #repositions = 0
  /** Records came, or the status changed. */
  readonly changed = new Signal()
  status: "active" | "draining" | "ended" = "active"
  /** Not fetched and not delivered for now. */
  paused = false
  /** Where to fetch next; undefined while nothing is to be fetched: before it is started, and once it has failed. */
  fetchOffset: number | undefined
  /** Of the leader that took the record before `fetchOffset`; -1 for unknown. */
  fetchEpoch = -1
  /** The newest leader that is known to have the log up to `fetchOffset`; -1 for none. */
  validatedEpoch = -1
  /** Of the topic that the position is of; undefined until it is known, and where brokers know no ids. */
  topicId: string | undefined
  /** Of the topic before it of that name, which brokers that lag may still tell of. */
  formerTopicId: string | undefined
  /** The version of the metadata that was found to be older than `fetchEpoch`. */
  staleSince: number | undefined
  /** Where its leader wants it to be read; none for the leader itself. */
  preferred: PreferredReplica | undefined
  /** Until when the leader itself is read from, in milliseconds: another replica has failed. */
  leaderOnlyUntil = -Infinity
  /** Where the log ended when the broker last said so; none before it did. */
  logEnd: number | undefined
  /** Not to be fetched before, in milliseconds. */
  retryAt = 0
  failures = 0
  commit: PartitionCommit = makePartitionCommit(null)
  /** Where delivery goes on. */
  #next = 0
  /** After the last record delivered: what is past it and before `#next` has no records. */
  #recordsEnd = 0
  /** The largest `#next` so far, from which a reader that begins again goes back; -1 before the start. */
  #furthest = -1
  #startOffset = 0
  /** Where the log begins, if it was found to begin after what is held; 0 else. */
  #goneBefore = 0
  /** Where the leader's epoch changed in what was delivered, the newest last. */
  #epochs: Array<{ readonly from: number; readonly leaderEpoch: number }> = []
  /** Where to start in the place of what the group has committed. */
  #sought: KnownPosition | undefined
  #buffers: Array<{
    readonly reader: RecordsReader
    readonly from: number
    readonly bytes: number
    readonly recordCount: number
  }> = []
  #heldRecords = 0
  #refetches = 0
  /** What comes next, while its deserializers run. */
  #decoding: Decoding | undefined
  readonly #takesEffects: boolean
  /** Why delivery cannot go on. */
  #failure: KafkaError | undefined

  constructor(definition: Topic.Any, partition: number, generation: number) {
    this.definition = definition
    this.partition = partition
    this.#generation = generation
    this.#assignedIn = generation
    this.key = topicPartitionKey({ topic: definition.name, partition })
    this.#takesEffects = takesEffects(definition)
  }

  get topic(): string {
    return this.definition.name
  }

  /** What the records that are delivered now are told from earlier ones by. */
  get generation(): number {
    return this.#generation
  }

  /** Whether what was delivered in a generation may still be settled. */
  isCurrent(generation: number): boolean {
    return this.status !== "ended" && this.#generation === generation
  }

  /** Where to start, and what the group has committed. */
  start({ leaderEpoch, offset, validatedEpoch = leaderEpoch }: KnownPosition, committed: number | null): void {
    this.fetchOffset = offset
    this.fetchEpoch = leaderEpoch
    this.validatedEpoch = validatedEpoch
    this.topicId = undefined
    this.#next = offset
    this.#recordsEnd = offset
    this.#furthest = offset
    this.#startOffset = offset
    this.#goneBefore = 0
    this.#epochs = [{ from: offset, leaderEpoch }]
    this.commit = makePartitionCommit(committed)
  }

  /**
   * Goes on at another position, by the application's wish. What was delivered before can neither be settled nor
   * committed any more. Before the start it is taken note of, for {@link sought}. Gives the bytes that are no longer held.
   */
  seek(position: KnownPosition): number {
    if (!this.isStarted) {
      this.#sought = position
      return 0
    }
    return this.#reposition(position)
  }

  /** Where it was told to start before it was. */
  get sought(): KnownPosition | undefined {
    return this.#sought
  }

  #reposition(position: KnownPosition): number {
    const bytes = this.#drop()
    // Apart from every generation, and from what the same partition had in others.
    this.#generation = -((this.#assignedIn + 1) * 2 ** 20 + ++this.#repositions + 1)
    this.#failure = undefined
    this.#refetches = 0
    this.start(position, null)
    this.changed.notify()
    return bytes
  }

  /** Of those that wait to be delivered, as far as their batches say; a response counts until its last one is. */
  get heldRecords(): number {
    return this.#heldRecords
  }

  /** Where delivery goes on. */
  get position(): number {
    return this.#next
  }

  #epochBefore(offset: number): number {
    // Each record that is settled asks.
    if (this.#epochs.length === 1) return this.#epochs[0]!.leaderEpoch
    return this.#epochs.findLast(({ from }) => from < offset)?.leaderEpoch ?? this.#epochs[0]!.leaderEpoch
  }

  /** Whether it is known where it starts. */
  get isStarted(): boolean {
    return this.#furthest >= 0
  }

  /** Everything before `offset` is processed. Gives what is to be committed for it. */
  settle(offset: number, metadata?: string): CommitPoint {
    // A position that was not delivered can only be a mistake, or that of a log that is gone: it would skip records.
    const position = Math.max(this.#startOffset, Math.min(offset, this.#furthest))
    const end = position < this.#recordsEnd ? position : Math.max(position, this.#next)
    this.commit = settle(this.commit, end, this.#epochBefore(end), metadata)
    while (this.#epochs.length > 1 && this.#epochs[1]!.from < end) this.#epochs.shift()
    const { position: settled } = this.commit
    // Metadata goes with the position itself, or it was for one that is behind it.
    return metadata !== undefined && settled?.offset === end ? settled : { offset: position, revision: 0 }
  }

  /** After the last record delivered; undefined if none was. */
  get deliveredEnd(): number | undefined {
    return this.#recordsEnd > this.#startOffset ? this.#recordsEnd : undefined
  }

  get #settledOffset(): number {
    return this.commit.position?.offset ?? this.#startOffset
  }

  /**
   * A new reader begins: what the last one was given and did not settle comes
   * again.
   */
  rewind(released: Released): void {
    const settled = this.#settledOffset
    if (this.status !== "active" || (this.#next <= settled && this.#failure === undefined)) return
    this.#failure = undefined
    this.#refetches = 0
    this.#recordsEnd = settled
    released(this.#goTo(settled))
  }

  /**
   * Goes on elsewhere, since the log does not have what comes after `offset`.
   * Gives from where it went on elsewhere, and the bytes that are no longer held.
   */
  reset(offset: number, start: KnownPosition): { readonly from: number; readonly released: number } {
    const isSettled = this.#buffers.length === 0 && this.#settledOffset >= this.#recordsEnd
    if (start.offset > offset && !isSettled) {
      // The log's beginning was deleted: what is in hand is still to be processed, and settles what comes next.
      this.fetchOffset = start.offset
      this.fetchEpoch = start.leaderEpoch
      this.validatedEpoch = start.validatedEpoch ?? start.leaderEpoch
      this.topicId = undefined
      this.#goneBefore = start.offset
      if (this.#buffers.length === 0) this.#passOver(start.offset)
      return { from: offset, released: 0 }
    }
    // Nothing was settled in this log, which is another one if it ends before the offset. The new position is not to be
    // lost if nothing follows.
    const from = this.#next
    const released = this.#reposition(start)
    this.settle(start.offset)
    return { from, released }
  }

  /**
   * The log was cut off at `end`, as its new leader says, where it goes on otherwise: what was fetched is dropped, and
   * what was delivered and is not settled can no longer be: of that, a group member is given again what is before that
   * place. Gives the bytes that are no longer held.
   */
  truncate(end: KnownPosition): number {
    if (end.offset >= this.#next) {
      const bytes = this.#goTo(this.#next)
      this.validatedEpoch = end.validatedEpoch ?? end.leaderEpoch
      return bytes
    }
    const settled = this.#settledOffset
    const goesOnBefore = this.#assignedIn !== noGeneration && settled < end.offset
    const position = goesOnBefore ? { ...end, offset: settled, leaderEpoch: this.#epochBefore(settled) } : end
    const bytes = this.#reposition(position)
    this.settle(position.offset)
    return bytes
  }

  /** Takes what a Fetch from `fetchOffset` brought; false if it is not what comes next here. */
  fetched({ bytes, highWatermark, options }: FetchedBytes): boolean {
    if (this.status !== "active" || options.fetchOffset !== this.fetchOffset) return false
    this.failures = 0
    const { leaderEpoch, offset: end, recordCount } = endPosition(bytes, {
      offset: options.fetchOffset,
      leaderEpoch: this.fetchEpoch
    })
    if (end > highWatermark && highWatermark >= 0) {
      // A batch's checksum does not cover its offset: only the log's end shows that it is wrong. A broker may read its
      // high watermark a moment before the records, so this may also be nothing: the next answer tells.
      this.#damaged(`an offset of ${end - 1}, and a high watermark of ${highWatermark}`)
      return false
    }
    this.#buffers.push({
      reader: new RecordsReader(bytes, options),
      from: options.fetchOffset,
      bytes: bytes.length,
      recordCount
    })
    this.#heldRecords += recordCount
    this.fetchOffset = end
    this.fetchEpoch = leaderEpoch
    this.changed.notify()
    return true
  }

  /**
   * The next records for the application, or what has to run first, or why there are none and will be none. One that does
   * not decode is the end, or comes as a record with its `failure`.
   */
  take(
    released: Released,
    undecodable: "fail" | "give" = "fail"
  ): DeliveredChunk | Decoding | KafkaError | undefined {
    if (this.status !== "active" || this.paused) return undefined
    if (this.#decoding !== undefined) {
      const delivered = this.#decoded(this.#decoding, released, undecodable)
      if (delivered !== undefined) return delivered
    }
    while (this.#failure === undefined && this.#buffers.length > 0) {
      const { bytes, from, reader, recordCount } = this.#buffers[0]!
      const chunk = reader.next(maxChunk)
      if (chunk !== undefined) {
        if (this.#takesEffects) {
          this.#refetches = 0
          return this.#decoding = new Decoding(this.definition, this.partition, this.generation, chunk)
        }
        const delivered = this.#deliver(chunk, released, undecodable)
        if (delivered !== undefined) return delivered
      } else if (reader.error !== undefined || reader.nextOffset === from) {
        released(this.#goTo(Math.max(this.#next, reader.nextOffset)))
        const isDamage = reader.error === undefined || reader.error.reason === "CorruptBatch"
        this.#damaged(reader.error?.message ?? "not one whole batch", isDamage, reader.error)
      } else {
        this.#buffers.shift()
        this.#heldRecords -= recordCount
        released(bytes)
        // Behind what is held there is nothing more up to there.
        this.#passOver(this.#buffers.length === 0 ? Math.max(reader.nextOffset, this.#goneBefore) : reader.nextOffset)
      }
    }
    return this.#failure
  }

  #deliver(chunk: RecordChunk, released: Released, undecodable: "fail" | "give"): DeliveredChunk | undefined {
    this.#refetches = 0
    this.#noteEpoch(chunk)
    const records: Array<FetchedRecord> = new Array(chunk.records.length)
    for (let i = 0; i < records.length; i++) {
      const view = chunk.records[i]!
      const record = decodeRecord(this.definition, this.partition, this.generation, view)
      if (!("_tag" in record)) {
        records[i] = record
      } else if (undecodable === "give") {
        records[i] = new FetchedRecord(this.definition, this.partition, this.generation, view, record)
      } else {
        records.length = i
        return this.#undecodable(records, view.offset, record, released)
      }
    }
    return this.#delivered(records, chunk.nextOffset)
  }

  #noteEpoch({ leaderEpoch, records }: RecordChunk): void {
    const newest = this.#epochs[this.#epochs.length - 1]!
    if (leaderEpoch !== newest.leaderEpoch) this.#epochs.push({ from: records[0]!.offset, leaderEpoch })
  }

  #decoded(
    decoding: Decoding,
    released: Released,
    undecodable: "fail" | "give"
  ): DeliveredChunk | Decoding | undefined {
    const { chunk, isDone, records } = decoding
    if (!isDone) return decoding
    this.#decoding = undefined
    this.#noteEpoch(chunk)
    const index = undecodable === "give" ? -1 : records.findIndex(({ failure }) => failure !== undefined)
    if (index < 0) return this.#delivered(records, chunk.nextOffset)
    const { failure, view } = records[index]!
    return this.#undecodable(records.slice(0, index), view.offset, failure!, released)
  }

  /** Those before it are delivered; the next pull fails. */
  #undecodable(
    before: ReadonlyArray<FetchedRecord>,
    offset: number,
    error: KafkaError,
    released: Released
  ): DeliveredChunk | undefined {
    released(this.#goTo(offset))
    this.#fail(error)
    return before.length === 0 ? undefined : this.#delivered(before, offset)
  }

  /** Ends what still runs to decode records: nobody pulls any more. */
  stopDecoding(): void {
    this.#decoding?.cancel()
  }

  #delivered(records: ReadonlyArray<FetchedRecord>, nextOffset: number): DeliveredChunk {
    this.#next = nextOffset
    this.#furthest = Math.max(this.#furthest, nextOffset)
    this.#recordsEnd = records[records.length - 1]!.view.offset + 1
    return { records, generation: this.#generation, nextOffset }
  }

  /** Control records, compaction and aborted transactions move on without records. */
  #passOver(offset: number): void {
    if (offset <= this.#next) return
    this.#next = offset
    this.#furthest = Math.max(this.#furthest, offset)
    const { position } = this.commit
    if (position !== null && position.offset >= this.#recordsEnd) this.settle(offset)
  }

  #damaged(problem: string, fetchAgain = true, cause?: unknown): void {
    if (fetchAgain && this.#refetches++ < maxRefetches) return
    this.#fail(
      new FatalError({
        reason: { _tag: "CorruptRecords", topic: this.topic, partition: this.partition },
        scope: "partition",
        message: `topic ${this.topic}, partition ${this.partition}, at offset ${this.#next}: ${problem}`,
        cause
      })
    )
  }

  /** Every pull fails, and nothing is fetched, until a reader begins again. */
  #fail(error: KafkaError): void {
    this.#failure = error
    this.fetchOffset = undefined
    this.changed.notify()
  }

  /** Delivers nothing more. Gives the bytes that are no longer held. */
  drain(): number {
    return this.#stop("draining")
  }

  /** Given up, or lost. Gives the bytes that are no longer held. */
  end(): number {
    return this.#stop("ended")
  }

  #stop(status: "draining" | "ended"): number {
    if (this.status !== "ended") this.status = status
    this.changed.notify()
    return this.#drop()
  }

  #goTo(offset: number): number {
    this.fetchOffset = offset
    this.#goneBefore = 0
    this.fetchEpoch = this.#epochBefore(offset)
    this.#next = offset
    while (this.#epochs.length > 1 && this.#epochs[this.#epochs.length - 1]!.from >= offset) this.#epochs.pop()
    return this.#drop()
  }

  #drop(): number {
    this.#decoding?.cancel()
    this.#decoding = undefined
    let bytes = 0
    for (const buffer of this.#buffers) bytes += buffer.bytes
    this.#buffers = []
    this.#heldRecords = 0
    return bytes
  }
}
