import { assert, describe, it } from "@effect/vitest"
import { BufferPool } from "@sluice/kafka/internal/kernel/bufferPool"
import { FastCheck as fc } from "effect"

describe("BufferPool", () => {
  it("gives back what it was given, if it is large enough", () => {
    const pool = new BufferPool(1 << 20)
    const first = pool.take(100_000)
    pool.give(first.subarray(0, 500))
    assert.strictEqual(pool.bytes, 100_000)
    assert.strictEqual(pool.take(90_000).buffer, first.buffer)
    pool.give(first)
    assert.notStrictEqual(pool.take(200_000).buffer, first.buffer)
    assert.strictEqual(pool.bytes, 0)
  })

  it("keeps small buffers not at all, and never more than its bound", () => {
    fc.assert(fc.property(
      fc.array(fc.tuple(fc.boolean(), fc.integer({ min: 1, max: 300_000 })), { maxLength: 60 }),
      (steps) => {
        const pool = new BufferPool(500_000)
        const inUse = new Set<ArrayBufferLike>()
        for (const [give, size] of steps) {
          if (give && inUse.size > 0) {
            const [buffer] = inUse
            inUse.delete(buffer!)
            pool.give(new Uint8Array(buffer!))
          } else {
            const buffer = pool.take(size)
            assert.isAtLeast(buffer.length, size)
            assert.isFalse(inUse.has(buffer.buffer))
            inUse.add(buffer.buffer)
          }
          assert.isAtMost(pool.bytes, 500_000)
        }
      }
    ))
  })
})
