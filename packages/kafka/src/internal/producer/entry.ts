import { NodeInspectSymbol } from "effect/Inspectable"
import type * as Tracer from "effect/Tracer"

import type { RecordMetadata } from "../../Producer.ts"
import type { AnyRecord } from "../../Topic.ts"
import type { BatchOutcome, Completion } from "./outcome.ts"

/** What only reports and spans need of a record. */
export interface Tracking {
  readonly record: AnyRecord
  readonly correlation: unknown
  readonly span: Tracer.Span | undefined
  /** In milliseconds of the monotonic clock; undefined before. From then on its batch gives the record its outcome, whatever becomes of its sender. */
  acceptedAt: number | undefined
}

/**
 * What is kept of a record beside its bytes, from its acceptance to its outcome;
 * with that it is what the sender is told. One object for both: there are as many
 * as records.
 */
export class Entry implements RecordMetadata {
  readonly #slot: number
  readonly #timestamp: number
  #completion: Completion | undefined
  #tracking: Tracking | undefined
  #outcome: BatchOutcome | undefined
  #index = -1

  /** `slot` is the record's number among those of the completion. */
  constructor(completion: Completion, slot: number, timestamp: number, tracking: Tracking | undefined) {
    this.#completion = completion
    this.#slot = slot
    this.#timestamp = timestamp
    this.#tracking = tracking
  }

  /** Undefined where there are neither reports nor spans, and after its outcome. */
  get tracking(): Tracking | undefined {
    return this.#tracking
  }

  /** Whether anybody waits for its outcome. */
  get isAwaited(): boolean {
    return this.#completion?.isAwaited() === true
  }

  accepted(now: number): void {
    if (this.#tracking !== undefined) this.#tracking.acceptedAt = now
  }

  /** Its batch, in which it has this index, has its outcome. Called once. */
  settle(outcome: BatchOutcome, index: number): void {
    const completion = this.#completion!
    // Who keeps the metadata keeps nothing else.
    this.#completion = this.#tracking = undefined
    this.#outcome = outcome
    this.#index = index
    if (outcome.error === undefined) completion.succeed(this.#slot, this)
    else completion.fail(this.#slot, outcome.error)
  }

  get topic(): string {
    return this.#outcome!.topic
  }

  get partition(): number {
    return this.#outcome!.partition
  }

  get offset(): bigint | undefined {
    const { baseOffset } = this.#outcome!
    return baseOffset === -1 ? undefined : BigInt(baseOffset + this.#index)
  }

  get timestamp(): number {
    const { logAppendTime } = this.#outcome!
    return logAppendTime === -1 ? this.#timestamp : logAppendTime
  }

  toJSON(): unknown {
    return {
      topic: this.topic,
      partition: this.partition,
      offset: this.offset?.toString(),
      timestamp: this.timestamp
    }
  }

  [NodeInspectSymbol](): unknown {
    return this.toJSON()
  }
}
