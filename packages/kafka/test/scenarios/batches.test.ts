/** Many records in one call: what becomes of the whole when one of them fails. */
import { assert, describe, it } from "@effect/vitest"
import * as Producer from "@sluice/kafka/Producer"
import { MemoryCluster } from "@sluice/testing/MemoryCluster"
import { Chunk, Clock, Effect, Fiber, Stream } from "effect"

import { count, line, values } from "../producer/lines.ts"
import { Wires } from "../producer/wire.ts"
import { outcome, play } from "./story.ts"

/** Refused by a topic that takes no more than 1000 bytes, but not before. */
const tooLarge = "x".repeat(2000)
const smallTopic = { config: { "max.message.bytes": "1000" } }

describe("many records in one call", () => {
  it("SA-P2: an empty batch is done at once, whatever the brokers do", () => {
    play(Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const wire = yield* Wires
      const producer = yield* Producer.make()
      yield* producer.send(line("0"))
      yield* cluster.pauseBroker(1)
      const [requests, start] = [wire.requests.length, yield* Clock.currentTimeMillis]
      assert.deepStrictEqual(yield* producer.sendAll([]), [])
      yield* Stream.run(Stream.empty, producer.sink)
      yield* Stream.run(Stream.fromChunks(Chunk.empty(), Chunk.empty()), producer.sink)
      for (const nothing of [Stream.empty, Stream.fromChunks(Chunk.empty(), Chunk.empty())]) {
        assert.deepStrictEqual(Chunk.toReadonlyArray(yield* Stream.runCollect(producer.pipe(nothing))), [])
      }
      yield* producer.flush
      assert.strictEqual(yield* Clock.currentTimeMillis, start)
      assert.lengthOf(wire.requests, requests)
      yield* cluster.resumeBroker(1)
      assert.deepStrictEqual(yield* values(), ["0"])
    }))
  })

  for (const [position, at] of [["first", 0], ["middle", 2], ["last", 4]] as const) {
    for (const where of ["the client", "the broker"] as const) {
      it(`SA-P3: a failure of the ${position} record by ${where} is told at its index, and the others are sent`, () => {
        play(
          Effect.gen(function*() {
            yield* Effect.flatMap(MemoryCluster, (cluster) => cluster.createTopic("lines", smallTopic))
            const producer = yield* Producer.make({
              linger: "10 millis",
              ...(where === "the client" ? { maxRecordBytes: 1000 } : {})
            })
            const texts = count(5).map((value, i) => i === at ? tooLarge : value)
            const error = yield* Effect.flip(producer.sendAll(texts.map((text) => line(text))))
            const others = count(5).filter((_, i) => i !== at)
            assert.deepStrictEqual(
              Array.from(
                error.results,
                (result) => result._tag === "Failed" ? outcome(result.error) : Number(result.metadata.offset)
              ),
              texts.map((text) => text === tooLarge ? "MessageTooLarge no" : others.indexOf(text))
            )
            assert.deepStrictEqual(yield* values(), others)
          }),
          { cluster: { topics: {} } }
        )
      })
    }
  }

  it("SA-P5: who waits for the outcomes side by side hears of the first failure at once; the others are still sent", () => {
    play(
      Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        yield* cluster.createTopic("lines", { partitions: 2, replicas: 1, ...smallTopic })
        const producer = yield* Producer.make()
        for (const partition of [0, 1]) yield* producer.send(line("0", { partition }))
        // Partition 0 answers only after five seconds.
        yield* cluster.pauseBroker(1)
        yield* Effect.fork(Effect.delay(cluster.resumeBroker(1), "5 seconds"))
        const records = (name: string) => [
          line(`${name} a`, { partition: 0 }),
          line(tooLarge, { partition: 1 }),
          line(`${name} b`, { partition: 1 })
        ]
        const start = yield* Clock.currentTimeMillis
        const acks = yield* Effect.forEach(records("enqueued"), (record) => producer.enqueue(record))
        const first = yield* Effect.flip(Effect.all(acks, { concurrency: "unbounded" }))
        const second = yield* Effect.flip(
          Effect.forEach(records("sent"), (record) => producer.send(record), { concurrency: "unbounded" })
        )
        for (const error of [first, second]) assert.strictEqual(outcome(error), "MessageTooLarge no")
        assert.isBelow((yield* Clock.currentTimeMillis) - start, 1000)
        // `sendAll` has every outcome, and so takes as long as the slowest.
        const all = yield* Effect.flip(producer.sendAll(records("all")))
        assert.deepStrictEqual(all.results.map(({ _tag }) => _tag), ["Acknowledged", "Failed", "Acknowledged"])
        assert.isAtLeast((yield* Clock.currentTimeMillis) - start, 5000)
        for (const [partition, name] of [[0, "a"], [1, "b"]] as const) {
          assert.deepStrictEqual(yield* values(partition), ["0", `enqueued ${name}`, `sent ${name}`, `all ${name}`])
        }
      }),
      { cluster: { brokers: 2, topics: {} }, client: { requestTimeout: "30 seconds" } }
    )
  })

  it("SA-P6: a stream stops at a failure, and pulls no more; one that takes its failures goes on to its end", () => {
    play(
      Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        yield* cluster.createTopic("lines", smallTopic)
        const producer = yield* Producer.make<number>()
        let pulled = 0
        const lines = Stream.fromIterable(count(100)).pipe(
          Stream.map((value) => line(value === "25" ? tooLarge : value)),
          Stream.rechunk(10),
          Stream.mapChunks((chunk) => {
            pulled += chunk.length
            return chunk
          }),
          // A source that is no faster than the broker.
          Stream.tap(() => Effect.sleep("1 millis"))
        )
        const error = yield* Effect.flip(Stream.run(lines, producer.sink))
        assert.strictEqual(outcome(error), "MessageTooLarge no")
        assert.isBelow(pulled, 60)
        const stored = yield* values()
        assert.isBelow(stored.length, 50)
        assert.includeMembers([...stored], count(25).slice())

        const failures: Array<string> = []
        const fiber = yield* Effect.fork(
          lines.pipe(
            Stream.mapChunksEffect((chunk) =>
              Effect.catchAll(producer.sendAll(chunk), ({ results }) =>
                Effect.sync(() => {
                  for (const result of results) if (result._tag === "Failed") failures.push(outcome(result.error))
                  return []
                })).pipe(Effect.as(Chunk.empty()))
            ),
            Stream.runDrain
          )
        )
        yield* Fiber.join(fiber)
        assert.deepStrictEqual(failures, ["MessageTooLarge no"])
        const others = count(100).filter((value) => value !== "25")
        assert.deepStrictEqual((yield* values()).slice(stored.length), others)

        // `pipe` takes them by itself, with the place of each.
        const deliveries = yield* lines.pipe(
          Stream.zipWithIndex,
          Stream.map(([record, correlation]) => ({ record, correlation })),
          producer.pipe,
          Stream.runCollect
        )
        assert.deepStrictEqual(
          Chunk.toReadonlyArray(deliveries).map((delivery) =>
            delivery._tag === "Failed" ? outcome(delivery.error) : String(delivery.correlation)
          ),
          count(100).map((value) => value === "25" ? "MessageTooLarge no" : value)
        )
        assert.deepStrictEqual((yield* values()).slice(stored.length + others.length), others)
      }),
      { cluster: { topics: {} } }
    )
  })
})
