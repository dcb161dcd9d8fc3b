import { batchHeaderSize, readBatchHeader } from "./batchHeader.ts"

/**
 * The offset after the last whole batch of a fetched record set, without
 * reading the records; `fetchOffset` if no whole batch reaches it. Stops at
 * what cannot be a batch: reading the records tells what is wrong there.
 */
export const endOffset = (bytes: Uint8Array, fetchOffset: number): number => {
  let end = fetchOffset
  let lastBatchEnd = -1
  let position = 0
  while (position + batchHeaderSize <= bytes.length) {
    const { baseOffset, lastOffset, size } = readBatchHeader(bytes, position)
    if (size < batchHeaderSize || position + size > bytes.length) break
    if (baseOffset <= lastBatchEnd || lastOffset < baseOffset) break
    lastBatchEnd = lastOffset
    end = Math.max(end, lastOffset + 1)
    position += size
  }
  return end
}
