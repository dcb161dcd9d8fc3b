import { assert, describe, it } from "@effect/vitest"
import { batchAttribute, batchField, batchHeaderSize } from "@sluice/kafka/internal/kernel/batchHeader"
import { writeInt16, writeInt32, writeInt64 } from "@sluice/kafka/internal/kernel/bigEndian"
import {
  builtInCodecs,
  type Codec,
  codecLookup,
  compressionTypes,
  gzip
} from "@sluice/kafka/internal/kernel/compression"
import { RecordError } from "@sluice/kafka/internal/kernel/recordError"
import { decodeRecords, RecordsReader } from "@sluice/kafka/internal/kernel/records"
import { FastCheck } from "effect"

import {
  allRecords,
  anyRecord,
  batchAt,
  concat,
  markerAt,
  offsetsOf,
  plainRecord,
  tampered,
  textRecord,
  valuesOf
} from "./batches.ts"

/** `count` records of text from `first` on: "v3", "v4", … */
const texts = (first: number, count: number) =>
  Array.from({ length: count }, (_, index) => textRecord(`v${first + index}`))

/** Takes away the records of these offset deltas, as compaction does. */
const without = (batch: Uint8Array, ...gone: ReadonlyArray<number>): Uint8Array => {
  // Each of these records has a length of one byte, then attributes and timestamp delta, then its offset delta.
  const kept: Array<Uint8Array> = [batch.subarray(0, batchHeaderSize)]
  let count = 0
  for (let position = batchHeaderSize; position < batch.length;) {
    const end = position + 1 + batch[position]! / 2
    if (!gone.includes(batch[position + 3]! / 2)) {
      kept.push(batch.subarray(position, end))
      count++
    }
    position = end
  }
  return tampered(concat(...kept), (copy) => {
    writeInt32(copy, batchField.batchLength, copy.length - 12)
    writeInt32(copy, batchField.recordCount, count)
  })
}

describe("decodeRecords", () => {
  for (const codec of [0, 1, 2, 3, 4].map(builtInCodecs)) {
    it.prop(
      `gives back what a BatchBuilder took, ${codec === undefined ? "uncompressed" : codec.type}`,
      [FastCheck.array(FastCheck.array(anyRecord, { minLength: 1, maxLength: 12 }), { maxLength: 4 })],
      ([batches]) => {
        let nextOffset = 0
        const bytes = concat(...batches.map((records) => {
          const batch = batchAt(nextOffset, records, { codec })
          nextOffset += records.length
          return batch
        }))
        const decoded = decodeRecords(bytes, { fetchOffset: 0 })
        assert.isUndefined(decoded.error)
        assert.strictEqual(decoded.nextOffset, nextOffset)
        assert.isFalse(decoded.truncated)
        assert.deepStrictEqual(allRecords(decoded).map(plainRecord), batches.flat())
        assert.deepStrictEqual(offsetsOf(decoded), batches.flat().map((_, index) => index))
      },
      { fastCheck: { seed: 6, numRuns: 150 } }
    )
  }

  it("gives the same from a view in the middle of other memory", () => {
    const batch = batchAt(4, texts(4, 3))
    const memory = concat(new Uint8Array(13).fill(0xee), batch, new Uint8Array(5).fill(0xdd))
    const view = memory.subarray(13, 13 + batch.length)
    for (const bytes of [view, Buffer.from(view.buffer, view.byteOffset, view.length)]) {
      const decoded = decodeRecords(bytes, { fetchOffset: 4 })
      assert.deepStrictEqual(allRecords(decoded).map(plainRecord), texts(4, 3))
    }
  })

  it("gives parts that share the response's memory and are plain arrays", () => {
    const batch = batchAt(0, [textRecord("value", "key")])
    const [record] = allRecords(decodeRecords(batch, { fetchOffset: 0 }))
    assert.strictEqual(record!.value!.buffer, batch.buffer)
    assert.strictEqual(record!.value!.constructor, Uint8Array)
    assert.notStrictEqual(record!.value!.slice().buffer, batch.buffer)
  })

  it("gives what is whole, and says what is cut off, wherever the response is cut", () => {
    const batches = [
      batchAt(0, texts(0, 3)),
      batchAt(3, texts(3, 2), { codec: gzip }),
      batchAt(5, texts(5, 30), { codec: gzip }),
      batchAt(35, texts(35, 1))
    ]
    const bytes = concat(...batches)
    const ends: ReadonlyArray<readonly [end: number, nextOffset: number]> = [0, 1, 2, 3, 4].map((count) => [
      batches.slice(0, count).reduce((sum, batch) => sum + batch.length, 0),
      [0, 3, 5, 35, 36][count]!
    ])
    for (let cut = 0; cut <= bytes.length; cut++) {
      const [end, nextOffset] = ends.filter(([end]) => end <= cut).at(-1)!
      const decoded = decodeRecords(bytes.subarray(0, cut), { fetchOffset: 0 })
      assert.isUndefined(decoded.error)
      assert.strictEqual(decoded.nextOffset, nextOffset)
      assert.strictEqual(decoded.truncated, cut > end)
      assert.deepStrictEqual(offsetsOf(decoded), Array.from({ length: nextOffset }, (_, index) => index))
    }
  })

  it("leaves out records before the fetch offset", () => {
    const bytes = concat(batchAt(0, texts(0, 3)), batchAt(3, texts(3, 4)), batchAt(7, texts(7, 1)))
    for (let fetchOffset = 0; fetchOffset <= 8; fetchOffset++) {
      const decoded = decodeRecords(bytes, { fetchOffset })
      assert.deepStrictEqual(offsetsOf(decoded), [0, 1, 2, 3, 4, 5, 6, 7].slice(fetchOffset))
      assert.strictEqual(decoded.nextOffset, 8)
    }
    const later = decodeRecords(bytes, { fetchOffset: 20 })
    assert.deepStrictEqual([later.chunks.length, later.nextOffset], [0, 20])
  })

  it("goes past what compaction took: the middle, the end and the whole of a batch", () => {
    const bytes = concat(
      without(batchAt(10, texts(10, 4)), 0, 2),
      without(batchAt(14, texts(14, 3)), 1, 2),
      without(batchAt(20, texts(20, 5)), 0, 1, 2, 3, 4)
    )
    const decoded = decodeRecords(bytes, { fetchOffset: 10 })
    assert.isUndefined(decoded.error)
    assert.deepStrictEqual(valuesOf(decoded), ["v11", "v13", "v14"])
    assert.deepStrictEqual(decoded.chunks.map(({ nextOffset }) => nextOffset), [14, 17])
    assert.strictEqual(decoded.nextOffset, 25)
    assert.strictEqual(decodeRecords(bytes, { fetchOffset: 15 }).nextOffset, 25)
  })

  it("takes the broker's timestamp where the batch says so", () => {
    const batch = tampered(batchAt(0, texts(0, 2)), (copy) => {
      writeInt16(copy, batchField.attributes, batchAttribute.logAppendTime)
      writeInt64(copy, batchField.maxTimestamp, 123_456)
    })
    const { chunks } = decodeRecords(concat(batch, batchAt(2, texts(2, 1))), { fetchOffset: 0 })
    assert.deepStrictEqual(chunks.map(({ timestampType }) => timestampType), ["LogAppendTime", "CreateTime"])
    assert.deepStrictEqual(chunks[0]!.records.map(({ timestamp }) => timestamp), [123_456, 123_456])
  })
})

describe("decodeRecords of transactions", () => {
  const transactional = (baseOffset: number, producerId: number, count = 1): Uint8Array =>
    batchAt(baseOffset, texts(baseOffset, count), { producerId, producerEpoch: 0, isTransactional: true })

  const abort = (offset: number, producerId: number) => markerAt(offset, producerId, 0)
  const commit = (offset: number, producerId: number) => markerAt(offset, producerId, 1)

  it("gives everything but the markers to read_uncommitted", () => {
    const bytes = concat(transactional(0, 1), abort(1, 1), transactional(2, 1), commit(3, 1))
    for (const abortedTransactions of [undefined, null]) {
      const decoded = decodeRecords(bytes, { fetchOffset: 0, abortedTransactions })
      assert.deepStrictEqual(offsetsOf(decoded), [0, 2])
      assert.strictEqual(decoded.nextOffset, 4)
    }
  })

  it("leaves out aborted transactions and no others, whatever the order of the list", () => {
    const bytes = concat(
      transactional(0, 1),
      commit(1, 1),
      transactional(2, 1, 2),
      transactional(4, 2),
      batchAt(5, texts(5, 1)),
      transactional(6, 3),
      abort(7, 2),
      transactional(8, 2),
      transactional(9, 1),
      abort(10, 1),
      transactional(11, 1),
      abort(12, 2),
      abort(13, 1),
      transactional(14, 1),
      commit(15, 1),
      commit(16, 3)
    )
    const aborted = [
      { producerId: 1, firstOffset: 11 },
      { producerId: 2, firstOffset: 4 },
      { producerId: 1, firstOffset: 2 },
      { producerId: 2, firstOffset: 8 }
    ]
    for (const abortedTransactions of [aborted, [...aborted].reverse()]) {
      const decoded = decodeRecords(bytes, { fetchOffset: 0, abortedTransactions })
      assert.isUndefined(decoded.error)
      assert.deepStrictEqual(offsetsOf(decoded), [0, 5, 6, 14])
      assert.strictEqual(decoded.nextOffset, 17)
    }
    assert.deepStrictEqual(aborted[0], { producerId: 1, firstOffset: 11 })
  })

  it("begins in the middle of a transaction", () => {
    const bytes = concat(transactional(4, 1, 4), transactional(8, 1), abort(9, 1), transactional(10, 1))
    const decoded = decodeRecords(bytes, { fetchOffset: 6, abortedTransactions: [{ producerId: 1, firstOffset: 0 }] })
    assert.deepStrictEqual(offsetsOf(decoded), [10])
    const after = decodeRecords(bytes, { fetchOffset: 10, abortedTransactions: [{ producerId: 1, firstOffset: 0 }] })
    assert.deepStrictEqual(offsetsOf(after), [10])
  })

  it("keeps what a producer of an aborted transaction wrote outside of it", () => {
    const idempotent = batchAt(3, texts(3, 1), { producerId: 1, producerEpoch: 0, baseSequence: 0 })
    const bytes = concat(transactional(0, 1), transactional(1, 1), idempotent, transactional(4, 1), abort(5, 1))
    const decoded = decodeRecords(bytes, { fetchOffset: 0, abortedTransactions: [{ producerId: 1, firstOffset: 1 }] })
    assert.deepStrictEqual(offsetsOf(decoded), [0, 3])
  })

  it("moves on where all records are aborted", () => {
    const bytes = concat(transactional(0, 1, 5), abort(5, 1))
    const decoded = decodeRecords(bytes, { fetchOffset: 0, abortedTransactions: [{ producerId: 1, firstOffset: 0 }] })
    assert.deepStrictEqual([decoded.chunks.length, decoded.nextOffset], [0, 6])
  })

  it("takes no record's key for a marker, and no other control record for an abort", () => {
    const looksAborted = batchAt(1, [{ ...textRecord("x"), key: new Uint8Array(4) }], {
      producerId: 1,
      producerEpoch: 0,
      isTransactional: true
    })
    const bytes = concat(transactional(0, 1), looksAborted, markerAt(2, 1, 2), transactional(3, 1), abort(4, 1))
    const decoded = decodeRecords(bytes, { fetchOffset: 0, abortedTransactions: [{ producerId: 1, firstOffset: 0 }] })
    assert.deepStrictEqual([decoded.chunks.length, decoded.nextOffset], [0, 5])
    assert.deepStrictEqual(offsetsOf(decodeRecords(bytes, { fetchOffset: 0 })), [0, 1, 3])
  })

  it("bears a marker that compaction emptied, and refuses one without a type", () => {
    const emptied = tampered(abort(1, 1).slice(0, batchHeaderSize), (copy) => {
      writeInt32(copy, batchField.batchLength, copy.length - 12)
      writeInt32(copy, batchField.recordCount, 0)
    })
    const abortedTransactions = [{ producerId: 1, firstOffset: 0 }]
    const decoded = decodeRecords(concat(transactional(0, 1), emptied), { fetchOffset: 0, abortedTransactions })
    assert.deepStrictEqual([decoded.chunks.length, decoded.nextOffset, decoded.error], [0, 2, undefined])
    const untyped = batchAt(1, texts(1, 1), { producerId: 1, isTransactional: true, isControl: true })
    const refused = decodeRecords(concat(transactional(0, 1), untyped), { fetchOffset: 0, abortedTransactions })
    assert.deepStrictEqual([refused.nextOffset, refused.error?.reason], [1, "CorruptBatch"])
  })
})

describe("decodeRecords of what it cannot read", () => {
  it("gives the good batches, then the error and where it is", () => {
    const good = batchAt(10, texts(10, 2))
    const bad = batchAt(12, texts(12, 3))
    bad[bad.length - 1]! ^= 1
    const decoded = decodeRecords(concat(good, bad, batchAt(15, texts(15, 1))), { fetchOffset: 11 })
    assert.deepStrictEqual(offsetsOf(decoded), [11])
    assert.strictEqual(decoded.nextOffset, 12)
    assert.instanceOf(decoded.error, RecordError)
    const { baseOffset, lastOffset, position, reason } = decoded.error!
    assert.deepStrictEqual([reason, position, baseOffset, lastOffset], ["CorruptBatch", good.length, 12, 14])
  })

  for (const magic of [0, 1, 3, 0x31]) {
    it(`says that format ${magic} is not supported`, () => {
      const bytes = batchAt(2, texts(2, 1))
      bytes[batchField.magic] = magic
      const { error, nextOffset } = decodeRecords(bytes, { fetchOffset: 2 })
      assert.deepStrictEqual([error?.reason, error?.baseOffset, error?.lastOffset], ["UnsupportedMagic", 2, -1])
      assert.strictEqual(nextOffset, 2)
    })
  }

  for (const type of [5, 6, 7]) {
    it(`says that there is no codec for compression type ${type}`, () => {
      const bytes = tampered(batchAt(2, texts(2, 1)), (copy) => writeInt16(copy, batchField.attributes, type))
      const { error } = decodeRecords(bytes, { fetchOffset: 2 })
      assert.strictEqual(error?.reason, "UnsupportedCompression")
      assert.strictEqual(error?.message, `there is no codec for compression type ${type}`)
    })
  }

  it("says which Node has the codec that is missing", () => {
    const bytes = batchAt(2, texts(2, 100), { codec: builtInCodecs(compressionTypes.zstd) })
    const { error } = decodeRecords(bytes, { fetchOffset: 2, codecs: codecLookup([gzip]) })
    assert.strictEqual(error?.reason, "UnsupportedCompression")
    assert.match(error!.message, /^zstd needs Node 22\.15/)
  })

  it("skips an aborted or earlier batch of a compression that it lacks", () => {
    const lacks = (baseOffset: number) =>
      tampered(
        batchAt(baseOffset, texts(0, 1), { producerId: 1, isTransactional: true }),
        (copy) => writeInt16(copy, batchField.attributes, batchAttribute.transactional | 5)
      )
    const bytes = concat(lacks(0), lacks(1), markerAt(2, 1, 0), batchAt(3, texts(3, 1)))
    const decoded = decodeRecords(bytes, { fetchOffset: 1, abortedTransactions: [{ producerId: 1, firstOffset: 1 }] })
    assert.isUndefined(decoded.error)
    assert.deepStrictEqual(offsetsOf(decoded), [3])
  })

  it("says when a batch expands to more than the bound", () => {
    const bomb = batchAt(0, [{ ...textRecord("x"), value: new Uint8Array(30_000_000) }], { codec: gzip })
    assert.isBelow(bomb.length, 40_000)
    const { error } = decodeRecords(bomb, { fetchOffset: 0, maxExpandedSize: 1_000_000 })
    assert.strictEqual(error?.reason, "BatchTooLarge")
    assert.strictEqual(allRecords(decodeRecords(bomb, { fetchOffset: 0 })).length, 1)
  })

  it("does not trust a codec with the bound, nor with its errors", () => {
    const zstd = (decompress: Codec["decompress"]) =>
      codecLookup([{ type: "zstd", compress: (bytes) => bytes.subarray(0, bytes.length - 1), decompress }])
    const codec = zstd(() => new Uint8Array(0))(4)
    const bytes = batchAt(0, texts(0, 1), { codec })
    const reasonOf = (decompress: Codec["decompress"]) =>
      decodeRecords(bytes, { fetchOffset: 0, codecs: zstd(decompress), maxExpandedSize: 1_000 }).error?.reason
    assert.strictEqual(reasonOf((_, maxSize) => new Uint8Array(maxSize + 1)), "BatchTooLarge")
    assert.strictEqual(
      reasonOf(() => {
        throw new TypeError("no")
      }),
      "CorruptBatch"
    )
    assert.strictEqual(reasonOf(() => new Uint8Array(0)), "CorruptBatch")
  })
})

describe("RecordsReader", () => {
  const bytes = concat(batchAt(0, texts(0, 5)), batchAt(5, texts(5, 2), { codec: gzip }), markerAt(7, 1, 1))

  it("gives a batch in pieces, with the offset to go on from", () => {
    for (const size of [1, 2, 3, 5, 100]) {
      const reader = new RecordsReader(bytes, { fetchOffset: 0 })
      const pieces: Array<number> = []
      for (let chunk = reader.next(size); chunk !== undefined; chunk = reader.next(size)) {
        assert.isAtMost(chunk.records.length, size)
        for (const { offset } of chunk.records) pieces.push(offset)
        assert.strictEqual(chunk.nextOffset, pieces.at(-1)! + 1)
        assert.strictEqual(reader.nextOffset, chunk.nextOffset)
      }
      assert.deepStrictEqual(pieces, [0, 1, 2, 3, 4, 5, 6])
      assert.strictEqual(reader.nextOffset, 8)
      assert.isUndefined(reader.next(size))
    }
  })

  it("looks at no batch before it is asked for it", () => {
    const bad = batchAt(5, texts(5, 1))
    bad[bad.length - 1]! ^= 1
    const reader = new RecordsReader(concat(batchAt(0, texts(0, 5)), bad), { fetchOffset: 0 })
    assert.strictEqual(reader.next(3)?.records.length, 3)
    assert.strictEqual(reader.next(3)?.records.length, 2)
    assert.deepStrictEqual([reader.nextOffset, reader.error], [5, undefined])
    assert.isUndefined(reader.next())
    assert.deepStrictEqual([reader.nextOffset, reader.error?.reason], [5, "CorruptBatch"])
    assert.isUndefined(reader.next())
  })

  it("keeps the pieces before a broken record", () => {
    const batch = batchAt(0, texts(0, 5))
    // The fourth of five records of one size: its attributes, timestamp delta, then its offset delta.
    const fourth = batchHeaderSize + (batch.length - batchHeaderSize) * 3 / 5
    const broken = tampered(batch, (copy) => copy[fourth + 3] = 0)
    const reader = new RecordsReader(broken, { fetchOffset: 0 })
    assert.deepStrictEqual(reader.next(2)?.records.map(({ offset }) => offset), [0, 1])
    assert.isUndefined(reader.next(2))
    assert.deepStrictEqual([reader.nextOffset, reader.error?.reason], [2, "CorruptBatch"])
    assert.strictEqual(decodeRecords(broken, { fetchOffset: 0 }).nextOffset, 0)
  })
})
