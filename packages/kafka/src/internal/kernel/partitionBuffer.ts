import type { KafkaError } from "../../KafkaError.ts"
import { BatchBuilder } from "./recordBatch.ts"

/** Who writes: given by the cluster; each partition has its own epochs of it. */
export interface ProducerIdentity {
  readonly producerId: number
  readonly epoch: number
}

const maxEpoch = 0x7fff
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
  /** How many attempts have failed that were not a consequence of another batch's failure. */
  failures = 0
  /** Whether it was handed to a connection and not answered yet. */
  inFlight = false
  /** The broker that it was sent to last. */
  sentTo = -1
  /** Whether an attempt may have reached the log though no answer says so. */
  maybeWritten = false
  /** Not to be sent again before, in milliseconds. */
  retryAt = 0
  /** Under whom it has its sequence; undefined until its first attempt, and without idempotence. */
  identity: ProducerIdentity | undefined
  /** The sequence of its first record; -1 without one. */
  baseSequence = -1
  /** The encoded batch; from the first attempt on. */
  bytes: Uint8Array | undefined
  /** Why the last attempt did not succeed. */
  lastError: KafkaError | undefined
  /** Whether no more records may be added. */
  sealed = false
  readonly builder: BatchBuilder

  constructor(
    partition: PartitionBuffer<Entry>,
    now: number,
    deadline: number,
    buffer: number | Buffer,
    maxCapacity: number
  ) {
    this.partition = partition
    this.createdAt = now
    this.deadline = deadline
    this.builder = new BatchBuilder(buffer, maxCapacity)
  }
}

/**
 * The records of one partition on their way, in batches, and their numbers:
 * which may be in flight together, and under which sequence each is sent.
 *
 * Several batches may be in flight once the leader has acknowledged one of the
 * same epoch: a broker that knows nothing of a producer takes any sequence
 * first, and so the second batch before the first. One that comes back is sent
 * again when all the others have landed: then they are in order again. Nothing
 * new goes until it has its outcome: a broker knows the last five batches of a
 * producer, and takes one before them for out of order.
 */
export class PartitionBuffer<Entry> {
  readonly topic: string
  readonly partition: number
  /** Batches without an outcome, in the order of their records; only the last may be open. */
  readonly batches: Array<Batch<Entry>> = []
  /** Callers that wait for room, in their order. */
  readonly waiters = new Set<Waiter>()
  reserved = 0
  /** Why nothing can be sent to it at the moment. */
  lastError: KafkaError | undefined
  /** Bytes of the last batch that was done: the next one is expected to be about as large. */
  typicalSize = 0
  #leader = -1
  /** Batches in flight; one that is past its deadline has its outcome already. */
  #inFlight = 0
  /** Of those without an outcome, how many are not in flight. */
  #queued = 0
  #identity: ProducerIdentity | undefined
  #nextSequence = 0
  /** Whether the leader has acknowledged a batch of this epoch, and nothing has failed since. */
  #isEstablished = false

  constructor(topic: string, partition: number) {
    this.topic = topic
    this.partition = partition
  }

  /** The broker that leads it; -1 while there is none. */
  get leader(): number {
    return this.#leader
  }

  set leader(leader: number) {
    if (leader !== this.#leader) this.#isEstablished = false
    this.#leader = leader
  }

  /** Under whom its next batches are numbered; undefined until the first one is, and after the last epoch. */
  get identity(): ProducerIdentity | undefined {
    return this.#identity
  }

  /** Whether something may be sent, now or later. */
  get hasQueued(): boolean {
    return this.#queued > 0
  }

  /** Whether nothing is in flight. */
  get isIdle(): boolean {
    return this.#inFlight === 0
  }

  /** The batch that takes records now. */
  get open(): Batch<Entry> | undefined {
    const last = this.batches[this.batches.length - 1]
    return last === undefined || last.sealed ? undefined : last
  }

  /** The batch to send next, if it may go beside those in flight, at most `maxInFlight` of them. */
  next(maxInFlight: number): Batch<Entry> | undefined {
    const { batches } = this
    const inFlight = this.#inFlight
    if (inFlight === 0) return batches[0]
    if (!this.#isEstablished || inFlight >= maxInFlight) return undefined
    let isSentAgain = false
    for (let i = 0; i < inFlight; i++) {
      const batch = batches[i]
      // One that came back goes first, and one past its deadline, which is here no more, is waited for.
      if (batch === undefined || !batch.inFlight) return undefined
      isSentAgain ||= batch.attempts > 1
    }
    const next = batches[inFlight]
    // What followed it the first time may be written: a new one more, and the broker no longer knows it for a duplicate.
    return isSentAgain && next?.attempts === 0 ? undefined : next
  }

  /** Takes a new batch. */
  push(batch: Batch<Entry>): void {
    this.batches.push(batch)
    this.#queued++
  }

  /** A batch goes to the leader. */
  depart(batch: Batch<Entry>): void {
    batch.inFlight = true
    batch.sentTo = this.#leader
    batch.attempts++
    this.#inFlight++
    this.#queued--
  }

  /** The request that carried a batch was answered, or has failed. False if the batch has its outcome already. */
  land(batch: Batch<Entry>): boolean {
    if (!batch.inFlight) return false
    batch.inFlight = false
    this.#inFlight--
    if (!this.batches.includes(batch)) return false
    this.#queued++
    return true
  }

  /** A batch is to be sent again. */
  retry(batch: Batch<Entry>, retryAt: number): void {
    batch.retryAt = retryAt
    this.#isEstablished = false
  }

  /** Whether another batch has ended the epoch that this one was sent in: that it was refused is a consequence. */
  hasLostEpoch(batch: Batch<Entry>): boolean {
    return batch.identity !== this.#identity
  }

  /** Whether all batches before this one have their outcomes. */
  isOldest(batch: Batch<Entry>): boolean {
    return this.batches[0] === batch
  }

  /** A batch has its outcome. Where it has failed for good, what follows is numbered anew. */
  remove(batch: Batch<Entry>, isAcknowledged: boolean): void {
    this.batches.splice(this.batches.indexOf(batch), 1)
    if (!batch.inFlight) this.#queued--
    this.typicalSize = batch.builder.size
    if (batch.identity === undefined || batch.identity !== this.#identity) return
    if (isAcknowledged) this.#isEstablished = batch.sentTo === this.#leader
    else this.nextEpoch()
  }

  /** Puts parts in the place of a batch that is not in flight and surely not written: they share its sequence numbers. */
  replace(batch: Batch<Entry>, parts: ReadonlyArray<Batch<Entry>>): void {
    let sequence = batch.baseSequence
    for (const part of parts) {
      part.identity = batch.identity
      part.baseSequence = sequence
      if (sequence !== -1) sequence = advanceSequence(sequence, part.entries.length)
    }
    this.batches.splice(this.batches.indexOf(batch), 1, ...parts)
    this.#queued += parts.length - 1
    this.#isEstablished = false
  }

  /** Numbers under this identity what has no number yet. */
  identify(identity: ProducerIdentity): void {
    this.#identity = identity
    this.#nextSequence = 0
  }

  /**
   * The partition's sequence is lost: what comes next starts at 0 in a new
   * epoch, which the broker takes without regard for the old one (KIP-360).
   * After the last epoch there is no identity.
   */
  nextEpoch(): void {
    const identity = this.#identity
    this.#isEstablished = false
    this.#nextSequence = 0
    this.#identity = identity === undefined || identity.epoch === maxEpoch
      ? undefined
      : { producerId: identity.producerId, epoch: identity.epoch + 1 }
  }

  /**
   * Gives a batch its sequence before it is sent. What is surely not written
   * gets a new one in a new epoch; what may be written keeps its own, so that it
   * cannot be written twice. Whether the batch's numbers have changed.
   */
  number(batch: Batch<Entry>): boolean {
    if (batch.identity === this.#identity || batch.maybeWritten) return false
    batch.identity = this.#identity
    batch.baseSequence = this.#nextSequence
    this.#nextSequence = advanceSequence(this.#nextSequence, batch.entries.length)
    return true
  }
}

/** A record that waits for room. */
export interface Waiter {
  readonly size: number
  readonly admit: () => void
}
