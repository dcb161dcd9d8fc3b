/** What consumers subscribe to: topics, patterns, partitions of their own choice. */
import { assert, describe, it } from "@effect/vitest"
import * as Consumer from "@sluice/kafka/Consumer"
import type { RequestOf } from "@sluice/kafka/internal/protocol/field"
import type { Kafka } from "@sluice/kafka/Kafka"
import type { KafkaError } from "@sluice/kafka/KafkaError"
import * as Serde from "@sluice/kafka/Serde"
import * as Topic from "@sluice/kafka/Topic"
import { MemoryCluster } from "@sluice/testing/MemoryCluster"
import { Effect, Exit, Fiber, type Scope, Stream } from "effect"

import { Metadata, Wires } from "../producer/wire.ts"
import { assertOnce, everything, writeRounds } from "./processes.ts"
import { committed, Lines, logged, member, named, next, range, until, write } from "./reading.ts"
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

describe("a topic by its name", () => {
  it("SA-C14: stays subscribed when it is deleted: a trouble until it is back, and then read from its beginning", () => {
    const { lines, within } = logged()
    play(
      within(Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        const { handler, seen } = seeing()
        const { consumer } = yield* member({ topics: [Lines, named("others")] })
        const run = yield* Effect.fork(consumer.run(handler))
        yield* write(0, range(0, 5))
        yield* write(0, [1], { topic: "others" })
        yield* until("the first", () => seen.length === 6)
        yield* until("committed", Effect.map(committed(), (offsets) => offsets[0] !== undefined))
        yield* Effect.sleep("2 seconds")
        yield* cluster.deleteTopic("lines")
        yield* write(0, [2], { topic: "others" })
        yield* until("the other", () => seen.length === 7)
        yield* Effect.sleep("30 seconds")
        assert.isNull(run.unsafePoll())
        const { status, troubles } = yield* consumer.health.get
        assert.deepStrictEqual([status, troubles.map(({ what }) => what)], ["stable", [
          "fetch of topic lines, partition 0"
        ]])
        assert.lengthOf(yield* consumer.assignment.get, 2)
        yield* cluster.createTopic("lines", { partitions: 1 })
        yield* write(0, range(5, 8))
        yield* until("it again", () => seen.length === 10)
        assert.includeMembers(lines, [
          "WARN topic lines, partition 0: offset 5 is of a topic that was deleted; goes on at 0 (earliest)"
        ])
        assert.deepStrictEqual(seen.slice(7), ["lines/5", "lines/6", "lines/7"])
        assert.deepStrictEqual((yield* consumer.health.get).troubles, [])
      })),
      { cluster: { topics: { lines: 1, others: 1 } }, client: { metadataMaxAge: "5 seconds" } }
    )
  })
})

describe("a topic that is made anew", () => {
  /** A member at offset 5 of a topic that is deleted, and then there again with eight records. */
  const recreated = (gap: number, options: Partial<Consumer.ConsumerOptions<typeof Lines>>, run: Consumer.RunOptions) =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const { handler, seen } = seeing()
      const { consumer } = yield* member(options)
      const resets: Array<Consumer.PositionReset> = []
      yield* Effect.fork(Stream.runForEach(consumer.events, (event) =>
        Effect.sync(() => {
          if (event._tag === "PositionReset" && event.from !== undefined) resets.push(event)
        })))
      const running = yield* Effect.fork(consumer.run(handler, run))
      yield* write(0, range(0, 5))
      yield* until("the first", () => seen.length === 5)
      yield* Effect.sleep("3 seconds")
      yield* cluster.deleteTopic("lines")
      yield* Effect.sleep(gap)
      yield* cluster.createTopic("lines", { partitions: 1 })
      yield* write(0, range(10, 18))
      yield* Effect.sleep("20 seconds")
      return { consumer, resets, running, seen }
    })
  const place = { cluster: { topics: { lines: 1 } }, client: { metadataMaxAge: "5 seconds" } } as const

  it("SA-C14: with more records than it had is read from where `reset` says: nothing is skipped", () => {
    for (const gap of [0, 100, 20_000]) {
      for (const order of ["partition", "key"] as const) {
        const { warnings, within } = logged()
        play(
          within(Effect.gen(function*() {
            const { consumer, resets, running, seen } = yield* recreated(gap, {}, { order })
            // What it took for the old log's next, before it knew, comes again.
            assert.deepStrictEqual(seen.slice(-8), range(10, 18).map((value) => `lines/${value}`))
            assert.sameMembers(
              Array.from(new Set(seen)),
              [...range(0, 5), ...range(10, 18)].map((value) => `lines/${value}`)
            )
            assert.lengthOf(resets, 1)
            assert.deepInclude(resets[0], { reason: "OffsetOutOfRange", to: 0n })
            assert.match(warnings().join("\n"), /is of a topic that was deleted; goes on at 0 \(earliest\)/)
            assert.deepStrictEqual(yield* committed(), { 0: 8 })
            assert.isNull(running.unsafePoll())
            assert.deepStrictEqual((yield* consumer.health.get).troubles, [])
          })),
          place
        )
      }
    }
  })

  it("SA-C14: ends a consumer whose `reset` is fail", () => {
    play(
      Effect.gen(function*() {
        const { running } = yield* recreated(20_000, { from: "earliest", reset: "fail" }, {})
        const error = yield* Effect.flip(Fiber.join(running))
        assert.deepStrictEqual([error._tag, error.reason._tag], ["FatalError", "OffsetOutOfRange"])
        assert.include(error.message, "made anew")
      }),
      place
    )
  })
})

describe("a consumer", () => {
  it("SA-C5: has its subscription from the start, or there is none: it is of a group, or of partitions", () => {
    play(
      Effect.gen(function*() {
        const wire = yield* Wires
        const before = wire.requests.length
        // @ts-expect-error: of what?
        const nothing = Effect.flip(Consumer.make({ groupId: "group" }))
        const none = Effect.flip(Consumer.make({ groupId: "group", topics: [] }))
        const twice = Effect.flip(Consumer.make({ groupId: "group", topics: [Lines, Lines] }))
        const unassigned = Effect.flip(Consumer.assign({ topics: [Lines], partitions: [] }))
        const elsewhere = Effect.flip(
          Consumer.assign({ topics: [Lines], partitions: [{ topic: "others", partition: 0 }] })
        )
        for (const refused of [nothing, none, twice, unassigned, elsewhere]) {
          const error = yield* Effect.scoped(
            Effect.orDie(refused as Effect.Effect<KafkaError, unknown, Kafka | Scope.Scope>)
          )
          assert.deepStrictEqual([error._tag, error.reason._tag], ["FatalError", "InvalidArgument"])
        }
        assert.lengthOf(wire.requests, before)
        // @ts-expect-error: a member does not choose its partitions.
        assert.isFunction(() => Consumer.make({ groupId: "group", topics: [Lines], partitions: [0] }))
        // @ts-expect-error: partitions of one's own choice are no group's.
        assert.isFunction(() => Consumer.assign({ groupId: "group", topics: [Lines] }))
        // What belongs to nobody can be committed by nobody.
        const assigned = yield* Consumer.assign({ topics: [Lines] })
        assert.notProperty(assigned, "commit")
        assert.notProperty(assigned, "commitSink")
      }),
      { cluster: { topics: { lines: 1 } } }
    )
  })

  it(
    "SA-C7: that begins anew twenty-five times with forty-eight partitions leaves out no record",
    { timeout: 60_000 },
    () => {
      for (const by of ["close", "interrupt"] as const) {
        play(
          Effect.gen(function*() {
            const writing = yield* Effect.fork(writeRounds(48, 0, 20, "1 second"))
            const seen: Array<string> = []
            const reading = (consumer: Consumer.Consumer<typeof Lines>) =>
              consumer.partitions.pipe(
                Stream.flatMap(({ records }) => records, { concurrency: "unbounded" }),
                Stream.mapChunksEffect((chunk) =>
                  Effect.map(Effect.sleep("5 millis"), () => {
                    for (const { partition, value } of chunk) seen.push(`${partition}/${value}`)
                    return chunk
                  })
                ),
                Stream.run(consumer.commitSink)
              )
            // A consumer each time, and one whose stream is run again and again.
            const one = by === "interrupt" ? yield* member() : undefined
            for (const time of range(0, 25)) {
              const { close, consumer } = one ?? (yield* member())
              const run = yield* Effect.fork(reading(consumer))
              yield* Effect.sleep(`${300 + time * 37 % 500} millis`)
              if (by === "close") yield* close
              else yield* Fiber.interrupt(run)
              yield* Fiber.await(run)
            }
            const { close, consumer } = one ?? (yield* member())
            const last = yield* Effect.fork(reading(consumer))
            yield* Fiber.join(writing)
            yield* until("all", () => new Set(seen).size === 960)
            yield* Effect.sleep("3 seconds")
            assert.sameMembers(Array.from(new Set(seen)), [...everything(48, 20)])
            // Each partition in its order: what comes again does so from where it was settled.
            if (by === "close") assertOnce(seen, 48, 20)
            yield* close
            assert.deepStrictEqual(yield* Fiber.await(last), Exit.void)
            const offsets = yield* committed()
            assert.deepStrictEqual(offsets, Object.fromEntries(range(0, 48).map((each) => [each, 20])))
          }),
          { cluster: { topics: { lines: 48 } } }
        )
      }
    }
  )

  it("SA-C23: has one reader at a time; two streams of it, one a partition, end independently, as do two consumers", () => {
    play(
      Effect.gen(function*() {
        yield* writeRounds(2, 0, 5)
        const { consumer } = yield* member()
        const other = yield* member({ groupId: "others" })
        const seen: Array<string> = []
        const ends: Array<string> = []
        const end = (what: string) => Effect.sync(() => ends.push(what))
        yield* Effect.fork(Stream.runDrain(Stream.flatMap(
          consumer.partitions,
          ({ partition, records }) =>
            records.pipe(
              Stream.tap(({ value }) => Effect.sync(() => seen.push(`${partition}/${value}`))),
              partition === 0 ? Stream.take(3) : (all) => all,
              Stream.ensuring(end(String(partition)))
            ),
          { concurrency: "unbounded" }
        )))
        const theirs = yield* Effect.fork(next(other.consumer.records, 10))
        yield* until("the first one's end", () => ends.length === 1)
        assert.deepStrictEqual(ends, ["0"])
        assert.lengthOf(yield* Fiber.join(theirs), 10)
        // A second reader of all is refused; the first ones go on.
        const error = yield* Effect.flip(Stream.runDrain(consumer.records))
        assert.deepStrictEqual([error._tag, error.reason._tag], ["FatalError", "InvalidArgument"])
        yield* writeRounds(2, 5, 8)
        yield* until("the other one's", () => seen.filter((each) => each.startsWith("1/")).length === 8)
        assert.deepStrictEqual(seen.filter((each) => each.startsWith("0/")), ["0/0", "0/1", "0/2"])
        yield* other.close
        yield* writeRounds(2, 8, 9)
        yield* until("the next", () => seen.includes("1/8"))
        assert.deepStrictEqual(ends, ["0"])
      }),
      { cluster: { topics: { lines: 2 } } }
    )
  })
})
