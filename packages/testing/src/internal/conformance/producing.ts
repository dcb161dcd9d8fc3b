import { assert } from "@effect/vitest"
import * as Consumer from "@sluice/kafka/Consumer"
import * as Producer from "@sluice/kafka/Producer"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"

import { contents, type Define, Journal, newTopic, range, type StoredRecord, values, within } from "./harness.ts"

/** What makes a record take this many bytes and no less, however well it may be compressed. */
const incompressible = (length: number, seed: number): string => {
  const characters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
  let state = seed
  let text = ""
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    text += characters[state >>> 26]
  }
  return text
}

/** Records of one partition, told apart by what stands before the dash in their values, each in its order. */
const bySource = (records: ReadonlyArray<StoredRecord>): ReadonlyMap<string, ReadonlyArray<number>> => {
  const sources = new Map<string, Array<number>>()
  for (const { value } of records) {
    const [source, number] = value!.split("-") as [string, string]
    const numbers = sources.get(source)
    if (numbers === undefined) sources.set(source, [Number(number)])
    else numbers.push(Number(number))
  }
  return sources
}

const isAscending = (numbers: ReadonlyArray<number>): boolean =>
  numbers.every((number, index) => index === 0 || number > numbers[index - 1]!)

/** Kafka's murmur2 of some keys: the numbers are those of its own tests. */
const murmur2 = {
  "21": -973_932_308,
  "foobar": -790_332_482,
  "a-little-bit-long-string": -985_981_536,
  "a-little-bit-longer-string": -1_486_304_829,
  "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58_897_971,
  "abc": 479_470_107
} as const

/** What a producer promises. */
export const producing = (test: Define): void => {
  test(
    "a record is where its metadata says, as it was given",
    Effect.gen(function*() {
      const partitions = 3
      const topic = yield* newTopic({ partitions })
      const producer = yield* Producer.make()
      const written: Array<StoredRecord> = []
      for (const number of range(30)) {
        const record = {
          key: number % 2 === 0 ? `key ${number}` : null,
          value: `välue ${number}`,
          timestamp: 1_700_000_000_000 + number,
          headers: [{ key: "number", value: String(number) }]
        }
        const placed = number % 3 === 0 ? { ...record, partition: number % partitions } : record
        const metadata = yield* producer.send(topic.record(placed))
        assert.strictEqual(metadata.topic, topic.name)
        if ("partition" in placed) assert.strictEqual(metadata.partition, placed.partition)
        written.push({
          ...record,
          partition: metadata.partition,
          offset: Number(metadata.offset),
          timestamp: metadata.timestamp,
          headers: [["number", String(number)]]
        })
        assert.strictEqual(metadata.timestamp, record.timestamp)
      }
      const read = yield* contents(topic, partitions)
      assert.deepStrictEqual(
        read.flat(),
        written.sort((one, other) => one.partition - other.partition || one.offset - other.offset)
      )
      assert.deepStrictEqual(
        read.map((records) => records.map(({ offset }) => offset)),
        read.map(({ length }) => range(length))
      )
    })
  )

  test(
    "records of a partition keep the order of the calls",
    Effect.gen(function*() {
      const partitions = 3
      const topic = yield* newTopic({ partitions })
      const producer = yield* Producer.make({ batchBytes: 2048 })
      for (const number of range(6_000)) {
        yield* producer.enqueue(topic.record({ partition: number % partitions, value: String(number) }))
      }
      yield* producer.flush
      const read = yield* contents(topic, partitions)
      for (const partition of range(partitions)) {
        assert.deepStrictEqual(
          read[partition]!.map(({ value }) => Number(value)),
          range(2_000).map((number) => number * partitions + partition)
        )
      }
    })
  )

  test(
    "each caller of several producers finds its records in its order",
    Effect.gen(function*() {
      const partitions = 2
      const topic = yield* newTopic({ partitions })
      const producers = yield* Effect.all([
        Producer.make(),
        Producer.make({ acks: "leader", batchBytes: 1024 }),
        Producer.make({ idempotent: false, linger: "2 millis" })
      ])
      const callers = producers.flatMap((producer, index) =>
        range(3).map((caller) => ({ producer, source: `${index}.${caller}` }))
      )
      yield* Effect.forEach(callers, ({ producer, source }) =>
        Effect.forEach(range(400), (number) =>
          Effect.zipRight(
            number % 7 === 0 ? Effect.yieldNow() : Effect.void,
            producer.enqueue(topic.record({ partition: number % partitions, value: `${source}-${number}` }))
          ), { discard: true }), { concurrency: "unbounded", discard: true })
      yield* Effect.forEach(producers, (producer) => producer.flush, { concurrency: "unbounded", discard: true })
      for (const records of yield* contents(topic, partitions)) {
        const sources = bySource(records)
        assert.sameMembers(Array.from(sources.keys()), callers.map(({ source }) => source))
        for (const [source, numbers] of sources) {
          assert.isTrue(isAscending(numbers), source)
          assert.lengthOf(numbers, 200, source)
        }
      }
    })
  )

  test(
    "headers keep their order and duplicates, without a value and without bytes too",
    Effect.gen(function*() {
      const topic = yield* newTopic({ partitions: 1 })
      const producer = yield* Producer.make()
      const cases: ReadonlyArray<ReadonlyArray<readonly [string, string | null]>> = [
        [],
        [["", ""]],
        [["b", "1"], ["a", "2"], ["b", "1"], ["b", null], ["a", ""]],
        range(300).map((number) => [`header ${number % 50}`, "v".repeat(number)] as const),
        [["grüße", "wörld"]]
      ]
      yield* producer.sendAll(
        cases.map((headers) => topic.record({ value: "v", headers: headers.map(([key, value]) => ({ key, value })) }))
      )
      const [read] = yield* contents(topic, 1)
      assert.deepStrictEqual(read!.map(({ headers }) => headers), cases)
    })
  )

  test(
    "null and empty keys and values are told apart",
    Effect.gen(function*() {
      const topic = yield* newTopic({ partitions: 1 })
      const producer = yield* Producer.make()
      const cases = [
        { key: null, value: "a value" },
        { key: "", value: "" },
        { key: "deleted", value: null },
        { key: null, value: null },
        { key: null, value: "" },
        { key: "", value: null }
      ]
      yield* producer.sendAll(cases.map((fields) => topic.record(fields)))
      const [read] = yield* contents(topic, 1)
      assert.deepStrictEqual(read!.map(({ key, value }) => ({ key, value })), cases)
    })
  )

  for (const compression of ["none", "gzip"] as const) {
    test(
      `sendAll gives places in the order of its records, over many batches (compression ${compression})`,
      Effect.gen(function*() {
        const partitions = 4
        const topic = yield* newTopic({ partitions })
        const producer = yield* Producer.make({ compression, batchBytes: 16 * 1024 })
        const records = range(1_500).map((number) =>
          topic.record({ key: `key ${number % 100}`, value: `${number} ${incompressible(number % 700, number)}` })
        )
        const places = yield* producer.sendAll(records)
        assert.lengthOf(places, records.length)
        const read = yield* contents(topic, partitions)
        assert.strictEqual(read.flat().length, records.length)
        for (const [index, { offset, partition }] of places.entries()) {
          const { key, value } = read[partition]![Number(offset)]!
          assert.deepStrictEqual({ key, value }, { key: records[index]!.key!, value: records[index]!.value })
        }
      })
    )
  }

  test(
    "a record may be as large as both sides allow by default, and no larger",
    Effect.gen(function*() {
      const topic = yield* newTopic({ partitions: 1 })
      const producer = yield* Producer.make()
      const mebibyte = 1024 * 1024
      const written: Array<string> = []
      // Around the limits: a batch has a header of 61 bytes, and a record its own.
      for (
        const length of [
          mebibyte - 200,
          ...range(10).map((step) => mebibyte - 100 + 10 * step),
          mebibyte,
          mebibyte + 1
        ]
      ) {
        const value = "x".repeat(length)
        const result = yield* Effect.either(producer.send(topic.record({ value })))
        if (Either.isRight(result)) {
          written.push(value)
          continue
        }
        const { _tag, persisted, reason, scope } = result.left
        assert.deepStrictEqual([_tag, reason._tag, scope, persisted], ["FatalError", "MessageTooLarge", scope, "no"])
      }
      assert.isAtLeast(written.length, 1)
      assert.isAtMost(Math.max(...written.map(({ length }) => length)), mebibyte)
      // One too large does no harm to those around it.
      const large = topic.record({ value: "x".repeat(mebibyte + 1) })
      const around = ["before", "after"].map((value) => topic.record({ value }))
      const { results } = yield* Effect.flip(producer.sendAll([around[0]!, large, around[1]!]))
      assert.deepStrictEqual(results.map(({ _tag }) => _tag), ["Acknowledged", "Failed", "Acknowledged"])
      const [read] = yield* contents(topic, 1)
      assert.isTrue(
        read!.length === written.length + 2 && written.every((value, index) => read![index]!.value === value)
      )
    })
  )

  test(
    "records of several megabytes pass where the topic and the producer allow them",
    Effect.gen(function*() {
      const limit = 6 * 1024 * 1024
      const topic = yield* newTopic({ partitions: 2, config: { "max.message.bytes": String(limit) } })
      const producer = yield* Producer.make({ maxRecordBytes: limit, batchBytes: limit, bufferBytes: 3 * limit })
      const sizes = [1, 3_000_000, 2, limit - 1_000, 3, 1_500_000]
      yield* producer.sendAll(sizes.map((size) => topic.record({ partition: 0, value: "x".repeat(size) })))
      // The consumer's bounds are those of what it fetches ahead: a larger batch comes alone.
      const read = yield* contents(topic, 2, { fetch: { partitionBytes: 1024 } })
      assert.deepStrictEqual(read.map((records) => records.map(({ value }) => value!.length)), [sizes, []])
    })
  )

  test(
    "a batch that is too large for the topic is split, and its records keep their order",
    Effect.gen(function*() {
      const topic = yield* newTopic({ partitions: 1, config: { "max.message.bytes": "20000" } })
      const producer = yield* Producer.make({ linger: "1 minute" })
      const written = range(300).map((number) => `${number} ${incompressible(500, number)}`)
      yield* Effect.forEach(written, (value) => producer.enqueue(topic.record({ value })), { discard: true })
      yield* producer.flush
      const acknowledgement = yield* producer.enqueue(topic.record({ value: "x".repeat(30_000) }))
      yield* producer.flush
      const tooLarge = yield* Effect.flip(acknowledgement)
      assert.deepStrictEqual(
        [tooLarge._tag, tooLarge.reason._tag, tooLarge.persisted],
        ["FatalError", "MessageTooLarge", "no"]
      )
      assert.deepStrictEqual(yield* values(topic, 1), written)
    })
  )

  test(
    "a key chooses the partition that Kafka's murmur2 gives",
    Effect.gen(function*() {
      const partitions = 7
      const topic = yield* newTopic({ partitions })
      const producer = yield* Producer.make()
      for (const [key, hash] of Object.entries(murmur2)) {
        const { partition } = yield* producer.send(topic.record({ key, value: "v" }))
        assert.strictEqual(partition, (hash & 0x7fffffff) % partitions, key)
      }
    })
  )

  test(
    "records without a key use all partitions",
    Effect.gen(function*() {
      const partitions = 3
      const topic = yield* newTopic({ partitions })
      const producer = yield* Producer.make({ batchBytes: 256 })
      const places = yield* producer.sendAll(range(600).map((number) => topic.record({ value: String(number) })))
      assert.strictEqual(new Set(places.map(({ partition }) => partition)).size, partitions)
    })
  )

  test(
    "records are sent where nothing can be interrupted, too",
    Effect.gen(function*() {
      const topic = yield* newTopic({ partitions: 1 })
      const producer = yield* Producer.make()
      const sending = yield* Effect.forkScoped(Effect.uninterruptible(producer.send(topic.record({ value: "v" }))))
      assert.strictEqual((yield* within("the acknowledgement", Fiber.join(sending))).offset, 0n)
    })
  )

  for (const acks of ["none", "leader", "all"] as const) {
    test(
      `acks ${acks}: every record arrives, in order`,
      Effect.gen(function*() {
        const topic = yield* newTopic({ partitions: 1 })
        const producer = yield* Producer.make({ acks, batchBytes: 1024 })
        const written = range(500).map(String)
        const places = yield* producer.sendAll(written.map((value) => topic.record({ value })))
        assert.deepStrictEqual(
          places.map(({ offset }) => offset),
          written.map((_, index) => acks === "none" ? undefined : BigInt(index))
        )
        const consumer = yield* Consumer.assign({ topics: [topic] })
        const read = yield* within(
          "reading what was sent",
          consumer.records.pipe(Stream.take(written.length), Stream.map(({ value }) => value), Stream.runCollect)
        )
        assert.deepStrictEqual(Array.from(read), written)
      })
    )
  }

  test(
    "flush sends what lingers and waits for it",
    Effect.gen(function*() {
      const topic = yield* newTopic({ partitions: 2 })
      const producer = yield* Producer.make({ linger: "1 minute" })
      const acknowledgements = yield* Effect.forEach(
        range(200),
        (number) => producer.enqueue(topic.record({ partition: number % 2, value: String(number) }))
      )
      yield* within("flush", producer.flush)
      const read = yield* contents(topic, 2)
      assert.lengthOf(read.flat(), 200)
      const places = yield* Effect.all(acknowledgements)
      assert.deepStrictEqual(
        places.map(({ offset, partition }) => read[partition]![Number(offset)]!.value),
        range(200).map(String)
      )
      yield* within("a flush of nothing", producer.flush)
    })
  )

  test(
    "the sink sends a stream, in order, and ends when all is acknowledged",
    Effect.gen(function*() {
      const topic = yield* newTopic({ partitions: 1 })
      const producer = yield* Producer.make({ bufferBytes: 1024 * 1024 })
      const written = range(3_000).map((number) => `${number} ${"x".repeat(1_000)}`)
      yield* within(
        "the sink",
        Stream.fromIterable(written).pipe(
          Stream.rechunk(100),
          Stream.map((value) => topic.record({ value })),
          Stream.run(producer.sink)
        )
      )
      assert.deepStrictEqual(yield* values(topic, 1), written)
    })
  )

  test(
    "the sink fails with the first failure, after the records before it have arrived",
    Effect.gen(function*() {
      const topic = yield* newTopic({ partitions: 1 })
      const producer = yield* Producer.make()
      const error = yield* Stream.range(0, 99).pipe(
        Stream.rechunk(10),
        Stream.map((number) => topic.record({ value: String(number), ...(number === 50 ? { partition: 9 } : {}) })),
        Stream.run(producer.sink),
        Effect.flip
      )
      assert.deepStrictEqual([error.reason._tag, error.reason.partition], ["UnknownTopicOrPartition", 9])
      const arrived = (yield* values(topic, 1)).map(Number)
      assert.isTrue(isAscending(arrived))
      assert.includeMembers(arrived, range(50))
    })
  )

  test(
    "the delivery handler hears of each accepted record once, with its correlation",
    Effect.gen(function*() {
      const limit = 100_000
      const topic = yield* newTopic({ partitions: 2, config: { "max.message.bytes": String(limit) } })
      const reports = new Journal<Producer.Delivery<number>>()
      const producer = yield* Producer.make({
        onDelivery: {
          handler: (delivery: Producer.Delivery<number>) => Effect.sync(() => reports.add(delivery)),
          concurrency: 2
        }
      })
      const count = 400
      const isTooLarge = (number: number) => number % 100 === 99
      const record = (number: number) =>
        topic.record({
          key: String(number),
          partition: number % 2,
          value: isTooLarge(number) ? incompressible(limit + 1, number) : String(number)
        })
      const outcomes = yield* Effect.forEach(range(count), (number) =>
        Effect.either(
          number % 3 === 0
            ? producer.send(record(number), { correlation: number })
            : Effect.flatten(producer.enqueue(record(number), { correlation: number }))
        ), { concurrency: "unbounded" })
      yield* reports.until("a report of each record", ({ length }) => length >= count)
      yield* producer.send(topic.record({ value: "the end" }), { correlation: -1 })
      yield* reports.until("the last report", (entries) => entries.at(-1)?.correlation === -1)

      assert.deepStrictEqual(
        reports.entries.map(({ correlation }) => correlation!).sort((one, other) => one - other),
        [-1, ...range(count)]
      )
      const read = yield* contents(topic, 2)
      for (const delivery of reports.entries) {
        const number = delivery.correlation!
        if (number === -1) continue
        assert.strictEqual(delivery.record.key, String(number))
        assert.strictEqual(delivery._tag, isTooLarge(number) ? "Failed" : "Acknowledged")
        const outcome = outcomes[number]!
        if (delivery._tag === "Failed") {
          assert.deepStrictEqual([delivery.error.reason._tag, delivery.error.persisted], ["MessageTooLarge", "no"])
          assert.isTrue(Either.isLeft(outcome))
        } else {
          const { offset, partition } = delivery.metadata
          assert.strictEqual(read[partition]![Number(offset)]!.value, String(number))
          assert.isTrue(Either.isRight(outcome) && outcome.right.offset === offset)
        }
      }
    })
  )

  test(
    "what a record cannot be sent for is typed, and says that it was not written",
    Effect.gen(function*() {
      const topic = yield* newTopic({ partitions: 1 })
      const producer = yield* Producer.make()
      const unknownTopic = { ...topic, name: `${topic.name}-not` }
      const failing = {
        ...topic,
        value: {
          ...topic.value,
          serialize: () => {
            throw new Error("no bytes for it")
          }
        }
      }
      const cases = [
        { record: { topic: unknownTopic, value: "v" }, expected: ["RetriableError", "UnknownTopicOrPartition"] },
        { record: { topic, value: "v", partition: 1 }, expected: ["RetriableError", "UnknownTopicOrPartition"] },
        {
          record: { topic: { ...topic, name: "no/name" }, value: "v" },
          expected: ["FatalError", "InvalidTopicException"]
        },
        { record: { topic: failing, value: "v" }, expected: ["FatalError", "SerializationFailed"] },
        {
          record: { topic: { ...topic, tombstones: false }, value: null },
          expected: ["FatalError", "InvalidArgument"]
        },
        { record: { topic, value: "v", timestamp: 0.5 }, expected: ["FatalError", "InvalidArgument"] }
      ]
      for (const { expected, record } of cases) {
        const error = yield* within(expected.join(" "), Effect.flip(producer.send(record)))
        const { _tag, persisted, reason } = error as Extract<typeof error, { readonly persisted: unknown }>
        assert.deepStrictEqual([_tag, reason._tag, persisted], [...expected, "no"])
      }
      assert.deepStrictEqual(yield* values(topic, 1), [])
    })
  )

  test(
    "a closed producer refuses records",
    Effect.gen(function*() {
      const topic = yield* newTopic({ partitions: 1 })
      const producer = yield* Effect.scoped(
        Effect.tap(Producer.make(), (producer) => producer.send(topic.record({ value: "v" })))
      )
      const unknown = { ...topic, name: `${topic.name}-not` }
      for (const record of [topic.record({ value: "late" }), { topic: unknown, value: "late" }]) {
        const error = yield* Effect.flip(producer.send(record))
        assert.deepStrictEqual([error._tag, error.reason._tag, error.persisted], ["FatalError", "Closed", "no"])
      }
      assert.isTrue(Exit.isSuccess(yield* Effect.exit(within("flush", producer.flush))))
      assert.deepStrictEqual(yield* values(topic, 1), ["v"])
    })
  )
}
