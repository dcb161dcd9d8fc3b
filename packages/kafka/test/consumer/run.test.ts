/** Handlers: what they are given, what is committed, and how they end. */
import { assert, describe, it } from "@effect/vitest"
import { Consumer } from "@sluice/kafka"
import { MemoryCluster } from "@sluice/testing/MemoryCluster"
import { Cause, Deferred, Effect, Exit, Fiber, Layer, Stream, TestClock } from "effect"

import {
  committed,
  inWorld,
  isDone,
  logged,
  member,
  type NumberRecord,
  Numbers,
  passing,
  passUntil,
  quiet,
  range,
  Seen,
  write
} from "./world.ts"

/** A handler that waits, record by record, until the test says so. */
class Gate {
  readonly started: Array<string> = []
  readonly finished: Array<string> = []
  readonly interrupted: Array<string> = []
  readonly #open = new Map<string, Deferred.Deferred<void, string>>()

  readonly handler = (record: NumberRecord): Effect.Effect<void, string> => {
    const name = `${record.partition}/${record.value}`
    const gate = Deferred.make<void, string>()
    return Effect.flatMap(gate, (deferred) => {
      this.started.push(name)
      this.#open.set(name, deferred)
      return Deferred.await(deferred)
    }).pipe(
      Effect.tap(() => Effect.sync(() => this.finished.push(name))),
      Effect.onInterrupt(() => Effect.sync(() => this.interrupted.push(name)))
    )
  }

  finish(name: string): Effect.Effect<void> {
    return Effect.zipRight(Deferred.succeed(this.#open.get(name)!, undefined), quiet)
  }

  fail(name: string, error: string): Effect.Effect<void> {
    return Effect.zipRight(Deferred.fail(this.#open.get(name)!, error), quiet)
  }
}

describe("run", () => {
  it.effect("handles the records of a partition one after the other, and the partitions side by side", () =>
    Effect.gen(function*() {
      yield* write(0, range(0, 3))
      yield* write(1, range(0, 3))
      const { consumer } = yield* member()
      const gate = new Gate()
      const run = yield* Effect.fork(consumer.run(gate.handler))
      yield* passUntil("both partitions", () => gate.started.length === 2)
      assert.sameMembers(gate.started, ["0/0", "1/0"])
      yield* gate.finish("0/0")
      assert.deepStrictEqual(gate.started.slice(2), ["0/1"])
      yield* gate.finish("0/1")
      yield* gate.finish("0/2")
      assert.deepStrictEqual(gate.finished, ["0/0", "0/1", "0/2"])
      assert.sameMembers(gate.started, ["0/0", "1/0", "0/1", "0/2"])
      assert.isFalse(isDone(run))
    }).pipe(inWorld({ topics: { numbers: 2 } })))

  it.effect("commits what was processed at intervals, and nothing while nothing is", () =>
    Effect.gen(function*() {
      yield* write(0, range(0, 10))
      const cluster = yield* MemoryCluster
      let commits = 0
      yield* cluster.intercept(({ apiName }) => {
        if (apiName === "OffsetCommit") commits++
        return "deliver"
      })
      const { consumer } = yield* member({ commitInterval: "2 seconds" })
      const gate = new Gate()
      yield* Effect.fork(consumer.run(gate.handler))
      yield* passUntil("the first", () => gate.started.length === 1)
      yield* gate.finish("0/0")
      yield* gate.finish("0/1")
      yield* TestClock.adjust("1900 millis")
      assert.deepStrictEqual(yield* committed(), {})
      yield* TestClock.adjust("200 millis")
      assert.deepStrictEqual(yield* committed(), { 0: 2 })
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(commits, 1)
      yield* gate.finish("0/2")
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(yield* committed(), { 0: 3 })
      assert.strictEqual(commits, 2)
    }).pipe(inWorld({ topics: { numbers: 1 } })))

  it.effect("fails as its handler does, when the others have finished what they had in hand", () =>
    Effect.gen(function*() {
      yield* write(0, range(0, 5))
      yield* write(1, range(0, 5))
      const { consumer } = yield* member()
      const gate = new Gate()
      const run = yield* Effect.fork(consumer.run(gate.handler))
      yield* passUntil("both partitions", () => gate.started.length === 2)
      yield* gate.finish("0/0")
      yield* gate.finish("0/1")
      yield* gate.fail("0/2", "no luck")
      assert.isFalse(isDone(run))
      yield* gate.finish("1/0")
      assert.deepStrictEqual(yield* passing(Effect.exit(Fiber.join(run))), Exit.fail("no luck"))
      assert.deepStrictEqual(gate.finished, ["0/0", "0/1", "1/0"])
      assert.deepStrictEqual(yield* committed(), { 0: 2, 1: 1 })
    }).pipe(inWorld({ topics: { numbers: 2 } })))

  it.effect("can be run again: the record that failed comes first, and none is left out", () =>
    Effect.gen(function*() {
      yield* write(0, range(0, 100))
      const { consumer } = yield* member()
      const seen = new Seen()
      const tried = new Set<string>()
      const handler = (record: NumberRecord) => {
        if (Number(record.value) % 30 !== 29 || tried.has(record.value)) return seen.handler(record)
        tried.add(record.value)
        return Effect.fail("once")
      }
      yield* Effect.fork(Effect.retry(consumer.run(handler), { times: 10 }))
      yield* passUntil("all", () => seen.count === 100)
      assert.deepStrictEqual(seen.of(0), range(0, 100))
      yield* passUntil("committed", Effect.map(committed(), (offsets) => offsets[0] === 100))
    }).pipe(inWorld({ topics: { numbers: 1 } })))

  it.effect("takes a handler's defect, and a handler that interrupts itself, for failures", () =>
    Effect.gen(function*() {
      yield* write(0, range(0, 3))
      const { consumer } = yield* member()
      const boom = new Error("boom")
      const died = yield* passing(Effect.exit(consumer.run(() => Effect.die(boom))))
      assert.deepStrictEqual(died, Exit.die(boom))
      const thrown = yield* passing(Effect.exit(consumer.run((): Effect.Effect<void> => {
        throw boom
      })))
      assert.deepStrictEqual(thrown, Exit.die(boom))
      const interrupted = yield* passing(Effect.exit(consumer.run(() => Effect.interrupt)))
      assert.isTrue(Exit.isFailure(interrupted) && Cause.isInterruptedOnly(interrupted.cause))
      assert.deepStrictEqual(yield* committed(), {})
    }).pipe(inWorld({ topics: { numbers: 1 } })))

  it.effect("has its own services, span and log annotations in the handler", () =>
    Effect.gen(function*() {
      yield* write(0, ["one"])
      const { consumer } = yield* member()
      const annotations = yield* Deferred.make<unknown>()
      yield* Effect.fork(
        Effect.annotateLogs(
          consumer.run(() => Effect.flatMap(Effect.logAnnotations, (found) => Deferred.succeed(annotations, found))),
          "worker",
          "one"
        )
      )
      const found = yield* passing(Deferred.await(annotations))
      assert.deepStrictEqual(JSON.parse(JSON.stringify(found)).values, [["worker", "one"]])
    }).pipe(inWorld({ topics: { numbers: 1 } })))

  it.effect("refuses a second run, and a run of a closed consumer", () =>
    Effect.gen(function*() {
      const { close, consumer } = yield* member()
      const first = yield* Effect.fork(consumer.run(() => Effect.void))
      yield* quiet
      const second = yield* Effect.flip(consumer.run(() => Effect.void))
      assert.strictEqual(second.reason._tag, "InvalidArgument")
      assert.isFalse(isDone(first))
      yield* Fiber.interrupt(first)
      const third = yield* Effect.fork(consumer.run(() => Effect.void))
      yield* quiet
      assert.isFalse(isDone(third))
      yield* close
      assert.strictEqual((yield* Effect.flip(consumer.run(() => Effect.void))).reason._tag, "Closed")
    }).pipe(inWorld({ topics: { numbers: 1 } })))
})

describe("run, interrupted", () => {
  it.effect("finishes what it has in hand, commits it, and only then returns", () =>
    Effect.gen(function*() {
      yield* write(0, range(0, 5))
      yield* write(1, range(0, 5))
      const { consumer } = yield* member({ commitInterval: "1 hour" })
      const gate = new Gate()
      const run = yield* Effect.fork(consumer.run(gate.handler))
      yield* passUntil("both partitions", () => gate.started.length === 2)
      const stop = yield* Effect.fork(Fiber.interrupt(run))
      yield* TestClock.adjust("5 seconds")
      assert.isFalse(isDone(stop))
      yield* gate.finish("0/0")
      yield* gate.finish("1/0")
      const exit = yield* passing(Fiber.join(stop))
      assert.isTrue(Exit.isFailure(exit) && Cause.isInterruptedOnly(exit.cause))
      assert.deepStrictEqual(gate.started.length, 2)
      assert.deepStrictEqual(gate.interrupted, [])
      assert.deepStrictEqual(yield* committed(), { 0: 1, 1: 1 })
    }).pipe(inWorld({ topics: { numbers: 2 } })))

  it.effect("ends at once when nothing is in hand, and takes nothing more", () =>
    Effect.gen(function*() {
      yield* write(0, range(0, 5))
      const { consumer } = yield* member()
      const seen = new Seen()
      const run = yield* Effect.fork(consumer.run(seen.handler))
      yield* passUntil("all", () => seen.count === 5)
      const before = yield* TestClock.currentTimeMillis
      yield* Fiber.interrupt(run)
      assert.strictEqual(yield* TestClock.currentTimeMillis, before)
      yield* write(0, range(5, 10))
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(seen.count, 5)
      yield* Effect.fork(consumer.run(seen.handler))
      yield* passUntil("the rest", () => seen.count === 10)
      assert.deepStrictEqual(seen.of(0), range(0, 10))
    }).pipe(inWorld({ topics: { numbers: 1 } })))

  it.effect("interrupts a handler that never ends, after the bound, and does not commit its record", () =>
    Effect.gen(function*() {
      yield* write(0, range(0, 5))
      const { consumer } = yield* member({ drainTimeout: "3 seconds" })
      const gate = new Gate()
      const run = yield* Effect.fork(consumer.run(gate.handler))
      yield* passUntil("the first", () => gate.started.length === 1)
      yield* gate.finish("0/0")
      const stop = yield* Effect.fork(Fiber.interrupt(run))
      yield* TestClock.adjust("2900 millis")
      assert.deepStrictEqual([gate.interrupted, isDone(stop)], [[], false])
      yield* TestClock.adjust("200 millis")
      yield* passing(Fiber.join(stop))
      assert.deepStrictEqual(gate.interrupted, ["0/1"])
      assert.deepStrictEqual(yield* committed(), { 0: 1 })
    }).pipe(inWorld({ topics: { numbers: 1 } })))

  it.effect("does not wait for ever for a handler that cannot be interrupted", () =>
    Effect.gen(function*() {
      yield* write(0, range(0, 5))
      const { consumer } = yield* member({ drainTimeout: "3 seconds" })
      const run = yield* Effect.fork(consumer.run(() => Effect.uninterruptible(Effect.sleep("1 minute"))))
      yield* TestClock.adjust("1 second")
      const stop = yield* Effect.fork(Fiber.interrupt(run))
      yield* TestClock.adjust("3 seconds")
      assert.isFalse(isDone(stop))
      yield* TestClock.adjust("1100 millis")
      assert.isTrue(isDone(stop))
    }).pipe(inWorld({ topics: { numbers: 1 } })))

  it.effect("twice, drains once", () =>
    Effect.gen(function*() {
      yield* write(0, range(0, 5))
      const { consumer } = yield* member()
      const gate = new Gate()
      const run = yield* Effect.fork(consumer.run(gate.handler))
      yield* passUntil("the first", () => gate.started.length === 1)
      const stops = yield* Effect.forEach([1, 2], () => Effect.fork(Fiber.interrupt(run)))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(stops.map(isDone), [false, false])
      yield* gate.finish("0/0")
      yield* passing(Effect.forEach(stops, Fiber.join))
      assert.deepStrictEqual(gate.interrupted, [])
      assert.deepStrictEqual(yield* committed(), { 0: 1 })
    }).pipe(inWorld({ topics: { numbers: 1 } })))

  it.effect("inside what cannot be interrupted, still ends when its handler fails", () =>
    Effect.gen(function*() {
      yield* write(0, range(0, 5))
      const { consumer } = yield* member()
      const exit = yield* passing(Effect.exit(Effect.uninterruptible(consumer.run(() => Effect.fail("no luck")))))
      assert.deepStrictEqual(exit, Exit.fail("no luck"))
    }).pipe(inWorld({ topics: { numbers: 1 } })))
})

describe("run, while its consumer closes", () => {
  it.effect("succeeds when all is finished and committed", () =>
    Effect.gen(function*() {
      yield* write(0, range(0, 5))
      const { close, consumer } = yield* member({ commitInterval: "1 hour" })
      const gate = new Gate()
      const run = yield* Effect.fork(consumer.run(gate.handler))
      yield* passUntil("the first", () => gate.started.length === 1)
      const closing = yield* Effect.fork(close)
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual([isDone(run), isDone(closing)], [false, false])
      yield* gate.finish("0/0")
      yield* passUntil("closed", () => isDone(closing))
      assert.deepStrictEqual(yield* Effect.exit(Fiber.join(run)), Exit.void)
      assert.deepStrictEqual(gate.started, ["0/0"])
      assert.deepStrictEqual(yield* committed(), { 0: 1 })
    }).pipe(inWorld({ topics: { numbers: 1 } })))

  it.effect("and is interrupted too, drains once", () =>
    Effect.gen(function*() {
      yield* write(0, range(0, 5))
      const { close, consumer } = yield* member({ drainTimeout: "3 seconds" })
      const gate = new Gate()
      const run = yield* Effect.fork(consumer.run(gate.handler))
      yield* passUntil("the first", () => gate.started.length === 1)
      const closing = yield* Effect.fork(close)
      const stop = yield* Effect.fork(Fiber.interrupt(run))
      yield* TestClock.adjust("2900 millis")
      assert.deepStrictEqual([isDone(stop), isDone(closing)], [false, false])
      yield* TestClock.adjust("200 millis")
      yield* passUntil("both", () => isDone(closing) && isDone(stop))
      assert.deepStrictEqual(gate.interrupted, ["0/0"])
      assert.deepStrictEqual(yield* committed(), {})
    }).pipe(inWorld({ topics: { numbers: 1 } })))

  it.effect("as a layer, drains and says nothing of it", () =>
    Effect.gen(function*() {
      yield* write(0, range(0, 5))
      const gate = new Gate()
      const { layer, lines } = logged()
      const worker = Consumer.layer({ groupId: "group", topics: [Numbers] }, gate.handler)
      const program = yield* Effect.fork(
        passUntil("the first", () => gate.started.length === 1).pipe(
          Effect.zipRight(
            Effect.fork(Effect.zipRight(Effect.sleep("1 second"), Effect.suspend(() => gate.finish("0/0"))))
          ),
          Effect.zipRight(Effect.succeed("ended")),
          Effect.provide(worker),
          Effect.provide(layer)
        )
      )
      yield* passUntil("ended", () => isDone(program))
      assert.deepStrictEqual([gate.finished, gate.interrupted], [["0/0"], []])
      assert.deepStrictEqual(lines.filter((line) => !line.startsWith("DEBUG")), [])
      assert.deepStrictEqual(yield* committed(), { 0: 1 })
    }).pipe(inWorld({ topics: { numbers: 1 } })))

  it.effect("as a layer, is not built with options that are none", () =>
    Effect.gen(function*() {
      const worker = Consumer.layer({ groupId: "group", topics: [Numbers] }, () => Effect.void, { concurrency: 0 })
      const error = yield* Effect.flip(Effect.scoped(Layer.build(worker)))
      assert.deepStrictEqual([error._tag, error.reason._tag], ["FatalError", "InvalidArgument"])
    }).pipe(inWorld({ topics: { numbers: 1 } })))

  it.effect("as a layer, says when its handler failed", () =>
    Effect.gen(function*() {
      yield* write(0, range(0, 5))
      const { layer, lines } = logged()
      const worker = Consumer.layer({ groupId: "group", topics: [Numbers] }, () => Effect.fail("no luck"))
      const failed = () => lines.some((line) => line === "ERROR the worker of group group stopped")
      yield* passUntil("failed", failed).pipe(Effect.provide(worker), Effect.provide(layer))
      assert.isTrue(failed())
    }).pipe(inWorld({ topics: { numbers: 1 } })))
})

describe("run, after a stream", () => {
  it.effect("begins with what the stream was given and did not settle", () =>
    Effect.gen(function*() {
      yield* write(0, range(0, 50))
      const { consumer } = yield* member()
      const some = yield* consumer.records.pipe(Stream.take(20), Stream.runCollect)
      yield* consumer.commit(some)
      const seen = new Seen()
      yield* Effect.fork(consumer.run(seen.handler))
      yield* passUntil("the rest", () => seen.count === 30)
      assert.deepStrictEqual(seen.of(0), range(20, 50))
    }).pipe(inWorld({ topics: { numbers: 1 } })))
})
