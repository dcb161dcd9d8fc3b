import { readInt32 } from "./bigEndian.ts"
import type { Codec } from "./compression.ts"
import { ExpandedTooLarge } from "./expandedTooLarge.ts"
import { allocate, Bytes, copyLiterals, copyMatch, findMatches, type MatchWriter, maxBlockSize } from "./lz77.ts"
import { MalformedBytes } from "./varint.ts"

/** How Java's `SnappyOutputStream` begins: a magic number, then its version and the oldest one that can read it. */
const streamHeader = Uint8Array.of(0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0, 0, 0, 0, 1, 0, 0, 0, 1)
const magicSize = 8

/** The two lowest bits of an element's first byte; 3 is a copy with a distance of four bytes. */
const tag = { literal: 0, copy1: 1, copy2: 2 } as const

/** Lengths up to this are in a literal's first byte. */
const shortLiteral = 60

/** What a block of `size` bytes may take, at most. */
const maxCompressedSize = (size: number): number => 32 + size + Math.ceil(size / 6)

class BlockWriter implements MatchWriter {
  private readonly source: Bytes
  private readonly target: Bytes
  /** The end of what is written. */
  position: number

  constructor(source: Bytes, target: Bytes, position: number) {
    this.source = source
    this.target = target
    this.position = position
  }

  /** What a block begins with: the size of all that its elements stand for. */
  size(size: number): void {
    const { bytes } = this.target
    for (; size >= 0x80; size >>>= 7) bytes[this.position++] = size | 0x80
    bytes[this.position++] = size
  }

  match(start: number, end: number, distance: number, length: number): void {
    this.end(start, end)
    // A copy is of up to 64 bytes; 4 at least are left for the last one.
    for (; length >= 68; length -= 64) this.copy(distance, 64)
    if (length > 64) {
      this.copy(distance, 60)
      length -= 60
    }
    this.copy(distance, length)
  }

  end(start: number, end: number): void {
    if (start === end) return
    const { bytes } = this.target
    const last = end - start - 1
    if (last < shortLiteral) {
      bytes[this.position++] = last << 2
    } else if (last < 0x100) {
      bytes[this.position++] = shortLiteral << 2
      bytes[this.position++] = last
    } else {
      bytes[this.position++] = (shortLiteral + 1) << 2
      bytes[this.position++] = last
      bytes[this.position++] = last >> 8
    }
    copyLiterals(this.target, this.position, this.source, start, end - start)
    this.position += end - start
  }

  private copy(distance: number, length: number): void {
    const { bytes } = this.target
    if (length < 12 && distance < 0x800) {
      bytes[this.position++] = ((distance >> 8) << 5) | ((length - 4) << 2) | tag.copy1
      bytes[this.position++] = distance
    } else {
      bytes[this.position++] = ((length - 1) << 2) | tag.copy2
      bytes[this.position++] = distance
      bytes[this.position++] = distance >> 8
    }
  }
}

const compress = (bytes: Uint8Array): Uint8Array => {
  const source = new Bytes(bytes)
  const blocks = Math.ceil(bytes.length / maxBlockSize)
  const target = allocate(streamHeader.length + blocks * (4 + maxCompressedSize(Math.min(bytes.length, maxBlockSize))))
  target.bytes.set(streamHeader)
  let position = streamHeader.length
  for (let start = 0; start < bytes.length; start += maxBlockSize) {
    const end = Math.min(start + maxBlockSize, bytes.length)
    const writer = new BlockWriter(source, target, position + 4)
    writer.size(end - start)
    findMatches(source.view, start, end, writer)
    target.view.setInt32(position, writer.position - position - 4)
    position = writer.position
  }
  return target.bytes.subarray(0, position)
}

const cutOff = (): MalformedBytes => new MalformedBytes("Snappy bytes that are cut off")

const wrongSize = (): MalformedBytes => new MalformedBytes("a Snappy block of another size than it says")

const isStream = (bytes: Uint8Array): boolean => {
  for (let index = 0; index < magicSize; index++) {
    if (bytes[index] !== streamHeader[index]) return false
  }
  return true
}

/** Gives the blocks one after another: those of a stream as Java writes it, or the one block that others write. */
const eachBlock = (bytes: Uint8Array, take: (start: number, end: number) => void): void => {
  if (!isStream(bytes)) return take(0, bytes.length)
  if (bytes.length < streamHeader.length) throw cutOff()
  for (let position = streamHeader.length; position < bytes.length;) {
    if (position + 4 > bytes.length) throw cutOff()
    const start = position + 4
    const size = readInt32(bytes, position)
    if (size < 0 || size > bytes.length - start) throw cutOff()
    take(start, start + size)
    position = start + size
  }
}

/** The size that a block begins with, and where its elements start. */
const readSize = (bytes: Uint8Array, start: number, end: number): { readonly size: number; readonly next: number } => {
  let size = 0
  let position = start
  for (let factor = 1; factor < 2 ** 35; factor *= 0x80) {
    if (position >= end) throw cutOff()
    const byte = bytes[position++]!
    size += (byte & 0x7f) * factor
    if (byte < 0x80) return { size, next: position }
  }
  throw new MalformedBytes("a Snappy block whose size does not end")
}

/** No byte of a block stands for more bytes than this: a copy of 64 bytes takes three. */
const maxExpansion = 22

/** Reads the blocks twice: first the sizes that they claim, which must be possible and fit before there is room for them. */
const decompress = (bytes: Uint8Array, maxSize: number): Uint8Array => {
  let total = 0
  eachBlock(bytes, (start, end) => {
    const { size } = readSize(bytes, start, end)
    if (size > (end - start) * maxExpansion) {
      throw new MalformedBytes(`a Snappy block of ${end - start} bytes that says it has ${size}`)
    }
    total += size
  })
  if (total > maxSize) throw new ExpandedTooLarge(`${total} bytes`)
  const source = new Bytes(bytes)
  const target = allocate(total)
  let written = 0
  eachBlock(bytes, (start, end) => {
    const { next, size } = readSize(bytes, start, end)
    decompressBlock(source, next, end, target, written, written + size)
    written += size
  })
  return target.bytes.subarray(0, total)
}

/** Writes what the elements from `start` to `end` stand for, which must fill the target from `from` to `to`. */
const decompressBlock = (
  source: Bytes,
  start: number,
  end: number,
  target: Bytes,
  from: number,
  to: number
): void => {
  const { bytes, view } = source
  let position = start
  let written = from
  while (position < end) {
    const first = bytes[position++]!
    const kind = first & 0b11
    let length = (first >> 2) + 1
    if (kind === tag.literal) {
      if (length > shortLiteral) {
        const sizeOfLength = length - shortLiteral
        if (sizeOfLength > end - position) throw cutOff()
        length = readLength(bytes, position, sizeOfLength)
        position += sizeOfLength
      }
      if (length > end - position) throw cutOff()
      if (length > to - written) throw wrongSize()
      copyLiterals(target, written, source, position, length)
      position += length
    } else {
      const sizeOfDistance = kind === tag.copy1 ? 1 : kind === tag.copy2 ? 2 : 4
      if (sizeOfDistance > end - position) throw cutOff()
      let distance
      if (kind === tag.copy1) {
        length = ((first >> 2) & 0b111) + 4
        distance = ((first >> 5) << 8) | bytes[position]!
      } else {
        distance = kind === tag.copy2 ? view.getUint16(position, true) : view.getUint32(position, true)
      }
      position += sizeOfDistance
      if (distance === 0 || distance > written - from) {
        throw new MalformedBytes(`a Snappy copy ${distance} bytes before ${written - from}`)
      }
      if (length > to - written) throw wrongSize()
      copyMatch(target, written, distance, length)
    }
    written += length
  }
  if (written !== to) throw wrongSize()
}

/** A literal's length, in one to four bytes of its own. */
const readLength = (bytes: Uint8Array, position: number, size: number): number => {
  let last = 0
  for (let index = size - 1; index >= 0; index--) last = last * 0x100 + bytes[position + index]!
  return last + 1
}

/**
 * Snappy, as Java's clients write it: a stream of blocks with a header of its own. The bare block that other clients
 * write is read too.
 */
export const snappy: Codec = { type: "snappy", compress, decompress }
