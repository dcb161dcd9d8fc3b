/** Bytes that are not what the record format says. `RecordsReader` turns it into a `RecordError`. */
export class MalformedBytes extends Error {
  override readonly name = "MalformedBytes"
}

const zigZag = (value: number): number => ((value << 1) ^ (value >> 31)) >>> 0

const sizeOfUnsigned = (value: number): number =>
  value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x20_0000 ? 3 : value < 0x1000_0000 ? 4 : 5

/** Bytes that a signed 32-bit integer takes as a zigzag varint: 1 to 5. */
export const sizeOfVarint = (value: number): number => sizeOfUnsigned(zigZag(value))

/** Bytes that an integer of up to 2^53 either way takes as a zigzag varlong: 1 to 8. */
export const sizeOfVarlong = (value: number): number => {
  if (value === (value | 0)) return sizeOfVarint(value)
  let rest = Math.floor((value < 0 ? -(value + 1) : value) / 0x800_0000)
  let size = 4
  for (; rest > 0; rest = Math.floor(rest / 0x80)) size++
  return size
}

/** Writes a signed 32-bit integer as a zigzag varint; returns the position after it. */
export const writeVarint = (bytes: Uint8Array, position: number, value: number): number => {
  let rest = zigZag(value)
  while (rest >= 0x80) {
    bytes[position++] = rest | 0x80
    rest >>>= 7
  }
  bytes[position++] = rest
  return position
}

/** Writes an integer of up to 2^53 either way as a zigzag varlong; returns the position after it. */
export const writeVarlong = (bytes: Uint8Array, position: number, value: number): number => {
  if (value === (value | 0)) return writeVarint(bytes, position, value)
  // Beyond 32 bits the zigzag value of an odd negative number needs 54 bits: it is kept in two halves.
  const high = Math.floor(value / 0x1_0000_0000)
  const sign = high >> 31
  let low = ((value << 1) ^ sign) >>> 0
  let rest = ((high << 1) | (value >>> 31)) ^ sign
  while (rest !== 0 || low >= 0x80) {
    bytes[position++] = low | 0x80
    low = ((low >>> 7) | (rest << 25)) >>> 0
    rest >>>= 7
  }
  bytes[position++] = low
  return position
}

/** Reads zigzag varints one after another. */
export class VarintCursor {
  readonly bytes: Uint8Array
  /** Where the next read starts. */
  position: number

  constructor(bytes: Uint8Array, position: number) {
    this.bytes = bytes
    this.position = position
  }

  /** Reads a signed 32-bit integer; throws `MalformedBytes` where it does not end or overflows. */
  varint(): number {
    const byte = this.bytes[this.position]!
    if (byte < 0x80) {
      this.position++
      return (byte >>> 1) ^ -(byte & 1)
    }
    const value = this.unsigned32()
    return (value >>> 1) ^ -(value & 1)
  }

  /**
   * Reads a signed 64-bit integer: exact up to 2^53 either way, else the nearest number. Throws `MalformedBytes` where
   * it does not end or overflows.
   */
  varlong(): number {
    const byte = this.bytes[this.position]!
    if (byte < 0x80) {
      this.position++
      return (byte >>> 1) ^ -(byte & 1)
    }
    let low = 0
    let high = 0
    for (let shift = 0; shift < 70; shift += 7) {
      const next = this.next()
      const bits = next & 0x7f
      if (shift < 28) {
        low |= bits << shift
      } else if (shift === 28) {
        low |= bits << 28
        high = bits >>> 4
      } else {
        high |= bits << (shift - 32)
      }
      if (next < 0x80) {
        if (shift === 63 && bits > 1) break
        const sign = -(low & 1)
        const lowHalf = ((low >>> 1) | (high << 31)) ^ sign
        const highHalf = (high >>> 1) ^ sign
        return highHalf * 0x1_0000_0000 + (lowHalf >>> 0)
      }
    }
    throw new MalformedBytes("a varlong of more than 64 bits")
  }

  private unsigned32(): number {
    let value = 0
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.next()
      value |= (byte & 0x7f) << shift
      if (byte < 0x80) {
        if (shift === 28 && byte > 0x0f) break
        return value
      }
    }
    throw new MalformedBytes("a varint of more than 32 bits")
  }

  private next(): number {
    if (this.position >= this.bytes.length) throw new MalformedBytes("the bytes end inside a varint")
    return this.bytes[this.position++]!
  }
}
