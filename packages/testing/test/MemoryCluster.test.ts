import { assert, describe, it } from "@effect/vitest"
import { Producer, Serde, Topic } from "@sluice/kafka"
import { BatchBuilder } from "@sluice/kafka/internal/kernel/recordBatch"
import { Fetch } from "@sluice/kafka/internal/protocol/api/fetch"
import { Heartbeat } from "@sluice/kafka/internal/protocol/api/heartbeat"
import { JoinGroup } from "@sluice/kafka/internal/protocol/api/joinGroup"
import { Metadata } from "@sluice/kafka/internal/protocol/api/metadata"
import { OffsetCommit } from "@sluice/kafka/internal/protocol/api/offsetCommit"
import { Produce } from "@sluice/kafka/internal/protocol/api/produce"
import { Cause, Effect, Exit, Fiber, TestClock } from "effect"

import { Fault, type InterceptedRequest, MemoryCluster, Simulation, type Verdict } from "../src/index.ts"
import { connect, ping } from "./support/client.ts"
import { batch, bytes, errorName, fetchRequest, joinRequest, produceRequest, text } from "./support/model.ts"

const withCluster = (options: Parameters<typeof MemoryCluster.layer>[0] = {}) =>
  Effect.provide(MemoryCluster.layer({ topics: { orders: 2 }, ...options }))

const produce = produceRequest("orders", 0, batch(["a"]))

const storedValues = Effect.gen(function*() {
  const cluster = yield* MemoryCluster
  return (yield* cluster.records("orders")).map((record) => text(record.value))
})

/** Message of the defect that an effect dies with. */
const defectOf = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.exit(effect), (exit) => Exit.isFailure(exit) ? String(Cause.squash(exit.cause)) : "no failure")

describe("MemoryCluster", () => {
  it.effect("tells where its brokers are", () =>
    Effect.gen(function*() {
      const { bootstrap } = yield* MemoryCluster
      assert.deepStrictEqual(bootstrap, ["broker-1.memory:9092", "broker-2.memory:9092", "broker-3.memory:9092"])
    }).pipe(withCluster({ brokers: 3 })))

  it.scoped("shows what is in a topic", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const client = yield* connect()
      const builder = new BatchBuilder()
      builder.append(1234, bytes("k"), bytes("v"), [{ key: "h", value: bytes("1") }, { key: "h", value: null }])
      builder.append(1235, null, null, [])
      yield* client.ask(Produce, produceRequest("orders", 1, builder.close()))
      yield* client.ask(Produce, produce)
      const records = yield* cluster.records("orders")
      assert.deepStrictEqual(records, [
        { partition: 0, offset: 0n, timestamp: 1000, key: null, value: bytes("a"), headers: [] },
        {
          partition: 1,
          offset: 0n,
          timestamp: 1234,
          key: bytes("k"),
          value: bytes("v"),
          headers: [{ key: "h", value: bytes("1") }, { key: "h", value: null }]
        },
        { partition: 1, offset: 1n, timestamp: 1235, key: null, value: null, headers: [] }
      ])
      records[0]!.value!.fill(0)
      assert.deepStrictEqual(yield* cluster.records("orders").pipe(Effect.map((all) => text(all[0]!.value))), "a")
    }).pipe(withCluster()))

  it.scoped("shows what a group has stored", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const client = yield* connect()
      const commit = (name: string, partitionIndex: number, committedOffset: number) =>
        client.ask(OffsetCommit, {
          groupId: "billing",
          memberId: "",
          topics: [{ name, partitions: [{ partitionIndex, committedOffset, committedMetadata: "note" }] }]
        })
      yield* cluster.createTopic("accounts")
      yield* commit("orders", 1, 7)
      yield* commit("accounts", 0, 3)
      yield* commit("orders", 0, 5)
      const stored = { leaderEpoch: -1, metadata: "note" }
      assert.deepStrictEqual(yield* cluster.committed("billing"), [
        { topic: "accounts", partition: 0, offset: 3n, ...stored },
        { topic: "orders", partition: 0, offset: 5n, ...stored },
        { topic: "orders", partition: 1, offset: 7n, ...stored }
      ])
      assert.deepStrictEqual(yield* cluster.committed("nobody"), [])
    }).pipe(withCluster()))

  it.scoped("creates topics with their settings", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      yield* cluster.createTopic("small", { partitions: 3, config: { "max.message.bytes": "100" } })
      const client = yield* connect()
      const { topics } = yield* client.ask(Metadata, { topics: [{ name: "small" }] })
      assert.lengthOf(topics[0]!.partitions, 3)
      const { responses } = yield* client.ask(Produce, produceRequest("small", 0, batch(["x".repeat(50)])))
      assert.strictEqual(errorName(responses[0]!.partitionResponses[0]!.errorCode), "MessageTooLarge")
    }).pipe(withCluster()))

  it.scoped("changes topics", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const client = yield* connect()
      const describeTopics = Effect.map(client.ask(Metadata, { topics: null }), ({ topics }) =>
        topics.filter(({ isInternal }) =>
          !isInternal
        ).map(({ name, partitions }) => ({
          name,
          replicas: partitions.map(({ replicaNodes }) => replicaNodes.length)
        })))
      yield* cluster.createTopic("lonely", { partitions: 2, replicas: 1 })
      yield* cluster.createPartitions("lonely", 3)
      assert.deepStrictEqual(yield* describeTopics, [
        { name: "orders", replicas: [2, 2] },
        { name: "lonely", replicas: [1, 1, 1] }
      ])
      yield* cluster.deleteTopic("lonely")
      assert.deepStrictEqual(yield* describeTopics, [{ name: "orders", replicas: [2, 2] }])
      for (const value of ["a", "b", "c"]) yield* client.ask(Produce, produceRequest("orders", 0, batch([value])))
      yield* cluster.deleteRecords("orders", 0, 1n)
      assert.deepStrictEqual(yield* storedValues, ["b", "c"])
      yield* cluster.deleteRecords("orders", 0)
      assert.deepStrictEqual(yield* storedValues, [])
    }).pipe(withCluster({ brokers: 2 })))

  it.scoped("may have followers that are behind", () =>
    Effect.gen(function*() {
      const client = yield* connect()
      const written = yield* Effect.fork(client.ask(Produce, produce))
      yield* TestClock.adjust("49 millis")
      assert.strictEqual((yield* written.poll)._tag, "None")
      yield* TestClock.adjust("51 millis")
      assert.strictEqual((yield* Fiber.join(written)).responses[0]!.partitionResponses[0]!.errorCode, 0)
    }).pipe(withCluster({ brokers: 2, replicationDelay: "50 millis" })))

  it.scoped("ends a member's session in the clock's time", () =>
    Effect.gen(function*() {
      const client = yield* connect()
      const { memberId } = yield* client.ask(JoinGroup, joinRequest("g", ""))
      yield* client.ask(JoinGroup, joinRequest("g", memberId))
      const beat = Effect.map(
        client.ask(Heartbeat, { groupId: "g", memberId, generationId: 1 }),
        (response) => errorName(response.errorCode)
      )
      yield* TestClock.adjust("9 seconds")
      assert.strictEqual(yield* beat, "None")
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(yield* beat, "UnknownMemberId")
    }).pipe(withCluster()))

  it.effect("is told of mistakes at once", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      assert.include(yield* defectOf(cluster.createTopic("orders")), "Topic 'orders' already exists")
      assert.include(yield* defectOf(cluster.createTopic("a b")), "illegal topic name")
      for (const partitions of [0, -1, 1.5, NaN]) {
        const wrong = `Number of partitions of x is ${partitions}`
        assert.include(yield* defectOf(cluster.createTopic("x", { partitions })), wrong)
        assert.include(yield* defectOf(cluster.createTopic("y", { replicas: partitions })), "Number of replicas of y")
      }
      assert.include(yield* defectOf(cluster.createPartitions("orders", NaN)), "Number of partitions of orders is NaN")
      assert.include(yield* defectOf(cluster.deleteTopic("__consumer_offsets")), "the brokers' own")
      assert.include(yield* defectOf(cluster.createTopic("x", { config: { nope: "1" } })), "Unknown topic config name")
      assert.include(yield* defectOf(cluster.records("nope")), "There is no topic nope")
      for (const operation of [cluster.stopBroker, cluster.startBroker, cluster.pauseBroker, cluster.resumeBroker]) {
        assert.include(yield* defectOf(operation(7)), "There is no broker 7")
      }
      assert.include(yield* defectOf(cluster.setLeader("orders", 5, 1)), "no partition 5")
      assert.include(yield* defectOf(cluster.setLeader("nope", 0, 1)), "There is no topic nope")
      assert.include(yield* defectOf(cluster.moveCoordinator("g", 7)), "There is no broker 7")
      assert.include(yield* defectOf(cluster.createPartitions("orders", 1)), "orders")
      assert.include(yield* defectOf(cluster.deleteTopic("nope")), "There is no topic nope")
      assert.include(yield* defectOf(cluster.deleteRecords("orders", 0, 9n)), "9")
      const built = (options: Parameters<typeof MemoryCluster.layer>[0]) =>
        defectOf(MemoryCluster.pipe(withCluster(options)))
      assert.include(yield* built({ brokers: 0 }), "0 brokers")
      assert.include(yield* built({ brokers: 1.5 }), "1.5 brokers")
      assert.include(yield* built({ latency: -1 }), "A latency of -1 ms")
      assert.include(yield* built({ latency: NaN }), "A latency of NaN ms")
      assert.include(yield* built({ latency: "-5 millis" as "5 millis" }), "A latency of -5 millis")
      assert.include(yield* built({ latency: Infinity }), "A latency of Infinity ms")
      assert.include(yield* built({ topics: { orders: 1.5 } }), "Number of partitions of orders is 1.5")
      assert.include(yield* built({ jitter: -1 }), "A jitter of -1 ms")
      assert.include(yield* built({ replicationDelay: -1 }), "A replication delay of -1 ms")
      assert.include(yield* built({ seed: 0.5 }), "A seed of 0.5")
      assert.include(yield* built({ topics: { "": 1 } }), "illegal topic name")
    }).pipe(withCluster()))
})

describe("retention", () => {
  const Orders = Topic.make("orders", { key: Serde.string, value: Serde.string })

  it("deletes what is too old, in a simulation too, whatever its clients' clock says", () => {
    const { exit } = Simulation.run(
      Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        const producer = yield* Producer.make()
        const counts: Array<number> = []
        const countRecords = Effect.map(cluster.records("orders"), (records) => counts.push(records.length))
        yield* cluster.createTopic("orders", { config: { "retention.ms": "3600000" } })
        yield* producer.send(Orders.record({ key: "a", value: "1" }))
        yield* cluster.inject(Fault.jumpClock("2 days"))
        yield* Effect.sleep("50 minutes")
        yield* countRecords
        yield* Effect.sleep("20 minutes")
        yield* countRecords
        return counts
      }).pipe(Effect.scoped, Effect.provide(MemoryCluster.layer()))
    )
    assert.deepStrictEqual(exit, Exit.succeed([1, 0]))
  })
})

describe("a broker", () => {
  it.scoped("that stops breaks its connections and refuses new ones, until it starts again", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const client = yield* connect(1)
      const other = yield* connect(2)
      yield* client.ask(Produce, produce)
      const poll = fetchRequest([{ topic: "orders", partition: 0, fetchOffset: 1 }], { maxWaitMs: 1000 })
      const waiting = yield* client.send(Fetch, poll, 12)
      yield* cluster.stopBroker(1)
      assert.deepInclude(yield* Effect.flip(waiting), { reason: "ConnectionLost", written: true })
      assert.strictEqual((yield* client.connection.closed).reason, "ConnectionLost")
      assert.deepInclude(yield* Effect.flip(ping(client)), { reason: "ConnectionLost", written: false })
      assert.strictEqual((yield* Effect.flip(connect(1))).reason, "ConnectFailed")
      assert.strictEqual(yield* cluster.connections, 1)
      const { topics } = yield* other.ask(Metadata, { topics: [{ name: "orders" }] })
      assert.deepStrictEqual(topics[0]!.partitions.map((partition) => partition.leaderId), [2, 2])

      yield* cluster.startBroker(1)
      assert.strictEqual((yield* ping(yield* connect(1))).errorCode, 0)
      assert.strictEqual((yield* Effect.flip(ping(client))).reason, "ConnectionLost")
    }).pipe(withCluster({ brokers: 2 })))

  it.scoped("that hangs takes connections and bytes, and answers when it goes on", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const client = yield* connect()
      yield* cluster.pauseBroker(1)
      const late = yield* connect()
      const responses = yield* Effect.fork(Effect.all([ping(client), ping(late)], { concurrency: 2 }))
      yield* TestClock.adjust("1 hour")
      assert.strictEqual((yield* responses.poll)._tag, "None")
      yield* cluster.resumeBroker(1)
      assert.deepStrictEqual((yield* Fiber.join(responses)).map((response) => response.errorCode), [0, 0])
    }).pipe(withCluster()))

  it.scoped("leads what it is told to lead", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const client = yield* connect(1)
      yield* cluster.setLeader("orders", 0, 2)
      const { responses } = yield* client.ask(Produce, produce)
      assert.deepInclude(responses[0]!.partitionResponses[0], {
        errorCode: 6,
        currentLeader: { leaderId: 2, leaderEpoch: 1 }
      })
    }).pipe(withCluster({ brokers: 2 })))
})

describe("intercept", () => {
  const decide = (verdict: Verdict) =>
    Effect.flatMap(
      MemoryCluster,
      (cluster) => cluster.intercept((request) => request.apiName === "Produce" ? verdict : "deliver")
    )

  it.scoped("sees every request", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const seen: Array<InterceptedRequest> = []
      yield* cluster.intercept((request) => {
        seen.push(request)
        return "deliver"
      })
      yield* ping(yield* connect(1))
      yield* (yield* connect(2)).ask(Produce, produce)
      assert.deepStrictEqual(seen, [
        { brokerId: 1, apiKey: 18, apiName: "ApiVersions", apiVersion: 3, clientId: "test", connectionId: 1 },
        { brokerId: 2, apiKey: 0, apiName: "Produce", apiVersion: 12, clientId: "test", connectionId: 2 }
      ])
    }).pipe(withCluster({ brokers: 2 })))

  it.scoped("loses a request, and all that follows it", () =>
    Effect.gen(function*() {
      yield* decide("dropRequest")
      const client = yield* connect()
      const waiting = yield* Effect.fork(Effect.all([client.ask(Produce, produce), ping(client)], { concurrency: 2 }))
      yield* TestClock.adjust("1 hour")
      assert.strictEqual((yield* waiting.poll)._tag, "None")
      assert.deepStrictEqual(yield* storedValues, [])
      yield* Fiber.interrupt(waiting)
    }).pipe(withCluster()))

  it.scoped("loses a response, and all that follow it, though the broker does the work", () =>
    Effect.gen(function*() {
      yield* decide("dropResponse")
      const client = yield* connect()
      const waiting = yield* Effect.fork(Effect.all([client.ask(Produce, produce), ping(client)], { concurrency: 2 }))
      yield* TestClock.adjust("1 hour")
      assert.strictEqual((yield* waiting.poll)._tag, "None")
      assert.deepStrictEqual(yield* storedValues, ["a"])
      yield* Fiber.interrupt(waiting)
    }).pipe(withCluster()))

  it.scoped("breaks a connection", () =>
    Effect.gen(function*() {
      yield* decide("disconnect")
      const client = yield* connect()
      assert.deepInclude(yield* Effect.flip(client.ask(Produce, produce)), { reason: "ConnectionLost", written: true })
      assert.deepStrictEqual(yield* storedValues, [])
      yield* decide("deliver")
      yield* (yield* connect()).ask(Produce, produce)
      assert.deepStrictEqual(yield* storedValues, ["a"])
    }).pipe(withCluster()))

  it.scoped("breaks the connection if it throws itself, and says so", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const mistake = new Error("no such fault")
      yield* cluster.intercept(() => {
        throw mistake
      })
      const error = yield* Effect.flip(ping(yield* connect()))
      assert.deepInclude(error, { reason: "ConnectionLost", message: "no such fault", cause: mistake })
    }).pipe(withCluster()))
})
