import { ProtocolError } from "./error.ts"
import { maxInt64 } from "./field.ts"

const maxStringLength = 0x7fff

/** Reads primitives from one message; refuses to read past its end. */
export class Reader {
  position = 0
  private readonly bytes: Uint8Array
  private readonly end: number
  private readonly text: Buffer
  private readonly api: string
  private readonly version: number

  constructor(bytes: Uint8Array, api: string, version: number) {
    this.bytes = bytes
    this.end = bytes.length
    this.text = bytes instanceof Buffer ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    this.api = api
    this.version = version
  }

  /** Bytes that are left. */
  get remaining(): number {
    return this.end - this.position
  }

  fail(what: string): never {
    throw new ProtocolError(what, this.api, this.version, this.position)
  }

  /** Moves on by `length` bytes and gives where they began. */
  private advance(length: number): number {
    const start = this.position
    if (length > this.end - start) this.fail(`${length} bytes expected, ${this.end - start} left`)
    this.position = start + length
    return start
  }

  bool(): boolean {
    return this.bytes[this.advance(1)] !== 0
  }

  int8(): number {
    return this.bytes[this.advance(1)]! << 24 >> 24
  }

  int16(): number {
    const at = this.advance(2)
    const bytes = this.bytes
    return (bytes[at]! << 24 >> 16) | bytes[at + 1]!
  }

  int32(): number {
    const at = this.advance(4)
    const bytes = this.bytes
    return (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!
  }

  int64(): number {
    const high = this.int32()
    const low = this.int32() >>> 0
    if (high > 0x1fffff || high < -0x200000 || (high === -0x200000 && low === 0)) {
      if (high === 0x7fffffff && low === 0xffffffff) return maxInt64
      this.fail("an int64 beyond 2^53")
    }
    return high * 0x1_0000_0000 + low
  }

  /** An unsigned varint of at most 31 bits, as lengths, counts and tags are. */
  varint(): number {
    const bytes = this.bytes
    let position = this.position
    let value = 0
    for (let shift = 0; shift < 35; shift += 7) {
      if (position >= this.end) this.fail("a varint without end")
      const byte = bytes[position++]!
      if (shift === 28 && byte > 7) this.fail("a varint beyond 31 bits")
      value |= (byte & 0x7f) << shift
      if (byte < 0x80) break
    }
    this.position = position
    return value
  }

  uuid(): string {
    const at = this.advance(16)
    return this.text.toString("base64url", at, at + 16)
  }

  string(length: number): string {
    if (length > maxStringLength) this.fail(`a string of ${length} bytes`)
    const at = this.advance(length)
    return this.text.toString("utf8", at, at + length)
  }

  /** A view of the next bytes. */
  slice(length: number): Uint8Array {
    const at = this.advance(length)
    return this.bytes.subarray(at, at + length)
  }

  skip(length: number): void {
    this.advance(length)
  }

  /** Skips a section of tagged fields. */
  skipTags(): void {
    for (let count = this.varint(); count > 0; count--) {
      this.varint()
      this.skip(this.varint())
    }
  }
}
