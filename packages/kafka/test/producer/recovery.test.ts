import { assert, describe, it } from "@effect/vitest"
import { zeroUuid } from "@sluice/kafka/internal/protocol/field"
import { Kafka } from "@sluice/kafka/Kafka"
import * as Producer from "@sluice/kafka/Producer"
import { type InterceptedRequest, MemoryCluster, type Verdict } from "@sluice/testing/MemoryCluster"
import { Effect, Fiber, Logger, LogLevel, TestClock } from "effect"

import { memory } from "../support/memory.ts"
import { count, line, values } from "./lines.ts"
import {
  answerFirst,
  ApiVersions,
  InitProducerId,
  Metadata,
  Produce,
  produceAnswer,
  silence,
  wired,
  Wires,
  written,
  type WrittenRequest
} from "./wire.ts"

const oneTopic = { topics: { lines: 1 } }
const threeBrokers = { brokers: 3, topics: { lines: 3 } }

/** The first requests of an API meet this. */
const first = (api: string, verdict: Verdict, times = 1) => {
  let left = times
  return (request: InterceptedRequest): Verdict => request.apiName === api && left-- > 0 ? verdict : "deliver"
}

/** Answers a produce request with an error for each of its partitions. */
const refuse = (code: number) => (request: WrittenRequest) => produceAnswer(request, () => code)

const sequences = Effect.map(Wires, (wire) => written(wire).map(({ epoch, sequence }) => [epoch, sequence]))

describe("a connection that fails", () => {
  for (const verdict of ["dropResponse", "dropRequest", "disconnect"] as const) {
    for (const acks of ["all", "leader"] as const) {
      it.effect(`is replaced, and what it carried goes again (${verdict}, acks ${acks})`, () =>
        Effect.gen(function*() {
          const cluster = yield* MemoryCluster
          const producer = yield* Producer.make({ acks })
          yield* producer.send(line("0"))
          yield* cluster.intercept(first("Produce", verdict))
          const fiber = yield* Effect.fork(producer.sendAll(["1", "2"].map((value) => line(value))))
          yield* TestClock.adjust(0)
          const behind = yield* Effect.fork(producer.send(line("3")))
          yield* TestClock.adjust("32 seconds")
          const places = [...(yield* Fiber.join(fiber)), yield* Fiber.join(behind)]
          if (acks === "leader" && verdict === "dropResponse") {
            // Nobody can tell the copies apart: at least once.
            assert.deepStrictEqual(yield* values(), ["0", "1", "2", "1", "2", "3"])
          } else {
            assert.deepStrictEqual(yield* values(), count(4))
            assert.deepStrictEqual(places.map(({ offset }) => offset), [1n, 2n, 3n])
          }
        }).pipe(Effect.scoped, Effect.provide(memory(oneTopic))))
    }
  }

  it.effect("fails what went over it with acks none", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const producer = yield* Producer.make({ acks: "none" })
      yield* producer.send(line("0"))
      yield* cluster.stopBroker(1)
      yield* TestClock.adjust(0)
      const fiber = yield* Effect.fork(producer.send(line("1")))
      yield* TestClock.adjust("1 second")
      yield* cluster.startBroker(1)
      yield* TestClock.adjust("3 seconds")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(yield* values(), ["0", "1"])
    }).pipe(Effect.scoped, Effect.provide(memory(oneTopic))))

  it.effect("keeps the order when it breaks again and again", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const producer = yield* Producer.make({ batchBytes: 300 })
      let seen = 0
      yield* cluster.intercept(({ apiName }) =>
        apiName === "Produce" && seen++ % 3 === 0 ? (seen % 2 === 0 ? "disconnect" : "dropResponse") : "deliver"
      )
      const fiber = yield* Effect.fork(producer.sendAll(count(200).map((value) => line(value))))
      yield* TestClock.adjust("10 minutes")
      const places = yield* Fiber.join(fiber)
      assert.deepStrictEqual(yield* values(), count(200))
      assert.deepStrictEqual(places.map(({ offset }) => offset), count(200).map(BigInt))
    }).pipe(Effect.scoped, Effect.provide(memory(oneTopic, { requestTimeout: "1 second" }))))
})

describe("leaders that move", () => {
  it.effect("get what waited behind a batch that the old one still had to answer", () =>
    Effect.gen(function*() {
      const brokers = yield* MemoryCluster
      yield* brokers.createTopic("lines", { partitions: 1, replicas: 2 })
      const wire = yield* Wires
      const { cluster } = yield* Kafka
      const producer = yield* Producer.make()
      yield* producer.send(line("0"))
      const leader = Number(/\d/.exec(written(wire)[0]!.address)![0])
      const answers = yield* Effect.makeLatch(false)
      wire.hold = ({ api }) => api === "Produce" ? answers.await : Effect.void
      const first = yield* Effect.fork(producer.send(line("1")))
      yield* TestClock.adjust("100 millis")
      yield* brokers.setLeader("lines", 0, 3 - leader)
      yield* cluster.refresh
      const second = yield* Effect.fork(producer.send(line("2")))
      yield* TestClock.adjust("1 second")
      assert.lengthOf(written(wire), 2)
      yield* answers.open
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(first)
      yield* Fiber.join(second)
      assert.deepStrictEqual(yield* values(), ["0", "1", "2"])
    }).pipe(Effect.scoped, Effect.provide(wired({ brokers: 2 }))))

  it.effect("are served at a new address though nothing comes from the old one", () =>
    Effect.gen(function*() {
      const wire = yield* Wires
      const { cluster } = yield* Kafka
      let host = "broker-1.memory"
      wire.answer = (request) => {
        if (request.api !== "Metadata") {
          return request.api !== "Produce"
            ? undefined
            : request.address.startsWith("broker-1")
            ? silence()
            : produceAnswer(request)
        }
        const partition = { errorCode: 0, leaderId: 1, leaderEpoch: 1, replicaNodes: [1], isrNodes: [1] }
        return {
          _tag: "Body",
          api: Metadata,
          body: {
            throttleTimeMs: 0,
            brokers: [{ nodeId: 1, host, port: 9092 }],
            topics: [{
              errorCode: 0,
              name: "lines",
              topicId: zeroUuid,
              partitions: [0, 1].map((partitionIndex) => ({ ...partition, partitionIndex, offlineReplicas: [] }))
            }]
          }
        }
      }
      const producer = yield* Producer.make()
      const lost = yield* Effect.fork(producer.send(line("0", { partition: 0 })))
      yield* TestClock.adjust("100 millis")
      host = "broker-2.memory"
      yield* cluster.refresh
      const sent = yield* Effect.fork(producer.send(line("0", { partition: 1 })))
      yield* TestClock.adjust("100 millis")
      assert.notStrictEqual(sent.unsafePoll(), null)
      yield* TestClock.adjust("40 seconds")
      yield* Fiber.join(sent)
      yield* Fiber.join(lost)
    }).pipe(Effect.scoped, Effect.provide(wired({ brokers: 2, topics: { lines: 2 } }))))

  it.effect("are followed", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const producer = yield* Producer.make()
      for (const [i, leader] of [1, 2, 3, 1, 3].entries()) {
        yield* cluster.setLeader("lines", 0, leader)
        const fiber = yield* Effect.fork(producer.send(line(String(i), { partition: 0 })))
        yield* TestClock.adjust("2 seconds")
        assert.strictEqual((yield* Fiber.join(fiber)).offset, BigInt(i))
      }
    }).pipe(Effect.scoped, Effect.provide(memory(threeBrokers))))

  it.effect("are found when their broker stops, and when it is back", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const producer = yield* Producer.make()
      const round = (name: string) =>
        Effect.gen(function*() {
          const fiber = yield* Effect.fork(Effect.forEach(
            [0, 1, 2],
            (partition) => producer.send(line(name, { partition })),
            { concurrency: "unbounded" }
          ))
          yield* TestClock.adjust("5 seconds")
          return yield* Fiber.join(fiber)
        })
      yield* round("a")
      yield* cluster.stopBroker(2)
      yield* round("b")
      yield* cluster.stopBroker(1)
      yield* round("c")
      yield* cluster.startBroker(2)
      yield* cluster.startBroker(1)
      yield* cluster.stopBroker(3)
      yield* round("d")
      for (let i = 0; i < 3; i++) assert.deepStrictEqual(yield* values(i), ["a", "b", "c", "d"])
    }).pipe(Effect.scoped, Effect.provide(memory(threeBrokers))))

  it.effect("are followed too when another producer of the client has heard of it", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      yield* cluster.setLeader("lines", 0, 1)
      yield* cluster.setLeader("lines", 1, 1)
      const wire = yield* Wires
      const lingering = yield* Producer.make({ linger: "10 seconds", deliveryTimeout: "1 minute" })
      const other = yield* Producer.make()
      // A connection and a sender for each broker.
      yield* other.send(line("x", { partition: 0 }))
      const early = yield* Effect.fork(lingering.send(line("early", { partition: 0 })))
      yield* TestClock.adjust("5 seconds")
      const late = yield* Effect.fork(lingering.send(line("late", { partition: 1 })))
      yield* cluster.setLeader("lines", 1, 2)
      yield* Effect.fork(other.send(line("y", { partition: 1 })))
      yield* TestClock.adjust("1 second")
      // The client knows by now; at its own time the record goes straight to the new leader.
      yield* TestClock.adjust("4 seconds")
      yield* Fiber.join(early)
      yield* TestClock.adjust("5 seconds")
      yield* Fiber.join(late)
      const last = written(wire).at(-1)!
      assert.deepInclude(last, { partition: 1, address: "broker-2.memory:9092" })
      assert.deepStrictEqual(yield* values(1), ["y", "late"])
    }).pipe(Effect.scoped, Effect.provide(wired(threeBrokers))))
})

describe("a broker's answer", () => {
  it.effect("is waited for by the records behind, whatever it is", () =>
    Effect.gen(function*() {
      const producer = yield* Producer.make()
      yield* producer.send(line("0"))
      // NOT_ENOUGH_REPLICAS, KAFKA_STORAGE_ERROR, REQUEST_TIMED_OUT, none for this partition
      const none = (): ReturnType<typeof refuse> => () => ({ _tag: "Body", api: Produce, body: { responses: [] } })
      answerFirst(yield* Wires, "Produce", refuse(19), refuse(56), refuse(7), none())
      const fibers = yield* Effect.forEach(["1", "2", "3"], (value) =>
        Effect.tap(Effect.fork(producer.send(line(value))), () => TestClock.adjust(0)))
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(
        (yield* Fiber.join(Fiber.all(fibers))).map(({ offset }) =>
          offset
        ),
        [1n, 2n, 3n]
      )
      assert.deepStrictEqual(yield* values(), count(4))
      // The same sequence each time.
      assert.deepStrictEqual((yield* sequences).slice(0, 6), [[0, 0], [0, 1], [0, 1], [0, 1], [0, 1], [0, 1]])
    }).pipe(Effect.scoped, Effect.provide(wired(oneTopic))))

  it.effect("may fail a batch for good: the partition goes on in the next epoch", () =>
    Effect.gen(function*() {
      const producer = yield* Producer.make()
      yield* producer.send(line("0", { partition: 0 }))
      yield* producer.send(line("0", { partition: 1 }))
      answerFirst(yield* Wires, "Produce", refuse(87))
      const error = yield* Effect.flip(producer.send(line("bad", { partition: 0 })))
      assert.deepInclude(error, { _tag: "FatalError", scope: "partition", persisted: "no" })
      assert.deepInclude(error.reason, { _tag: "InvalidRecord", code: 87, topic: "lines", partition: 0 })
      assert.strictEqual((yield* producer.send(line("1", { partition: 0 }))).offset, 1n)
      assert.strictEqual((yield* producer.send(line("1", { partition: 1 }))).offset, 1n)
      assert.deepStrictEqual(yield* sequences, [[0, 0], [0, 0], [0, 1], [1, 0], [0, 1]])
    }).pipe(Effect.scoped, Effect.provide(wired({ topics: { lines: 2 } }))))

  it.effect("may tell that the sequence is lost: again in the next epoch if it is surely not written", () =>
    Effect.gen(function*() {
      const producer = yield* Producer.make()
      yield* producer.send(line("0"))
      answerFirst(yield* Wires, "Produce", refuse(45), refuse(59))
      const fiber = yield* Effect.fork(producer.send(line("1")))
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(fiber)).offset, 1n)
      assert.deepStrictEqual(yield* sequences, [[0, 0], [0, 1], [1, 0], [2, 0]])
    }).pipe(Effect.scoped, Effect.provide(wired(oneTopic))))

  it.effect("ends a batch that may have been written, rather than write it under another sequence", () =>
    Effect.gen(function*() {
      const producer = yield* Producer.make()
      answerFirst(yield* Wires, "Produce", refuse(7), refuse(45))
      const fiber = yield* Effect.fork(Effect.flip(producer.send(line("1"))))
      yield* TestClock.adjust("1 second")
      const error = yield* Fiber.join(fiber)
      assert.deepInclude(error, { _tag: "FatalError", persisted: "maybe" })
      assert.strictEqual(error.reason._tag, "OutOfOrderSequenceNumber")
      assert.strictEqual((yield* producer.send(line("2"))).offset, 0n)
    }).pipe(Effect.scoped, Effect.provide(wired(oneTopic))))

  it.effect("acknowledges a duplicate without an offset", () =>
    Effect.gen(function*() {
      const producer = yield* Producer.make()
      answerFirst(yield* Wires, "Produce", refuse(46))
      assert.isUndefined((yield* producer.send(line("1"))).offset)
    }).pipe(Effect.scoped, Effect.provide(wired(oneTopic))))

  it.effect("that nobody can read ends the connection, and the batch goes again", () =>
    Effect.gen(function*() {
      const wire = yield* Wires
      const producer = yield* Producer.make()
      let edited = false
      wire.edit = (request, response) => {
        if (edited || request.api !== "Produce") return response
        edited = true
        return response.subarray(0, 5)
      }
      const fiber = yield* Effect.fork(producer.send(line("1")))
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(fiber)).offset, 0n)
      assert.deepStrictEqual(yield* values(), ["1"])
    }).pipe(Effect.scoped, Effect.provide(wired(oneTopic))))

  it.effect("may ask for silence: nothing is written before it is over", () =>
    Effect.gen(function*() {
      const wire = yield* Wires
      const producer = yield* Producer.make({ deliveryTimeout: "10 seconds" })
      answerFirst(wire, "Produce", (request) => produceAnswer(request, () => 0, 5000))
      yield* producer.send(line("0"))
      const fiber = yield* Effect.fork(producer.send(line("1")))
      yield* TestClock.adjust("4999 millis")
      assert.lengthOf(written(wire), 1)
      yield* TestClock.adjust("1 millis")
      yield* Fiber.join(fiber)
      assert.lengthOf(written(wire), 2)
      answerFirst(wire, "Produce", (request) => produceAnswer(request, () => 0, 60_000))
      yield* producer.send(line("2"))
      // What waits for the end of the silence was never written, and never is.
      const late = yield* Effect.fork(Effect.flip(producer.send(line("3"))))
      yield* TestClock.adjust("10 seconds")
      assert.deepInclude(yield* Fiber.join(late), { persisted: "no" })
      yield* TestClock.adjust("1 minute")
      assert.lengthOf(written(wire), 3)
    }).pipe(Effect.scoped, Effect.provide(wired(oneTopic))))

  it.effect("that never comes is given up after the request timeout, on a new connection", () =>
    Effect.gen(function*() {
      const wire = yield* Wires
      const producer = yield* Producer.make()
      yield* producer.send(line("0"))
      const connects = wire.connects.length
      answerFirst(wire, "Produce", silence)
      const fiber = yield* Effect.fork(producer.send(line("1")))
      yield* TestClock.adjust("29 seconds")
      assert.lengthOf(written(wire), 2)
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(fiber)
      assert.strictEqual(wire.connects.length, connects + 1)
      assert.deepStrictEqual(yield* values(), ["0", "1"])
    }).pipe(Effect.scoped, Effect.provide(wired(oneTopic))))
})

describe("what cannot get better", () => {
  it.effect("fails at once, as not written: the broker refuses the producer's credentials", () =>
    Effect.gen(function*() {
      const wire = yield* Wires
      const producer = yield* Producer.make()
      wire.refuse = () => "AuthenticationFailed"
      const error = yield* Effect.flip(producer.send(line("0")))
      assert.deepInclude(error, { _tag: "FatalError", persisted: "no" })
      assert.strictEqual(error.reason._tag, "AuthenticationFailed")
      wire.refuse = () => undefined
      const fiber = yield* Effect.fork(producer.send(line("1")))
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(fiber)).offset, 0n)
    }).pipe(Effect.scoped, Effect.provide(wired(oneTopic))))

  it.effect("fails at once, as not written: the broker does not know our requests", () =>
    Effect.gen(function*() {
      const wire = yield* Wires
      const producer = yield* Producer.make()
      answerFirst(wire, "ApiVersions", () => ({
        _tag: "Body",
        api: ApiVersions,
        body: { errorCode: 0, apiKeys: [{ apiKey: 0, minVersion: 90, maxVersion: 91 }] }
      }))
      const error = yield* Effect.flip(producer.send(line("0")))
      assert.deepInclude(error, { _tag: "FatalError", persisted: "no" })
      assert.strictEqual(error.reason._tag, "UnsupportedVersion")
      assert.deepStrictEqual(yield* values(), [])
    }).pipe(Effect.scoped, Effect.provide(wired(oneTopic))))

  it.effect("fails the making: no producer id for us", () =>
    Effect.gen(function*() {
      answerFirst(yield* Wires, "InitProducerId", () => ({
        _tag: "Body",
        api: InitProducerId,
        body: { errorCode: 31, producerId: -1, producerEpoch: -1 }
      }))
      const error = yield* Effect.flip(Effect.scoped(Producer.make()))
      assert.strictEqual(error._tag, "FatalError")
      assert.strictEqual(error.reason._tag, "ClusterAuthorizationFailed")
      assert.isDefined(yield* Effect.scoped(Producer.make({ idempotent: false })))
    }).pipe(Effect.provide(wired(oneTopic))))
})

describe("a defect of the driver", () => {
  it.effect("takes no record's outcome, and stops nothing", () =>
    Effect.gen(function*() {
      const producer = yield* Producer.make()
      yield* producer.send(line("0"))
      answerFirst(yield* Wires, "Produce", () => {
        throw new Error("a defect")
      })
      const fiber = yield* Effect.fork(producer.send(line("1")))
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(fiber)).offset, 1n)
    }).pipe(Effect.scoped, Effect.provide(wired(oneTopic)), Logger.withMinimumLogLevel(LogLevel.None)))
})
