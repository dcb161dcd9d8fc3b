import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"

import type * as Topic from "../../Topic.ts"
import { detached } from "../fiber.ts"
import type { RecordChunk } from "../kernel/records.ts"
import type { RecordView } from "../kernel/recordView.ts"
import { FetchedRecord, nullValue, undecodable } from "./record.ts"

/** Whether deserializing a topic's records takes effects. */
export const takesEffects = ({ key, value }: Topic.Any): boolean => "_tag" in key || "_tag" in value

/** A record whose key and value came from effects. */
class DecodedRecord extends FetchedRecord {
  readonly #decodedKey: unknown
  readonly #decodedValue: unknown

  constructor(
    definition: Topic.Any,
    partition: number,
    generation: number,
    view: RecordView,
    key: unknown,
    value: unknown
  ) {
    super(definition, partition, generation, view)
    this.#decodedKey = key
    this.#decodedValue = value
  }

  override get key(): unknown {
    return this.#decodedKey
  }

  override get value(): unknown {
    return this.#decodedValue
  }
}

/**
 * The records of a chunk while their deserializers run, one after the other, on
 * a fiber of their own: who pulls may be interrupted, and finds what is done.
 */
export class Decoding {
  /** Those that are decoded, in their order; with a `failure` where that cannot be. */
  readonly records: Array<FetchedRecord> = []
  readonly chunk: RecordChunk
  readonly #definition: Topic.Any
  readonly #partition: number
  readonly #generation: number
  #fiber: Fiber.RuntimeFiber<void> | undefined
  #isCancelled = false

  constructor(definition: Topic.Any, partition: number, generation: number, chunk: RecordChunk) {
    this.#definition = definition
    this.#partition = partition
    this.#generation = generation
    this.chunk = chunk
  }

  /** Whether it has been tried with all. */
  get isDone(): boolean {
    return this.records.length === this.chunk.records.length
  }

  /** Starts it, if nobody has; `onEnd` hears of its end. */
  start(onEnd: () => void): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.#fiber !== undefined || this.isDone || this.#isCancelled) return Effect.void
      // Uninterruptible, so that no fiber runs that is not known here.
      return Effect.uninterruptible(
        Effect.map(Effect.forkDaemon(Effect.interruptible(detached(this.#run))), (fiber) => {
          this.#fiber = fiber
          fiber.addObserver(onEnd)
          // Whoever starts it may have yielded since it looked.
          if (this.#isCancelled) this.cancel()
        })
      )
    })
  }

  /** Nobody wants it any more: it ends, or never begins. */
  cancel(): void {
    this.#isCancelled = true
    this.#fiber?.unsafeInterruptAsFork(FiberId.none)
  }

  readonly #run: Effect.Effect<void> = Effect.whileLoop({
    while: () => !this.isDone,
    body: () => Effect.exit(this.#decode(this.chunk.records[this.records.length]!)),
    step: (exit) => {
      if (Exit.isSuccess(exit)) {
        this.records.push(exit.value)
        return
      }
      const view = this.chunk.records[this.records.length]!
      const cause = Cause.squash(exit.cause)
      const problem = `a deserializer failed: ${cause instanceof Error ? cause.message : String(cause)}`
      const failure = undecodable(this.#definition, this.#partition, view, problem, cause)
      this.records.push(new FetchedRecord(this.#definition, this.#partition, this.#generation, view, failure))
    }
  })

  #decode(view: RecordView): Effect.Effect<FetchedRecord, unknown> {
    return Effect.suspend(() => {
      const definition = this.#definition
      if (!view.hasValue && !definition.tombstones) return Effect.fail(new TypeError(nullValue))
      const { key, value } = view
      return Effect.flatMap(decodePart(definition.key, key, definition.name), (key) =>
        Effect.map(
          decodePart(definition.value, value, definition.name),
          (value) => new DecodedRecord(definition, this.#partition, this.#generation, view, key, value)
        ))
    })
  }
}

const decodePart = (
  serde: Topic.Any["key"],
  bytes: Uint8Array | null,
  topic: string
): Effect.Effect<unknown, unknown> =>
  bytes === null
    ? Effect.succeed(null)
    : "_tag" in serde
    ? serde.deserialize(bytes, topic)
    : Effect.succeed(serde.deserialize(bytes, topic))
