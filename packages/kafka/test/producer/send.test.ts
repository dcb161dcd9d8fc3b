import { assert, describe, it } from "@effect/vitest"
import { readBatchHeader } from "@sluice/kafka/internal/kernel/batchHeader"
import { compressionTypes } from "@sluice/kafka/internal/kernel/compression"
import { partitionForKey } from "@sluice/kafka/internal/kernel/murmur2"
import { recordSizeUpperBound } from "@sluice/kafka/internal/kernel/recordBatch"
import * as Producer from "@sluice/kafka/Producer"
import * as Serde from "@sluice/kafka/Serde"
import * as Topic from "@sluice/kafka/Topic"
import { MemoryCluster } from "@sluice/testing/MemoryCluster"
import { Chunk, Effect, Exit, Fiber, Random, Stream, TestClock } from "effect"

import { memory } from "../support/memory.ts"
import { allValues, count, line, Lines, values } from "./lines.ts"
import { wired, Wires, written } from "./wire.ts"

const oneTopic = { topics: { lines: 1 } }
const bytes = (text: string) => new TextEncoder().encode(text)

describe("send", () => {
  it.effect("gives the record's place in the log", () =>
    Effect.gen(function*() {
      const producer = yield* Producer.make()
      yield* TestClock.adjust("5 seconds")
      const first = yield* producer.send(line("a", { key: "k", headers: [{ key: "h", value: "x" }] }))
      assert.deepInclude(first, { topic: "lines", partition: 0, offset: 0n, timestamp: 5000 })
      const second = yield* producer.send(line("b", { timestamp: 42 }))
      assert.deepInclude(second, { offset: 1n, timestamp: 42 })
      const cluster = yield* MemoryCluster
      const [stored, other] = yield* cluster.records("lines")
      assert.deepStrictEqual(stored, {
        partition: 0,
        offset: 0n,
        timestamp: 5000,
        key: bytes("k"),
        value: bytes("a"),
        headers: [{ key: "h", value: bytes("x") }]
      })
      assert.deepInclude(other, { key: null, timestamp: 42, headers: [] })
    }).pipe(Effect.scoped, Effect.provide(memory(oneTopic))))

  it.effect("keeps headers as they are: order, duplicates, empty and null values", () =>
    Effect.gen(function*() {
      const producer = yield* Producer.make()
      const headers = [
        { key: "a", value: bytes("1") },
        { key: "", value: null },
        { key: "a", value: new Uint8Array(0) }
      ]
      yield* producer.send(line("v", { headers: [...headers, { key: "ü", value: "ü" }] }))
      const [stored] = yield* Effect.flatMap(MemoryCluster, (cluster) => cluster.records("lines"))
      assert.deepStrictEqual(stored!.headers, [...headers, { key: "ü", value: bytes("ü") }])
    }).pipe(Effect.scoped, Effect.provide(memory(oneTopic))))

  it.effect("writes tombstones where the topic has them", () =>
    Effect.gen(function*() {
      const Table = Topic.make("lines", { key: Serde.string, value: Serde.string, tombstones: true })
      const producer = yield* Producer.make()
      yield* producer.send(Table.record({ key: "gone", value: null }))
      const [stored] = yield* Effect.flatMap(MemoryCluster, (cluster) => cluster.records("lines"))
      assert.deepInclude(stored, { key: bytes("gone"), value: null })
      const error = yield* Effect.flip(producer.send(Lines.record({ key: "gone", value: null as never })))
      assert.deepInclude(error, { _tag: "FatalError", scope: "record", persisted: "no" })
      assert.strictEqual(error.reason._tag, "InvalidArgument")
    }).pipe(Effect.scoped, Effect.provide(memory(oneTopic))))

  it.effect("copies a record's bytes when it is accepted", () =>
    Effect.gen(function*() {
      const Raw = Topic.make("lines", { key: Serde.bytes, value: Serde.bytes })
      const producer = yield* Producer.make({ linger: "1 second" })
      const buffer = bytes("before")
      yield* producer.enqueue(Raw.record({ value: buffer }))
      buffer.fill(0)
      yield* producer.flush
      assert.deepStrictEqual(yield* values(), ["before"])
    }).pipe(Effect.scoped, Effect.provide(memory(oneTopic))))

  for (const acks of ["none", "leader", "all"] as const) {
    it.effect(`delivers in order with acks ${acks}`, () =>
      Effect.gen(function*() {
        const producer = yield* Producer.make({ acks, batchBytes: 500 })
        const sent = yield* Effect.forEach(count(300), (value) => producer.enqueue(line(value)))
        const places = yield* Effect.all(sent)
        const offsets = places.map(({ offset }) => offset)
        assert.deepStrictEqual(
          offsets,
          count(300).map((value) => acks === "none" ? undefined : BigInt(value))
        )
        yield* Effect.yieldNow()
        assert.deepStrictEqual(yield* values(), count(300))
      }).pipe(Effect.scoped, Effect.provide(memory(oneTopic))))
  }

  it.effect("keeps apart the batches that were written into the same memory", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const producer = yield* Producer.make({ batchBytes: 64 * 1024 })
      const text = (i: number) => `${i}:`.padEnd(5000, String.fromCharCode(97 + i % 26))
      const all = Array.from({ length: 200 }, (_, i) => text(i))
      let requests = 0
      // Some batches go twice, and must be the same the second time.
      yield* cluster.intercept(({ apiName }) =>
        apiName === "Produce" && ++requests % 5 === 0 ? "dropResponse" : "deliver"
      )
      const fiber = yield* Effect.fork(Effect.forEach(
        all,
        (value, i) => producer.send(line(value, { partition: i % 2 })),
        { concurrency: 40 }
      ))
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(fiber)
      for (const partition of [0, 1]) {
        assert.deepStrictEqual(yield* values(partition), all.filter((_, i) => i % 2 === partition))
      }
    }).pipe(Effect.scoped, Effect.provide(memory({ topics: { lines: 2 } }, { requestTimeout: "1 second" }))))

  for (
    const [name, compression] of [
      ["gzip", "gzip"],
      ["snappy", "snappy"],
      ["lz4", "lz4"],
      ["zstd", "zstd"],
      ["gzip", { type: "gzip", level: 1 }],
      ["zstd", { type: "zstd", level: 19 }]
    ] as const
  ) {
    it.effect(`compresses with ${JSON.stringify(compression)}`, () =>
      Effect.gen(function*() {
        const producer = yield* Producer.make({ compression })
        yield* producer.sendAll(count(500).map((value) => line(value.repeat(10))))
        assert.deepStrictEqual(yield* values(), count(500).map((value) => value.repeat(10)))
        const [batch] = written(yield* Wires)
        assert.strictEqual(readBatchHeader(batch!.bytes, 0).attributes & 7, compressionTypes[name])
        assert.isBelow(batch!.bytes.length, 500 * 20)
      }).pipe(Effect.scoped, Effect.provide(wired(oneTopic))))
  }

  it.effect("lingers for more records, and no longer", () =>
    Effect.gen(function*() {
      const wire = yield* Wires
      const producer = yield* Producer.make({ linger: "100 millis" })
      const first = yield* producer.enqueue(line("a"))
      yield* TestClock.adjust("60 millis")
      yield* producer.enqueue(line("b"))
      yield* TestClock.adjust("39 millis")
      assert.deepStrictEqual(written(wire), [])
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(written(wire).map(({ count }) => count), [2])
      assert.strictEqual((yield* first).offset, 0n)
    }).pipe(Effect.scoped, Effect.provide(wired(oneTopic))))

  it.effect("takes records up to maxRecordBytes, also with the smallest buffer", () =>
    Effect.gen(function*() {
      const overhead = recordSizeUpperBound(null, new Uint8Array(5000), []) - 5000
      const options = { maxRecordBytes: 5000 + overhead, bufferBytes: 5000 + overhead, batchBytes: 100 }
      const producer = yield* Producer.make(options)
      const [fits, over] = yield* Effect.all([
        Effect.exit(producer.send(line("x".repeat(5000)))),
        Effect.flip(producer.send(line("x".repeat(5001))))
      ], { concurrency: 2 })
      assert.isTrue(Exit.isSuccess(fits))
      assert.deepInclude(over, { _tag: "FatalError", persisted: "no" })
      assert.deepInclude(over.reason, { _tag: "MessageTooLarge", topic: "lines" })
      assert.strictEqual((yield* values()).length, 1)
    }).pipe(Effect.scoped, Effect.provide(memory(oneTopic))))

  it.effect("splits batches that the broker finds too large, in order and without a loss", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      yield* cluster.createTopic("lines", { config: { "max.message.bytes": "1000" } })
      for (const compression of ["none", "gzip", "snappy", "lz4", "zstd"] as const) {
        const producer = yield* Producer.make({ compression, linger: "1 second" })
        // However they are compressed, a hundred of them are too large.
        const text = (i: number) =>
          `${compression}${Array.from({ length: 40 }, (_, k) => (i * 7919 + k * 104729) % 997).join("")}`
        const all = Array.from({ length: 100 }, (_, i) => text(i))
        const fiber = yield* Effect.fork(producer.sendAll(all.map((value) => line(value))))
        yield* TestClock.adjust("1 second")
        const places = yield* Fiber.join(fiber)
        const stored = (yield* values()).slice(-100)
        assert.deepStrictEqual(stored, all)
        const base = places[0]!.offset!
        assert.deepStrictEqual(places.map(({ offset }) => offset! - base), all.map((_, i) => BigInt(i)))
      }
    }).pipe(Effect.scoped, Effect.provide(memory())))

  it.effect("fails one record that the broker finds too large, and sends the others", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      yield* cluster.createTopic("lines", { config: { "max.message.bytes": "1000" } })
      const producer = yield* Producer.make({ linger: "1 second" })
      const records = ["a", "b", "x".repeat(2000), "c", "d"].map((value) => line(value))
      const fiber = yield* Effect.fork(Effect.flip(producer.sendAll(records)))
      yield* TestClock.adjust("1 second")
      const { results } = yield* Fiber.join(fiber)
      assert.deepStrictEqual(
        results.map((result) => result._tag === "Failed" ? result.error.reason._tag : result.metadata.offset),
        [0n, 1n, "MessageTooLarge", 2n, 3n]
      )
      assert.deepStrictEqual(yield* values(), ["a", "b", "c", "d"])
    }).pipe(Effect.scoped, Effect.provide(memory())))
})

describe("partitions", () => {
  const sixPartitions = { topics: { lines: 6 } }

  it.effect("go by the key as in Java, and by the record's own above all", () =>
    Effect.gen(function*() {
      const producer = yield* Producer.make()
      for (const key of ["", "a", "key", "ключ", "x".repeat(300)]) {
        const { partition } = yield* producer.send(line("v", { key }))
        assert.strictEqual(partition, partitionForKey(bytes(key), 6))
        assert.strictEqual((yield* producer.send(line("v", { key, partition: 5 }))).partition, 5)
      }
    }).pipe(Effect.scoped, Effect.provide(memory(sixPartitions))))

  it.effect("stick to one for the length of a batch without a key, and then change", () =>
    Effect.gen(function*() {
      const wire = yield* Wires
      const producer = yield* Producer.make({ batchBytes: 1000 })
      const places = yield* producer.sendAll(count(2000).map((value) => line(value)))
      const used = new Set(places.map(({ partition }) => partition))
      assert.deepStrictEqual(Array.from(used).sort(), [0, 1, 2, 3, 4, 5])
      assert.sameMembers([...(yield* allValues())], [...count(2000)])
      const batches = written(wire)
      // All but the last few are full.
      assert.isAtLeast(batches.filter(({ bytes }) => bytes.length > 900).length, batches.length - 6)
      for (let i = 0; i < 50; i++) yield* producer.send(line("one by one"))
      const changes = written(wire).slice(batches.length)
      assert.isAbove(new Set(changes.map(({ partition }) => partition)).size, 1)
    }).pipe(Effect.scoped, Effect.provide(wired(sixPartitions)), Effect.withRandom(Random.make(1))))
})

describe("sendAll", () => {
  it.effect("gives all places in the order of the records", () =>
    Effect.gen(function*() {
      const producer = yield* Producer.make()
      const places = yield* producer.sendAll(new Set(count(5000).map((value) => line(value, { key: value }))))
      const stored = yield* Effect.flatMap(MemoryCluster, (cluster) => cluster.records("lines"))
      const at = new Map(stored.map((r) => [`${r.partition}/${r.offset}`, new TextDecoder().decode(r.value!)]))
      assert.deepStrictEqual(places.map(({ offset, partition }) => at.get(`${partition}/${offset}`)), [...count(5000)])
      assert.deepStrictEqual(yield* producer.sendAll([]), [])
    }).pipe(Effect.scoped, Effect.provide(memory({ topics: { lines: 3 } }))))

  it.effect("fails with the result of each, by index", () =>
    Effect.gen(function*() {
      const producer = yield* Producer.make({ maxRecordBytes: 1000 })
      const Broken = Topic.make("lines", {
        key: Serde.string,
        value: Serde.make<string>({
          serialize: () => {
            throw new Error("no")
          },
          deserialize: String
        })
      })
      const error = yield* Effect.flip(producer.sendAll([
        line("x".repeat(2000)),
        line("a"),
        Broken.record({ value: "b" }),
        line("c", { partition: 7 }),
        line("d")
      ]))
      assert.strictEqual(error._tag, "SendAllError")
      assert.lengthOf(error.results, 5)
      assert.deepStrictEqual(
        Array.from(error.results, (result) =>
          result._tag === "Failed"
            ? [result.error.reason._tag, result.error.persisted]
            : result.metadata.offset),
        [
          ["MessageTooLarge", "no"],
          0n,
          ["SerializationFailed", "no"],
          ["UnknownTopicOrPartition", "no"],
          1n
        ]
      )
      assert.include(error.message, "3 of 5 records failed; the first, at index 0")
    }).pipe(Effect.scoped, Effect.provide(memory(oneTopic))))

  it.effect("is not shaken by an array that the caller changes", () =>
    Effect.gen(function*() {
      const producer = yield* Producer.make({ batchBytes: 100, bufferBytes: 300, maxRecordBytes: 100 })
      const records = count(50).map((value) => line(value))
      const fiber = yield* Effect.fork(producer.sendAll(records))
      yield* Effect.yieldNow()
      records.length = 1
      assert.lengthOf(yield* Fiber.join(fiber), 50)
      assert.deepStrictEqual(yield* values(), count(50))
    }).pipe(Effect.scoped, Effect.provide(memory(oneTopic))))
})

describe("sink", () => {
  it.effect("sends a stream in order, with less memory than it has records", () =>
    Effect.gen(function*() {
      const producer = yield* Producer.make({ batchBytes: 300, bufferBytes: 1000, maxRecordBytes: 200 })
      yield* Stream.range(0, 999).pipe(
        Stream.map((i) => line(String(i))),
        Stream.rechunk(37),
        Stream.run(producer.sink)
      )
      assert.deepStrictEqual(yield* values(), count(1000))
      yield* Stream.run(Stream.empty, producer.sink)
    }).pipe(Effect.scoped, Effect.provide(memory(oneTopic))))

  it.effect("fails with the first failure, when what came before has its outcome", () =>
    Effect.gen(function*() {
      const producer = yield* Producer.make({ maxRecordBytes: 100 })
      let pulled = 0
      const error = yield* Stream.fromIterable(count(100)).pipe(
        Stream.map((value) => line(value === "25" ? "x".repeat(200) : value)),
        Stream.rechunk(10),
        Stream.mapChunks((chunk) => {
          pulled += chunk.length
          return chunk
        }),
        Stream.run(producer.sink),
        Effect.flip
      )
      assert.strictEqual(error.reason._tag, "MessageTooLarge")
      assert.deepStrictEqual(yield* values(), count(30).filter((value) => value !== "25"))
      assert.isAtMost(pulled, 40)
      // A sink is a description: it runs again from the start.
      yield* Stream.run(Stream.fromChunk(Chunk.of(line("again"))), producer.sink)
    }).pipe(Effect.scoped, Effect.provide(memory(oneTopic))))
})

describe("flush", () => {
  it.effect("sends what lingers, and waits for its outcomes", () =>
    Effect.gen(function*() {
      const wire = yield* Wires
      const producer = yield* Producer.make({ linger: "1 minute" })
      yield* producer.flush
      yield* Effect.forEach(count(10), (value) => producer.enqueue(line(value)))
      yield* Effect.all([producer.flush, producer.flush], { concurrency: 2 })
      assert.deepStrictEqual(yield* values(), count(10))
      yield* producer.enqueue(line("lingers again"))
      yield* TestClock.adjust("59 seconds")
      assert.lengthOf(written(wire), 1)
    }).pipe(Effect.scoped, Effect.provide(wired(oneTopic))))
})

describe("producers of one client", () => {
  it.effect("have connections of their own, and do not mix", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const producers = yield* Effect.forEach(count(3), () => Producer.make())
      yield* Effect.forEach(
        producers,
        (producer, i) => producer.sendAll(count(100).map((value) => line(value, { partition: i }))),
        { concurrency: "unbounded" }
      )
      for (let i = 0; i < 3; i++) assert.deepStrictEqual(yield* values(i), count(100))
      // One each, and one that they share for metadata.
      assert.strictEqual(yield* cluster.connections, 4)
    }).pipe(Effect.scoped, Effect.provide(memory({ topics: { lines: 3 } }))))
})
