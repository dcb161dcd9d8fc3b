import { assert, describe, it } from "@effect/vitest"
import { batchAttribute, batchField, batchHeaderSize, computeBatchCrc } from "@sluice/kafka/internal/kernel/batchHeader"
import { writeInt16, writeInt32, writeInt64 } from "@sluice/kafka/internal/kernel/bigEndian"
import { builtInCodecs, compressionTypes } from "@sluice/kafka/internal/kernel/compression"
import { RecordError } from "@sluice/kafka/internal/kernel/recordError"
import { decodeRecords, RecordsReader } from "@sluice/kafka/internal/kernel/records"
import { writeVarint, writeVarlong } from "@sluice/kafka/internal/kernel/varint"
import { FastCheck } from "effect"

import { allRecords, anyRecord, batchAt, concat, markerAt, offsetsOf, tampered, textRecord, utf8 } from "./batches.ts"

const abortedTransactions = [{ producerId: 1, firstOffset: 0 }]

/**
 * Decodes bytes that may be anything, reads every part of every record, and checks what holds whatever they are; gives
 * the reason of the error.
 */
const survive = (bytes: Uint8Array): string | undefined => {
  const maxExpandedSize = 100_000
  const decoded = decodeRecords(bytes, { fetchOffset: 3, abortedTransactions, maxExpandedSize })
  let previous = 2
  for (const { nextOffset, records } of decoded.chunks) {
    assert.isAtLeast(records.length, 1)
    assert.isAtMost(records.length, Math.max(bytes.length, maxExpandedSize) / 7)
    for (const record of records) {
      assert.isAbove(record.offset, previous)
      previous = record.offset
      assert.isAtMost((record.key?.length ?? 0) + (record.value?.length ?? 0), maxExpandedSize)
      assert.isNumber(record.timestamp)
      for (const { key, value } of record.headers) assert.isAtLeast(key.length + (value?.length ?? 0), 0)
    }
    assert.isAbove(nextOffset, previous)
    previous = nextOffset - 1
  }
  assert.isAtLeast(decoded.nextOffset, previous + 1)
  assert.isTrue(Number.isSafeInteger(decoded.nextOffset))
  if (decoded.error !== undefined) assert.instanceOf(decoded.error, RecordError)
  return decoded.error?.reason
}

const ordinary = batchAt(3, [
  textRecord("value", "key"),
  { ...textRecord("x"), headers: [{ key: "a", value: utf8("1") }, { key: "b", value: null }] },
  { ...textRecord("y"), timestamp: 1_600_000_000_000, value: null }
])

const codecs = ([1, 2, 3, 4] as const).map((type) => builtInCodecs(type)!)

const compressed = codecs.map((codec) =>
  batchAt(6, Array.from({ length: 40 }, (_, index) => textRecord(`value-${index}`)), { codec })
)

const response = concat(ordinary, compressed[0]!, markerAt(46, 1, 0), batchAt(47, [textRecord("last")]))

/** A batch of one record whose bytes are given: its length and everything after it. */
const batchOfBytes = (record: ReadonlyArray<number> | Uint8Array, count = 1): Uint8Array =>
  tampered(concat(batchAt(3, [textRecord("x")]).slice(0, batchHeaderSize), Uint8Array.from(record)), (copy) => {
    writeInt32(copy, batchField.batchLength, copy.length - 12)
    writeInt32(copy, batchField.recordCount, count)
    writeInt32(copy, batchField.lastOffsetDelta, 1_000)
  })

const varint = (value: number): ReadonlyArray<number> => {
  const bytes = new Uint8Array(5)
  return [...bytes.subarray(0, writeVarint(bytes, 0, value))]
}

const varlong = (value: number): ReadonlyArray<number> => {
  const bytes = new Uint8Array(8)
  return [...bytes.subarray(0, writeVarlong(bytes, 0, value))]
}

/** A record from its fields; its length counts them unless one is given. */
const record = (fields: {
  readonly length?: number
  readonly timestampDelta?: ReadonlyArray<number>
  readonly offsetDelta?: number
  readonly key?: ReadonlyArray<number>
  readonly value?: ReadonlyArray<number>
  readonly headers?: ReadonlyArray<number>
}): ReadonlyArray<number> => {
  const body = [
    0,
    ...(fields.timestampDelta ?? varlong(0)),
    ...varint(fields.offsetDelta ?? 0),
    ...(fields.key ?? varint(-1)),
    ...(fields.value ?? varint(-1)),
    ...(fields.headers ?? varint(0))
  ]
  return [...varint(fields.length ?? body.length), ...body]
}

describe("hostile bytes", () => {
  it("starts from a response that is good", () => {
    assert.isUndefined(survive(response))
    assert.strictEqual(allRecords(decodeRecords(response, { fetchOffset: 3 })).length, 44)
    assert.isUndefined(survive(batchOfBytes(record({}))))
  })

  it("a flipped bit that the checksum covers is found", () => {
    for (let bit = batchField.attributes * 8; bit < ordinary.length * 8; bit++) {
      const copy = new Uint8Array(ordinary)
      copy[bit >> 3]! ^= 1 << (bit & 7)
      assert.strictEqual(survive(copy), "CorruptBatch")
    }
  })

  it("a flipped bit before that is an error, or another place in the log, or a batch that is cut off", () => {
    for (let bit = 0; bit < batchField.attributes * 8; bit++) {
      const copy = new Uint8Array(response)
      copy[bit >> 3]! ^= 1 << (bit & 7)
      const reason = survive(copy)
      const byte = bit >> 3
      if (byte >= batchField.crc) assert.strictEqual(reason, "CorruptBatch")
      else if (byte === batchField.magic) assert.strictEqual(reason, "UnsupportedMagic")
    }
  })

  it("a base offset that goes back, below zero or beyond what is safe", () => {
    const next = (baseOffset: number) => {
      const copy = batchAt(0, [textRecord("x"), textRecord("y")])
      writeInt64(copy, batchField.baseOffset, baseOffset)
      return concat(ordinary, copy)
    }
    for (const baseOffset of [3, 5, 0, -1, -(2 ** 40), 2 ** 53 - 2, 2 ** 53 - 1]) {
      assert.strictEqual(survive(next(baseOffset)), "CorruptBatch", `${baseOffset}`)
    }
    assert.isUndefined(survive(next(6)))
    assert.isUndefined(survive(next(2 ** 53 - 3)))
    const negative = concat(next(6).subarray(ordinary.length))
    writeInt32(negative, batchField.baseOffset, -1)
    assert.strictEqual(survive(negative), "CorruptBatch")
  })

  it.prop(
    "random bytes",
    [FastCheck.uint8Array({ maxLength: 400 })],
    ([bytes]) => {
      survive(bytes)
      const asBatch = new Uint8Array(Math.max(bytes.length, batchHeaderSize))
      asBatch.set(bytes)
      survive(tampered(asBatch, (copy) => {
        copy[batchField.magic] = 2
        writeInt64(copy, batchField.baseOffset, 3)
        writeInt32(copy, batchField.batchLength, copy.length - 12)
        copy[batchField.attributes + 1]! &= ~batchAttribute.compressionMask
        writeInt32(copy, batchField.recordCount, (copy.length - batchHeaderSize) / 10)
      }))
    },
    { fastCheck: { seed: 7, numRuns: 1_000 } }
  )

  it.prop(
    "good batches with a few bytes changed, under a checksum that fits",
    [
      FastCheck.array(anyRecord, { minLength: 1, maxLength: 4 }),
      FastCheck.array(FastCheck.tuple(FastCheck.nat(), FastCheck.integer({ min: 0, max: 255 })), { maxLength: 4 }),
      FastCheck.constantFrom(undefined, ...codecs)
    ],
    ([records, changes, codec]) => {
      const batch = batchAt(3, records, { codec })
      survive(tampered(batch, (copy) => {
        // Half of the changes hit the header.
        for (const [place, byte] of changes) {
          const length = place % 2 === 0 ? Math.min(150, copy.length) : copy.length
          copy[batchField.attributes + (place >> 1) % (length - batchField.attributes)] = byte
        }
      }))
    },
    { fastCheck: { seed: 8, numRuns: 1_000 } }
  )

  it("good batches with each byte changed, under a checksum that fits", () => {
    for (const batch of [ordinary, ...compressed]) {
      for (let position = batchField.attributes; position < batch.length; position++) {
        for (const byte of [0, 1, 0x7f, 0x80, 0xff]) survive(tampered(batch, (copy) => copy[position] = byte))
      }
    }
  })

  it("batches cut off, under a length and a checksum that fit", () => {
    for (const batch of [ordinary, ...compressed]) {
      for (let length = batchHeaderSize; length < batch.length; length++) {
        const cut = tampered(
          batch.subarray(0, length),
          (copy) => writeInt32(copy, batchField.batchLength, length - 12)
        )
        assert.strictEqual(survive(cut), "CorruptBatch")
      }
    }
  })

  for (const length of [-(2 ** 31), -12, -1, 0, 4, 48]) {
    it(`a batch length of ${length}`, () => {
      const copy = new Uint8Array(ordinary)
      writeInt32(copy, batchField.batchLength, length)
      writeInt32(copy, batchField.crc, computeBatchCrc(copy, 0, length + 12))
      assert.strictEqual(survive(copy), "CorruptBatch")
    })
  }

  it("a batch length beyond the response: it is cut off, and the offset does not move", () => {
    const copy = new Uint8Array(ordinary)
    writeInt32(copy, batchField.batchLength, 2 ** 31 - 1)
    const decoded = decodeRecords(copy, { fetchOffset: 3 })
    assert.deepStrictEqual([decoded.nextOffset, decoded.truncated, decoded.error], [3, true, undefined])
  })

  for (const count of [-1, -(2 ** 31), 2, 4, 2 ** 31 - 1]) {
    it(`a count of ${count} records where there are 3`, () => {
      const changed = tampered(ordinary, (copy) => writeInt32(copy, batchField.recordCount, count))
      assert.strictEqual(survive(changed), "CorruptBatch")
    })
  }

  it("offset deltas: the last one negative, or below a record's", () => {
    for (const delta of [-1, -(2 ** 31), 0, 1]) {
      const changed = tampered(ordinary, (copy) => writeInt32(copy, batchField.lastOffsetDelta, delta))
      assert.strictEqual(survive(changed), "CorruptBatch")
    }
  })

  for (
    const [what, bytes] of [
      ["a length of 2^31 - 1", record({ length: 2 ** 31 - 1 })],
      ["a length below 6", record({ length: 5 })],
      ["a negative length", record({ length: -1 })],
      ["a length one too small", record({ key: [...varint(3), 1, 2, 3], length: 8 })],
      ["a length one too large", record({ length: 7 })],
      ["a key longer than the record", record({ key: varint(100) })],
      ["a key of 2^31 - 1 bytes", record({ key: varint(2 ** 31 - 1) })],
      ["a key of -2 bytes", record({ key: varint(-2) })],
      ["a value longer than the record", record({ value: varint(2) })],
      ["a value of -2^31 bytes", record({ value: varint(-(2 ** 31)) })],
      ["2^31 - 1 headers", record({ headers: varint(2 ** 31 - 1) })],
      ["-1 headers", record({ headers: varint(-1) })],
      ["a header fewer than it says", record({ headers: [...varint(2), ...varint(0), ...varint(0)] })],
      ["a header without a key", record({ headers: [...varint(1), ...varint(-1), ...varint(0)] })],
      ["a header whose key is too long", record({ headers: [...varint(1), ...varint(9), ...varint(0)] })],
      ["a header whose value is too long", record({ headers: [...varint(1), ...varint(0), ...varint(9)] })],
      ["a header whose value has -2 bytes", record({ headers: [...varint(1), ...varint(0), ...varint(-2)] })],
      ["a negative offset delta", record({ offsetDelta: -1 })],
      ["an offset delta beyond the last", record({ offsetDelta: 1_001 })],
      ["a timestamp delta without an end", record({ timestampDelta: new Array<number>(10).fill(0x80) })],
      ["a byte after the last record", [...record({}), 0]]
    ] as const
  ) {
    it(`a record with ${what}`, () => {
      assert.strictEqual(survive(batchOfBytes(bytes)), "CorruptBatch")
    })
  }

  it("a piece of a batch whose count does not fit, or whose record goes on in the next batch", () => {
    const many = tampered(ordinary, (copy) => writeInt32(copy, batchField.recordCount, 100))
    const long = batchOfBytes([...record({ key: varint(20) }), 0, 0], 1)
    // Its record takes key and value from the batch that follows, which has bytes enough.
    const beyond = batchOfBytes(record({ length: 30, key: [...varint(20), 1, 2, 3] }), 2)
    for (const batch of [many, long, beyond]) {
      const reader = new RecordsReader(concat(batch, new Uint8Array(100)), { fetchOffset: 3 })
      assert.isUndefined(reader.next(1))
      assert.deepStrictEqual([reader.nextOffset, reader.error?.reason], [3, "CorruptBatch"])
    }
  })

  it("records with the same offset, or one before the other's", () => {
    for (const [first, second] of [[5, 5], [5, 4]] as const) {
      const records = [...record({ offsetDelta: first }), ...record({ offsetDelta: second })]
      assert.strictEqual(survive(batchOfBytes(records, 2)), "CorruptBatch")
    }
  })

  it("timestamps beyond what a number counts are the nearest number", () => {
    const batch = tampered(batchAt(3, [textRecord("x")]), (copy) => {
      writeInt32(copy, batchField.baseTimestamp, 0x7fffffff)
      writeInt32(copy, batchField.baseTimestamp + 4, -1)
    })
    assert.isUndefined(survive(batch))
    assert.strictEqual(allRecords(decodeRecords(batch, { fetchOffset: 0 }))[0]!.timestamp, 2 ** 63)
  })

  it("bytes that are not UTF-8 in a header's key", () => {
    const batch = batchOfBytes(record({ headers: [...varint(1), ...varint(2), 0xff, 0x41, ...varint(-1)] }))
    assert.isUndefined(survive(batch))
    assert.deepStrictEqual(allRecords(decodeRecords(batch, { fetchOffset: 3 }))[0]!.headers, [
      { key: "\ufffdA", value: null }
    ])
  })

  for (const [index, { compress, type }] of codecs.entries()) {
    it(`compressed records that are not, or that expand to other than they say: ${type}`, () => {
      const withRecords = (compressedRecords: Uint8Array): Uint8Array =>
        tampered(concat(compressed[index]!.subarray(0, batchHeaderSize), compressedRecords), (copy) => {
          writeInt32(copy, batchField.batchLength, copy.length - 12)
          writeInt16(copy, batchField.attributes, compressionTypes[type])
        })
      assert.strictEqual(survive(withRecords(utf8("not compressed"))), "CorruptBatch")
      assert.strictEqual(survive(withRecords(new Uint8Array(0))), "CorruptBatch")
      assert.strictEqual(survive(withRecords(compress(new Uint8Array(0)))), "CorruptBatch")
      assert.strictEqual(survive(withRecords(compress(new Uint8Array(90_000)))), "CorruptBatch")
      assert.strictEqual(survive(withRecords(compress(new Uint8Array(50_000_000)))), "BatchTooLarge")
    })
  }

  it("ten thousand batches of no records take no longer than their bytes", () => {
    const empty = tampered(batchAt(3, [textRecord("x")]).slice(0, batchHeaderSize), (copy) => {
      writeInt32(copy, batchField.batchLength, copy.length - 12)
      writeInt32(copy, batchField.recordCount, 0)
    })
    const all = concat(...Array.from({ length: 10_000 }, (_, index) => {
      const copy = new Uint8Array(empty)
      writeInt64(copy, batchField.baseOffset, 3 + index)
      return copy
    }))
    const decoded = decodeRecords(all, { fetchOffset: 3, abortedTransactions })
    assert.deepStrictEqual([offsetsOf(decoded).length, decoded.nextOffset], [0, 10_003])
  })
})
