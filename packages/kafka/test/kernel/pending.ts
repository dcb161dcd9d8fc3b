import type { PendingRecord } from "@sluice/kafka/internal/kernel/accumulator"
import { recordSizeUpperBound } from "@sluice/kafka/internal/kernel/recordBatch"

/** A record without key, with a value of so many bytes. */
export const pendingRecord = (valueSize: number, timestamp = 0): PendingRecord => {
  const value = new Uint8Array(valueSize)
  return { key: null, value, headers: [], timestamp, size: recordSizeUpperBound(null, value, []) }
}
