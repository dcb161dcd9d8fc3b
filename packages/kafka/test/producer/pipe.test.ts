import { assert, describe, it } from "@effect/vitest"
import * as Producer from "@sluice/kafka/Producer"
import { MemoryCluster } from "@sluice/testing/MemoryCluster"
import { Chunk, Effect, Fiber, Stream, TestClock } from "effect"

import { memory } from "../support/memory.ts"
import { allValues, count, line, values } from "./lines.ts"

const outgoing = (values: ReadonlyArray<string>) =>
  values.map((value, i) => ({ record: line(value, { key: value }), correlation: i }))

describe("pipe", () => {
  it.effect("gives back what became of each record, in order, in the chunks in which they came", () =>
    Effect.gen(function*() {
      const producer = yield* Producer.make<number>()
      const chunks = yield* Stream.fromIterable(outgoing(count(1000))).pipe(
        Stream.rechunk(64),
        producer.pipe,
        Stream.chunks,
        Stream.runCollect
      )
      assert.deepStrictEqual(Chunk.toReadonlyArray(chunks).map(Chunk.size), [
        ...Array.from({ length: 15 }, () => 64),
        40
      ])
      const deliveries = Chunk.toReadonlyArray(Chunk.flatten(chunks))
      assert.deepStrictEqual(deliveries.map(({ correlation }) => correlation), count(1000).map(Number))
      assert.isTrue(deliveries.every(({ _tag }) => _tag === "Acknowledged"))
      assert.sameMembers([...(yield* allValues())], [...count(1000)])
    }).pipe(Effect.scoped, Effect.provide(memory({ topics: { lines: 3 } }))))

  it.effect("goes on after a record that fails", () =>
    Effect.gen(function*() {
      const producer = yield* Producer.make<number>({ maxRecordBytes: 1000 })
      const deliveries = yield* Stream.fromIterable(outgoing(["a", "x".repeat(2000), "b"])).pipe(
        producer.pipe,
        Stream.runCollect
      )
      assert.deepStrictEqual(
        Array.from(deliveries, (delivery) =>
          delivery._tag === "Failed" ? delivery.error.reason._tag : delivery.metadata.offset),
        [0n, "MessageTooLarge", 1n]
      )
    }).pipe(Effect.scoped, Effect.provide(memory({ topics: { lines: 1 } }))))

  it.effect("has several chunks on their way, and no more than it may", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const producer = yield* Producer.make<number>()
      yield* producer.send(line("first"))
      yield* cluster.pauseBroker(1)
      let pulled = 0
      const fiber = yield* Stream.fromIterable(outgoing(count(1000))).pipe(
        Stream.rechunk(10),
        Stream.tap(() => Effect.sync(() => pulled++)),
        Stream.rechunk(10),
        producer.pipe,
        Stream.runCount,
        Effect.fork
      )
      yield* TestClock.adjust("1 second")
      assert.isAtLeast(pulled, 100)
      assert.isAtMost(pulled, 200)
      yield* cluster.resumeBroker(1)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(fiber), 1000)
      assert.deepStrictEqual(yield* values(), ["first", ...count(1000)])
    }).pipe(Effect.scoped, Effect.provide(memory({ topics: { lines: 1 } }))))
})

describe("tryEnqueue", () => {
  it.effect("accepts while there is room, and fails with BufferFull when there is none", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const producer = yield* Producer.make({ bufferBytes: 4000, maxRecordBytes: 2000 })
      yield* producer.send(line("first"))
      yield* cluster.pauseBroker(1)
      const acks: Array<Effect.Effect<Producer.RecordMetadata, unknown>> = []
      for (let i = 0; i < 3; i++) acks.push(yield* producer.tryEnqueue(line("v".repeat(1000))))
      const error = yield* Effect.flip(producer.tryEnqueue(line("v".repeat(1000))))
      assert.deepInclude(error, { _tag: "RetriableError", persisted: "no" })
      assert.strictEqual(error.reason._tag, "BufferFull")
      assert.include(error.message, "bufferBytes 4000")
      yield* cluster.resumeBroker(1)
      yield* TestClock.adjust("1 second")
      assert.lengthOf(yield* Effect.all(acks), 3)
      yield* Effect.flatten(producer.tryEnqueue(line("again")))
      assert.lengthOf(yield* values(), 5)
    }).pipe(Effect.scoped, Effect.provide(memory({ topics: { lines: 1 } }))))
})
