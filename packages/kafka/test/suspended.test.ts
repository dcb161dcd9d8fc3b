import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber } from "effect"

import { Instruction, suspended } from "../src/internal/suspended.ts"

type Resume = (effect: Effect.Effect<number, string>) => void

describe("suspended", () => {
  it("is what Effect's own runtime runs to wait", () => {
    assert.isDefined(Instruction, "Effect is not built as it was: waits cost what those of Effect.async do")
  })

  it.effect("waits until it is resumed, by a value, a failure or an effect, then or at once", () =>
    Effect.gen(function*() {
      let resume: Resume = () => {}
      const waiting = yield* Effect.fork(Effect.flip(suspended<number, string>((given) => {
        resume = given
      })))
      yield* Effect.yieldNow()
      assert.isNull(waiting.unsafePoll())
      resume(Effect.fail("no"))
      // The first counts.
      resume(Effect.succeed(1))
      assert.strictEqual(yield* Fiber.join(waiting), "no")
      assert.strictEqual(yield* suspended<number>((given) => given(Effect.sync(() => 2))), 2)
    }))

  it.effect("is interrupted, and what is resumed then goes nowhere", () =>
    Effect.gen(function*() {
      const resumes: Array<Resume> = []
      const seen: Array<number> = []
      const wait = Effect.tap(
        suspended<number, string>((given) => {
          resumes.push(given)
        }),
        (value) => Effect.sync(() => seen.push(value))
      )
      const first = yield* Effect.fork(wait)
      yield* Effect.yieldNow()
      assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(first)))
      const second = yield* Effect.fork(wait)
      yield* Effect.yieldNow()
      resumes[0]!(Effect.succeed(1))
      resumes[1]!(Effect.succeed(2))
      yield* Fiber.join(second)
      assert.deepStrictEqual(seen, [2])
    }))

  it.effect("goes on to wait where it cannot be interrupted", () =>
    Effect.gen(function*() {
      let resume: Resume = () => {}
      const waiting = yield* Effect.fork(Effect.uninterruptible(suspended<number, string>((given) => {
        resume = given
      })))
      yield* Effect.yieldNow()
      const interrupting = yield* Effect.fork(Fiber.interrupt(waiting))
      yield* Effect.yieldNow()
      assert.isNull(waiting.unsafePoll())
      resume(Effect.succeed(3))
      yield* Fiber.await(interrupting)
      assert.isNotNull(waiting.unsafePoll())
    }))

  it.effect("dies of what its registration throws", () =>
    Effect.gen(function*() {
      const cause = yield* Effect.sandbox(suspended(() => {
        throw new Error("thrown")
      })).pipe(Effect.flip)
      assert.include(Cause.pretty(cause), "thrown")
    }))
})
