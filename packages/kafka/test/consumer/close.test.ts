/** What is left when a consumer closes, and how long that takes. */
import { assert, describe, it } from "@effect/vitest"
import { MemoryCluster } from "@sluice/testing/MemoryCluster"
import { Effect, Fiber, Stream, TestClock } from "effect"

import {
  committed,
  inWorld,
  isDone,
  logged,
  member,
  type NumberRecord,
  passing,
  passUntil,
  quiet,
  range,
  Seen,
  write
} from "./world.ts"

/** How long something takes, in virtual milliseconds. */
const duration = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const before = yield* TestClock.currentTimeMillis
    yield* passing(self, { step: "100 millis", steps: 1000 })
    return (yield* TestClock.currentTimeMillis) - before
  })

describe("closing", () => {
  it.effect("commits, leaves the group, and leaves no connection: at once", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      yield* write(0, range(0, 10))
      const before = yield* cluster.connections
      const { close, consumer } = yield* member({ commitInterval: "1 hour" })
      const seen = new Seen()
      const run = yield* Effect.fork(consumer.run(seen.handler))
      yield* passUntil("all", () => seen.count === 10)
      assert.isAbove(yield* cluster.connections, before)
      assert.strictEqual(yield* duration(close), 0)
      yield* Fiber.join(run)
      assert.deepStrictEqual(yield* committed(), { 0: 10 })
      // The client's own is for all of its consumers.
      assert.strictEqual(yield* cluster.connections, before)
      // The group is empty: the next member waits for nobody.
      const next = yield* member()
      yield* write(0, range(10, 11))
      const again = new Seen()
      yield* Effect.fork(next.consumer.run(again.handler))
      yield* passUntil("at once", () => again.count === 1, { steps: 1 })
    }).pipe(inWorld({ topics: { numbers: 1 } })))

  it.effect("commits what a stream's application has settled, and asks for nothing afterwards", () =>
    Effect.gen(function*() {
      yield* write(0, range(0, 10))
      const { close, consumer } = yield* member()
      const reading = yield* Effect.fork(Stream.run(consumer.records, consumer.commitSink))
      yield* passUntil("all", Effect.map(committed(), (offsets) => offsets[0] === 10))
      yield* close
      yield* Fiber.join(reading)
      const cluster = yield* MemoryCluster
      let requests = 0
      yield* cluster.intercept(() => {
        requests++
        return "deliver"
      })
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual(requests, 0)
    }).pipe(inWorld({ topics: { numbers: 1 } }, { metadataMaxAge: "1 hour" })))

  it.effect("is bounded where the brokers hang", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const { layer, lines } = logged()
      yield* write(0, range(0, 10))
      const { close, consumer } = yield* Effect.provide(
        member({ commitInterval: "1 hour", closeTimeout: "2 seconds", drainTimeout: "3 seconds" }),
        layer
      )
      const seen = new Seen()
      const run = yield* Effect.fork(
        consumer.run((record: NumberRecord) => record.value === "9" ? Effect.never : seen.handler(record))
      )
      yield* passUntil("all", () => seen.count === 9)
      yield* cluster.pauseBroker(1)
      // Handlers, the commit, and leaving.
      const took = yield* duration(close.pipe(Effect.provide(layer)))
      assert.isAtLeast(took, 7000)
      assert.isAtMost(took, 7500)
      assert.isTrue(isDone(run))
      assert.deepStrictEqual(lines.filter((line) => line.startsWith("WARN")), [
        "WARN 1 handlers did not end within 3s: interrupted",
        "WARN not all was committed within 2s",
        "WARN consumer closing: the group was not left in time"
      ])
      assert.deepStrictEqual(yield* committed(), {})
      yield* cluster.resumeBroker(1)
    }).pipe(inWorld({ topics: { numbers: 1 } })))

  it.effect("is bounded where it waits to join", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      yield* cluster.intercept(({ apiName }) => apiName === "JoinGroup" ? "dropRequest" : "deliver")
      const { close, consumer } = yield* member({ closeTimeout: "2 seconds" })
      const reading = yield* Effect.fork(Stream.runDrain(consumer.records))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* duration(close), 0)
      yield* Fiber.join(reading)
    }).pipe(inWorld({ topics: { numbers: 1 } })))

  it.effect("while the group rebalances, does not wait for it", () =>
    Effect.gen(function*() {
      yield* write(0, range(0, 10))
      yield* write(1, range(0, 10))
      // This one never joins again: its heartbeats come too late.
      yield* member({ heartbeatInterval: "40 seconds" })
      yield* TestClock.adjust("1 second")
      const { close, consumer } = yield* member()
      const reading = yield* Effect.fork(Stream.runDrain(consumer.records))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* duration(close), 0)
      yield* Fiber.join(reading)
    }).pipe(inWorld({ topics: { numbers: 2 } })))

  it.effect("lets a stream commit by hand what it was given", () =>
    Effect.gen(function*() {
      yield* write(0, range(0, 10))
      const { close, consumer } = yield* member()
      const seen = new Seen()
      const reading = yield* Effect.fork(Stream.runForEach(consumer.records, (record) =>
        Effect.delay(seen.handler(record), "100 millis").pipe(Effect.zipRight(consumer.commit(record)))))
      yield* passUntil("some are processed", () =>
        seen.count >= 3)
      yield* passing(close)
      yield* Fiber.join(reading)
      assert.deepStrictEqual(seen.of(0), range(0, 10))
      assert.deepStrictEqual(yield* committed(), { 0: 10 })
      const run = yield* Effect.flip(consumer.run(() => Effect.void))
      assert.strictEqual(run.reason._tag, "Closed")
    }).pipe(inWorld({ topics: { numbers: 1 } })))

  it.effect("ends waits for commits that cannot be done any more", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      yield* write(0, range(0, 10))
      const { close, consumer } = yield* member({ closeTimeout: "2 seconds" })
      const pulled = yield* consumer.records.pipe(Stream.take(10), Stream.runCollect)
      yield* cluster.intercept(({ apiName }) => apiName === "OffsetCommit" ? "disconnect" : "deliver")
      const commit = yield* Effect.fork(consumer.commit(pulled))
      yield* TestClock.adjust("1 second")
      yield* passing(close)
      const error = yield* Effect.flip(Fiber.join(commit))
      assert.deepStrictEqual([error._tag, error.reason._tag], ["RetriableError", "NotAssigned"])
    }).pipe(inWorld({ topics: { numbers: 1 } })))

  it.effect("may come before anything else", () =>
    Effect.gen(function*() {
      const { close, consumer } = yield* member()
      assert.strictEqual(yield* duration(close), 0)
      assert.strictEqual(yield* Stream.runCount(consumer.records), 0)
      yield* quiet
    }).pipe(inWorld({ topics: { numbers: 1 } })))

  it.effect("leaves no fiber behind", () =>
    Effect.gen(function*() {
      yield* write(0, range(0, 10))
      const before = new Set(Fiber.unsafeRoots())
      const started = () => Fiber.unsafeRoots().filter((fiber) => !before.has(fiber) && !isDone(fiber))
      const { close, consumer } = yield* member()
      const seen = new Seen()
      yield* Effect.fork(consumer.run(seen.handler))
      yield* passUntil("all", () => seen.count === 10)
      assert.isAbove(started().length, 5)
      yield* passing(close)
      // The cluster has one that sleeps until a fetch that is gone would have been answered.
      yield* TestClock.adjust("3 seconds")
      assert.lengthOf(started(), 0)
    }).pipe(inWorld({ topics: { numbers: 1 } })))
})
