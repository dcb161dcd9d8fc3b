import { assert, describe, it } from "@effect/vitest"
import type { BrokerConnection } from "@sluice/kafka/internal/cluster/connection"
import { makePool } from "@sluice/kafka/internal/cluster/pool"
import * as Kafka from "@sluice/kafka/Kafka"
import type { KafkaError } from "@sluice/kafka/KafkaError"
import { Transport } from "@sluice/kafka/Transport"
import { MemoryCluster } from "@sluice/testing/MemoryCluster"
import { Clock, Effect, Exit, Fiber, FiberId, Scheduler, Scope, TestClock } from "effect"

import { type Answer, answerFirst, ApiVersions, Metadata, silence, wired, Wires } from "../producer/wire.ts"

const address = { host: "broker-1.memory", port: 9092 }
const settle = TestClock.adjust(0)

/** A pool of its own, which the test closes. */
const openPool = Effect.gen(function*() {
  const scope = yield* Scope.make()
  const { cluster } = yield* Kafka.Kafka
  const pool = yield* Scope.extend(makePool(yield* Transport, cluster.settings), scope)
  return { get: pool.get(address), close: Scope.close(scope, Exit.void) }
})

const ask = (connection: BrokerConnection) => connection.request(Metadata, { topics: [] })
const tag = (error: KafkaError) => `${error._tag} ${error.reason._tag} ${error.reason.written}`
const metadata = (throttleTimeMs: number) => (): Answer => ({
  _tag: "Body",
  api: Metadata,
  body: { throttleTimeMs, brokers: [], topics: [] }
})

describe("a pool", () => {
  it.effect("opens one connection for any number of callers, and another when it has ended", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const { connects } = yield* Wires
      const { close, get } = yield* openPool
      const [first, ...others] = yield* Effect.all(Array.from({ length: 20 }, () => get), { concurrency: 20 })
      assert.isTrue(others.every((connection) => connection === first))
      assert.lengthOf(connects, 1)
      yield* cluster.stopBroker(1)
      yield* settle
      assert.isFalse(first!.isOpen())
      assert.strictEqual(tag(yield* Effect.flip(get)), "RetriableError ConnectionLost false")
      yield* cluster.startBroker(1)
      const second = yield* get
      assert.notStrictEqual(second, first)
      assert.strictEqual(tag(yield* Effect.flip(ask(first!))), "RetriableError ConnectionLost false")
      yield* ask(second)
      assert.strictEqual(yield* cluster.connections, 1)
      yield* close
      assert.strictEqual(yield* cluster.connections, 0)
      assert.strictEqual((yield* Effect.flip(get)).reason._tag, "Closed")
    }).pipe(Effect.provide(wired())))

  it.effect("closes a connection that was being opened when it was closed", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      // Each way takes 100 milliseconds: connected at 200, versions agreed on at 400.
      for (let millis = 0; millis <= 450; millis += 50) {
        const { close, get } = yield* openPool
        const fiber = yield* Effect.fork(get)
        yield* TestClock.adjust(millis)
        yield* close
        yield* TestClock.adjust("1 second")
        assert.strictEqual((yield* Fiber.await(fiber))._tag, millis < 400 ? "Failure" : "Success")
        assert.strictEqual(yield* cluster.connections, 0, `closed after ${millis} ms`)
      }
    }).pipe(Effect.provide(wired({ latency: 100 }))))

  it.effect("leaves nothing of an opening that is interrupted, and lets the next one begin", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const { close, get } = yield* openPool
      for (let millis = 0; millis < 400; millis += 50) {
        const fiber = yield* Effect.fork(get)
        yield* TestClock.adjust(millis)
        yield* Fiber.interrupt(fiber)
        yield* TestClock.adjust("1 second")
        assert.strictEqual(yield* cluster.connections, 0, `interrupted after ${millis} ms`)
      }
      const fiber = yield* Effect.fork(get)
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(fiber)
      yield* close
    }).pipe(Effect.provide(wired({ latency: 100 }))))

  it.effect("gives up on a broker that takes connections and says nothing", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      yield* cluster.pauseBroker(1)
      const { close, get } = yield* openPool
      const fiber = yield* Effect.fork(Effect.uninterruptible(Effect.flip(get)))
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(tag(yield* Fiber.join(fiber)), "RetriableError RequestTimeout true")
      assert.strictEqual(yield* cluster.connections, 0)
      yield* close
    }).pipe(Effect.provide(wired())))

  it.effect("refuses a broker that is too old", () =>
    Effect.gen(function*() {
      answerFirst(yield* Wires, "ApiVersions", () => ({
        _tag: "Body",
        api: ApiVersions,
        version: 0,
        body: { errorCode: 35, apiKeys: [] }
      }))
      const { close, get } = yield* openPool
      const error = yield* Effect.flip(get)
      assert.strictEqual(tag(error), "FatalError UnsupportedVersion false")
      assert.include(error.message, "older than Kafka 2.4")
      assert.strictEqual(yield* Effect.flatMap(MemoryCluster, ({ connections }) => connections), 0)
      yield* close
    }).pipe(Effect.provide(wired())))
})

describe("a connection", () => {
  it.effect("is not closed at the deadline of a request whose wait was interrupted, wherever that came", () =>
    Effect.gen(function*() {
      const { close, get } = yield* openPool
      const connection = yield* get
      for (let at = 0; at < 80; at++) {
        let step = 0
        let asking: Fiber.RuntimeFiber<unknown, unknown> | undefined
        const scheduler = Scheduler.make(
          (task, priority, fiber) => Scheduler.defaultScheduler.scheduleTask(task, priority, fiber),
          (fiber) => {
            asking ??= fiber
            if (fiber !== asking || step++ !== at) return false
            fiber.unsafeInterruptAsFork(FiberId.none)
            return 0
          }
        )
        yield* Effect.flatMap(Effect.fork(Effect.withScheduler(ask(connection), scheduler)), Fiber.await)
        yield* TestClock.adjust("40 seconds")
        assert.isTrue(connection.isOpen(), `interrupted at step ${at}`)
      }
      yield* close
    }).pipe(Effect.provide(wired())))

  it.effect("is closed when an answer does not come in time, and its other requests fail with it", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const { close, get } = yield* openPool
      const connection = yield* get
      yield* cluster.pauseBroker(1)
      const first = yield* Effect.fork(Effect.flip(ask(connection)))
      yield* TestClock.adjust("20 seconds")
      const second = yield* Effect.fork(Effect.flip(Effect.uninterruptible(ask(connection))))
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(tag(yield* Fiber.join(first)), "RetriableError RequestTimeout true")
      assert.strictEqual(tag(yield* Fiber.join(second)), "RetriableError ConnectionLost true")
      assert.isFalse(connection.isOpen())
      yield* connection.closed
      yield* close
    }).pipe(Effect.provide(wired())))

  it.effect("is closed by an answer that cannot be read", () =>
    Effect.gen(function*() {
      const wire = yield* Wires
      const { close, get } = yield* openPool
      const connection = yield* get
      wire.edit = (_, response) => response.subarray(0, response.length - 1)
      assert.strictEqual(tag(yield* Effect.flip(ask(connection))), "RetriableError InvalidResponse true")
      assert.isFalse(connection.isOpen())
      yield* close
    }).pipe(Effect.provide(wired())))

  it.effect("keeps its requests in flight when who waits is interrupted, but for long polls", () =>
    Effect.gen(function*() {
      const wire = yield* Wires
      const { close, get } = yield* openPool
      const connection = yield* get
      answerFirst(wire, "Metadata", silence, silence)
      const fiber = yield* Effect.fork(ask(connection))
      yield* settle
      yield* Fiber.interrupt(fiber)
      assert.isTrue(connection.isOpen())
      const poll = yield* Effect.fork(connection.request(Metadata, { topics: [] }, { closeOnInterrupt: true }))
      yield* settle
      yield* Fiber.interrupt(poll)
      assert.isFalse(connection.isOpen())
      yield* close
    }).pipe(Effect.provide(wired())))

  it.effect("is silent for as long as the broker asks, and no longer when it is closed", () =>
    Effect.gen(function*() {
      const wire = yield* Wires
      const { close, get } = yield* openPool
      const connection = yield* get
      answerFirst(wire, "Metadata", metadata(5000))
      yield* ask(connection)
      const requests = wire.requests.length
      const ready = yield* Effect.fork(Effect.zipRight(connection.unthrottled, Clock.currentTimeMillis))
      const answer = yield* Effect.fork(ask(connection))
      yield* TestClock.adjust("4999 millis")
      assert.strictEqual(wire.requests.length, requests)
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* Fiber.join(ready), 5000)
      yield* Fiber.join(answer)
      assert.strictEqual(wire.requests.length, requests + 1)
      answerFirst(wire, "Metadata", metadata(50_000))
      yield* ask(connection)
      const late = yield* Effect.fork(Effect.flip(ask(connection)))
      yield* settle
      yield* close
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(tag(yield* Fiber.join(late)), "RetriableError ConnectionLost false")
    }).pipe(Effect.provide(wired())))
})
