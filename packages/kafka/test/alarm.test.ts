import { assert, describe, it } from "@effect/vitest"
import { Alarm } from "@sluice/kafka/internal/alarm"
import { monotonicMillis } from "@sluice/kafka/internal/time"
import { Effect, Fiber, TestClock } from "effect"

/** An alarm that notes when it rings, in milliseconds from its start. */
const makeAlarm = Effect.gen(function*() {
  const clock = yield* Effect.clock
  const start = monotonicMillis(clock)
  const rings: Array<number> = []
  const alarm = new Alarm(clock, Effect.sync(() => rings.push(monotonicMillis(clock) - start)))
  const fiber = yield* Effect.fork(alarm.run)
  const adjust = (millis: number) => TestClock.adjust(millis)
  return { alarm, rings, fiber, adjust, at: (millis: number) => alarm.set(start + millis) }
})

describe("an alarm", () => {
  it.effect("rings at the time that it is set to, and not before it is set again", () =>
    Effect.gen(function*() {
      const { adjust, at, rings } = yield* makeAlarm
      yield* adjust(1000)
      assert.deepStrictEqual(rings, [])
      at(1500)
      yield* adjust(499)
      assert.deepStrictEqual(rings, [])
      yield* adjust(1)
      assert.deepStrictEqual(rings, [1500])
      yield* adjust(10_000)
      assert.deepStrictEqual(rings, [1500])
      at(20_000)
      yield* adjust(10_000)
      assert.deepStrictEqual(rings, [1500, 20_000])
    }))

  it.effect("is moved by an earlier time, and not by a later one", () =>
    Effect.gen(function*() {
      const { adjust, at, rings } = yield* makeAlarm
      at(1000)
      yield* adjust(10)
      at(2000)
      at(500)
      yield* adjust(489)
      assert.deepStrictEqual(rings, [])
      at(5000)
      yield* adjust(1)
      assert.deepStrictEqual(rings, [500])
      yield* adjust(10_000)
      assert.deepStrictEqual(rings, [500])
    }))

  it.effect("rings at once for a time that has passed, and for one set before it ran", () =>
    Effect.gen(function*() {
      const { adjust, at, rings } = yield* makeAlarm
      at(0)
      yield* adjust(0)
      assert.deepStrictEqual(rings, [0])
      yield* adjust(100)
      at(50)
      yield* adjust(0)
      assert.deepStrictEqual(rings, [0, 100])
    }))

  it.effect("ends at once when it is interrupted, asleep or not", () =>
    Effect.gen(function*() {
      for (const set of [true, false]) {
        const { adjust, at, fiber, rings } = yield* makeAlarm
        if (set) at(1000)
        yield* adjust(10)
        yield* Fiber.interrupt(fiber)
        yield* adjust(10_000)
        assert.deepStrictEqual(rings, [])
      }
    }))
})
