/** Apache Kafka 3.9.2, the last release before 4.0: the conformance suite again, and a secured listener. */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Admin, Consumer, Producer, Serde, Topic } from "@sluice/kafka"
import * as Conformance from "@sluice/testing/Conformance"
import { Effect, Layer, Redacted, Stream } from "effect"

import { activeResources, client } from "./support/client.ts"
import { reportDuration } from "./support/duration.ts"
import { javaConsume } from "./support/javaTool.ts"
import { type KafkaCluster, saslUsers, startKafka } from "./support/kafka.ts"
import { uniqueName } from "./support/topics.ts"

const version = "3.9.2"

let cluster: KafkaCluster

beforeAll(async () => {
  cluster = await startKafka({ version, sasl: true })
})

afterAll(() => cluster.stop())

reportDuration(`Apache Kafka ${version}`)

Conformance.suite(`on Apache Kafka ${version}`, Layer.suspend(() => client(cluster.brokers)), {
  leftovers: activeResources
})

describe(`Apache Kafka ${version}, over TLS and SASL`, () => {
  it.live("a record goes there and back, and Kafka's own consumer of that release reads it", () =>
    Effect.gen(function*() {
      const topic = Topic.make(uniqueName("smoke"), { key: Serde.string, value: Serde.string })
      const sasl = { mechanism: "scram-sha-256", username: "alice", password: Redacted.make(saslUsers.alice) } as const
      const value = yield* Effect.gen(function*() {
        yield* Admin.createTopic(topic.name)
        const producer = yield* Producer.make({ compression: "gzip" })
        yield* producer.send(topic.record({ key: "k", value: "there and back" }))
        const consumer = yield* Consumer.make({ groupId: topic.name, topics: [topic] })
        const [record] = yield* Stream.runCollect(Stream.take(consumer.records, 1))
        yield* consumer.commit(record!)
        return record!.value
      }).pipe(
        Effect.scoped,
        Effect.provide(client(cluster.listeners.saslSsl!, { ssl: { ca: cluster.ca }, sasl })),
        Conformance.nothingLeft({ leftovers: activeResources })
      )
      assert.strictEqual(value, "there and back")
      const [record] = yield* Effect.promise(() =>
        javaConsume({ brokers: cluster.brokers, topic: topic.name, version })
      )
      assert.deepStrictEqual([String(record!.key), String(record!.value)], ["k", "there and back"])
    }))
})
