import type { BatchHeader } from "@sluice/kafka/internal/kernel/batchHeader"

import { errorCode } from "./errorCode.ts"

/** A batch of an idempotent producer that is in the log. */
interface AppendedBatch {
  readonly epoch: number
  readonly firstSequence: number
  readonly lastSequence: number
  readonly baseOffset: number
  readonly maxTimestamp: number
}

/** How many batches of a producer a broker looks through for a duplicate. */
const rememberedBatches = 5

/** What is to be done with an idempotent producer's batch. */
export type SequenceCheck =
  | { readonly _tag: "Append" }
  /** It is in the log already. */
  | { readonly _tag: "Duplicate"; readonly baseOffset: number; readonly maxTimestamp: number }
  | { readonly _tag: "Refuse"; readonly errorCode: number }

const append: SequenceCheck = { _tag: "Append" }

/** `steps` after a sequence number: they run from 0 to 2^31-1, and then from 0 again. */
const sequenceAfter = (sequence: number, steps: number): number => {
  const sum = sequence + steps
  return sum > 0x7fff_ffff ? sum - 0x8000_0000 : sum
}

const lastSequenceOf = (header: BatchHeader): number => sequenceAfter(header.baseSequence, header.recordCount - 1)

/** What one partition knows of the idempotent producers that wrote to it. */
export class ProducerState {
  /**
   * By producer id, the newest batch last. Only the last five of its epoch count; those before them are kept as long as
   * a truncation could make them the last ones again.
   */
  private readonly entries = new Map<number, Array<AppendedBatch>>()

  /** Whether a batch that has a producer id may be appended. */
  check(header: BatchHeader): SequenceCheck {
    const batches = this.entries.get(header.producerId)
    // Nothing is known of this producer: it may be new, or its records deleted. Any sequence will do (KIP-360).
    if (batches === undefined) return append
    const newest = batches[batches.length - 1]!
    if (header.producerEpoch === newest.epoch) {
      const duplicate = findDuplicate(batches, header)
      if (duplicate !== undefined) return { _tag: "Duplicate", ...duplicate }
    }
    if (header.producerEpoch < newest.epoch) return { _tag: "Refuse", errorCode: errorCode.InvalidProducerEpoch }
    const expected = header.producerEpoch > newest.epoch ? 0 : sequenceAfter(newest.lastSequence, 1)
    return header.baseSequence === expected
      ? append
      : { _tag: "Refuse", errorCode: errorCode.OutOfOrderSequenceNumber }
  }

  /** Remembers a batch that was appended. What is before `stableOffset` is never truncated. */
  update(header: BatchHeader, baseOffset: number, stableOffset: number): void {
    let batches = this.entries.get(header.producerId)
    if (batches === undefined) this.entries.set(header.producerId, batches = [])
    batches.push({
      epoch: header.producerEpoch,
      firstSequence: header.baseSequence,
      lastSequence: lastSequenceOf(header),
      baseOffset,
      maxTimestamp: header.maxTimestamp
    })
    while (batches.length > rememberedBatches && batches[rememberedBatches]!.baseOffset < stableOffset) batches.shift()
  }

  /** The log ends at `offset` now: it is as if what came after had never been. */
  truncateTo(offset: number): void {
    for (const [producerId, batches] of this.entries) {
      while (batches.length > 0 && batches[batches.length - 1]!.baseOffset >= offset) batches.pop()
      if (batches.length === 0) this.entries.delete(producerId)
    }
  }
}

const findDuplicate = (batches: ReadonlyArray<AppendedBatch>, header: BatchHeader): AppendedBatch | undefined => {
  const lastSequence = lastSequenceOf(header)
  const first = Math.max(0, batches.length - rememberedBatches)
  for (let index = batches.length - 1; index >= first; index--) {
    const batch = batches[index]!
    if (batch.epoch !== header.producerEpoch) return undefined
    if (batch.firstSequence === header.baseSequence && batch.lastSequence === lastSequence) return batch
  }
  return undefined
}
