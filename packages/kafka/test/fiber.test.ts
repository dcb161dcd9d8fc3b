import { assert, describe, it } from "@effect/vitest"
import * as Simulation from "@sluice/testing/Simulation"
import { Effect, Exit, Fiber } from "effect"

import { firstOf } from "../src/internal/fiber.ts"

const ticks = (count: number) => Effect.repeatN(Effect.yieldNow(), count)

/** That it has ended is told. */
const told = (ended: Array<string>, name: string) =>
  Effect.onInterrupt(Effect.never, () => Effect.zipRight(ticks(3), Effect.sync(() => ended.push(name))))

describe("firstOf", () => {
  it.effect("ends as the first that ends, when the other one has ended too", () =>
    Effect.gen(function*() {
      const ended: Array<string> = []
      assert.strictEqual(yield* firstOf(Effect.as(ticks(2), 1), told(ended, "right")), 1)
      assert.strictEqual(yield* Effect.flip(firstOf(told(ended, "left"), Effect.fail("no"))), "no")
      assert.deepStrictEqual(ended, ["right", "left"])
    }))

  it.effect("has ended both when it is interrupted", () =>
    Effect.gen(function*() {
      const ended: Array<string> = []
      const fiber = yield* Effect.fork(firstOf(told(ended, "left"), told(ended, "right")))
      yield* ticks(5)
      yield* Fiber.interrupt(fiber)
      assert.sameMembers(ended, ["left", "right"])
    }))

  it("ends also if it is interrupted while it begins", () => {
    const program = Effect.gen(function*() {
      for (let after = 0; after < 40; after++) {
        const both = firstOf(Effect.never, Effect.never)
        assert.strictEqual(yield* firstOf(both, Effect.as(ticks(after), "done")), "done")
      }
    })
    for (let seed = 1; seed <= 20; seed++) {
      const { exit } = Simulation.run(program, {
        seed,
        interleaving: { extraYields: 0.3, shuffle: true },
        maxSteps: 100_000
      })
      assert.isTrue(Exit.isSuccess(exit), `seed ${seed}: ${String(exit)}`)
    }
  })
})
