/** Reading from the replica in one's own rack (KIP-392), on three brokers, and from their fetch sessions (KIP-227). */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Consumer, Producer, Serde, Topic } from "@sluice/kafka"
import { Fetch } from "@sluice/kafka/internal/protocol/api/fetch"
import { decodeRequest } from "@sluice/kafka/internal/protocol/codec"
import type { RequestOf } from "@sluice/kafka/internal/protocol/field"
import * as Kafka from "@sluice/kafka/Kafka"
import { Transport } from "@sluice/kafka/Transport"
import { KafkaJs } from "@sluice/kafkajs"
import { Effect, Layer, Stream } from "effect"

import { reportDuration } from "../support/duration.ts"
import { type KafkaCluster, startKafka } from "../support/kafka.ts"
import { operator } from "../support/operator.ts"
import { uniqueName } from "../support/topics.ts"

let cluster: KafkaCluster

beforeAll(async () => {
  cluster = await startKafka({
    brokers: 3,
    racks: ["a", "b", "c"],
    properties: {
      "replica.selector.class": "org.apache.kafka.common.replica.RackAwareReplicaSelector",
      "max.incremental.fetch.session.cache.slots": 8
    }
  })
})

afterAll(() => cluster.stop())

reportDuration("Racks and fetch sessions")

interface Sent {
  readonly broker: number
  readonly request: RequestOf<typeof Fetch>
  readonly bytes: number
}

/** A client whose Fetch requests are written down. */
const watched = (sent: Array<Sent>) => {
  const brokers = cluster.brokers.split(",")
  const watching = Layer.effect(
    Transport,
    Effect.map(Transport, (transport) => ({
      connect: (address, options) =>
        Effect.map(transport.connect(address, options), (connection) => ({
          ...connection,
          send: (frame) => {
            if (frame.apiKey === Fetch.key) {
              const body = Buffer.concat(frame.body)
              sent.push({
                broker: brokers.indexOf(`${address.host}:${address.port}`) + 1,
                request: decodeRequest(Fetch, frame.apiVersion, body),
                bytes: body.length
              })
            }
            return connection.send(frame)
          }
        }))
    }))
  )
  return Kafka.layer({ brokers: cluster.brokers, metadataMaxAge: "5 seconds" }).pipe(
    Layer.provide(watching),
    Layer.provide(KafkaJs.transport())
  )
}

const makeTopic = (partitions: number) =>
  Effect.gen(function*() {
    const topic = Topic.make(uniqueName("racks"), { key: Serde.string, value: Serde.string })
    // Broker 1 leads all.
    yield* Effect.promise(() =>
      operator(cluster.brokers.split(",")).createTopic(topic.name, {
        replicas: Array.from({ length: partitions }, () => [1, 2, 3])
      })
    )
    return topic
  })

const until = (what: string, condition: () => boolean) =>
  Effect.gen(function*() {
    for (let step = 0; step < 600; step++) {
      if (condition()) return
      yield* Effect.sleep("50 millis")
    }
    throw new Error(`not in time: ${what}`)
  })

const writeTo = (topic: Topic.Topic<string, string, string>, from: number, to: number) =>
  Producer.make().pipe(
    Effect.flatMap((producer) =>
      producer.sendAll(
        Array.from({ length: to - from }, (_, index) => topic.record({ partition: 0, value: String(from + index) }))
      )
    ),
    Effect.scoped
  )

describe("a consumer in a rack", () => {
  it.live("reads from the replica there, and from the leader when it dies: nothing is lost or repeated", () => {
    const sent: Array<Sent> = []
    return Effect.gen(function*() {
      const topic = yield* makeTopic(1)
      yield* writeTo(topic, 0, 1000)
      const consumer = yield* Consumer.assign({ topics: [topic], fetch: { rack: "b" } })
      const values: Array<number> = []
      yield* Effect.forkScoped(
        Stream.runForEach(consumer.records, ({ value }) => Effect.sync(() => values.push(Number(value))))
      )
      yield* until("all", () => values.length === 1000)
      const before = sent.length
      yield* writeTo(topic, 1000, 2000)
      yield* until("all", () => values.length === 2000)
      const own = sent.slice(before).filter(({ broker }) => broker === 2).length
      assert.isAbove(own, 0)
      assert.isAtLeast(own, sent.slice(before).length - 2)
      yield* Effect.promise(() => cluster.kill(2))
      yield* writeTo(topic, 2000, 3000)
      yield* until("from the leader", () => values.length === 3000)
      yield* Effect.promise(() => cluster.start(2))
      yield* Effect.promise(() => operator(cluster.brokers.split(",")).allAlive())
      yield* Effect.sleep("7 seconds")
      yield* writeTo(topic, 3000, 4000)
      yield* until("all", () => values.length === 4000)
      assert.deepStrictEqual(values, Array.from({ length: 4000 }, (_, index) => index))
      assert.strictEqual(sent.at(-1)!.broker, 2, "it reads there again")
    }).pipe(Effect.scoped, Effect.provide(watched(sent)))
  })
})

describe("fetch sessions", () => {
  it.live("name partitions once: a hundred that are idle cost a few bytes a request", () => {
    const sent: Array<Sent> = []
    return Effect.gen(function*() {
      const topic = yield* makeTopic(100)
      const consumer = yield* Consumer.make({ groupId: topic.name, topics: [topic] })
      const values: Array<number> = []
      yield* Effect.forkScoped(
        Stream.runForEach(consumer.records, ({ value }) => Effect.sync(() => values.push(Number(value))))
      )
      yield* until("all are fetched", () => sent.some(({ request }) => request.sessionEpoch > 5))
      yield* Effect.sleep("1 second")
      const cpu = process.cpuUsage()
      const start = performance.now()
      const before = sent.length
      yield* Effect.sleep("10 seconds")
      const { system, user } = process.cpuUsage(cpu)
      const idle = sent.slice(before)
      console.log(
        `idle, 100 partitions of one broker: ${idle.length} requests in 10 seconds, ${idle[0]!.bytes} bytes each; ` +
          `${((user + system) / 10 / (performance.now() - start)).toFixed(2)} % of a core`
      )
      assert.isAtMost(idle.length, 25)
      for (const { bytes, request } of idle) {
        assert.isAbove(request.sessionEpoch, 0)
        assert.isEmpty(request.topics)
        assert.isBelow(bytes, 100)
      }
      yield* writeTo(topic, 0, 10)
      yield* until("all", () => values.length === 10)
      assert.deepStrictEqual(values, Array.from({ length: 10 }, (_, index) => index))
      const lag = yield* consumer.lag.get
      assert.strictEqual(lag, 0n)
    }).pipe(Effect.scoped, Effect.provide(watched(sent)))
  })

  it.live("are not needed: more consumers than the broker has room for read all the same", () => {
    const sent: Array<Sent> = []
    return Effect.gen(function*() {
      const topic = yield* makeTopic(2)
      const counts = yield* Effect.forEach(Array.from({ length: 12 }), () =>
        Effect.gen(function*() {
          const seen = { count: 0 }
          const consumer = yield* Consumer.assign({ topics: [topic] })
          yield* Effect.forkScoped(Stream.runForEach(consumer.records, () => Effect.sync(() => seen.count++)))
          return seen
        }))
      yield* Effect.sleep("3 seconds")
      yield* writeTo(topic, 0, 100)
      yield* until("all", () => counts.every(({ count }) => count === 100))
      const last = sent.slice(-100)
      assert.isTrue(last.some(({ request }) => request.sessionEpoch > 0))
      assert.isTrue(last.some(({ request }) => request.sessionEpoch === 0), "some have none")
    }).pipe(Effect.scoped, Effect.provide(watched(sent)))
  })
})
