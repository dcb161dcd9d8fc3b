import { assert, describe, it } from "@effect/vitest"
import { batchField, batchHeaderSize } from "@sluice/kafka/internal/kernel/batchHeader"
import { writeInt32 } from "@sluice/kafka/internal/kernel/bigEndian"
import { endPosition } from "@sluice/kafka/internal/kernel/endPosition"
import { decodeRecords } from "@sluice/kafka/internal/kernel/records"
import { FastCheck } from "effect"

import { batchAt, concat, markerAt, textRecord } from "./batches.ts"

const text = (count: number) => Array.from({ length: count }, (_, i) => textRecord(String(i)))

/** Its offset, from where the epoch is not known. */
const endOffset = (bytes: Uint8Array, offset: number) => endPosition(bytes, { offset, leaderEpoch: -1 }).offset

describe("endPosition", () => {
  it("is the offset after the last whole batch", () => {
    const batches = concat(batchAt(10, text(5)), batchAt(15, text(2)), markerAt(20, 1, 1))
    assert.strictEqual(endOffset(batches, 10), 21)
    assert.strictEqual(endOffset(batches, 12), 21)
    assert.strictEqual(endOffset(batches.subarray(0, batches.length - 1), 10), 17)
  })

  it("is the fetch offset where there is no whole batch, or none that reaches it", () => {
    const batch = batchAt(10, text(5))
    assert.strictEqual(endOffset(new Uint8Array(0), 7), 7)
    assert.strictEqual(endOffset(batch.subarray(0, batchHeaderSize), 10), 10)
    assert.strictEqual(endOffset(batch, 100), 100)
  })

  it("goes on past a batch that ends before the fetch offset", () => {
    assert.strictEqual(endOffset(concat(batchAt(0, text(5)), batchAt(5, text(5))), 7), 10)
  })

  it("stops at what cannot be a batch", () => {
    const first = batchAt(0, text(5))
    for (const length of [-1, 0, 3, 48, 2 ** 30]) {
      const broken = new Uint8Array(batchAt(5, text(5)))
      writeInt32(broken, batchField.batchLength, length)
      assert.strictEqual(endOffset(concat(first, broken), 0), 5)
    }
    assert.strictEqual(endOffset(concat(first, batchAt(3, text(5))), 0), 5)
  })

  it.prop("is where reading the records ends, whatever is cut off", [
    FastCheck.array(FastCheck.record({ gap: FastCheck.nat(3), count: FastCheck.integer({ min: 1, max: 4 }) }), {
      minLength: 1,
      maxLength: 5
    }),
    FastCheck.nat(30),
    FastCheck.double({ min: 0, max: 1, noNaN: true })
  ], ([batches, fetchOffset, cut]) => {
    let offset = 0
    const bytes = concat(...batches.map(({ count, gap }) => {
      const batch = batchAt(offset + gap, text(count))
      offset += gap + count
      return batch
    }))
    const part = bytes.subarray(0, Math.ceil(bytes.length * cut))
    const { error, nextOffset } = decodeRecords(part, { fetchOffset })
    assert.isUndefined(error)
    assert.strictEqual(endOffset(part, fetchOffset), nextOffset)
  })
})
