import { assert, describe, it } from "@effect/vitest"
import * as Simulation from "@sluice/testing/Simulation"
import { Effect, Exit, Fiber } from "effect"

import { Latch } from "../src/internal/latch.ts"

describe("Latch", () => {
  it.effect("lets through while it is open, and wakes who waits when it opens", () =>
    Effect.gen(function*() {
      const latch = new Latch(true)
      yield* latch.await
      latch.close()
      const waiting = yield* Effect.fork(latch.await)
      yield* Effect.yieldNow()
      assert.isNull(waiting.unsafePoll())
      latch.open()
      yield* Fiber.join(waiting)
      yield* latch.await
    }))

  it.effect("takes a wait for another that was interrupted", () =>
    Effect.gen(function*() {
      const latch = new Latch(false)
      const first = yield* Effect.fork(latch.await)
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(first)
      const second = yield* Effect.fork(latch.await)
      yield* Effect.yieldNow()
      latch.open()
      yield* Fiber.join(second)
    }))

  it("misses no opening, wherever it comes", () => {
    const program = Effect.gen(function*() {
      for (let after = 0; after < 10; after++) {
        const latch = new Latch(false)
        const waiting = yield* Effect.fork(latch.await)
        yield* Effect.repeatN(Effect.yieldNow(), after)
        latch.open()
        yield* Fiber.join(waiting)
      }
    })
    for (let seed = 1; seed <= 10; seed++) {
      const { exit } = Simulation.run(program, { seed, interleaving: { extraYields: 0.3 }, maxSteps: 100_000 })
      assert.isTrue(Exit.isSuccess(exit), `seed ${seed}: ${String(exit)}`)
    }
  })
})
