import { assert, describe, it } from "@effect/vitest"

import { makePlan } from "../../src/internal/simulation/plan.ts"
import { runPlan } from "../../src/internal/simulation/run.ts"

describe("a seed that failed once", () => {
  it("passes: 70013, in which a batch that had failed was sent again", () => {
    assert.deepStrictEqual(runPlan(makePlan(70013), { timeline: false }).violations, [])
  })
})
