import * as Effect from "effect/Effect"
import * as Option from "effect/Option"

import type { KafkaError } from "../../KafkaError.ts"
import type { AssignedPartition, DeliveredChunk } from "./partition.ts"

/** What one pull gives: records of one partition, in order. */
export interface Pulled extends DeliveredChunk {
  readonly partition: AssignedPartition
}

/**
 * Hands out what was fetched, a chunk of one partition at a time, and the
 * partitions in turn. Ends when it is stopped, fails when the consumer does.
 */
export class Delivery {
  readonly #partitions = new Map<string, AssignedPartition>()
  #waiting: Array<() => void> = []
  #state: "open" | "ended" | KafkaError = "open"
  readonly #released: (partition: AssignedPartition, bytes: number) => void

  /** `released` hears of bytes that are no longer held, and that the partition may be fetched again. */
  constructor(released: (partition: AssignedPartition, bytes: number) => void) {
    this.#released = released
  }

  /** Delivers a partition from now on. */
  add(partition: AssignedPartition): void {
    this.#partitions.set(partition.key, partition)
    partition.onChange = () => this.wake()
  }

  /** Delivers a partition no more. */
  remove(partition: AssignedPartition): void {
    if (this.#partitions.get(partition.key) === partition) this.#partitions.delete(partition.key)
    this.wake()
  }

  /** Ends every pull: without records, or with an error. */
  stop(error?: KafkaError): void {
    if (this.#state !== "open") return
    this.#state = error ?? "ended"
    this.wake()
  }

  /** The error that ended it, if one did. */
  get failure(): KafkaError | undefined {
    return typeof this.#state === "object" ? this.#state : undefined
  }

  /** Whether pulls go on. */
  get isOpen(): boolean {
    return this.#state === "open"
  }

  /** Pulls that wait look again. */
  wake(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const resume of waiting) resume()
  }

  /** The next records of any partition. */
  readonly pull: Effect.Effect<Pulled, Option.Option<KafkaError>> = Effect.suspend(() => {
    if (this.#state === "ended") return Effect.fail(Option.none())
    if (this.#state !== "open") return Effect.fail(Option.some(this.#state))
    for (const partition of this.#partitions.values()) {
      const chunk = this.#takeFrom(partition)
      if (chunk === undefined) continue
      if ("_tag" in chunk) return Effect.fail(Option.some(chunk))
      // To the end of the line.
      this.#partitions.delete(partition.key)
      this.#partitions.set(partition.key, partition)
      return Effect.succeed(chunk)
    }
    return Effect.zipRight(this.changed, this.pull)
  })

  /** The next records of one partition; none when it is drained, given up, or the delivery has ended. */
  pullFrom(partition: AssignedPartition): Effect.Effect<Pulled, Option.Option<KafkaError>> {
    return Effect.suspend(() => {
      if (this.#state !== "open" || partition.status !== "active") return Effect.fail(Option.none())
      const chunk = this.#takeFrom(partition)
      if (chunk === undefined) return Effect.zipRight(this.changed, this.pullFrom(partition))
      return "_tag" in chunk ? Effect.fail(Option.some(chunk)) : Effect.succeed(chunk)
    })
  }

  /** Something came, or changed. */
  readonly changed: Effect.Effect<void> = Effect.async((resume) => {
    const wake = () => resume(Effect.void)
    this.#waiting.push(wake)
    return Effect.sync(() => {
      const index = this.#waiting.indexOf(wake)
      if (index !== -1) this.#waiting.splice(index, 1)
    })
  })

  #takeFrom(partition: AssignedPartition): Pulled | KafkaError | undefined {
    const chunk = partition.take((bytes) => this.#released(partition, bytes))
    if (chunk === undefined) return undefined
    if (chunk === "refetch") return undefined
    return "_tag" in chunk ? chunk : { partition, records: chunk.records, nextOffset: chunk.nextOffset }
  }
}
