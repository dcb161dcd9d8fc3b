/** A worker in a process of its own, under `NodeRuntime.runMain`, that is told to stop while it works on Apache Kafka. */
import { assert, it } from "@effect/vitest"
import { Admin, Consumer, type Kafka, Producer, Serde, Topic } from "@sluice/kafka"
import * as Conformance from "@sluice/testing/Conformance"
import { Chunk, Effect, type Scope, Stream } from "effect"
import { inject } from "vitest"

import { activeResources, client } from "./support/client.ts"
import { reportDuration } from "./support/duration.ts"
import type { MemberOptions, Told } from "./support/member.ts"
import { makeMembers } from "./support/members.ts"
import { operator } from "./support/operator.ts"
import { uniqueName } from "./support/topics.ts"

reportDuration("Processes that are told to stop")

const { brokers } = inject("kafka")
const kafka = operator(brokers.split(","))

const partitions = 4
const perPartition = 200

/** One test, on a client of its own that leaves nothing behind. */
const test = (name: string, self: Effect.Effect<void, unknown, Kafka.Kafka | Scope.Scope>) =>
  it.live(name, () =>
    self.pipe(
      Effect.scoped,
      Effect.provide(client(brokers)),
      Conformance.nothingLeft({ leftovers: activeResources })
    ))

type Started = Extract<Told, { readonly _tag: "Started" }>

/** Runs a worker until it is so, sends its process a signal, and tells what came of it. */
const terminate = (
  signal: "SIGTERM" | "SIGINT",
  options: Pick<MemberOptions, "consumer" | "run" | "works">,
  isSo: (inHand: ReadonlyArray<Started>, told: ReadonlyArray<Told>) => boolean
) =>
  Effect.gen(function*() {
    const topic = Topic.make(uniqueName("jobs"), { key: Serde.string, value: Serde.string })
    const results = Topic.make(uniqueName("results"), { key: Serde.string, value: Serde.string })
    yield* Admin.createTopic(topic.name, { partitions })
    yield* Admin.createTopic(results.name, { partitions: 1 })
    const producer = yield* Producer.make()
    yield* producer.sendAll(
      Array.from({ length: partitions * perPartition }, (_, record) =>
        topic.record({ key: `${record % 50}`, partition: record % partitions, value: `${record}` }))
    )
    const members = yield* makeMembers({
      brokers,
      topic: topic.name,
      groupId: topic.name,
      results: results.name,
      ...options
    })
    const worker = yield* members.start("worker")
    const inHand = (told: ReadonlyArray<Told>) => {
      const ended = new Set(told.flatMap((event) =>
        event._tag === "Processed" ? [event.record] : []
      ))
      return told.filter((event): event is Started => event._tag === "Started" && !ended.has(event.record))
    }
    yield* members.until("it works", (told) => isSo(inHand(told), told))
    const sentAt = performance.now()
    const code = yield* worker.end(signal)
    const took = performance.now() - sentAt
    // Its session would go on for most of a minute: it has left.
    const left = yield* Effect.promise(() => kafka.group("it has left", topic.name, () => true))
    const committed = yield* Effect.promise(() => kafka.committed(topic.name, topic.name, partitions))
    const end = yield* producer.send(results.record({ value: "end" }))
    const reader = yield* Consumer.assign({ topics: [results] })
    const delivered = yield* reader.records.pipe(
      Stream.take(Number(end.offset)),
      Stream.map(({ value }) => Number(value)),
      Stream.runCollect,
      Effect.map(Chunk.toReadonlyArray)
    )
    const { told } = worker
    const processed = told.filter((event) => event._tag === "Processed")
    const count = (partition: number) => processed.filter((event) => event.partition === partition).length
    return {
      code,
      took,
      committed,
      /** How many of each partition that has any: what is to be committed. */
      processed: new Map(
        [...Array(partitions).keys()].flatMap((partition) =>
          count(partition) > 0 ? [[partition, count(partition)]] : []
        )
      ),
      interrupted: told.flatMap((event) => event._tag === "HandlerEnded" ? [`${event.partition}/${event.offset}`] : []),
      /** What was sent by handlers that are done is there, once. */
      undelivered: processed.flatMap(({ record }) =>
        delivered.filter((each) => each === record).length === 1 ? [] : [record]
      ),
      members: left.members.size
    }
  })

for (const run of [{ order: "partition" }, { order: "key", concurrency: 16 }] as const) {
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    test(
      `${signal}, order by ${run.order}: what is in hand is finished, delivered and committed, the group is left, and the process ends with 0`,
      Effect.gen(function*() {
        const { code, committed, interrupted, members, processed, undelivered } = yield* terminate(
          signal,
          {
            run,
            works: { every: 1, millis: 100 },
            consumer: { commitInterval: "1 hour", sessionTimeout: "45 seconds" }
          },
          (inHand, told) =>
            inHand.length >= (run.order === "key" ? 10 : partitions) &&
            told.filter(({ _tag }) => _tag === "Processed").length >= 20
        )
        assert.deepStrictEqual({ code, interrupted, members, undelivered }, {
          code: 0,
          interrupted: [],
          members: 0,
          undelivered: []
        })
        assert.deepStrictEqual([...committed].sort(), [...processed].sort())
        for (const offset of committed.values()) assert.isBelow(offset, perPartition)
      })
    )
  }
}

test(
  "SIGTERM, and a handler that never ends: it is interrupted at drainTimeout, and all but its record is committed",
  Effect.gen(function*() {
    const { code, committed, interrupted, members, processed, took, undelivered } = yield* terminate(
      "SIGTERM",
      { works: { every: 1, millis: 20, on: { 41: 3_600_000 } }, consumer: { drainTimeout: "1 second" } },
      (inHand, told) =>
        inHand.some(({ record }) => record === 41) && told.filter(({ _tag }) => _tag === "Processed").length >= 60
    )
    assert.deepStrictEqual({ code, interrupted, members, undelivered }, {
      code: 0,
      interrupted: ["1/10"],
      members: 0,
      undelivered: []
    })
    assert.strictEqual(committed.get(1), 10)
    assert.deepStrictEqual([...committed].sort(), [...processed].sort())
    assert.isAtMost(took, 5_000)
  })
)
