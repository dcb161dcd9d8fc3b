import { batchField, placeBatch, readBatchHeader } from "@sluice/kafka/internal/kernel/batchHeader"
import { readInt32, readInt64 } from "@sluice/kafka/internal/kernel/bigEndian"
import type { CodecLookup } from "@sluice/kafka/internal/kernel/compression"
import { type RecordChunk, RecordsReader } from "@sluice/kafka/internal/kernel/records"

const firstCapacity = 4096

/** A run of batches in one buffer. What is written there never changes, so that readers may be given views of it. */
class Segment {
  buffer: Uint8Array
  size = 0
  /** Of each batch: where it starts, its last offset and its largest timestamp. */
  readonly positions: Array<number> = []
  readonly lastOffsets: Array<number> = []
  readonly maxTimestamps: Array<number> = []
  largestTimestamp = -1

  constructor(capacity: number) {
    this.buffer = new Uint8Array(capacity)
  }

  append(batch: Uint8Array, lastOffset: number, limit: number): void {
    const needed = this.size + batch.length
    if (needed > this.buffer.length) {
      const larger = new Uint8Array(Math.max(needed, Math.min(limit, this.buffer.length * 2)))
      larger.set(this.buffer.subarray(0, this.size))
      this.buffer = larger
    }
    this.buffer.set(batch, this.size)
    this.positions.push(this.size)
    this.lastOffsets.push(lastOffset)
    const maxTimestamp = readInt64(batch, batchField.maxTimestamp)
    this.maxTimestamps.push(maxTimestamp)
    this.largestTimestamp = Math.max(this.largestTimestamp, maxTimestamp)
    this.size = needed
  }

  /** Forgets the batches from this one on. Their bytes are written over: nobody has been given them. */
  truncate(index: number): void {
    this.size = this.positions[index]!
    this.positions.length = index
    this.lastOffsets.length = index
    this.maxTimestamps.length = index
    this.largestTimestamp = this.maxTimestamps.reduce((one, other) => Math.max(one, other), -1)
  }

  /** Where the batches end that are before `offset`. */
  sizeBefore(offset: number): number {
    return this.lastOffset < offset ? this.size : this.positions[this.indexOf(offset)]!
  }

  get lastOffset(): number {
    return this.lastOffsets[this.lastOffsets.length - 1]!
  }

  /** The index of the batch that holds `offset`, or of the first one after it. */
  indexOf(offset: number): number {
    return firstIndex(this.lastOffsets, (lastOffset) => lastOffset >= offset)
  }

  endOf(index: number): number {
    return index + 1 < this.positions.length ? this.positions[index + 1]! : this.size
  }

  batch(index: number): Uint8Array {
    return this.buffer.subarray(this.positions[index]!, this.endOf(index))
  }
}

/** The first index whose element passes a test that all later ones pass too; the length if none does. */
const firstIndex = <A>(items: ReadonlyArray<A>, test: (item: A) => boolean): number => {
  let low = 0
  let high = items.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (test(items[middle]!)) high = middle
    else low = middle + 1
  }
  return low
}

/** A record's place and time. */
export interface TimestampedOffset {
  readonly offset: number
  readonly timestamp: number
  readonly leaderEpoch: number
}

const noBytes = new Uint8Array(0)

/** A segment, as retention looks at it. */
export interface SegmentInfo {
  readonly bytes: number
  /** -1 for none. */
  readonly largestTimestamp: number
  readonly lastOffset: number
}

/** The log of one partition: encoded batches in their order, as its leader has them on its disk. */
export class PartitionLog {
  private readonly segmentBytes: number
  private readonly codecs: CodecLookup
  private readonly segments: Array<Segment> = []
  private start = 0
  private end = 0

  /** `codecs` are for what must look into compressed records: a search by timestamp, and the tests' own view. */
  constructor(segmentBytes: number, codecs: CodecLookup) {
    this.segmentBytes = segmentBytes
    this.codecs = codecs
  }

  /** The first offset that can be read. */
  get startOffset(): number {
    return this.start
  }

  /** The offset of the next record. */
  get endOffset(): number {
    return this.end
  }

  /** Copies a batch to the end, gives it its place in the log, and returns its base offset. The batch must be valid. */
  append(batch: Uint8Array, leaderEpoch: number): number {
    const baseOffset = this.end
    const lastOffset = baseOffset + readInt32(batch, batchField.lastOffsetDelta)
    let segment = this.segments[this.segments.length - 1]
    if (segment === undefined || (segment.size > 0 && segment.size + batch.length > this.segmentBytes)) {
      // Many partitions stay small; one that has filled a segment will fill another.
      const capacity = baseOffset === 0 ? Math.min(firstCapacity, this.segmentBytes) : this.segmentBytes
      segment = new Segment(Math.max(batch.length, capacity))
      this.segments.push(segment)
    }
    segment.append(batch, lastOffset, this.segmentBytes)
    placeBatch(segment.batch(segment.positions.length - 1), baseOffset, leaderEpoch)
    this.end = lastOffset + 1
    return baseOffset
  }

  /**
   * A view of the log from the batch that holds `offset`, at most `maxBytes`: the last batch may be cut off. A first
   * batch that is larger is given whole if `minOneBatch`, else there is nothing. Never goes past a segment's end, nor to
   * the batch that begins at `limit`: what may still be truncated must not be given.
   */
  read(offset: number, maxBytes: number, minOneBatch: boolean, limit = this.end): Uint8Array {
    const segment = offset < limit ? this.segmentOf(offset) : undefined
    if (segment === undefined) return noBytes
    const index = segment.indexOf(offset)
    const position = segment.positions[index]!
    const firstSize = segment.endOf(index) - position
    if (firstSize > maxBytes) {
      return minOneBatch ? segment.buffer.subarray(position, position + firstSize) : noBytes
    }
    return segment.buffer.subarray(position, Math.min(segment.sizeBefore(limit), position + maxBytes))
  }

  /** How many bytes a read from `offset` would find: `Infinity` if it would find the end of a segment before the log's. */
  bytesFrom(offset: number, limit = this.end): number {
    const segment = offset < limit ? this.segmentOf(offset) : undefined
    if (segment === undefined) return 0
    if (segment.lastOffset < limit && segment !== this.segments[this.segments.length - 1]) return Infinity
    return segment.sizeBefore(limit) - segment.positions[segment.indexOf(offset)]!
  }

  /** The first record that is not older than `timestamp`. */
  firstSince(timestamp: number): TimestampedOffset | undefined {
    for (const segment of this.segments) {
      for (let index = 0; index < segment.positions.length; index++) {
        if (segment.maxTimestamps[index]! < timestamp || segment.lastOffsets[index]! < this.start) continue
        const found = this.recordIn(segment.batch(index), (record) => record.timestamp >= timestamp)
        if (found !== undefined) return found
      }
    }
    return undefined
  }

  /** The first of the records with the largest timestamp. */
  latestTimestamp(): TimestampedOffset | undefined {
    let largest = -1
    for (const segment of this.segments) {
      for (let index = 0; index < segment.positions.length; index++) {
        if (segment.lastOffsets[index]! >= this.start) largest = Math.max(largest, segment.maxTimestamps[index]!)
      }
    }
    return largest < 0 ? undefined : this.firstSince(largest)
  }

  /** The epoch of the leader that took the batch with `offset`, if there is one. */
  leaderEpochAt(offset: number): number | undefined {
    const segment = this.segmentOf(offset)
    if (segment === undefined) return undefined
    return readBatchHeader(segment.batch(segment.indexOf(offset)), 0).partitionLeaderEpoch
  }

  /** Where batches of each leader begin, from the oldest on. */
  *leaderEpochs(): Generator<{ readonly leaderEpoch: number; readonly startOffset: number }> {
    let last: number | undefined
    for (const segment of this.segments) {
      for (let index = 0; index < segment.positions.length; index++) {
        const { baseOffset, partitionLeaderEpoch } = readBatchHeader(segment.batch(index), 0)
        if (partitionLeaderEpoch === last) continue
        last = partitionLeaderEpoch
        yield { leaderEpoch: last, startOffset: Math.max(baseOffset, this.start) }
      }
    }
  }

  /** Forgets everything before `offset`, which must not be past the end. */
  deleteBefore(offset: number): void {
    if (offset <= this.start) return
    this.start = offset
    while (this.segments.length > 0 && this.segments[0]!.lastOffset < offset) this.segments.shift()
  }

  /** Forgets the batches from the one that begins at `offset` on, which must not be before the log's start. */
  truncateTo(offset: number): void {
    if (offset >= this.end) return
    while (this.segments.length > 0) {
      const segment = this.segments[this.segments.length - 1]!
      if (segment.lastOffset < offset) break
      segment.truncate(segment.indexOf(offset))
      if (segment.size > 0) break
      this.segments.pop()
    }
    this.end = offset
  }

  /** From the oldest on. */
  segmentInfos(): ReadonlyArray<SegmentInfo> {
    return this.segments.map(({ largestTimestamp, lastOffset, size }) => ({
      bytes: size,
      largestTimestamp,
      lastOffset
    }))
  }

  /** All records that can be read. Throws a `RecordError` where the compression of a batch is not known. */
  *chunks(): Generator<RecordChunk> {
    for (const segment of this.segments) {
      const reader = new RecordsReader(segment.buffer.subarray(0, segment.size), {
        fetchOffset: this.start,
        codecs: this.codecs
      })
      for (let chunk = reader.next(); chunk !== undefined; chunk = reader.next()) yield chunk
      if (reader.error !== undefined) throw reader.error
    }
  }

  private segmentOf(offset: number): Segment | undefined {
    if (offset >= this.end) return undefined
    return this.segments[firstIndex(this.segments, (segment) => segment.lastOffset >= offset)]
  }

  private recordIn(
    batch: Uint8Array,
    test: (record: { readonly timestamp: number }) => boolean
  ): TimestampedOffset | undefined {
    const reader = new RecordsReader(batch, { fetchOffset: this.start, codecs: this.codecs })
    for (let chunk = reader.next(); chunk !== undefined; chunk = reader.next()) {
      const record = chunk.records.find(test)
      if (record !== undefined) {
        return { offset: record.offset, timestamp: record.timestamp, leaderEpoch: chunk.leaderEpoch }
      }
    }
    return undefined
  }
}
