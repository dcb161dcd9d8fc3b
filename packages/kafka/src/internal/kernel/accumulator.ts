import { batchHeaderSize } from "./batchHeader.ts"
import { BufferPool } from "./bufferPool.ts"
import type { Codec } from "./compression.ts"
import type { Header } from "./header.ts"
import { Batch, PartitionBuffer, type ProducerIdentity, type Waiter } from "./partitionBuffer.ts"
import { restamp } from "./recordBatch.ts"

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
  /** A batch is full with this many records. */
  readonly batchRecords: number
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
  /** Batches of a partition that are in flight together; more than one needs `idempotent`. */
  readonly maxInFlight: number
}

const noIdentity: ProducerIdentity = { producerId: -1, epoch: -1 }
const minCapacity = 512
/**
 * How long a batch with room waits, in milliseconds, while others of its
 * partition are in flight: it fills meanwhile, as a TCP segment does (RFC 896).
 */
const minLingerInFlight = 5

/** Why there is no room: everything is taken, or the partition has its share. */
type Refusal = "full" | "share"

/**
 * Records on their way to the cluster: in batches by partition, within a bound
 * of bytes, and who waits for room. It decides which batches may be sent now;
 * time is an argument.
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
    return open !== undefined && this.#hasRoom(open, record.size)
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
    return open === undefined || open.entries.length === 1 || this.#isFilled(open)
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
      if (partition.leader !== leader || this.#readyAt(partition) > now) continue
      const batch = partition.next(this.#options.maxInFlight)!
      const size = batch.bytes?.length ?? batch.builder.size
      if (batches.length > 0 && total + size > maxBytes) break
      if (!this.#encode(partition, batch)) continue
      partition.depart(batch)
      total += batch.bytes!.length
      batches.push(batch)
    }
    for (const { partition } of batches) {
      this.#active.delete(partition)
      if (partition.hasQueued) this.#active.add(partition)
    }
    return batches
  }

  /** When {@link drain} may next give something for a broker: a time in milliseconds, now if it would already; Infinity if only a new record or an answer can change that. */
  nextReady(leader: number, now: number): number {
    let next = Infinity
    for (const partition of this.#active) {
      if (partition.leader !== leader) continue
      next = Math.min(next, this.#readyAt(partition))
      if (next <= now) return now
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

  /**
   * The request that carried a batch was answered, or has failed: it waits
   * again, and has its place before those that follow it. False if it has its
   * outcome already.
   */
  landed(batch: Batch<Entry>): boolean {
    if (!batch.partition.land(batch)) return false
    this.#active.add(batch.partition)
    return true
  }

  /** Sends a batch that has landed again, with the same bytes. */
  retry(batch: Batch<Entry>, retryAt: number): void {
    batch.partition.retry(batch, retryAt)
  }

  /** Sends a batch that is surely not written again, under a new epoch of its partition. */
  retryInNextEpoch(batch: Batch<Entry>, retryAt: number): void {
    const { partition } = batch
    const isFirst = !partition.hasLostEpoch(batch)
    if (isFirst) partition.nextEpoch()
    this.#forgetSpent(batch)
    this.retry(batch, isFirst ? retryAt : 0)
  }

  /** A batch is acknowledged, and nobody needs its bytes any more: the next one may be written over them. */
  recycle(batch: Batch<Entry>): void {
    // After a second attempt the first one's connection may still hold the bytes; compressed ones are a buffer of their own.
    if (batch.attempts === 1 && this.#options.codec === undefined) this.#pool.give(batch.bytes!)
  }

  /**
   * Takes a batch out: it has its outcome. Its bytes are free again, and who
   * waited for them is admitted. While it is in flight nothing follows it.
   */
  complete(batch: Batch<Entry>, isAcknowledged: boolean): void {
    const { partition } = batch
    this.#incomplete.delete(batch)
    partition.remove(batch, isAcknowledged)
    this.#forgetSpent(batch)
    if (!partition.hasQueued) this.#active.delete(partition)
    this.#reserved -= batch.reserved
    partition.reserved -= batch.reserved
    if (this.hasWaiters) this.#admit()
  }

  /** Puts smaller batches, which are given back, in the place of one that has landed and was too large; they keep its deadline and entries. */
  split(
    batch: Batch<Entry>,
    records: ReadonlyArray<SerializedRecord>,
    retryAt: number
  ): ReadonlyArray<Batch<Entry>> {
    const { partition } = batch
    const half = Math.ceil(records.length / 2)
    const parts = [0, half].map((start) => {
      const part = new Batch(
        partition,
        batch.createdAt,
        batch.deadline,
        Math.ceil(batch.builder.size / 2),
        batch.builder.size
      )
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
    partition.replace(batch, parts)
    this.#incomplete.delete(batch)
    let difference = -batch.reserved
    for (const part of parts) {
      this.#incomplete.add(part)
      difference += part.reserved
    }
    this.#reserved += difference
    partition.reserved += difference
    // Its header more may have used up the share of whose turn it is.
    if (this.hasWaiters) this.#admit()
    return parts
  }

  /** From now until the result is called no batch lingers. */
  startFlush(): () => void {
    this.#flushing++
    return () => {
      this.#flushing--
    }
  }

  /** Whether an open batch takes a record of this size. */
  #hasRoom(batch: Batch<Entry>, size: number): boolean {
    const { batchBytes, batchRecords } = this.#options
    return batch.builder.size + size <= batchBytes && batch.entries.length < batchRecords
  }

  /** Whether an open batch takes no record at all. */
  #isFilled(batch: Batch<Entry>): boolean {
    return !this.#hasRoom(batch, 0)
  }

  #refusal(partition: PartitionBuffer<Entry>, size: number, exempt: boolean): Refusal | undefined {
    const { batchBytes, bufferBytes, maxUnreported } = this.#options
    if (this.#unreported >= maxUnreported && !exempt) return "full"
    // Whatever its size, a record fits into an empty buffer.
    if (this.#reserved === 0) return undefined
    const { open } = partition
    const needed = open !== undefined && this.#hasRoom(open, size) ? size : batchHeaderSize + size
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
    if (batch !== undefined && !this.#hasRoom(batch, record.size)) {
      batch.sealed = true
      batch = undefined
    }
    let before = 0
    if (batch === undefined) {
      batch = new Batch(partition, now, now + deliveryTimeout, this.#buffer(partition, record.size), batchBytes)
      partition.push(batch)
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

  /** When the partition's next batch may be sent, in milliseconds; Infinity if something else has to happen first. */
  #readyAt(partition: PartitionBuffer<Entry>): number {
    const { linger, maxInFlight } = this.#options
    const batch = partition.next(maxInFlight)
    if (batch === undefined) return Infinity
    if (batch.sealed || this.#flushing > 0 || this.#isFilled(batch)) return batch.retryAt
    if (!partition.isIdle) return batch.createdAt + Math.max(linger, minLingerInFlight)
    return this.hasWaiters ? -Infinity : batch.createdAt + linger
  }

  /** Encodes the batch and gives it its sequence; false while there is no producer id to write with. */
  #encode(partition: PartitionBuffer<Entry>, batch: Batch<Entry>): boolean {
    batch.sealed = true
    let isRenumbered = false
    if (this.#options.idempotent) {
      if (partition.identity === undefined) {
        if (this.identity === undefined) return false
        partition.identify(this.identity)
      }
      isRenumbered = partition.number(batch)
    }
    const { epoch, producerId } = batch.identity ?? noIdentity
    if (batch.bytes === undefined) {
      batch.bytes = batch.builder.close({
        producerId,
        producerEpoch: epoch,
        baseSequence: batch.baseSequence,
        codec: this.#options.codec
      })
    } else if (isRenumbered) {
      restamp(batch.bytes, producerId, epoch, batch.baseSequence)
    }
    return true
  }

  /** After the last epoch of a producer id another one is needed. */
  #forgetSpent({ identity, partition }: Batch<Entry>): void {
    if (identity === undefined || partition.identity !== undefined) return
    if (this.identity?.producerId === identity.producerId) this.identity = undefined
  }
}
