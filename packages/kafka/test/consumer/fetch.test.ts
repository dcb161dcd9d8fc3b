/** Fetching: the bound of bytes, and brokers and partitions that are slow, away, or elsewhere. */
import { assert, describe, it } from "@effect/vitest"
import { Consumer, Kafka, Serde, Topic } from "@sluice/kafka"
import * as Fault from "@sluice/testing/Fault"
import { MemoryCluster } from "@sluice/testing/MemoryCluster"
import { Effect, Stream, TestClock } from "effect"

import { fetchAnswer, type Rewrite } from "./rewrite.ts"
import {
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
  write,
  writeBatches,
  writeTo
} from "./world.ts"

const text = (length: number) => "x".repeat(length)

/** Adds up what the brokers send of partitions' records. */
const counting = () => {
  const count = { bytes: 0, fetches: 0, largest: 0 }
  const rewrite: Rewrite = (answer) => {
    if (answer.api !== "Fetch") return undefined
    count.fetches++
    fetchAnswer(answer, ({ records }) => {
      count.bytes += records.length
      count.largest = Math.max(count.largest, records.length)
    })
    return undefined
  }
  return { count, rewrite }
}

describe("the budget", () => {
  it.effect("bounds what is fetched ahead of the application, and all comes when it is read", () => {
    const { count, rewrite } = counting()
    return Effect.gen(function*() {
      yield* writeBatches(Numbers, [0, 1, 2], Array.from({ length: 30 }, () => [text(1000)]))
      const { consumer } = yield* member({ fetch: { bufferBytes: 12_000 } })
      yield* TestClock.adjust("10 seconds")
      const ahead = count.bytes
      assert.isAbove(ahead, 6_000)
      // One batch of each broker may come on top.
      assert.isAtMost(ahead, 12_000 + 3 * 1100)
      const all = yield* passing(consumer.records.pipe(Stream.take(90), Stream.runCollect))
      assert.lengthOf(all, 90)
    }).pipe(inWorld({ brokers: 3, topics: { numbers: 3 } }, {}, rewrite))
  })

  it.effect("that one broker's partitions use up is given to another's when there is room", () => {
    const { rewrite } = counting()
    return Effect.gen(function*() {
      const batch = range(0, 50).map((n) => `${n}${text(100)}`)
      yield* writeBatches(Numbers, [0, 1, 2], [batch, batch, batch, batch, batch])
      // A batch is larger than all that may be held.
      const { consumer } = yield* member({ fetch: { bufferBytes: 1000 } })
      const seen = new Seen()
      yield* Effect.fork(consumer.run(seen.handler))
      yield* passUntil("all", () => seen.count === 750)
      assert.strictEqual(seen.count, 750)
    }).pipe(inWorld({ brokers: 3, topics: { numbers: 3 } }, {}, rewrite))
  })

  it.effect("of a partition that is not read costs the others nothing, nor does it keep the broker busy", () => {
    const { count, rewrite } = counting()
    return Effect.gen(function*() {
      yield* writeBatches(Numbers, [0], Array.from({ length: 20 }, () => [text(1000)]))
      const { consumer } = yield* member({ fetch: { partitionBytes: 4000, maxWait: "500 millis" } })
      const seen = new Seen()
      yield* Effect.fork(consumer.run((record) => record.partition === 0 ? Effect.never : seen.handler(record)))
      yield* TestClock.adjust("5 seconds")
      const before = count.fetches
      for (let i = 0; i < 10; i++) {
        yield* write(1, [i])
        yield* passUntil("at once", () => seen.count === i + 1, { step: "20 millis", steps: 3 })
        yield* TestClock.adjust("1 second")
      }
      assert.deepStrictEqual(seen.of(1), range(0, 10))
      // Two a second, and a few more after each record.
      assert.isBelow(count.fetches - before, 100)
    }).pipe(inWorld({ topics: { numbers: 2 } }, {}, rewrite))
  })

  it.effect("is not used up by the partition that starts first, however long that is not read", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      yield* writeBatches(Numbers, [0, 1, 2], Array.from({ length: 20 }, () => [text(1000)]))
      // The others start later.
      yield* cluster.inject(Fault.slow({ brokers: [2, 3] }, { latency: "100 millis", duration: "1 minute" }))
      const { consumer } = yield* member({ fetch: { bufferBytes: 12_000 } })
      const seen = new Seen()
      let first: number | undefined
      yield* Effect.fork(
        consumer.run((record) =>
          record.partition === (first ??= record.partition) ? Effect.never : seen.handler(record)
        )
      )
      yield* passUntil("the others", () => seen.count === 40)
      assert.strictEqual(seen.count, 40)
    }).pipe(inWorld({ brokers: 3, latency: "5 millis", topics: { numbers: 3 } })))

  it.effect("is not held up by large records: one of a megabyte comes through a small buffer", () =>
    Effect.gen(function*() {
      const Blobs = Topic.make("blobs", { key: Serde.string, value: Serde.bytes })
      const cluster = yield* MemoryCluster
      yield* cluster.createTopic("blobs", { partitions: 2 })
      const blob = (n: number) => new Uint8Array(1_000_000).fill(n)
      for (const n of [0, 1, 2]) yield* writeTo(Blobs, n % 2, [blob(n)])
      const consumer = yield* Consumer.make({ groupId: "group", topics: [Blobs], fetch: { bufferBytes: 10_000 } })
      const all = yield* passing(consumer.records.pipe(Stream.take(3), Stream.runCollect))
      assert.deepStrictEqual(
        Array.from(all, ({ partition, value }) => [partition, value.length, value[0]]).sort(),
        [[0, 1_000_000, 0], [0, 1_000_000, 2], [1, 1_000_000, 1]]
      )
    }).pipe(inWorld()))

  it.effect("is not deceived by small parts of large answers: they do not keep them alive", () =>
    Effect.gen(function*() {
      const Blobs = Topic.make("blobs", { key: Serde.string, value: Serde.bytes })
      const cluster = yield* MemoryCluster
      yield* cluster.createTopic("blobs", { partitions: 2 })
      yield* writeTo(Blobs, 0, [new Uint8Array(500_000)])
      yield* writeTo(Blobs, 1, [new Uint8Array(10)])
      const { records } = yield* Consumer.assign({ topics: [Blobs] })
      const all = yield* passing(records.pipe(Stream.take(2), Stream.runCollect))
      const small = Array.from(all).find(({ partition }) => partition === 1)!
      assert.isBelow(small.value.buffer.byteLength, 10_000)
    }).pipe(inWorld()))
})

describe("a consumer goes on", () => {
  const running = Effect.gen(function*() {
    for (const partition of [0, 1, 2]) yield* write(partition, range(0, 10))
    const { consumer } = yield* member()
    const seen = new Seen()
    yield* Effect.fork(consumer.run(seen.handler))
    yield* passUntil("all", () => seen.count === 30)
    return { consumer, seen }
  })

  const brokers = { brokers: 3, topics: { numbers: 3 } }

  it.effect("where a leader moves", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const { seen } = yield* running
      for (const leader of [2, 3, 1]) {
        yield* cluster.setLeader("numbers", 0, leader)
        yield* write(0, range(0, 5))
      }
      yield* passUntil("all", () => seen.count === 45)
      assert.deepStrictEqual(seen.of(0), [...range(0, 10), ...range(0, 5), ...range(0, 5), ...range(0, 5)])
    }).pipe(inWorld(brokers)))

  it.effect("where somebody else learns first that a leader has moved", () => {
    let failing = false
    return Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      yield* write(0, range(0, 10))
      const { consumer } = yield* member()
      const seen = new Seen()
      yield* Effect.fork(consumer.run(seen.handler))
      yield* passUntil("all", () => seen.count === 10)
      failing = true
      yield* write(0, [10])
      yield* passUntil("refused", () => !failing, { step: "50 millis" })
      // The partition is not to be fetched for a second, and the consumer has asked for metadata already.
      yield* cluster.setLeader("numbers", 0, 3)
      yield* Effect.flatMap(Kafka.Kafka, (kafka) => kafka.cluster.refresh)
      yield* passUntil("fetched", () => seen.count === 11)
      assert.deepStrictEqual(seen.of(0), range(0, 11))
    }).pipe(
      inWorld(
        { brokers: 3, topics: { numbers: 1 } },
        { retryBackoff: "1 second" },
        (answer) =>
          !failing ? undefined : fetchAnswer(answer, (partition) => {
            failing = false
            return { ...partition, errorCode: 56, records: new Uint8Array(0) }
          })
      )
    )
  })

  it.effect("where a broker stops and starts", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const { seen } = yield* running
      yield* cluster.stopBroker(2)
      for (const partition of [0, 1, 2]) yield* write(partition, range(10, 20))
      yield* passUntil("all", () => seen.count === 60)
      yield* cluster.startBroker(2)
      yield* cluster.setLeader("numbers", 1, 2)
      for (const partition of [0, 1, 2]) yield* write(partition, range(20, 30))
      yield* passUntil("all", () => seen.count === 90)
      for (const partition of [0, 1, 2]) assert.deepStrictEqual(seen.of(partition), range(0, 30))
    }).pipe(inWorld(brokers)))

  it.effect("with the other brokers' partitions while one hangs, and with its own afterwards", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const { seen } = yield* running
      // Written before, since a producer cannot write there meanwhile.
      yield* cluster.pauseBroker(3)
      for (const partition of [0, 1]) yield* write(partition, range(10, 20))
      yield* passUntil("the others", () => seen.count === 50)
      yield* TestClock.adjust("10 seconds")
      for (const partition of [0, 1]) yield* write(partition, range(20, 30))
      yield* passUntil("the others", () => seen.count === 70)
      yield* cluster.resumeBroker(3)
      yield* write(2, range(10, 20))
      yield* passUntil("all", () => seen.count === 80)
      assert.deepStrictEqual(seen.of(2), range(0, 20))
    }).pipe(inWorld(brokers, { requestTimeout: "3 seconds" })))

  it.effect("after a broker's error of one partition, the others untouched", () => {
    const { layer, lines } = logged()
    let errors = 0
    return Effect.gen(function*() {
      const { seen } = yield* running.pipe(Effect.provide(layer))
      errors = 8
      for (const partition of [0, 1, 2]) yield* write(partition, range(10, 20))
      yield* passUntil("the others", () => seen.count === 50, { steps: 2 })
      yield* passUntil("all", () => seen.count === 60)
      assert.deepStrictEqual(seen.of(0), range(0, 20))
      // Once it has lasted, it is said once.
      assert.lengthOf(lines.filter((line) => line.startsWith("WARN")), 1)
    }).pipe(
      inWorld(
        { topics: { numbers: 3 } },
        {},
        (answer) =>
          errors === 0 ? undefined : fetchAnswer(answer, (partition) =>
            partition.partitionIndex === 0 && errors-- > 0
              ? { ...partition, errorCode: -1, records: new Uint8Array(0) }
              : undefined)
      )
    )
  })

  it.effect("with a broker whose connection was being opened while a partition of it was given up", () => {
    const opened = Effect.unsafeMakeLatch(true)
    let held = 0
    return Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const { seen } = yield* running
      let cut = 1
      yield* cluster.intercept(({ apiName }) => apiName === "Fetch" && cut-- > 0 ? "disconnect" : "deliver")
      opened.unsafeClose()
      held = 1
      yield* passUntil("cut", () => held === 0)
      const second = yield* member()
      const other = new Seen()
      yield* Effect.fork(second.consumer.run(other.handler))
      yield* TestClock.adjust("7 seconds")
      opened.unsafeOpen()
      for (const partition of [0, 1, 2]) yield* write(partition, range(10, 20))
      yield* passUntil("all", () => seen.count + other.count === 60)
      assert.isAbove(other.count, 0)
    }).pipe(
      inWorld({ topics: { numbers: 3 } }, {}, ({ api }) => api === "Connect" && held-- > 0 ? opened.await : undefined)
    )
  })
})

describe("an idle consumer", () => {
  it.effect("asks for little: two fetches a second of each broker, and heartbeats", () =>
    Effect.gen(function*() {
      yield* write(0, [0])
      const { consumer } = yield* member({ fetch: undefined })
      const seen = new Seen()
      yield* Effect.fork(consumer.run(seen.handler))
      yield* passUntil("all", () => seen.count === 1)
      yield* TestClock.adjust("5 seconds")
      const cluster = yield* MemoryCluster
      const requests: Record<string, number> = {}
      yield* cluster.intercept(({ apiName }) => {
        requests[apiName] = (requests[apiName] ?? 0) + 1
        return "deliver"
      })
      yield* TestClock.adjust("60 seconds")
      assert.isAtMost(requests["Fetch"]!, 2 * 120 + 2)
      // Metadata may be asked of a broker that it has no connection to for that yet.
      assert.deepStrictEqual({ ...requests, Fetch: 0, ApiVersions: 0 }, {
        Fetch: 0,
        ApiVersions: 0,
        Heartbeat: 20,
        Metadata: 1
      })
    }).pipe(inWorld({ brokers: 2, topics: { numbers: 2 } })))

  it.effect("of a broker that has nothing and does not wait does not ask it all the time", () => {
    const { count, rewrite } = counting()
    return Effect.gen(function*() {
      yield* member({ reset: "latest" })
      yield* TestClock.adjust("1 second")
      assert.isBelow(count.fetches, 110)
      // The log ends before what is asked for, which the broker says at once.
    }).pipe(inWorld({ topics: { numbers: 1 } }, {}, (answer) => {
      rewrite(answer)
      if (answer.api === "ListOffsets") {
        const [{ partitions }] = answer.response.topics
        return { topics: [{ name: "numbers", partitions: [{ ...partitions[0], offset: 9 }] }] }
      }
      return fetchAnswer(answer, (partition) => ({ ...partition, errorCode: 0, highWatermark: 9 }))
    }))
  })

  it.effect("that nobody reads fetches no more than it may hold", () =>
    Effect.gen(function*() {
      yield* write(0, range(0, 1000))
      yield* member({ fetch: { partitionBytes: 100 } })
      yield* TestClock.adjust("2 seconds")
      const cluster = yield* MemoryCluster
      let fetches = 0
      yield* cluster.intercept(({ apiName }) => {
        if (apiName === "Fetch") fetches++
        return "deliver"
      })
      yield* TestClock.adjust("20 seconds")
      assert.strictEqual(fetches, 0)
    }).pipe(inWorld({ topics: { numbers: 1 } })))
})

describe("a partition that failed", () => {
  it.effect("is tried again, also where its broker has no room for the others", () => {
    let refused = 0
    return Effect.gen(function*() {
      yield* write(1, [1])
      yield* write(0, range(0, 100))
      const { consumer } = yield* member({ fetch: { maxWait: "2 seconds", partitionBytes: 100 } })
      const seen = new Seen()
      yield* Effect.fork(consumer.run((record) => record.partition === 0 ? Effect.never : seen.handler(record)))
      yield* passUntil("refused", () => refused > 0)
      yield* passUntil("read", () => seen.count === 1)
      assert.deepStrictEqual(seen.of(1), [1])
    }).pipe(inWorld({ topics: { numbers: 2 } }, {}, (answer) =>
      fetchAnswer(answer, (partition) => {
        if (partition.partitionIndex !== 1 || refused > 0) return undefined
        refused++
        return { ...partition, errorCode: 6, records: new Uint8Array(0) }
      })))
  })
})

describe("a partition without a leader", () => {
  it.effect("is asked for with growing pauses, and read when it has one", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      yield* write(0, range(0, 5))
      const { consumer } = yield* member()
      const values: Array<number> = []
      const reading = yield* Effect.fork(
        Stream.runForEach(consumer.records, (record: NumberRecord) =>
          Effect.sync(() => values.push(Number(record.value))))
      )
      yield* passUntil("all", () =>
        values.length === 5)
      let metadata = 0
      yield* cluster.intercept(({ apiName }) => {
        if (apiName === "Metadata") metadata++
        return "deliver"
      })
      lead = -1
      yield* cluster.setLeader("numbers", 0, 2)
      yield* TestClock.adjust("20 seconds")
      assert.isBelow(metadata, 40)
      lead = undefined
      yield* write(0, range(5, 8))
      yield* passUntil("all", () => values.length === 8)
      assert.deepStrictEqual(values, range(0, 8))
      assert.isFalse(isDone(reading))
      assert.deepStrictEqual(yield* committed(), {})
    }).pipe(inWorld({ brokers: 2, topics: { numbers: 1 } }, {}, ({ api, response }) =>
      api !== "Metadata" || lead === undefined ? undefined : {
        ...response,
        topics: response.topics.map((topic: any) => ({
          ...topic,
          partitions: topic.partitions.map((partition: any) => ({ ...partition, leaderId: lead }))
        }))
      })))
  let lead: number | undefined
})
