/** Bad input: refused before anything is sent. */
import { assert, describe, it } from "@effect/vitest"
import { Consumer, Serde, Topic } from "@sluice/kafka"
import { MemoryCluster } from "@sluice/testing/MemoryCluster"
import { Duration, Effect, TestClock } from "effect"

import { inWorld, Numbers, passing } from "./world.ts"

const named = (name: string) => Topic.make(name, { key: Serde.string, value: Serde.string })

const tooLong = Duration.days(30)

const refused: ReadonlyArray<readonly [string, Record<string, unknown>]> = [
  ["groupId", { groupId: "" }],
  ["groupId", { groupId: undefined }],
  ["topics", { topics: [] }],
  ["topics", { topics: undefined }],
  ["topics", { topics: [Numbers, named("others"), named("numbers")] }],
  ["topics", { topics: [{ pattern: "^numbers", key: Serde.string, value: Serde.string }] }],
  ["reset", { reset: "none" }],
  ["isolation", { isolation: "serializable" }],
  ["assignor", { assignor: "fair" }],
  ["assignor", { assignor: [] }],
  ["assignor", { assignor: ["range", "fair"] }],
  ["assignor", { assignor: ["range", "range"] }],
  ["assignor", { assignor: 1 }],
  ["groupInstanceId", { groupInstanceId: "" }],
  ["groupInstanceId", { groupInstanceId: "a b" }],
  ["from", { from: "committed" }],
  ["from", { from: null }],
  ["from", { from: { offset: -1 } }],
  ["from", { from: { offset: "7" } }],
  ["from", { from: { timestamp: Number.NaN } }],
  ["from", { from: { timestamp: new Date("never") } }],
  ["from", { from: { store: {} } }],
  ["sessionTimeout", { sessionTimeout: 0 }],
  ["sessionTimeout", { sessionTimeout: "soon" }],
  ["sessionTimeout", { sessionTimeout: Duration.infinity }],
  ["sessionTimeout", { sessionTimeout: tooLong }],
  ["heartbeatInterval", { heartbeatInterval: 0 }],
  ["heartbeatInterval", { heartbeatInterval: "45 seconds" }],
  ["heartbeatInterval", { heartbeatInterval: "3 seconds", sessionTimeout: "3 seconds" }],
  ["rebalanceTimeout", { rebalanceTimeout: 0 }],
  ["rebalanceTimeout", { rebalanceTimeout: tooLong }],
  ["commitInterval", { commitInterval: -1 }],
  ["commitInterval", { commitInterval: tooLong }],
  ["drainTimeout", { drainTimeout: -1 }],
  ["drainTimeout", { drainTimeout: tooLong }],
  ["closeTimeout", { closeTimeout: Number.NaN }],
  ["closeTimeout", { closeTimeout: tooLong }],
  ["fetch.maxWait", { fetch: { maxWait: 0 } }],
  ["fetch.maxWait", { fetch: { maxWait: tooLong } }],
  ["fetch.minBytes", { fetch: { minBytes: 0 } }],
  ["fetch.minBytes", { fetch: { minBytes: 1.5 } }],
  ["fetch.partitionBytes", { fetch: { partitionBytes: 0 } }],
  ["fetch.partitionBytes", { fetch: { partitionBytes: 2 ** 31 } }],
  ["fetch.bufferBytes", { fetch: { bufferBytes: -1 } }],
  ["fetch.partitionRecords", { fetch: { partitionRecords: 0 } }],
  ["fetch.maxBytes", { fetch: { maxBytes: 0 } }],
  ["fetch.checkCrcs", { fetch: { checkCrcs: "no" as never } }],
  ["fetch.rack", { fetch: { rack: 7 as never } }],
  ["fetch.bufferBytes", { fetch: { bufferBytes: Number.POSITIVE_INFINITY } }]
]

const refusedByAssign: ReadonlyArray<readonly [string, Record<string, unknown>]> = [
  ["topics", { topics: [] }],
  ["topics", { topics: [Topic.pattern(/./, { key: Serde.string, value: Serde.string })] }],
  ["partitions", { partitions: [] }],
  ["partitions", { partitions: [-1] }],
  ["partitions", { partitions: [0.5] }],
  ["partitions", { partitions: [undefined] }],
  ["partitions", { partitions: [0, 1, 0] }],
  ["partitions", { partitions: [0, { topic: "numbers", partition: 0 }] }],
  ["partitions", { partitions: [{ topic: "others", partition: 0 }] }],
  ["partitions", { partitions: [{ topic: "numbers", partition: -1 }] }],
  ["partitions", { partitions: [null] }],
  ["from", { from: "fail" }],
  ["from", { from: { offset: 0.5 } }],
  ["reset", { reset: "none" }],
  ["isolation", { isolation: "none" }],
  ["fetch.minBytes", { fetch: { minBytes: 0 } }]
]

const show = (options: Record<string, unknown>) => Object.entries(options).map(([name, value]) => `${name}: ${value}`)

/** Nothing was sent, nor any connection opened. */
const nothingSent = Effect.gen(function*() {
  const cluster = yield* MemoryCluster
  yield* TestClock.adjust("5 seconds")
  assert.strictEqual(yield* cluster.connections, 0)
})

describe("Consumer.make", () => {
  it.effect("refuses options out of range, and opens no connection", () =>
    Effect.gen(function*() {
      for (const [option, options] of refused) {
        const error = yield* Effect.flip(Consumer.make({ groupId: "group", topics: [Numbers], ...options } as any))
        const what = show(options).join()
        assert.deepStrictEqual([error._tag, error.scope, error.reason._tag], [
          "FatalError",
          "client",
          "InvalidArgument"
        ], what)
        assert.isTrue(error.message.startsWith(`Consumer: ${option} `), `${what}: ${error.message}`)
      }
      yield* nothingSent
    }).pipe(inWorld({ topics: { numbers: 1, others: 1 } })))

  it.effect("refuses topics whose names are not legal", () =>
    Effect.gen(function*() {
      for (const name of ["", ".", "..", "a b", "ä", "a/b", "x".repeat(250)]) {
        const error = yield* Effect.flip(Consumer.make({ groupId: "group", topics: [named(name)] }))
        assert.deepStrictEqual([error._tag, error.scope, error.reason._tag], [
          "FatalError",
          "topic",
          "InvalidTopicException"
        ])
      }
      yield* nothingSent
    }).pipe(inWorld()))

  it.effect("takes the limits, and rounds to whole milliseconds", () =>
    Effect.gen(function*() {
      yield* Consumer.make({
        groupId: "group",
        topics: [Numbers],
        sessionTimeout: Duration.micros(10_000_500n),
        commitInterval: 0,
        drainTimeout: 0,
        closeTimeout: 0,
        fetch: { maxWait: 1, minBytes: 1, partitionBytes: 1, bufferBytes: 1 }
      })
      yield* TestClock.adjust("100 millis")
      const cluster = yield* MemoryCluster
      assert.isAbove(yield* cluster.connections, 0)
    }).pipe(inWorld({ topics: { numbers: 1 } })))

  it.effect("fails for a topic that there is not, in bounded time", () =>
    Effect.gen(function*() {
      const error = yield* passing(
        Effect.flip(Consumer.make({ groupId: "group", topics: [Numbers, named("nowhere")] }))
      )
      assert.deepStrictEqual([error.scope, error.reason._tag, error.reason.topic], [
        "topic",
        "UnknownTopicOrPartition",
        "nowhere"
      ])
      assert.isAtMost(yield* TestClock.currentTimeMillis, 5000)
    }).pipe(inWorld({ topics: { numbers: 1 } })))

  it.effect("fails where no broker answers, in bounded time", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      yield* cluster.stopBroker(1)
      const error = yield* passing(Effect.flip(Consumer.make({ groupId: "group", topics: [Numbers] })))
      assert.deepStrictEqual([error._tag, error.reason._tag], ["RetriableError", "BrokersUnavailable"])
      assert.isAtMost(yield* TestClock.currentTimeMillis, 10_100)
    }).pipe(inWorld({ topics: { numbers: 1 } }, { apiTimeout: "10 seconds" })))
})

describe("Consumer.assign", () => {
  it.effect("refuses options out of range, and opens no connection", () =>
    Effect.gen(function*() {
      for (const [option, options] of refusedByAssign) {
        const error = yield* Effect.flip(Consumer.assign({ topics: [Numbers], ...options } as any))
        const what = show(options).join()
        assert.deepStrictEqual([error._tag, error.reason._tag], ["FatalError", "InvalidArgument"], what)
        assert.isTrue(error.message.startsWith(`Consumer.assign: ${option} `), `${what}: ${error.message}`)
      }
      yield* nothingSent
    }).pipe(inWorld({ topics: { numbers: 1 } })))
})
