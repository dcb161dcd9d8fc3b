/** What `acks` promises, and what it does not. */
import { assert, describe, it } from "@effect/vitest"
import * as Consumer from "@sluice/kafka/Consumer"
import * as Producer from "@sluice/kafka/Producer"
import * as Fault from "@sluice/testing/Fault"
import { MemoryCluster } from "@sluice/testing/MemoryCluster"
import { Clock, Effect, Fiber, Logger, LogLevel } from "effect"

import { count, line, Lines, values } from "../producer/lines.ts"
import { Wires, written } from "../producer/wire.ts"
import { outcome, play, playSeeds, threeBrokers } from "./story.ts"

/** What its leader alone has for 200 ms. */
const lagging = { brokers: 3, topics: { lines: 1 }, replicationDelay: "200 millis" } as const

/** Sends one record, kills the leader before a follower has it, and lets a follower lead. */
const leaderDies = (acks: "all" | "leader") =>
  Effect.gen(function*() {
    const cluster = yield* MemoryCluster
    yield* cluster.setLeader("lines", 0, 1)
    const producer = yield* Producer.make({ acks })
    yield* producer.send(line("first"))
    // All replicas have this one.
    yield* Effect.sleep("10 seconds")
    const start = yield* Clock.currentTimeMillis
    const sending = yield* Effect.fork(
      Effect.zip(producer.send(line("second")), Clock.currentTimeMillis)
    )
    yield* Effect.sleep("20 millis")
    yield* cluster.stopBroker(1)
    const [{ offset }, at] = yield* Fiber.join(sending)
    const told = at - start
    yield* Effect.sleep("10 seconds")
    yield* cluster.startBroker(1)
    yield* Effect.sleep("30 seconds")
    return { told, offset, stored: yield* values() }
  })

describe("acks none", () => {
  it("CL-1: every record counts as sent without an offset and without a wait, also when the leader is gone", () => {
    play(
      Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        const producer = yield* Producer.make({ acks: "none" })
        yield* cluster.setLeader("lines", 0, 1)
        yield* producer.send(line("first", { partition: 0 }))
        yield* Effect.sleep("1 second")
        // Nobody notices that nothing arrives.
        yield* cluster.inject(Fault.halfOpen({ brokers: [1] }))
        const start = yield* Clock.currentTimeMillis
        const places = yield* Effect.forEach(count(100), (value) => producer.send(line(value, { partition: 0 })))
        assert.strictEqual(yield* Clock.currentTimeMillis, start)
        assert.isTrue(places.every(({ offset }) => offset === undefined))
        yield* Effect.sleep("10 minutes")
        assert.deepStrictEqual(yield* values(), ["first"], "lost, without an error and without a retry")
      }),
      { cluster: threeBrokers }
    )
  })

  it("FM-4: the leader's connection breaks: all are told that they were sent, some are lost, none is there twice", () => {
    play(Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const producer = yield* Producer.make({ acks: "none" })
      yield* producer.send(line("first"))
      yield* cluster.inject(Fault.reset({ api: "Produce", nth: 50 }, "request"))
      const start = yield* Clock.currentTimeMillis
      // Faster than news of the connection come.
      const places = yield* Effect.forEach(
        count(300),
        (value) => Effect.zipLeft(producer.send(line(value)), Effect.sleep(Number(value) % 3 === 0 ? 1 : 0))
      )
      assert.isBelow((yield* Clock.currentTimeMillis) - start, 2000)
      assert.isTrue(places.every(({ offset }) => offset === undefined))
      yield* Effect.sleep("1 minute")
      const stored = (yield* values()).slice(1)
      assert.isBelow(stored.length, 300)
      assert.strictEqual(stored.at(-1), "299")
      assert.deepStrictEqual(stored, count(300).filter((value) => stored.includes(value)))
    }))
  })
})

describe("acks leader", () => {
  it("CL-2, FM-3: what the leader alone has acknowledged dies with it, and nobody is told; with acks all it is sent again", () => {
    const leader = play(leaderDies("leader"), { cluster: lagging })
    assert.isBelow(leader.told, 20)
    assert.deepStrictEqual([leader.offset, leader.stored], [1n, ["first"]])

    const all = play(leaderDies("all"), { cluster: lagging })
    assert.isAbove(all.told, 20)
    assert.deepStrictEqual([all.offset, all.stored], [1n, ["first", "second"]])
  })
})

describe("acks all", () => {
  const tooFewReplicas = Effect.gen(function*() {
    const cluster = yield* MemoryCluster
    yield* cluster.createTopic("lines", { config: { "min.insync.replicas": "2" } })
    yield* cluster.setLeader("lines", 0, 1)
    const producer = yield* Producer.make({ deliveryTimeout: "5 seconds" })
    yield* producer.send(line("first"))
    yield* cluster.stopBroker(2)
    yield* cluster.stopBroker(3)
    const error = yield* Effect.flip(producer.send(line("too few")))
    assert.strictEqual(outcome(error), "DeliveryTimeout no")
    assert.include(error.message, "NOT_ENOUGH_REPLICAS")
    const waiting = yield* producer.enqueue(line("second"))
    yield* cluster.startBroker(2)
    assert.strictEqual((yield* waiting).offset, 1n)
    assert.deepStrictEqual(yield* values(), ["first", "second"])
    yield* cluster.startBroker(3)
  })

  it("FM-15: what only a leader had is gone when one leads that is behind: consumers are told, and records go on", () => {
    const read: Array<string> = []
    const warnings: Array<string> = []
    const logger = Logger.make(({ logLevel, message }) => {
      if (logLevel._tag === "Warning") warnings.push(String(message))
    })
    play(
      Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        yield* cluster.createTopic("lines", { config: { "unclean.leader.election.enable": "true" } })
        yield* cluster.setLeader("lines", 0, 1)
        const producer = yield* Producer.make()
        yield* producer.send(line("first"))
        yield* Effect.sleep("10 seconds")
        yield* cluster.stopBroker(2)
        yield* cluster.stopBroker(3)
        // Acknowledged by all replicas that are in sync: there is one.
        assert.strictEqual((yield* producer.send(line("second"))).offset, 1n)
        assert.strictEqual((yield* producer.send(line("third"))).offset, 2n)
        const consumer = yield* Consumer.make({ groupId: "readers", topics: [Lines], commitInterval: "100 millis" })
        yield* Effect.forkScoped(consumer.run(({ value }) => Effect.sync(() => read.push(value))))
        yield* Effect.sleep("10 seconds")
        assert.deepStrictEqual(read.splice(0), ["first", "second", "third"])
        yield* cluster.stopBroker(1)
        yield* cluster.startBroker(2)
        // One that the old leader may have had would be told of as such: its sequence is gone too.
        yield* Effect.sleep("1 second")
        assert.strictEqual((yield* producer.send(line("fourth"))).offset, 1n)
        yield* cluster.startBroker(1)
        yield* cluster.startBroker(3)
        yield* Effect.sleep("30 seconds")
        assert.deepStrictEqual(yield* values(), ["first", "fourth"])
        assert.deepStrictEqual(read, ["fourth"])
        const warning = "offset 3 is past 1, where a new leader cut the log off; goes on at 1"
        assert.isTrue(warnings.some((each) => each.includes(warning)))
      }).pipe(
        Effect.provide(Logger.replace(Logger.defaultLogger, logger)),
        Logger.withMinimumLogLevel(LogLevel.Warning)
      ),
      { cluster: { brokers: 3, topics: {} } }
    )
  })

  it("CL-3, FM-7: with fewer replicas than min.insync.replicas a record fails as not written; the next ones go on when they are back", () => {
    play(tooFewReplicas, { cluster: { brokers: 3, topics: {} } })
  })

  it("FM-2: without idempotence nothing is lost when the leader dies in a burst, and the first copies are in order", () => {
    playSeeds(
      Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        yield* cluster.setLeader("lines", 0, 1)
        const producer = yield* Producer.make({ idempotent: false, batchBytes: 200 })
        yield* producer.send(line("first", { partition: 0 }))
        // Its last answers do not arrive.
        yield* cluster.inject(Fault.all(
          Fault.after("30 millis", Fault.loseResponse({ api: "Produce", broker: 1 })),
          Fault.after("80 millis", Fault.crash(1, "5 seconds"))
        ))
        const acks = yield* Effect.forEach(
          count(300),
          (value) => Effect.zipLeft(producer.enqueue(line(value, { partition: 0 })), Effect.sleep("1 millis"))
        )
        yield* Effect.all(acks)
        const stored = (yield* values(0)).slice(1)
        assert.deepStrictEqual([...new Set(stored)], [...count(300)])
        assert.isAbove(stored.length, 300, "some are there twice")
        const addresses = new Set(written(yield* Wires).map(({ address }) => address))
        assert.isAbove(addresses.size, 1, "another broker went on")
      }),
      { cluster: threeBrokers }
    )
  })
})
