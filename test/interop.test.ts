/** Records that Kafka's own clients write are read by ours, and ours by theirs. */
import { assert, describe, it } from "@effect/vitest"
import { Admin, Consumer, type Kafka, Producer, Serde, Topic } from "@sluice/kafka"
import * as Conformance from "@sluice/testing/Conformance"
import { Deferred, Effect, Fiber, Queue, type Scope, Stream } from "effect"
import { inject } from "vitest"

import { activeResources, client } from "./support/client.ts"
import { reportDuration } from "./support/duration.ts"
import {
  consoleConsumer,
  javaConsume,
  javaProduce,
  type JavaProducerRecord,
  type JavaRecord
} from "./support/javaTool.ts"
import { uniqueName } from "./support/topics.ts"

reportDuration("Interoperation with Kafka's own clients")

const { brokers } = inject("kafka")

/** One test, on a client of its own that leaves nothing behind. */
const test = (name: string, self: Effect.Effect<void, unknown, Kafka.Kafka | Scope.Scope>) =>
  it.live(name, () =>
    self.pipe(
      Effect.scoped,
      Effect.provide(client(brokers)),
      Conformance.nothingLeft({ leftovers: activeResources })
    ))

const makeTopic = (partitions: number) =>
  Effect.gen(function*() {
    const topic = Topic.make(uniqueName("interop"), { key: Serde.bytes, value: Serde.bytes, tombstones: true })
    yield* Admin.createTopic(topic.name, { partitions })
    return topic
  })

type BytesTopic = Effect.Effect.Success<ReturnType<typeof makeTopic>>

const produceByJava = (
  topic: BytesTopic,
  records: ReadonlyArray<JavaProducerRecord>,
  properties: Record<string, string | number | boolean> = {},
  transaction?: "commit" | "abort"
) =>
  Effect.promise(() =>
    javaProduce({
      brokers,
      topic: topic.name,
      records,
      properties,
      ...(transaction === undefined ? {} : { transaction })
    })
  )

const consumeByJava = (topic: BytesTopic, properties: Record<string, string> = {}) =>
  Effect.promise(() => javaConsume({ brokers, topic: topic.name, properties }))

const text = (bytes: Uint8Array | null): string | null => bytes === null ? null : Buffer.from(bytes).toString("utf8")

/** A record as both sides see it. */
interface Plain {
  readonly partition: number
  readonly offset: number
  readonly timestamp: number
  readonly key: string | null
  readonly value: string | null
  readonly headers: ReadonlyArray<readonly [string, string | null]>
}

const inOrder = (records: ReadonlyArray<Plain>): ReadonlyArray<Plain> =>
  [...records].sort((one, other) => one.partition - other.partition || one.offset - other.offset)

const fromJava = (records: ReadonlyArray<JavaRecord>): ReadonlyArray<Plain> =>
  inOrder(records.map(({ headers, key, value, ...place }) => ({
    ...place,
    key: text(key),
    value: text(value),
    headers: headers.map(([name, content]) => [name, text(content)] as const)
  })))

/** The next records of a topic, as our consumer reads them. */
const readByOurs = (
  topic: BytesTopic,
  count: number,
  isolation: "read_committed" | "read_uncommitted" = "read_committed"
) =>
  Effect.gen(function*() {
    const consumer = yield* Consumer.assign({ topics: [topic], isolation })
    const records = yield* Stream.runCollect(Stream.take(consumer.records, count))
    return inOrder(Array.from(records, ({ headers, key, offset, partition, timestamp, value }) => ({
      partition,
      offset: Number(offset),
      timestamp,
      key: text(key),
      value: text(value),
      headers: headers.map((header) => [header.key, text(header.value)] as const)
    })))
  }).pipe(Effect.scoped, Effect.timeout("20 seconds"))

/** Records with everything that a record may have. */
const samples = (count: number) =>
  Array.from({ length: count }, (_, number): JavaProducerRecord => ({
    partition: number % 2,
    timestamp: 1_700_000_000_000 + number,
    key: number % 5 === 0 ? null : number % 7 === 0 ? "" : `kéy ${number % 11}`,
    value: number % 6 === 0 ? null : number % 9 === 0 ? "" : `value ${number} ${"x".repeat(number % 200)}`,
    headers: number % 3 === 0 ? [] : [["trace", String(number)], ["trace", null], ["ünicode", ""], ["trace", "again"]]
  }))

const asPlain = (
  record: JavaProducerRecord,
  place: { readonly partition: number; readonly offset: number; readonly timestamp: number }
): Plain => ({
  partition: place.partition,
  offset: place.offset,
  timestamp: place.timestamp,
  key: record.key as string | null,
  value: record.value as string | null,
  headers: record.headers as Plain["headers"]
})

const encode = (content: string | null): Uint8Array | null => content === null ? null : Buffer.from(content, "utf8")

describe("records of Kafka's own producer are read by our consumer", () => {
  const settings = {
    "plain, without idempotence": { "enable.idempotence": false, acks: 1 },
    "idempotent, in small batches": { "enable.idempotence": true, "batch.size": 500 },
    "gzip, in one batch": { "compression.type": "gzip", "linger.ms": 50 },
    "snappy, in one batch": { "compression.type": "snappy", "linger.ms": 50 },
    "lz4, in one batch": { "compression.type": "lz4", "linger.ms": 50 },
    "lz4 at its highest level": { "compression.type": "lz4", "compression.lz4.level": 17, "linger.ms": 50 },
    "zstd, in one batch": { "compression.type": "zstd", "linger.ms": 50 }
  }
  for (const [name, properties] of Object.entries(settings)) {
    test(
      name,
      Effect.gen(function*() {
        const topic = yield* makeTopic(2)
        const records = samples(300)
        const places = yield* produceByJava(topic, records, properties)
        const expected = inOrder(records.map((record, index) => asPlain(record, places[index]!)))
        assert.deepStrictEqual(yield* readByOurs(topic, records.length), expected)
      })
    )
  }

  test(
    "transactions: what was aborted is left out, unless it is asked for",
    Effect.gen(function*() {
      const topic = yield* makeTopic(2)
      const transactions = yield* Effect.forEach(
        ["abort", "commit", "abort"] as const,
        (end, number) =>
          Effect.gen(function*() {
            const records = samples(20).map((record) => ({ ...record, value: `${end} ${number}` }))
            const properties = { "transactional.id": topic.name, "batch.size": 200 }
            const places = yield* produceByJava(topic, records, properties, end)
            return { end, records: records.map((record, index) => asPlain(record, places[index]!)) }
          })
      )
      const all = transactions.flatMap(({ records }) => records)
      const committed = transactions.flatMap(({ end, records }) => end === "commit" ? records : [])
      assert.deepStrictEqual(yield* readByOurs(topic, committed.length), inOrder(committed))
      assert.deepStrictEqual(yield* readByOurs(topic, all.length, "read_uncommitted"), inOrder(all))
    })
  )

  test(
    "a group that reads past aborted transactions to their end finds nothing left",
    Effect.gen(function*() {
      const topic = yield* makeTopic(1)
      const properties = { "transactional.id": topic.name }
      const [kept, dropped] = [[{ value: "kept" }], Array.from({ length: 50 }, () => ({ value: "dropped" }))]
      yield* produceByJava(topic, kept, properties, "commit")
      yield* produceByJava(topic, dropped, properties, "abort")
      const options = { groupId: topic.name, topics: [topic], fetch: { maxWait: "50 millis" } } as const
      const next = Effect.scoped(Effect.gen(function*() {
        const consumer = yield* Consumer.make(options)
        const last = yield* Deferred.make<string | null>()
        const running = yield* Effect.forkScoped(consumer.run(({ value }) => Deferred.succeed(last, text(value))))
        const value = yield* Deferred.await(last)
        yield* Fiber.interrupt(running)
        return value
      }))
      assert.strictEqual(yield* next, "kept")
      yield* produceByJava(topic, [{ value: "new" }])
      assert.strictEqual(yield* next, "new")
    })
  )

  test(
    "batches of many blocks, in each compression",
    Effect.forEach(["gzip", "snappy", "lz4", "zstd"], (codec) =>
      Effect.gen(function*() {
        const topic = yield* makeTopic(1)
        const values = Array.from({ length: 6 }, (_, number) => `${number} `.repeat(50_000))
        const properties = { "compression.type": codec, "batch.size": 700_000, "linger.ms": 200 }
        yield* produceByJava(topic, values.map((value) => ({ value })), properties)
        assert.deepStrictEqual((yield* readByOurs(topic, values.length)).map(({ value }) => value), values)
      }), { concurrency: "unbounded", discard: true })
  )
})

describe("our records are read by Kafka's own consumers", () => {
  const settings: ReadonlyArray<readonly [name: string, options: Producer.ProducerOptions, isolation: string]> = [
    ["idempotent", { batchBytes: 2_000 }, "read_committed"],
    ["gzip", { compression: "gzip", linger: "20 millis" }, "read_committed"],
    ["snappy", { compression: "snappy", linger: "20 millis" }, "read_committed"],
    ["lz4", { compression: "lz4", linger: "20 millis" }, "read_committed"],
    ["zstd", { compression: "zstd", linger: "20 millis" }, "read_committed"],
    ["gzip, small", { compression: { type: "gzip", level: 9 }, linger: "20 millis" }, "read_committed"],
    ["zstd, fast", { compression: { type: "zstd", level: -5 }, linger: "20 millis" }, "read_committed"],
    ["without idempotence, gzip", { idempotent: false, compression: "gzip", batchBytes: 2_000 }, "read_uncommitted"],
    ["acks leader", { acks: "leader" }, "read_uncommitted"]
  ]
  for (const [name, options, isolation] of settings) {
    test(
      `by its consumer: ${name}`,
      Effect.gen(function*() {
        const topic = yield* makeTopic(2)
        const producer = yield* Producer.make(options)
        const records = samples(300)
        const places = yield* producer.sendAll(
          records.map(({ headers, key, partition, timestamp, value }) =>
            topic.record({
              key: encode(key as string | null),
              value: encode(value as string | null),
              headers: headers!.map(([key, value]) => ({ key, value })),
              partition,
              timestamp
            })
          )
        )
        const expected = inOrder(records.map((record, index) => {
          const { offset, partition, timestamp } = places[index]!
          return asPlain(record, { partition, offset: Number(offset), timestamp })
        }))
        assert.deepStrictEqual(fromJava(yield* consumeByJava(topic, { "isolation.level": isolation })), expected)
      })
    )
  }

  test(
    "batches of many blocks, in each compression",
    Effect.forEach(["gzip", "snappy", "lz4", "zstd"] as const, (compression) =>
      Effect.gen(function*() {
        const topic = yield* makeTopic(1)
        const producer = yield* Producer.make({ compression, linger: "20 millis" })
        const values = Array.from({ length: 6 }, (_, number) => `${number} `.repeat(50_000))
        yield* producer.sendAll(values.map((value) => topic.record({ key: null, value: encode(value) })))
        assert.deepStrictEqual(fromJava(yield* consumeByJava(topic)).map(({ value }) => value), values)
      }), { concurrency: "unbounded", discard: true })
  )

  test(
    "by its console consumer",
    Effect.gen(function*() {
      const topic = yield* makeTopic(1)
      const producer = yield* Producer.make({ compression: "gzip" })
      const cases = [
        { key: "a", value: "grüße", headers: [["trace", "1"], ["trace", null]] },
        { key: "a", value: null, headers: [] },
        { key: null, value: "two\nlines", headers: [] },
        { key: "", value: "", headers: [["empty", ""]] }
      ] as const
      yield* producer.sendAll(cases.map(({ headers, key, value }, number) =>
        topic.record({
          key: encode(key),
          value: encode(value),
          headers: headers.map(([key, value]) => ({ key, value })),
          timestamp: 1_000 + number
        })
      ))
      const read = yield* Effect.promise(() => consoleConsumer({ brokers, topic: topic.name, count: cases.length }))
      assert.deepStrictEqual(
        fromJava(read),
        cases.map((fields, offset) => ({ ...fields, partition: 0, offset, timestamp: 1_000 + offset }))
      )
    })
  )
})

test(
  "both producers send a key to the same partition",
  Effect.gen(function*() {
    const topic = yield* makeTopic(13)
    const keys = [
      "",
      "a",
      "ab",
      "abc",
      "abcd",
      "grüße",
      "日本語",
      ...Array.from({ length: 200 }, (_, number) => `key ${number}`)
    ]
    const producer = yield* Producer.make()
    const ours = yield* producer.sendAll(keys.map((key) => topic.record({ key: encode(key), value: encode("v") })))
    const theirs = yield* produceByJava(topic, keys.map((key) => ({ key, value: "v" })))
    assert.deepStrictEqual(ours.map(({ partition }) => partition), theirs.map(({ partition }) => partition))
  })
)

test(
  "one group with our consumer and Java's: partitions go to Java's and come back, with nothing lost",
  Effect.gen(function*() {
    const partitions = 4
    const topic = yield* makeTopic(partitions)
    const producer = yield* Producer.make()
    const handled: Array<{ readonly partition: number; readonly value: string }> = []
    const consumer = yield* Consumer.make({
      groupId: topic.name,
      topics: [topic],
      heartbeatInterval: "50 millis",
      fetch: { maxWait: "50 millis" }
    })
    const progress = yield* Queue.unbounded<number>()
    yield* Effect.forkScoped(
      consumer.run(({ partition, value }) =>
        Effect.suspend(() => Queue.offer(progress, handled.push({ partition, value: text(value)! })))
      )
    )
    let count = 0
    let isWriting = true
    const round = Effect.suspend(() =>
      producer.sendAll(
        Array.from(
          { length: partitions },
          (_, partition) => topic.record({ partition, value: encode(String(count++)) })
        )
      )
    )
    const writing = yield* Effect.forkScoped(
      Effect.repeat(Effect.zipLeft(round, Effect.sleep("5 millis")), { while: () => isWriting })
    )
    const byJava = yield* Effect.promise(() =>
      consoleConsumer({
        brokers,
        topic: topic.name,
        count: 200,
        properties: {
          "group.id": topic.name,
          "partition.assignment.strategy": "org.apache.kafka.clients.consumer.CooperativeStickyAssignor",
          "heartbeat.interval.ms": 100
        }
      })
    )
    const left = handled.length
    isWriting = false
    yield* Fiber.join(writing)
    yield* round
    // Java's consumer commits what it printed when it closes: what is left is ours, and comes once.
    const rest = Stream.takeUntil(Stream.fromQueue(progress), (length) => length + byJava.length >= count)
    yield* Stream.runDrain(rest).pipe(Effect.timeout("20 seconds"))

    assert.lengthOf(byJava, 200)
    const shared = new Set(byJava.map(({ partition }) => partition))
    assert.strictEqual(shared.size, 2)
    assert.strictEqual(new Set(handled.slice(left).map(({ partition }) => partition)).size, partitions)
    assert.sameMembers(
      [...byJava.map(({ value }) => text(value)), ...handled.map(({ value }) => value)],
      Array.from({ length: count }, (_, number) => String(number))
    )
  })
)
