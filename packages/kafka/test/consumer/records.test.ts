/** Streams of records, and commits by hand. */
import { assert, describe, it } from "@effect/vitest"
import { type ConsumerRecord } from "@sluice/kafka"
import { MemoryCluster } from "@sluice/testing/MemoryCluster"
import { Chunk, Effect, Fiber, Stream, TestClock } from "effect"

import {
  committed,
  inWorld,
  isDone,
  member,
  type NumberRecord,
  passing,
  passUntil,
  quiet,
  range,
  Seen,
  write
} from "./world.ts"

const plain = ({ generation, offset, partition, topic }: NumberRecord): ConsumerRecord.Committable => ({
  topic,
  partition,
  offset,
  generation
})

const offsets = (records: Iterable<NumberRecord>): ReadonlyArray<number> =>
  Array.from(records, ({ offset }) => Number(offset))

describe("records", () => {
  it.effect("come in order, each partition's from its beginning, in chunks of one partition", () =>
    Effect.gen(function*() {
      for (const partition of [0, 1, 2]) yield* write(partition, range(0, 500))
      const { consumer } = yield* member()
      const seen = new Seen()
      const mixed: Array<ReadonlyArray<number>> = []
      yield* consumer.records.pipe(
        Stream.mapChunks((chunk) => {
          const partitions = new Set(Chunk.toReadonlyArray(chunk).map(({ partition }) => partition))
          if (partitions.size !== 1) mixed.push(Array.from(partitions))
          return chunk
        }),
        Stream.take(1500),
        Stream.runForEach(seen.handler)
      )
      assert.deepStrictEqual(mixed, [])
      for (const partition of [0, 1, 2]) assert.deepStrictEqual(seen.of(partition), range(0, 500))
    }).pipe(inWorld({ brokers: 3, topics: { numbers: 3 } })))

  it.effect("have all that was written of a record", () =>
    Effect.gen(function*() {
      yield* write(0, ["one"])
      const { consumer } = yield* member()
      const [record] = yield* consumer.records.pipe(Stream.take(1), Stream.runCollect)
      const { key, offset, partition, timestamp, topic, value } = record!
      assert.deepStrictEqual(
        { key, offset, partition, timestamp, topic, value, headers: record!.headers },
        { key: null, offset: 0n, partition: 0, timestamp: 0, topic: "numbers", value: "one", headers: [] }
      )
      assert.deepStrictEqual(JSON.parse(JSON.stringify(record)), {
        topic: "numbers",
        partition: 0,
        offset: "0",
        generation: record!.generation,
        timestamp: 0,
        key: null,
        value: "one",
        headers: []
      })
    }).pipe(inWorld({ topics: { numbers: 1 } })))

  it.effect("are not committed by being pulled", () =>
    Effect.gen(function*() {
      yield* write(0, range(0, 100))
      const first = yield* member()
      const pulled = yield* first.consumer.records.pipe(Stream.take(100), Stream.runCollect)
      assert.lengthOf(pulled, 100)
      yield* TestClock.adjust("5 seconds")
      yield* first.close
      assert.deepStrictEqual(yield* committed(), {})
      const second = yield* member()
      const again = yield* second.consumer.records.pipe(Stream.take(100), Stream.runCollect)
      assert.deepStrictEqual(offsets(again), range(0, 100))
    }).pipe(inWorld({ topics: { numbers: 1 } })))

  it.effect("arrive as they are written", () =>
    Effect.gen(function*() {
      const { consumer } = yield* member()
      const seen = new Seen()
      yield* Effect.fork(Stream.runForEach(consumer.records, seen.handler))
      for (let i = 0; i < 5; i++) {
        yield* write(i % 2, [i])
        yield* passUntil(`record ${i}`, () => seen.count === i + 1)
      }
      assert.deepStrictEqual(seen.values, ["0/0", "1/1", "0/2", "1/3", "0/4"])
    }).pipe(inWorld({ topics: { numbers: 2 } })))

  it.effect("go on where the last reader settled: what it was given and left comes again", () =>
    Effect.gen(function*() {
      yield* write(0, range(0, 100))
      const { consumer } = yield* member()
      const take = (n: number) => passing(consumer.records.pipe(Stream.take(n), Stream.runCollect))
      const first = yield* take(10)
      assert.deepStrictEqual(offsets(first), range(0, 10))
      yield* consumer.commit(Chunk.toReadonlyArray(first))
      assert.deepStrictEqual(offsets(yield* take(10)), range(10, 20))
      // Not settled.
      assert.deepStrictEqual(offsets(yield* take(90)), range(10, 100))
      assert.deepStrictEqual(yield* committed(), { 0: 10 })
    }).pipe(inWorld({ topics: { numbers: 1 } })))

  it.effect("are all processed where a stream fails and is run again", () =>
    Effect.gen(function*() {
      yield* write(0, range(0, 50))
      const { consumer } = yield* member()
      const done: Array<number> = []
      let failures = 0
      const all = consumer.records.pipe(
        Stream.mapEffect((record) => {
          const value = Number(record.value)
          if (value % 10 === 7 && failures++ % 2 === 0) return Effect.fail("unlucky" as const)
          done.push(value)
          return Effect.succeed(record)
        }),
        Stream.take(1000),
        Stream.run(consumer.commitSink),
        Effect.retry({ times: 20 })
      )
      yield* Effect.fork(all)
      yield* passUntil("all", Effect.map(committed(), (offsets) => offsets[0] === 50))
      assert.deepStrictEqual(Array.from(new Set(done)).sort((a, b) => a - b), range(0, 50))
      assert.strictEqual(failures, 10)
    }).pipe(inWorld({ topics: { numbers: 1 } })))

  it.effect("have one reader at a time", () =>
    Effect.gen(function*() {
      const { consumer } = yield* member()
      const reading = yield* Effect.fork(Stream.runDrain(consumer.records))
      yield* quiet
      const error = yield* Effect.flip(Stream.runDrain(consumer.records))
      assert.strictEqual(error.reason._tag, "InvalidArgument")
      assert.strictEqual((yield* Effect.flip(consumer.run(() => Effect.void))).reason._tag, "InvalidArgument")
      yield* Fiber.interrupt(reading)
      const next = yield* Effect.fork(Stream.runDrain(consumer.records))
      yield* quiet
      assert.isFalse(isDone(next))
    }).pipe(inWorld({ topics: { numbers: 1 } })))

  it.effect("end when the consumer closes", () =>
    Effect.gen(function*() {
      yield* write(0, range(0, 10))
      const { close, consumer } = yield* member()
      const seen = new Seen()
      const reading = yield* Effect.fork(Stream.runForEach(consumer.records, seen.handler))
      yield* passUntil("all", () => seen.count === 10)
      yield* close
      yield* reading
      assert.strictEqual(yield* Stream.runCount(consumer.records), 0)
    }).pipe(inWorld({ topics: { numbers: 1 } })))
})

describe("commit", () => {
  it.effect("stores the next offset; the next consumer goes on there", () =>
    Effect.gen(function*() {
      yield* write(0, range(0, 20))
      const first = yield* member()
      const pulled = Chunk.toReadonlyArray(yield* first.consumer.records.pipe(Stream.take(20), Stream.runCollect))
      yield* first.consumer.commit(pulled[4]!)
      assert.deepStrictEqual(yield* committed(), { 0: 5 })
      yield* first.close
      const second = yield* member()
      const rest = yield* second.consumer.records.pipe(Stream.take(15), Stream.runCollect)
      assert.deepStrictEqual(offsets(rest), range(5, 20))
    }).pipe(inWorld({ topics: { numbers: 1 } })))

  it.effect("settles everything before, and never goes back", () =>
    Effect.gen(function*() {
      yield* write(0, range(0, 20))
      yield* write(1, range(0, 20))
      const { consumer } = yield* member()
      const pulled = Chunk.toReadonlyArray(yield* consumer.records.pipe(Stream.take(40), Stream.runCollect))
      const of = (partition: number, offset: number) =>
        pulled.find((record) => record.partition === partition && record.offset === BigInt(offset))!
      yield* consumer.commit([of(1, 3), of(0, 9), of(0, 2)])
      assert.deepStrictEqual(yield* committed(), { 0: 10, 1: 4 })
      yield* consumer.commit([of(0, 5)])
      assert.deepStrictEqual(yield* committed(), { 0: 10, 1: 4 })
      yield* consumer.commit([])
      assert.deepStrictEqual(yield* committed(), { 0: 10, 1: 4 })
    }).pipe(inWorld({ topics: { numbers: 2 } })))

  it.effect("takes plain values, as they come back from JSON", () =>
    Effect.gen(function*() {
      yield* write(0, range(0, 20))
      const { consumer } = yield* member()
      const pulled = Chunk.toReadonlyArray(yield* consumer.records.pipe(Stream.take(20), Stream.runCollect))
      yield* consumer.commit(plain(pulled[6]!))
      assert.deepStrictEqual(yield* committed(), { 0: 7 })
      const { generation, offset, partition, topic } = JSON.parse(JSON.stringify(pulled[12]!))
      yield* consumer.commit([{ topic, partition, generation, offset: BigInt(offset) }])
      assert.deepStrictEqual(yield* committed(), { 0: 13 })
    }).pipe(inWorld({ topics: { numbers: 1 } })))

  it.effect("never goes past what was delivered", () =>
    Effect.gen(function*() {
      yield* write(0, range(0, 20))
      const { consumer } = yield* member()
      const [first] = yield* consumer.records.pipe(Stream.take(1), Stream.runCollect)
      yield* consumer.commit({ ...plain(first!), offset: 1_000_000n })
      assert.deepStrictEqual(yield* committed(), { 0: 20 })
      const error = yield* Effect.flip(consumer.commit({ ...plain(first!), offset: -1n }))
      assert.strictEqual(error.reason._tag, "InvalidArgument")
    }).pipe(inWorld({ topics: { numbers: 1 } })))

  it.effect("fails for records of another assignment, and commits the others", () =>
    Effect.gen(function*() {
      yield* write(0, range(0, 5))
      yield* write(1, range(0, 5))
      const { close, consumer } = yield* member()
      const pulled = Chunk.toReadonlyArray(yield* consumer.records.pipe(Stream.take(10), Stream.runCollect))
      const stale = { ...plain(pulled.find(({ partition }) => partition === 0)!), generation: 0 }
      const good = pulled.findLast(({ partition }) => partition === 1)!
      const error = yield* Effect.flip(consumer.commit([good, stale]))
      assert.deepStrictEqual([error._tag, error.reason._tag, error.reason.partition], [
        "RetriableError",
        "NotAssigned",
        0
      ])
      assert.deepStrictEqual(yield* committed(), { 1: 5 })
      const elsewhere = yield* Effect.flip(consumer.commit({ ...plain(good), topic: "others" }))
      assert.strictEqual(elsewhere.reason._tag, "NotAssigned")
      yield* close
      assert.strictEqual((yield* Effect.flip(consumer.commit(good))).reason._tag, "Closed")
    }).pipe(inWorld({ topics: { numbers: 2 } })))

  it.effect("waits for a coordinator that is away", () =>
    Effect.gen(function*() {
      yield* write(0, range(0, 5))
      const { consumer } = yield* member()
      const cluster = yield* MemoryCluster
      const pulled = yield* consumer.records.pipe(Stream.take(5), Stream.runCollect)
      let refused = 3
      yield* cluster.intercept(({ apiName }) => apiName === "OffsetCommit" && refused-- > 0 ? "disconnect" : "deliver")
      const commit = yield* Effect.fork(consumer.commit(pulled))
      yield* quiet
      assert.isFalse(isDone(commit))
      yield* passUntil("committed", () => isDone(commit))
      yield* commit
      assert.deepStrictEqual(yield* committed(), { 0: 5 })
    }).pipe(inWorld({ topics: { numbers: 1 } })))
})

describe("commitSink", () => {
  it.effect("has committed all when it is done", () =>
    Effect.gen(function*() {
      yield* write(0, range(0, 1000))
      yield* write(1, range(0, 1000))
      const cluster = yield* MemoryCluster
      let commits = 0
      yield* cluster.intercept(({ apiName }) => {
        if (apiName === "OffsetCommit") commits++
        return "deliver"
      })
      const { consumer } = yield* member()
      yield* consumer.records.pipe(Stream.rechunk(10), Stream.take(2000), Stream.run(consumer.commitSink))
      assert.deepStrictEqual(yield* committed(), { 0: 1000, 1: 1000 })
      // One under way at a time, not one a chunk.
      assert.isBelow(commits, 100)
    }).pipe(inWorld({ topics: { numbers: 2 } })))

  it.effect("passes over records of partitions that were lost", () =>
    Effect.gen(function*() {
      yield* write(0, range(0, 5))
      yield* write(1, range(0, 5))
      const { consumer } = yield* member()
      const pulled = Chunk.toReadonlyArray(yield* consumer.records.pipe(Stream.take(10), Stream.runCollect))
      yield* Stream.fromIterable(pulled).pipe(
        Stream.map((record) => record.partition === 0 ? { ...plain(record), generation: 0 } : plain(record)),
        Stream.run(consumer.commitSink)
      )
      assert.deepStrictEqual(yield* committed(), { 1: 5 })
    }).pipe(inWorld({ topics: { numbers: 2 } })))
})
