/** Bytes, and a view of them that reads and writes four at a time. */
export class Bytes {
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly view: DataView

  constructor(bytes: Uint8Array) {
    this.bytes = bytes as Uint8Array<ArrayBuffer>
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }
}

/** The copies below may write so many bytes more than they are asked for. */
export const overrun = 3

/** Memory of `size` bytes and an overrun, which is not cleared: whoever gives it out has filled it. */
export const allocate = (size: number): Bytes =>
  new Bytes(new Uint8Array(Buffer.allocUnsafeSlow(size + overrun).buffer))

/** Up to this many bytes a loop copies faster than a call. */
const loopCopyLimit = 64

/** Copies `length` bytes from `start` of the source. */
export const copyLiterals = (target: Bytes, position: number, source: Bytes, start: number, length: number): void => {
  if (length > loopCopyLimit || start + length + overrun > source.bytes.length) {
    target.bytes.set(source.bytes.subarray(start, start + length), position)
    return
  }
  for (let index = 0; index < length; index += 4) {
    target.view.setInt32(position + index, source.view.getInt32(start + index, true), true)
  }
}

/** Repeats the `length` bytes that begin `distance` before `position`: what it has just written too, if it is longer. */
export const copyMatch = (target: Bytes, position: number, distance: number, length: number): void => {
  const { bytes, view } = target
  let from = position - distance
  const end = position + length
  if (length <= loopCopyLimit && distance >= 4) {
    for (; position < end; position += 4, from += 4) view.setInt32(position, view.getInt32(from, true), true)
  } else if (length <= loopCopyLimit) {
    while (position < end) bytes[position++] = bytes[from++]!
  } else {
    // Each turn doubles what there is to copy from.
    while (position < end) {
      const size = Math.min(position - from, end - position)
      bytes.copyWithin(position, from, from + size)
      position += size
    }
  }
}

/** Bytes of a block, at most: then distances fit in 16 bits. */
export const maxBlockSize = 64 * 1024

/** The shortest match that is looked for. */
export const minMatchLength = 4

/** A block's last bytes have no match in them, and none begins in the last dozen: LZ4 asks for it. */
const lastLiterals = 5
const matchMargin = 12

const hashBits = 13

/** Where four bytes of a hash were seen last, in the block at hand. */
const lastSeen = new Int32Array(1 << hashBits)

const hash = (value: number): number => Math.imul(value, 0x9e3779b1) >>> (32 - hashBits)

/** Takes the parts of a block in their order. */
export interface MatchWriter {
  /** The bytes from `start` to `end`, which are new, then `length` bytes that begin `distance` before `end`. */
  match(start: number, end: number, distance: number, length: number): void
  /** The bytes from `start` to `end`, which are new and the last ones. */
  end(start: number, end: number): void
}

/**
 * Takes the block from `start` to `end` apart into what is new and what was there before, greedily and with one candidate
 * a position, as LZ4 and Snappy do at their default level.
 */
export const findMatches = (source: DataView, start: number, end: number, writer: MatchWriter): void => {
  lastSeen.fill(-1)
  const searchEnd = end - matchMargin
  const matchEnd = end - lastLiterals
  let literals = start
  let position = start
  let misses = 0
  while (position < searchEnd) {
    const value = source.getInt32(position, true)
    const slot = hash(value)
    const candidate = lastSeen[slot]!
    lastSeen[slot] = position
    if (candidate < 0 || source.getInt32(candidate, true) !== value) {
      // What has not compressed for long is looked at less and less closely.
      position += 1 + (misses++ >> 6)
      continue
    }
    misses = 0
    const distance = position - candidate
    const length = minMatchLength + commonLength(source, position + minMatchLength, distance, matchEnd)
    writer.match(literals, position, distance, length)
    position += length
    literals = position
    if (position < searchEnd) lastSeen[hash(source.getInt32(position - 2, true))] = position - 2
  }
  writer.end(literals, end)
}

/** How many bytes from `start` are the same as those that begin `distance` before it. */
const commonLength = (source: DataView, start: number, distance: number, end: number): number => {
  let position = start
  for (; position + 4 <= end; position += 4) {
    const difference = source.getInt32(position, true) ^ source.getInt32(position - distance, true)
    // The lowest bit that differs is in the first byte that does.
    if (difference !== 0) return position - start + ((31 - Math.clz32(difference & -difference)) >> 3)
  }
  while (position < end && source.getUint8(position) === source.getUint8(position - distance)) position++
  return position - start
}
