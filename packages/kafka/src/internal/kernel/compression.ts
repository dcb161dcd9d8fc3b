import { gunzipSync, gzipSync } from "node:zlib"

/** The compression types of record batches, by the number that a batch's attributes hold. 0 is none. */
export const compressionTypes = { none: 0, gzip: 1, snappy: 2, lz4: 3, zstd: 4 } as const

/** The name of a compression type, as in Kafka's `compression.type`. */
export type CompressionType = keyof typeof compressionTypes

/** Compresses and expands the records of a batch, synchronously. */
export interface Codec {
  /** The compression type: what a batch's attributes hold. */
  readonly type: Exclude<CompressionType, "none">
  readonly compress: (bytes: Uint8Array) => Uint8Array
  /** Throws `ExpandedTooLarge` where the result would be over `maxSize` bytes, and anything else for broken input. */
  readonly decompress: (bytes: Uint8Array, maxSize: number) => Uint8Array
}

/** Finds the codec of a compression type's number; `undefined` where there is none. */
export type CodecLookup = (typeNumber: number) => Codec | undefined

/** Compressed bytes that expand to more than was allowed. */
export class ExpandedTooLarge extends Error {
  override readonly name = "ExpandedTooLarge"
}

/** gzip at Node's default level, which is Kafka's too. */
export const gzip: Codec = {
  type: "gzip",
  compress: (bytes) => gzipSync(bytes),
  decompress: (bytes, maxSize) => {
    try {
      return gunzipSync(bytes, { maxOutputLength: Math.max(1, maxSize) })
    } catch (error) {
      if (error instanceof RangeError && "code" in error && error.code === "ERR_BUFFER_TOO_LARGE") {
        throw new ExpandedTooLarge(`more than ${maxSize} bytes`, { cause: error })
      }
      throw error
    }
  }
}

/** Looks among the given codecs. */
export const codecLookup = (codecs: ReadonlyArray<Codec>): CodecLookup => {
  const byNumber = new Map(codecs.map((codec) => [compressionTypes[codec.type] as number, codec]))
  return (typeNumber) => byNumber.get(typeNumber)
}

/** The codecs that need nothing but Node: gzip. */
export const builtInCodecs: CodecLookup = codecLookup([gzip])
