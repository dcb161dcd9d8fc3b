import { batchAttribute, batchField, batchHeaderSize, batchLengthEnd, computeBatchCrc } from "./batchHeader.ts"
import { writeInt16, writeInt32, writeInt64 } from "./bigEndian.ts"
import { type Codec, compressionTypes } from "./compression.ts"
import type { Header } from "./header.ts"
import { sizeOfVarint, sizeOfVarlong, writeVarint, writeVarlong } from "./varint.ts"

const magic = 2
const noBytes = new Uint8Array(0)

/** Who writes a batch, and how. */
export interface CloseOptions {
  /** Default -1: not idempotent. */
  readonly producerId?: number
  /** Default -1. */
  readonly producerEpoch?: number
  /** Sequence number of the first record; default -1. */
  readonly baseSequence?: number
  /** Default false. */
  readonly isTransactional?: boolean
  /** Default false: true only for the markers that a broker writes. */
  readonly isControl?: boolean
  /** Default none. A batch that would not get smaller is left uncompressed. */
  readonly codec?: Codec | undefined
}

/** Bytes of the key's UTF-8, counted without a call out of JavaScript where it is ASCII. */
const utf8Size = (text: string): number => {
  for (let index = 0; index < text.length; index++) {
    if (text.charCodeAt(index) >= 0x80) return Buffer.byteLength(text)
  }
  return text.length
}

const nullableSize = (bytes: Uint8Array | null): number =>
  bytes === null ? 1 : sizeOfVarint(bytes.length) + bytes.length

const headersSize = (headers: ReadonlyArray<Header>): number => {
  let size = sizeOfVarint(headers.length)
  for (let index = 0; index < headers.length; index++) {
    const header = headers[index]!
    const keySize = utf8Size(header.key)
    size += sizeOfVarint(keySize) + keySize + nullableSize(header.value)
  }
  return size
}

/** Below this many bytes a loop copies faster than `TypedArray.set`. */
const loopCopyLimit = 24

const writeNullable = (target: Buffer, position: number, bytes: Uint8Array | null): number => {
  if (bytes === null) return writeVarint(target, position, -1)
  const length = bytes.length
  position = writeVarint(target, position, length)
  if (length < loopCopyLimit) {
    for (let index = 0; index < length; index++) target[position + index] = bytes[index]!
  } else {
    target.set(bytes, position)
  }
  return position + length
}

const writeHeaders = (target: Buffer, position: number, headers: ReadonlyArray<Header>): number => {
  position = writeVarint(target, position, headers.length)
  for (let index = 0; index < headers.length; index++) {
    const { key, value } = headers[index]!
    const keySize = utf8Size(key)
    position = writeVarint(target, position, keySize)
    if (keySize === key.length) {
      for (let char = 0; char < keySize; char++) target[position + char] = key.charCodeAt(char)
    } else {
      target.write(key, position, keySize, "utf8")
    }
    position = writeNullable(target, position + keySize, value)
  }
  return position
}

/** Length 5, attributes 1, timestamp delta 8, offset delta 5. */
const recordOverheadBound = 19

/** At least the bytes that a record takes in a batch, whatever its timestamp and place there; at most 15 too many. */
export const recordSizeUpperBound = (
  key: Uint8Array | null,
  value: Uint8Array | null,
  headers: ReadonlyArray<Header>
): number => recordOverheadBound + nullableSize(key) + nullableSize(value) + headersSize(headers)

/**
 * A v2 record batch that is still open: records are encoded into its buffer as they come, header and checksum follow
 * when it closes.
 */
export class BatchBuilder {
  private buffer: Buffer
  /** The end of what the buffer can take; -1 once closed, so that `append` needs one comparison for both. */
  private limit: number
  private position = batchHeaderSize
  private recordCount = 0
  private baseTimestamp = -1
  private maxTimestamp = -1
  private readonly maxCapacity: number

  /**
   * Starts with a buffer of so many bytes, default 16 KiB, or with a given one of its own ArrayBuffer; a buffer of double
   * the size takes over when it is full, but of no more than `maxCapacity` bytes unless one record needs them.
   */
  constructor(initial: number | Buffer = 16 * 1024, maxCapacity = Infinity) {
    this.maxCapacity = maxCapacity
    this.buffer = typeof initial === "number" ? Buffer.allocUnsafeSlow(Math.max(batchHeaderSize, initial)) : initial
    this.limit = this.buffer.length
  }

  /** How many records the batch has. */
  get count(): number {
    return this.recordCount
  }

  /** Bytes of the whole batch if it closed now without compression. */
  get size(): number {
    return this.position
  }

  /** Bytes that the buffer takes in memory. */
  get capacity(): number {
    return this.buffer.length
  }

  /**
   * Copies a record into the batch. `timestamp` in milliseconds, a safe integer, -1 for none. Throws once the batch is
   * closed.
   */
  append(
    timestamp: number,
    key: Uint8Array | null,
    value: Uint8Array | null,
    headers: ReadonlyArray<Header>
  ): void {
    const offsetDelta = this.recordCount
    const baseTimestamp = offsetDelta === 0 ? timestamp : this.baseTimestamp
    const timestampDelta = timestamp - baseTimestamp
    const length = 1 + sizeOfVarlong(timestampDelta) + sizeOfVarint(offsetDelta) +
      nullableSize(key) + nullableSize(value) + headersSize(headers)
    const end = this.position + sizeOfVarint(length) + length
    if (end > this.limit) this.grow(end)

    const buffer = this.buffer
    let position = writeVarint(buffer, this.position, length)
    buffer[position++] = 0
    position = writeVarlong(buffer, position, timestampDelta)
    position = writeVarint(buffer, position, offsetDelta)
    position = writeNullable(buffer, position, key)
    position = writeNullable(buffer, position, value)
    writeHeaders(buffer, position, headers)

    this.position = end
    this.recordCount = offsetDelta + 1
    this.baseTimestamp = baseTimestamp
    if (timestamp > this.maxTimestamp) this.maxTimestamp = timestamp
  }

  /**
   * Gives the finished batch, with base offset 0 and no leader epoch. Uncompressed it is a view of the builder's own
   * buffer, which it keeps alive whole. Throws where the batch is empty or closed already.
   */
  close(options: CloseOptions = {}): Uint8Array {
    if (this.limit === -1) throw new Error("The batch is closed")
    if (this.recordCount === 0) throw new Error("A batch without records cannot be written")
    const { batch, compression } = this.finishRecords(options.codec)
    this.limit = -1
    this.buffer = Buffer.from(noBytes.buffer)
    let attributes: number = compression
    if (options.isTransactional === true) attributes |= batchAttribute.transactional
    if (options.isControl === true) attributes |= batchAttribute.control
    writeInt64(batch, batchField.baseOffset, 0)
    writeInt32(batch, batchField.batchLength, batch.length - batchLengthEnd)
    writeInt32(batch, batchField.partitionLeaderEpoch, -1)
    batch[batchField.magic] = magic
    writeInt16(batch, batchField.attributes, attributes)
    writeInt32(batch, batchField.lastOffsetDelta, this.recordCount - 1)
    writeInt64(batch, batchField.baseTimestamp, this.baseTimestamp)
    writeInt64(batch, batchField.maxTimestamp, this.maxTimestamp)
    writeInt32(batch, batchField.recordCount, this.recordCount)
    restamp(batch, options.producerId ?? -1, options.producerEpoch ?? -1, options.baseSequence ?? -1)
    return batch
  }

  private finishRecords(codec: Codec | undefined): { readonly batch: Uint8Array; readonly compression: number } {
    if (codec !== undefined) {
      const records = codec.compress(this.buffer.subarray(batchHeaderSize, this.position))
      if (batchHeaderSize + records.length < this.position) {
        const batch = new Uint8Array(batchHeaderSize + records.length)
        batch.set(records, batchHeaderSize)
        return { batch, compression: compressionTypes[codec.type] }
      }
    }
    return { batch: this.buffer.subarray(0, this.position), compression: compressionTypes.none }
  }

  private grow(needed: number): void {
    if (this.limit === -1) throw new Error("The batch is closed")
    let capacity = this.buffer.length
    while (capacity < needed) capacity *= 2
    capacity = Math.max(needed, Math.min(capacity, this.maxCapacity))
    const larger = Buffer.allocUnsafeSlow(capacity)
    larger.set(this.buffer.subarray(0, this.position))
    this.buffer = larger
    this.limit = capacity
  }
}

/** Gives a closed batch (compressed or not) another producer id, epoch and sequence, in place, and its new checksum. */
export const restamp = (
  batch: Uint8Array,
  producerId: number,
  producerEpoch: number,
  baseSequence: number
): void => {
  writeInt64(batch, batchField.producerId, producerId)
  writeInt16(batch, batchField.producerEpoch, producerEpoch)
  writeInt32(batch, batchField.baseSequence, baseSequence)
  writeInt32(batch, batchField.crc, computeBatchCrc(batch, 0, batch.length))
}
