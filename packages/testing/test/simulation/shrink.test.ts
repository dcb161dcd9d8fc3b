import { assert, describe, it } from "@effect/vitest"
import { FastCheck } from "effect"

import { shrink, shrinkPlan } from "../../src/internal/simulation/shrink.ts"
import { makePlan } from "./support/fakePlan.ts"
import { runPlan } from "./support/fakeRun.ts"

const upTo = (count: number): ReadonlyArray<number> => Array.from({ length: count }, (_, index) => index)

const someOf = (count: number) => FastCheck.uniqueArray(FastCheck.nat(count - 1), { maxLength: 6 })

/** A predicate without any rule: by chance, the same for the same items. */
const byChance = (seed: number) => (items: ReadonlyArray<number>): boolean => {
  let hash = seed | 1
  for (const item of items) hash = Math.imul(hash ^ (item + 1), 0x9e3779b1)
  return ((hash ^ (hash >>> 15)) & 3) === 0
}

describe("shrink", () => {
  it.prop("finds the one set that is needed", [someOf(24)], ([needed]) => {
    const fails = (items: ReadonlyArray<number>) => needed.every((item) => items.includes(item))
    const { isMinimal, items } = shrink(upTo(24), fails, { maxRuns: 1000 })
    assert.deepStrictEqual(items, needed.toSorted((a, b) => a - b))
    assert.isTrue(isMinimal)
  })

  it.prop("finds a set of which nothing can go, where one of several is needed", [
    FastCheck.array(someOf(24), { minLength: 1, maxLength: 4 })
  ], ([alternatives]) => {
    const fails = (items: ReadonlyArray<number>) => alternatives.some((each) => each.every((i) => items.includes(i)))
    const { isMinimal, items } = shrink(upTo(24), fails, { maxRuns: 1000 })
    assert.isTrue(isMinimal)
    assert.isTrue(fails(items))
    for (const item of items) assert.isFalse(fails(items.filter((other) => other !== item)))
  })

  it.prop("finds a set of which nothing can go, whatever the rule", [FastCheck.integer(), FastCheck.nat(20)], (
    [seed, count]
  ) => {
    const all = upTo(count)
    const fails = (items: ReadonlyArray<number>) => items.length === count || byChance(seed)(items)
    const { isMinimal, items } = shrink(all, fails, { maxRuns: 10_000 })
    assert.isTrue(isMinimal)
    assert.isTrue(fails(items))
    assert.deepStrictEqual(items, all.filter((item) => items.includes(item)))
    for (const item of items) assert.isFalse(fails(items.filter((other) => other !== item)))
  })

  it.prop("keeps what fails within its bound, tells of each run, and runs nothing twice", [
    someOf(24),
    FastCheck.nat(30)
  ], ([needed, maxRuns]) => {
    const seen = new Set<string>()
    let told = 0
    const fails = (items: ReadonlyArray<number>) => {
      const key = items.join()
      assert.isFalse(seen.has(key))
      seen.add(key)
      return needed.every((item) => items.includes(item))
    }
    const { isMinimal, items, runs } = shrink(upTo(24), fails, {
      maxRuns,
      onProgress: (progress) => assert.strictEqual(progress.runs, ++told)
    })
    assert.isAtMost(runs, maxRuns)
    assert.strictEqual(runs, seen.size)
    assert.strictEqual(runs, told)
    assert.isTrue(needed.every((item) => items.includes(item)))
    if (isMinimal) assert.strictEqual(items.length, needed.length)
  })

  it("takes few runs where little is needed", () => {
    const { runs } = shrink(upTo(64), (items) => items.includes(3) && items.includes(60), { maxRuns: 1000 })
    assert.isAtMost(runs, 30)
  })

  it("says that there may be fewer where it was not given the runs to know", () => {
    const { isMinimal, items, runs } = shrink(upTo(64), (items) => items.includes(3), { maxRuns: 3 })
    assert.deepStrictEqual({ isMinimal, runs }, { isMinimal: false, runs: 3 })
    assert.isTrue(items.includes(3))
  })

  it("keeps a plan's faults that break the same promise", () => {
    const { isMinimal, items } = shrinkPlan(makePlan(13), "no-loss", (plan) => runPlan(plan, { timeline: false }), {
      maxRuns: 100
    })
    assert.isTrue(isMinimal)
    assert.deepStrictEqual(items.map(({ at }) => at), [3000, 6000])
  })

  it("does not take a different violation for the same", () => {
    const { items } = shrinkPlan(
      makePlan(1),
      "first",
      (plan) => ({
        ...runPlan(plan, { timeline: false }),
        violations: [{ invariant: plan.faults.length < 8 ? "second" : "first", message: "", time: undefined }]
      }),
      { maxRuns: 100 }
    )
    assert.lengthOf(items, 8)
  })
})
