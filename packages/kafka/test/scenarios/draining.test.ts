/** How a run ends: in which order, in which time, and with which offsets. */
import { assert, describe, it } from "@effect/vitest"
import * as Consumer from "@sluice/kafka/Consumer"
import * as Producer from "@sluice/kafka/Producer"
import * as Fault from "@sluice/testing/Fault"
import { MemoryCluster } from "@sluice/testing/MemoryCluster"
import { Cause, Effect, Exit, Fiber, Layer, Logger, LogLevel } from "effect"

import { line, Lines } from "../producer/lines.ts"
import { awhile, committed, fill, Hands, join, type Line, moment, timed } from "./hands.ts"
import { play, playSeeds } from "./story.ts"

/** Each case in each order: the handlers' home is another one. */
const orders: ReadonlyArray<Consumer.RunOptions> = [{}, { concurrency: 2 }, { order: "key" }, { order: "none" }]

const inEachOrder = (scenario: (options: Consumer.RunOptions) => Parameters<typeof play>[0], seeds = 2): void => {
  for (const options of orders) playSeeds(scenario(options), {}, seeds)
}

/** Of one key, so that one is in hand at a time, but in no order. */
const lines = (count: number) => fill(Array.from({ length: count }, (_, i) => line(String(i), { key: "same" })))

const isInterruption = (exit: Exit.Exit<unknown, unknown>) =>
  Exit.isFailure(exit) && Cause.isInterruptedOnly(exit.cause)

const offset = Effect.map(committed(), (offsets) => offsets[0])

/** Handlers that take this long, and what became of them. */
const working = (millis: number) => {
  const state = { begun: 0, done: 0, cut: 0 }
  const handler = () =>
    Effect.suspend(() => {
      state.begun++
      return Effect.sleep(millis)
    }).pipe(Effect.onExit((exit) =>
      Effect.sync(() => {
        if (Exit.isSuccess(exit)) state.done++
        else state.cut++
      })
    ))
  return { handler, state }
}

describe("a run that is interrupted", () => {
  it("SA-S6, CL-24: in a handler lets it finish, commits it, and only then returns", () => {
    inEachOrder((options) =>
      Effect.gen(function*() {
        yield* lines(20)
        const { consumer } = yield* join({ commitInterval: "1 hour" })
        const { handler, state } = working(300)
        const run = yield* Effect.fork(consumer.run(handler, options))
        yield* awhile
        const took = yield* timed(Fiber.interrupt(run))
        assert.isAtMost(took, 350)
        assert.isTrue(isInterruption(yield* Fiber.await(run)))
        assert.strictEqual(state.cut, 0)
        assert.strictEqual(state.done, state.begun)
        assert.strictEqual(yield* offset, state.done)
      })
    )
  })

  it("SA-S6: in a commit does not cut it: what was handled meanwhile follows it", () => {
    inEachOrder((options) =>
      Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        yield* lines(100)
        const { consumer } = yield* join({ commitInterval: "100 millis" })
        const { handler, state } = working(40)
        const run = yield* Effect.fork(consumer.run(handler, options))
        yield* Effect.sleep("500 millis")
        let commits = 0
        yield* cluster.intercept(({ apiName }) => {
          if (apiName === "OffsetCommit") commits++
          return "deliver"
        })
        // The answers take so long that one is under way when the end comes.
        yield* cluster.inject(Fault.slow({}, { latency: 300, duration: "1 minute" }))
        yield* Effect.sleep("1500 millis")
        const took = yield* timed(Fiber.interrupt(run))
        assert.isAtMost(took, 2000)
        assert.isAtLeast(state.done, 20)
        assert.strictEqual(yield* offset, state.done)
        // One at a time, each of which takes 600 milliseconds there and back.
        assert.isAtMost(commits, 5)
        yield* cluster.heal
      })
    )
  })

  it("twice, and by its consumer's scope at the same time, drains once: all three wait for the same end", () => {
    inEachOrder((options) =>
      Effect.gen(function*() {
        yield* lines(20)
        const { close, consumer } = yield* join({ commitInterval: "1 hour" })
        const { handler, state } = working(1000)
        const run = yield* Effect.fork(consumer.run(handler, options))
        yield* Effect.sleep("5100 millis")
        const ends = yield* Effect.forEach([
          Fiber.interrupt(run),
          Effect.delay(Fiber.interrupt(run), "50 millis"),
          Effect.delay(close, "100 millis")
        ], (end) => Effect.fork(timed(end)))
        for (const took of yield* Effect.forEach(ends, Fiber.join)) assert.isAtMost(took, 1100)
        assert.strictEqual(state.cut, 0)
        assert.strictEqual(yield* offset, state.done)
      })
    )
  })

  it("by a parent that ends, and whose end interrupts it again, keeps its bound and its order", () => {
    inEachOrder((options) =>
      Effect.gen(function*() {
        yield* lines(20)
        const { handler, state } = working(1000)
        const ended: Array<string> = []
        const parent = yield* Effect.fork(Effect.gen(function*() {
          const child = yield* Effect.fork(Effect.scoped(Effect.gen(function*() {
            const { consumer } = yield* join({ commitInterval: "1 hour", drainTimeout: "3 seconds" })
            yield* Effect.ensuring(consumer.run(handler, options), Effect.sync(() => ended.push("run")))
          })))
          yield* Fiber.join(child)
        }))
        yield* Effect.sleep("5100 millis")
        yield* Fiber.interrupt(parent)
        yield* Effect.sleep("3 seconds")
        assert.deepStrictEqual(ended, ["run"])
        assert.strictEqual(state.cut, 0)
        assert.strictEqual(yield* offset, state.done)
      })
    )
  })

  it("SA-S5: with a handler that never ends is over after `drainTimeout`; the others are committed, up to its record", () => {
    inEachOrder((options) =>
      Effect.gen(function*() {
        yield* fill(["a", "b", "stuck", "c", "d"].map((value) => line(value, { key: value })))
        const { consumer } = yield* join({ drainTimeout: "2 seconds" })
        const hands = new Hands(({ value }) => value === "stuck")
        const run = yield* Effect.fork(consumer.run(hands.handler, options))
        yield* awhile
        const took = yield* timed(Fiber.interrupt(run))
        assert.isAtLeast(took, 2000)
        assert.isAtMost(took, 2100)
        assert.deepStrictEqual(hands.cut, ["stuck"])
        assert.strictEqual(yield* offset, 2)
        // It comes again, and what is behind it.
        const again = new Hands(() => false)
        yield* Effect.forkScoped(consumer.run(again.handler, options))
        yield* awhile
        assert.sameMembers(again.finished, ["stuck", "c", "d"])
        assert.strictEqual(yield* offset, 5)
      })
    )
  })

  it("SA-S5: with a handler that cannot be interrupted is over a second after `drainTimeout`, and takes no note of its end", () => {
    inEachOrder((options) =>
      Effect.gen(function*() {
        yield* lines(3)
        const { close, consumer } = yield* join({ commitInterval: "1 hour", drainTimeout: "1 second" })
        const run = yield* Effect.fork(
          consumer.run(() => Effect.uninterruptible(Effect.sleep("7 seconds")), options)
        )
        yield* Effect.sleep("5 seconds")
        const took = yield* timed(Fiber.interrupt(run))
        assert.isAtLeast(took, 2000)
        assert.isAtMost(took, 2200)
        yield* Effect.sleep("10 seconds")
        yield* close
        assert.strictEqual(yield* offset, undefined)
      })
    )
  })

  it("by a timeout around all of it drains as well", () => {
    inEachOrder((options) =>
      Effect.gen(function*() {
        yield* lines(50)
        const { handler, state } = working(100)
        const timedOut = yield* Effect.flatMap(join({ commitInterval: "1 hour" }), ({ consumer }) =>
          consumer.run(handler, options)).pipe(Effect.scoped, Effect.timeoutOption("2050 millis"))
        assert.strictEqual(timedOut._tag, "None")
        assert.strictEqual(state.cut, 0)
        assert.isAbove(state.done, 0)
        assert.strictEqual(yield* offset, state.done)
      })
    )
  })
})

describe("a scope that closes", () => {
  it("SA-S4: with a producer of an outer scope: no handler meets a closed producer", () => {
    inEachOrder((options) =>
      Effect.gen(function*() {
        yield* lines(20)
        const trouble: Array<string> = []
        let sent = 0
        const service = Effect.gen(function*() {
          const producer = yield* Producer.make({ linger: "20 millis" })
          const consumer = yield* Effect.map(join({ commitInterval: "1 hour" }), ({ consumer }) => consumer)
          yield* Effect.forkScoped(
            consumer.run(({ value }) =>
              Effect.delay(producer.send(line(`made of ${value}`)), "100 millis").pipe(
                Effect.match({
                  onFailure: ({ reason }) => {
                    trouble.push(reason._tag)
                  },
                  onSuccess: () => {
                    sent++
                  }
                })
              ), options)
          )
          yield* Effect.sleep("3 seconds")
        })
        // What is made is read too.
        yield* Effect.scoped(service)
        assert.deepStrictEqual(trouble, [])
        assert.isAbove(sent, 0)
        assert.strictEqual(yield* offset, sent)
      })
    )
  })

  it("SA-S7: goes on with its heartbeats while handlers drain for longer than the session lasts", () => {
    inEachOrder((options) =>
      Effect.gen(function*() {
        yield* lines(2)
        const { close, consumer } = yield* join({ sessionTimeout: "6 seconds", heartbeatInterval: "1 second" })
        const { handler, state } = working(18_000)
        yield* Effect.fork(consumer.run(handler, { ...options, concurrency: 1 }))
        yield* Effect.sleep("2 seconds")
        assert.isAtMost(yield* timed(close), 17_000)
        assert.deepStrictEqual(state, { begun: 1, done: 1, cut: 0 })
        assert.strictEqual(yield* offset, 1)
      })
    )
  })

  it("SA-S8: ends within its bounds where the broker is down", () => {
    inEachOrder((options) =>
      Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        yield* lines(5)
        const { close, consumer } = yield* join({
          commitInterval: "1 hour",
          drainTimeout: "1 second",
          closeTimeout: "2 seconds"
        })
        const { handler, state } = working(10)
        yield* Effect.fork(consumer.run(handler, options))
        yield* awhile
        assert.strictEqual(state.done, 5)
        yield* cluster.inject(Fault.crash(1))
        // The commit, and leaving.
        assert.isAtMost(yield* timed(close), 4100)
        yield* cluster.heal
      })
    )
  })

  it("SA-S9: leaves the group once; again after an answer that was lost, and takes it that it is unknown there", () => {
    play(Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const leaves: Array<string> = []
      yield* lines(1)
      const { close, consumer } = yield* join()
      yield* Effect.fork(consumer.run(() => Effect.void))
      yield* awhile
      yield* cluster.intercept(({ apiName }) => {
        if (apiName !== "LeaveGroup") return "deliver"
        leaves.push(apiName)
        return "deliver"
      })
      yield* close
      yield* awhile
      assert.lengthOf(leaves, 1)
      const second = yield* join({ closeTimeout: "5 seconds" })
      yield* Effect.fork(second.consumer.run(() => Effect.void))
      yield* awhile
      yield* cluster.intercept(({ apiName }) => {
        if (apiName !== "LeaveGroup") return "deliver"
        leaves.push(apiName)
        return leaves.length === 2 ? "dropResponse" : "deliver"
      })
      assert.isAtMost(yield* timed(second.close), 5000)
    }))
  })

  it("SA-S10: leaves no fiber, timer or connection behind", () => {
    inEachOrder((options) =>
      Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        const before = yield* cluster.connections
        yield* lines(20)
        yield* Effect.scoped(Effect.gen(function*() {
          const { consumer } = yield* join()
          yield* Effect.fork(consumer.run(working(50).handler, options))
          yield* Effect.sleep("500 millis")
        }))
        assert.isAtMost(yield* cluster.connections, before + 1)
      })
    )
  })
})

describe("a worker", () => {
  const workers = (handler: (record: Line) => Effect.Effect<unknown, string>, options: Consumer.RunOptions) =>
    Consumer.layer({ groupId: "group", topics: [Lines], commitInterval: "1 hour" }, handler, options)

  it("CL-24: whose program is interrupted finishes what it has in hand, commits it, and leaves", () => {
    inEachOrder((options) =>
      Effect.gen(function*() {
        yield* lines(20)
        const { handler, state } = working(300)
        const program = yield* Effect.fork(Layer.launch(workers(handler, options)))
        yield* awhile
        assert.isAtMost(yield* timed(Fiber.interrupt(program)), 350)
        assert.strictEqual(state.cut, 0)
        assert.strictEqual(yield* offset, state.done)
        // The next one need not wait for a session to end.
        const next = yield* join()
        const hands = new Hands(() => false)
        yield* Effect.forkScoped(next.consumer.run(hands.handler))
        yield* moment
        assert.lengthOf(hands.finished, 20 - state.done)
      })
    )
  })

  it("CL-20: that fails is not silent: it says why, and leaves the group", () => {
    inEachOrder((options) => {
      const said: Array<string> = []
      const logger = Logger.make(({ cause, logLevel, message }) => {
        if (logLevel === LogLevel.Error) said.push(`${message}: ${Cause.squash(cause)}`)
      })
      return Effect.gen(function*() {
        yield* lines(2)
        const program = yield* Layer.launch(workers(() => Effect.fail("no luck"), options)).pipe(
          Effect.provide(Logger.replace(Logger.defaultLogger, logger)),
          Logger.withMinimumLogLevel(LogLevel.Info),
          Effect.fork
        )
        yield* awhile
        assert.deepStrictEqual(said, ["the worker of group group stopped: no luck"])
        const next = yield* join()
        const hands = new Hands(() => false)
        yield* Effect.forkScoped(next.consumer.run(hands.handler))
        yield* moment
        assert.lengthOf(hands.finished, 2)
        said.length = 0
        yield* Fiber.interrupt(program)
      })
    })
  })
})
