import type { KafkaError } from "../../KafkaError.ts"
import { batchHeaderSize } from "./batchHeader.ts"
import { BufferPool } from "./bufferPool.ts"
import type { Codec } from "./compression.ts"
import type { Header } from "./header.ts"
import { BatchBuilder, restamp } from "./recordBatch.ts"

/** A record in bytes. */
export interface SerializedRecord {
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  readonly headers: ReadonlyArray<Header>
  /** Milliseconds. */
  readonly timestamp: number
}

/** A record as it waits to be accepted: serialized and checked. */
export interface PendingRecord extends SerializedRecord {
  /** At least the bytes that it takes in a batch: its `recordSizeUpperBound`. */
  readonly size: number
}

/** How much may be held, and when a batch goes. */
export interface AccumulatorOptions {
  /** A batch is full at this many bytes; a larger record has a batch of its own. */
  readonly batchBytes: number
  /** Bytes of all accepted records that have no outcome yet. */
  readonly bufferBytes: number
  /** Accepted records whose report was not handled yet; see {@link Accumulator.reported}. Infinity without reports. */
  readonly maxUnreported: number
  /** How long an open batch waits for more records, in milliseconds, unless somebody waits for room. */
  readonly linger: number
  /** How long after its first record a batch may still be sent, in milliseconds. */
  readonly deliveryTimeout: number
  readonly codec: Codec | undefined
  readonly idempotent: boolean
}

/** Who writes: given by the cluster, bumped by {@link Accumulator.nextEpoch}. */
export interface ProducerIdentity {
  readonly producerId: number
  readonly epoch: number
}

const noIdentity: ProducerIdentity = { producerId: -1, epoch: -1 }
const maxEpoch = 0x7fff
const minCapacity = 512
const maxSequence = 0x7fffffff

/** The sequence number `count` records after `sequence`: wraps from 2^31-1 to 0. */
export const advanceSequence = (sequence: number, count: number): number => (sequence + count) % (maxSequence + 1)

/** Records of one partition that are sent together and share one outcome. */
export class Batch<Entry> {
  readonly partition: PartitionBuffer<Entry>
  /** What the caller attached to each record, in their order. */
  readonly entries: Array<Entry> = []
  /** When it may no longer be sent, in milliseconds. */
  readonly deadline: number
  readonly createdAt: number
  /** Its share of the byte bound. */
  reserved = 0
  /** How often it was sent. */
  attempts = 0
  /** Whether an attempt may have reached the log though no answer says so. */
  maybeWritten = false
  /** Not to be sent again before, in milliseconds. */
  retryAt = 0
  /** The sequence of its first record; -1 until it has one, and without idempotence. */
  baseSequence = -1
  /** The encoded batch; from the first attempt on. */
  bytes: Uint8Array | undefined
  /** Whether it was handed to a connection and not answered yet; see {@link Accumulator.landed}. */
  onWire = false
  /** Why the last attempt did not succeed. */
  lastError: KafkaError | undefined
  /** Whether no more records may be added. */
  sealed = false
  readonly builder: BatchBuilder

  constructor(partition: PartitionBuffer<Entry>, now: number, deadline: number, buffer: number | Buffer) {
    this.partition = partition
    this.createdAt = now
    this.deadline = deadline
    this.builder = new BatchBuilder(buffer)
  }
}

/** The records of one partition on their way, oldest first. */
export class PartitionBuffer<Entry> {
  readonly topic: string
  readonly partition: number
  /** The broker that leads it; -1 while there is none. */
  leader = -1
  /** Batches not in flight; only the last may be open. */
  readonly queue: Array<Batch<Entry>> = []
  /** One batch in flight keeps the order of acceptance; on the wire it may have its outcome already, by its deadline. */
  inFlight: Batch<Entry> | undefined
  /** Callers that wait for room, in their order. */
  readonly waiters = new Set<Waiter>()
  reserved = 0
  /** Why nothing can be sent to it at the moment. */
  lastError: KafkaError | undefined
  identity: ProducerIdentity | undefined
  nextSequence = 0
  /** Bytes of the last batch that was done: the next one is expected to be about as large. */
  typicalSize = 0

  constructor(topic: string, partition: number) {
    this.topic = topic
    this.partition = partition
  }

  /** The batch that takes records now. */
  get open(): Batch<Entry> | undefined {
    const last = this.queue[this.queue.length - 1]
    return last === undefined || last.sealed ? undefined : last
  }
}

/** A record that waits for room. */
interface Waiter {
  readonly size: number
  readonly admit: () => void
}

/** Why there is no room: everything is taken, or the partition has its share. */
type Refusal = "full" | "share"

/**
 * Records on their way to the cluster: in batches by partition, within a bound
 * of bytes, and who waits for room. It decides which batches may be sent now;
 * time is an argument. One batch of a partition is in flight at a time.
 */
export class Accumulator<Entry> {
  readonly #options: AccumulatorOptions
  readonly #partitions = new Map<string, Array<PartitionBuffer<Entry> | undefined>>()
  /** Partitions with batches to send; the one that waited longest comes first. */
  readonly #active = new Set<PartitionBuffer<Entry>>()
  /** Batches without an outcome. */
  readonly #incomplete = new Set<Batch<Entry>>()
  readonly #pool: BufferPool
  /** Partitions with waiters; the one whose turn it is comes first. */
  readonly #waiting = new Set<PartitionBuffer<Entry>>()
  /** Waiters that are exempt from the bound on reports, with their partitions. */
  readonly #exempt = new Map<Waiter, PartitionBuffer<Entry>>()
  /** Whether whose turn it is waits for room that any partition could give: nobody may overtake, or large records would starve. */
  #isFull = false
  #reserved = 0
  #unreported = 0
  /** While positive, open batches do not linger. */
  #flushing = 0
  /** Given to a partition with its first batch. */
  identity: ProducerIdentity | undefined

  constructor(options: AccumulatorOptions) {
    this.#options = options
    this.#pool = new BufferPool(options.bufferBytes / 4)
  }

  /** Bytes accepted and without an outcome. */
  get reserved(): number {
    return this.#reserved
  }

  /** Batches without an outcome, oldest first. */
  get incomplete(): ReadonlySet<Batch<Entry>> {
    return this.#incomplete
  }

  /** Partitions with batches to send. */
  get active(): ReadonlySet<PartitionBuffer<Entry>> {
    return this.#active
  }

  /** Whether anybody waits for room. */
  get hasWaiters(): boolean {
    return this.#waiting.size > 0 || this.#exempt.size > 0
  }

  /** The buffer of a partition; made when first asked for. */
  partition(topic: string, index: number): PartitionBuffer<Entry> {
    let partitions = this.#partitions.get(topic)
    if (partitions === undefined) this.#partitions.set(topic, partitions = [])
    return partitions[index] ??= new PartitionBuffer(topic, index)
  }

  /** All partitions that were ever used. */
  *partitions(): Iterable<PartitionBuffer<Entry>> {
    for (const list of this.#partitions.values()) {
      for (const partition of list) if (partition !== undefined) yield partition
    }
  }

  /** Whether the partition takes a record into its open batch. */
  joinsBatch(partition: PartitionBuffer<Entry>, record: PendingRecord): boolean {
    const { open } = partition
    return open !== undefined && open.builder.size + record.size <= this.#options.batchBytes
  }

  /** Whether the partition alone is in the way of a record: it has its share of the bound, or others wait there already. */
  isCrowded(partition: PartitionBuffer<Entry>, record: PendingRecord): boolean {
    return partition.waiters.size > 0 || this.#refusal(partition, record.size, false) === "share"
  }

  /**
   * Accepts a record if there is room for it and nobody waits before it: copies
   * it into the partition's open batch.
   *
   * @param exempt from the bound on reports and from the queue: a record sent by
   *   a report's handler, which would else wait for itself
   */
  append(
    partition: PartitionBuffer<Entry>,
    record: PendingRecord,
    entry: Entry,
    now: number,
    exempt: boolean
  ): boolean {
    if (!exempt && (this.#isFull || partition.waiters.size > 0)) return false
    if (this.#refusal(partition, record.size, exempt) !== undefined) return false
    this.#add(partition, record, entry, now)
    // It may have used up the share of whose turn it is, who then holds up nobody else.
    if (this.#isFull) this.#admit()
    return true
  }

  /** Whether the partition's last record opened a batch, or filled it: others are no news to who sends. */
  hasNews(partition: PartitionBuffer<Entry>): boolean {
    const { open } = partition
    return open === undefined || open.entries.length === 1 || open.builder.size >= this.#options.batchBytes
  }

  /**
   * Queues a record that was not accepted behind those who wait in the same
   * partition. When it is this record's turn it is accepted, and `admitted` is
   * called, perhaps at once; the result withdraws it before that.
   */
  wait(
    partition: PartitionBuffer<Entry>,
    record: PendingRecord,
    entry: Entry,
    exempt: boolean,
    now: () => number,
    admitted: () => void
  ): () => void {
    const waiter: Waiter = {
      size: record.size,
      admit: () => {
        this.#add(partition, record, entry, now())
        admitted()
      }
    }
    if (exempt) {
      this.#exempt.set(waiter, partition)
    } else {
      partition.waiters.add(waiter)
      this.#waiting.add(partition)
    }
    if (exempt || partition.waiters.size === 1) {
      const refusal = this.#refusal(partition, record.size, exempt)
      if (refusal === "full") this.#isFull = true
      // Room was made after the caller had looked for it: it may be that nothing else will happen that admits anybody.
      else if (refusal === undefined) this.#admit()
    }
    return () => {
      if (exempt ? !this.#exempt.delete(waiter) : !partition.waiters.delete(waiter)) return
      if (partition.waiters.size === 0) this.#waiting.delete(partition)
      this.#admit()
    }
  }

  /** The reports of so many records were handled. */
  reported(count: number): void {
    this.#unreported -= count
    if (this.hasWaiters) this.#admit()
  }

  /** Sends away who waits for room; the exempt only if `all`. */
  dismissWaiters(all: boolean): void {
    for (const partition of this.#waiting) partition.waiters.clear()
    this.#waiting.clear()
    if (all) this.#exempt.clear()
    this.#admit()
  }

  /**
   * The batches to send to a broker now, one a partition, those first that
   * waited longest, of at most `maxBytes` together but at least one. They are in
   * flight then, sealed, and have their sequence.
   */
  drain(leader: number, now: number, maxBytes: number): Array<Batch<Entry>> {
    const batches: Array<Batch<Entry>> = []
    let total = 0
    for (const partition of this.#active) {
      if (partition.leader !== leader || !this.#isReady(partition, now)) continue
      const batch = partition.queue[0]!
      const size = batch.bytes?.length ?? batch.builder.size
      if (batches.length > 0 && total + size > maxBytes) break
      if (!this.#encode(partition, batch)) continue
      partition.queue.shift()
      partition.inFlight = batch
      batch.attempts++
      total += batch.bytes!.length
      batches.push(batch)
    }
    for (const { partition } of batches) {
      this.#active.delete(partition)
      if (partition.queue.length > 0) this.#active.add(partition)
    }
    return batches
  }

  /** When {@link drain} may next give something for a broker: a time in milliseconds, now if it would already; Infinity if only a new record or an answer can change that. */
  nextReady(leader: number, now: number): number {
    let next = Infinity
    for (const partition of this.#active) {
      if (partition.leader !== leader || partition.inFlight !== undefined) continue
      if (this.#isReady(partition, now)) return now
      const batch = partition.queue[0]!
      next = Math.min(next, Math.max(batch.retryAt, batch.attempts > 0 ? 0 : batch.createdAt + this.#options.linger))
    }
    return next
  }

  /** When the first batch is past its deadline; Infinity if there is none. */
  nextDeadline(): number {
    let next = Infinity
    for (const batch of this.#incomplete) next = Math.min(next, batch.deadline)
    return next
  }

  /** Batches past their deadline, in flight or not; the caller completes them. */
  expired(now: number): Array<Batch<Entry>> {
    return Array.from(this.#incomplete).filter((batch) => batch.deadline <= now)
  }

  /** Puts a batch that was in flight back to the head of its partition, with the same bytes. */
  retry(batch: Batch<Entry>, retryAt: number): void {
    batch.retryAt = retryAt
    const partition = batch.partition
    partition.inFlight = undefined
    partition.queue.unshift(batch)
    this.#active.add(partition)
  }

  /** Sends a batch that is surely not written again, under a new epoch of its partition. */
  retryInNextEpoch(batch: Batch<Entry>, retryAt: number): void {
    this.nextEpoch(batch.partition)
    batch.baseSequence = -1
    this.retry(batch, retryAt)
  }

  /**
   * The partition's sequence is lost: what comes next starts at 0 in a new
   * epoch, which the broker takes without regard for the old one (KIP-360).
   */
  nextEpoch(partition: PartitionBuffer<Entry>): void {
    partition.nextSequence = 0
    if (partition.identity === undefined) return
    if (partition.identity.epoch < maxEpoch) {
      partition.identity = { producerId: partition.identity.producerId, epoch: partition.identity.epoch + 1 }
    } else {
      if (this.identity?.producerId === partition.identity.producerId) this.identity = undefined
      partition.identity = undefined
    }
  }

  /**
   * The request that carried a batch was answered, or has failed. False if the
   * batch has its outcome already: its partition is free only now.
   */
  landed(batch: Batch<Entry>): boolean {
    const { partition } = batch
    batch.onWire = false
    if (partition.inFlight !== batch) return false
    if (this.#incomplete.has(batch)) return true
    partition.inFlight = undefined
    return false
  }

  /** A batch is acknowledged, and nobody needs its bytes any more: the next one may be written over them. */
  recycle(batch: Batch<Entry>): void {
    // After a second attempt the first one's connection may still hold the bytes; compressed ones are a buffer of their own.
    if (batch.attempts === 1 && this.#options.codec === undefined) this.#pool.give(batch.bytes!)
  }

  /**
   * Takes a batch out: it has its outcome. Its bytes are free again, and who
   * waited for them is admitted. While it is on the wire nothing follows it.
   */
  complete(batch: Batch<Entry>): void {
    const partition = batch.partition
    partition.typicalSize = batch.builder.size
    this.#incomplete.delete(batch)
    if (partition.inFlight === batch) {
      if (!batch.onWire) partition.inFlight = undefined
    } else {
      const index = partition.queue.indexOf(batch)
      if (index !== -1) partition.queue.splice(index, 1)
      if (partition.queue.length === 0) this.#active.delete(partition)
    }
    this.#reserved -= batch.reserved
    partition.reserved -= batch.reserved
    if (this.hasWaiters) this.#admit()
  }

  /**
   * Puts smaller batches in the place of one that was in flight and too large.
   * They keep its deadline and entries, and get new sequences in a new epoch.
   */
  split(batch: Batch<Entry>, records: ReadonlyArray<SerializedRecord>, retryAt: number): void {
    const partition = batch.partition
    const half = Math.ceil(records.length / 2)
    const parts = [0, half].map((start) => {
      const part = new Batch(partition, batch.createdAt, batch.deadline, Math.ceil(batch.builder.size / 2))
      for (let i = start; i < Math.min(start + half, records.length); i++) {
        const record = records[i]!
        part.builder.append(record.timestamp, record.key, record.value, record.headers)
        part.entries.push(batch.entries[i]!)
      }
      part.sealed = true
      part.retryAt = retryAt
      part.reserved = part.builder.size
      return part
    })
    this.#incomplete.delete(batch)
    partition.inFlight = undefined
    let difference = -batch.reserved
    for (const part of parts) {
      this.#incomplete.add(part)
      difference += part.reserved
    }
    this.#reserved += difference
    partition.reserved += difference
    partition.queue.unshift(parts[0]!, parts[1]!)
    this.nextEpoch(partition)
    this.#active.add(partition)
    // Its header more may have used up the share of whose turn it is.
    if (this.hasWaiters) this.#admit()
  }

  /** From now until the result is called no batch lingers. */
  startFlush(): () => void {
    this.#flushing++
    return () => {
      this.#flushing--
    }
  }

  #refusal(partition: PartitionBuffer<Entry>, size: number, exempt: boolean): Refusal | undefined {
    const { batchBytes, bufferBytes, maxUnreported } = this.#options
    if (this.#unreported >= maxUnreported && !exempt) return "full"
    // Whatever its size, a record fits into an empty buffer.
    if (this.#reserved === 0) return undefined
    const { open } = partition
    const needed = open !== undefined && open.builder.size + size <= batchBytes ? size : batchHeaderSize + size
    // One partition without a leader must leave room for the others.
    const share = Math.max(bufferBytes / 4, Math.min(bufferBytes, 2 * batchBytes))
    if (partition.reserved > 0 && partition.reserved + needed > share) return "share"
    return this.#reserved + needed > bufferBytes ? "full" : undefined
  }

  /** Room for what the partition's batches had of late, so that neither a large one is copied as it grows nor a small one allocates much. */
  #buffer(partition: PartitionBuffer<Entry>, recordSize: number): Buffer {
    const { batchBytes, bufferBytes } = this.#options
    // What is allocated ahead must stay small beside the bound, however many partitions are in use.
    const share = bufferBytes / 4 / Math.max(1, this.#incomplete.size)
    const expected = Math.min(batchBytes, share, partition.typicalSize + partition.typicalSize / 4)
    return this.#pool.take(Math.ceil(Math.max(minCapacity, expected, batchHeaderSize + recordSize)))
  }

  #add(partition: PartitionBuffer<Entry>, record: PendingRecord, entry: Entry, now: number): void {
    const { batchBytes, deliveryTimeout } = this.#options
    let batch = partition.open
    if (batch !== undefined && batch.builder.size + record.size > batchBytes) {
      batch.sealed = true
      batch = undefined
    }
    let before = 0
    if (batch === undefined) {
      batch = new Batch(partition, now, now + deliveryTimeout, this.#buffer(partition, record.size))
      partition.queue.push(batch)
      this.#incomplete.add(batch)
      this.#active.add(partition)
    } else {
      before = batch.builder.size
    }
    batch.builder.append(record.timestamp, record.key, record.value, record.headers)
    batch.entries.push(entry)
    const added = batch.builder.size - before
    batch.reserved += added
    partition.reserved += added
    this.#reserved += added
    this.#unreported++
  }

  /** One after the other in each partition, and the partitions in turn. One that has its share holds up only itself. */
  #admit(): void {
    this.#isFull = false
    for (const [waiter, partition] of this.#exempt) {
      const refusal = this.#refusal(partition, waiter.size, true)
      if (refusal === "full") {
        this.#isFull = true
        return
      }
      if (refusal === "share") continue
      this.#exempt.delete(waiter)
      waiter.admit()
    }
    // Who was served comes again at the end of the set, and is visited there.
    for (const partition of this.#waiting) {
      const waiter: Waiter = partition.waiters.values().next().value!
      const refusal = this.#refusal(partition, waiter.size, false)
      if (refusal === "full") {
        this.#isFull = true
        return
      }
      if (refusal === "share") continue
      partition.waiters.delete(waiter)
      this.#waiting.delete(partition)
      if (partition.waiters.size > 0) this.#waiting.add(partition)
      waiter.admit()
    }
  }

  #isReady(partition: PartitionBuffer<Entry>, now: number): boolean {
    if (partition.inFlight !== undefined) return false
    const batch = partition.queue[0]!
    if (batch.retryAt > now) return false
    return batch.sealed || this.#flushing > 0 || this.hasWaiters ||
      now - batch.createdAt >= this.#options.linger ||
      batch.builder.size >= this.#options.batchBytes
  }

  /** Encodes the batch and gives it its sequence, once; false while there is no producer id to write with. */
  #encode(partition: PartitionBuffer<Entry>, batch: Batch<Entry>): boolean {
    batch.sealed = true
    let identity = noIdentity
    if (this.#options.idempotent) {
      if (batch.baseSequence !== -1) return true
      if (partition.identity === undefined) {
        if (this.identity === undefined) return false
        partition.identity = this.identity
        partition.nextSequence = 0
      }
      identity = partition.identity
      batch.baseSequence = partition.nextSequence
      partition.nextSequence = advanceSequence(partition.nextSequence, batch.entries.length)
    }
    if (batch.bytes === undefined) {
      batch.bytes = batch.builder.close({
        producerId: identity.producerId,
        producerEpoch: identity.epoch,
        baseSequence: batch.baseSequence,
        codec: this.#options.codec
      })
    } else if (this.#options.idempotent) {
      restamp(batch.bytes, identity.producerId, identity.epoch, batch.baseSequence)
    }
    return true
  }
}
