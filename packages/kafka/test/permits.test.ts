import { assert, describe, it } from "@effect/vitest"
import * as Simulation from "@sluice/testing/Simulation"
import { Effect, Exit, Fiber } from "effect"

import { Permits } from "../src/internal/permits.ts"

const ticks = (count: number) => Effect.repeatN(Effect.yieldNow(), count)

describe("Permits", () => {
  it.effect("let so many go on at a time, in the order in which they came", () =>
    Effect.gen(function*() {
      const permits = new Permits(2)
      const seen: Array<string> = []
      let most = 0
      let count = 0
      yield* Effect.forEach(["a", "b", "c", "d"], (name) =>
        permits.use(Effect.gen(function*() {
          most = Math.max(most, ++count)
          seen.push(name)
          yield* ticks(3)
          count--
        })), { concurrency: "unbounded" })
      assert.strictEqual(most, 2)
      assert.deepStrictEqual(seen, ["a", "b", "c", "d"])
    }))

  it.effect("are given back by whoever fails", () =>
    Effect.gen(function*() {
      const permits = new Permits(1)
      assert.strictEqual(yield* Effect.flip(permits.use(Effect.fail("no"))), "no")
      assert.strictEqual(yield* permits.use(Effect.succeed(1)), 1)
    }))

  it("are lost by nobody who is interrupted, whenever that is", () => {
    const program = Effect.gen(function*() {
      for (const isFree of [true, false]) {
        for (let after = 0; after < 20; after++) {
          const permits = new Permits(1)
          const holder = isFree ? undefined : yield* Effect.fork(permits.use(ticks(5)))
          const user = yield* Effect.fork(permits.use(Effect.never))
          yield* ticks(after)
          yield* Fiber.interrupt(user)
          if (holder !== undefined) yield* Fiber.join(holder)
          yield* permits.use(Effect.void)
        }
      }
    })
    for (let seed = 1; seed <= 10; seed++) {
      const { exit } = Simulation.run(program, { seed, interleaving: { extraYields: 0.3 }, maxSteps: 100_000 })
      assert.isTrue(Exit.isSuccess(exit), `seed ${seed}: ${String(exit)}`)
    }
  })
})
