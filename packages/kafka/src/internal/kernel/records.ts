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
import { BatchRecords } from "./batchRecords.ts"
import { readInt16, readInt32, readInt64 } from "./bigEndian.ts"
import { builtInCodecs, type CodecLookup, missingCodec } from "./compression.ts"
import { ExpandedTooLarge } from "./expandedTooLarge.ts"
import { RecordError, type RecordErrorReason } from "./recordError.ts"
import type { RecordView } from "./recordView.ts"
import { MalformedBytes } from "./varint.ts"

/** What a partition's records of one Fetch response are read by. */
export interface DecodeOptions {
  /** The offset that was asked for: a batch may start before it, and records before it are left out. */
  readonly fetchOffset: number
  /** For read_committed: what the response lists. Absent or `null` reads uncommitted records too. */
  readonly abortedTransactions?: ReadonlyArray<AbortedTransaction> | null | undefined
  /** Default: all that there are. */
  readonly codecs?: CodecLookup | undefined
  /** Default true. Without, what a network or disk has changed may be read as something else. */
  readonly checkCrcs?: boolean | undefined
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

const supportedMagic = 2

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
  private readonly checkCrcs: boolean
  private readonly maxExpandedSize: number
  private position = 0
  private lastBatchEnd = -1
  /** The batch that is being read, and where it starts. */
  private open: BatchRecords | undefined
  private openPosition = 0
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
    this.checkCrcs = options.checkCrcs ?? true
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
   * The next records, at most `maxRecords` (1 or more; default: all of the batch) and never of two batches; `undefined`
   * at the end and where `error` is set.
   */
  next(maxRecords = Number.POSITIVE_INFINITY): RecordChunk | undefined {
    while (this.failure === undefined) {
      this.open ??= this.openNext()
      if (this.open === undefined) return undefined
      const chunk = this.readFrom(this.open, maxRecords)
      if (chunk !== undefined) return chunk
    }
    return undefined
  }

  /** The next batch that has records to give, or `undefined` at the end and on failure. */
  private openNext(): BatchRecords | undefined {
    const { bytes } = this
    while (this.failure === undefined && this.position < bytes.length) {
      const position = this.position
      const header = this.checkedHeader(position)
      if (header === undefined) return undefined
      this.openPosition = position
      this.position = position + header.size
      this.lastBatchEnd = header.lastOffset
      const batch = this.recordsOf(header)
      if (batch !== undefined) return batch
      if (this.failure === undefined) this.moveTo(header.lastOffset + 1)
    }
    return undefined
  }

  /** The header of the batch at `position`, if all of the batch is there and header and checksum hold. */
  private checkedHeader(position: number): BatchHeader | undefined {
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
    const crc = readInt32(bytes, position + batchField.crc) >>> 0
    if (this.checkCrcs && computeBatchCrc(bytes, position, size) !== crc) {
      return this.fail("CorruptBatch", position, "The checksum does not match")
    }
    const header = readBatchHeader(bytes, position)
    const { baseOffset, lastOffset } = header
    // The checksum does not cover the base offset, so the order of the log is what can be held against it.
    if (baseOffset <= this.lastBatchEnd || lastOffset < baseOffset || !Number.isSafeInteger(lastOffset + 1)) {
      const message = `Offsets ${baseOffset} to ${lastOffset} after ${this.lastBatchEnd}`
      return this.fail("CorruptBatch", position, message)
    }
    return header
  }

  /** The batch's records, unless there are none to give. */
  private recordsOf(header: BatchHeader): BatchRecords | undefined {
    const isControl = (header.attributes & batchAttribute.control) !== 0
    if (this.aborted !== undefined && header.producerId >= 0) {
      this.aborted.advance(header.lastOffset)
      if (isControl) {
        const batch = header.recordCount === 0 ? undefined : this.openRecords(header)
        if (batch !== undefined && this.isAbortMarker(batch)) this.aborted.end(header.producerId)
        return undefined
      }
      const isTransactional = (header.attributes & batchAttribute.transactional) !== 0
      if (isTransactional && this.aborted.has(header.producerId)) return undefined
    }
    if (isControl || header.recordCount === 0 || header.lastOffset < this.offset) return undefined
    return this.openRecords(header)
  }

  private openRecords(header: BatchHeader): BatchRecords | undefined {
    const position = this.openPosition
    const start = position + batchHeaderSize
    const end = position + header.size
    const compression = header.attributes & batchAttribute.compressionMask
    if (compression === 0) return new BatchRecords(header, this.bytes, start, end)
    const expanded = this.expand(compression, this.bytes.subarray(start, end))
    return expanded === undefined ? undefined : new BatchRecords(header, expanded, 0, expanded.length)
  }

  private expand(compression: number, compressed: Uint8Array): Buffer | undefined {
    const position = this.openPosition
    const codec = this.codecs(compression)
    if (codec === undefined) return this.fail("UnsupportedCompression", position, missingCodec(compression))
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
  private isAbortMarker(batch: BatchRecords): boolean {
    const records = this.viewsOf(batch, 0, 1)
    const key = records?.[0]?.key ?? null
    if (key !== null && key.length >= 4) return readInt16(key, 2) === 0
    if (records !== undefined) this.fail("CorruptBatch", this.openPosition, "A control record without a type")
    return false
  }

  /** Up to `maxRecords` of the open batch; `undefined` where all that were left are before the offset, or broken. */
  private readFrom(batch: BatchRecords, maxRecords: number): RecordChunk | undefined {
    const records = this.viewsOf(batch, this.offset, Math.max(1, maxRecords))
    if (records === undefined) return undefined
    this.moveTo(batch.nextOffset)
    if (batch.isDone) this.open = undefined
    const { attributes, partitionLeaderEpoch } = batch.header
    return records.length === 0 ? undefined : {
      records,
      nextOffset: this.offset,
      leaderEpoch: partitionLeaderEpoch,
      timestampType: (attributes & batchAttribute.logAppendTime) === 0 ? "CreateTime" : "LogAppendTime"
    }
  }

  private viewsOf(batch: BatchRecords, fromOffset: number, maxRecords: number): Array<RecordView> | undefined {
    try {
      return batch.read(fromOffset, maxRecords)
    } catch (cause) {
      if (!(cause instanceof MalformedBytes)) throw cause
      return this.fail("CorruptBatch", this.openPosition, `Malformed records: ${cause.message}`, cause)
    }
  }

  private moveTo(offset: number): void {
    if (offset > this.offset) this.offset = offset
  }

  private fail(reason: RecordErrorReason, position: number, message: string, cause?: unknown): undefined {
    const { bytes } = this
    const baseOffset = readInt64(bytes, position)
    const hasLastOffset = position + batchHeaderSize <= bytes.length &&
      bytes[position + batchField.magic] === supportedMagic
    const lastOffset = hasLastOffset ? baseOffset + readInt32(bytes, position + batchField.lastOffsetDelta) : -1
    this.failure = new RecordError({ reason, message, position, baseOffset, lastOffset, cause })
    this.open = undefined
    return undefined
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
