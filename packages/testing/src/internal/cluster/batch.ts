import {
  batchAttribute,
  batchField,
  type BatchHeader,
  batchHeaderSize,
  batchLengthEnd,
  computeBatchCrc,
  readBatchHeader
} from "@sluice/kafka/internal/kernel/batchHeader"
import { readInt32 } from "@sluice/kafka/internal/kernel/bigEndian"

import { errorCode } from "./errorCode.ts"

/** The size of the batch at `position` if all of it is there, as a broker sees it before it looks any closer. */
const sizeAt = (bytes: Uint8Array, position: number): number | undefined => {
  if (bytes.length - position <= batchField.magic) return undefined
  const size = batchLengthEnd + readInt32(bytes, position + batchField.batchLength)
  return size > bytes.length - position ? undefined : size
}

/** The smallest message of any format. */
const smallestMessage = 14

/**
 * Finds the one batch that each partition of a Produce request must have (the error code of what is wrong, else). Bytes
 * after it that are no whole batch are ignored.
 */
export const findBatch = (records: Uint8Array | null): Uint8Array | number => {
  if (records === null) return errorCode.InvalidRecord
  const size = sizeAt(records, 0)
  if (size === undefined) return errorCode.InvalidRecord
  const magic = records[batchField.magic]!
  if (size < batchLengthEnd + smallestMessage || magic > 2) return errorCode.CorruptMessage
  if (magic !== 2) return errorCode.InvalidRecord
  return sizeAt(records, size) === undefined ? records.subarray(0, size) : errorCode.InvalidRecord
}

/**
 * Checks a batch as a leader does before it appends it; gives its header, or the error code. Compressed records are not
 * expanded: only what the header says of them is checked.
 */
export const validateBatch = (bytes: Uint8Array, maxBytes: number): BatchHeader | number => {
  if (bytes.length < batchHeaderSize) {
    return bytes.length > maxBytes
      ? errorCode.MessageTooLarge
      : errorCode.CorruptMessage
  }
  const header = readBatchHeader(bytes, 0)
  if (header.baseOffset !== 0) return errorCode.InvalidRecord
  if (bytes.length > maxBytes) return errorCode.MessageTooLarge
  if (header.crc !== computeBatchCrc(bytes, 0, bytes.length)) return errorCode.CorruptMessage
  const isControl = (header.attributes & batchAttribute.control) !== 0
  const isCompressed = (header.attributes & batchAttribute.compressionMask) !== 0
  const fits = header.recordCount > 0 &&
    header.recordCount === header.lastOffset + 1 &&
    !isControl &&
    (header.producerId < 0 || header.baseSequence >= 0) &&
    (isCompressed || areRecordsWellFormed(bytes, header.recordCount))
  return fits ? header : errorCode.InvalidRecord
}

/** Steps over the records by their lengths; reads of each its offset delta only, which must count up from 0. */
const areRecordsWellFormed = (bytes: Uint8Array, count: number): boolean => {
  const end = bytes.length
  let position = batchHeaderSize
  for (let index = 0; index < count; index++) {
    let length = 0
    let shift = 0
    let byte = 0x80
    while (byte >= 0x80) {
      if (position >= end || shift > 28) return false
      byte = bytes[position++]!
      length |= (byte & 0x7f) << shift
      shift += 7
    }
    length = (length >>> 1) ^ -(length & 1)
    const recordEnd = position + length
    if (length < 6 || recordEnd > end) return false
    position++ // attributes
    while (bytes[position++]! >= 0x80) if (position >= recordEnd) return false // timestamp delta
    let delta = 0
    shift = 0
    byte = 0x80
    while (byte >= 0x80) {
      if (position >= recordEnd || shift > 28) return false
      byte = bytes[position++]!
      delta |= (byte & 0x7f) << shift
      shift += 7
    }
    if (((delta >>> 1) ^ -(delta & 1)) !== index) return false
    position = recordEnd
  }
  return position === end
}
