import { type AbortedTransaction, AbortedTransactions } from "./abortedTransactions.ts"
import {
  batchAttribute,
  batchField,
  type BatchHeader,
  batchHeaderSize,
  batchLengthEnd,
  computeBatchCrc,
  readBatchHeader
} from "./batchHeader.ts"
import { readInt16, readInt32, readInt64 } from "./bigEndian.ts"
import { builtInCodecs, type CodecLookup, ExpandedTooLarge } from "./compression.ts"
import { RecordError, type RecordErrorReason } from "./recordError.ts"
import { RecordView } from "./recordView.ts"
import { MalformedBytes, VarintCursor } from "./varint.ts"

/** What a partition's records of one Fetch response are read by. */
export interface DecodeOptions {
  /** The offset that was asked for: a batch may start before it, and records before it are left out. */
  readonly fetchOffset: number
  /** For read_committed: what the response lists. Absent or `null` reads uncommitted records too. */
  readonly abortedTransactions?: ReadonlyArray<AbortedTransaction> | null | undefined
  /** Default: the codecs that need nothing but Node. */
  readonly codecs?: CodecLookup | undefined
  /** Bytes that one batch may take when it is expanded; default 128 MiB. */
  readonly maxExpandedSize?: number | undefined
}

/** Records of one batch, in order: the whole of what it holds, or a part of it. */
export interface RecordChunk {
  /** One at least. */
  readonly records: ReadonlyArray<RecordView>
  /** Where to go on after these records: past what compaction, markers and aborted transactions leave out. */
  readonly nextOffset: number
  /** Epoch of the leader that took the batch; -1 for unknown. */
  readonly leaderEpoch: number
  /** Whether the timestamps are the broker's (one for the whole batch) or the producer's. */
  readonly timestampType: "CreateTime" | "LogAppendTime"
}

const defaultMaxExpandedSize = 128 * 1024 * 1024

/** Length, attributes, timestamp delta, offset delta, key length, value length and header count: a byte each. */
const minRecordSize = 7

const supportedMagic = 2

/** What is left of a batch whose records are being read. */
interface OpenBatch {
  readonly header: BatchHeader
  /** Where the batch starts in the reader's bytes. */
  readonly position: number
  readonly bytes: Buffer
  readonly end: number
  readonly cursor: VarintCursor
  /** Records not read yet. */
  remaining: number
  /** Offset delta of the last record that was read. */
  offsetDelta: number
}

const asBuffer = (bytes: Uint8Array): Buffer =>
  bytes instanceof Buffer ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/**
 * Reads the `records` of one partition of a Fetch response, batch by batch and only as far as it is asked to: a batch
 * that nobody asked for yet is neither checked nor expanded.
 *
 * Left out: control batches, records before the fetch offset, aborted transactions, and a last batch that the response
 * cuts off. The bytes are trusted in nothing: whatever they are, the result is records or a `RecordError`, in time and
 * memory bounded by their length and `maxExpandedSize`.
 */
export class RecordsReader {
  private readonly bytes: Buffer
  private readonly aborted: AbortedTransactions | undefined
  private readonly codecs: CodecLookup
  private readonly maxExpandedSize: number
  private position = 0
  private lastBatchEnd = -1
  private open: OpenBatch | undefined
  private offset: number
  private failure: RecordError | undefined
  private cutOff = false

  constructor(bytes: Uint8Array, options: DecodeOptions) {
    this.bytes = asBuffer(bytes)
    this.offset = options.fetchOffset
    this.aborted = options.abortedTransactions == null
      ? undefined
      : new AbortedTransactions(options.abortedTransactions)
    this.codecs = options.codecs ?? builtInCodecs
    this.maxExpandedSize = options.maxExpandedSize ?? defaultMaxExpandedSize
  }

  /** The offset to go on from after all that was read so far. */
  get nextOffset(): number {
    return this.offset
  }

  /** What ended the reading early, if anything did: everything before it was given. */
  get error(): RecordError | undefined {
    return this.failure
  }

  /** Whether the end was reached and the last batch was cut off there. */
  get truncated(): boolean {
    return this.cutOff
  }

  /**
   * The next records, at most `maxRecords` (1 or more; default: all of the batch) and never of two batches; `undefined` at the end
   * and where `error` is set.
   */
  next(maxRecords = Number.POSITIVE_INFINITY): RecordChunk | undefined {
    while (this.failure === undefined) {
      const batch = this.open ?? this.openNext()
      if (batch === undefined) return undefined
      this.open = batch
      const chunk = this.readFrom(batch, maxRecords)
      if (chunk !== undefined) return chunk
    }
    return undefined
  }

  /** The next batch that has records to give, or `undefined` at the end and on failure. */
  private openNext(): OpenBatch | undefined {
    const { bytes } = this
    while (this.failure === undefined && this.position < bytes.length) {
      const position = this.position
      const size = this.checkedSize(position)
      if (size === undefined) return undefined
      const header = readBatchHeader(bytes, position)
      this.position = position + size
      this.lastBatchEnd = header.lastOffset
      const batch = this.recordsOf(header, position)
      if (batch !== undefined) return batch
      if (this.failure === undefined) this.moveTo(header.lastOffset + 1)
    }
    return undefined
  }

  /** The size of the batch at `position` if all of it is there and its header and checksum hold. */
  private checkedSize(position: number): number | undefined {
    const { bytes } = this
    const available = bytes.length - position
    if (available <= batchField.magic) {
      this.cutOff = true
      return undefined
    }
    const size = batchLengthEnd + readInt32(bytes, position + batchField.batchLength)
    const magic = bytes[position + batchField.magic]!
    if (magic !== supportedMagic) {
      return this.fail("UnsupportedMagic", position, `Record format ${magic}: only format 2 can be read`)
    }
    if (size < batchHeaderSize) return this.fail("CorruptBatch", position, `A batch of ${size} bytes`)
    if (size > available) {
      this.cutOff = true
      return undefined
    }
    if (computeBatchCrc(bytes, position, size) !== (readInt32(bytes, position + batchField.crc) >>> 0)) {
      return this.fail("CorruptBatch", position, "The checksum does not match")
    }
    // The checksum does not cover the base offset, so the order of the log is what can be held against it.
    const baseOffset = readInt64(bytes, position)
    const lastOffsetDelta = readInt32(bytes, position + batchField.lastOffsetDelta)
    if (lastOffsetDelta < 0 || baseOffset <= this.lastBatchEnd || !Number.isSafeInteger(baseOffset + lastOffsetDelta)) {
      return this.fail(
        "CorruptBatch",
        position,
        `Offsets ${baseOffset} to ${baseOffset + lastOffsetDelta} after ${this.lastBatchEnd}`
      )
    }
    return size
  }

  /** The batch's records, unless there are none to give. */
  private recordsOf(header: BatchHeader, position: number): OpenBatch | undefined {
    const isControl = (header.attributes & batchAttribute.control) !== 0
    if (this.aborted !== undefined && header.producerId >= 0) {
      this.aborted.advance(header.lastOffset)
      if (isControl) {
        const batch = header.recordCount === 0 ? undefined : this.openRecords(header, position)
        if (batch !== undefined && this.isAbortMarker(batch)) this.aborted.end(header.producerId)
        return undefined
      }
      const isTransactional = (header.attributes & batchAttribute.transactional) !== 0
      if (isTransactional && this.aborted.has(header.producerId)) return undefined
    }
    if (isControl || header.recordCount === 0 || header.lastOffset < this.offset) return undefined
    return this.openRecords(header, position)
  }

  private openRecords(header: BatchHeader, position: number): OpenBatch | undefined {
    const { attributes, recordCount, size } = header
    let bytes: Buffer = this.bytes
    let start = position + batchHeaderSize
    let end = position + size
    const compression = attributes & batchAttribute.compressionMask
    if (compression !== 0) {
      const expanded = this.expand(compression, position, bytes.subarray(start, end))
      if (expanded === undefined) return undefined
      bytes = expanded
      start = 0
      end = expanded.length
    }
    if (recordCount < 0 || recordCount * minRecordSize > end - start) {
      return this.fail("CorruptBatch", position, `${recordCount} records in ${end - start} bytes`)
    }
    const cursor = new VarintCursor(bytes, start)
    return { header, position, bytes, end, cursor, remaining: recordCount, offsetDelta: -1 }
  }

  private expand(compression: number, position: number, compressed: Uint8Array): Buffer | undefined {
    const codec = this.codecs(compression)
    if (codec === undefined) {
      return this.fail("UnsupportedCompression", position, `No codec for compression type ${compression}`)
    }
    try {
      const expanded = codec.decompress(compressed, this.maxExpandedSize)
      if (expanded.length <= this.maxExpandedSize) return asBuffer(expanded)
      return this.fail("BatchTooLarge", position, `The batch expands to ${expanded.length} bytes`)
    } catch (cause) {
      return cause instanceof ExpandedTooLarge
        ? this.fail("BatchTooLarge", position, `The batch expands to over ${this.maxExpandedSize} bytes`, cause)
        : this.fail("CorruptBatch", position, "The compressed records cannot be expanded", cause)
    }
  }

  /** Whether a control batch's one record is an abort marker: its key is a version and a type, 0 for abort. */
  private isAbortMarker(batch: OpenBatch): boolean {
    const records = this.viewsOf(batch, 0, 1)
    const key = records?.[0]?.key ?? null
    if (key !== null && key.length >= 4) return readInt16(key, 2) === 0
    if (records !== undefined) this.fail("CorruptBatch", batch.position, "A control record without a type")
    return false
  }

  /** Up to `maxRecords` of the open batch; `undefined` where all that were left are before the offset, or broken. */
  private readFrom(batch: OpenBatch, maxRecords: number): RecordChunk | undefined {
    const records = this.viewsOf(batch, this.offset, Math.max(1, maxRecords))
    if (records === undefined) return undefined
    const { header } = batch
    if (batch.remaining === 0) {
      this.open = undefined
      this.moveTo(header.lastOffset + 1)
    } else {
      this.moveTo(header.baseOffset + batch.offsetDelta + 1)
    }
    return records.length === 0 ? undefined : {
      records,
      nextOffset: this.offset,
      leaderEpoch: header.partitionLeaderEpoch,
      timestampType: (header.attributes & batchAttribute.logAppendTime) === 0 ? "CreateTime" : "LogAppendTime"
    }
  }

  private viewsOf(batch: OpenBatch, fromOffset: number, maxRecords: number): Array<RecordView> | undefined {
    try {
      return readViews(batch, fromOffset, maxRecords)
    } catch (cause) {
      if (!(cause instanceof MalformedBytes)) throw cause
      return this.fail("CorruptBatch", batch.position, `A malformed record: ${cause.message}`, cause)
    }
  }

  private moveTo(offset: number): void {
    if (offset > this.offset) this.offset = offset
  }

  private fail(reason: RecordErrorReason, position: number, message: string, cause?: unknown): undefined {
    const { bytes } = this
    const baseOffset = readInt64(bytes, position)
    const hasLastOffset = position + batchHeaderSize <= bytes.length && bytes[position + batchField.magic] === 2
    const lastOffset = hasLastOffset ? baseOffset + readInt32(bytes, position + batchField.lastOffsetDelta) : -1
    this.failure = new RecordError({ reason, message, position, baseOffset, lastOffset, cause })
    this.open = undefined
    return undefined
  }
}

/** Reads up to `maxRecords` records; those before `fromOffset` are checked as all are, but get no view. */
const readViews = (batch: OpenBatch, fromOffset: number, maxRecords: number): Array<RecordView> => {
  const { bytes, cursor, end, header } = batch
  const { baseOffset } = header
  const lastOffsetDelta = header.lastOffset - baseOffset
  const logAppendTime = (header.attributes & batchAttribute.logAppendTime) !== 0
  const baseTimestamp = logAppendTime ? header.maxTimestamp : header.baseTimestamp
  const records: Array<RecordView> = []
  let { offsetDelta, remaining } = batch
  while (remaining > 0 && records.length < maxRecords) {
    const length = cursor.varint()
    const recordEnd = cursor.position + length
    if (length < minRecordSize - 1 || recordEnd > end) throw new MalformedBytes(`its length is ${length}`)
    cursor.position++ // attributes: none are defined
    const timestampDelta = cursor.varlong()
    const delta = cursor.varint()
    if (delta <= offsetDelta || delta > lastOffsetDelta) throw new MalformedBytes(`its offset delta is ${delta}`)
    const keyLength = cursor.varint()
    const keyStart = cursor.position
    skip(cursor, keyLength, recordEnd)
    const valueLength = cursor.varint()
    const valueStart = cursor.position
    skip(cursor, valueLength, recordEnd)
    const headerCount = cursor.varint()
    if (headerCount !== 0) skipHeaders(cursor, headerCount, recordEnd)
    if (cursor.position !== recordEnd) throw new MalformedBytes("its fields do not fill its length")
    offsetDelta = delta
    remaining--
    const offset = baseOffset + delta
    if (offset < fromOffset) continue
    const timestamp = logAppendTime ? baseTimestamp : baseTimestamp + timestampDelta
    records.push(new RecordView(offset, timestamp, bytes, keyStart, keyLength, valueStart, valueLength))
  }
  if (remaining === 0 && cursor.position !== end) throw new MalformedBytes("bytes are left after the last one")
  batch.remaining = remaining
  batch.offsetDelta = offsetDelta
  return records
}

/** Moves past a field of `length` bytes, -1 for null. */
const skip = (cursor: VarintCursor, length: number, end: number): void => {
  if (length > 0) cursor.position += length
  if (length < -1 || cursor.position > end) throw new MalformedBytes(`a field's length is ${length}`)
}

const skipHeaders = (cursor: VarintCursor, count: number, end: number): void => {
  if (count < 0) throw new MalformedBytes(`it has ${count} headers`)
  for (let index = 0; index < count; index++) {
    const keyLength = cursor.varint()
    if (keyLength < 0) throw new MalformedBytes("a header has no key")
    skip(cursor, keyLength, end)
    skip(cursor, cursor.varint(), end)
  }
}

/** All that the records of one Fetch response give. */
export interface DecodedRecords {
  readonly chunks: ReadonlyArray<RecordChunk>
  /** The offset to fetch from next. */
  readonly nextOffset: number
  /** Set where a batch could not be read; the chunks before it are there. */
  readonly error: RecordError | undefined
  /** Whether the last batch was cut off. */
  readonly truncated: boolean
}

/**
 * Reads all records at once. Each batch may expand to `maxExpandedSize`, and each seven bytes may hold a record, so
 * what comes from a stranger is better read by a `RecordsReader`.
 */
export const decodeRecords = (bytes: Uint8Array, options: DecodeOptions): DecodedRecords => {
  const reader = new RecordsReader(bytes, options)
  const chunks: Array<RecordChunk> = []
  for (let chunk = reader.next(); chunk !== undefined; chunk = reader.next()) chunks.push(chunk)
  return { chunks, nextOffset: reader.nextOffset, error: reader.error, truncated: reader.truncated }
}
