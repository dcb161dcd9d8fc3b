import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"

import { Signal } from "../../src/internal/consumer/signal.ts"

describe("Signal", () => {
  it.effect("wakes all that wait", () =>
    Effect.gen(function*() {
      const signal = new Signal()
      const waiting = yield* Effect.fork(
        Effect.all([signal.wait(signal.version), signal.wait(signal.version)], { concurrency: 2 })
      )
      yield* Effect.yieldNow()
      assert.isNull(waiting.unsafePoll())
      signal.notify()
      yield* Fiber.join(waiting)
    }))

  it.effect("does not lose what happens between a look and the wait", () =>
    Effect.gen(function*() {
      const signal = new Signal()
      const { version } = signal
      signal.notify()
      yield* signal.wait(version)
      assert.strictEqual(signal.version, version + 1)
    }))

  it.effect("wakes who waits after others that were interrupted", () =>
    Effect.gen(function*() {
      const signal = new Signal()
      const { version } = signal
      const first = yield* Effect.fork(signal.wait(version))
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(first)
      // It was interrupted where that cannot be: it waits on.
      const second = yield* Effect.fork(Effect.uninterruptible(signal.wait(version)))
      yield* Effect.yieldNow()
      yield* Fiber.interruptFork(second)
      const third = yield* Effect.fork(signal.wait(version))
      yield* Effect.yieldNow()
      signal.notify()
      yield* Fiber.await(second)
      yield* Fiber.join(third)
    }))

  it.effect("wakes thousands, and none that ended", () =>
    Effect.gen(function*() {
      const signal = new Signal()
      const { version } = signal
      const ended = yield* Effect.forEach(Array.from({ length: 3_000 }), () => Effect.fork(signal.wait(version)))
      yield* Effect.yieldNow()
      yield* Fiber.interruptAll(ended)
      const waiting = yield* Effect.forEach(Array.from({ length: 3_000 }), () => Effect.fork(signal.wait(version)))
      yield* Effect.yieldNow()
      signal.notify()
      yield* Fiber.joinAll(waiting)
    }))

  it.effect("passes on to another signal", () =>
    Effect.gen(function*() {
      const [signal, other] = [new Signal(), new Signal()]
      signal.alsoNotify = other
      const { version } = other
      signal.notify()
      yield* other.wait(version)
      assert.strictEqual(other.version, version + 1)
    }))
})
