import { FatalError, type KafkaError } from "../../KafkaError.ts"
import type * as Topic from "../../Topic.ts"
import { endOffset } from "../kernel/endOffset.ts"
import { isCommitted, makePartitionCommit, type PartitionCommit } from "../kernel/partitionCommit.ts"
import { type DecodeOptions, RecordsReader } from "../kernel/records.ts"
import { topicPartitionKey } from "../kernel/topicPartition.ts"
import { decodeRecord, type FetchedRecord } from "./record.ts"

/** The most records that one pull gives. */
const maxChunk = 4096
/** A damaged batch is fetched again so often before it counts as damaged in the log. */
const maxRefetches = 3

/** Records of one partition that a consumer was given, in their order. */
export interface DeliveredChunk {
  readonly records: ReadonlyArray<FetchedRecord>
  /** What comes after them in the log. */
  readonly nextOffset: number
}

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
  /** The generation in which it was assigned. */
  readonly generation: number
  status: "active" | "draining" | "ended" = "active"
  /** Where to fetch next; undefined until the start position is known. */
  fetchOffset: number | undefined
  /** After the last record delivered; undefined until the start position is known. */
  delivered: number | undefined
  /** Not to be fetched before, in milliseconds. */
  retryAt = 0
  failures = 0
  commit: PartitionCommit = makePartitionCommit(null)
  #startOffset = 0
  /** Called when records came, or the status changed. */
  onChange: () => void = () => {}
  #buffers: Array<{ readonly reader: RecordsReader; readonly bytes: number }> = []
  #refetches = 0

  constructor(definition: Topic.Any, partition: number, generation: number) {
    this.definition = definition
    this.partition = partition
    this.generation = generation
    this.key = topicPartitionKey({ topic: definition.name, partition })
  }

  get topic(): string {
    return this.definition.name
  }

  /** Where to start, before anything is fetched. */
  start(offset: number, committed: number | null): void {
    this.fetchOffset = offset
    this.delivered = offset
    this.#startOffset = offset
    this.commit = makePartitionCommit(committed)
  }

  /** Starts elsewhere: what was fetched is dropped. Gives the bytes that it took. */
  reset(offset: number): number {
    this.fetchOffset = offset
    this.delivered = offset
    return this.#drop()
  }

  /** Takes what a Fetch from `fetchOffset` brought; false if it is not what comes next here. */
  fetched(bytes: Uint8Array, options: DecodeOptions): boolean {
    if (this.status !== "active" || options.fetchOffset !== this.fetchOffset) return false
    this.#buffers.push({ reader: new RecordsReader(bytes, options), bytes: bytes.length })
    this.fetchOffset = endOffset(bytes, options.fetchOffset)
    this.failures = 0
    this.onChange()
    return true
  }

  get hasRecords(): boolean {
    return this.#buffers.length > 0 && this.status === "active"
  }

  /**
   * The next records for the application. `released` hears of the bytes that
   * are no longer held; `refetch` says that the rest is to be fetched again.
   */
  take(released: (bytes: number) => void): DeliveredChunk | KafkaError | "refetch" | undefined {
    while (this.hasRecords) {
      const { bytes, reader } = this.#buffers[0]!
      const chunk = reader.next(maxChunk)
      if (chunk === undefined) {
        this.#buffers.shift()
        released(bytes)
        const { error } = reader
        if (error === undefined) {
          // Control records and compaction move on without records.
          this.delivered = Math.max(this.delivered!, reader.nextOffset)
          continue
        }
        released(this.reset(Math.max(this.delivered!, reader.nextOffset)))
        if (error.reason === "CorruptBatch" && this.#refetches++ < maxRefetches) return "refetch"
        this.status = "draining"
        return new FatalError({
          reason: { _tag: "CorruptRecords", topic: this.topic, partition: this.partition },
          scope: "partition",
          message: `topic ${this.topic}, partition ${this.partition}: ${error.message}`,
          cause: error
        })
      }
      this.#refetches = 0
      const records: Array<FetchedRecord> = new Array(chunk.records.length)
      for (let i = 0; i < records.length; i++) {
        const record = decodeRecord(this.definition, this.partition, this.generation, chunk.records[i]!)
        if ("_tag" in record) {
          // Those before it are delivered; it comes again, first, with the next pull.
          if (i === 0) return record
          const before = chunk.records[i]!.offset
          released(this.reset(before))
          this.delivered = before
          records.length = i
          return { records, nextOffset: before }
        }
        records[i] = record
      }
      this.delivered = chunk.nextOffset
      return { records, nextOffset: chunk.nextOffset }
    }
    return undefined
  }

  /** Delivers nothing more. Gives the bytes that are no longer held. */
  drain(): number {
    if (this.status === "active") {
      this.status = "draining"
      this.onChange()
    }
    return this.#drop()
  }

  /** Whether all that was delivered is settled and committed. */
  get isSettled(): boolean {
    return isCommitted(this.commit) &&
      (this.delivered === undefined ||
        Math.max(this.commit.committed ?? 0, this.#startOffset) >= this.delivered)
  }

  /** Given up, or lost. Gives the bytes that are no longer held. */
  end(): number {
    this.status = "ended"
    const bytes = this.#drop()
    this.onChange()
    return bytes
  }

  #drop(): number {
    let bytes = 0
    for (const buffer of this.#buffers) bytes += buffer.bytes
    this.#buffers = []
    return bytes
  }
}
