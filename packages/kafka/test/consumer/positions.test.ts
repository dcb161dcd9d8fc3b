/** Where consumers start, and where they go on when the log no longer has their position. */
import { assert, describe, it } from "@effect/vitest"
import { Consumer, Kafka } from "@sluice/kafka"
import { DeleteRecords } from "@sluice/kafka/internal/protocol/api/deleteRecords"
import { MemoryCluster } from "@sluice/testing/MemoryCluster"
import { Chunk, Effect, Fiber, Stream, TestClock } from "effect"

import { type Rewrite } from "./rewrite.ts"
import {
  client,
  committed,
  inWorld,
  isDone,
  logged,
  member,
  type NumberRecord,
  Numbers,
  passing,
  passUntil,
  range,
  Seen,
  write
} from "./world.ts"

/** Deletes what is before an offset. */
const deleteBefore = (partition: number, offset: number) =>
  Effect.flatMap(
    Kafka.Kafka,
    ({ cluster }) =>
      cluster.anyBroker("DeleteRecords", (connection) =>
        connection.request(DeleteRecords, {
          topics: [{ name: "numbers", partitions: [{ partitionIndex: partition, offset }] }],
          timeoutMs: 1000
        }))
  )

const values = (records: Iterable<NumberRecord>) => Array.from(records, ({ value }) => Number(value))

describe("a group without an offset", () => {
  it.effect("starts at the beginning by default, and commits nothing for it", () =>
    Effect.gen(function*() {
      yield* write(0, range(0, 10))
      const { consumer } = yield* member()
      assert.deepStrictEqual(values(yield* consumer.records.pipe(Stream.take(10), Stream.runCollect)), range(0, 10))
      assert.deepStrictEqual(yield* committed(), {})
    }).pipe(inWorld({ topics: { numbers: 1 } })))

  it.effect("starts at the end with `latest`, which is committed at once: a restart skips nothing", () =>
    Effect.gen(function*() {
      yield* write(0, range(0, 10))
      const first = yield* member({ reset: "latest" })
      yield* passUntil("committed", Effect.map(committed(), (offsets) => offsets[0] === 10))
      yield* first.close
      yield* write(0, range(10, 15))
      const second = yield* member({ reset: "latest" })
      const seen = yield* second.consumer.records.pipe(Stream.take(5), Stream.runCollect)
      assert.deepStrictEqual(values(seen), range(10, 15))
    }).pipe(inWorld({ topics: { numbers: 2 } })))

  it.effect("fails with `fail`: streams and handlers end with a typed error", () =>
    Effect.gen(function*() {
      yield* write(0, range(0, 10))
      const { consumer } = yield* member({ reset: "fail" })
      const error = yield* Effect.flip(Stream.runDrain(consumer.records))
      assert.deepStrictEqual(
        [error._tag, error.scope, error.reason._tag, error.reason.partition],
        ["FatalError", "partition", "NoOffset", 0]
      )
      assert.strictEqual(yield* Effect.flip(consumer.run(() => Effect.void)), error)
    }).pipe(inWorld({ topics: { numbers: 1 } })))

  it.effect("waits for a leader that is away, and looks it up again when it has moved", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      yield* write(1, range(0, 10))
      // The client knows the leaders; then one of them stops.
      yield* Effect.flatMap(Kafka.Kafka, (kafka) => kafka.cluster.topic("numbers"))
      yield* cluster.stopBroker(2)
      const { consumer } = yield* member()
      const fiber = yield* Effect.fork(consumer.records.pipe(Stream.take(10), Stream.runCollect))
      yield* passUntil("all", () => isDone(fiber), { steps: 50 })
      assert.deepStrictEqual(values(yield* Fiber.join(fiber)), range(0, 10))
    }).pipe(inWorld({ brokers: 3, topics: { numbers: 3 } })))
})

describe("a group with an offset", () => {
  it.effect.each(["earliest", "latest", "fail"] as const)(
    "goes on there, whatever `reset` says: %s",
    (reset) =>
      Effect.gen(function*() {
        yield* write(0, range(0, 10))
        const first = yield* member()
        const pulled = yield* first.consumer.records.pipe(Stream.take(10), Stream.runCollect)
        yield* first.consumer.commit(Chunk.unsafeGet(pulled, 3))
        yield* first.close
        const second = yield* member({ reset })
        assert.deepStrictEqual(
          values(yield* second.consumer.records.pipe(Stream.take(6), Stream.runCollect)),
          range(4, 10)
        )
      }).pipe(inWorld({ topics: { numbers: 1 } }))
  )

  it.effect("whose coordinator says nothing of a partition, asks again instead of starting anew", () => {
    let forgetful = 0
    const rewrite: Rewrite = ({ api, clientId, response }) =>
      api !== "OffsetFetch" || clientId !== "second" || forgetful++ > 2
        ? undefined
        : { ...response, groups: [{ ...response.groups[0], topics: [] }] }
    return Effect.gen(function*() {
      yield* write(0, range(0, 10))
      const first = yield* member()
      const pulled = yield* first.consumer.records.pipe(Stream.take(10), Stream.runCollect)
      yield* first.consumer.commit(Chunk.unsafeGet(pulled, 3))
      yield* first.close
      const second = yield* Effect.provide(member(), yield* client("second"))
      assert.deepStrictEqual(
        values(yield* passing(second.consumer.records.pipe(Stream.take(6), Stream.runCollect))),
        range(4, 10)
      )
    }).pipe(inWorld({ topics: { numbers: 1 } }, {}, rewrite))
  })
})

describe("an offset that the log no longer has", () => {
  it.effect("is reset to the beginning, with a warning, and committed", () =>
    Effect.gen(function*() {
      const { layer, lines } = logged()
      yield* write(0, range(0, 10))
      const first = yield* member()
      const pulled = yield* first.consumer.records.pipe(Stream.take(10), Stream.runCollect)
      yield* first.consumer.commit(Chunk.unsafeGet(pulled, 3))
      yield* first.close
      yield* deleteBefore(0, 7)
      const second = yield* Effect.provide(member(), layer)
      assert.deepStrictEqual(
        values(yield* passing(second.consumer.records.pipe(Stream.take(3), Stream.runCollect))),
        range(7, 10)
      )
      assert.deepStrictEqual(lines.filter((line) => line.startsWith("WARN")), [
        "WARN topic numbers, partition 0: offset 4 is out of range; goes on at 7 (earliest); offsets 4 to 6 are skipped"
      ])
      yield* passUntil("committed", Effect.map(committed(), (offsets) => offsets[0] === 7))
    }).pipe(inWorld({ topics: { numbers: 1 } })))

  it.effect("is reset to the end with `latest`", () =>
    Effect.gen(function*() {
      yield* write(0, range(0, 10))
      const first = yield* member()
      const pulled = yield* first.consumer.records.pipe(Stream.take(10), Stream.runCollect)
      yield* first.consumer.commit(Chunk.unsafeGet(pulled, 3))
      yield* first.close
      yield* deleteBefore(0, 7)
      const second = yield* member({ reset: "latest" })
      yield* passUntil("committed", Effect.map(committed(), (offsets) => offsets[0] === 10))
      yield* write(0, range(10, 12))
      assert.deepStrictEqual(
        values(yield* passing(second.consumer.records.pipe(Stream.take(2), Stream.runCollect))),
        range(10, 12)
      )
    }).pipe(inWorld({ topics: { numbers: 1 } })))

  it.effect("ends the consumer with `fail`", () =>
    Effect.gen(function*() {
      yield* write(0, range(0, 10))
      const first = yield* member()
      const pulled = yield* first.consumer.records.pipe(Stream.take(10), Stream.runCollect)
      yield* first.consumer.commit(Chunk.unsafeGet(pulled, 3))
      yield* first.close
      yield* deleteBefore(0, 7)
      const second = yield* member({ reset: "fail" })
      const error = yield* passing(Effect.flip(Stream.runDrain(second.consumer.records)))
      assert.deepStrictEqual([error._tag, error.reason._tag], ["FatalError", "OffsetOutOfRange"])
      assert.deepStrictEqual(yield* committed(), { 0: 4 })
      // It asks for nothing any more.
      const cluster = yield* MemoryCluster
      let fetches = 0
      yield* cluster.intercept(({ apiName }) => {
        if (apiName === "Fetch") fetches++
        return "deliver"
      })
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(fetches, 0)
    }).pipe(inWorld({ topics: { numbers: 1 } })))

  it.effect("does not cost the records that were fetched before it went", () => {
    // The log's beginning is deleted behind what was fetched: the next fetch is out of range.
    let deleted = false
    return Effect.gen(function*() {
      yield* write(0, range(0, 10))
      const { consumer } = yield* member()
      const seen = new Seen()
      yield* Effect.fork(consumer.run((record) => Effect.zipRight(Effect.sleep("1 second"), seen.handler(record))))
      yield* passUntil("the first", () => seen.count === 1)
      deleted = true
      yield* write(0, range(10, 20))
      yield* TestClock.adjust("2 seconds")
      yield* passUntil("all", () => seen.count === 15, { step: "1 second" })
      assert.deepStrictEqual(seen.of(0), [...range(0, 10), ...range(15, 20)])
      yield* passUntil("committed", Effect.map(committed(), (offsets) => offsets[0] === 20))
    }).pipe(inWorld({ topics: { numbers: 1 } }, {}, ({ api, request, response }) => {
      if (!deleted) return undefined
      if (api === "ListOffsets") {
        return { topics: [{ name: "numbers", partitions: [{ ...response.topics[0].partitions[0], offset: 15 }] }] }
      }
      if (api === "Fetch" && request.topics[0]?.partitions[0]?.fetchOffset < 15) {
        const partition = { ...response.responses[0].partitions[0], errorCode: 1, records: new Uint8Array(0) }
        return { ...response, responses: [{ ...response.responses[0], partitions: [partition] }] }
      }
      return undefined
    }))
  })

  it.effect("is left behind for good: with `latest` a restart skips nothing of what came meanwhile", () => {
    let deleted = false
    return Effect.gen(function*() {
      yield* write(0, range(0, 10))
      const first = yield* member({ reset: "latest", from: "earliest" })
      const go = yield* Effect.makeLatch(false)
      const seen = new Seen()
      yield* Effect.fork(first.consumer.run((record) => Effect.zipRight(seen.handler(record), go.await)))
      yield* passUntil("the first", () => seen.count === 1)
      deleted = true
      yield* write(0, range(10, 12))
      yield* TestClock.adjust("5 seconds")
      yield* go.open
      yield* passUntil("committed", Effect.map(committed(), (offsets) => offsets[0] === 12), { step: "1 second" })
      assert.deepStrictEqual(seen.of(0), range(0, 10))
      yield* first.close
      yield* write(0, range(12, 15))
      const second = yield* member({ reset: "latest" })
      const rest = yield* passing(second.consumer.records.pipe(Stream.take(3), Stream.runCollect))
      assert.deepStrictEqual(values(rest), range(12, 15))
    }).pipe(inWorld({ topics: { numbers: 1 } }, {}, ({ api, request, response }) => {
      if (!deleted || api !== "Fetch" || !(request.topics[0]?.partitions[0]?.fetchOffset < 12)) return undefined
      const partition = { ...response.responses[0].partitions[0], errorCode: 1, records: new Uint8Array(0) }
      return { ...response, responses: [{ ...response.responses[0], partitions: [partition] }] }
    }))
  })
})

describe("a topic that is deleted and made anew", () => {
  const resetsOf = (consumer: Consumer.Consumer<typeof Numbers>) =>
    Effect.gen(function*() {
      const resets: Array<Consumer.PositionReset> = []
      yield* Effect.fork(Stream.runForEach(consumer.events, (event) =>
        Effect.sync(() => {
          if (event._tag === "PositionReset" && event.from !== undefined) resets.push(event)
        })))
      return resets
    })

  it.effect("is reset once, also while records of the old log are in hand", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      yield* write(0, range(0, 5))
      const { consumer } = yield* member({ reset: "latest", from: "earliest" })
      const resets = yield* resetsOf(consumer)
      const seen = new Seen()
      const go = yield* Effect.makeLatch(false)
      yield* Effect.fork(consumer.run((record) => Effect.zipRight(seen.handler(record), go.await)))
      yield* passUntil("the first", () => seen.count === 1)
      yield* cluster.deleteTopic("numbers")
      yield* cluster.createTopic("numbers", { partitions: 1 })
      yield* write(0, range(10, 18))
      yield* passUntil("reset", () => resets.length > 0, { step: "1 second" })
      yield* TestClock.adjust("5 seconds")
      yield* write(0, range(20, 23))
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(resets.map(({ from, to }) => [from, to]), [[5n, 8n]])
      yield* go.open
      yield* passUntil("all", () => seen.count === 8)
      assert.deepStrictEqual(seen.of(0), [...range(0, 5), ...range(20, 23)])
    }).pipe(inWorld({ topics: { numbers: 1 } }, { metadataMaxAge: "5 seconds" })))

  it.effect("with fewer records than it had is reset once, not again when its id is known", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      yield* write(0, range(0, 5))
      const { consumer } = yield* member()
      const resets = yield* resetsOf(consumer)
      const seen = new Seen()
      yield* Effect.fork(consumer.run(seen.handler))
      yield* passUntil("the first", () => seen.count === 5)
      // Nothing is asked of it meanwhile that would be told that it is gone.
      yield* consumer.pause()
      yield* TestClock.adjust("5 seconds")
      yield* cluster.deleteTopic("numbers")
      yield* cluster.createTopic("numbers", { partitions: 1 })
      yield* Effect.provide(write(0, range(10, 12)), yield* client("writer"))
      yield* consumer.resume()
      yield* passUntil("reset", () => resets.length > 0)
      yield* passUntil("the new ones", () => seen.count === 7)
      yield* Effect.flatMap(Kafka.Kafka, (kafka) => kafka.cluster.refresh)
      yield* TestClock.adjust("20 seconds")
      yield* write(0, range(12, 14))
      yield* passUntil("all", () => seen.of(0).includes(13))
      assert.deepStrictEqual(seen.of(0), [...range(0, 5), ...range(10, 14)])
      assert.lengthOf(resets, 1)
    }).pipe(inWorld({ topics: { numbers: 1 } })))

  it.effect("tells of a reset from where the application was, not from what was fetched ahead", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      yield* write(0, range(0, 5))
      const { consumer } = yield* member()
      const resets = yield* resetsOf(consumer)
      const seen = new Seen()
      const go = yield* Effect.makeLatch(false)
      yield* Effect.fork(
        Stream.runForEachChunk(
          consumer.records,
          (records) => Effect.zipRight(Effect.forEach(records, seen.handler), go.await)
        )
      )
      yield* passUntil("the first", () => seen.count === 5)
      yield* write(0, range(5, 10))
      yield* TestClock.adjust("5 seconds")
      yield* cluster.deleteTopic("numbers")
      yield* cluster.createTopic("numbers", { partitions: 1 })
      yield* write(0, range(20, 23))
      yield* passUntil("reset", () => resets.length > 0, { step: "1 second" })
      assert.deepStrictEqual(resets.map(({ from, to }) => [from, to]), [[5n, 0n]])
      yield* go.open
      yield* passUntil("all", () => seen.count === 8)
      assert.deepStrictEqual(seen.of(0), [...range(0, 5), ...range(20, 23)])
    }).pipe(inWorld({ topics: { numbers: 1 } })))

  it.effect("is not reset again where a broker that lags still tells of the old one", () => {
    let topicId: string | undefined
    let staleAnswers = 0
    return Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      yield* write(0, range(0, 5))
      const { consumer } = yield* member()
      const resets = yield* resetsOf(consumer)
      const seen = new Seen()
      yield* Effect.fork(consumer.run(seen.handler))
      yield* passUntil("the first", () => seen.count === 5)
      yield* cluster.deleteTopic("numbers")
      yield* cluster.createTopic("numbers", { partitions: 1 })
      yield* write(0, range(10, 18))
      yield* passUntil("reset", () => resets.length > 0, { step: "1 second" })
      staleAnswers = 1
      yield* passUntil("a stale answer", () => staleAnswers === 0, { step: "1 second" })
      yield* TestClock.adjust("20 seconds")
      yield* write(0, range(20, 23))
      yield* passUntil("all", () => seen.of(0).includes(22))
      assert.lengthOf(resets, 1)
      // What it took for the old log's next, before it knew, comes again.
      assert.deepStrictEqual(seen.of(0).slice(-11), [...range(10, 18), ...range(20, 23)])
    }).pipe(inWorld({ topics: { numbers: 1 } }, { metadataMaxAge: "5 seconds" }, ({ api, clientId, response }) => {
      if (api !== "Metadata" || clientId !== "test") return undefined
      topicId ??= response.topics[0]?.topicId
      if (staleAnswers === 0 || response.topics.length === 0) return undefined
      staleAnswers--
      return { ...response, topics: response.topics.map((topic: any) => ({ ...topic, topicId })) }
    }))
  })
})

describe("Consumer.assign", () => {
  const assign = (options: Partial<Consumer.AssignOptions<typeof Numbers>> = {}) =>
    Consumer.assign({ topics: [Numbers], ...options })

  it.effect("reads all partitions from the beginning, on and on, and commits nothing", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const apis = new Set<string>()
      yield* cluster.intercept(({ apiName }) => {
        apis.add(apiName)
        return "deliver"
      })
      for (const partition of [0, 1, 2]) yield* write(partition, range(0, 10))
      const seen = new Seen()
      const { records } = yield* assign()
      yield* Effect.fork(Stream.runForEach(records, seen.handler))
      yield* passUntil("all", () => seen.count === 30)
      yield* write(1, range(10, 20))
      yield* passUntil("more", () => seen.count === 40)
      assert.deepStrictEqual([0, 1, 2].map((partition) => seen.of(partition)), [
        range(0, 10),
        range(0, 20),
        range(0, 10)
      ])
      yield* TestClock.adjust("10 seconds")
      assert.isFalse(["JoinGroup", "Heartbeat", "OffsetCommit", "FindCoordinator"].some((name) => apis.has(name)))
    }).pipe(inWorld({ brokers: 3, topics: { numbers: 3 } })))

  it.effect("reads what comes after it was made, with `latest`", () =>
    Effect.gen(function*() {
      yield* write(0, range(0, 10))
      const { records } = yield* assign({ from: "latest" })
      yield* write(0, range(10, 13))
      assert.deepStrictEqual(values(yield* passing(records.pipe(Stream.take(3), Stream.runCollect))), range(10, 13))
      // Each run of the stream starts there.
      assert.deepStrictEqual(values(yield* passing(records.pipe(Stream.take(2), Stream.runCollect))), range(10, 12))
    }).pipe(inWorld({ topics: { numbers: 1 } })))

  it.effect("reads chosen partitions alone", () =>
    Effect.gen(function*() {
      for (const partition of [0, 1, 2]) yield* write(partition, range(0, 3))
      const seen = new Seen()
      const { records } = yield* assign({ partitions: [2, 0] })
      yield* Effect.fork(Stream.runForEach(records, seen.handler))
      yield* passUntil("all", () => seen.count === 6)
      yield* TestClock.adjust("2 seconds")
      assert.sameMembers(seen.values, ["0/0", "0/1", "0/2", "2/0", "2/1", "2/2"])
    }).pipe(inWorld({ topics: { numbers: 3 } })))

  it.effect("fails for a partition that there is not", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(assign({ partitions: [0, 3] }))
      assert.deepStrictEqual([error.reason._tag, error.reason.partition], ["UnknownTopicOrPartition", 3])
    }).pipe(inWorld({ topics: { numbers: 3 } })))

  it.effect("fails in bounded time where a partition has no leader", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      yield* Effect.flatMap(Kafka.Kafka, (kafka) => kafka.cluster.topic("numbers"))
      yield* cluster.intercept(({ apiName }) => apiName === "ListOffsets" ? "disconnect" : "deliver")
      const error = yield* passing(Effect.flip(assign()), { step: "1 second" })
      assert.strictEqual(error._tag, "RetriableError")
      assert.isAtMost(yield* TestClock.currentTimeMillis, 11_000)
    }).pipe(inWorld({ topics: { numbers: 1 } }, { apiTimeout: "10 seconds" })))

  it.effect("ends with its scope, and leaves no connection", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      yield* write(0, range(0, 3))
      const before = yield* cluster.connections
      const seen = new Seen()
      const ended = yield* Effect.scoped(Effect.gen(function*() {
        const { records } = yield* assign()
        const reading = yield* Effect.forkDaemon(Stream.runForEach(records, seen.handler))
        yield* passUntil("all", () => seen.count === 3)
        assert.isAbove(yield* cluster.connections, before)
        return reading
      }))
      yield* Fiber.join(ended)
      assert.strictEqual(yield* cluster.connections, before)
    }).pipe(inWorld({ topics: { numbers: 1 } })))
})
