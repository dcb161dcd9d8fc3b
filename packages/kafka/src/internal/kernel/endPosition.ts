import { batchHeaderSize, readBatchHeader } from "./batchHeader.ts"

/** A place in a log between two records. */
export interface LogPosition {
  /** Of the next record. */
  readonly offset: number
  /** The epoch of the leader that took the record before it; -1 for unknown. */
  readonly leaderEpoch: number
}

/** Where fetched records end. */
export interface EndPosition extends LogPosition {
  /** As the batches' headers say. */
  readonly recordCount: number
}

/**
 * The position after the last whole batch of a fetched record set, without
 * reading the records; `from` if no whole batch reaches it. Stops at what cannot
 * be a batch: reading the records tells what is wrong there.
 */
export const endPosition = (bytes: Uint8Array, from: LogPosition): EndPosition => {
  let { leaderEpoch, offset } = from
  let lastBatchEnd = -1
  let records = 0
  let position = 0
  while (position + batchHeaderSize <= bytes.length) {
    const { baseOffset, lastOffset, partitionLeaderEpoch, recordCount, size } = readBatchHeader(bytes, position)
    if (size < batchHeaderSize || position + size > bytes.length) break
    if (baseOffset <= lastBatchEnd || lastOffset < baseOffset) break
    lastBatchEnd = lastOffset
    records += Math.max(0, recordCount)
    if (lastOffset >= offset) {
      offset = lastOffset + 1
      leaderEpoch = partitionLeaderEpoch
    }
    position += size
  }
  return { offset, leaderEpoch, recordCount: records }
}
