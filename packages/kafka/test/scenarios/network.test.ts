/** A network and leaders that fail in ways that the client is not told of, or too late. */
import { assert, describe, it } from "@effect/vitest"
import * as Kafka from "@sluice/kafka/Kafka"
import * as Producer from "@sluice/kafka/Producer"
import { type Connection, Transport } from "@sluice/kafka/Transport"
import * as Fault from "@sluice/testing/Fault"
import { MemoryCluster } from "@sluice/testing/MemoryCluster"
import { Clock, Effect, ExecutionStrategy, Exit, Fiber, Layer, Random, Scope } from "effect"

import { allValues, count, line, values } from "../producer/lines.ts"
import { Wires, written } from "../producer/wire.ts"
import { assertNoGap, play, playSeeds, threeBrokers } from "./story.ts"

/** Ends each connection half a second to a second and a half after it was made, as a bad proxy does. */
const mortal = (transport: Transport["Type"]): Transport["Type"] => ({
  connect: (address, options) =>
    Effect.gen(function*() {
      const life = yield* Scope.fork(yield* Effect.scope, ExecutionStrategy.sequential)
      const connection: Connection = yield* Scope.extend(transport.connect(address, options), life)
      const milliseconds = yield* Random.nextIntBetween(500, 1500)
      yield* Effect.forkIn(Effect.delay(Scope.close(life, Exit.void), milliseconds), yield* Effect.scope)
      return connection
    })
})

describe("connections", () => {
  it("FM-22: that all die within a second and a half cost no record, and double none", () => {
    playSeeds(
      Effect.gen(function*() {
        const client = Kafka.layer({ brokers: "broker-1.memory:9092", requestTimeout: "2 seconds" }).pipe(
          Layer.provide(Layer.effect(Transport, Effect.map(Transport, mortal)))
        )
        yield* Effect.gen(function*() {
          const producer = yield* Producer.make({ batchBytes: 300 })
          const acks = yield* Effect.forEach(count(400), (value) =>
            Effect.zipLeft(
              producer.enqueue(line(value, { partition: Number(value) % 3 })),
              Effect.sleep("20 millis")
            ))
          yield* Effect.all(acks)
        }).pipe(Effect.scoped, Effect.provide(client))
        for (const partition of [0, 1, 2]) {
          assert.deepStrictEqual(
            yield* values(partition),
            count(400).filter((value) => Number(value) % 3 === partition)
          )
        }
        const connects = (yield* Wires).connects.length
        assert.isAbove(connects, 10)
      }),
      { cluster: { ...threeBrokers, latency: 20 } },
      2
    )
  })

  it("FM-23: that are silent in both directions, and nobody is told, are replaced when the request timeout has passed", () => {
    play(
      Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        const producer = yield* Producer.make()
        yield* producer.send(line("0"))
        yield* cluster.inject(Fault.halfOpen({}))
        const start = yield* Clock.currentTimeMillis
        const places = yield* producer.sendAll(["1", "2"].map((value) => line(value)))
        const elapsed = (yield* Clock.currentTimeMillis) - start
        assert.isTrue(elapsed >= 2000 && elapsed < 6000, `${elapsed} ms`)
        assert.deepStrictEqual(places.map(({ offset }) => offset), [1n, 2n])
        assert.deepStrictEqual(yield* values(), count(3))
      })
    )
  })

  it("FM-16: that break before the broker has a request cost nothing and double nothing, without idempotence too", () => {
    for (const idempotent of [true, false]) {
      play(Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        const producer = yield* Producer.make({ idempotent, batchBytes: 200 })
        yield* producer.send(line("0"))
        yield* cluster.inject(Fault.all(
          Fault.reset({ api: "Produce", nth: 2 }, "request"),
          Fault.loseRequest({ api: "Produce", nth: 12 })
        ))
        yield* producer.sendAll(count(100).slice(1).map((value) => line(value)))
        assert.deepStrictEqual(yield* values(), count(100))
      }))
    }
  })
})

describe("one broker of three", () => {
  it("FM-19: that answers nothing slows down its own partitions, and no others", () => {
    play(
      Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        yield* cluster.createTopic("lines", { partitions: 3, replicas: 1 })
        const producer = yield* Producer.make({ bufferBytes: 20_000, maxRecordBytes: 1000 })
        const timed = (value: string, partition: number) =>
          Effect.gen(function*() {
            const start = yield* Clock.currentTimeMillis
            yield* producer.send(line(value, { partition }))
            return (yield* Clock.currentTimeMillis) - start
          })
        for (const partition of [0, 1, 2]) yield* timed("first", partition)
        yield* cluster.inject(Fault.partition({ brokers: [1] }, "10 seconds"))
        const stuck = yield* Effect.forEach(count(200), () => Effect.fork(timed("stuck".padEnd(300), 0)))
        const elsewhere = yield* Effect.forEach(
          count(1000),
          (value) => Effect.zipLeft(timed(value, 1 + Number(value) % 2), Effect.sleep("5 millis"))
        )
        assert.isAtMost(Math.max(...elsewhere), 20)
        assert.isTrue((yield* Fiber.join(Fiber.all(stuck))).every((elapsed) => elapsed > 4000))
        assert.lengthOf(yield* values(0), 201)
      }),
      { cluster: { brokers: 3, topics: {} } }
    )
  })
})

describe("a slow network", () => {
  it("FM-20: with half a second of latency and jitter costs no order, and larger batches instead of more requests", () => {
    play(
      Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        const producer = yield* Producer.make()
        yield* producer.send(line("first"))
        yield* cluster.inject(Fault.slow({}, { latency: 250, jitter: 300, duration: "10 minutes" }))
        const start = yield* Clock.currentTimeMillis
        const acks = yield* Effect.forEach(
          count(3000),
          (value) => Effect.zipLeft(producer.enqueue(line(value)), Effect.sleep("1 millis"))
        )
        yield* Effect.all(acks)
        assert.isBelow((yield* Clock.currentTimeMillis) - start, 6000)
        assert.deepStrictEqual((yield* values()).slice(1), count(3000))
        assert.isBelow(written(yield* Wires).length, 50)
        yield* cluster.heal
      }),
      { client: { requestTimeout: "30 seconds" } }
    )
  })

  it("FM-21: with ten kilobytes a second keeps senders waiting, within the buffer, and takes all in the end", () => {
    play(
      Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        const bufferBytes = 20_000
        const producer = yield* Producer.make({ bufferBytes, batchBytes: 2000, maxRecordBytes: 2000 })
        yield* producer.send(line("first"))
        yield* cluster.inject(Fault.slow({}, { bytesPerSecond: 10_000, duration: "10 minutes" }))
        const start = yield* Clock.currentTimeMillis
        let accepted = 0
        let acknowledged = 0
        let most = 0
        yield* Effect.forEach(
          count(500),
          (value) =>
            Effect.flatMap(producer.enqueue(line(value.padEnd(200), { partition: Number(value) % 8 })), (ack) => {
              most = Math.max(most, ++accepted - acknowledged)
              return Effect.fork(Effect.tap(ack, () => acknowledged++))
            }),
          { concurrency: "unbounded" }
        ).pipe(Effect.flatMap((fibers) => Fiber.join(Fiber.all(fibers))))
        assert.isAbove(most, 60)
        // Others are let in before those of a batch hear that it is acknowledged.
        assert.isAtMost(most * 200, bufferBytes + 2000)
        // A hundred kilobytes of values alone.
        assert.isAtLeast((yield* Clock.currentTimeMillis) - start, 10_000)
        assert.lengthOf(yield* allValues(), 501)
        for (const partition of Array.from({ length: 8 }, (_, i) => i)) {
          const stored = (yield* values(partition)).map((value) => value.trim()).filter((value) => value !== "first")
          assert.deepStrictEqual(stored, count(500).filter((value) => Number(value) % 8 === partition))
        }
        yield* cluster.heal
      }),
      { cluster: { topics: { lines: 8 } }, client: { requestTimeout: "30 seconds" } }
    )
  })
})

describe("leaders", () => {
  it("FM-12: that move while batches of many partitions are in flight cost no record, and double none", () => {
    playSeeds(
      Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        const producer = yield* Producer.make({ batchBytes: 300 })
        const partitions = Array.from({ length: 6 }, (_, i) => i)
        yield* producer.sendAll(partitions.map((partition) => line("first", { partition })))
        yield* cluster.inject(Fault.all(
          ...partitions.map((partition) =>
            Fault.after({ api: "Produce", nth: 3 + partition * 4 }, Fault.moveLeader("lines", partition))
          )
        ))
        const acks = yield* Effect.forEach(count(600), (value) =>
          Effect.zipLeft(
            producer.enqueue(line(value, { partition: Number(value) % 6 })),
            Effect.sleep(Number(value) % 6 === 0 ? 1 : 0)
          ))
        yield* Effect.all(acks)
        const batches = written(yield* Wires)
        for (const partition of partitions) {
          assert.deepStrictEqual(
            (yield* values(partition)).slice(1),
            count(600).filter((value) => Number(value) % 6 === partition)
          )
          assertNoGap(batches, partition)
          const leaders = batches.filter((batch) => batch.partition === partition).map(({ address }) => address)
          assert.isAbove(new Set(leaders).size, 1, "it has moved")
        }
      }),
      { cluster: { brokers: 3, topics: { lines: 6 } } }
    )
  })
})
