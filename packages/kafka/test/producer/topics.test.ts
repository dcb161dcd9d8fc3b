import { assert, describe, it } from "@effect/vitest"
import * as Admin from "@sluice/kafka/Admin"
import type { RequestOf } from "@sluice/kafka/internal/protocol/field"
import * as Producer from "@sluice/kafka/Producer"
import * as Serde from "@sluice/kafka/Serde"
import * as Topic from "@sluice/kafka/Topic"
import { MemoryCluster } from "@sluice/testing/MemoryCluster"
import { Effect, Fiber, TestClock } from "effect"

import { memory } from "../support/memory.ts"
import { line, values } from "./lines.ts"
import { answerFirst, Metadata, wired, Wires } from "./wire.ts"

const noted = (topic: string) => Topic.make(topic, { key: Serde.string, value: Serde.string }).record({ value: "x" })

const metadataRequests = Effect.map(Wires, (wire) => wire.requests.filter(({ api }) => api === "Metadata"))

describe("a topic that is not there", () => {
  it.effect("fails its records after a few attempts, and is not asked for again", () =>
    Effect.gen(function*() {
      const producer = yield* Producer.make()
      const before = (yield* metadataRequests).length
      const fiber = yield* Effect.fork(Effect.flip(producer.send(noted("nowhere"))))
      yield* TestClock.adjust("5 seconds")
      const error = yield* Fiber.join(fiber)
      assert.deepInclude(error, { _tag: "RetriableError", scope: "topic", persisted: "no" })
      assert.deepInclude(error.reason, { _tag: "UnknownTopicOrPartition", topic: "nowhere", code: 3 })
      const requests = yield* metadataRequests
      assert.isAtMost(requests.length - before, 5)
      yield* TestClock.adjust("10 minutes")
      assert.strictEqual((yield* metadataRequests).length, requests.length)
    }).pipe(Effect.scoped, Effect.provide(wired())))

  it.effect("is not created by being asked for", () =>
    Effect.gen(function*() {
      const producer = yield* Producer.make()
      const fiber = yield* Effect.fork(Effect.flip(producer.send(noted("nowhere"))))
      yield* TestClock.adjust("5 seconds")
      yield* Fiber.join(fiber)
      const bodies = (yield* metadataRequests).map(({ body }) => body as RequestOf<typeof Metadata>)
      assert.isTrue(bodies.some(({ topics }) => topics?.some(({ name }) => name === "nowhere")))
      assert.isTrue(bodies.every(({ allowAutoTopicCreation }) => !allowAutoTopicCreation))
    }).pipe(Effect.scoped, Effect.provide(wired())))

  it.effect("costs as many requests for a thousand records as for one", () =>
    Effect.gen(function*() {
      const producer = yield* Producer.make()
      const before = (yield* metadataRequests).length
      const fibers = yield* Effect.forEach(
        Array.from({ length: 1000 }),
        () => Effect.fork(Effect.flip(producer.send(noted("nowhere"))))
      )
      yield* TestClock.adjust("10 seconds")
      assert.lengthOf(yield* Fiber.join(Fiber.all(fibers)), 1000)
      assert.isAtMost((yield* metadataRequests).length - before, 5)
    }).pipe(Effect.scoped, Effect.provide(wired())))

  it.effect("is found when it is created meanwhile", () =>
    Effect.gen(function*() {
      const producer = yield* Producer.make()
      const fiber = yield* Effect.fork(producer.send(line("a")))
      yield* TestClock.adjust("50 millis")
      yield* Effect.flatMap(MemoryCluster, (cluster) => cluster.createTopic("lines"))
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual((yield* Fiber.join(fiber)).offset, 0n)
    }).pipe(Effect.scoped, Effect.provide(memory())))

  it.effect("does not hold up records for others", () =>
    Effect.gen(function*() {
      const producer = yield* Producer.make()
      yield* Effect.fork(producer.send(noted("nowhere")))
      yield* TestClock.adjust(0)
      assert.strictEqual((yield* producer.send(line("a"))).offset, 0n)
    }).pipe(Effect.scoped, Effect.provide(memory({ topics: { lines: 1 } }))))

  it.effect("may be forbidden: that is final", () =>
    Effect.gen(function*() {
      const producer = yield* Producer.make()
      answerFirst(yield* Wires, "Metadata", () => ({
        _tag: "Body",
        api: Metadata,
        body: {
          brokers: [{ nodeId: 1, host: "broker-1.memory", port: 9092 }],
          topics: [{ name: "lines", topicId: "AAAAAAAAAAAAAAAAAAAAAA", errorCode: 29, partitions: [] }]
        }
      }))
      const error = yield* Effect.flip(producer.send(line("a")))
      assert.deepInclude(error, { _tag: "FatalError", scope: "topic", persisted: "no" })
      assert.strictEqual(error.reason._tag, "TopicAuthorizationFailed")
    }).pipe(Effect.scoped, Effect.provide(wired({ topics: { lines: 1 } }))))
})

describe("a topic that is deleted", () => {
  it.effect("keeps its records until their deadline, and takes them when it is back", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const producer = yield* Producer.make({ deliveryTimeout: "20 seconds" })
      yield* producer.send(line("0"))
      yield* Admin.deleteTopic("lines")
      const before = (yield* metadataRequests).length
      const lost = yield* Effect.fork(Effect.flip(producer.send(line("lost"))))
      yield* TestClock.adjust("5 seconds")
      const never = yield* Effect.fork(Effect.flip(producer.send(line("never sent"))))
      yield* TestClock.adjust("20 seconds")
      // As seldom as any other retry.
      assert.isAtMost((yield* metadataRequests).length - before, 35)
      assert.strictEqual((yield* Fiber.join(never)).persisted, "no")
      const error = yield* Fiber.join(lost)
      // The broker did answer, in words that do not say whether it had appended it before.
      assert.deepInclude(error, { _tag: "RetriableError", persisted: "maybe" })
      assert.strictEqual(error.reason._tag, "DeliveryTimeout")
      assert.include(error.message, "UNKNOWN_TOPIC_OR_PARTITION")
      const kept = yield* Effect.fork(producer.send(line("kept")))
      yield* TestClock.adjust("10 seconds")
      yield* cluster.createTopic("lines")
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual((yield* Fiber.join(kept)).offset, 0n)
      assert.deepStrictEqual(yield* values(), ["kept"])
    }).pipe(Effect.scoped, Effect.provide(wired({ topics: { lines: 1 } }))))

  it.effect("is not forgotten because somebody else looks for it in vain", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const [one, other] = yield* Effect.all([Producer.make(), Producer.make()])
      yield* one.send(line("0"))
      yield* Admin.deleteTopic("lines")
      const kept = yield* Effect.fork(one.send(line("kept")))
      yield* TestClock.adjust("1 second")
      const vain = yield* Effect.fork(Effect.exit(other.send(line("in vain"))))
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual((yield* Fiber.join(vain))._tag, "Failure")
      yield* cluster.createTopic("lines")
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual((yield* Fiber.join(kept)).offset, 0n)
    }).pipe(Effect.scoped, Effect.provide(memory({ topics: { lines: 1 } }))))

  it.effect("and made anew at once is another topic: its leaders are taken as they are", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const producer = yield* Producer.make()
      // The old topic's leader epochs are far ahead of the new one's.
      for (let i = 0; i < 6; i++) {
        yield* cluster.setLeader("lines", 0, 1 + i % 2)
        const fiber = yield* Effect.fork(producer.send(line(String(i))))
        yield* TestClock.adjust("2 seconds")
        yield* Fiber.join(fiber)
      }
      yield* Admin.deleteTopic("lines")
      yield* cluster.createTopic("lines")
      yield* cluster.setLeader("lines", 0, 3)
      const fiber = yield* Effect.fork(producer.send(line("anew")))
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual((yield* Fiber.join(fiber)).offset, 0n)
    }).pipe(Effect.scoped, Effect.provide(memory({ brokers: 3, topics: { lines: 1 } }))))
})

describe("the view of the cluster", () => {
  it.effect("is not asked again of a broker that hangs, while others answer", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const wire = yield* Wires
      for (const partition of [0, 1, 2]) yield* cluster.setLeader("lines", partition, 1)
      const producer = yield* Producer.make()
      yield* producer.send(line("0", { partition: 0 }))
      yield* cluster.pauseBroker(3)
      const [connects, requests] = [wire.connects.length, wire.requests.length]
      // Each of these needs new metadata, from whichever broker.
      for (let i = 1; i <= 20; i++) {
        yield* cluster.setLeader("lines", 0, 1 + i % 2)
        const fiber = yield* Effect.fork(producer.send(line(String(i), { partition: 0 })))
        while ((yield* fiber.poll)._tag === "None") yield* TestClock.adjust("1 second")
        yield* Fiber.join(fiber)
      }
      const isHanging = (address: string) => address === "broker-3.memory:9092"
      assert.isAtMost(wire.connects.slice(connects).filter(isHanging).length, 1)
      assert.isAtMost(wire.requests.slice(requests).filter(({ address }) => isHanging(address)).length, 1)
    }).pipe(Effect.scoped, Effect.provide(wired({ brokers: 3, topics: { lines: 3 } }))))

  it.effect("is got within the API timeout, or the producer is not made", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      yield* cluster.stopBroker(1)
      const fiber = yield* Effect.fork(Effect.flip(Effect.scoped(Producer.make())))
      yield* TestClock.adjust("1 minute")
      const error = yield* Fiber.join(fiber)
      assert.deepInclude(error, { _tag: "RetriableError", scope: "client" })
      assert.strictEqual(error.reason._tag, "BrokersUnavailable")
      assert.strictEqual(yield* cluster.connections, 0)
    }).pipe(Effect.provide(memory())))

  for (const api of ["Metadata", "InitProducerId"]) {
    it.effect(`is bounded in time for a caller that cannot be interrupted (${api} unanswered)`, () =>
      Effect.gen(function*() {
        const wire = yield* Wires
        wire.answer = (request) => request.api === api ? { _tag: "Silence" } : undefined
        const fiber = yield* Effect.fork(Effect.uninterruptible(Effect.flip(Effect.scoped(Producer.make()))))
        yield* TestClock.adjust("1 minute")
        const error = yield* Fiber.join(fiber)
        assert.strictEqual(error._tag, "RetriableError")
        yield* Effect.flatMap(MemoryCluster, ({ connections }) => connections)
      }).pipe(Effect.provide(wired())))
  }
})
