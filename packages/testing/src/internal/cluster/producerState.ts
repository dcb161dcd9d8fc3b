import type { BatchHeader } from "@sluice/kafka/internal/kernel/batchHeader"

import { errorCode } from "./errorCode.ts"

/** A batch of an idempotent producer that is in the log. */
interface AppendedBatch {
  readonly firstSequence: number
  readonly lastSequence: number
  readonly baseOffset: number
  readonly maxTimestamp: number
}

interface ProducerEntry {
  readonly epoch: number
  /** The newest last, at most five of this epoch. */
  readonly batches: ReadonlyArray<AppendedBatch>
}

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
  private readonly entries = new Map<number, ProducerEntry>()

  /** Whether a batch that has a producer id may be appended. */
  check(header: BatchHeader): SequenceCheck {
    const entry = this.entries.get(header.producerId)
    // Nothing is known of this producer: it may be new, or its records deleted. Any sequence will do (KIP-360).
    if (entry === undefined) return append
    if (header.producerEpoch === entry.epoch) {
      const last = lastSequenceOf(header)
      const duplicate = entry.batches.find((batch) =>
        batch.firstSequence === header.baseSequence && batch.lastSequence === last
      )
      if (duplicate !== undefined) return { _tag: "Duplicate", ...duplicate }
    }
    if (header.producerEpoch < entry.epoch) return { _tag: "Refuse", errorCode: errorCode.InvalidProducerEpoch }
    const expected = header.producerEpoch > entry.epoch
      ? 0
      : sequenceAfter(entry.batches[entry.batches.length - 1]!.lastSequence, 1)
    return header.baseSequence === expected
      ? append
      : { _tag: "Refuse", errorCode: errorCode.OutOfOrderSequenceNumber }
  }

  /** Remembers a batch that was appended. */
  update(header: BatchHeader, baseOffset: number): void {
    const entry = this.entries.get(header.producerId)
    const batches = entry?.epoch === header.producerEpoch ? entry.batches.slice(1 - rememberedBatches) : []
    batches.push({
      firstSequence: header.baseSequence,
      lastSequence: lastSequenceOf(header),
      baseOffset,
      maxTimestamp: header.maxTimestamp
    })
    this.entries.set(header.producerId, { epoch: header.producerEpoch, batches })
  }
}
