import { assert, describe, it } from "@effect/vitest"
import { ApiVersions } from "@sluice/kafka/internal/protocol/api/apiVersions"
import { Fetch } from "@sluice/kafka/internal/protocol/api/fetch"
import { Metadata } from "@sluice/kafka/internal/protocol/api/metadata"
import { Produce } from "@sluice/kafka/internal/protocol/api/produce"
import { decodeResponse, encodeRequest } from "@sluice/kafka/internal/protocol/codec"
import { Transport } from "@sluice/kafka/Transport"
import { Duration, Effect, Exit, FastCheck, Fiber, Scope, Supervisor, TestClock } from "effect"

import { MemoryCluster, Simulation } from "../../src/index.ts"
import { connect, ping } from "../support/client.ts"
import { batch, fetchRequest, produceRequest, text } from "../support/model.ts"

const fetchVersion = 12

/** A Fetch that waits for a first record in partition 0 of "orders". */
const longPoll = fetchRequest([{ topic: "orders", partition: 0, fetchOffset: 0 }], { maxWaitMs: 500 })

const withCluster = (options: Parameters<typeof MemoryCluster.layer>[0] = {}) =>
  Effect.provide(MemoryCluster.layer({ topics: { orders: 1 }, ...options }))

const stored = (topic: string) =>
  Effect.gen(function*() {
    const cluster = yield* MemoryCluster
    return (yield* cluster.records(topic)).map((record) => text(record.value))
  })

/** Lets everything happen that needs no time. */
const settle = TestClock.adjust(0)

describe("a connection", () => {
  it.scoped("carries requests and responses as bytes", () =>
    Effect.gen(function*() {
      const client = yield* connect()
      const { errorCode } = yield* ping(client)
      assert.strictEqual(errorCode, 0)
      const { brokers } = yield* client.ask(Metadata, { topics: [] })
      assert.deepStrictEqual(brokers.map((broker) => `${broker.host}:${broker.port}`), ["broker-1.memory:9092"])
      yield* client.ask(Produce, produceRequest("orders", 0, batch(["a", "b"])))
      const { responses } = yield* client.ask(Fetch, longPoll, fetchVersion)
      assert.strictEqual(responses[0]!.partitions[0]!.highWatermark, 2)
    }).pipe(withCluster()))

  it.scoped("copies what is written: the parts may change afterwards", () =>
    Effect.gen(function*() {
      const client = yield* connect()
      const records = batch(["a"])
      const response = yield* client.send(Produce, produceRequest("orders", 0, records))
      records.fill(0)
      yield* response
      assert.deepStrictEqual(yield* stored("orders"), ["a"])
    }).pipe(withCluster()))

  it.scoped("gives copies: changing a response changes no log", () =>
    Effect.gen(function*() {
      const client = yield* connect()
      yield* client.ask(Produce, produceRequest("orders", 0, batch(["a"])))
      const { responses } = yield* client.ask(Fetch, longPoll, fetchVersion)
      responses[0]!.partitions[0]!.records!.fill(0)
      assert.deepStrictEqual(yield* stored("orders"), ["a"])
    }).pipe(withCluster()))

  it.scoped("is served one request after the other: a long poll holds up what comes behind it, but no other connection", () =>
    Effect.gen(function*() {
      const client = yield* connect()
      const other = yield* connect()
      const poll = yield* Effect.fork(Effect.flatten(client.send(Fetch, longPoll, fetchVersion)))
      const behind = yield* Effect.fork(ping(client))
      yield* settle
      assert.strictEqual((yield* behind.poll)._tag, "None")
      yield* other.ask(Produce, produceRequest("orders", 0, batch(["a"])))
      const { responses } = yield* Fiber.join(poll)
      assert.strictEqual(responses[0]!.partitions[0]!.highWatermark, 1)
      assert.strictEqual((yield* Fiber.join(behind)).errorCode, 0)
    }).pipe(withCluster()))

  it.scoped("waits in the clock's time", () =>
    Effect.gen(function*() {
      const client = yield* connect()
      const poll = yield* Effect.fork(Effect.flatten(client.send(Fetch, longPoll, fetchVersion)))
      yield* TestClock.adjust("499 millis")
      assert.strictEqual((yield* poll.poll)._tag, "None")
      yield* TestClock.adjust("1 millis")
      const { responses } = yield* Fiber.join(poll)
      assert.strictEqual(responses[0]!.partitions[0]!.records!.length, 0)
    }).pipe(withCluster()))

  it.scoped("takes its time on the way, in both directions, and requests may follow each other closely", () =>
    Effect.gen(function*() {
      const connecting = yield* Effect.fork(connect())
      yield* TestClock.adjust("19 millis")
      assert.strictEqual((yield* connecting.poll)._tag, "None")
      yield* TestClock.adjust("1 millis")
      const client = yield* Fiber.join(connecting)
      const first = yield* Effect.fork(ping(client))
      yield* TestClock.adjust("5 millis")
      const second = yield* Effect.fork(ping(client))
      yield* TestClock.adjust("14 millis")
      assert.strictEqual((yield* first.poll)._tag, "None")
      yield* TestClock.adjust("1 millis")
      yield* Fiber.join(first)
      assert.strictEqual((yield* second.poll)._tag, "None")
      yield* TestClock.adjust("5 millis")
      yield* Fiber.join(second)
    }).pipe(withCluster({ latency: "10 millis" })))

  it.scoped("drops the response of a wait that is interrupted, and keeps the next ones apart", () =>
    Effect.gen(function*() {
      const client = yield* connect()
      const poll = yield* Effect.fork(Effect.flatten(client.send(Fetch, longPoll, fetchVersion)))
      yield* settle
      yield* Fiber.interrupt(poll)
      const behind = yield* client.send(Metadata, { topics: [] })
      yield* TestClock.adjust("500 millis")
      assert.lengthOf((yield* behind).brokers, 1)
    }).pipe(withCluster()))

  it.scoped("expects nothing from Produce with acks 0", () =>
    Effect.gen(function*() {
      const { connection } = yield* connect()
      const produce = (topic: string) =>
        Effect.flatten(connection.send({
          apiKey: Produce.key,
          apiVersion: 9,
          headerVersion: 2,
          body: encodeRequest(Produce, 9, produceRequest(topic, 0, batch(["a"]), 0)),
          expectResponse: false
        }))
      assert.lengthOf(yield* produce("orders"), 0)
      yield* settle
      assert.deepStrictEqual(yield* stored("orders"), ["a"])
      yield* produce("nope")
      assert.strictEqual((yield* connection.closed).reason, "ConnectionLost")
    }).pipe(withCluster()))

  it.scoped("ends at a response that nobody expects", () =>
    Effect.gen(function*() {
      const { connection } = yield* connect()
      yield* connection.send({
        apiKey: Produce.key,
        apiVersion: 9,
        headerVersion: 2,
        body: encodeRequest(Produce, 9, produceRequest("orders", 0, batch(["a"]), 1)),
        expectResponse: false
      })
      assert.strictEqual((yield* connection.closed).reason, "InvalidFrame")
    }).pipe(withCluster()))

  it.scoped("ends at a response that is too long", () =>
    Effect.gen(function*() {
      const client = yield* connect(1, { maxFrameBytes: 50 })
      const error = yield* Effect.flip(client.ask(Metadata, { topics: null }))
      assert.deepInclude(error, { reason: "InvalidFrame", written: true })
      assert.strictEqual(yield* (yield* MemoryCluster).connections, 0)
    }).pipe(withCluster()))
})

describe("closing", () => {
  it.effect("fails what was in flight as perhaps written, and what comes later as surely not", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const scope = yield* Scope.make()
      const client = yield* Scope.extend(connect(), scope)
      assert.strictEqual(yield* cluster.connections, 1)
      const poll = yield* client.send(Fetch, longPoll, fetchVersion)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(yield* cluster.connections, 0)
      assert.deepInclude(yield* Effect.flip(poll), { reason: "Closed", written: true })
      assert.deepInclude(yield* Effect.flip(ping(client)), { reason: "Closed", written: false })
      assert.strictEqual((yield* client.connection.closed).reason, "Closed")
    }).pipe(withCluster()))

  it.effect("does not take back what was written", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const connecting = yield* Effect.fork(Scope.extend(connect(), scope))
      yield* TestClock.adjust("20 millis")
      const client = yield* Fiber.join(connecting)
      yield* client.send(Produce, produceRequest("orders", 0, batch(["a"])))
      yield* Scope.close(scope, Exit.void)
      yield* TestClock.adjust("10 millis")
      assert.deepStrictEqual(yield* stored("orders"), ["a"])
    }).pipe(withCluster({ latency: "10 millis" })))

  it.effect("leaves no fiber", () =>
    Effect.gen(function*() {
      const supervisor = yield* Supervisor.track
      yield* Effect.gen(function*() {
        const client = yield* connect()
        const other = yield* connect()
        yield* client.send(Fetch, longPoll, fetchVersion)
        yield* ping(other)
        yield* settle
        assert.isAbove((yield* supervisor.value).length, 0)
      }).pipe(Effect.scoped, withCluster(), Effect.supervised(supervisor))
      const left = (yield* supervisor.value).filter((fiber) => fiber.unsafePoll() === null)
      assert.deepStrictEqual(left, [])
    }))
})

describe("what is no request", () => {
  it.scoped("closes the connection, and no other", () =>
    Effect.gen(function*() {
      const other = yield* connect()
      const hostile: ReadonlyArray<[string, number, number, Uint8Array]> = [
        ["an unknown API", 9999, 0, new Uint8Array(10)],
        ["a version that is too new", Produce.key, 99, new Uint8Array(10)],
        ["a version that is too old", Produce.key, 0, new Uint8Array(10)],
        ["an API that only clients know", 17, 1, new Uint8Array([0, 1, 65])],
        ["a body that ends early", Metadata.key, 9, new Uint8Array([0, 9, 9])],
        ["bytes after the body", ApiVersions.key, 0, new Uint8Array([1, 2, 3])]
      ]
      for (const [what, apiKey, version, body] of hostile) {
        const client = yield* connect()
        const error = yield* Effect.flip(Effect.flatten(client.sendBytes(apiKey, version, body)))
        assert.strictEqual(error.reason, "ConnectionLost", what)
        assert.strictEqual((yield* client.connection.closed).reason, "ConnectionLost", what)
      }
      assert.strictEqual((yield* ping(other)).errorCode, 0)
    }).pipe(withCluster()))

  it.scoped("is answered in version 0 where it is an unknown version of ApiVersions", () =>
    Effect.gen(function*() {
      const client = yield* connect()
      const bytes = yield* Effect.flatten(client.sendBytes(ApiVersions.key, 99, new Uint8Array([1, 2, 3]), 2))
      const { apiKeys, errorCode } = decodeResponse(ApiVersions, 0, bytes)
      assert.strictEqual(errorCode, 35)
      assert.deepStrictEqual(apiKeys, [{ apiKey: 18, minVersion: 0, maxVersion: 3 }])
      yield* ping(client)
    }).pipe(withCluster()))

  it.scoped.prop("never hurts the brokers", {
    frames: FastCheck.array(FastCheck.record({
      apiKey: FastCheck.constantFrom(0, 1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 18, 19, 20, 21, 22),
      version: FastCheck.integer({ min: 0, max: 14 }),
      body: FastCheck.uint8Array({ maxLength: 60 })
    }))
  }, ({ frames }) =>
    Effect.gen(function*() {
      for (const { apiKey, body, version } of frames) {
        const client = yield* connect()
        yield* Effect.ignore(client.sendBytes(apiKey, version, body))
      }
      yield* settle
      assert.strictEqual((yield* ping(yield* connect())).errorCode, 0)
    }).pipe(Effect.scoped, withCluster()))
})

describe("connecting", () => {
  it.scoped("is refused where no broker listens", () =>
    Effect.gen(function*() {
      const transport = yield* Transport
      const error = yield* Effect.flip(transport.connect({ host: "nowhere", port: 9092 }, {
        clientId: "test",
        connectTimeout: Duration.seconds(1),
        maxFrameBytes: 1000
      }))
      assert.deepInclude(error, { reason: "ConnectFailed", written: false })
    }).pipe(withCluster()))

  it.scoped("has its bound", () =>
    Effect.gen(function*() {
      const transport = yield* Transport
      const connecting = yield* Effect.fork(transport.connect({ host: "broker-1.memory", port: 9092 }, {
        clientId: "test",
        connectTimeout: Duration.seconds(1),
        maxFrameBytes: 1000
      }))
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Effect.flip(Fiber.join(connecting))).reason, "ConnectFailed")
    }).pipe(withCluster({ latency: "2 seconds" })))

  it("leaves no connection behind when it is interrupted", () => {
    const program = Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      for (let after = 0; after < 20; after++) {
        const connecting = yield* Effect.fork(Effect.scoped(connect()))
        yield* Effect.repeatN(Effect.yieldNow(), after)
        yield* Fiber.interrupt(connecting)
      }
      yield* Effect.sleep("1 second")
      return yield* cluster.connections
    }).pipe(withCluster({ latency: 1 }))
    for (let seed = 1; seed <= 20; seed++) {
      const { exit } = Simulation.run(program, { seed, interleaving: { extraYields: 0.3 }, maxSteps: 100_000 })
      assert.deepStrictEqual(exit, Exit.succeed(0), `seed ${seed}`)
    }
  })
})
