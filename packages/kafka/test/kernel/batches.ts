import { batchField, computeBatchCrc, placeBatch } from "@sluice/kafka/internal/kernel/batchHeader"
import { writeInt32 } from "@sluice/kafka/internal/kernel/bigEndian"
import type { Header } from "@sluice/kafka/internal/kernel/header"
import { BatchBuilder, type CloseOptions } from "@sluice/kafka/internal/kernel/recordBatch"
import type { DecodedRecords } from "@sluice/kafka/internal/kernel/records"
import type { RecordView } from "@sluice/kafka/internal/kernel/recordView"
import { FastCheck } from "effect"

/** A record as tests write it. */
export interface PlainRecord {
  readonly timestamp: number
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  readonly headers: ReadonlyArray<Header>
}

/** A record of text, at a time that nobody looks at. */
export const textRecord = (value: string, key: string | null = null): PlainRecord => ({
  timestamp: 1_700_000_000_000,
  key: key === null ? null : utf8(key),
  value: utf8(value),
  headers: []
})

/** A plain `Uint8Array`, so that it equals those of a `RecordView`. */
export const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)

/** A batch as a broker gives it out: at its place in the log. */
export const batchAt = (
  baseOffset: number,
  records: ReadonlyArray<PlainRecord>,
  options: CloseOptions = {},
  leaderEpoch = 0
): Uint8Array => {
  const builder = new BatchBuilder()
  for (const { headers, key, timestamp, value } of records) builder.append(timestamp, key, value, headers)
  const batch = builder.close(options)
  placeBatch(batch, baseOffset, leaderEpoch)
  return batch
}

/** The marker that ends a transaction; `type` 0 aborts it, 1 commits it. */
export const markerAt = (offset: number, producerId: number, type: number): Uint8Array =>
  batchAt(
    offset,
    [{ timestamp: 0, key: Uint8Array.of(0, 0, 0, type), value: Uint8Array.of(0, 0, 0, 0, 0, 1), headers: [] }],
    { producerId, producerEpoch: 0, isTransactional: true, isControl: true }
  )

/** All parts, one after another. */
export const concat = (...parts: ReadonlyArray<Uint8Array>): Uint8Array => new Uint8Array(Buffer.concat(parts))

/** A changed copy of a batch, with the checksum that fits the change. */
export const tampered = (batch: Uint8Array, change: (copy: Uint8Array) => void): Uint8Array => {
  const copy = new Uint8Array(batch)
  change(copy)
  writeInt32(copy, batchField.crc, computeBatchCrc(copy, 0, copy.length))
  return copy
}

/** A record as it was written, without the place that it got. */
export const plainRecord = ({ headers, key, timestamp, value }: RecordView): PlainRecord => ({
  timestamp,
  key,
  value,
  headers
})

/** The records of all chunks. */
export const allRecords = ({ chunks }: DecodedRecords): ReadonlyArray<RecordView> =>
  chunks.flatMap(({ records }) => records)

/** The offsets of all chunks' records. */
export const offsetsOf = (decoded: DecodedRecords): ReadonlyArray<number> =>
  allRecords(decoded).map(({ offset }) => offset)

/** The values of all chunks' records, as text. */
export const valuesOf = (decoded: DecodedRecords): ReadonlyArray<string> =>
  allRecords(decoded).map(({ value }) => value === null ? "null" : Buffer.from(value).toString())

// Lengths around those where a varint takes a byte more.
const bytes = FastCheck.oneof(
  FastCheck.uint8Array({ maxLength: 40 }),
  FastCheck.constantFrom(62, 63, 64, 65, 127, 128, 8_191, 8_192, 8_193, 40_000).map((length) =>
    new Uint8Array(length).fill(length)
  )
)

const text = FastCheck.oneof(FastCheck.string({ maxLength: 20 }), FastCheck.string({ unit: "binary", maxLength: 20 }))

/** Timestamps of every size: none, today's, and the ends of what a number can count. */
export const timestamps: FastCheck.Arbitrary<number> = FastCheck.oneof(
  FastCheck.integer({ min: 1_700_000_000_000, max: 1_700_000_100_000 }),
  FastCheck.constantFrom(-1, 0, 1, 2 ** 31 - 1, 2 ** 31, 2 ** 32, Number.MAX_SAFE_INTEGER),
  FastCheck.maxSafeNat()
)

/** Any record. */
export const anyRecord: FastCheck.Arbitrary<PlainRecord> = FastCheck.record({
  timestamp: timestamps,
  key: FastCheck.option(bytes),
  value: FastCheck.option(bytes),
  headers: FastCheck.array(FastCheck.record({ key: text, value: FastCheck.option(bytes) }), { maxLength: 4 })
})
