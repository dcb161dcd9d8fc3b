import { assert, describe, it } from "@effect/vitest"
import * as Consumer from "@sluice/kafka/Consumer"
import type * as KafkaError from "@sluice/kafka/KafkaError"
import * as Producer from "@sluice/kafka/Producer"
import * as Serde from "@sluice/kafka/Serde"
import * as Topic from "@sluice/kafka/Topic"
import { MemoryCluster } from "@sluice/testing/MemoryCluster"
import { Chunk, Clock, Effect, Exit, Fiber, Option, Scope, Stream } from "effect"

import { line } from "../producer/lines.ts"
import { play } from "../scenarios/story.ts"

interface Reader {
  readonly topic: Topic.Topic<"lines", string, string>
  /** Those that were deserialized, in the order in which that began. */
  readonly begun: Array<string>
  running: number
}

/** Each value takes as long as `delay` says; `what` may be another end of it. */
const reader = (
  delay: (value: string) => number = () => 1,
  what: (value: string) => Effect.Effect<string, Error> | undefined = () => undefined
): Reader => {
  const self: Reader = {
    begun: [],
    running: 0,
    topic: Topic.make("lines", {
      key: Serde.string,
      value: Serde.makeEffect<string>({
        serialize: (value, topic) => Effect.succeed(Serde.string.serialize(value, topic)),
        deserialize: (bytes, topic) =>
          Effect.suspend(() => {
            const value = Serde.string.deserialize(bytes, topic)
            self.begun.push(value)
            self.running++
            return (what(value) ?? Effect.succeed(`${value}!`)).pipe(
              Effect.delay(delay(value)),
              Effect.ensuring(Effect.sync(() => self.running--))
            )
          })
      })
    })
  }
  return self
}

const write = (values: ReadonlyArray<string>, partition = 0) =>
  Effect.scoped(
    Effect.flatMap(Producer.make(), (producer) =>
      producer.sendAll(values.map((value) => line(value, { key: `key ${value}`, partition }))))
  )

const group = (topic: Reader["topic"]) => Consumer.make({ groupId: "group", topics: [topic] })

const committed = Effect.flatMap(
  MemoryCluster,
  (cluster) => Effect.map(cluster.committed("group"), (offsets) => Number(offsets[0]?.offset ?? -1))
)

const failed = (
  error: KafkaError.KafkaError
): ReadonlyArray<unknown> => [error._tag, error.scope, error.reason._tag, error.reason.partition]
const undecodable = ["FatalError", "record", "DeserializationFailed", 0]

describe("an effectful serde of a consumer", () => {
  it("runs before a record is delivered, in order, one at a time in each partition", () => {
    play(Effect.gen(function*() {
      // Later ones are quicker.
      const { begun, topic } = reader((value) => 20 - Number(value))
      yield* write(["0", "1", "2", "3"])
      yield* write(["4", "5"])
      const consumer = yield* group(topic)
      const records = yield* Stream.runCollect(Stream.take(consumer.records, 6))
      assert.deepStrictEqual(
        Chunk.toReadonlyArray(records).map(({ key, offset, value }) => [key, value, Number(offset)]),
        ["0", "1", "2", "3", "4", "5"].map((value) => [`key ${value}`, `${value}!`, Number(value)])
      )
      assert.deepStrictEqual(begun, ["0", "1", "2", "3", "4", "5"])
    }))
  })

  it("takes values that are effects themselves, undefined, and null for a tombstone", () => {
    play(Effect.gen(function*() {
      const Optional = Topic.make("lines", {
        key: Serde.makeEffect<Option.Option<string>>({
          serialize: () => Effect.succeed(new Uint8Array()),
          deserialize: (bytes) => Effect.succeed(bytes.length === 0 ? Option.none() : Option.some("some"))
        }),
        value: Serde.makeEffect<Option.Option<string> | undefined>({
          serialize: () => Effect.succeed(new Uint8Array()),
          deserialize: (bytes) => Effect.succeed(bytes.length === 0 ? undefined : Option.some("some"))
        }),
        tombstones: true
      })
      yield* Effect.scoped(Effect.flatMap(Producer.make(), (producer) =>
        producer.sendAll([
          line("", { key: "" }),
          line("a", { key: "a" }),
          Topic.make("lines", { key: Serde.string, value: Serde.string, tombstones: true }).record({ value: null })
        ])))
      const consumer = yield* Consumer.assign({ topics: [Optional] })
      const records = yield* Stream.runCollect(Stream.take(consumer.records, 3))
      assert.deepStrictEqual(
        // Chai takes any option for none.
        Chunk.toReadonlyArray(records).map(({ key, value }) => [String(key), String(value)]),
        [[Option.none(), undefined], [Option.some("some"), Option.some("some")], [null, null]].map((pair) =>
          pair.map(String)
        )
      )
    }))
  })

  for (
    const [how, effect] of [
      ["fails", Effect.fail(new Error("no schema"))],
      ["dies", Effect.die(new Error("no schema"))],
      ["interrupts itself", Effect.interrupt]
    ] as const
  ) {
    it(`that ${how} ends the stream after those before it, and nothing is passed over`, () => {
      play(Effect.gen(function*() {
        let fails = true
        const { topic } = reader(undefined, (value) => value === "2" && fails ? effect : undefined)
        yield* write(["0", "1", "2", "3"])
        const consumer = yield* group(topic)
        const seen: Array<string> = []
        const collect = consumer.records.pipe(
          Stream.tap((record) => Effect.sync(() => seen.push(record.value))),
          Stream.runForEach((record) => consumer.commit(record))
        )
        for (let i = 0; i < 2; i++) assert.deepStrictEqual(failed(yield* Effect.flip(collect)), undecodable)
        assert.deepStrictEqual(seen, ["0!", "1!"])
        assert.strictEqual(yield* committed, 2)
        // The registry is back: who reads again goes on where it stopped.
        fails = false
        yield* Stream.runDrain(
          Stream.take(consumer.records.pipe(Stream.tap(({ value }) => Effect.sync(() => seen.push(value)))), 2)
        )
        assert.deepStrictEqual(seen, ["0!", "1!", "2!", "3!"])
      }))
    })
  }

  it("that fails ends a run, with all before it committed", () => {
    play(Effect.gen(function*() {
      const { topic } = reader(undefined, (value) => value === "2" ? Effect.fail(new Error("no schema")) : undefined)
      yield* write(["0", "1", "2", "3"])
      const consumer = yield* group(topic)
      const seen: Array<string> = []
      const error = yield* Effect.flip(consumer.run(({ value }) => Effect.sync(() => seen.push(value))))
      assert.deepStrictEqual(failed(error), undecodable)
      assert.include(error.message, "no schema")
      assert.deepStrictEqual(seen, ["0!", "1!"])
      assert.strictEqual(yield* committed, 2)
    }))
  })

  it("a null value without tombstones is a failure as ever", () => {
    play(Effect.gen(function*() {
      const { topic } = reader()
      yield* Effect.scoped(Effect.flatMap(Producer.make(), (producer) =>
        producer.send(
          Topic.make("lines", { key: Serde.string, value: Serde.string, tombstones: true }).record({ value: null })
        )))
      const consumer = yield* group(topic)
      const error = yield* Effect.flip(Stream.runDrain(consumer.records))
      assert.deepStrictEqual(failed(error), undecodable)
      assert.include(error.message, "the topic has no `tombstones`")
    }))
  })

  it("gets its turn beside a topic that always has more", () => {
    play(
      Effect.gen(function*() {
        const { topic } = reader()
        const plain = Topic.make("plain", { key: Serde.string, value: Serde.string })
        yield* write(["0", "1"])
        yield* Effect.scoped(
          Effect.flatMap(
            Producer.make(),
            (producer) =>
              Effect.forEach(Array.from({ length: 50 }), () => producer.send(plain.record({ key: null, value: "x" })))
          )
        )
        const consumer = yield* Consumer.make({ groupId: "group", topics: [plain, topic] })
        // So that all that there is was fetched before the first is asked for.
        yield* Effect.sleep("10 seconds")
        const seen: Array<string> = []
        yield* consumer.records.pipe(
          Stream.mapChunksEffect((chunk) =>
            Effect.as(
              Effect.sleep("10 millis"),
              Chunk.map(chunk, ({ topic }) => {
                seen.push(topic)
                return topic
              })
            )
          ),
          Stream.take(52),
          Stream.runDrain
        )
        assert.include(seen.slice(0, 10), "lines")
      }),
      { cluster: { topics: { lines: 1, plain: 1 } } }
    )
  })

  it("that hangs in one partition holds up no other, in a stream and in a run", () => {
    play(
      Effect.gen(function*() {
        const { topic } = reader(undefined, (value) => value === "hangs" ? Effect.never : undefined)
        yield* write(["hangs"], 0)
        yield* write(["1", "2"], 1)
        const consumer = yield* group(topic)
        const streamed = yield* Stream.runCollect(Stream.take(consumer.records, 2))
        assert.deepStrictEqual(Chunk.toReadonlyArray(streamed).map(({ value }) => value), ["1!", "2!"])
        const seen: Array<string> = []
        const run = yield* Effect.fork(consumer.run(({ value }) => Effect.sync(() => seen.push(value))))
        yield* Effect.sleep("5 seconds")
        assert.deepStrictEqual(seen, ["1!", "2!"], "what the stream did not settle comes again")
        yield* Fiber.interrupt(run)
      }),
      { cluster: { topics: { lines: 2 } } }
    )
  })

  for (const reading of ["records", "run"] as const) {
    it(`that hangs does not hold up the close of a consumer (${reading}), and is interrupted`, () => {
      play(Effect.gen(function*() {
        const self = reader(undefined, (value) => value === "hangs" ? Effect.never : undefined)
        yield* write(["0", "hangs"])
        const scope = yield* Scope.make()
        const consumer = yield* Scope.extend(group(self.topic), scope)
        const fiber = yield* Effect.fork(
          reading === "run" ? consumer.run(() => Effect.void) : Stream.runDrain(consumer.records)
        )
        yield* Effect.sleep("5 seconds")
        assert.strictEqual(self.running, 1)
        const start = yield* Clock.currentTimeMillis
        yield* Scope.close(scope, Exit.void)
        assert.isBelow((yield* Clock.currentTimeMillis) - start, 1000)
        yield* Fiber.join(fiber)
        assert.strictEqual(self.running, 0)
      }))
    })
  }

  it("that hangs does not hold up an assigned consumer's close either", () => {
    play(Effect.gen(function*() {
      const self = reader(undefined, () => Effect.never)
      yield* write(["0"])
      yield* Effect.scoped(Effect.gen(function*() {
        const consumer = yield* Consumer.assign({ topics: [self.topic] })
        yield* Effect.fork(Stream.runDrain(consumer.records))
        yield* Effect.sleep("1 second")
        assert.strictEqual(self.running, 1)
      }))
      yield* Effect.sleep("1 second")
      assert.strictEqual(self.running, 0)
    }))
  })

  it("goes on where it was when a reader that waited for it is interrupted: nothing is lost", () => {
    play(Effect.gen(function*() {
      const { begun, topic } = reader(() => 1000)
      yield* write(["0", "1", "2"])
      const consumer = yield* group(topic)
      const first = yield* Effect.fork(Stream.runDrain(consumer.records))
      yield* Effect.sleep("4500 millis")
      yield* Fiber.interrupt(first)
      const records = yield* Stream.runCollect(Stream.take(consumer.records, 3))
      assert.deepStrictEqual(Chunk.toReadonlyArray(records).map(({ value }) => value), ["0!", "1!", "2!"])
      assert.includeMembers(begun, ["0", "1", "2"])
    }))
  })

  it("is given up when its partition is revoked: the next owner begins where this one had settled", () => {
    play(
      Effect.gen(function*() {
        const hanging = reader(undefined, () => Effect.never)
        const quick = reader()
        yield* write(["a"], 0)
        yield* write(["b"], 1)
        const options = { groupId: "group", heartbeatInterval: "500 millis", drainTimeout: "20 seconds" } as const
        const first = yield* Consumer.make({ ...options, topics: [hanging.topic] })
        yield* Effect.fork(Stream.runDrain(first.records))
        yield* Effect.sleep("5 seconds")
        assert.strictEqual(hanging.running, 2)
        const start = yield* Clock.currentTimeMillis
        const second = yield* Consumer.make({ ...options, topics: [quick.topic] })
        const record = yield* Stream.runHead(second.records)
        assert.isTrue(Option.isSome(record))
        assert.isBelow((yield* Clock.currentTimeMillis) - start, 15_000)
        assert.strictEqual(hanging.running, 1)
      }),
      { cluster: { topics: { lines: 2 } } }
    )
  })
})
