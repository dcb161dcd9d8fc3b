import { assert, describe, it } from "@effect/vitest"
import { OffsetTracker } from "@sluice/kafka/internal/kernel/offsetTracker"
import { FastCheck } from "effect"

const unbounded = { maxRecords: Infinity, maxBytes: Infinity }

describe("OffsetTracker", () => {
  it("moves to the end of what is done without a gap, in whatever order that comes", () => {
    const tracker = new OffsetTracker(5, unbounded)
    const [a, b, c] = [tracker.begin(6, 1), tracker.begin(7, 1), tracker.begin(10, 1)]
    assert.strictEqual(tracker.watermark, 5)
    assert.isFalse(tracker.complete(c!))
    assert.isFalse(tracker.complete(b!))
    assert.strictEqual(tracker.watermark, 5)
    assert.strictEqual(tracker.ahead, 3)
    assert.isTrue(tracker.complete(a!))
    assert.strictEqual(tracker.watermark, 10)
    assert.strictEqual(tracker.ahead, 0)
  })

  it("is bounded in records and in bytes, but always has room for one", () => {
    const tracker = new OffsetTracker(0, { maxRecords: 2, maxBytes: 100 })
    const first = tracker.begin(1, 1000)
    assert.isFalse(tracker.hasRoom)
    tracker.complete(first)
    assert.isTrue(tracker.hasRoom)
    tracker.begin(2, 10)
    const third = tracker.begin(3, 10)
    assert.isFalse(tracker.hasRoom)
    // The second is what holds it up.
    tracker.complete(third)
    assert.isFalse(tracker.hasRoom)
  })

  it("knows nothing of tickets that it did not give", () => {
    const tracker = new OffsetTracker(0, unbounded)
    assert.isFalse(tracker.complete(0))
    const ticket = tracker.begin(1, 1)
    assert.isFalse(tracker.complete(ticket + 1))
    assert.isTrue(tracker.complete(ticket))
    assert.isFalse(tracker.complete(ticket))
    assert.strictEqual(tracker.watermark, 1)
  })

  it("is what a list of all records with their states would say", () => {
    /** Numbers below 1 begin a record, those above complete the one that far along of those begun, done or not. */
    const step = FastCheck.oneof(
      FastCheck.record({ gap: FastCheck.integer({ min: 1, max: 5 }), bytes: FastCheck.nat(50) }),
      FastCheck.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
    )
    FastCheck.assert(
      FastCheck.property(
        FastCheck.array(step, { maxLength: 600 }),
        FastCheck.integer({ min: 1, max: 200 }),
        FastCheck.integer({ min: 1, max: 5000 }),
        (steps, maxRecords, maxBytes) => {
          const tracker = new OffsetTracker(7, { maxRecords, maxBytes })
          const model: Array<{ end: number; bytes: number; done: boolean }> = []
          let position = 7
          for (const each of steps) {
            if (typeof each === "number") {
              if (model.length === 0) continue
              const ticket = Math.floor(each * model.length)
              model[ticket]!.done = true
              tracker.complete(ticket)
            } else if (tracker.hasRoom) {
              position += each.gap
              assert.strictEqual(tracker.begin(position, each.bytes), model.length)
              model.push({ end: position, bytes: each.bytes, done: false })
            }
            const undone = model.findIndex(({ done }) => !done)
            const oldest = undone < 0 ? model.length : undone
            const open = model.slice(oldest)
            const bytes = open.reduce((sum, record) => sum + record.bytes, 0)
            assert.strictEqual(tracker.watermark, oldest === 0 ? 7 : model[oldest - 1]!.end)
            assert.strictEqual(tracker.oldest, oldest)
            assert.strictEqual(tracker.ahead, open.length)
            assert.strictEqual(tracker.bytesAhead, bytes)
            assert.strictEqual(tracker.hasRoom, open.length === 0 || (open.length < maxRecords && bytes < maxBytes))
            assert.isTrue(tracker.hasRoom || !tracker.hasAmpleRoom)
            assert.isAtMost(tracker.ahead, maxRecords)
          }
        }
      ),
      { numRuns: 300 }
    )
  })

  it("takes the same time for each record, however far ahead it runs", () => {
    const tracker = new OffsetTracker(0, unbounded)
    for (let i = 0; i < 100_000; i++) tracker.begin(i + 1, 1)
    for (let i = 99_999; i >= 0; i--) tracker.complete(i)
    assert.strictEqual(tracker.watermark, 100_000)
    assert.strictEqual(tracker.ahead, 0)
  })
})
