import type { FrameReader } from "../src/internal/frames.ts"

/** Has a reader take bytes as those of a socket, into its own memory. Gives the size that it refused. */
export const feed = (reader: FrameReader, bytes: Uint8Array): number | undefined => {
  for (let offset = 0; offset < bytes.length;) {
    const { buffer } = reader
    const count = Math.min(buffer.length, bytes.length - offset)
    buffer.set(bytes.subarray(offset, offset + count))
    offset += count
    const refused = reader.filled(count)
    if (refused !== undefined) return refused
  }
  return undefined
}
