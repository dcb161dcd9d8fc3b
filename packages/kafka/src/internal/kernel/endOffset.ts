import { batchHeaderSize, batchLengthEnd, readBatchHeader } from "./batchHeader.ts"

/**
 * The offset after the last whole batch of a fetched record set, without
 * reading the records; `fetchOffset` if there is no whole batch. Stops at what
 * cannot be a batch: reading the records tells what is wrong there.
 */
export const endOffset = (bytes: Uint8Array, fetchOffset: number): number => {
  let end = fetchOffset
  let position = 0
  while (position + batchHeaderSize <= bytes.length) {
    const header = readBatchHeader(bytes, position)
    if (header.size < batchLengthEnd || position + header.size > bytes.length || header.lastOffset < end) break
    end = header.lastOffset + 1
    position += header.size
  }
  return end
}
