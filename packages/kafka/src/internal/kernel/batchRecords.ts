import { batchAttribute, type BatchHeader } from "./batchHeader.ts"
import { RecordView } from "./recordView.ts"
import { MalformedBytes, VarintCursor } from "./varint.ts"

/** Length, attributes, timestamp delta, offset delta, key length, value length and header count: a byte each. */
const minRecordSize = 7

/** The records of one batch, uncompressed, read one after another. */
export class BatchRecords {
  readonly header: BatchHeader
  private readonly bytes: Buffer
  private readonly cursor: VarintCursor
  private readonly end: number
  /** Records not read yet. */
  private remaining: number
  /** Offset delta of the last record that was read. */
  private offsetDelta = -1

  /** The records are in `bytes[start, end)`. */
  constructor(header: BatchHeader, bytes: Buffer, start: number, end: number) {
    this.header = header
    this.bytes = bytes
    this.cursor = new VarintCursor(bytes, start)
    this.end = end
    this.remaining = header.recordCount
  }

  /** Whether all records were read. */
  get isDone(): boolean {
    return this.remaining === 0
  }

  /** The offset after what was read so far; at the end, the one after the batch. */
  get nextOffset(): number {
    return this.isDone ? this.header.lastOffset + 1 : this.header.baseOffset + this.offsetDelta + 1
  }

  /**
   * Reads on until there are views of `maxRecords` records; those before `fromOffset` are checked as all are, but get no
   * view. Throws `MalformedBytes`.
   */
  read(fromOffset: number, maxRecords: number): Array<RecordView> {
    const { bytes, cursor, end, header } = this
    let { offsetDelta, remaining } = this
    if (remaining < 0 || remaining * minRecordSize > end - cursor.position) {
      throw new MalformedBytes(`${remaining} records in ${end - cursor.position} bytes`)
    }
    const { baseOffset } = header
    const lastOffsetDelta = header.lastOffset - baseOffset
    const isLogAppendTime = (header.attributes & batchAttribute.logAppendTime) !== 0
    const records: Array<RecordView> = []
    while (remaining > 0 && records.length < maxRecords) {
      const length = cursor.varint()
      const recordEnd = cursor.position + length
      if (recordEnd > end) throw new MalformedBytes(`a record of ${length} bytes`)
      cursor.position++ // attributes: none are defined
      const timestampDelta = cursor.varlong()
      const delta = cursor.varint()
      if (delta <= offsetDelta || delta > lastOffsetDelta) throw new MalformedBytes(`an offset delta of ${delta}`)
      const keyLength = cursor.varint()
      const keyStart = cursor.position
      skip(cursor, keyLength, recordEnd)
      const valueLength = cursor.varint()
      const valueStart = cursor.position
      skip(cursor, valueLength, recordEnd)
      const headerCount = cursor.varint()
      if (headerCount !== 0) skipHeaders(cursor, headerCount, recordEnd)
      if (cursor.position !== recordEnd) throw new MalformedBytes("fields that do not fill their record")
      offsetDelta = delta
      remaining--
      const offset = baseOffset + delta
      if (offset < fromOffset) continue
      const timestamp = isLogAppendTime ? header.maxTimestamp : header.baseTimestamp + timestampDelta
      records.push(new RecordView(offset, timestamp, bytes, keyStart, keyLength, valueStart, valueLength))
    }
    if (remaining === 0 && cursor.position !== end) throw new MalformedBytes("bytes after the last record")
    this.remaining = remaining
    this.offsetDelta = offsetDelta
    return records
  }
}

/** Moves past a field of `length` bytes, -1 for null. */
const skip = (cursor: VarintCursor, length: number, end: number): void => {
  if (length > 0) cursor.position += length
  if (length < -1 || cursor.position > end) throw new MalformedBytes(`a field of ${length} bytes`)
}

const skipHeaders = (cursor: VarintCursor, count: number, end: number): void => {
  if (count < 0) throw new MalformedBytes(`${count} headers`)
  for (let index = 0; index < count; index++) {
    const keyLength = cursor.varint()
    if (keyLength < 0) throw new MalformedBytes("a header without a key")
    skip(cursor, keyLength, end)
    skip(cursor, cursor.varint(), end)
  }
}
