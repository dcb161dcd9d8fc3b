import * as nodeZlib from "node:zlib"

import { ExpandedTooLarge } from "./expandedTooLarge.ts"
import { lz4 } from "./lz4.ts"
import { snappy } from "./snappy.ts"

/** The compression types of record batches, by the number that a batch's attributes hold. 0 is none. */
export const compressionTypes = { none: 0, gzip: 1, snappy: 2, lz4: 3, zstd: 4 } as const

/** The name of a compression type, as in Kafka's `compression.type`. */
export type CompressionType = keyof typeof compressionTypes

/** Compresses and expands the records of a batch, synchronously. */
export interface Codec {
  /** The compression type: what a batch's attributes hold. */
  readonly type: Exclude<CompressionType, "none">
  readonly compress: (bytes: Uint8Array) => Uint8Array
  /**
   * Throws `ExpandedTooLarge` where the result would be over `maxSize` bytes, and anything else for broken input: before
   * it takes memory of more than a few times `maxSize`.
   */
  readonly decompress: (bytes: Uint8Array, maxSize: number) => Uint8Array
}

/** Finds the codec of a compression type's number; `undefined` where there is none. */
export type CodecLookup = (typeNumber: number) => Codec | undefined

/** The levels of the codecs that have them, and what they are by default, as in Kafka (KIP-390). */
export const compressionLevels = {
  gzip: { min: 1, max: 9, default: 6 },
  zstd: { min: -131_072, max: 22, default: 3 }
} as const

/** Turns Node's error for what is over `maxOutputLength` into ours. */
const bounded = (maxSize: number, decompress: (maxOutputLength: number) => Uint8Array): Uint8Array => {
  try {
    return decompress(Math.max(1, maxSize))
  } catch (error) {
    if (error instanceof RangeError && "code" in error && error.code === "ERR_BUFFER_TOO_LARGE") {
      throw new ExpandedTooLarge(`more than ${maxSize} bytes`, { cause: error })
    }
    throw error
  }
}

/** gzip, at a level from 1, fast, to 9, small. */
export const gzipAt = (level: number): Codec => ({
  type: "gzip",
  compress: (bytes) => nodeZlib.gzipSync(bytes, { level }),
  decompress: (bytes, maxSize) => bounded(maxSize, (maxOutputLength) => nodeZlib.gunzipSync(bytes, { maxOutputLength }))
})

/** gzip at its default level. */
export const gzip: Codec = gzipAt(compressionLevels.gzip.default)

type Zstd = Pick<typeof nodeZlib, "constants" | "zstdCompressSync" | "zstdDecompressSync">

/**
 * zstd, at a level from -131,072, fast, to 22, small; `undefined` where Node lacks it, as it does before 22.15 and 23.8.
 * The first versions that have it take a frame that is cut off for a shorter one: what is missing then are records.
 */
export const zstdAt = (level: number, zlib: Partial<Zstd> = nodeZlib): Codec | undefined => {
  const { constants, zstdCompressSync, zstdDecompressSync } = zlib
  if (constants === undefined || zstdCompressSync === undefined || zstdDecompressSync === undefined) return undefined
  const params = { [constants.ZSTD_c_compressionLevel]: level }
  return {
    type: "zstd",
    compress: (bytes) => zstdCompressSync(bytes, { params }),
    decompress: (bytes, maxSize) =>
      bounded(maxSize, (maxOutputLength) => zstdDecompressSync(bytes, { maxOutputLength }))
  }
}

/** Looks among the given codecs. */
export const codecLookup = (codecs: ReadonlyArray<Codec>): CodecLookup => {
  const byNumber = new Map(codecs.map((codec) => [compressionTypes[codec.type] as number, codec]))
  return (typeNumber) => byNumber.get(typeNumber)
}

const zstd = zstdAt(compressionLevels.zstd.default)

/** All of Kafka's codecs, but for zstd where Node lacks it. */
export const builtInCodecs: CodecLookup = codecLookup(
  zstd === undefined ? [gzip, snappy, lz4] : [gzip, snappy, lz4, zstd]
)

/** Says what to do about a codec that is missing. */
export const missingCodec = (typeNumber: number): string =>
  typeNumber === compressionTypes.zstd
    ? `zstd needs Node 22.15 or 23.8, or newer: this is Node ${process.versions.node}`
    : `there is no codec for compression type ${typeNumber}`
