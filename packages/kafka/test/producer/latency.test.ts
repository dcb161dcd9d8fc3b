import { assert, describe, it } from "@effect/vitest"
import * as Producer from "@sluice/kafka/Producer"
import * as Simulation from "@sluice/testing/Simulation"
import { Cause, Clock, Duration, Effect, Exit, Fiber, Logger, LogLevel, Random } from "effect"

import { memory } from "../support/memory.ts"
import { line } from "./lines.ts"

/** From client to broker, or back. */
const latency = 10
const roundTrip = 2 * latency

const pick = <A>(values: ReadonlyArray<A>) =>
  Effect.map(Random.nextIntBetween(0, values.length), (index) => values[index]!)

/** Sends at random for a while, all being well; gives the longest time from acceptance to acknowledgement, and its bound. */
const run = Effect.gen(function*() {
  const linger = yield* pick([0, 0, 5, 100])
  const producer = yield* Producer.make({
    linger,
    acks: yield* pick(["none", "leader", "all"] as const),
    compression: yield* pick(["none", "gzip"] as const)
  })
  // Connections are opened by the first records.
  yield* Effect.forEach([0, 1, 2, 3], (partition) => producer.send(line("first", { partition })), { concurrency: 4 })
  const latencies: Array<number> = []
  const acks: Array<Fiber.Fiber<void, unknown>> = []
  const timed = (send: Effect.Effect<unknown, unknown>) =>
    Effect.gen(function*() {
      const [took] = yield* Effect.timed(send)
      latencies.push(Duration.toMillis(took))
    })
  const sender = Effect.gen(function*() {
    for (let i = 0; i < 40; i++) {
      const record = line("x".repeat(yield* pick([1, 50, 150])), { partition: yield* pick([0, 1, 2, 3, undefined]) })
      const way = yield* pick(["send", "enqueue", "flush"])
      if (way === "send") yield* timed(producer.send(record))
      else acks.push(yield* Effect.forkDaemon(timed(Effect.flatten(producer.enqueue(record)))))
      if (way === "flush") {
        const start = yield* Clock.currentTimeMillis
        yield* producer.flush
        assert.isAtMost((yield* Clock.currentTimeMillis) - start, 2 * roundTrip, "a flush does not linger")
      }
      yield* Effect.sleep(yield* pick([0, 1, 7, 30, 200]))
    }
  })
  const senders = yield* Effect.forEach([1, 2, 3, 4], () => Effect.fork(sender))
  yield* Fiber.join(Fiber.all(senders))
  yield* producer.flush
  yield* Fiber.join(Fiber.all(acks))
  // The batch before it may be on its way when a record is accepted.
  return { longest: Math.max(...latencies), bound: linger + 2 * roundTrip, count: latencies.length }
}).pipe(
  Effect.scoped,
  Logger.withMinimumLogLevel(LogLevel.None),
  Effect.provide(memory({ brokers: 2, topics: { lines: 4 }, latency }))
)

describe("a producer of a cluster that is well", () => {
  it("lets no record wait longer than for linger, the batch before it and its own", () => {
    for (let seed = 1; seed <= 10; seed++) {
      const { exit, leftovers } = Simulation.run(run, {
        seed,
        interleaving: { extraYields: seed % 2 === 0 ? 0.05 : 0 }
      })
      if (Exit.isFailure(exit)) throw new Error(`seed ${seed}: ${Cause.pretty(exit.cause, { renderErrorCause: true })}`)
      assert.strictEqual(exit.value.count, 160)
      assert.isAtMost(exit.value.longest, exit.value.bound, `seed ${seed}`)
      assert.deepStrictEqual(leftovers, [], `seed ${seed}`)
    }
  })
})
