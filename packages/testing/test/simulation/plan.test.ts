import { assert, describe, it } from "@effect/vitest"

import { makePlan } from "../../src/internal/simulation/plan.ts"

describe("a plan", () => {
  it("has at least 2,000 records, four producers, three members and more than twenty faults, whatever the seed", () => {
    for (let seed = 0; seed < 500; seed++) {
      const { calmUntil, faults, healAt, members, producers } = makePlan(seed)
      const records = producers.reduce((sum, producer) => sum + producer.records, 0)
      assert.isAtLeast(records, 2000, `records of seed ${seed}`)
      assert.strictEqual(producers.length, 4)
      assert.isAbove(producers.at(-1)!.startAt, healAt)
      assert.strictEqual(members.length, 3)
      assert.isAtLeast(faults.length, 30, `faults of seed ${seed}`)
      assert.isAtLeast(new Set(faults.map(({ fault }) => fault._tag)).size, 10, `kinds of seed ${seed}`)
      for (const { at } of faults) assert.isTrue(at >= calmUntil && at < healAt, `a fault of seed ${seed} is at ${at}`)
      for (const { sendingTime } of producers) assert.isAbove(sendingTime, 0, `seed ${seed}`)
    }
  })
})
