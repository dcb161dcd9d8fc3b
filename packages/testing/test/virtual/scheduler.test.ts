import { assert, describe, it } from "@effect/vitest"
import { FastCheck } from "effect"

import { makeRandomStream } from "../../src/internal/random.ts"
import { VirtualScheduler } from "../../src/internal/virtual/scheduler.ts"

const make = (shuffle: boolean, seed = 1) =>
  new VirtualScheduler({
    shuffle,
    extraYields: 0,
    schedule: makeRandomStream(seed, 1),
    yields: makeRandomStream(seed, 2)
  })

/** Schedules and takes tasks; tells which ran, by their numbers. */
const runAll = (scheduler: VirtualScheduler, operations: ReadonlyArray<"schedule" | "take">): ReadonlyArray<number> => {
  const ran: Array<number> = []
  let scheduled = 0
  for (const operation of operations) {
    if (operation === "take") scheduler.take()?.()
    else {
      const number = scheduled++
      scheduler.scheduleTask(() => ran.push(number))
    }
    assert.strictEqual(scheduler.size, scheduled - ran.length)
  }
  while (scheduler.size > 0) scheduler.take()!()
  assert.isUndefined(scheduler.take())
  return ran
}

const many = [
  ...Array.from({ length: 3000 }, () => "schedule" as const),
  ...Array.from({ length: 2500 }, () => "take" as const),
  ...Array.from({ length: 3000 }, () => "schedule" as const)
]

describe("a virtual scheduler", () => {
  it.prop(
    "runs what is ready first first",
    [FastCheck.array(FastCheck.constantFrom("schedule" as const, "schedule" as const, "take" as const))],
    ([operations]) => {
      const ran = runAll(make(false), operations)
      assert.deepStrictEqual(ran, ran.map((_, index) => index))
    }
  )

  it("keeps that order however much there is", () => {
    assert.deepStrictEqual(runAll(make(false), many), Array.from({ length: 6000 }, (_, index) => index))
  })

  it("runs each once in the order that the seed says, if it shuffles", () => {
    const ran = runAll(make(true), many)
    assert.deepStrictEqual(ran.slice().sort((one, other) => one - other), runAll(make(false), many))
    assert.deepStrictEqual(runAll(make(true), many), ran)
    assert.notDeepEqual(runAll(make(true, 2), many), ran)
    assert.notDeepEqual(runAll(make(false), many), ran)
  })
})
