import { assert, describe, it } from "@effect/vitest"
import * as Producer from "@sluice/kafka/Producer"
import { MemoryCluster } from "@sluice/testing/MemoryCluster"
import { Chunk, Clock, Config, ConfigProvider, Context, Effect, Exit, Fiber, Layer, Scope, Stream } from "effect"

import { play } from "../scenarios/story.ts"
import { count, line } from "./lines.ts"
import { Wires, written } from "./wire.ts"

const well: Producer.Health = {
  bufferedRecords: 0,
  bufferedBytes: 0,
  inFlightRecords: 0,
  waitingSenders: 0,
  unhandledReports: 0,
  partitions: [],
  brokers: []
}

describe("the health of a producer", () => {
  it("holds nothing against a broker that nothing waits for", () => {
    play(Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const producer = yield* Producer.make({ deliveryTimeout: "2 seconds" })
      yield* producer.send(line("0"))
      yield* cluster.stopBroker(1)
      const lost = yield* Effect.fork(Effect.either(producer.send(line("1"))))
      yield* Effect.sleep("1 second")
      assert.lengthOf((yield* producer.health.get).brokers, 1)
      yield* Fiber.join(lost)
      yield* cluster.startBroker(1)
      assert.deepStrictEqual(yield* producer.health.get, well)
    }))
  })

  it("says what is in hand", () => {
    play(Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const producer = yield* Producer.make({ bufferBytes: 4000, maxRecordBytes: 1000 })
      assert.deepStrictEqual(yield* producer.health.get, well)
      yield* producer.send(line("0"))
      assert.deepStrictEqual(yield* producer.health.get, well)
      yield* cluster.pauseBroker(1)
      const senders = yield* Effect.fork(
        Effect.forEach(count(9), () => producer.send(line("x".repeat(500))), { concurrency: "unbounded" })
      )
      yield* Effect.sleep("500 millis")
      const { bufferedBytes, bufferedRecords, inFlightRecords, waitingSenders } = yield* producer.health.get
      assert.isAbove(waitingSenders, 0)
      assert.strictEqual(bufferedRecords + waitingSenders, 9)
      assert.isAbove(inFlightRecords, 0)
      assert.isAtMost(inFlightRecords, bufferedRecords)
      assert.isAbove(bufferedBytes, 500 * bufferedRecords)
      assert.isAtMost(bufferedBytes, 4000)
      yield* cluster.resumeBroker(1)
      yield* Fiber.join(senders)
      assert.deepStrictEqual(yield* producer.health.get, well)
    }))
  })

  it("names partitions and brokers in trouble while they are, with the last error", () => {
    play(
      Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        yield* cluster.createTopic("lines", { partitions: 2, replicas: 1 })
        const wire = yield* Wires
        const producer = yield* Producer.make()
        for (const partition of [0, 1]) yield* producer.send(line("0", { partition }))
        const { address } = written(wire).find(({ partition }) => partition === 1)!
        const leader = Number(/\d/.exec(address)![0])
        yield* cluster.stopBroker(leader)
        const sending = yield* Effect.fork(producer.send(line("1", { partition: 1 })))
        yield* producer.send(line("1", { partition: 0 }))
        yield* Effect.sleep("10 seconds")
        const { bufferedRecords, partitions } = yield* producer.health.get
        assert.strictEqual(bufferedRecords, 1)
        assert.deepStrictEqual(
          partitions.map((
            { bufferedRecords, leader, partition, topic }
          ) => [topic, partition, leader, bufferedRecords]),
          [["lines", 1, undefined, 1]]
        )
        yield* cluster.startBroker(leader)
        yield* Fiber.join(sending)
        assert.deepStrictEqual(yield* producer.health.get, well)
      }),
      { cluster: { brokers: 2, topics: {} } }
    )
  })

  it("names a broker that takes no connections, until it does", () => {
    play(
      Effect.gen(function*() {
        const address = "broker-2.memory:9092"
        const wire = yield* Wires
        wire.refuse = (at) => at === address ? "ConnectFailed" : undefined
        const producer = yield* Producer.make()
        const sending = yield* Effect.fork(
          Effect.forEach([0, 1], (partition) => producer.send(line("1", { partition })), { concurrency: "unbounded" })
        )
        yield* Effect.sleep("5 seconds")
        const { brokers, partitions } = yield* producer.health.get
        assert.deepStrictEqual(
          brokers.map(({ broker, error }) => [broker, error.reason._tag]),
          [[address, "ConnectionLost"]]
        )
        assert.deepStrictEqual(
          partitions.map(({ bufferedRecords, error, leader }) => [leader, bufferedRecords, error?.reason._tag]),
          [[2, 1, "ConnectionLost"]]
        )
        wire.refuse = () => undefined
        yield* Fiber.join(sending)
        assert.deepStrictEqual(yield* producer.health.get, well)
      }),
      { cluster: { brokers: 2, topics: { lines: 2 } } }
    )
  })

  it("as a stream ends when the producer does, with what it is then; and has that afterwards", () => {
    play(Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const scope = yield* Scope.make()
      const producer = yield* Scope.extend(Producer.make({ closeTimeout: "3 seconds" }), scope)
      yield* producer.send(line("0"))
      const changes = yield* producer.health.changes.pipe(
        Stream.map(({ partitions }) => partitions.length),
        Stream.runCollect,
        Effect.fork
      )
      yield* cluster.pauseBroker(1)
      const sending = yield* Effect.fork(Effect.either(producer.send(line("1"))))
      yield* Effect.sleep("5 seconds")
      const before = yield* Clock.currentTimeMillis
      yield* Scope.close(scope, Exit.void)
      yield* Fiber.join(sending)
      assert.deepStrictEqual(Chunk.toReadonlyArray(yield* Fiber.join(changes)), [0, 1, 0])
      assert.isAtMost((yield* Clock.currentTimeMillis) - before, 3100)
      assert.deepStrictEqual(Chunk.toReadonlyArray(yield* Stream.runCollect(producer.health.changes)), [well])
      yield* cluster.resumeBroker(1)
    }))
  })

  it("as a stream has what it is now, each change of the trouble, and ends with the producer", () => {
    play(Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const scope = yield* Scope.make()
      const producer = yield* Scope.extend(Producer.make(), scope)
      yield* producer.send(line("0"))
      const start = yield* Clock.currentTimeMillis
      const changes = yield* producer.health.changes.pipe(
        Stream.mapEffect(({ partitions }) =>
          Effect.map(
            Clock.currentTimeMillis,
            (now) => [Math.floor((now - start) / 10_000), partitions.map(({ error }) => error?.reason._tag)] as const
          )
        ),
        Stream.runCollect,
        Effect.fork
      )
      yield* Effect.sleep("11 seconds")
      yield* cluster.pauseBroker(1)
      const sending = yield* Effect.fork(producer.send(line("1")))
      yield* Effect.sleep("10 seconds")
      yield* cluster.resumeBroker(1)
      yield* Fiber.join(sending)
      yield* Effect.sleep("10 seconds")
      yield* Scope.close(scope, Exit.void)
      const seen = Chunk.toReadonlyArray(yield* Fiber.join(changes))
      assert.deepStrictEqual(seen[0], [0, []])
      assert.deepStrictEqual(seen[1]?.[1], ["RequestTimeout"])
      assert.deepStrictEqual(seen.at(-1)?.[1], [])
      assert.isAtMost(seen.length, 5)
    }))
  })
})

describe("a producer's layer", () => {
  class Billing extends Producer.Tag("test/Billing")<Billing, number>() {}

  const configured = (settings: ReadonlyArray<readonly [string, string]>) =>
    Billing.layerConfig({
      acks: Config.literal("all", "leader", "none")("ACKS"),
      bufferBytes: Config.withDefault(Config.integer("BUFFER"), 1024 * 1024),
      onDelivery: { handler: Config.succeed(() => Effect.void) }
    }).pipe(Layer.provide(Layer.setConfigProvider(ConfigProvider.fromMap(new Map(settings)))))

  it("takes its options from the configuration, and fails with what is wrong there", () => {
    play(Effect.gen(function*() {
      const metadata = yield* Effect.scoped(Effect.gen(function*() {
        const context = yield* Layer.build(configured([["ACKS", "none"]]))
        return yield* Context.get(context, Billing).send(line("0"), { correlation: 1 })
      }))
      assert.isUndefined(metadata.offset)
      const missing = yield* Effect.flip(Effect.scoped(Layer.build(configured([]))))
      assert.strictEqual(
        missing._tag === "FatalError" ? missing.reason._tag : (missing as { _op: string })._op,
        "MissingData"
      )
      const refused = yield* Effect.flip(
        Effect.scoped(Layer.build(configured([["ACKS", "all"], ["BUFFER", "0"]])))
      )
      assert.strictEqual(refused._tag === "FatalError" ? refused.reason._tag : "", "InvalidArgument")
    }))
  })
})
