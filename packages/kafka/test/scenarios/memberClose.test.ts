/** A member that closes while its partitions are being moved. */
import { assert, describe, it } from "@effect/vitest"
import type * as Consumer from "@sluice/kafka/Consumer"
import type { KafkaError } from "@sluice/kafka/KafkaError"
import { MemoryCluster } from "@sluice/testing/MemoryCluster"
import { Deferred, Effect, Fiber, Logger, LogLevel, Stream } from "effect"

import { committed, type Lines, member, range, until, write } from "./reading.ts"
import { play } from "./story.ts"

type Options = Partial<Consumer.ConsumerOptions<typeof Lines>>

/** Hooks that write down what they hear. */
const hooks = (heard: Array<string>): Options => {
  const hear = (name: string) => (partitions: ReadonlyArray<Consumer.TopicPartition>) =>
    Effect.suspend(() => {
      heard.push(`${name} ${partitions.map(({ partition }) => partition).sort().join()}`)
      // As one that writes its state somewhere.
      return name === "revoked" ? Effect.sleep("2 seconds") : Effect.void
    })
  return { onAssigned: hear("assigned"), onRevoked: hear("revoked"), onLost: hear("lost") }
}

/** A member with both partitions whose handlers wait, while another one joins and wants its share. */
const askedForHalf = (heard: Array<string>, options: Options = {}) =>
  Effect.gen(function*() {
    const gate = yield* Deferred.make<void>()
    for (const partition of [0, 1]) yield* write(partition, range(0, 3))
    const { close, consumer } = yield* member({ ...hooks(heard), ...options })
    const events: Array<string> = []
    yield* Effect.fork(Stream.runForEach(consumer.events, (event) =>
      Effect.sync(() => {
        if (event._tag === "Revoked" || event._tag === "Lost") {
          events.push(`${event._tag} ${event.partitions.map(({ partition }) => partition).sort().join()}`)
        }
      })))
    let busy = 0
    const run = yield* Effect.fork(consumer.run(() =>
      Effect.suspend(() => {
        busy++
        return Deferred.await(gate)
      })
    ))
    yield* until("both are at work", () => busy === 2)
    const second = yield* member({ groupId: "group", ...options })
    yield* Effect.fork(Stream.runDrain(second.consumer.records))
    // It learns of the other one by a heartbeat, and waits for its handlers.
    yield* Effect.sleep("8 seconds")
    return { close, consumer, events, gate, run, second }
  })

describe("a member that closes while it gives up partitions", () => {
  for (const assignor of ["cooperative-sticky", "range"] as const) {
    it(`tells of each once, and loses none: ${assignor}`, () => {
      play(
        Effect.gen(function*() {
          const heard: Array<string> = []
          const { close, events, gate, run } = yield* askedForHalf(heard, { assignor })
          assert.deepStrictEqual(heard, ["assigned 0,1"])
          const closing = yield* Effect.fork(close)
          yield* Effect.sleep("1 second")
          yield* Deferred.succeed(gate, undefined)
          yield* Fiber.join(closing)
          yield* Fiber.join(run)
          const [, ...given] = heard
          const partitions = given.flatMap((each) => each.replace(/^revoked /, "").split(","))
          assert.sameMembers(partitions, ["0", "1"], heard.join("; "))
          assert.sameMembers(
            events.flatMap((each) => each.replace(/^Revoked /, "").split(",")),
            ["0", "1"],
            events.join("; ")
          )
          assert.deepStrictEqual(yield* committed(), { 0: 1, 1: 1 })
        }),
        { cluster: { topics: { lines: 2 } } }
      )
    })
  }
})

describe("a member that closes", () => {
  it("takes nothing more, also where its handlers take long and others leave meanwhile", () => {
    play(
      Effect.gen(function*() {
        const heard: Array<string> = []
        const other = yield* member()
        yield* Effect.fork(Stream.runDrain(other.consumer.records))
        const { close, consumer } = yield* member(hooks(heard))
        yield* until("shared", Effect.map(consumer.assignment.get, ({ length }) => length === 1))
        for (const partition of [0, 1]) yield* write(partition, [1])
        let isBusy = false
        yield* Effect.fork(consumer.run(() =>
          Effect.suspend(() => {
            isBusy = true
            return Effect.sleep("15 seconds")
          })
        ))
        yield* until("at work", () => isBusy)
        const mine = (yield* consumer.assignment.get).map(({ partition }) => partition).join()
        const closing = yield* Effect.fork(close)
        yield* other.close
        yield* Effect.sleep("10 seconds")
        assert.strictEqual((yield* consumer.assignment.get).length, 1)
        yield* Fiber.join(closing)
        assert.deepStrictEqual(heard, [`assigned ${mine}`, `revoked ${mine}`])
        assert.strictEqual((yield* committed())[Number(mine)], 1)
      }),
      { cluster: { topics: { lines: 2 } } }
    )
  })
})

describe("a member one of whose fibers dies", () => {
  it.each(["generation 1: ", "fetch from broker 1 failed"])(
    "fails its run with that, instead of standing still: %s",
    (line) => {
      const logger = Logger.make(({ message }) => {
        if (String(message).includes(line)) throw new Error("a logger that throws")
      })
      play(
        Effect.gen(function*() {
          const cluster = yield* MemoryCluster
          const { close, consumer } = yield* member()
          yield* Effect.forkScoped(
            Effect.zipRight(Effect.sleep("10 seconds"), Effect.zipRight(cluster.stopBroker(1), cluster.startBroker(1)))
          )
          const error = yield* Effect.flip(consumer.run(() => Effect.void)).pipe(
            Effect.timeoutFail({ duration: "1 minute", onTimeout: () => new Error("stands still") })
          )
          assert.deepInclude(error, { _tag: "FatalError", scope: "client" })
          assert.strictEqual((error as KafkaError).reason._tag, "ClientDefect")
          assert.strictEqual(((error as KafkaError).cause as Error).message, "a logger that throws")
          assert.strictEqual((yield* consumer.health.get).status, "failed")
          yield* close
        }).pipe(
          Effect.provide(Logger.replace(Logger.defaultLogger, logger)),
          Logger.withMinimumLogLevel(LogLevel.Debug)
        )
      )
    }
  )
})
