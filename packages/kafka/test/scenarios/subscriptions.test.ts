/** What consumers subscribe to: topics, patterns, partitions of their own choice. */
import { assert, describe, it } from "@effect/vitest"
import * as Consumer from "@sluice/kafka/Consumer"
import type { RequestOf } from "@sluice/kafka/internal/protocol/field"
import * as Serde from "@sluice/kafka/Serde"
import * as Topic from "@sluice/kafka/Topic"
import { MemoryCluster } from "@sluice/testing/MemoryCluster"
import { Effect } from "effect"

import { Metadata, Wires } from "../producer/wire.ts"
import { Lines, logged, member, named, next, range, until, write } from "./reading.ts"
import { play } from "./story.ts"

const strings = { key: Serde.string, value: Serde.string }
const Logs = Topic.pattern(/^log\./g, strings)

/** What a consumer was given, as `topic/value`. */
const seeing = () => {
  const seen: Array<string> = []
  return {
    seen,
    handler: (record: { readonly topic: string; readonly value: string }) =>
      Effect.sync(() => {
        seen.push(`${record.topic}/${record.value}`)
      })
  }
}

describe("a subscription", () => {
  it("SA-C1: to topics, to a pattern, and to partitions without a group, each sees everything", () => {
    play(
      Effect.gen(function*() {
        for (const topic of ["lines", "log.a", "log.b"]) {
          yield* write(0, range(0, 5), { topic })
          yield* write(1, range(5, 10), { topic })
        }
        const sorted = (values: ReadonlyArray<number>) => Array.from(values).sort((a, b) => a - b)
        const byName = yield* member({ groupId: "names", topics: [Lines, named("log.a")] })
        assert.deepStrictEqual(
          sorted(yield* next(byName.consumer.records, 20)),
          sorted([...range(0, 10), ...range(0, 10)])
        )
        const byPattern = yield* member({ groupId: "patterns", topics: [Logs] })
        assert.deepStrictEqual(
          sorted(yield* next(byPattern.consumer.records, 20)),
          sorted([...range(0, 10), ...range(0, 10)])
        )
        const assigned = yield* Consumer.assign({ topics: [Lines], partitions: [1] })
        assert.deepStrictEqual(yield* next(assigned.records, 5), range(5, 10))
      }),
      { cluster: { topics: { lines: 2, "log.a": 2, "log.b": 2 } } }
    )
  })

  it("SA-C6: to a topic and two patterns is their union; the topic, then the first pattern says how records are read", () => {
    play(
      Effect.gen(function*() {
        for (const topic of ["lines", "log.a", "log.b"]) yield* write(0, [1], { topic })
        const upper = (prefix: string): Serde.Serde<string> => ({
          ...Serde.string,
          deserialize: (bytes, topic) => prefix + Serde.string.deserialize(bytes, topic)
        })
        const { handler, seen } = seeing()
        const { consumer } = yield* member({
          topics: [
            Topic.pattern(/a$/, { key: Serde.string, value: upper("first ") }),
            Topic.pattern(/./, { key: Serde.string, value: upper("second ") }),
            Lines
          ]
        })
        yield* Effect.fork(consumer.run(handler))
        yield* until("all", () => seen.length === 3)
        assert.sameMembers(seen, ["lines/1", "log.a/first 1", "log.b/second 1"])
      }),
      { cluster: { topics: { lines: 1, "log.a": 1, "log.b": 1 } } }
    )
  })
})

describe("a pattern", () => {
  it("SA-C12: finds a topic that is created later, also if it found none at first", () => {
    play(
      Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        const { handler, seen } = seeing()
        const first = yield* member({ topics: [Logs] })
        const second = yield* member({ topics: [Logs] })
        yield* Effect.fork(first.consumer.run(handler))
        yield* Effect.fork(second.consumer.run(handler))
        yield* Effect.sleep("10 seconds")
        for (const topic of ["log.a", "log.b", "catalog.c"]) {
          yield* cluster.createTopic(topic, { partitions: 4 })
          for (const partition of range(0, 4)) yield* write(partition, [partition], { topic })
        }
        yield* until("all", () => seen.length >= 8)
        yield* Effect.sleep("30 seconds")
        assert.sameMembers(seen, ["log.a", "log.b"].flatMap((topic) => range(0, 4).map((value) => `${topic}/${value}`)))
      }),
      { cluster: { topics: {} }, client: { metadataMaxAge: "5 seconds" } }
    )
  })

  it("SA-C14: drops a topic that is deleted, says so, goes on with the others, and takes it when it is back", () => {
    const { warnings, within } = logged()
    play(
      within(Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        const { handler, seen } = seeing()
        const { consumer } = yield* member({ topics: [Logs] })
        yield* Effect.fork(consumer.run(handler))
        yield* write(0, [1], { topic: "log.a" })
        yield* write(0, [1], { topic: "log.b" })
        yield* until("the first", () => seen.length === 2)
        yield* cluster.deleteTopic("log.a")
        yield* Effect.sleep("20 seconds")
        yield* write(0, [2], { topic: "log.b" })
        yield* until("the other", () => seen.length === 3)
        assert.include(warnings().join("\n"), "log.a: there is no such topic any more; 1 partitions are lost")
        yield* cluster.createTopic("log.a", { partitions: 1 })
        yield* write(0, [3], { topic: "log.a" })
        yield* until("it again", () => seen.length === 4)
        assert.sameMembers(seen, ["log.a/1", "log.b/1", "log.b/2", "log.a/3"])
      })),
      { cluster: { topics: { "log.a": 1, "log.b": 1 } }, client: { metadataMaxAge: "5 seconds" } }
    )
  })

  it("gives up no topic on the word of one broker", () => {
    const { warnings, within } = logged()
    play(
      within(Effect.gen(function*() {
        const wire = yield* Wires
        const { handler, seen } = seeing()
        const { consumer } = yield* member({ topics: [Logs] })
        yield* Effect.fork(consumer.run(handler))
        yield* write(0, [1], { topic: "log.a" })
        yield* until("the first", () => seen.length === 1)
        let answered = 0
        wire.answer = ({ api, body }) =>
          api === "Metadata" && (body as RequestOf<typeof Metadata>).topics === null && answered++ === 0
            ? {
              _tag: "Body",
              api: Metadata,
              body: { brokers: [{ nodeId: 1, host: "broker-1.memory", port: 9092 }], topics: [] }
            }
            : undefined
        yield* Effect.sleep("20 seconds")
        assert.isAbove(answered, 2)
        assert.deepStrictEqual(warnings(), [])
      })),
      { cluster: { topics: { "log.a": 1 } }, client: { metadataMaxAge: "5 seconds" } }
    )
  })
})
