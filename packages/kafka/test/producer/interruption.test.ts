import { assert, describe, it } from "@effect/vitest"
import { Fibers } from "@sluice/kafka/internal/fiber"
import * as Kafka from "@sluice/kafka/Kafka"
import * as Producer from "@sluice/kafka/Producer"
import * as Serde from "@sluice/kafka/Serde"
import * as Topic from "@sluice/kafka/Topic"
import { MemoryCluster } from "@sluice/testing/MemoryCluster"
import { Effect, Exit, Fiber, Stream, TestClock } from "effect"

import { memory } from "../support/memory.ts"
import { count, line, values } from "./lines.ts"
import { wired, Wires, written } from "./wire.ts"

/** More turns than any of these takes. */
const turns = 120

/** Runs it with a turn for others after each of its steps, and interrupts it after so many turns. */
const interruptAfter = <A, E, R>(self: Effect.Effect<A, E, R>, turn: number) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.fork(Effect.withMaxOpsBeforeYield(self, 0))
    for (let i = 0; i < turn; i++) yield* Effect.yieldNow()
    yield* Fiber.interrupt(fiber)
    return yield* Fiber.await(fiber)
  })

const record = (topic: string, value: string) =>
  Topic.make(topic, { key: Serde.string, value: Serde.string }).record({ value })

describe("an interruption, wherever it comes,", () => {
  it.effect("of a refresh of the metadata ends no other", () =>
    Effect.gen(function*() {
      const { cluster } = yield* Kafka.Kafka
      let interrupted = 0
      for (let turn = 0; turn < turns; turn++) {
        const exit = yield* interruptAfter(cluster.refresh, turn)
        if (Exit.isInterrupted(exit)) interrupted++
        yield* cluster.refresh
      }
      assert.isAbove(interrupted, 10)
      assert.isBelow(interrupted, turns)
    }).pipe(Effect.provide(memory())))

  it.effect("of a look-up of a topic ends no other", () =>
    Effect.gen(function*() {
      const memory = yield* MemoryCluster
      const { cluster } = yield* Kafka.Kafka
      for (let turn = 0; turn < turns; turn++) {
        yield* memory.createTopic(`t${turn}`)
        yield* interruptAfter(cluster.topic(`t${turn}`), turn)
        assert.lengthOf((yield* cluster.topic(`t${turn}`)).partitions, 1)
      }
    }).pipe(Effect.provide(memory())))

  it.effect("of a send leaves its record delivered once, or not at all", () =>
    Effect.gen(function*() {
      const memory = yield* MemoryCluster
      const producer = yield* Producer.make()
      let delivered = 0
      for (let turn = 0; turn < turns; turn++) {
        const topic = `t${turn}`
        yield* memory.createTopic(topic)
        const exit = yield* interruptAfter(producer.send(record(topic, "first")), turn)
        yield* producer.send(record(topic, "second"))
        const stored = yield* values(0, topic)
        assert.isTrue(Exit.isInterrupted(exit) || stored.length === 2)
        assert.deepStrictEqual(stored, stored.length === 2 ? ["first", "second"] : ["second"])
        delivered += stored.length - 1
      }
      assert.isTrue(delivered > 0 && delivered < turns)
    }).pipe(Effect.scoped, Effect.provide(memory())))

  it.effect("of a sendAll or a sink withdraws what was not accepted, and frees all room", () =>
    Effect.gen(function*() {
      const producer = yield* Producer.make({ bufferBytes: 300, batchBytes: 300, maxRecordBytes: 300 })
      const records = count(10).map((value) => line(value.padEnd(100)))
      for (let turn = 0; turn < turns; turn++) {
        const before = (yield* values()).length
        yield* interruptAfter(
          turn % 2 === 0 ? producer.sendAll(records) : Stream.run(Stream.fromIterable(records), producer.sink),
          turn
        )
        yield* producer.send(line("x".repeat(200)))
        const stored = (yield* values()).slice(before, -1)
        assert.deepStrictEqual(stored, count(stored.length).map((value) => value.padEnd(100)))
      }
    }).pipe(Effect.scoped, Effect.provide(memory({ topics: { lines: 1 } }))))

  it.effect("of a flush leaves nothing flushing", () =>
    Effect.gen(function*() {
      const wire = yield* Wires
      const producer = yield* Producer.make({ linger: "1 minute" })
      for (let turn = 0; turn < turns; turn++) {
        yield* producer.enqueue(line("x"))
        yield* interruptAfter(producer.flush, turn)
        yield* producer.flush
      }
      const batches = written(wire).length
      yield* producer.enqueue(line("lingers"))
      yield* TestClock.adjust("59 seconds")
      assert.lengthOf(written(wire), batches)
      yield* TestClock.adjust("1 second")
      assert.lengthOf(written(wire), batches + 1)
    }).pipe(Effect.scoped, Effect.provide(wired({ topics: { lines: 1 } }))))

  it.effect("of a producer's making leaves nothing open", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      let interrupted = 0
      for (let turn = 0; turn < 400; turn += 7) {
        const make = Effect.scoped(Producer.make({ onDelivery: { handler: () => Effect.void, concurrency: 2 } }))
        const exit = yield* interruptAfter(make, turn)
        if (Exit.isInterrupted(exit)) interrupted++
        assert.isAtMost(yield* cluster.connections, 1, "the client's own, for metadata")
      }
      assert.isAbove(interrupted, 5)
    }).pipe(Effect.provide(memory())))

  it.effect("of a fork leaves no fiber that is not known", () =>
    Effect.gen(function*() {
      for (let turn = 0; turn < 30; turn++) {
        let running = 0
        const fibers = new Fibers()
        const body = Effect.acquireUseRelease(
          Effect.sync(() => running++),
          () => Effect.never,
          () => Effect.sync(() => running--)
        )
        yield* interruptAfter(Effect.forEach(count(3), () => fibers.fork(body)), turn)
        yield* TestClock.adjust(0)
        assert.strictEqual(fibers.size, running)
        yield* fibers.interruptAll("1 second")
        assert.strictEqual(running, 0)
      }
    }))
})

describe("Fibers", () => {
  it.effect("ends those too that are started while it ends the others", () =>
    Effect.gen(function*() {
      const fibers = new Fibers()
      let ended = 0
      const late = Effect.ensuring(Effect.never, Effect.sync(() => ended++))
      yield* fibers.fork(Effect.onInterrupt(Effect.never, () => fibers.fork(late)))
      yield* TestClock.adjust(0)
      yield* fibers.interruptAll("1 second")
      assert.strictEqual(fibers.size, 0)
    }))

  it.effect("gives up on one that cannot be interrupted", () =>
    Effect.gen(function*() {
      const fibers = new Fibers()
      yield* fibers.fork(Effect.uninterruptible(Effect.sleep("1 minute")))
      const fiber = yield* Effect.fork(Effect.uninterruptible(fibers.interruptAll("1 second")))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(fiber)
      assert.strictEqual(fibers.size, 1)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(fibers.size, 0)
    }))
})
