import { assert, describe, it } from "@effect/vitest"
import type * as KafkaError from "@sluice/kafka/KafkaError"
import * as Producer from "@sluice/kafka/Producer"
import * as Serde from "@sluice/kafka/Serde"
import * as Topic from "@sluice/kafka/Topic"
import { MemoryCluster } from "@sluice/testing/MemoryCluster"
import { Chunk, Clock, Effect, Exit, Fiber, Option, Scope, Stream } from "effect"

import { outcome, play } from "../scenarios/story.ts"
import { count, values } from "./lines.ts"

/** Takes as long as `delay` says, and does what the value says. */
const slow = (delay: (value: string) => number = () => 10) =>
  Serde.makeEffect<string>({
    serialize: (value, topic) =>
      Effect.suspend((): Effect.Effect<Uint8Array, Error> => {
        if (value === "fails") return Effect.fail(new Error("no schema"))
        if (value === "dies") return Effect.die(new Error("a defect"))
        if (value === "interrupts itself") return Effect.interrupt
        if (value === "hangs") return Effect.never
        if (value === "gives null") return Effect.succeed(null as never)
        return Effect.succeed(Serde.string.serialize(value, topic))
      }).pipe(Effect.delay(delay(value))),
    deserialize: (bytes, topic) => Effect.sync(() => Serde.string.deserialize(bytes, topic))
  })

const topic = (
  value: Serde.EffectSerde<string> = slow(),
  key: Serde.EffectSerde<string> | Serde.Serde<string> = Serde.string
) => Topic.make("lines", { key, value })

/** Later ones are quicker. */
const shrinking = slow((value) => 100 - Number(value))

const failures = ["fails", "dies", "interrupts itself", "gives null"]

describe("an effectful serde", () => {
  it("does not change how a topic reads", () => {
    const Orders = Topic.make("orders", { key: Serde.string, value: slow() })
    const Tombstones = Topic.make("orders", { key: slow(), value: Serde.string, tombstones: true })
    const orders: Topic.Topic<"orders", string, string> = Orders
    const tombstones: Topic.Topic<"orders", string, string | null> = Tombstones
    assert.strictEqual(orders.name, tombstones.name)
    assert.isNull(Tombstones.record({ key: "a", value: null }).value)
    // @ts-expect-error the value is a string
    Orders.record({ key: "a", value: 1 })
  })

  it("runs for the key, then for the value, and what they give is written", () => {
    play(Effect.gen(function*() {
      const order: Array<string> = []
      const telling = (part: string) =>
        Serde.makeEffect<string>({
          serialize: (value, topic) =>
            Effect.as(
              Effect.sync(() => order.push(`${part} of ${topic}`)),
              new TextEncoder().encode(`${part} ${value}`)
            ),
          deserialize: () => Effect.succeed("")
        })
      const Both = Topic.make("lines", { key: telling("key"), value: telling("value"), tombstones: true })
      const producer = yield* Producer.make()
      yield* producer.send(Both.record({ key: "a", value: "b" }))
      yield* producer.send(Both.record({ value: "c" }))
      yield* producer.send(Both.record({ key: "d", value: null }))
      assert.deepStrictEqual(order, ["key of lines", "value of lines", "value of lines", "key of lines"])
      const text = (bytes: Uint8Array | null) => bytes === null ? null : new TextDecoder().decode(bytes)
      const cluster = yield* MemoryCluster
      assert.deepStrictEqual(
        (yield* cluster.records("lines")).map(({ key, value }) => [text(key), text(value)]),
        [["key a", "value b"], [null, "value c"], ["key d", null]]
      )
    }))
  })

  it("keeps the order in which records are given, in every way of sending", () => {
    play(Effect.gen(function*() {
      const Lines = topic(shrinking)
      const producer = yield* Producer.make()
      const records = (from: number) => count(from + 10).slice(from).map((value) => Lines.record({ value }))
      yield* producer.sendAll(records(0))
      yield* Stream.run(Stream.fromIterable(records(10)), producer.sink)
      yield* Stream.fromIterable(records(20)).pipe(
        Stream.map((record) => ({ record })),
        producer.pipe,
        Stream.runDrain
      )
      for (const record of records(30)) yield* producer.enqueue(record)
      for (const record of records(40)) yield* producer.tryEnqueue(record)
      yield* producer.flush
      assert.deepStrictEqual(yield* values(), count(50))
    }))
  })

  it("that fails, dies, interrupts itself or gives no bytes fails its record alone, as not written", () => {
    play(Effect.gen(function*() {
      const Lines = topic()
      const producer = yield* Producer.make<string>()
      for (const value of failures) {
        const record = Lines.record({ value })
        const sends: ReadonlyArray<Effect.Effect<unknown, KafkaError.ProduceError>> = [
          producer.send(record),
          producer.enqueue(record),
          producer.tryEnqueue(record)
        ]
        for (const sent of sends) {
          assert.strictEqual(outcome(yield* Effect.flip(sent)), "SerializationFailed no", value)
        }
      }
      const texts = ["0", "fails", "1", "dies", "2", "interrupts itself", "3", "gives null", "4"]
      const { results } = yield* Effect.flip(producer.sendAll(texts.map((value) => Lines.record({ value }))))
      assert.deepStrictEqual(
        results.map((result) => result._tag === "Failed" ? outcome(result.error) : Number(result.metadata.offset)),
        texts.map((text) => failures.includes(text) ? "SerializationFailed no" : Number(text))
      )
      const deliveries = yield* Stream.fromIterable(texts).pipe(
        Stream.map((value) => ({ record: Lines.record({ value }), correlation: value })),
        producer.pipe,
        Stream.runCollect
      )
      assert.deepStrictEqual(
        Chunk.toReadonlyArray(deliveries).filter(({ _tag }) => _tag === "Failed").map(({ correlation }) => correlation),
        failures
      )
      assert.deepStrictEqual(yield* values(), [...count(5), ...count(5)])
      const error = yield* Effect.flip(producer.send(Lines.record({ value: "fails" })))
      assert.include(error.message, "no schema")
      assert.strictEqual((error.cause as Error).message, "no schema")
    }))
  })

  it("of a key fails the record too, and so does a value that is not allowed after it", () => {
    play(Effect.gen(function*() {
      const Lines = topic(slow(), slow())
      const producer = yield* Producer.make({ maxRecordBytes: 1000 })
      assert.strictEqual(
        outcome(yield* Effect.flip(producer.send(Lines.record({ key: "fails", value: "v" })))),
        "SerializationFailed no"
      )
      assert.strictEqual(
        outcome(yield* Effect.flip(producer.send(Lines.record({ key: "k", value: "x".repeat(2000) })))),
        "MessageTooLarge no"
      )
      assert.strictEqual(
        outcome(yield* Effect.flip(producer.send(Lines.record({ key: "k", value: null as never })))),
        "InvalidArgument no"
      )
      assert.deepStrictEqual(yield* values(), [])
    }))
  })

  it("that knows the answer needs no time and no fiber", () => {
    play(Effect.gen(function*() {
      const Cached = topic(Serde.makeEffect({
        serialize: (value: string, topic) => Effect.succeed(Serde.string.serialize(value, topic)),
        deserialize: (bytes, topic) => Effect.succeed(Serde.string.deserialize(bytes, topic))
      }))
      const producer = yield* Producer.make()
      yield* producer.send(Cached.record({ value: "0" }))
      const before = yield* producer.health.get
      assert.strictEqual(before.waitingSenders, 0)
      yield* producer.sendAll(count(5000).slice(1).map((value) => Cached.record({ value })))
      assert.deepStrictEqual(yield* values(), count(5000))
    }))
  })

  it("that is interrupted withdraws its record: nothing of it is sent, and it is interrupted itself", () => {
    play(Effect.gen(function*() {
      let interrupted = 0
      const hanging = Serde.makeEffect<string>({
        serialize: () => Effect.onInterrupt(Effect.never, () => Effect.sync(() => interrupted++)),
        deserialize: () => Effect.succeed("")
      })
      const Hanging = topic(hanging)
      const producer = yield* Producer.make()
      const senders = [
        producer.send(Hanging.record({ value: "a" })),
        producer.enqueue(Hanging.record({ value: "b" })),
        producer.sendAll([
          topic().record({ value: "0" }),
          Hanging.record({ value: "c" }),
          topic().record({ value: "d" })
        ])
      ]
      for (const sender of senders) {
        const fiber = yield* Effect.fork(Effect.asVoid<unknown, unknown, never>(sender))
        yield* Effect.sleep("1 second")
        assert.strictEqual((yield* producer.health.get).waitingSenders, 1)
        assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(fiber)))
        assert.strictEqual((yield* producer.health.get).waitingSenders, 0)
      }
      yield* Effect.sleep("1 second")
      assert.strictEqual(interrupted, 3)
      yield* producer.flush
      assert.deepStrictEqual(yield* values(), ["0"])
    }))
  })

  it("that hangs holds up neither another sender, nor a flush, nor the close, which sends it away", () => {
    play(Effect.gen(function*() {
      const Lines = topic()
      const scope = yield* Scope.make()
      const producer = yield* Scope.extend(Producer.make(), scope)
      const hanging = yield* Effect.fork(Effect.flip(producer.send(Lines.record({ value: "hangs" }))))
      yield* Effect.sleep("1 second")
      yield* producer.send(Lines.record({ value: "0" }))
      yield* producer.flush
      const start = yield* Clock.currentTimeMillis
      yield* Scope.close(scope, Exit.void)
      assert.isBelow((yield* Clock.currentTimeMillis) - start, 100)
      const refused = yield* Effect.timeoutOption(Fiber.join(hanging), "1 minute")
      assert.strictEqual(Option.getOrUndefined(Option.map(refused, outcome)), "Closed no")
      let ran = false
      const Telling = topic(Serde.makeEffect<string>({
        serialize: () => Effect.sync(() => (ran = true, new Uint8Array())),
        deserialize: () => Effect.succeed("")
      }))
      assert.strictEqual(outcome(yield* Effect.flip(producer.send(Telling.record({ value: "1" })))), "Closed no")
      assert.isFalse(ran)
      assert.deepStrictEqual(yield* values(), ["0"])
    }))
  })

  it("counts no time against the delivery timeout, and its record is reported once", () => {
    play(Effect.gen(function*() {
      const reports: Array<readonly [correlation: number | undefined, elapsed: number]> = []
      const producer = yield* Producer.make<number>({
        deliveryTimeout: "1 second",
        onDelivery: { handler: (report) => Effect.sync(() => reports.push([report.correlation, report.elapsedMillis])) }
      })
      const Slow = topic(slow(() => 5000))
      yield* producer.send(Slow.record({ value: "0" }), { correlation: 1 })
      yield* Effect.flip(producer.send(Slow.record({ value: "fails" }), { correlation: 2 }))
      yield* Effect.sleep("1 second")
      assert.deepStrictEqual(reports.map(([correlation]) => correlation), [1])
      assert.isBelow(reports[0]![1], 100)
    }))
  })
})
