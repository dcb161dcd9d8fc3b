import { readInt16, readInt32, readInt64, readUint32, writeInt32, writeInt64 } from "./bigEndian.ts"
import { crc32c } from "./crc32c.ts"

/** Bytes of a v2 batch before its records. */
export const batchHeaderSize = 61

/** Bytes before the part that the batch length counts: base offset and batch length. */
export const batchLengthEnd = 12

/** Where each field of a v2 batch starts (Kafka's `DefaultRecordBatch`). */
export const batchField = {
  baseOffset: 0,
  batchLength: 8,
  partitionLeaderEpoch: 12,
  magic: 16,
  crc: 17,
  attributes: 21,
  lastOffsetDelta: 23,
  baseTimestamp: 27,
  maxTimestamp: 35,
  producerId: 43,
  producerEpoch: 51,
  baseSequence: 53,
  recordCount: 57
} as const

/** The bits of a batch's attributes. */
export const batchAttribute = {
  compressionMask: 0x07,
  logAppendTime: 0x08,
  transactional: 0x10,
  control: 0x20
} as const

/** The header of a v2 record batch. */
export interface BatchHeader {
  readonly baseOffset: number
  /** Of the whole batch, in bytes. */
  readonly size: number
  readonly partitionLeaderEpoch: number
  readonly magic: number
  /** Unsigned. */
  readonly crc: number
  readonly attributes: number
  readonly lastOffset: number
  readonly baseTimestamp: number
  readonly maxTimestamp: number
  /** -1: none. */
  readonly producerId: number
  readonly producerEpoch: number
  readonly baseSequence: number
  /** Compaction lowers it, and leaves the last offset. */
  readonly recordCount: number
}

/** Reads the header of the batch that starts at `position`; all its 61 bytes must be there. Checks nothing. */
export const readBatchHeader = (bytes: Uint8Array, position: number): BatchHeader => {
  const baseOffset = readInt64(bytes, position + batchField.baseOffset)
  return {
    baseOffset,
    size: batchLengthEnd + readInt32(bytes, position + batchField.batchLength),
    partitionLeaderEpoch: readInt32(bytes, position + batchField.partitionLeaderEpoch),
    magic: bytes[position + batchField.magic]!,
    crc: readUint32(bytes, position + batchField.crc),
    attributes: readInt16(bytes, position + batchField.attributes),
    lastOffset: baseOffset + readInt32(bytes, position + batchField.lastOffsetDelta),
    baseTimestamp: readInt64(bytes, position + batchField.baseTimestamp),
    maxTimestamp: readInt64(bytes, position + batchField.maxTimestamp),
    producerId: readInt64(bytes, position + batchField.producerId),
    producerEpoch: readInt16(bytes, position + batchField.producerEpoch),
    baseSequence: readInt32(bytes, position + batchField.baseSequence),
    recordCount: readInt32(bytes, position + batchField.recordCount)
  }
}

/** The checksum that the batch of `size` bytes at `position` ought to have: over everything from its attributes on. */
export const computeBatchCrc = (bytes: Uint8Array, position: number, size: number): number =>
  crc32c(bytes, position + batchField.attributes, position + size)

/** Places a batch in the log, as a leader does: the checksum does not cover these two fields, so it stays right. */
export const placeBatch = (batch: Uint8Array, baseOffset: number, partitionLeaderEpoch: number): void => {
  writeInt64(batch, batchField.baseOffset, baseOffset)
  writeInt32(batch, batchField.partitionLeaderEpoch, partitionLeaderEpoch)
}
