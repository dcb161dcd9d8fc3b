import { assert, describe, it } from "@effect/vitest"
import { FastCheck } from "effect"

import { type Timer, Timers } from "../../src/internal/virtual/timers.ts"

describe("timers", () => {
  it("come in the order of their times, and at the same time in the order in which they were added", () => {
    const timers = new Timers<string>()
    for (const [at, name] of [[5, "a"], [1, "b"], [5, "c"], [0.5, "d"], [1, "e"]] as const) timers.add(at, name)
    assert.deepStrictEqual(timers.pending().map(({ value }) => value), ["d", "b", "e", "a", "c"])
    assert.deepStrictEqual(Array.from({ length: 5 }, () => timers.next(Infinity)?.value), ["d", "b", "e", "a", "c"])
    assert.isUndefined(timers.next(Infinity))
  })

  it("cannot be cancelled once their turn has come", () => {
    const timers = new Timers<string>()
    timers.add(2, "later")
    const timer = timers.add(1, "first")
    timers.next(Infinity)
    timers.cancel(timer)
    assert.strictEqual(timers.size, 1)
  })

  it.prop(
    "are those of a sorted list, whatever is added, cancelled and taken",
    [FastCheck.array(
      FastCheck.oneof(
        { weight: 5, arbitrary: FastCheck.record({ add: FastCheck.integer({ min: 0, max: 20 }) }) },
        { weight: 3, arbitrary: FastCheck.record({ cancel: FastCheck.nat() }) },
        { weight: 2, arbitrary: FastCheck.constant("next" as const) }
      ),
      { maxLength: 600, size: "max" }
    )],
    ([operations]) => {
      const timers = new Timers<number>()
      const added: Array<Timer<number>> = []
      let model: Array<Timer<number>> = []
      for (const operation of operations) {
        if (operation === "next") {
          const expected = model.shift()
          assert.strictEqual(timers.next(Infinity), expected)
        } else if ("add" in operation) {
          const timer = timers.add(operation.add, added.length)
          added.push(timer)
          const later = model.findIndex(({ at }) => at > timer.at)
          model.splice(later === -1 ? model.length : later, 0, timer)
        } else if (added.length > 0) {
          const timer = added[operation.cancel % added.length]!
          timers.cancel(timer)
          model = model.filter((other) => other !== timer)
        }
        assert.strictEqual(timers.size, model.length)
      }
      assert.deepStrictEqual(timers.pending(), model)
    }
  )
})
