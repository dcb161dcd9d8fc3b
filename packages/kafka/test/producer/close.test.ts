import { assert, describe, it } from "@effect/vitest"
import * as Kafka from "@sluice/kafka/Kafka"
import type { ProduceError } from "@sluice/kafka/KafkaError"
import * as Producer from "@sluice/kafka/Producer"
import * as Fault from "@sluice/testing/Fault"
import { MemoryCluster } from "@sluice/testing/MemoryCluster"
import { Clock, Effect, Exit, Fiber, Logger, LogLevel, Scope, Supervisor, TestClock } from "effect"

import { memory } from "../support/memory.ts"
import { count, line, values } from "./lines.ts"
import { answerFirst, produceAnswer, wired, Wires, written } from "./wire.ts"

const oneTopic = { topics: { lines: 1 } }
const settle = TestClock.adjust(0)
const outcome = (error: ProduceError) => `${error.reason._tag} ${error.persisted}`

/** Runs with a list of all that is logged, in order; the test adds its own events. */
const logged = <A, E, R>(use: (events: Array<string>) => Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    const events: Array<string> = []
    const logger = Logger.make<unknown, void>(({ message }) => events.push(String(message)))
    return use(events).pipe(
      Effect.provide(Logger.replace(Logger.defaultLogger, logger)),
      Logger.withMinimumLogLevel(LogLevel.Debug)
    )
  })

/** From now on a second passes before the broker has what it is sent, and another one before its answer is there. */
const slowBroker = Effect.flatMap(
  MemoryCluster,
  (cluster) => cluster.inject(Fault.slow({}, { latency: "1 second", duration: "1 hour" }))
)

const client = Kafka.layer({ brokers: "broker-1.memory:9092" })

/** A producer in a scope that the test closes, and how long that takes in virtual time. */
const closable = <C = never, R = never>(options: Producer.ProducerOptions<C, R> = {}) =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    const producer = yield* Scope.extend(Producer.make(options), scope)
    const close = Effect.gen(function*() {
      const start = yield* Clock.currentTimeMillis
      yield* Scope.close(scope, Exit.void)
      return (yield* Clock.currentTimeMillis) - start
    })
    return { producer, close }
  })

describe("closing a producer", () => {
  it.effect("tells of records that fail meanwhile, also where the fiber that waited for them is the one that closes", () =>
    logged((events) =>
      Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        const fiber = yield* Effect.fork(Effect.scoped(Effect.gen(function*() {
          const producer = yield* Producer.make({ deliveryTimeout: "1 second" })
          yield* producer.send(line("0"))
          yield* cluster.pauseBroker(1)
          yield* producer.send(line("lost"))
        })))
        yield* TestClock.adjust("100 millis")
        yield* Fiber.interruptFork(fiber)
        yield* TestClock.adjust("5 seconds")
        assert.isTrue(
          events.some((event) => event.includes("1 records failed that nobody waits for")),
          events.join("\n")
        )
        yield* cluster.resumeBroker(1)
        yield* TestClock.adjust("1 minute")
        yield* Fiber.await(fiber)
      })
    ).pipe(Effect.provide(client), Effect.provide(MemoryCluster.layer(oneTopic))))

  it.effect("refuses, flushes, lets handlers finish, closes, and only then its connections", () =>
    logged((events) =>
      Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        yield* cluster.intercept(({ apiName }) => {
          if (apiName === "Produce") events.push("produced")
          return "deliver"
        })
        const { close, producer } = yield* closable({
          linger: "1 minute",
          batchBytes: 1000,
          bufferBytes: 1000,
          maxRecordBytes: 1000,
          onDelivery: {
            handler: ({ _tag, record }) =>
              Effect.zipRight(
                Effect.sleep("1 second"),
                Effect.sync(() => events.push(`handled ${_tag} ${record.value[0]}`))
              )
          }
        })
        yield* producer.enqueue(line("0"))
        yield* producer.flush
        yield* TestClock.adjust("1 second")
        for (const name of ["a", "b"]) yield* producer.enqueue(line(name.repeat(100)))
        assert.strictEqual(yield* cluster.connections, 2, "the producer's one, and the client's for metadata")
        events.length = 0
        const closing = yield* Effect.fork(close)
        yield* settle
        const refused = yield* Effect.flip(producer.send(line("late")))
        assert.strictEqual(outcome(refused), "Closed no")
        assert.strictEqual(yield* cluster.connections, 2)
        yield* TestClock.adjust("2 seconds")
        assert.strictEqual(yield* Fiber.join(closing), 2000)
        assert.deepStrictEqual(events, [
          "producer closing: refuses new records, 0 sent away",
          "produced",
          "producer closing: all is flushed",
          "handled Acknowledged a",
          "handled Acknowledged b",
          "producer closing: every report is handled",
          "producer closed"
        ])
        assert.strictEqual(yield* cluster.connections, 1)
        assert.lengthOf(yield* values(), 3)
        assert.strictEqual(outcome(yield* Effect.flip(producer.send(line("late")))), "Closed no")
        yield* producer.flush
      })
    ).pipe(Effect.scoped, Effect.provide(memory(oneTopic))))

  it.effect("sends away who waits for room, or for a topic to be found", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const { close, producer } = yield* closable({ bufferBytes: 500, batchBytes: 500, maxRecordBytes: 500 })
      yield* producer.send(line("first"))
      yield* cluster.pauseBroker(1)
      const inFlight = yield* Effect.fork(producer.send(line("in flight".padEnd(400))))
      const waiting = yield* Effect.fork(Effect.flip(producer.send(line("waits".padEnd(400)))))
      const all = yield* Effect.fork(Effect.flip(producer.sendAll([line("waits".padEnd(400)), line("too")])))
      const looking = yield* Effect.fork(Effect.flip(producer.send(line("x", { partition: 5 }))))
      yield* settle
      const closing = yield* Effect.fork(close)
      yield* settle
      assert.strictEqual(outcome(yield* Fiber.join(waiting)), "Closed no")
      assert.strictEqual(outcome(yield* Fiber.join(looking)), "Closed no")
      const { results } = yield* Fiber.join(all)
      assert.deepStrictEqual(
        results.map((result) => result._tag === "Failed" ? outcome(result.error) : ""),
        ["Closed no", "Closed no"]
      )
      yield* cluster.resumeBroker(1)
      yield* settle
      yield* Fiber.join(inFlight)
      yield* Fiber.join(closing)
      assert.deepStrictEqual(yield* values(), ["first", "in flight".padEnd(400)])
    }).pipe(Effect.scoped, Effect.provide(memory(oneTopic))))

  it.effect("ends at its bound if the broker does not answer, with the truth about each record", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const wire = yield* Wires
      const heard: Array<string> = []
      const { close, producer } = yield* closable<string>({
        closeTimeout: "7 seconds",
        batchBytes: 200,
        onDelivery: {
          handler: (delivery) =>
            Effect.sync(() =>
              heard.push(
                `${delivery.correlation} ${delivery._tag === "Failed" ? outcome(delivery.error) : delivery._tag}`
              )
            )
        }
      })
      yield* producer.send(line("first"), { correlation: "first" })
      yield* cluster.pauseBroker(1)
      const acks = yield* Effect.forEach(
        ["a", "b", "c", "d", "e", "f", "g"],
        (name) => producer.enqueue(line(name.repeat(150)), { correlation: name })
      )
      yield* settle
      const closing = yield* Effect.fork(close)
      yield* TestClock.adjust("6999 millis")
      assert.lengthOf(heard, 1)
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(yield* Fiber.join(closing), 7000)
      assert.deepStrictEqual(heard, [
        "first Acknowledged",
        ...["a", "b", "c", "d", "e"].map((name) => `${name} Closed maybe`),
        "f Closed no",
        "g Closed no"
      ])
      const outcomes = yield* Effect.forEach(acks, Effect.flip)
      assert.deepStrictEqual(outcomes.map(outcome), heard.slice(1).map((report) => report.slice(2)))
      const requests = wire.requests.length
      yield* cluster.resumeBroker(1)
      yield* TestClock.adjust("5 minutes")
      assert.strictEqual(wire.requests.slice(requests).filter(({ api }) => api === "Produce").length, 0)
      assert.lengthOf(heard, 8)
    }).pipe(Effect.scoped, Effect.provide(wired(oneTopic))))

  it.effect("says no of what it held back because the broker had asked for silence", () =>
    Effect.gen(function*() {
      const wire = yield* Wires
      const { close, producer } = yield* closable({ closeTimeout: "1 second" })
      answerFirst(wire, "Produce", (request) => produceAnswer(request, () => 0, 60_000))
      yield* producer.send(line("first"))
      const held = yield* Effect.fork(Effect.flip(producer.send(line("held back"))))
      yield* settle
      const closing = yield* Effect.fork(close)
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(closing)
      assert.strictEqual(outcome(yield* Fiber.join(held)), "Closed no")
      yield* TestClock.adjust("5 minutes")
      assert.lengthOf(written(wire), 1)
    }).pipe(Effect.scoped, Effect.provide(wired(oneTopic))))

  it.effect("does not wait for ever for a handler, not even one that cannot be interrupted", () =>
    logged((events) =>
      Effect.gen(function*() {
        for (const handler of [() => Effect.never, () => Effect.uninterruptible(Effect.never)]) {
          const { close, producer } = yield* closable({ onDelivery: { handler, closeTimeout: "3 seconds" } })
          yield* producer.sendAll(count(5).map((value) => line(value)))
          const closing = yield* Effect.fork(close)
          yield* TestClock.adjust("10 seconds")
          assert.isAtMost(yield* Fiber.join(closing), 4000)
          assert.include(events, "producer closing: 5 reports were not handled in time")
          events.length = 0
        }
      })
    ).pipe(Effect.scoped, Effect.provide(memory(oneTopic))))

  it.effect("takes what handlers send themselves, until all reports are handled", () =>
    Effect.gen(function*() {
      const heard: Array<string> = []
      const sent: Array<string> = []
      const { close, producer } = yield* closable({
        maxRecordBytes: 100,
        bufferBytes: 100,
        onDelivery: {
          maxPending: 1,
          handler: ({ _tag, record }): Effect.Effect<unknown, unknown> => {
            heard.push(`${_tag} ${record.value}`)
            if (record.value.startsWith("audit")) return Effect.void
            return Effect.sleep("1 second").pipe(
              Effect.zipRight(producer.send(line(`audit ${record.value}`))),
              Effect.tap(({ offset }) => sent.push(`${record.value} at ${offset}`))
            )
          }
        }
      })
      yield* producer.enqueue(line("a"))
      const b = yield* Effect.fork(producer.enqueue(line("b")))
      yield* settle
      const closing = yield* Effect.fork(close)
      yield* settle
      assert.strictEqual(outcome(yield* Effect.flip(Fiber.join(b))), "Closed no")
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(closing), 1000)
      assert.deepStrictEqual(heard, ["Acknowledged a", "Acknowledged audit a"])
      assert.deepStrictEqual(sent, ["a at 1"])
      assert.deepStrictEqual(yield* values(), ["a", "audit a"])
    }).pipe(Effect.scoped, Effect.provide(memory(oneTopic))))

  it.effect("has every report of a thousand records in flight handled before it is gone, however slow the broker", () =>
    Effect.gen(function*() {
      const handled: Array<number> = []
      const { close, producer } = yield* closable<number>({
        batchBytes: 20_000,
        onDelivery: {
          concurrency: 10,
          handler: ({ _tag, correlation }) =>
            Effect.zipRight(
              Effect.sleep("20 millis"),
              Effect.sync(() => {
                assert.strictEqual(_tag, "Acknowledged")
                handled.push(correlation!)
              })
            )
        }
      })
      yield* producer.send(line("first"), { correlation: -1 })
      yield* TestClock.adjust("20 millis")
      yield* slowBroker
      yield* Effect.forEach(
        count(1_000),
        (_, number) => producer.enqueue(line(`${number}`.padEnd(100)), { correlation: number })
      )
      const closing = yield* Effect.fork(close)
      yield* settle
      assert.deepStrictEqual(handled, [-1])
      // A round trip takes two seconds; a hundred turns of ten handlers another two.
      yield* TestClock.adjust("29 seconds")
      assert.isAbove(yield* Fiber.join(closing), 4_000)
      assert.deepStrictEqual(handled.toSorted((one, other) => one - other), [-1, ...count(1_000).map(Number)])
    }).pipe(Effect.scoped, Effect.provide(memory(oneTopic))))

  it.effect("refuses what a handler sends after the last flush", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const late: Array<string> = []
      const { close, producer } = yield* closable({
        onDelivery: {
          handler: ({ record }): Effect.Effect<unknown> => {
            if (record.value !== "a") return Effect.void
            // A fiber that its handler does not wait for, and that goes on sending whatever comes of it.
            const sends = Effect.forEach(count(6), (number) =>
              Effect.sleep("300 millis").pipe(
                Effect.zipRight(producer.send(line(`audit ${number}`))),
                Effect.match({
                  onFailure: (error) => `${number} ${error._tag} ${outcome(error)}`,
                  onSuccess: ({ offset }) => `${number} at ${offset}`
                }),
                Effect.tap((told) => late.push(told))
              ))
            return Effect.zipRight(Effect.forkDaemon(sends), Effect.sleep("1 second"))
          }
        }
      })
      yield* producer.enqueue(line("a"))
      const closing = yield* Effect.fork(close)
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(yield* Fiber.join(closing), 1_000)
      assert.deepStrictEqual(late, [
        ...["0 at 1", "1 at 2", "2 at 3"],
        ...["3", "4", "5"].map((number) => `${number} FatalError Closed no`)
      ])
      assert.deepStrictEqual(yield* values(), ["a", "audit 0", "audit 1", "audit 2"])
      assert.strictEqual(yield* cluster.connections, 1)
    }).pipe(Effect.scoped, Effect.provide(memory(oneTopic))))

  it.effect("gives a handler's own records their outcome when the broker is gone by then", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const sent: Array<string> = []
      const { close, producer } = yield* closable({
        maxRecordBytes: 500,
        bufferBytes: 500,
        onDelivery: {
          concurrency: 3,
          closeTimeout: "3 seconds",
          handler: ({ record }): Effect.Effect<unknown, unknown> =>
            record.value.startsWith("audit") ? Effect.void : Effect.sleep("1 second").pipe(
              Effect.zipRight(producer.send(line(`audit ${record.value}`.padEnd(300)))),
              Effect.exit,
              Effect.tap((exit) =>
                Effect.sync(() =>
                  sent.push(Exit.isFailure(exit) && exit.cause._tag === "Fail" ? outcome(exit.cause.error) : exit._tag)
                )
              )
            )
        }
      })
      yield* producer.sendAll(["a", "b", "c"].map((value) => line(value)))
      const closing = yield* Effect.fork(close)
      yield* settle
      yield* cluster.pauseBroker(1)
      yield* TestClock.adjust("5 seconds")
      yield* Fiber.join(closing)
      // One on the wire, the others without room.
      assert.sameMembers(sent, ["Closed maybe", "Closed no", "Closed no"])
    }).pipe(Effect.scoped, Effect.provide(memory(oneTopic))))

  it.effect("goes on to its end when the closing fiber is interrupted, once and again", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const { close, producer } = yield* closable({ closeTimeout: "5 seconds" })
      yield* producer.send(line("first"))
      yield* cluster.pauseBroker(1)
      const ack = yield* Effect.fork(Effect.flip(producer.send(line("in flight"))))
      yield* settle
      const closing = yield* Effect.fork(close)
      yield* settle
      const interrupts = yield* Effect.forEach([1, 2], () => Effect.fork(Fiber.interrupt(closing)))
      yield* TestClock.adjust("4 seconds")
      assert.strictEqual((yield* closing.poll)._tag, "None")
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(Fiber.all(interrupts))
      assert.strictEqual(outcome(yield* Fiber.join(ack)), "Closed maybe")
    }).pipe(Effect.scoped, Effect.provide(memory(oneTopic))))

  it.effect("is not shortened by a second interruption: what was accepted is acknowledged, and its reports handled", () =>
    Effect.gen(function*() {
      const handled: Array<string> = []
      const { close, producer } = yield* closable({
        onDelivery: {
          handler: ({ _tag, record }) =>
            Effect.zipRight(Effect.sleep("1 second"), Effect.sync(() => handled.push(`${_tag} ${record.value}`)))
        }
      })
      yield* producer.send(line("first"))
      yield* TestClock.adjust("1 second")
      yield* slowBroker
      const acks = yield* Effect.forEach(["a", "b", "c"], (value) => producer.enqueue(line(value)))
      const closing = yield* Effect.fork(close)
      yield* settle
      const interrupts: Array<Fiber.RuntimeFiber<unknown>> = []
      // While it flushes, and while the handlers run.
      for (let second = 0; second < 4; second++) {
        interrupts.push(yield* Effect.fork(Fiber.interrupt(closing)))
        yield* TestClock.adjust("1 second")
      }
      assert.strictEqual((yield* closing.poll)._tag, "None")
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(Fiber.all(interrupts))
      assert.deepStrictEqual(handled, ["first", "a", "b", "c"].map((value) => `Acknowledged ${value}`))
      assert.lengthOf(yield* Effect.all(acks), 3)
    }).pipe(Effect.scoped, Effect.provide(memory(oneTopic))))

  for (const broker of ["answers", "hangs", "is gone"] as const) {
    it.effect(`leaves nothing behind: no fiber, and so no timer, and no connection (the broker ${broker})`, () =>
      Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        const supervisor = yield* Supervisor.track
        const use = Effect.gen(function*() {
          const producer = yield* Producer.make({
            linger: "10 millis",
            closeTimeout: "2 seconds",
            onDelivery: { handler: () => Effect.sleep("100 millis"), concurrency: 3 }
          })
          yield* Effect.fork(producer.sendAll(count(10).map((value) => line(value))))
          yield* TestClock.adjust("50 millis")
          if (broker === "hangs") yield* cluster.pauseBroker(1)
          if (broker === "is gone") yield* cluster.stopBroker(1)
          yield* Effect.fork(producer.sendAll(count(10).map((value) => line(value))))
          yield* settle
        })
        const fiber = yield* Effect.fork(
          // The client with it, and not the cluster.
          use.pipe(Effect.scoped, Effect.provide(client), Effect.supervised(supervisor))
        )
        yield* TestClock.adjust("5 seconds")
        yield* Fiber.join(fiber)
        yield* settle
        assert.strictEqual(yield* cluster.connections, 0)
        assert.deepStrictEqual((yield* supervisor.value).map((left) => left.id()), [])
      }).pipe(Effect.provide(MemoryCluster.layer(oneTopic))))
  }
})
