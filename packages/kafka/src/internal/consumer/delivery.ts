import * as Effect from "effect/Effect"
import * as Option from "effect/Option"

import type { KafkaError } from "../../KafkaError.ts"
import { Decoding } from "./decoding.ts"
import type { AssignedPartition, DeliveredChunk } from "./partition.ts"
import { Signal } from "./signal.ts"

/** What one pull gives: records of one partition, in order. */
export interface Pulled extends DeliveredChunk {
  readonly partition: AssignedPartition
}

/**
 * Hands out what was fetched to one reader at a time, a chunk of one partition
 * after the other, and the partitions in turn. Ends when it is stopped, fails
 * when the consumer does.
 */
export class Delivery {
  readonly #partitions = new Map<string, AssignedPartition>()
  readonly #changed = new Signal()
  readonly #stopListeners = new Set<() => void>()
  /** Who reads: one object for each. */
  #reader: object | undefined
  /** Of which a chunk was given, and the next one was not asked for. */
  readonly #inHand = new Set<AssignedPartition>()
  /** Whose chunk `pull` gave last. */
  #pulled: AssignedPartition | undefined
  /** Read by themselves, each by a reader of its own. */
  readonly #readAlone = new Set<AssignedPartition>()
  /** Those whose own reader has ended of its own accord. */
  #left = new WeakSet<AssignedPartition>()
  #state: "open" | "ended" | KafkaError = "open"
  readonly #released: (partition: AssignedPartition, bytes: number) => void
  readonly #onDelivered: () => void

  /**
   * `released` hears of bytes that are no longer held, and that the partition may be fetched again; `onDelivered` of each
   * chunk that somebody was given.
   */
  constructor(released: (partition: AssignedPartition, bytes: number) => void, onDelivered: () => void = () => {}) {
    this.#released = released
    this.#onDelivered = onDelivered
  }

  /** Delivers a partition from now on. */
  add(partition: AssignedPartition): void {
    this.#partitions.set(partition.key, partition)
    partition.changed.alsoNotify = this.#changed
    this.#changed.notify()
  }

  /** Delivers a partition no more. */
  remove(partition: AssignedPartition): void {
    if (this.#partitions.get(partition.key) === partition) this.#partitions.delete(partition.key)
  }

  /** Those that are delivered. */
  get partitions(): Iterable<AssignedPartition> {
    return this.#partitions.values()
  }

  /**
   * Begins to read, if nobody does: what the last reader was given and did not
   * settle comes again. A chunk in the hands of one reader cannot be told from
   * one that is done by another, hence one at a time.
   */
  claim(): boolean {
    if (this.#reader !== undefined) return false
    this.#reader = {}
    this.#left = new WeakSet()
    for (const partition of this.#partitions.values()) partition.rewind((bytes) => this.#released(partition, bytes))
    return true
  }

  /** Ends reading. */
  release(): void {
    this.#reader = undefined
    this.#pulled = undefined
    this.#inHand.clear()
    this.#readAlone.clear()
    this.wake()
  }

  /** Who reads now. */
  get reader(): object | undefined {
    return this.#reader
  }

  /**
   * Begins to read one partition by itself, in the name of the one who reads; false if that is done already. What its last
   * reader was given and did not settle comes again.
   */
  claimAlone(partition: AssignedPartition, reader: object | undefined): boolean {
    if (reader !== this.#reader) return true
    if (this.#readAlone.has(partition)) return false
    this.#readAlone.add(partition)
    this.#left.delete(partition)
    partition.rewind((bytes) => this.#released(partition, bytes))
    return true
  }

  /** Ends that. */
  releaseAlone(partition: AssignedPartition, reader: object | undefined): void {
    if (reader !== this.#reader) return
    this.#readAlone.delete(partition)
    this.#inHand.delete(partition)
    if (partition.status === "active" && this.#state === "open") this.#left.add(partition)
    this.#changed.notify()
  }

  /** Whether what was delivered of a partition may still be worked on. */
  isRead(partition: AssignedPartition): boolean {
    return this.#reader !== undefined && !this.#left.has(partition)
  }

  /** Waits until nobody reads. */
  readonly unread: Effect.Effect<void> = Effect.suspend(() => {
    const { version } = this.#changed
    return this.#reader !== undefined ? Effect.zipRight(this.#changed.wait(version), this.unread) : Effect.void
  })

  /**
   * Waits until the readers of these ask for more if they were given a chunk: so that they are done with it, unless there
   * is a buffer behind a reader, which asks too early.
   */
  idle(partitions: ReadonlyArray<AssignedPartition>): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { version } = this.#changed
      return partitions.some((partition) => this.#inHand.has(partition))
        ? Effect.zipRight(this.#changed.wait(version), this.idle(partitions))
        : Effect.void
    })
  }

  /** Ends every pull: without records, or with an error. */
  stop(error?: KafkaError): void {
    if (this.#state !== "open") return
    this.#state = error ?? "ended"
    for (const partition of this.#partitions.values()) partition.stopDecoding()
    this.wake()
    for (const listener of this.#stopListeners) listener()
  }

  /** Calls `listener` when it is stopped, or now if it is. Gives what ends that. */
  onStop(listener: () => void): () => void {
    if (this.#state !== "open") listener()
    else this.#stopListeners.add(listener)
    return () => this.#stopListeners.delete(listener)
  }

  /** The error that ended it, if one did. */
  get failure(): KafkaError | undefined {
    return typeof this.#state === "object" ? this.#state : undefined
  }

  /** Pulls that wait look again. */
  wake(): void {
    this.#changed.notify()
    for (const partition of this.#partitions.values()) partition.changed.notify()
  }

  /** The next records of any partition. */
  readonly pull: Effect.Effect<Pulled, Option.Option<KafkaError>> = Effect.suspend(() => {
    if (this.#pulled !== undefined) {
      this.#inHand.delete(this.#pulled)
      this.#pulled = undefined
      this.#changed.notify()
    }
    if (this.#state !== "open") return Effect.fail(this.#end)
    const { version } = this.#changed
    // Started also beside what is given at once, or one that always has something would leave them no turn.
    const decodings: Array<Effect.Effect<void>> = []
    const started = () => Effect.all(decodings, { discard: true })
    for (const partition of this.#partitions.values()) {
      const chunk = this.#takeFrom(partition)
      if (chunk === undefined) continue
      if (chunk instanceof Decoding) {
        decodings.push(chunk.start(() => partition.changed.notify()))
        continue
      }
      if ("_tag" in chunk) return Effect.fail(Option.some(chunk))
      // To the end of the line.
      this.#partitions.delete(partition.key)
      this.#partitions.set(partition.key, partition)
      this.#pulled = partition
      this.#inHand.add(partition)
      return decodings.length === 0 ? Effect.succeed(chunk) : Effect.as(started(), chunk)
    }
    const again = Effect.zipRight(this.#changed.wait(version), this.pull)
    return decodings.length === 0 ? again : Effect.zipRight(started(), again)
  })

  /**
   * The next records of one partition, those that do not decode among them; none when it is drained or given up, the
   * delivery has ended, or `goesOn` is over. With "fail", one that does not decode fails this and all that follow.
   */
  pullFrom(
    partition: AssignedPartition,
    goesOn: () => boolean,
    undecodable: "fail" | "give" = "give"
  ): Effect.Effect<Pulled, Option.Option<KafkaError>> {
    const pull: Effect.Effect<Pulled, Option.Option<KafkaError>> = Effect.suspend(() => {
      if (this.#state !== "open") return Effect.fail(this.#end)
      if (partition.status !== "active" || !goesOn()) return Effect.fail(Option.none())
      const { version } = partition.changed
      const chunk = this.#takeFrom(partition, undecodable)
      if (chunk === undefined) return Effect.zipRight(partition.changed.wait(version), pull)
      if (chunk instanceof Decoding) {
        const started = chunk.start(() => partition.changed.notify())
        return Effect.zipRight(Effect.zipRight(started, partition.changed.wait(version)), pull)
      }
      return "_tag" in chunk ? Effect.fail(Option.some(chunk)) : Effect.succeed(chunk)
    })
    return pull
  }

  /** The next records of a partition that is read by itself; none once somebody else reads. */
  pullAlone(
    partition: AssignedPartition,
    reader: object | undefined
  ): Effect.Effect<Pulled, Option.Option<KafkaError>> {
    const pull = this.pullFrom(partition, () => this.#reader === reader, "fail")
    return Effect.suspend(() => {
      if (this.#reader === reader && this.#inHand.delete(partition)) this.#changed.notify()
      return Effect.map(pull, (pulled) => {
        this.#inHand.add(partition)
        return pulled
      })
    })
  }

  /** The partitions that are delivered and were not given before by the same `known`, once there are any. */
  pullPartitions(
    known: WeakSet<AssignedPartition>
  ): Effect.Effect<ReadonlyArray<AssignedPartition>, Option.Option<KafkaError>> {
    const pull: Effect.Effect<ReadonlyArray<AssignedPartition>, Option.Option<KafkaError>> = Effect.suspend(() => {
      if (this.#state !== "open") return Effect.fail(this.#end)
      const { version } = this.#changed
      const added = Array.from(this.#partitions.values()).filter((partition) => !known.has(partition))
      for (const partition of added) known.add(partition)
      return added.length > 0 ? Effect.succeed(added) : Effect.zipRight(this.#changed.wait(version), pull)
    })
    return pull
  }

  get #end(): Option.Option<KafkaError> {
    return Option.fromNullable(this.failure)
  }

  #takeFrom(
    partition: AssignedPartition,
    undecodable?: "fail" | "give"
  ): Pulled | Decoding | KafkaError | undefined {
    const chunk = partition.take((bytes) => this.#released(partition, bytes), undecodable)
    if (chunk === undefined || chunk instanceof Decoding || "_tag" in chunk) return chunk
    this.#onDelivered()
    return { partition, ...chunk }
  }
}
