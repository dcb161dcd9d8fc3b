import type { Persisted } from "../../KafkaError.ts"
import { errorOf } from "./errors.ts"

/** What to do with a batch after the broker's answer for its partition. */
export type ProduceOutcome =
  /** It is in the log. A duplicate's offset may be unknown. */
  | { readonly _tag: "Acknowledged" }
  /** The same bytes with the same sequence again, to the leader then. */
  | { readonly _tag: "Retry"; readonly maybeWritten: boolean; readonly refresh: boolean }
  /** A consequence of what became of a batch before it: the same bytes in its turn, without a pause. */
  | { readonly _tag: "RetryInTurn" }
  /** Surely not written, and the partition's sequence is lost: again under a new epoch. */
  | { readonly _tag: "RetryInNextEpoch" }
  /** Too large for the broker: again in halves. */
  | { readonly _tag: "Split" }
  /** For good. With idempotence the partition goes on in a new epoch. */
  | { readonly _tag: "Failed"; readonly persisted: Persisted }

/** What is known of the batch that was answered. */
export interface AnsweredBatch {
  readonly idempotent: boolean
  /** Whether an earlier attempt may have been written. */
  readonly maybeWritten: boolean
  /** Whether all batches of the partition before it have their outcomes. */
  readonly isOldest: boolean
  readonly recordCount: number
}

const code = {
  none: 0,
  messageTooLarge: 10,
  recordListTooLarge: 18,
  outOfOrderSequence: 45,
  duplicateSequence: 46,
  invalidProducerEpoch: 47,
  unknownProducerId: 59
} as const

/**
 * Decides by the error code. A batch that may have been written is never sent
 * under another sequence: that could write it twice. That the sequence of a
 * batch is wrong while another one is before it is a consequence of what became
 * of that one.
 */
export const produceOutcome = (errorCode: number, batch: AnsweredBatch): ProduceOutcome => {
  switch (errorCode) {
    case code.none:
    case code.duplicateSequence:
      return { _tag: "Acknowledged" }
    case code.messageTooLarge:
    case code.recordListTooLarge:
      return batch.recordCount > 1 && !batch.maybeWritten
        ? { _tag: "Split" }
        : { _tag: "Failed", persisted: batch.maybeWritten ? "maybe" : "no" }
    case code.outOfOrderSequence:
    case code.invalidProducerEpoch:
    case code.unknownProducerId:
      if (batch.idempotent && !batch.isOldest) return { _tag: "RetryInTurn" }
      return batch.idempotent && !batch.maybeWritten
        ? { _tag: "RetryInNextEpoch" }
        : { _tag: "Failed", persisted: batch.maybeWritten ? "maybe" : "no" }
  }
  const entry = errorOf(errorCode)
  const maybeWritten = entry.persisted === "maybe"
  if (entry.retriable) return { _tag: "Retry", maybeWritten, refresh: entry.refresh !== "none" }
  return { _tag: "Failed", persisted: batch.maybeWritten || maybeWritten ? "maybe" : "no" }
}
