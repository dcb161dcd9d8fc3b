import { assert, describe, it } from "@effect/vitest"
import * as Producer from "@sluice/kafka/Producer"
import { MemoryCluster } from "@sluice/testing/MemoryCluster"
import { Effect, Exit, Fiber, Option, TestClock } from "effect"

import { memory } from "../support/memory.ts"
import { allValues, count, line, values } from "./lines.ts"
import { wired, Wires, written } from "./wire.ts"

const oneTopic = { topics: { lines: 1 } }
/** Room for four records of 200 bytes. */
const small = { bufferBytes: 1000, maxRecordBytes: 300, batchBytes: 1000 } as const
const text = (i: number) => String(i).padStart(200, "0")
const polled = <A, E>(fiber: Fiber.Fiber<A, E>) => Effect.map(fiber.poll, Option.isSome)

/** Lets everything happen that needs no time. */
const settle = TestClock.adjust(0)

describe("back-pressure", () => {
  it.effect("makes senders wait for room, in their order", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const producer = yield* Producer.make(small)
      yield* producer.send(line("first"))
      yield* cluster.pauseBroker(1)
      const accepted: Array<number> = []
      const fibers = yield* Effect.forEach(
        count(20),
        (_, i) => Effect.fork(Effect.tap(producer.enqueue(line(text(i))), () => accepted.push(i)))
      )
      yield* settle
      assert.deepStrictEqual(accepted, [0, 1, 2, 3])
      yield* cluster.resumeBroker(1)
      yield* settle
      assert.deepStrictEqual(accepted, Array.from({ length: 20 }, (_, i) => i))
      yield* Effect.all(yield* Fiber.join(Fiber.all(fibers)))
      assert.deepStrictEqual((yield* values()).slice(1), Array.from({ length: 20 }, (_, i) => text(i)))
    }).pipe(Effect.scoped, Effect.provide(memory(oneTopic))))

  it.effect("does not let a batch linger while somebody waits for its room", () =>
    Effect.gen(function*() {
      const producer = yield* Producer.make({ ...small, linger: "1 minute" })
      // The other partition's batch holds what the next record needs.
      for (let i = 0; i < 4; i++) yield* producer.enqueue(line(text(i), { partition: 0 }))
      yield* settle
      assert.deepStrictEqual(yield* values(0), [])
      const sent = yield* Effect.fork(producer.sendAll([4, 5].map((i) => line(text(i), { partition: 1 }))))
      yield* settle
      assert.deepStrictEqual(yield* values(0), [0, 1, 2, 3].map(text))
      yield* TestClock.adjust("1 minute")
      assert.lengthOf(yield* Fiber.join(sent), 2)
    }).pipe(Effect.scoped, Effect.provide(memory({ topics: { lines: 2 } }))))

  it.effect("withdraws a record whose send is interrupted while it waits", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const producer = yield* Producer.make(small)
      yield* producer.send(line("first"))
      yield* cluster.pauseBroker(1)
      for (let i = 0; i < 4; i++) yield* producer.enqueue(line(text(i)))
      const [gone, stays] = yield* Effect.all([
        Effect.fork(producer.send(line("withdrawn".padEnd(200)))),
        Effect.fork(producer.send(line("stays".padEnd(200))))
      ])
      yield* settle
      yield* Fiber.interrupt(gone)
      yield* cluster.resumeBroker(1)
      yield* Fiber.join(stays)
      assert.deepStrictEqual(yield* values(), ["first", text(0), text(1), text(2), text(3), "stays".padEnd(200)])
    }).pipe(Effect.scoped, Effect.provide(memory(oneTopic))))

  it.effect("delivers and reports a record whose send is interrupted after it was accepted", () =>
    Effect.gen(function*() {
      const reports: Array<string> = []
      const cluster = yield* MemoryCluster
      const producer = yield* Producer.make({
        onDelivery: {
          handler: (delivery) => Effect.sync(() => reports.push(`${delivery._tag} ${delivery.record.value}`))
        }
      })
      yield* producer.send(line("first"))
      yield* cluster.pauseBroker(1)
      const fiber = yield* Effect.fork(producer.send(line("accepted")))
      yield* settle
      yield* Fiber.interrupt(fiber)
      yield* cluster.resumeBroker(1)
      yield* settle
      assert.deepStrictEqual(yield* values(), ["first", "accepted"])
      assert.deepStrictEqual(reports, ["Acknowledged first", "Acknowledged accepted"])
    }).pipe(Effect.scoped, Effect.provide(memory(oneTopic))))

  it.effect("withdraws the rest of a sendAll that is interrupted", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const producer = yield* Producer.make(small)
      yield* producer.send(line("first"))
      yield* cluster.pauseBroker(1)
      const fiber = yield* Effect.fork(producer.sendAll(Array.from({ length: 10 }, (_, i) => line(text(i)))))
      yield* settle
      yield* Fiber.interrupt(fiber)
      yield* cluster.resumeBroker(1)
      yield* producer.send(line("last"))
      assert.deepStrictEqual(yield* values(), ["first", ...[0, 1, 2, 3].map(text), "last"])
    }).pipe(Effect.scoped, Effect.provide(memory(oneTopic))))

  it.effect("lets other partitions go on while one has no leader that answers", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      // A follower that hangs would hold up the acknowledgements of other partitions.
      yield* cluster.createTopic("lines", { partitions: 2, replicas: 1 })
      const producer = yield* Producer.make({ bufferBytes: 10_000, maxRecordBytes: 1000, batchBytes: 1000 })
      yield* producer.send(line("x", { partition: 0 }))
      yield* producer.send(line("x", { partition: 1 }))
      yield* cluster.pauseBroker(1)
      const stuck = yield* Effect.forEach(
        count(100),
        (_, i) => Effect.fork(producer.send(line(text(i), { partition: 0 })))
      )
      yield* settle
      for (let i = 0; i < 50; i++) yield* producer.send(line(text(i), { partition: 1 }))
      assert.isFalse(yield* polled(stuck[0]!))
      // Records without a key go where there is room.
      const places = yield* Effect.forEach(count(50), (_, i) => producer.send(line(text(i))))
      assert.deepStrictEqual(Array.from(new Set(places.map(({ partition }) => partition))), [1])
      yield* cluster.resumeBroker(1)
      yield* Fiber.join(Fiber.all(stuck))
    }).pipe(Effect.scoped, Effect.provide(memory({ brokers: 2 }))))

  it.effect("is the same in the rush of many fibers: nothing lost, nothing twice, nothing left", () =>
    Effect.gen(function*() {
      const producer = yield* Producer.make({ ...small, batchBytes: 500 })
      const outcomes = yield* Effect.forEach(
        count(500),
        (_, i) =>
          Effect.fork(
            // Every third is interrupted somewhere on its way.
            Effect.flatMap(Effect.fork(producer.send(line(text(i)))), (fiber) =>
              i % 3 === 0
                ? Effect.zipRight(
                  Effect.forEach(count(i % 17), () => Effect.yieldNow(), { discard: true }),
                  Fiber.interrupt(fiber)
                )
                : Fiber.await(fiber))
          )
      ).pipe(Effect.flatMap((fibers) => Fiber.join(Fiber.all(fibers))))
      yield* producer.flush
      const stored = yield* allValues()
      assert.strictEqual(new Set(stored).size, stored.length, "twice")
      const kept = new Set(stored)
      outcomes.forEach((exit, i) => {
        if (Exit.isSuccess(exit)) assert.isTrue(kept.has(text(i)))
        else assert.isTrue(Exit.isInterrupted(exit) && i % 3 === 0)
      })
      // All the room is there again.
      yield* producer.send(line("x".repeat(250)))
    }).pipe(Effect.scoped, Effect.provide(memory({ topics: { lines: 4 } }))))
})

describe("the delivery timeout", () => {
  it.effect("says maybe of what was written, and no of what was not", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const wire = yield* Wires
      const producer = yield* Producer.make({ deliveryTimeout: "10 seconds" })
      yield* producer.send(line("first"))
      yield* cluster.pauseBroker(1)
      const onWire = yield* Effect.fork(producer.send(line("written")))
      yield* settle
      yield* TestClock.adjust("1 second")
      const others: Array<Fiber.Fiber<unknown, unknown>> = []
      for (const name of ["2", "3", "4", "5"]) {
        others.push(yield* Effect.fork(producer.send(line(name))))
        yield* TestClock.adjust("10 millis")
      }
      const behind = yield* Effect.fork(producer.send(line("waits")))
      yield* settle
      assert.strictEqual(written(wire).length, 6)
      yield* TestClock.adjust("8959 millis")
      assert.isFalse(yield* polled(onWire))
      yield* TestClock.adjust("1 millis")
      assert.isTrue(yield* polled(onWire))
      assert.isFalse(yield* polled(behind))
      const error = yield* Effect.flip(Fiber.join(onWire))
      assert.deepInclude(error, { _tag: "RetriableError", scope: "partition", persisted: "maybe" })
      assert.deepInclude(error.reason, { _tag: "DeliveryTimeout", topic: "lines", partition: 0 })
      yield* TestClock.adjust("1040 millis")
      for (const other of others) assert.isTrue(yield* polled(other))
      assert.strictEqual((yield* Effect.flip(Fiber.join(behind))).persisted, "no")
      assert.strictEqual(written(wire).length, 6)
      yield* cluster.resumeBroker(1)
      assert.strictEqual((yield* producer.send(line("after"))).offset, 6n)
      assert.deepStrictEqual(yield* values(), ["first", "written", "2", "3", "4", "5", "after"])
      const numbers = written(wire).map(({ epoch, sequence }) => [epoch, sequence])
      assert.deepStrictEqual(numbers.slice(0, 6), [0, 1, 2, 3, 4, 5].map((sequence) => [0, sequence]))
      assert.strictEqual(numbers.at(-1)![1], 0)
      assert.isAbove(numbers.at(-1)![0]!, 0)
    }).pipe(Effect.scoped, Effect.provide(wired(oneTopic))))

  it.effect("says no of what never left: its broker is not there", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const producer = yield* Producer.make({ deliveryTimeout: "5 seconds" })
      yield* producer.send(line("first"))
      yield* cluster.stopBroker(1)
      yield* TestClock.adjust(0)
      const fiber = yield* Effect.fork(Effect.flip(producer.send(line("lost"))))
      yield* TestClock.adjust("5 seconds")
      const error = yield* Fiber.join(fiber)
      assert.deepInclude(error, { _tag: "RetriableError", persisted: "no" })
      assert.strictEqual(error.reason._tag, "DeliveryTimeout")
      assert.include(error.message, "last: ")
      yield* cluster.startBroker(1)
      const sent = yield* Effect.fork(producer.send(line("after")))
      yield* TestClock.adjust("3 seconds")
      yield* Fiber.join(sent)
      assert.deepStrictEqual(yield* values(), ["first", "after"])
    }).pipe(Effect.scoped, Effect.provide(memory(oneTopic))))
})
