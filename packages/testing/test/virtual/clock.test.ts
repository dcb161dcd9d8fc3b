import { assert, describe, it } from "@effect/vitest"
import { Clock, Deferred, Duration, Effect, Exit, FastCheck, Fiber, Schedule } from "effect"

import { wallStart } from "../../src/internal/virtual/clock.ts"
import * as Simulation from "../../src/Simulation.ts"

const succeed = <A, E>(program: Effect.Effect<A, E>, options?: Simulation.Options): A => {
  const { exit, leftovers } = Simulation.run(program, options)
  if (Exit.isFailure(exit)) throw new Error(`the program failed: ${exit.cause}`)
  assert.deepStrictEqual(leftovers, [])
  return exit.value
}

describe("a virtual clock", () => {
  it("moves by what is slept, and by nothing else", () => {
    const [before, after, elapsed] = succeed(Effect.gen(function*() {
      const before = yield* Clock.currentTimeMillis
      for (let i = 0; i < 1000; i++) yield* Effect.yieldNow()
      yield* Effect.sleep("90 minutes")
      yield* Effect.sleep(Duration.nanos(1_500_000n))
      return [before, yield* Clock.currentTimeMillis, yield* Clock.currentTimeNanos]
    }))
    assert.strictEqual(before, Date.UTC(2026, 0, 1))
    assert.strictEqual(after, wallStart + 5_400_001, "whole milliseconds")
    assert.strictEqual(elapsed, 5_400_001_500_000n)
  })

  it.prop(
    "wakes everybody at the time and in the order of the times",
    [FastCheck.array(FastCheck.integer({ min: 0, max: 1000 }), { maxLength: 100 }), FastCheck.boolean()],
    ([durations, hasExtraYields]) => {
      const woken = succeed(
        Effect.gen(function*() {
          const woken: Array<{ readonly duration: number; readonly time: number }> = []
          yield* Effect.forEach(durations, (duration) =>
            Effect.gen(function*() {
              yield* Effect.sleep(duration)
              woken.push({ duration, time: (yield* Clock.currentTimeMillis) - wallStart })
            }), { concurrency: "unbounded" })
          return woken
        }),
        { interleaving: { extraYields: hasExtraYields ? 0.05 : 0 } }
      )
      assert.deepStrictEqual(woken.map(({ time }) => time), woken.map(({ duration }) => duration))
      assert.deepStrictEqual(woken.map(({ time }) => time), durations.slice().sort((one, other) => one - other))
    }
  )

  it("forgets a sleep that is interrupted, wherever the interruption comes", () => {
    for (let seed = 1; seed <= 200; seed++) {
      const { leftovers, time } = Simulation.run(
        Effect.gen(function*() {
          const fiber = yield* Effect.fork(Effect.sleep("1 hour"))
          for (let turn = 0; turn < seed % 3; turn++) yield* Effect.yieldNow()
          yield* Fiber.interrupt(fiber)
        }),
        { seed, interleaving: { extraYields: 0.3 } }
      )
      assert.deepStrictEqual(leftovers, [])
      assert.strictEqual(time, 0)
    }
  })

  it("never wakes who sleeps for ever", () => {
    const time = succeed(
      Effect.sleep(Duration.infinity).pipe(Effect.timeoutOption("3 hours"), Effect.zipRight(Clock.currentTimeMillis))
    )
    assert.strictEqual(time, wallStart + 3 * 3_600_000)
  })

  it("moves its wall clock and no sleep when it jumps", () => {
    for (const jump of [3_600_000, -3_600_000]) {
      const seen = succeed(Effect.gen(function*() {
        const ticks: Array<bigint> = []
        const done = yield* Deferred.make<void>()
        yield* Effect.fork(Effect.zipRight(Effect.sleep("10 seconds"), Deferred.succeed(done, undefined)))
        const ticking = yield* Clock.currentTimeNanos.pipe(
          Effect.map((nanos) => ticks.push(nanos / 1_000_000n)),
          Effect.repeat(Schedule.spaced("2 seconds")),
          Effect.fork
        )
        yield* Effect.sleep("3 seconds")
        yield* Simulation.jumpClock(jump)
        const wall = yield* Clock.currentTimeMillis
        yield* Deferred.await(done)
        yield* Fiber.interrupt(ticking)
        return { wall, ticks, wallAtEnd: yield* Clock.currentTimeMillis, elapsed: yield* Clock.currentTimeNanos }
      }))
      assert.strictEqual(seen.wall, wallStart + 3000 + jump)
      assert.strictEqual(seen.wallAtEnd, wallStart + 10_000 + jump)
      assert.strictEqual(seen.elapsed, 10_000_000_000n)
      assert.deepStrictEqual(seen.ticks.slice(0, 5), [0n, 2000n, 4000n, 6000n, 8000n])
    }
  })

  it("does not jump to no time at all", () => {
    assert.throws(() => succeed(Simulation.jumpClock(NaN)), "The clock cannot jump by NaN ms")
  })

  it.effect("cannot jump outside of a simulation", () =>
    Effect.gen(function*() {
      const exit = yield* Effect.exit(Simulation.jumpClock(5))
      assert.include(String(exit), "only the clock of a simulation can jump")
    }))
})
