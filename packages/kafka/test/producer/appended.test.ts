/** Answers that come after the broker's own append: the record may be in the log. */
import { assert, describe, it } from "@effect/vitest"
import { produceOutcome } from "@sluice/kafka/internal/kernel/produceOutcome"

describe("a batch that the broker appended before it lost the leadership, the disk or the topic", () => {
  for (const code of [3, 6, 56]) {
    it(`may be in the log after error ${code}: the same bytes again, and never under another sequence`, () => {
      const batch = { idempotent: true, isOldest: true, maybeWritten: false, recordCount: 2 }
      const outcome = produceOutcome(code, batch)
      assert.strictEqual(outcome._tag, "Retry")
      assert.isTrue(outcome._tag === "Retry" && outcome.maybeWritten)
      assert.deepStrictEqual(produceOutcome(45, { ...batch, maybeWritten: true }), {
        _tag: "Failed",
        persisted: "maybe"
      })
    })
  }
})
