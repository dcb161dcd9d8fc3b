import type { Header } from "./header.ts"
import { VarintCursor } from "./varint.ts"

/**
 * A record of a fetched batch. It holds positions in the batch's bytes (checked when the view was made) and gives its
 * parts on demand, as views of those bytes: a new one at each access, which keeps the whole response alive.
 */
export class RecordView {
  readonly offset: number
  /** In milliseconds; -1 for none. Exact where it is a safe integer, else the nearest number. */
  readonly timestamp: number
  private readonly bytes: Buffer
  private readonly keyStart: number
  /** -1 for null. */
  private readonly keyLength: number
  private readonly valueStart: number
  /** -1 for null. */
  private readonly valueLength: number

  constructor(
    offset: number,
    timestamp: number,
    bytes: Buffer,
    keyStart: number,
    keyLength: number,
    valueStart: number,
    valueLength: number
  ) {
    this.offset = offset
    this.timestamp = timestamp
    this.bytes = bytes
    this.keyStart = keyStart
    this.keyLength = keyLength
    this.valueStart = valueStart
    this.valueLength = valueLength
  }

  /** The key's bytes, or `null`. */
  get key(): Uint8Array | null {
    return this.keyLength < 0 ? null : slice(this.bytes, this.keyStart, this.keyLength)
  }

  /**
   * A hash of the key, for telling keys apart: FNV-1a, begun at `seed`. `undefined` without a key.
   *
   * @param seed what else the hash stands for, as a 32-bit integer
   */
  keyHash(seed: number): number | undefined {
    if (this.keyLength < 0) return undefined
    const { bytes } = this
    const end = this.keyStart + this.keyLength
    let hash = seed
    for (let position = this.keyStart; position < end; position++) {
      hash = Math.imul(hash ^ bytes[position]!, 0x01000193)
    }
    return hash
  }

  /** The bytes of key and value, and an estimate of what comes with them. */
  get size(): number {
    return Math.max(0, this.keyLength) + Math.max(0, this.valueLength) + overhead
  }

  /** Whether the value is not `null`. */
  get hasValue(): boolean {
    return this.valueLength >= 0
  }

  /** The value's bytes, or `null` (a tombstone). */
  get value(): Uint8Array | null {
    return this.valueLength < 0 ? null : slice(this.bytes, this.valueStart, this.valueLength)
  }

  /** The headers in their order, duplicates too. Bytes of a key that are not UTF-8 become U+FFFD. */
  get headers(): ReadonlyArray<Header> {
    const cursor = new VarintCursor(this.bytes, this.valueStart + Math.max(0, this.valueLength))
    const count = cursor.varint()
    if (count === 0) return noHeaders
    const headers: Array<Header> = []
    for (let index = 0; index < count; index++) {
      const keyLength = cursor.varint()
      const keyEnd = cursor.position + keyLength
      const key = this.bytes.toString("utf8", cursor.position, keyEnd)
      cursor.position = keyEnd
      const valueLength = cursor.varint()
      headers.push({ key, value: valueLength < 0 ? null : slice(this.bytes, cursor.position, valueLength) })
      if (valueLength > 0) cursor.position += valueLength
    }
    return headers
  }
}

/** What a record takes in a batch beside its key and value, in bytes. */
const overhead = 16

const noHeaders: ReadonlyArray<Header> = []

/** A plain `Uint8Array`, because `slice` of a `Buffer` does not copy as `Uint8Array`'s does. */
const slice = (bytes: Buffer, start: number, length: number): Uint8Array =>
  new Uint8Array(bytes.buffer, bytes.byteOffset + start, length)
