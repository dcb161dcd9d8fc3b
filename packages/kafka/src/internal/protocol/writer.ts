import { ProtocolError } from "./error.ts"
import { maxInt64 } from "./field.ts"

const firstChunk = 512
const maxStringLength = 0x7fff

/** Writes primitives as a list of parts: nothing that was written is copied again. */
export class Writer {
  private chunk: Buffer = Buffer.allocUnsafe(firstChunk)
  /** Where the part that is open began. */
  private start = 0
  private at = 0
  /** Bytes in `parts`. */
  private flushed = 0
  private readonly parts: Array<Uint8Array> = []
  private readonly api: string
  private readonly version: number
  /** Where in the message this writer begins. */
  private readonly origin: number

  constructor(api: string, version: number, origin = 0) {
    this.api = api
    this.version = version
    this.origin = origin
  }

  /** Bytes written. */
  get length(): number {
    return this.flushed + this.at - this.start
  }

  fail(what: string): never {
    throw new ProtocolError(what, this.api, this.version, this.origin + this.length)
  }

  /** A writer for something whose length goes before it. */
  fork(): Writer {
    return new Writer(this.api, this.version, this.origin + this.length)
  }

  private flush(): void {
    if (this.at === this.start) return
    this.parts.push(this.chunk.subarray(this.start, this.at))
    this.flushed += this.at - this.start
    this.start = this.at
  }

  /** Takes `length` bytes of the chunk and gives where they begin. */
  private reserve(length: number): number {
    if (this.at + length > this.chunk.length) {
      this.flush()
      this.chunk = Buffer.allocUnsafe(Math.max(this.chunk.length * 2, length))
      this.start = 0
      this.at = 0
    }
    const at = this.at
    this.at = at + length
    return at
  }

  int8(value: number): void {
    const at = this.reserve(1)
    this.chunk[at] = value
  }

  int16(value: number): void {
    const at = this.reserve(2)
    const chunk = this.chunk
    chunk[at] = value >> 8
    chunk[at + 1] = value
  }

  int32(value: number): void {
    const at = this.reserve(4)
    const chunk = this.chunk
    chunk[at] = value >> 24
    chunk[at + 1] = value >> 16
    chunk[at + 2] = value >> 8
    chunk[at + 3] = value
  }

  /** A safe integer, or {@link maxInt64}. */
  int64(value: number): void {
    if (value === maxInt64) {
      this.int32(0x7fffffff)
      this.int32(-1)
      return
    }
    const high = Math.floor(value / 0x1_0000_0000)
    this.int32(high)
    this.int32(value - high * 0x1_0000_0000)
  }

  varint(value: number): void {
    while (value > 0x7f) {
      this.int8((value & 0x7f) | 0x80)
      value >>>= 7
    }
    this.int8(value)
  }

  uuid(value: string): void {
    const at = this.reserve(16)
    if (value.length !== 22 || this.chunk.write(value, at, 16, "base64url") !== 16) this.fail(`"${value}" is no uuid`)
  }

  /** A string after its length: compact, or of two bytes. */
  string(value: string, compact: boolean): void {
    const length = Buffer.byteLength(value)
    if (length > maxStringLength) this.fail(`a string of ${length} bytes`)
    if (compact) this.varint(length + 1)
    else this.int16(length)
    const at = this.reserve(length)
    this.chunk.write(value, at, length)
  }

  /** Copies bytes. */
  copy(bytes: Uint8Array): void {
    const at = this.reserve(bytes.length)
    this.chunk.set(bytes, at)
  }

  /** Takes bytes by reference. */
  reference(bytes: Uint8Array): void {
    if (bytes.length === 0) return
    this.flush()
    this.parts.push(bytes)
    this.flushed += bytes.length
  }

  /** What was written, in parts. */
  finish(): ReadonlyArray<Uint8Array> {
    this.flush()
    return this.parts
  }
}
