import { assert } from "@effect/vitest"
import * as Admin from "@sluice/kafka/Admin"
import * as Consumer from "@sluice/kafka/Consumer"
import * as Producer from "@sluice/kafka/Producer"
import * as Serde from "@sluice/kafka/Serde"
import * as Topic from "@sluice/kafka/Topic"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"

import {
  type Define,
  Journal,
  newTopic,
  quick,
  range,
  stored,
  type StoredRecord,
  type TextTopic,
  uniqueName,
  within
} from "./harness.ts"

const read = <A, E, R>(what: string, records: Stream.Stream<A, E, R>, count: number) =>
  Effect.map(within(what, Stream.runCollect(Stream.take(records, count))), (chunk) => Array.from(chunk))

const send = (topic: TextTopic, values: ReadonlyArray<string>, partition?: number) =>
  Effect.scoped(
    Effect.flatMap(Producer.make(), (producer) =>
      producer.sendAll(values.map((value) => topic.record({ value, partition }))))
  )

/** What consumers promise, with and without a group. */
export const consuming = (test: Define): void => {
  test(
    "assigned partitions are read from their earliest record on, and go on with what comes",
    Effect.gen(function*() {
      const topic = yield* newTopic({ partitions: 3 })
      for (const partition of range(3)) {
        yield* send(
          topic,
          range(50).map((number) => `${partition}-${number}`),
          partition
        )
      }
      const consumer = yield* Consumer.assign({ topics: [topic], partitions: [0, 2] })
      const came = new Journal<StoredRecord>()
      yield* Effect.forkScoped(
        Stream.runForEach(consumer.records, (record) => Effect.sync(() => came.add(stored(record))))
      )
      yield* came.until("what was there", ({ length }) => length >= 100)
      yield* send(topic, ["1-new"], 1)
      yield* send(topic, ["2-new"], 2)
      yield* came.until("what came later", ({ length }) => length >= 101)
      for (const partition of [0, 2]) {
        assert.deepStrictEqual(
          came.entries.filter((record) => record.partition === partition).map(({ offset, value }) => [offset, value]),
          [
            ...range(50).map((number) => [number, `${partition}-${number}`]),
            ...(partition === 2 ? [[50, "2-new"]] : [])
          ]
        )
      }
    })
  )

  test(
    "from latest, only what comes after the call is read",
    Effect.gen(function*() {
      const topic = yield* newTopic({ partitions: 2 })
      for (const partition of [0, 1]) yield* send(topic, ["old", "old"], partition)
      const consumer = yield* Consumer.assign({ topics: [topic], from: "latest" })
      for (const partition of [0, 1]) yield* send(topic, [`new ${partition}`], partition)
      const records = yield* read("what came", consumer.records, 2)
      assert.sameDeepMembers(
        records.map(({ offset, partition, value }) => ({ offset, partition, value })),
        [0, 1].map((partition) => ({ offset: 2n, partition, value: `new ${partition}` }))
      )
    })
  )

  test(
    "records of several topics come with the types and names of their topics",
    Effect.gen(function*() {
      const texts = yield* newTopic({ partitions: 2 })
      const name = yield* uniqueName("conformance")
      yield* Admin.createTopic(name, { partitions: 1 })
      const bytes = Topic.make(name, { key: Serde.bytes, value: Serde.bytes })
      const producer = yield* Producer.make()
      yield* producer.sendAll([
        texts.record({ key: "k", value: "text" }),
        bytes.record({ key: Uint8Array.of(0, 255), value: Uint8Array.of(1, 2, 3) }),
        texts.record({ key: "k", value: null })
      ])
      const consumer = yield* Consumer.make({ ...quick, groupId: yield* uniqueName("group"), topics: [texts, bytes] })
      const records = yield* read("both topics", consumer.records, 3)
      const [binary] = records.filter((record) => record.topic === bytes.name)
      assert.deepStrictEqual(Array.from(binary!.value as Uint8Array), [1, 2, 3])
      assert.deepStrictEqual(Array.from(binary!.key as Uint8Array), [0, 255])
      assert.deepStrictEqual(
        records.filter((record) => record.topic === texts.name).map(({ key, value }) => [key, value]),
        [["k", "text"], ["k", null]]
      )
    })
  )

  test(
    "chunks hold records of one partition, and each partition comes in order",
    Effect.gen(function*() {
      const partitions = 4
      const topic = yield* newTopic({ partitions })
      const producer = yield* Producer.make({ batchBytes: 4096 })
      yield* producer.sendAll(
        range(8_000).map((number) => topic.record({ partition: number % partitions, value: String(number) }))
      )
      const consumer = yield* Consumer.make({
        ...quick,
        groupId: yield* uniqueName("group"),
        topics: [topic],
        fetch: { ...quick.fetch, partitionBytes: 16 * 1024, bufferBytes: 32 * 1024 }
      })
      const next = range(partitions).map(() => 0)
      let count = 0
      yield* within(
        "reading all",
        Stream.runForEachWhile(Stream.chunks(consumer.records), (chunk) =>
          Effect.sync(() => {
            const records = Array.from(chunk)
            assert.strictEqual(new Set(records.map(({ partition }) => partition)).size, 1)
            for (const { offset, partition, value } of records) {
              assert.strictEqual(Number(offset), next[partition])
              assert.strictEqual(Number(value), next[partition]! * partitions + partition)
              next[partition]!++
              count++
            }
            return count < 8_000
          }))
      )
      assert.deepStrictEqual(next, range(partitions).map(() => 2_000))
    })
  )

  test(
    "a record that cannot be deserialized fails the stream with its place, after those before it",
    Effect.gen(function*() {
      const topic = yield* newTopic({ partitions: 1 })
      const strict = Topic.make(topic.name, { key: Serde.string, value: Serde.string })
      const producer = yield* Producer.make()
      yield* producer.sendAll([
        topic.record({ value: "good" }),
        topic.record({ key: "k", value: null }),
        topic.record({ value: "behind" })
      ])
      const consumer = yield* Consumer.assign({ topics: [strict] })
      const seen: Array<string> = []
      const error = yield* within(
        "the failure",
        Effect.flip(Stream.runForEach(consumer.records, ({ value }) => Effect.sync(() => seen.push(value))))
      )
      assert.strictEqual(error._tag, "FatalError")
      assert.deepStrictEqual([error.reason._tag, error.reason.topic, error.reason.partition], [
        "DeserializationFailed",
        topic.name,
        0
      ])
      assert.deepStrictEqual(seen, ["good"])
    })
  )

  test(
    "a group goes on after what commitSink committed",
    Effect.gen(function*() {
      const { groupId, topic, written } = yield* filled
      const first = yield* Effect.scoped(Effect.gen(function*() {
        const consumer = yield* Consumer.make({ ...quick, groupId, topics: [topic] })
        const taken: Array<string> = []
        yield* within(
          "the first hundred",
          consumer.records.pipe(
            Stream.take(100),
            Stream.tap(({ value }) => Effect.sync(() => taken.push(value!))),
            Stream.run(consumer.commitSink)
          )
        )
        return taken
      }))
      assert.lengthOf(first, 100)
      assert.sameMembers([...first, ...(yield* rest(topic, groupId, written.length - 100))], written)
    })
  )

  test(
    "a group goes on after what was committed by hand, whatever was read",
    Effect.gen(function*() {
      const { groupId, topic, written } = yield* filled
      const committed = yield* Effect.scoped(Effect.gen(function*() {
        const consumer = yield* Consumer.make({ ...quick, groupId, topics: [topic] })
        const records = yield* read("two hundred", consumer.records, 200)
        const settled = records.slice(0, 120)
        yield* within("the first commit", consumer.commit(settled.slice(0, 60)))
        // A committable is a plain value: it can come from anywhere.
        const places = settled.map(({ generation, offset, partition, topic }) => ({
          generation,
          offset,
          partition,
          topic
        }))
        yield* within("the second commit", consumer.commit(places))
        yield* within("an older record", consumer.commit(places[0]!))
        return settled.map(({ value }) => value!)
      }))
      assert.sameMembers([...committed, ...(yield* rest(topic, groupId, written.length - 120))], written)
    })
  )

  test(
    "a new group starts where reset says, and an old one where it was",
    Effect.gen(function*() {
      const topic = yield* newTopic({ partitions: 1 })
      yield* send(topic, ["old"])
      const groupId = yield* uniqueName("group")
      const options = { ...quick, groupId, topics: [topic], reset: "latest" } as const
      const first = yield* Effect.scoped(Effect.gen(function*() {
        const consumer = yield* Consumer.make(options)
        // Nobody is told when the group has its assignment: what is sent from then on is read.
        const [record] = yield* Effect.raceFirst(
          read("what comes", consumer.records, 1),
          Effect.forever(Effect.zipRight(send(topic, ["new"]), Effect.sleep("20 millis")))
        )
        yield* within("the commit", consumer.commit(record!))
        return record!
      }))
      assert.strictEqual(first.value, "new")
      yield* send(topic, ["while nobody reads"])
      const [second] = yield* Effect.scoped(
        Effect.flatMap(Consumer.make(options), (consumer) => read("what came", consumer.records, 1))
      )
      assert.strictEqual(second!.offset, first.offset + 1n)

      const error = yield* Effect.scoped(Effect.gen(function*() {
        const consumer = yield* Consumer.make({ ...options, groupId: `${groupId}-other`, reset: "fail" })
        return yield* Effect.flip(read("no offset", consumer.records, 1))
      }))
      assert.strictEqual(error._tag, "FatalError")
    })
  )

  test(
    "topics and partitions that are not there are typed errors",
    Effect.gen(function*() {
      const topic = yield* newTopic({ partitions: 2 })
      const unknown: TextTopic = { ...topic, name: `${topic.name}-not` }
      const groupId = yield* uniqueName("group")
      const errors = yield* Effect.all([
        Effect.flip(Effect.scoped(Consumer.make({ groupId, topics: [topic, unknown] }))),
        Effect.flip(Effect.scoped(Consumer.assign({ topics: [unknown] }))),
        Effect.flip(Effect.scoped(Consumer.assign({ topics: [topic], partitions: [2] }))),
        Effect.flip(Admin.deleteTopic(unknown.name))
      ])
      for (const error of errors) {
        assert.deepStrictEqual([error._tag, error.reason._tag], ["RetriableError", "UnknownTopicOrPartition"])
      }
      const exists = yield* Effect.flip(Admin.createTopic(topic.name, { partitions: 2 }))
      assert.deepStrictEqual([exists._tag, exists.reason._tag], ["FatalError", "TopicAlreadyExists"])
      const invalid = yield* Effect.flip(Admin.createTopic("no/name"))
      assert.deepStrictEqual([invalid._tag, invalid.reason._tag], ["FatalError", "InvalidTopicException"])
    })
  )
}

/** A topic with records in several partitions, and a group that has read none of them. */
const filled = Effect.gen(function*() {
  const topic = yield* newTopic({ partitions: 3 })
  const written = range(300).map(String)
  yield* Effect.scoped(
    Effect.flatMap(
      Producer.make(),
      (producer) => producer.sendAll(written.map((value, index) => topic.record({ partition: index % 3, value })))
    )
  )
  return { topic, written, groupId: yield* uniqueName("group") }
})

/** What a group has still to read. A record in each partition follows, so that one too many is seen. */
const rest = (topic: TextTopic, groupId: string, count: number) =>
  Effect.scoped(Effect.gen(function*() {
    for (const partition of range(3)) yield* send(topic, ["the end"], partition)
    const consumer = yield* Consumer.make({ ...quick, groupId, topics: [topic] })
    const records = yield* read("what is left", consumer.records, count + 3)
    return records.map(({ value }) => value!).filter((value) => value !== "the end")
  }))
