/** Streams of a consumer, and what ends them. */
import { assert, describe, it } from "@effect/vitest"
import type { Consumer } from "@sluice/kafka/Consumer"
import * as Serde from "@sluice/kafka/Serde"
import * as Topic from "@sluice/kafka/Topic"
import * as Fault from "@sluice/testing/Fault"
import { MemoryCluster } from "@sluice/testing/MemoryCluster"
import { Chunk, Deferred, Effect, Exit, Fiber, Stream } from "effect"

import { line, type Lines } from "../producer/lines.ts"
import { awhile, committed, fill, Hands, join, moment, timed } from "./hands.ts"
import { play, playSeeds } from "./story.ts"

const two = { cluster: { topics: { lines: 2 } } }

const numbered = (count: number, partitions = 2) =>
  Array.from({ length: count }, (_, i) => line(`${i % partitions}/${i}`, { partition: i % partitions }))

describe("partitions", () => {
  it("SA-R2: each has a stream of its own, in order; those that are revoked end, those that are kept go on", () => {
    playSeeds(
      Effect.gen(function*() {
        yield* fill(numbered(20))
        const first = yield* join()
        const seen: Array<string> = []
        const ended: Array<number> = []
        yield* first.consumer.partitions.pipe(
          Stream.flatMap(({ partition, records }) =>
            records.pipe(
              Stream.mapChunks((chunk) => {
                for (const { value } of chunk) seen.push(value)
                return chunk
              }),
              Stream.ensuring(Effect.sync(() => ended.push(partition)))
            ), { concurrency: "unbounded" }),
          Stream.run(first.consumer.commitSink),
          Effect.forkScoped
        )
        yield* awhile
        assert.lengthOf(seen, 20)
        for (const partition of [0, 1]) {
          const own = seen.filter((value) => value.startsWith(`${partition}/`)).map((value) => Number(value.slice(2)))
          assert.deepStrictEqual(own, own.slice().sort((a, b) => a - b))
        }
        const second = yield* join()
        const others: Array<string> = []
        yield* second.consumer.partitions.pipe(
          Stream.flatMap(({ records }) => records, { concurrency: "unbounded" }),
          Stream.tap(({ value }) => Effect.sync(() => others.push(value))),
          Stream.run(second.consumer.commitSink),
          Effect.forkScoped
        )
        yield* awhile
        assert.lengthOf(ended, 1)
        yield* fill(numbered(4))
        yield* awhile
        // No record twice.
        assert.lengthOf(seen, 22)
        assert.lengthOf(others, 2)
        assert.isTrue(others.every((value) => value.startsWith(`${ended[0]}/`)))
      }),
      two
    )
  })

  it("SA-C17: one that is left, or fails, and is run again leaves no gap", () => {
    playSeeds(
      Effect.gen(function*() {
        yield* fill(numbered(20))
        const { consumer } = yield* join()
        const seen: Array<string> = []
        const settled = yield* Deferred.make<void>()
        yield* Effect.forkScoped(Stream.runForEach(
          Stream.flatMap(consumer.partitions, ({ partition, records }) =>
            Stream.unwrap(Effect.gen(function*() {
              if (partition === 1) return records
              const some = yield* Stream.runCollect(Stream.take(records, 3))
              yield* consumer.commit(some)
              for (const { value } of some) seen.push(value)
              const failed = yield* Effect.exit(Stream.runForEach(records, () => Effect.fail("no luck")))
              assert.deepStrictEqual(failed, Exit.fail("no luck"))
              yield* Deferred.succeed(settled, undefined)
              return records
            })), { concurrency: "unbounded" }),
          ({ value }) => Effect.sync(() => seen.push(value))
        ))
        yield* awhile
        yield* Deferred.await(settled)
        assert.deepStrictEqual(
          seen.filter((value) => value.startsWith("0/")),
          Array.from({ length: 10 }, (_, i) => `0/${i * 2}`)
        )
        assert.lengthOf(seen, 20)
      }),
      two
    )
  })

  it("SA-B1: what is wrong with one partition fails its stream, and no other", () => {
    const Numbers = Topic.make("lines", {
      key: Serde.string,
      value: Serde.make({
        serialize: () => new Uint8Array(),
        deserialize: (bytes) => {
          if (bytes[0] === 120) throw new Error("an x")
          return bytes.length
        }
      })
    })
    playSeeds(
      Effect.gen(function*() {
        yield* fill([line("a", { partition: 0 }), line("x", { partition: 0 }), line("b", { partition: 1 })])
        const { consumer } = yield* join({ topics: [Numbers] })
        const failed: Array<string> = []
        const seen: Array<number> = []
        yield* Effect.forkScoped(Stream.runForEach(
          Stream.flatMap(
            consumer.partitions,
            ({ partition, records }) =>
              Stream.catchAll(records, ({ reason }) => {
                failed.push(`${partition} ${reason._tag}`)
                return Stream.empty
              }),
            { concurrency: "unbounded" }
          ),
          ({ partition }) => Effect.sync(() => seen.push(partition))
        ))
        yield* awhile
        yield* fill([line("c", { partition: 1 })])
        yield* awhile
        assert.deepStrictEqual(failed, ["0 DeserializationFailed"])
        assert.deepStrictEqual([...seen].sort(), [0, 1, 1])
      }),
      two
    )
  })

  it("refuse a second reader, of all and of one", () => {
    play(Effect.gen(function*() {
      yield* fill([line("a")])
      const { consumer } = yield* join()
      const [{ records }] = Chunk.toReadonlyArray(
        yield* consumer.partitions.pipe(
          Stream.tap(({ records }) =>
            Effect.gen(function*() {
              const fiber = yield* Effect.fork(Stream.runDrain(records))
              yield* moment
              assert.strictEqual((yield* Effect.flip(Stream.runDrain(records))).reason._tag, "InvalidArgument")
              assert.strictEqual((yield* Effect.flip(Stream.runDrain(consumer.records))).reason._tag, "InvalidArgument")
              assert.strictEqual((yield* Effect.flip(consumer.run(() => Effect.void))).reason._tag, "InvalidArgument")
              yield* Fiber.interrupt(fiber)
            })
          ),
          Stream.take(1),
          Stream.runCollect
        )
      ) as any
      // Nobody reads any more: nor does a stream that was theirs.
      assert.strictEqual(yield* Stream.runCount(records as Stream.Stream<unknown>), 0)
    }))
  })

  it("SA-S3: are none once the consumer is closed", () => {
    play(Effect.gen(function*() {
      yield* fill([line("a")])
      const { close, consumer } = yield* join()
      yield* close
      assert.strictEqual(yield* Stream.runCount(consumer.partitions), 0)
      assert.strictEqual(yield* Stream.runCount(consumer.records), 0)
      const processed = yield* Effect.flip(Stream.runDrain(consumer.process(() => Effect.void)))
      assert.strictEqual(processed.reason._tag, "Closed")
    }))
  })
})

describe("commitSink", () => {
  it("SA-S1: at a close, what was pulled is processed and committed, and then the stream ends", () => {
    for (const by of ["records", "partitions"] as const) {
      playSeeds(
        Effect.gen(function*() {
          yield* fill(numbered(20))
          const { close, consumer } = yield* join({ commitInterval: "1 hour" })
          let seen = 0
          const all = by === "records"
            ? consumer.records
            : Stream.flatMap(consumer.partitions, ({ records }) => records, { concurrency: "unbounded" })
          const reading = yield* Effect.fork(all.pipe(
            Stream.mapEffect((record) => Effect.as(Effect.delay(Effect.sync(() => seen++), "100 millis"), record)),
            Stream.run(consumer.commitSink)
          ))
          yield* Effect.sleep("600 millis")
          assert.isAbove(seen, 0)
          yield* close
          assert.deepStrictEqual(yield* Fiber.await(reading), Exit.void)
          const offsets = yield* committed()
          assert.strictEqual(Object.values(offsets).reduce((sum, offset) => sum + offset, 0), seen)
        }),
        two,
        2
      )
    }
  })

  it("SA-M2: commits by time, whatever the number of chunks, and by count", () => {
    play(Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      let commits = 0
      yield* cluster.intercept(({ apiName }) => {
        if (apiName === "OffsetCommit") commits++
        return "deliver"
      })
      const { consumer } = yield* join({ commitInterval: "1 second", commitCount: 50 })
      yield* Effect.forkScoped(Stream.run(consumer.records, consumer.commitSink))
      yield* awhile
      for (let i = 0; i < 10; i++) {
        yield* fill([line(String(i))])
        yield* Effect.sleep("50 millis")
      }
      assert.strictEqual(commits, 0)
      yield* Effect.sleep("1 second")
      assert.strictEqual(commits, 1)
      assert.deepStrictEqual(yield* committed(), { 0: 10 })
      yield* fill(Array.from({ length: 50 }, (_, i) => line(String(i))))
      yield* moment
      assert.strictEqual(commits, 2)
      assert.deepStrictEqual(yield* committed(), { 0: 60 })
    }))
  })
})

describe("process", () => {
  it("gives what is made of the records, in the order of each partition, and commits them", () => {
    playSeeds(
      Effect.gen(function*() {
        yield* fill(numbered(300))
        const { consumer } = yield* join()
        const lengths = yield* consumer.process(({ value }) => Effect.succeed(value)).pipe(
          Stream.take(300),
          Stream.runCollect
        )
        for (const partition of [0, 1]) {
          assert.deepStrictEqual(
            Chunk.toReadonlyArray(lengths).filter((value) => value.startsWith(`${partition}/`)),
            Array.from({ length: 150 }, (_, i) => `${partition}/${i * 2 + partition}`)
          )
        }
        assert.deepStrictEqual(yield* committed(), { 0: 150, 1: 150 })
      }),
      two
    )
  })

  it("drains when its stream is left: what is in hand is finished and committed, and nothing after it is begun", () => {
    for (const order of ["partition", "key"] as const) {
      playSeeds(
        Effect.gen(function*() {
          yield* fill(["a", "b", "c", "d"].map((value) => line(value, { key: "same" })))
          const { consumer } = yield* join()
          const hands = new Hands()
          const reading = yield* Effect.fork(
            consumer.process((record) => Effect.as(hands.handler(record), record.value), { order }).pipe(
              Stream.take(1),
              Stream.runCollect
            )
          )
          yield* awhile
          yield* hands.finish("a")
          assert.deepStrictEqual(hands.busy, ["b"])
          assert.isNull(reading.unsafePoll())
          yield* hands.finish("b")
          assert.deepStrictEqual(Chunk.toReadonlyArray(yield* Fiber.join(reading)), ["a"])
          assert.deepStrictEqual(hands.started, ["a", "b"])
          assert.deepStrictEqual(yield* committed(), { 0: 2 })
        }),
        {},
        2
      )
    }
  })

  it("SA-S2: fails as its handler does, after what was made before, and drains", () => {
    playSeeds(Effect.gen(function*() {
      yield* fill(["a", "b", "bad", "c"].map((value) => line(value)))
      const { consumer } = yield* join()
      const made: Array<string> = []
      const exit = yield* consumer.process(({ value }) =>
        value === "bad" ? Effect.fail("no luck") : Effect.succeed(value)
      ).pipe(Stream.runForEach((value) => Effect.sync(() => made.push(value))), Effect.exit)
      assert.deepStrictEqual(exit, Exit.fail("no luck"))
      assert.deepStrictEqual(made, ["a", "b"])
      assert.deepStrictEqual(yield* committed(), { 0: 2 })
    }))
  })

  it("takes no more records than it has room for results", () => {
    play(Effect.gen(function*() {
      yield* fill(Array.from({ length: 1000 }, (_, i) => line(String(i))))
      const { close, consumer } = yield* join({ drainTimeout: "1 second" })
      let handled = 0
      const reading = yield* Effect.fork(
        consumer.process(() => Effect.sync(() => handled++)).pipe(Stream.runForEach(() => Effect.never))
      )
      yield* awhile
      assert.isBelow(handled, 200)
      assert.isAtMost(yield* timed(close), 3000)
      yield* Fiber.interrupt(reading)
    }))
  })
})

describe("runBatch", () => {
  it("gives what has come of a partition, up to so many records, and commits what is given back", () => {
    playSeeds(
      Effect.gen(function*() {
        yield* fill(numbered(250))
        const { consumer } = yield* join()
        const batches: Array<string> = []
        yield* Effect.forkScoped(consumer.runBatch(({ partition, records, topic }) => {
          assert.strictEqual(topic, "lines")
          assert.isTrue(records.every((record) => record.partition === partition))
          batches.push(`${partition}: ${records[0].offset} to ${records[records.length - 1]!.offset}`)
          return Effect.succeed(records)
        }, { maxRecords: 100 }))
        yield* awhile
        assert.deepStrictEqual(batches.sort(), ["0: 0 to 99", "0: 100 to 124", "1: 0 to 99", "1: 100 to 124"])
        assert.deepStrictEqual(yield* committed(), { 0: 125, 1: 125 })
      }),
      two
    )
  })

  it("gives again what was not done of a batch; with a pause if that is all", () => {
    playSeeds(Effect.gen(function*() {
      yield* fill(Array.from({ length: 10 }, (_, i) => line(String(i))))
      const { consumer } = yield* join()
      const batches: Array<string> = []
      let refused = 0
      yield* Effect.forkScoped(consumer.runBatch(({ records }) =>
        Effect.sync(() => {
          if (records[0].value === "4" && refused < 3) {
            refused++
            return []
          }
          batches.push(records.map(({ value }) => value).join(""))
          return records[1] ?? records[0]
        })
      ))
      const took = yield* timed(Effect.repeat(Effect.sleep("10 millis"), { until: () => batches.length === 5 }))
      assert.deepStrictEqual(batches, ["0123456789", "23456789", "456789", "6789", "89"])
      assert.isAbove(took, 300)
      yield* awhile
      assert.deepStrictEqual(yield* committed(), { 0: 10 })
    }))
  })

  it("refuses records that are not of the batch", () => {
    play(
      Effect.gen(function*() {
        yield* fill(numbered(4))
        const { consumer } = yield* join()
        const error = yield* Effect.flip(
          consumer.runBatch(({ partition, records }) =>
            Effect.succeed({ ...records[0], partition: 1 - partition, topic: "lines", offset: 1n, generation: 1 })
          )
        )
        assert.strictEqual(error.reason._tag, "InvalidArgument")
        assert.deepStrictEqual(yield* committed(), {})
      }),
      two
    )
  })

  it("fails as its handler does, or skips the batch; one that does not decode is alone", () => {
    const Digits = Topic.make("lines", {
      key: Serde.string,
      value: Serde.make({
        serialize: (value: number) => new TextEncoder().encode(String(value)),
        deserialize: (bytes) => {
          const value = Number(new TextDecoder().decode(bytes))
          if (Number.isNaN(value)) throw new Error("not a number")
          return value
        }
      })
    })
    playSeeds(Effect.gen(function*() {
      yield* fill(["1", "2", "x", "3", "4"].map((value) => line(value)))
      const { consumer } = yield* join({ topics: [Digits] })
      const batches: Array<ReadonlyArray<number>> = []
      const handler = ({ records }: { readonly records: ReadonlyArray<{ readonly value: number }> & any }) =>
        Effect.suspend(() => {
          const values = records.map(({ value }: { readonly value: number }) => value)
          batches.push(values)
          return values.includes(3) ? Effect.fail("a three") : Effect.succeed(records)
        })
      const first = yield* Effect.flip(consumer.runBatch(handler))
      assert.strictEqual((first as any).reason._tag, "DeserializationFailed")
      assert.deepStrictEqual(yield* committed(), { 0: 2 })
      yield* Effect.forkScoped(consumer.runBatch(handler, { onFailure: "skip" }))
      yield* awhile
      assert.deepStrictEqual(batches, [[1, 2], [3, 4]])
      assert.deepStrictEqual(yield* committed(), { 0: 5 })
    }))
  })

  it("does not compile with a handler that gives nothing back", () => {
    const forgetful = (consumer: Consumer<typeof Lines>) =>
      // @ts-expect-error: what is done?
      consumer.runBatch(({ records }) => Effect.log(records.length))
    assert.isFunction(forgetful)
  })

  it("interrupted, lets the batch in hand be finished and commits it", () => {
    playSeeds(Effect.gen(function*() {
      yield* fill(Array.from({ length: 10 }, (_, i) => line(String(i))))
      const { consumer } = yield* join({ commitInterval: "1 hour" })
      let done = 0
      const run = yield* Effect.fork(
        consumer.runBatch(
          ({ records }) => Effect.as(Effect.delay(Effect.sync(() => done += records.length), "1 second"), records),
          { maxRecords: 4 }
        )
      )
      yield* Effect.sleep("1500 millis")
      yield* Fiber.interrupt(run)
      assert.isAbove(done, 0)
      assert.isBelow(done, 10)
      assert.deepStrictEqual(yield* committed(), { 0: done })
    }))
  })
})

describe("commit", () => {
  it("SA-M5: keeps the metadata that it is given", () => {
    play(Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      yield* fill([line("a"), line("b")])
      const { consumer } = yield* join()
      const pulled = yield* consumer.records.pipe(Stream.take(2), Stream.runCollect)
      yield* consumer.commit(Chunk.unsafeHead(pulled), { metadata: "half way" })
      assert.deepStrictEqual(
        (yield* cluster.committed("group")).map(({ metadata, offset }) => [offset, metadata]),
        [[1n, "half way"]]
      )
      yield* consumer.commit(pulled)
      assert.deepStrictEqual(
        (yield* cluster.committed("group")).map(({ metadata, offset }) => [offset, metadata]),
        [[2n, ""]]
      )
    }))
  })

  it("SA-M5: keeps the metadata of the last one, also where the offset is committed already or on its way", () => {
    play(Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      yield* fill([line("a"), line("b")])
      const { consumer } = yield* join()
      const pulled = yield* consumer.records.pipe(Stream.take(2), Stream.runCollect)
      const kept = Effect.map(
        cluster.committed("group"),
        (all) => all.map(({ metadata, offset }) => [offset, metadata])
      )
      yield* consumer.commit(pulled)
      yield* consumer.commit(pulled, { metadata: "a" })
      assert.deepStrictEqual(yield* kept, [[2n, "a"]])
      // What says nothing of it takes nothing away.
      yield* consumer.commit(pulled)
      assert.deepStrictEqual(yield* kept, [[2n, "a"]])
      yield* cluster.inject(Fault.slow({}, { latency: 300, duration: "1 minute" }))
      const commits = yield* Effect.forEach(
        ["b", "c", "d"],
        (metadata) => Effect.zipLeft(Effect.fork(consumer.commit(pulled, { metadata })), Effect.sleep("100 millis"))
      )
      yield* Effect.forEach(commits, Fiber.join)
      assert.deepStrictEqual(yield* kept, [[2n, "d"]])
      yield* consumer.commit(Chunk.unsafeHead(pulled), { metadata: "of one before" })
      assert.deepStrictEqual(yield* kept, [[2n, "d"]])
      yield* cluster.heal
    }))
  })

  it("SA-M5: whose metadata the group does not take fails, and keeps the offset back no longer", () => {
    play(Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      yield* fill([line("a"), line("b")])
      const { close, consumer } = yield* join()
      const pulled = yield* consumer.records.pipe(Stream.take(2), Stream.runCollect)
      const error = yield* Effect.flip(consumer.commit(pulled, { metadata: "x".repeat(5000) }))
      assert.deepStrictEqual([error._tag, error.reason._tag], ["FatalError", "OffsetMetadataTooLarge"])
      yield* close
      assert.deepStrictEqual(
        (yield* cluster.committed("group")).map(({ metadata, offset }) => [offset, metadata]),
        [[2n, ""]]
      )
    }))
  })

  it("SA-M6, CL-17: is tried again so often, and then fails those that wait; what is settled goes with the next one", () => {
    play(Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      yield* fill([line("a"), line("b")])
      const { consumer } = yield* join({ commitRetry: { times: 3, backoff: 100, maxBackoff: 100 } })
      const pulled = yield* consumer.records.pipe(Stream.take(2), Stream.runCollect)
      yield* cluster.inject(Fault.refuse({ api: "OffsetCommit", times: 4 }, "CoordinatorLoadInProgress"))
      let error: any
      const took = yield* timed(Effect.map(Effect.flip(consumer.commit(Chunk.unsafeHead(pulled))), (e) => {
        error = e
      }))
      assert.deepStrictEqual([error._tag, error.reason._tag], ["RetriableError", "CoordinatorLoadInProgress"])
      assert.isAtLeast(took, 200)
      assert.isAtMost(took, 500)
      yield* awhile
      assert.deepStrictEqual(yield* committed(), { 0: 1 })
      yield* consumer.commit(pulled)
      assert.deepStrictEqual(yield* committed(), { 0: 2 })
    }))
  })
})
