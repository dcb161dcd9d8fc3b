import type { Codec } from "./compression.ts"
import { ExpandedTooLarge } from "./expandedTooLarge.ts"
import {
  allocate,
  Bytes,
  copyLiterals,
  copyMatch,
  findMatches,
  type MatchWriter,
  maxBlockSize,
  minMatchLength
} from "./lz77.ts"
import { MalformedBytes } from "./varint.ts"
import { xxHash32 } from "./xxHash32.ts"

/** The frame's magic number, version 1 with independent blocks of up to 64 KiB, and their checksum: as Java writes it. */
const frameHeader = Uint8Array.of(0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82)

/** Set in the size of a block that is not compressed. */
const uncompressedFlag = 0x8000_0000

/** Lengths from here on go on after the token. */
const tokenLimit = 15

/** What a block of `size` bytes may take, at most. */
const maxCompressedSize = (size: number): number => size + Math.ceil(size / 255) + 16

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

  match(start: number, end: number, distance: number, length: number): void {
    const matchLength = length - minMatchLength
    this.literals(start, end, Math.min(matchLength, tokenLimit))
    this.target.view.setUint16(this.position, distance, true)
    this.position += 2
    if (matchLength >= tokenLimit) this.restOfLength(matchLength - tokenLimit)
  }

  end(start: number, end: number): void {
    this.literals(start, end, 0)
  }

  private literals(start: number, end: number, tokenOfMatch: number): void {
    const length = end - start
    this.target.bytes[this.position++] = (Math.min(length, tokenLimit) << 4) | tokenOfMatch
    if (length >= tokenLimit) this.restOfLength(length - tokenLimit)
    copyLiterals(this.target, this.position, this.source, start, length)
    this.position += length
  }

  private restOfLength(length: number): void {
    const { bytes } = this.target
    for (; length >= 255; length -= 255) bytes[this.position++] = 255
    bytes[this.position++] = length
  }
}

const compress = (bytes: Uint8Array): Uint8Array => {
  const source = new Bytes(bytes)
  const blocks = Math.ceil(bytes.length / maxBlockSize)
  // A block that does not get smaller is written as it is, so one at a time may be larger than it was.
  const spare = maxCompressedSize(maxBlockSize) - maxBlockSize
  const target = allocate(frameHeader.length + bytes.length + 4 * (blocks + 1) + spare)
  target.bytes.set(frameHeader)
  let position = frameHeader.length
  for (let start = 0; start < bytes.length; start += maxBlockSize) {
    const end = Math.min(start + maxBlockSize, bytes.length)
    const blockStart = position + 4
    const writer = new BlockWriter(source, target, blockStart)
    findMatches(source.view, start, end, writer)
    const compressedSize = writer.position - blockStart
    if (compressedSize < end - start) {
      target.view.setUint32(position, compressedSize, true)
      position = writer.position
    } else {
      target.view.setUint32(position, uncompressedFlag + end - start, true)
      target.bytes.set(bytes.subarray(start, end), blockStart)
      position = blockStart + end - start
    }
  }
  target.view.setUint32(position, 0, true)
  return target.bytes.subarray(0, position + 4)
}

/** What comes before the blocks of a frame. */
interface FrameHeader {
  readonly size: number
  readonly maxBlockSize: number
  /** Bytes of the checksum after each block: 4 or 0. */
  readonly blockChecksumSize: number
  readonly hasContentChecksum: boolean
}

const cutOff = (): MalformedBytes => new MalformedBytes("an LZ4 frame that is cut off")

const readFrameHeader = (bytes: Uint8Array): FrameHeader => {
  for (let index = 0; index < 4; index++) {
    if (bytes[index] !== frameHeader[index]) throw new MalformedBytes("no LZ4 frame")
  }
  const flags = bytes[4] ?? 0
  const blockSize = bytes[5] ?? 0
  // Nobody writes other versions, reserved bits or dictionaries to Kafka.
  if ((flags & 0b1100_0011) !== 0b0100_0000 || (blockSize & 0b1000_1111) !== 0 || blockSize >> 4 < 4) {
    throw new MalformedBytes(`an LZ4 frame with flags ${flags} and ${blockSize}`)
  }
  const contentSizeSize = (flags & 0b1000) === 0 ? 0 : 8
  const checksumAt = 6 + contentSizeSize
  if (checksumAt >= bytes.length) throw cutOff()
  if (bytes[checksumAt] !== ((xxHash32(bytes, 4, checksumAt) >> 8) & 0xff)) {
    throw new MalformedBytes("the header of an LZ4 frame that does not match its checksum")
  }
  return {
    size: checksumAt + 1,
    // 64 KiB, 256 KiB, 1 MiB or 4 MiB.
    maxBlockSize: 1 << (2 * (blockSize >> 4) + 8),
    blockChecksumSize: (flags & 0b1_0000) === 0 ? 0 : 4,
    hasContentChecksum: (flags & 0b100) !== 0
  }
}

/** No byte of a block stands for more bytes than this. */
const maxExpansion = 255

const decompress = (bytes: Uint8Array, maxSize: number): Uint8Array => {
  const header = readFrameHeader(bytes)
  const source = new Bytes(bytes)
  let capacity = Math.min(4 * bytes.length, maxSize)
  let target = allocate(capacity)
  let size = 0
  let position = header.size
  for (;;) {
    if (position + 4 > bytes.length) throw cutOff()
    const sizeField = source.view.getUint32(position, true)
    position += 4
    if (sizeField === 0) break
    const isCompressed = sizeField < uncompressedFlag
    const start = position
    const end = start + sizeField % uncompressedFlag
    position = end + header.blockChecksumSize
    if (position > bytes.length) throw cutOff()
    if (header.blockChecksumSize > 0 && source.view.getUint32(end, true) !== xxHash32(bytes, start, end)) {
      throw new MalformedBytes("an LZ4 block that does not match its checksum")
    }
    // How much comes out is not written anywhere: there is room for all that these bytes can stand for.
    const limit = Math.min(size + Math.min((end - start) * maxExpansion, header.maxBlockSize), maxSize)
    if (limit > capacity) {
      capacity = Math.min(Math.max(limit, 2 * capacity), maxSize)
      const larger = allocate(capacity)
      larger.bytes.set(target.bytes.subarray(0, size))
      target = larger
    }
    size = isCompressed
      ? decompressBlock(source, start, end, target, size, limit)
      : copyBlock(source, start, end, target, size, limit)
    if (size < 0) {
      throw limit === maxSize
        ? new ExpandedTooLarge(`more than ${maxSize} bytes`)
        : new MalformedBytes(`an LZ4 block of more than ${header.maxBlockSize} bytes`)
    }
  }
  if (header.hasContentChecksum) {
    if (position + 4 > bytes.length) throw cutOff()
    if (source.view.getUint32(position, true) !== xxHash32(target.bytes, 0, size)) {
      throw new MalformedBytes("the content of an LZ4 frame that does not match its checksum")
    }
  }
  // No larger than it must be: it is kept for as long as anybody holds one of its records.
  return target.bytes.slice(0, size)
}

/** Appends the bytes from `start` to `end`. Returns where that ends, or -1 where it would be past `limit`. */
const copyBlock = (
  source: Bytes,
  start: number,
  end: number,
  target: Bytes,
  size: number,
  limit: number
): number => {
  if (end - start > limit - size) return -1
  target.bytes.set(source.bytes.subarray(start, end), size)
  return size + end - start
}

/**
 * Appends what the block from `start` to `end` stands for; its matches may reach back into what is in `target` already.
 * Returns where that ends, or -1 where it would be past `limit`.
 */
const decompressBlock = (
  source: Bytes,
  start: number,
  end: number,
  target: Bytes,
  size: number,
  limit: number
): number => {
  const { bytes, view } = source
  let position = start
  while (position < end) {
    const token = bytes[position++]!

    let literals = token >> 4
    if (literals === tokenLimit) {
      let more
      do {
        if (position >= end) throw cutOff()
        more = bytes[position++]!
        literals += more
      } while (more === 255)
    }
    if (literals > end - position) throw cutOff()
    if (literals > limit - size) return -1
    copyLiterals(target, size, source, position, literals)
    size += literals
    position += literals
    // The last sequence has no match.
    if (position === end) return size

    if (position + 2 > end) throw cutOff()
    const distance = view.getUint16(position, true)
    position += 2
    let length = token & tokenLimit
    if (length === tokenLimit) {
      let more
      do {
        if (position >= end) throw cutOff()
        more = bytes[position++]!
        length += more
      } while (more === 255)
    }
    length += minMatchLength
    if (distance === 0 || distance > size) throw new MalformedBytes(`an LZ4 match ${distance} bytes before ${size}`)
    if (length > limit - size) return -1
    copyMatch(target, size, distance, length)
    size += length
  }
  throw cutOff()
}

/**
 * LZ4, in its frame format. Frames are read with blocks of any size, which may depend on those before them, and with
 * checksums; what follows a frame is not looked at, as Java does it.
 */
export const lz4: Codec = { type: "lz4", compress, decompress }
