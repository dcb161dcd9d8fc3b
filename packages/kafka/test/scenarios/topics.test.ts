/** Topics that are not what they were, or that nobody may write to any more. */
import { assert, describe, it } from "@effect/vitest"
import * as Producer from "@sluice/kafka/Producer"
import * as Serde from "@sluice/kafka/Serde"
import * as Topic from "@sluice/kafka/Topic"
import { MemoryCluster } from "@sluice/testing/MemoryCluster"
import { Clock, Effect } from "effect"

import { allValues, count, line, values } from "../producer/lines.ts"
import { batchesOf, Metadata, produceAnswer, Wires } from "../producer/wire.ts"
import { outcome, play } from "./story.ts"

const Audit = Topic.make("audit", { key: Serde.string, value: Serde.string })

describe("a topic", () => {
  it("SA-P17: that is said to have no partitions fails its records as not written, and takes them when it has some", () => {
    play(Effect.gen(function*() {
      const wire = yield* Wires
      const producer = yield* Producer.make()
      let hasNone = true
      wire.answer = ({ api }) =>
        api === "Metadata" && hasNone
          ? {
            _tag: "Body",
            api: Metadata,
            body: {
              brokers: [{ nodeId: 1, host: "broker-1.memory", port: 9092 }],
              topics: [{ name: "lines", topicId: "AAAAAAAAAAAAAAAAAAAAAA", errorCode: 0, partitions: [] }]
            }
          }
          : undefined
      for (const record of [line("nowhere"), line("nowhere", { key: "k" }), line("nowhere", { partition: 0 })]) {
        const start = yield* Clock.currentTimeMillis
        assert.strictEqual(outcome(yield* Effect.flip(producer.send(record))), "UnknownTopicOrPartition no")
        assert.isBelow((yield* Clock.currentTimeMillis) - start, 5000)
      }
      hasNone = false
      assert.strictEqual((yield* producer.send(line("somewhere"))).offset, 0n)
      assert.deepStrictEqual(yield* values(), ["somewhere"])
    }))
  })

  it("FM-14: that gets more partitions meanwhile loses no record; one for a partition that it does not have fails by itself", () => {
    play(
      Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        const producer = yield* Producer.make()
        const acks: Array<Effect.Effect<Producer.RecordMetadata, unknown>> = []
        for (const value of count(2000)) {
          if (value === "500") yield* cluster.createPartitions("lines", 4)
          acks.push(yield* producer.enqueue(line(value, { key: value })))
          yield* Effect.sleep("1 millis")
        }
        const places = yield* Effect.all(acks)
        assert.deepStrictEqual(new Set(places.map(({ partition }) => partition)), new Set([0, 1, 2, 3]))
        assert.sameMembers([...(yield* allValues())], [...count(2000)])
        const error = yield* Effect.flip(producer.send(line("nowhere", { partition: 4 })))
        assert.strictEqual(outcome(error), "UnknownTopicOrPartition no")
        assert.include(error.message, "the topic has 4 partitions")
        assert.lengthOf(yield* allValues(), 2000)
      }),
      { cluster: { topics: { lines: 2 } }, client: { metadataMaxAge: "1 second" } }
    )
  })

  it("FM-26: whose permission is taken away fails its records at once, alone, and goes on when it is given back", () => {
    play(
      Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        const wire = yield* Wires
        // Each topic at a broker of its own: a request is about one of them.
        yield* cluster.setLeader("lines", 0, 1)
        yield* cluster.setLeader("audit", 0, 2)
        const producer = yield* Producer.make()
        const send = (value: string) =>
          Effect.all({
            lines: Effect.either(producer.send(line(value))),
            audit: Effect.either(producer.send(Audit.record({ value })))
          }, { concurrency: 2 })
        yield* send("0")
        wire.answer = (request) =>
          batchesOf(request).some(({ topic }) => topic === "lines") ? produceAnswer(request, () => 29) : undefined
        const start = yield* Clock.currentTimeMillis
        for (const value of ["1", "2", "3"]) {
          const { audit, lines } = yield* send(value)
          assert.strictEqual(audit._tag, "Right")
          if (lines._tag === "Right") throw new Error("it was sent")
          assert.strictEqual(lines.left._tag, "FatalError")
          assert.strictEqual(outcome(lines.left), "TopicAuthorizationFailed no")
          assert.strictEqual(lines.left.reason.topic, "lines")
        }
        assert.isBelow((yield* Clock.currentTimeMillis) - start, 100)
        wire.answer = () => undefined
        const { lines } = yield* send("4")
        assert.isTrue(lines._tag === "Right" && lines.right.offset === 1n)
        assert.deepStrictEqual(yield* values(0, "lines"), ["0", "4"])
        assert.deepStrictEqual(yield* values(0, "audit"), count(5))
      }),
      { cluster: { brokers: 2, topics: { lines: 1, audit: 1 } } }
    )
  })
})
