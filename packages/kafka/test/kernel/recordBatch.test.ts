import { assert, describe, it } from "@effect/vitest"
import {
  batchAttribute,
  batchHeaderSize,
  computeBatchCrc,
  placeBatch,
  readBatchHeader
} from "@sluice/kafka/internal/kernel/batchHeader"
import { gzip } from "@sluice/kafka/internal/kernel/compression"
import { BatchBuilder, recordSizeUpperBound, restamp } from "@sluice/kafka/internal/kernel/recordBatch"
import { decodeRecords } from "@sluice/kafka/internal/kernel/records"
import { FastCheck } from "effect"

import { allRecords, anyRecord, batchAt, type PlainRecord, plainRecord, textRecord, utf8, valuesOf } from "./batches.ts"

const records = (count: number): ReadonlyArray<PlainRecord> =>
  Array.from({ length: count }, (_, index) => textRecord(`value-${index}`, `key-${index}`))

const builderOf = (all: ReadonlyArray<PlainRecord>): BatchBuilder => {
  const builder = new BatchBuilder()
  for (const { headers, key, timestamp, value } of all) builder.append(timestamp, key, value, headers)
  return builder
}

describe("BatchBuilder", () => {
  it("writes the header of a batch that nobody numbered", () => {
    const batch = builderOf(records(3)).close()
    assert.deepStrictEqual(readBatchHeader(batch, 0), {
      baseOffset: 0,
      size: batch.length,
      partitionLeaderEpoch: -1,
      magic: 2,
      crc: computeBatchCrc(batch, 0, batch.length),
      attributes: 0,
      lastOffset: 2,
      baseTimestamp: 1_700_000_000_000,
      maxTimestamp: 1_700_000_000_000,
      producerId: -1,
      producerEpoch: -1,
      baseSequence: -1,
      recordCount: 3
    })
  })

  it("writes producer, epoch, sequence and attributes", () => {
    const batch = builderOf(records(2)).close({
      producerId: 2 ** 40 + 5,
      producerEpoch: 32_767,
      baseSequence: 2_147_483_647,
      isTransactional: true,
      isControl: true
    })
    const header = readBatchHeader(batch, 0)
    assert.deepStrictEqual(
      [header.producerId, header.producerEpoch, header.baseSequence, header.attributes],
      [2 ** 40 + 5, 32_767, 2_147_483_647, batchAttribute.transactional | batchAttribute.control]
    )
  })

  it("keeps the first timestamp as base and the largest as maximum, whatever their order", () => {
    const at = (timestamp: number): PlainRecord => ({ ...textRecord("x"), timestamp })
    const timestamps = [500, -1, Number.MAX_SAFE_INTEGER, 0, 499, 2 ** 33]
    const batch = builderOf(timestamps.map(at)).close()
    const { baseTimestamp, maxTimestamp } = readBatchHeader(batch, 0)
    assert.deepStrictEqual([baseTimestamp, maxTimestamp], [500, Number.MAX_SAFE_INTEGER])
    const decoded = allRecords(decodeRecords(batch, { fetchOffset: 0 }))
    assert.deepStrictEqual(decoded.map(({ timestamp }) => timestamp), timestamps)
    assert.strictEqual(readBatchHeader(builderOf([at(-1)]).close(), 0).maxTimestamp, -1)
  })

  it("copies what it takes", () => {
    const key = utf8("key")
    const value = new Uint8Array(100).fill(1)
    const header = utf8("header")
    const builder = new BatchBuilder()
    builder.append(0, key, value, [{ key: "a", value: header }])
    key.fill(0)
    value.fill(0)
    header.fill(0)
    const [record] = allRecords(decodeRecords(builder.close(), { fetchOffset: 0 }))
    assert.deepStrictEqual(record!.key, utf8("key"))
    assert.deepStrictEqual(record!.value, new Uint8Array(100).fill(1))
    assert.deepStrictEqual(record!.headers, [{ key: "a", value: utf8("header") }])
  })

  it("writes header keys on both sides of what ASCII holds", () => {
    const headers = ["\u007f", "\u0080", "a\u0080", "\u07ff\u0800", "\uffff", "\u{10ffff}"].map((key) => ({
      key,
      value: null
    }))
    const [record] = allRecords(decodeRecords(batchAt(0, [{ ...textRecord("x"), headers }]), { fetchOffset: 0 }))
    assert.deepStrictEqual(record!.headers, headers)
  })

  it("replaces halves of surrogate pairs, as UTF-8 must", () => {
    const batch = batchAt(0, [{ ...textRecord("x"), headers: [{ key: "a\ud800b\udc00", value: null }] }])
    const [record] = allRecords(decodeRecords(batch, { fetchOffset: 0 }))
    assert.deepStrictEqual(record!.headers, [{ key: "a\ufffdb\ufffd", value: null }])
  })

  it.prop(
    "tells its size before it closes, and what a record may add",
    [FastCheck.array(anyRecord, { minLength: 1, maxLength: 8 })],
    ([all]) => {
      const builder = new BatchBuilder(0)
      assert.strictEqual(builder.size, batchHeaderSize)
      for (const [index, { headers, key, timestamp, value }] of all.entries()) {
        const before = builder.size
        builder.append(timestamp, key, value, headers)
        const added = builder.size - before
        const bound = recordSizeUpperBound(key, value, headers)
        assert.isAtLeast(bound, added)
        assert.isAtMost(bound, added + 15)
        assert.strictEqual(builder.count, index + 1)
        assert.isAtLeast(builder.capacity, builder.size)
      }
      const { size } = builder
      assert.strictEqual(builder.close().length, size)
    },
    { fastCheck: { seed: 5, numRuns: 100 } }
  )

  it("grows no further than it may, but for one record that is larger", () => {
    const builder = new BatchBuilder(16 * 1024, 100_000)
    for (let index = 0; builder.size + 1_020 <= 100_000; index++) builder.append(index, null, new Uint8Array(1_000), [])
    assert.strictEqual(builder.capacity, 100_000)
    assert.strictEqual(builder.close().buffer.byteLength, 100_000)
    const large = new BatchBuilder(512, 1_000)
    large.append(0, null, new Uint8Array(5_000), [])
    assert.strictEqual(large.capacity, large.size)
  })

  it("grows past its first buffer, to a view of the last one", () => {
    const builder = new BatchBuilder()
    assert.strictEqual(builder.capacity, 16 * 1024)
    const value = new Uint8Array(1_000).fill(7)
    for (let index = 0; index < 100; index++) builder.append(index, null, value, [])
    assert.strictEqual(builder.capacity, 128 * 1024)
    const batch = builder.close()
    assert.strictEqual(batch.buffer.byteLength, 128 * 1024)
    const decoded = allRecords(decodeRecords(batch, { fetchOffset: 0 }))
    assert.strictEqual(decoded.length, 100)
    assert.isTrue(decoded.every((record) => Buffer.compare(record.value!, value) === 0))
  })

  it("compresses what gets smaller and leaves the rest", () => {
    const compressed = builderOf(records(100)).close({ codec: gzip, baseSequence: 4 })
    assert.strictEqual(readBatchHeader(compressed, 0).attributes, 1)
    assert.isBelow(compressed.length, builderOf(records(100)).size / 3)
    assert.deepStrictEqual(
      valuesOf(decodeRecords(compressed, { fetchOffset: 0 })),
      records(100).map((_, index) => `value-${index}`)
    )
    const tooSmall = builderOf(records(1))
    const { size } = tooSmall
    const batch = tooSmall.close({ codec: gzip })
    assert.strictEqual(batch.length, size)
    assert.strictEqual(readBatchHeader(batch, 0).attributes, 0)
  })

  it("refuses to close without records, to close twice and to append once closed", () => {
    assert.throws(() => new BatchBuilder().close(), /without records/)
    const builder = builderOf(records(1))
    const batch = builder.close()
    const copy = new Uint8Array(batch)
    assert.throws(() => builder.close(), /closed/)
    assert.throws(() => builder.append(0, null, null, []), /closed/)
    assert.deepStrictEqual(new Uint8Array(batch), copy)
  })
})

describe("restamp", () => {
  for (const [name, options] of [["plain", {}], ["compressed", { codec: gzip }]] as const) {
    it(`gives a ${name} batch another producer, and changes nothing else`, () => {
      const batch = builderOf(records(50)).close({ ...options, producerId: 1, producerEpoch: 2, baseSequence: 3 })
      const before = readBatchHeader(batch, 0)
      restamp(batch, 9, 10, 11)
      assert.deepStrictEqual(readBatchHeader(batch, 0), {
        ...before,
        producerId: 9,
        producerEpoch: 10,
        baseSequence: 11,
        crc: computeBatchCrc(batch, 0, batch.length)
      })
      const decoded = decodeRecords(batch, { fetchOffset: 0 })
      assert.isUndefined(decoded.error)
      assert.deepStrictEqual(allRecords(decoded).map(plainRecord), records(50))
    })
  }
})

describe("placeBatch", () => {
  it("leaves the checksum right", () => {
    const batch = builderOf(records(2)).close()
    placeBatch(batch, 2 ** 45, 12)
    const decoded = decodeRecords(batch, { fetchOffset: 0 })
    assert.isUndefined(decoded.error)
    assert.deepStrictEqual(allRecords(decoded).map(({ offset }) => offset), [2 ** 45, 2 ** 45 + 1])
    assert.strictEqual(decoded.chunks[0]!.leaderEpoch, 12)
  })
})
