import { readFileSync } from "node:fs"

import { assert, describe, it } from "@effect/vitest"
import { batchAttribute, placeBatch, readBatchHeader } from "@sluice/kafka/internal/kernel/batchHeader"
import { type CompressionType, compressionTypes } from "@sluice/kafka/internal/kernel/compression"
import type { Header } from "@sluice/kafka/internal/kernel/header"
import { BatchBuilder } from "@sluice/kafka/internal/kernel/recordBatch"
import { decodeRecords } from "@sluice/kafka/internal/kernel/records"
import type { RecordView } from "@sluice/kafka/internal/kernel/recordView"

import { allRecords, concat, offsetsOf, valuesOf } from "./batches.ts"

/** A record as Kafka's classes read it: bytes and names of headers in hexadecimal. */
interface KafkaRecord {
  readonly offset: number
  readonly timestamp: number
  readonly key: string | null
  readonly value: string | null
  readonly headers: ReadonlyArray<readonly [key: string, value: string | null]>
}

interface KafkaBatch {
  readonly baseOffset: number
  readonly lastOffset: number
  readonly leaderEpoch: number
  readonly maxTimestamp: number
  readonly timestampType: "CreateTime" | "LogAppendTime"
  readonly compression: CompressionType
  readonly producerId: number
  readonly producerEpoch: number
  readonly baseSequence: number
  readonly transactional: boolean
  readonly control: boolean
  readonly records: ReadonlyArray<KafkaRecord>
}

const fixture = (file: string): Buffer => readFileSync(new URL(`../fixtures/batches/${file}`, import.meta.url))

const bytesOf = (name: string): Uint8Array => new Uint8Array(fixture(`${name}.bin`))

const batchesOf = (name: string): ReadonlyArray<KafkaBatch> =>
  fixture(`${name}.jsonl`).toString().trim().split("\n").map((line) => JSON.parse(line) as KafkaBatch)

const hex = (bytes: Uint8Array | null): string | null => bytes === null ? null : Buffer.from(bytes).toString("hex")

const unhex = (text: string | null): Uint8Array | null =>
  text === null ? null : new Uint8Array(Buffer.from(text, "hex"))

const asKafkaReads = ({ headers, key, offset, timestamp, value }: RecordView): KafkaRecord => ({
  offset,
  timestamp,
  key: hex(key),
  value: hex(value),
  headers: headers.map((header) => [Buffer.from(header.key).toString("hex"), hex(header.value)])
})

const headersOf = (record: KafkaRecord): ReadonlyArray<Header> =>
  record.headers.map(([key, value]) => ({ key: Buffer.from(key, "hex").toString(), value: unhex(value) }))

describe("batches that Kafka wrote", () => {
  for (
    const name of [
      "plain",
      "gzip",
      "snappy",
      "lz4",
      "zstd",
      "idempotent",
      "timestamps",
      "nanoseconds",
      "logAppendTime",
      "transactions",
      "compacted"
    ]
  ) {
    it(`${name}: are read as Kafka reads them`, () => {
      const batches = batchesOf(name)
      const decoded = decodeRecords(bytesOf(name), { fetchOffset: 0 })
      assert.isUndefined(decoded.error)
      assert.isFalse(decoded.truncated)
      assert.strictEqual(decoded.nextOffset, batches.at(-1)!.lastOffset + 1)
      const withRecords = batches.filter(({ control, records }) => !control && records.length > 0)
      assert.deepStrictEqual(
        decoded.chunks.map(({ leaderEpoch, nextOffset, records, timestampType }) => ({
          leaderEpoch,
          nextOffset,
          timestampType,
          records: records.map(asKafkaReads)
        })),
        withRecords.map(({ lastOffset, leaderEpoch, records, timestampType }) => ({
          leaderEpoch,
          nextOffset: lastOffset + 1,
          timestampType,
          records: [...records]
        }))
      )
    })
  }

  for (const name of ["plain", "idempotent", "timestamps", "transactions"]) {
    it(`${name}: a BatchBuilder writes the same bytes`, () => {
      const batches = batchesOf(name).map((batch) => {
        const builder = new BatchBuilder()
        for (const record of batch.records) {
          builder.append(record.timestamp, unhex(record.key), unhex(record.value), headersOf(record))
        }
        const bytes = builder.close({
          producerId: batch.producerId,
          producerEpoch: batch.producerEpoch,
          baseSequence: batch.baseSequence,
          isTransactional: batch.transactional,
          isControl: batch.control
        })
        placeBatch(bytes, batch.baseOffset, batch.leaderEpoch)
        return bytes
      })
      assert.strictEqual(hex(concat(...batches)), hex(bytesOf(name)))
    })
  }

  for (
    const name of ["plain", "gzip", "snappy", "lz4", "zstd", "idempotent", "timestamps", "transactions", "compacted"]
  ) {
    it(`${name}: have the headers that Kafka reads`, () => {
      const bytes = bytesOf(name)
      let position = 0
      for (const batch of batchesOf(name)) {
        const header = readBatchHeader(bytes, position)
        position += header.size
        assert.deepStrictEqual(
          {
            ...header,
            compression: header.attributes & batchAttribute.compressionMask,
            transactional: (header.attributes & batchAttribute.transactional) !== 0,
            control: (header.attributes & batchAttribute.control) !== 0
          },
          {
            ...header,
            baseOffset: batch.baseOffset,
            lastOffset: batch.lastOffset,
            partitionLeaderEpoch: batch.leaderEpoch,
            maxTimestamp: batch.maxTimestamp,
            producerId: batch.producerId,
            producerEpoch: batch.producerEpoch,
            baseSequence: batch.baseSequence,
            recordCount: batch.records.length,
            compression: compressionTypes[batch.compression],
            transactional: batch.transactional,
            control: batch.control
          }
        )
      }
      assert.strictEqual(position, bytes.length)
    })
  }

  it("every kind of key, value and header", () => {
    const records = allRecords(decodeRecords(bytesOf("plain"), { fetchOffset: 100 }))
    const text = (bytes: Uint8Array | null): string | null => bytes === null ? null : Buffer.from(bytes).toString()
    assert.deepStrictEqual(
      records.slice(0, 7).map(({ headers, key, offset, timestamp, value }) => ({
        offset,
        timestamp,
        key: text(key),
        value: text(value),
        headers: headers.map((header) => [header.key, text(header.value)])
      })),
      [
        { offset: 100, timestamp: 1_700_000_000_000, key: "key", value: "value", headers: [] },
        { offset: 101, timestamp: 1_700_000_000_001, key: null, value: "no key", headers: [] },
        { offset: 102, timestamp: 1_700_000_000_002, key: "tombstone", value: null, headers: [] },
        { offset: 103, timestamp: 1_700_000_000_003, key: null, value: null, headers: [] },
        { offset: 104, timestamp: 1_700_000_000_004, key: "", value: "", headers: [] },
        {
          offset: 105,
          timestamp: 1_700_000_000_005,
          key: "headers",
          value: "two of a name",
          headers: [["a", "1"], ["b", "2"], ["a", "3"]]
        },
        {
          offset: 106,
          timestamp: 1_700_000_000_006,
          key: "headers",
          value: "null, empty, not ASCII",
          headers: [["null", null], ["empty", ""], ["", "no name"], ["größe-😀", "€"]]
        }
      ]
    )
    assert.deepStrictEqual(
      records.slice(7).map(({ key, value }) => [key!.length, value!.length]),
      [[130, 300], [5, 9_000], [3, 2]]
    )
  })

  it("timestamps that go back, are none, or are as large as can be", () => {
    const now = 1_700_000_000_000
    const { MAX_SAFE_INTEGER } = Number
    assert.deepStrictEqual(
      allRecords(decodeRecords(bytesOf("timestamps"), { fetchOffset: 0 })).map(({ timestamp }) => timestamp),
      [
        now,
        now - 1,
        -1,
        0,
        now + 64,
        now - 8_192,
        -1,
        MAX_SAFE_INTEGER,
        0,
        MAX_SAFE_INTEGER,
        -1,
        2 ** 31,
        2 ** 52 + 1,
        -1
      ]
    )
  })

  it("transactions: read_committed leaves out the aborted ones", () => {
    const decoded = decodeRecords(bytesOf("transactions"), {
      fetchOffset: 0,
      // In the order in which they ended, as a broker lists them.
      abortedTransactions: [{ producerId: 2, firstOffset: 2 }, { producerId: 1, firstOffset: 8 }]
    })
    assert.isUndefined(decoded.error)
    assert.deepStrictEqual(valuesOf(decoded), [
      "committed-1a",
      "plain-a",
      "committed-1b",
      "committed-2d",
      "committed-1d",
      "plain-b"
    ])
    assert.strictEqual(decoded.nextOffset, 16)
  })

  it("compacted: gaps, a tombstone under a delete horizon, and an empty batch", () => {
    const bytes = bytesOf("compacted")
    const decoded = decodeRecords(bytes, { fetchOffset: 10 })
    assert.deepStrictEqual(offsetsOf(decoded), [10, 13, 17, 24, 32, 33])
    assert.deepStrictEqual(decoded.chunks.map(({ nextOffset }) => nextOffset), [20, 30, 34])
    assert.strictEqual(decoded.nextOffset, 39)
    const third = decoded.chunks[2]!.records
    assert.deepStrictEqual(third.map(({ timestamp }) => timestamp), [1_700_000_000_002, 1_700_000_000_003])
    const deleteHorizonFlag = 0x40
    const position = readBatchHeader(bytes, 0).size
    const tombstones = readBatchHeader(bytes, position + readBatchHeader(bytes, position).size)
    assert.strictEqual(tombstones.attributes & deleteHorizonFlag, deleteHorizonFlag)
    assert.isAbove(tombstones.baseTimestamp, tombstones.maxTimestamp)
  })

  for (const name of ["magic0", "magic1"]) {
    it(`${name}: the old format is refused by name`, () => {
      const { error } = decodeRecords(bytesOf(name), { fetchOffset: 3 })
      assert.deepStrictEqual([error?.reason, error?.baseOffset], ["UnsupportedMagic", 3])
    })
  }
})
