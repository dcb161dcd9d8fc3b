/** The making of a producer: wrong settings, refused credentials, and what it is without any settings. */
import { assert, describe, it } from "@effect/vitest"
import type { RequestOf } from "@sluice/kafka/internal/protocol/field"
import * as Producer from "@sluice/kafka/Producer"
import { MemoryCluster } from "@sluice/testing/MemoryCluster"
import { Clock, Effect, Layer, Schedule, Stream } from "effect"

import { count, line, values } from "../producer/lines.ts"
import type { Produce } from "../producer/wire.ts"
import { Wires, written } from "../producer/wire.ts"
import { outcome, play } from "./story.ts"

/** A stream that makes its own producer. */
const streamOf = (options: Producer.ProducerOptions) =>
  Effect.scoped(Effect.flatMap(
    Producer.make(options),
    (producer) => Stream.run(Stream.make(line("a"), line("b")), producer.sink)
  ))

describe("a producer that cannot work", () => {
  it("SA-P18: fails its stream: at once for a setting, and within the API timeout for brokers that are not there", () => {
    play(Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const wire = yield* Wires
      const start = yield* Clock.currentTimeMillis
      for (
        const options of [{ batchBytes: -1 }, { acks: "some" as never }, { acks: "none", idempotent: true } as const]
      ) {
        const error = yield* Effect.flip(streamOf(options))
        assert.deepStrictEqual([error._tag, error.reason._tag], ["FatalError", "InvalidArgument"])
      }
      assert.strictEqual(yield* Clock.currentTimeMillis, start)
      assert.deepStrictEqual(wire.connects, [])
      yield* cluster.stopBroker(1)
      const error = yield* Effect.flip(streamOf({}))
      assert.deepStrictEqual([error._tag, error.reason._tag], ["RetriableError", "BrokersUnavailable"])
      assert.isAtMost((yield* Clock.currentTimeMillis) - start, 60_000)
      yield* cluster.startBroker(1)
      yield* streamOf({})
      assert.deepStrictEqual(yield* values(), ["a", "b"])
    }))
  })

  it("SA-P19: for its credentials is made again as often as a schedule says, and then says why; or works when they do", () => {
    play(Effect.gen(function*() {
      const wire = yield* Wires
      const start = yield* Clock.currentTimeMillis
      const make = Effect.retry(streamOf({}), Schedule.intersect(Schedule.recurs(3), Schedule.spaced("1 second")))
      wire.refuse = () => "AuthenticationFailed"
      const error = yield* Effect.flip(make)
      assert.deepStrictEqual([error._tag, error.reason._tag], ["FatalError", "AuthenticationFailed"])
      assert.lengthOf(wire.connects, 4, "one attempt each: the client does not try by itself")
      assert.strictEqual((yield* Clock.currentTimeMillis) - start, 3000)
      let refused = 0
      wire.refuse = () => refused++ < 2 ? "AuthenticationFailed" : undefined
      yield* make
      assert.deepStrictEqual(yield* values(), ["a", "b"])
    }))
  })

  for (const reason of ["TlsFailed", "AuthenticationFailed"] as const) {
    it(`FM-25: is told so at once, and does not try again (${reason}), when it is made and when it sends`, () => {
      play(Effect.gen(function*() {
        const wire = yield* Wires
        const start = yield* Clock.currentTimeMillis
        wire.refuse = () => reason
        const error = yield* Effect.flip(Effect.scoped(Producer.make()))
        assert.deepStrictEqual([error._tag, error.reason._tag, error.scope], ["FatalError", reason, "client"])
        assert.lengthOf(wire.connects, 1)
        wire.refuse = () => undefined
        const producer = yield* Producer.make()
        wire.refuse = () => reason
        const connects = wire.connects.length
        const failed = yield* Effect.flip(producer.send(line("x")))
        assert.deepStrictEqual([failed._tag, outcome(failed)], ["FatalError", `${reason} no`])
        assert.lengthOf(wire.connects, connects + 1)
        assert.isBelow((yield* Clock.currentTimeMillis) - start, 1000)
        yield* Effect.sleep("2 seconds")
      }))
    })
  }
})

describe("a producer without settings", () => {
  it("CL-10: loses nothing: acks all, idempotent, retried for two minutes, and every outcome is told", () => {
    play(
      Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        const wire = yield* Wires
        yield* cluster.createTopic("lines", { config: { "min.insync.replicas": "2" } })
        const reports: Array<string> = []
        const producer = yield* Producer.make({
          onDelivery: {
            handler: (delivery) =>
              Effect.sync(() =>
                reports.push(delivery._tag === "Failed" ? outcome(delivery.error) : `at ${delivery.metadata.offset}`)
              )
          }
        })
        yield* producer.send(line("0"))
        const { acks } = wire.requests.find(({ api }) => api === "Produce")!.body as RequestOf<typeof Produce>
        assert.strictEqual(acks, -1)
        assert.isAtLeast(written(wire)[0]!.producerId, 0)
        for (const id of [2, 3]) yield* cluster.stopBroker(id)
        const retried = yield* producer.enqueue(line("1"))
        yield* Effect.sleep("1 minute")
        yield* cluster.startBroker(2)
        yield* retried
        yield* cluster.stopBroker(2)
        const start = yield* Clock.currentTimeMillis
        assert.strictEqual(outcome(yield* Effect.flip(producer.send(line("2")))), "DeliveryTimeout no")
        assert.strictEqual((yield* Clock.currentTimeMillis) - start, 120_000)
        yield* Effect.sleep("1 second")
        assert.deepStrictEqual(reports, ["at 0", "at 1", "DeliveryTimeout no"])
        for (const id of [2, 3]) yield* cluster.startBroker(id)
        assert.deepStrictEqual(yield* values(), ["0", "1"])
      }),
      { cluster: { brokers: 3, topics: {} } }
    )
  })
})

describe("a producer that would rather hear soon", () => {
  it("CL-10: with three retries a failure is told soon and says that nothing is written: sent again, there is no copy", () => {
    play(
      Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        const wire = yield* Wires
        yield* cluster.createTopic("lines", { config: { "min.insync.replicas": "2" } })
        const producer = yield* Producer.make({ retries: 3 })
        yield* producer.send(line("0"))
        for (const id of [2, 3]) yield* cluster.stopBroker(id)
        // The leader needs a while to see that nobody follows.
        yield* Effect.sleep("1 minute")
        const attempts = written(wire).length
        const start = yield* Clock.currentTimeMillis
        const error = yield* Effect.flip(producer.send(line("1")))
        assert.strictEqual(outcome(error), "NotEnoughReplicas no")
        assert.strictEqual(error._tag, "RetriableError")
        assert.strictEqual(written(wire).length - attempts, 4)
        assert.isBelow((yield* Clock.currentTimeMillis) - start, 2000)
        yield* Effect.fork(Effect.delay(cluster.startBroker(2), "30 seconds"))
        yield* producer.send(line("1")).pipe(
          Effect.retry({
            while: (error) => error._tag === "RetriableError" && error.persisted === "no",
            schedule: Schedule.spaced("1 second")
          })
        )
        yield* cluster.startBroker(3)
        assert.deepStrictEqual(yield* values(), ["0", "1"])
      }),
      { cluster: { brokers: 3, topics: {} } }
    )
  })
})

describe("a producer that many share", () => {
  class Shared extends Producer.Tag("test/Shared")<Shared>() {}

  it("CL-8: is made once, by one layer, and serves them over its few connections", () => {
    play(
      Effect.gen(function*() {
        const wire = yield* Wires
        const sender = (name: string) =>
          Effect.flatMap(
            Shared,
            (producer) =>
              Effect.forEach(count(20), (value) =>
                producer.send(line(`${name} ${value}`, { partition: Number(value) % 3 })))
          )
        yield* Effect.forEach(count(50), sender, { concurrency: "unbounded" }).pipe(
          Effect.provide(Layer.fresh(Shared.layer()))
        )
        assert.lengthOf(wire.requests.filter(({ api }) => api === "InitProducerId"), 1)
        // Each broker once for records, and once at most for metadata.
        assert.isAtMost(wire.connects.length, 6)
        for (const partition of [0, 1, 2]) {
          const stored = yield* values(partition)
          for (const name of count(50)) {
            assert.deepStrictEqual(
              stored.filter((value) => value.startsWith(`${name} `)),
              count(20).filter((value) => Number(value) % 3 === partition).map((value) => `${name} ${value}`)
            )
          }
        }
      }),
      { cluster: { brokers: 3, topics: { lines: 3 } } }
    )
  })
})
