import { assert, describe, it } from "@effect/vitest"
import { OffsetTracker } from "@sluice/kafka/internal/kernel/offsetTracker"
import { FastCheck } from "effect"

/** The same rules over a plain list of every record. */
class Model {
  records: Array<{ readonly offset: number; readonly leaderEpoch: number; done: boolean }> = []
  end: number

  constructor(position: number) {
    this.end = position
  }

  get firstPending() {
    return this.records.findIndex((record) => !record.done)
  }

  get watermark(): number {
    return this.records[this.firstPending]?.offset ?? this.end
  }

  get leaderEpoch(): number {
    const pending = this.firstPending
    return this.records[(pending === -1 ? this.records.length : pending) - 1]?.leaderEpoch ?? -1
  }

  get pending(): number {
    return this.records.filter((record) => !record.done).length
  }
}

describe("OffsetTracker", () => {
  it("starts at the position", () => {
    const tracker = new OffsetTracker(42, 7)
    assert.strictEqual(tracker.watermark, 42)
    assert.strictEqual(tracker.leaderEpoch, 7)
    assert.strictEqual(tracker.pending, 0)
  })

  it("moves with records done in order, one by one", () => {
    const tracker = new OffsetTracker(0)
    tracker.deliverRange(0, 2)
    for (const offset of [0, 1, 2]) {
      assert.isTrue(tracker.done(offset))
      assert.strictEqual(tracker.watermark, offset + 1)
    }
    tracker.deliver(3)
    assert.isTrue(tracker.done(3))
    assert.strictEqual(tracker.watermark, 4)
  })

  it("waits for the first record that is not done", () => {
    const tracker = new OffsetTracker(0)
    tracker.deliverRange(0, 4)
    for (const offset of [4, 2, 1]) assert.isFalse(tracker.done(offset))
    assert.strictEqual(tracker.watermark, 0)
    assert.strictEqual(tracker.pending, 2)
    assert.isTrue(tracker.done(0))
    assert.strictEqual(tracker.watermark, 3)
    assert.isTrue(tracker.done(3))
    assert.strictEqual(tracker.watermark, 5)
  })

  it("steps over gaps", () => {
    const tracker = new OffsetTracker(0)
    tracker.deliver(5)
    assert.strictEqual(tracker.watermark, 5)
    tracker.deliverRange(10, 11)
    tracker.deliver(1_000_000_000_000)
    tracker.done(11)
    tracker.done(5)
    assert.strictEqual(tracker.watermark, 10)
    tracker.done(10)
    assert.strictEqual(tracker.watermark, 1_000_000_000_000)
    tracker.done(1_000_000_000_000)
    assert.strictEqual(tracker.watermark, 1_000_000_000_001)
  })

  it("passes control records at the end, once what is before them is done", () => {
    const tracker = new OffsetTracker(0)
    tracker.deliver(0)
    tracker.skipTo(3)
    assert.strictEqual(tracker.watermark, 0)
    tracker.done(0)
    assert.strictEqual(tracker.watermark, 3)
    tracker.skipTo(5)
    assert.strictEqual(tracker.watermark, 5)
    tracker.skipTo(4)
    assert.strictEqual(tracker.watermark, 5)
  })

  it("knows the leader epoch of the last record before the watermark", () => {
    const tracker = new OffsetTracker(0)
    tracker.deliverRange(0, 1, 4)
    tracker.deliverRange(2, 3, 6)
    const seen = [0, 1, 2, 3].map((offset) => {
      tracker.done(offset)
      return tracker.leaderEpoch
    })
    assert.deepStrictEqual(seen, [4, 4, 6, 6])
  })

  it("ignores what was not delivered, and what is done already", () => {
    const tracker = new OffsetTracker(10)
    assert.isFalse(tracker.done(10))
    tracker.deliverRange(10, 12)
    tracker.deliver(15)
    for (const offset of [9, 13, 14, 16]) assert.isFalse(tracker.done(offset))
    tracker.done(12)
    tracker.done(12)
    tracker.done(10)
    tracker.done(10)
    assert.strictEqual(tracker.watermark, 11)
    assert.strictEqual(tracker.pending, 2)
  })

  it("refuses a delivery that goes back", () => {
    const tracker = new OffsetTracker(10)
    assert.throws(() => tracker.deliver(9), RangeError)
    tracker.deliver(10)
    assert.throws(() => tracker.deliver(10), RangeError)
    assert.throws(() => tracker.deliverRange(12, 11), RangeError)
    assert.strictEqual(tracker.watermark, 10)
  })

  it("agrees with a plain model in any order of events", () => {
    const event = FastCheck.oneof(
      {
        weight: 3,
        arbitrary: FastCheck.record({
          gap: FastCheck.constantFrom(0, 0, 0, 1, 5),
          count: FastCheck.integer({ min: 1, max: 40 }),
          leaderEpoch: FastCheck.nat({ max: 1 })
        })
      },
      {
        weight: 10,
        arbitrary: FastCheck.record({ pending: FastCheck.nat(), times: FastCheck.integer({ min: 1, max: 12 }) })
      },
      { weight: 2, arbitrary: FastCheck.record({ anyOffset: FastCheck.integer({ min: -5, max: 300 }) }) },
      { weight: 1, arbitrary: FastCheck.record({ skip: FastCheck.nat({ max: 4 }) }) }
    )
    FastCheck.assert(
      FastCheck.property(
        FastCheck.array(event, { maxLength: 80 }),
        FastCheck.constantFrom(0, 2 ** 31 - 50, 2 ** 40),
        (events, position) => {
          const model = new Model(position)
          const tracker = new OffsetTracker(position)
          let previous = position
          const done = (offset: number) => {
            const before = model.watermark
            const record = model.records.find((one) => one.offset === offset)
            if (record !== undefined) record.done = true
            assert.strictEqual(tracker.done(offset), model.watermark !== before)
          }
          for (const next of events) {
            if ("count" in next) {
              const first = model.end + next.gap
              for (let offset = first; offset < first + next.count; offset++) {
                model.records.push({ offset, leaderEpoch: next.leaderEpoch, done: false })
              }
              model.end = first + next.count
              tracker.deliverRange(first, first + next.count - 1, next.leaderEpoch)
            } else if ("pending" in next) {
              for (let time = 0; time < next.times; time++) {
                const pending = model.records.filter((record) => !record.done)
                if (pending.length > 0) done(pending[(next.pending + time * 7) % pending.length]!.offset)
              }
            } else if ("anyOffset" in next) {
              done(position + next.anyOffset)
            } else {
              model.end += next.skip
              tracker.skipTo(model.end)
            }
            assert.strictEqual(tracker.watermark, model.watermark)
            assert.strictEqual(tracker.leaderEpoch, model.leaderEpoch)
            assert.strictEqual(tracker.pending, model.pending)
            assert.isAtLeast(tracker.watermark, previous)
            assert.isTrue(model.records.every((record) => record.done || record.offset >= tracker.watermark))
            previous = tracker.watermark
          }
        }
      ),
      { seed: 1, numRuns: 500 }
    )
  })

  it("takes a window of any width, and a new one after it", () => {
    const tracker = new OffsetTracker(0)
    let position = 0
    for (const width of [3_000, 200_000, 50]) {
      const end = position + width
      tracker.deliverRange(position, end - 1)
      for (let offset = end - 1; offset > position; offset--) tracker.done(offset)
      assert.strictEqual(tracker.watermark, position)
      assert.strictEqual(tracker.pending, 1)
      tracker.done(position)
      assert.strictEqual(tracker.watermark, end)
      assert.strictEqual(tracker.pending, 0)
      position = end
    }
  })

  it("grows while the window is not at the start of its ring", () => {
    const tracker = new OffsetTracker(0)
    tracker.deliverRange(0, 9_999)
    for (let offset = 0; offset < 1_500; offset++) tracker.done(offset)
    for (let offset = 1_501; offset <= 9_999; offset += 2) tracker.done(offset)
    assert.strictEqual(tracker.watermark, 1_500)
    for (let offset = 1_500; offset < 9_999; offset += 2) {
      tracker.done(offset)
      assert.strictEqual(tracker.watermark, offset + 2)
    }
    assert.strictEqual(tracker.pending, 0)
  })

  it("follows a partition in which every offset has a gap before it", () => {
    const tracker = new OffsetTracker(0)
    const offsets = Array.from({ length: 2_000 }, (_, index) => index * 1_000_003)
    for (const offset of offsets) tracker.deliver(offset)
    for (let index = 1_999; index >= 1_000; index--) tracker.done(offsets[index]!)
    for (let index = 0; index < 999; index++) {
      tracker.done(offsets[index]!)
      assert.strictEqual(tracker.watermark, offsets[index + 1]!)
    }
    tracker.done(offsets[999]!)
    assert.strictEqual(tracker.watermark, offsets[1_999]! + 1)
    assert.strictEqual(tracker.pending, 0)
  })
})
