/** Topics that are deleted, grow, or refuse a record, under a producer that goes on all the time. */
import { assert } from "@effect/vitest"
import { Producer } from "@sluice/kafka"
import { Duration, Effect, Option, Schedule } from "effect"

import { client } from "../support/client.ts"
import { reportDuration } from "../support/duration.ts"
import { threeBrokers } from "./support/cluster.ts"
import { assertFlawless, readBack, startLoad } from "./support/load.ts"
import { test } from "./support/test.ts"

const cluster = threeBrokers()

reportDuration("Faults of topics")

const replicas = [[1, 2, 3], [2, 3, 1]] as const

test(
  "FM-13 a topic is deleted and made again: records go on into the new one, in order and once",
  Effect.gen(function*() {
    const topic = yield* cluster.makeTopic({ replicas })
    const load = yield* startLoad(cluster, { topic, partitions: 2 })
    yield* load.progress("all is well")
    yield* Effect.promise(() => cluster.operator.deleteTopic(topic.name))
    yield* Effect.promise(() => cluster.operator.createTopic(topic.name, { replicas }))
    // What was acknowledged before went with the old topic.
    const time = performance.now()
    for (const partition of [0, 1]) yield* load.note({ _tag: "Truncated", time, partition, offset: 0 })
    yield* load.progress("records go into the new topic", { records: 200 })
    const { duplicated, failed, history, violations } = yield* load.finish
    assert.deepStrictEqual({ duplicated, failed }, { duplicated: 0, failed: { no: 0, maybe: 0 } })
    const present = new Set(history.log.map(({ record }) => record))
    const invoked = new Map(
      history.events.flatMap((event) => event._tag === "Invoked" ? [[event.record, event.time] as const] : [])
    )
    for (const [record, at] of invoked) if (at > time) assert.isTrue(present.has(record), `record ${record}`)
    // With acks all nothing may be gone from a log, and here it was deleted.
    assert.deepStrictEqual(violations.filter((violation) => !violation.startsWith("acknowledged-is-logged: ")), [])
  })
)

test(
  "FM-13 a topic is deleted and not made again: its records fail at their deadline, with the reason",
  Effect.gen(function*() {
    const topic = yield* cluster.makeTopic({ replicas })
    yield* Effect.gen(function*() {
      const producer = yield* Producer.make({ deliveryTimeout: "2 seconds" })
      const send = producer.send(topic.record({ partition: 0, value: "v" }))
      yield* send
      yield* Effect.promise(() => cluster.operator.deleteTopic(topic.name))
      const [duration, error] = yield* Effect.timed(Effect.flip(send))
      assert.isBelow(Duration.toSeconds(duration), 20)
      assert.deepStrictEqual([error._tag, error.reason._tag], ["RetriableError", "DeliveryTimeout"])
      assert.include(error.message, "UNKNOWN_TOPIC_OR_PARTITION")
    }).pipe(Effect.scoped, Effect.provide(client(cluster.addresses)))
  })
)

test(
  "FM-14 partitions are added: nothing is lost, a partition that is not there is refused, and the new ones are used",
  Effect.gen(function*() {
    const loaded = yield* cluster.makeTopic({ replicas })
    const grown = yield* cluster.makeTopic({ replicas })
    const load = yield* startLoad(cluster, { topic: loaded, partitions: 2 })
    yield* load.progress("all is well")
    yield* Effect.gen(function*() {
      const producer = yield* Producer.make()
      const toLast = producer.send(grown.record({ partition: 5, value: "v" }))
      const refused = yield* Effect.flip(toLast)
      assert.deepStrictEqual([refused.reason._tag, refused.persisted], ["UnknownTopicOrPartition", "no"])
      for (const { name } of [loaded, grown]) {
        yield* Effect.promise(() => cluster.operator.addPartitions(name, 6))
      }
      assert.strictEqual((yield* toLast).partition, 5)
      // Records without a key get there within `metadataMaxAge`.
      const seen = new Set<number>()
      const all = yield* producer.send(grown.record({ value: "v" })).pipe(
        Effect.map(({ partition }) => seen.add(partition).size === 6),
        Effect.repeat(Schedule.recurUntil((isAll: boolean) => isAll)),
        Effect.timeoutOption("20 seconds")
      )
      assert.isTrue(Option.isSome(all), `partitions ${[...seen].join(", ")}`)
    }).pipe(Effect.scoped, Effect.provide(client(cluster.addresses, { metadataMaxAge: "500 millis" })))
    yield* load.progress("all is well still")
    assertFlawless(yield* load.finish)
  })
)

test(
  "FM-27 one record of a batch is over the topic's max.message.bytes: it fails alone, and its neighbours are there in order",
  Effect.gen(function*() {
    const topic = yield* cluster.makeTopic({ replicas, config: { "max.message.bytes": "20000" } })
    const values = Array.from({ length: 41 }, (_, index) => `${index} `.padEnd(index === 20 ? 30_000 : 200, "x"))
    const { results } = yield* Effect.gen(function*() {
      const producer = yield* Producer.make({ linger: "100 millis" })
      return yield* Effect.flip(producer.sendAll(values.map((value) => topic.record({ partition: 0, value }))))
    }).pipe(Effect.scoped, Effect.provide(client(cluster.addresses)))
    for (const [index, result] of results.entries()) {
      if (index !== 20) assert.strictEqual(result._tag, "Acknowledged", `record ${index}`)
      else if (result._tag === "Failed") {
        const { _tag, persisted, reason } = result.error
        assert.deepStrictEqual([_tag, reason._tag, persisted], ["FatalError", "MessageTooLarge", "no"])
      } else assert.fail("the large record was acknowledged")
    }
    const log = yield* readBack(cluster, topic, 2)
    assert.deepStrictEqual(log.map(({ value }) => parseInt(value)), values.flatMap((_, i) => i === 20 ? [] : [i]))
  })
)
