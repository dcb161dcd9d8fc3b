import { assert, describe, it } from "@effect/vitest"
import { backoff } from "@sluice/kafka/internal/kernel/backoff"
import { FastCheck } from "effect"

describe("backoff", () => {
  it("starts at the first pause, give or take a fifth, and doubles", () => {
    for (const [attempt, pause] of [[1, 100], [2, 200], [3, 400], [4, 800]] as const) {
      assert.strictEqual(backoff(attempt, 0, 100, 10_000), pause * 0.8)
      assert.strictEqual(backoff(attempt, 0.5, 100, 10_000), pause)
      assert.strictEqual(backoff(attempt, 0.999_999_999, 100, 10_000), pause * 1.2)
    }
  })

  it("is never longer than the longest pause, nor shorter than four fifths of the first", () => {
    FastCheck.assert(FastCheck.property(
      FastCheck.integer({ min: 1, max: 1_000_000 }),
      FastCheck.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      FastCheck.integer({ min: 1, max: 10_000 }),
      FastCheck.integer({ min: 0, max: 100_000 }),
      (attempt, random, initial, more) => {
        const pause = backoff(attempt, random, initial, initial + more)
        assert.isTrue(Number.isInteger(pause))
        assert.isAtMost(pause, initial + more)
        assert.isAtLeast(pause, initial * 0.8)
      }
    ))
  })
})
