import { assert, describe, it } from "@effect/vitest"
import { Clock, Deferred, Effect, Fiber } from "effect"

import { Turn, Turns } from "../../src/internal/consumer/turns.ts"

/** A clock that is put by hand. */
const clockAt = (time: { millis: number }): Clock.Clock => ({
  ...Clock.make(),
  unsafeCurrentTimeMillis: () => time.millis
})

const setUp = (count: number, of = 3) => {
  const time = { millis: 1_000 }
  const turns = new Turns(count)
  return { time, turns, each: Array.from({ length: of }, () => new Turn(turns, clockAt(time))) }
}

const states = (each: ReadonlyArray<Turn>): string => each.map(({ isHeld }) => isHeld ? "1" : "0").join("")

describe("turns", () => {
  it.effect("are had by so many at a time, in the order in which they came", () =>
    Effect.gen(function*() {
      const { each } = setUp(2, 4)
      const fibers = yield* Effect.forEach(each, ({ wait }) => Effect.tap(Effect.fork(wait), Effect.yieldNow()))
      assert.strictEqual(states(each), "1100")
      each[1]!.end()
      assert.strictEqual(states(each), "1010")
      each[0]!.end()
      each[0]!.end()
      assert.strictEqual(states(each), "0011")
      yield* Fiber.joinAll(fibers)
    }))

  it.effect("are kept while nobody waits, and for a moment then", () =>
    Effect.gen(function*() {
      const { each: [first, second], time } = setUp(1)
      yield* first!.wait
      time.millis += 1_000
      first!.stepped()
      assert.isTrue(first!.isHeld)
      const fiber = yield* Effect.fork(second!.wait)
      yield* Effect.yieldNow()
      assert.isFalse(second!.isHeld)
      first!.stepped()
      assert.isFalse(first!.isHeld)
      yield* Fiber.join(fiber)
      assert.isTrue(second!.isHeld)
    }))

  it.effect("are over after many steps, whatever the clock says", () =>
    Effect.gen(function*() {
      const { each: [first, second], time } = setUp(1)
      yield* first!.wait
      yield* Effect.fork(second!.wait)
      yield* Effect.yieldNow()
      for (let step = 1; step < 1_000; step++) first!.stepped()
      assert.isTrue(first!.isHeld)
      first!.stepped()
      assert.isTrue(second!.isHeld)
      yield* Effect.fork(first!.wait)
      yield* Effect.yieldNow()
      time.millis -= 1
      second!.stepped()
      assert.isTrue(first!.isHeld)
    }))

  it.effect("are not lost with one that was interrupted, before its turn or as it came", () =>
    Effect.gen(function*() {
      const { each: [first, second, third], turns } = setUp(1)
      yield* first!.wait
      const waiting = yield* Effect.fork(Effect.ensuring(second!.wait, Effect.sync(() => second!.end())))
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(waiting)
      assert.isFalse(turns.isWanted)

      const begun = yield* Deferred.make<void>()
      const coming = yield* Effect.fork(
        Effect.ensuring(
          Effect.zipRight(Deferred.succeed(begun, undefined), third!.wait),
          Effect.sync(() => third!.end())
        )
      )
      yield* Deferred.await(begun)
      yield* Effect.yieldNow()
      // The turn is its own before its fiber goes on.
      first!.end()
      assert.isTrue(third!.isHeld)
      yield* Fiber.interrupt(coming)
      yield* second!.wait
      assert.strictEqual(states([first!, second!, third!]), "010")
    }))
})
