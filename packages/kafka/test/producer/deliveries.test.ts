import { assert, describe, it } from "@effect/vitest"
import * as Producer from "@sluice/kafka/Producer"
import * as Fault from "@sluice/testing/Fault"
import { MemoryCluster } from "@sluice/testing/MemoryCluster"
import { Context, Deferred, Effect, Fiber, FiberRef, Logger, LogLevel, Option, Stream, TestClock } from "effect"

import { memory } from "../support/memory.ts"
import { count, line, values } from "./lines.ts"

const oneTopic = { topics: { lines: 1 } }

/** What was logged at error level. */
const capturingErrors = <A, E, R>(use: (errors: Array<string>) => Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    const errors: Array<string> = []
    const logger = Logger.make<unknown, void>(({ cause, logLevel, message }) => {
      if (LogLevel.greaterThanEqual(logLevel, LogLevel.Error)) errors.push(`${String(message)} ${String(cause)}`)
    })
    return Effect.provide(use(errors), Logger.replace(Logger.defaultLogger, logger))
  })

const settle = TestClock.adjust(0)

describe("onDelivery", () => {
  it.effect("hears of each accepted record once, with its correlation, in order", () =>
    Effect.gen(function*() {
      const heard: Array<readonly [id: number | undefined, value: string, offset: bigint | undefined]> = []
      const producer = yield* Producer.make<{ readonly id: number }>({
        batchBytes: 300,
        onDelivery: {
          handler: (delivery) =>
            Effect.sync(() => {
              // The correlation has the producer's own type.
              const id: number | undefined = delivery.correlation?.id
              heard.push([
                id,
                delivery.record.value,
                delivery._tag === "Acknowledged" ? delivery.metadata.offset : undefined
              ])
            })
        }
      })
      for (let id = 0; id < 300; id++) yield* producer.enqueue(line(`v${id}`), { correlation: { id } })
      yield* producer.send(line("without"))
      // @ts-expect-error another type of correlation
      producer.send(line("x"), { correlation: "x" })
      yield* settle
      assert.deepStrictEqual(heard, [
        ...Array.from({ length: 300 }, (_, id) => [id, `v${id}`, BigInt(id)] as const),
        [undefined, "without", 300n]
      ])
    }).pipe(Effect.scoped, Effect.provide(memory(oneTopic))))

  it.effect("hears of failures, and not of records that were never accepted", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const heard: Array<string> = []
      const producer = yield* Producer.make<number>({
        deliveryTimeout: "1 second",
        maxRecordBytes: 1000,
        onDelivery: {
          handler: (delivery) =>
            Effect.sync(() =>
              heard.push(
                delivery._tag === "Failed"
                  ? `${delivery.correlation} ${delivery.error.reason._tag} ${delivery.error.persisted}`
                  : `${delivery.correlation}`
              )
            )
        }
      })
      yield* producer.send(line("0"), { correlation: 0 })
      yield* Effect.flip(producer.send(line("x".repeat(2000)), { correlation: 1 }))
      yield* cluster.pauseBroker(1)
      const ack = yield* producer.enqueue(line("2"), { correlation: 2 })
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Effect.flip(ack)).reason._tag, "DeliveryTimeout")
      assert.deepStrictEqual(heard, ["0", "2 DeliveryTimeout maybe"])
      yield* cluster.resumeBroker(1)
      yield* settle
      assert.lengthOf(heard, 2, "the late answer is no second outcome")
    }).pipe(Effect.scoped, Effect.provide(memory(oneTopic))))

  it.effect("runs so many handlers at a time, and no more", () =>
    Effect.gen(function*() {
      let running = 0
      let most = 0
      let done = 0
      const producer = yield* Producer.make({
        onDelivery: {
          concurrency: 4,
          handler: () =>
            Effect.sync(() => most = Math.max(most, ++running)).pipe(
              Effect.zipRight(Effect.sleep("1 second")),
              Effect.zipRight(Effect.sync(() => {
                running--
                done++
              }))
            )
        }
      })
      yield* producer.sendAll(count(20).map((value) => line(value)))
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(most, 4)
      assert.strictEqual(done, 20)
    }).pipe(Effect.scoped, Effect.provide(memory(oneTopic))))

  it.effect("can keep the order of each partition: one that hangs holds up no other", () =>
    Effect.gen(function*() {
      const heard = new Map<number, Array<string>>()
      const gate = yield* Deferred.make<void>()
      let running = 0
      let most = 0
      const producer = yield* Producer.make({
        onDelivery: {
          concurrency: 4,
          order: "partition",
          handler: ({ record }) =>
            record.value === "hangs"
              ? Deferred.await(gate)
              : Effect.sync(() => most = Math.max(most, ++running)).pipe(
                Effect.zipRight(Effect.sleep(Number(record.value) % 2 === 0 ? "2 millis" : "1 millis")),
                Effect.zipRight(Effect.sync(() => {
                  running--
                  const values = heard.get(record.partition!) ?? []
                  heard.set(record.partition!, values)
                  values.push(record.value)
                }))
              )
        }
      })
      yield* producer.send(line("hangs", { partition: 2 }))
      for (const value of count(20)) {
        for (const partition of [0, 1, 2]) yield* producer.enqueue(line(value, { partition }))
      }
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(heard, new Map([0, 1].map((partition) => [partition, [...count(20)]])))
      assert.strictEqual(most, 2)
      yield* Deferred.succeed(gate, undefined)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(heard.get(2), [...count(20)])
    }).pipe(Effect.scoped, Effect.provide(memory({ topics: { lines: 3 } }))))

  it.effect("says how often each was sent, and how long that took", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const heard: Array<readonly [value: string, attempts: number, elapsed: number]> = []
      const producer = yield* Producer.make({
        deliveryTimeout: "5 seconds",
        onDelivery: {
          handler: ({ attempts, elapsedMillis, record }) =>
            Effect.sync(() => heard.push([record.value, attempts, elapsedMillis]))
        }
      })
      yield* producer.send(line("at once"))
      yield* cluster.pauseBroker(1)
      yield* producer.enqueue(line("late"))
      yield* TestClock.adjust("3 seconds")
      yield* cluster.resumeBroker(1)
      yield* settle
      yield* cluster.stopBroker(1)
      yield* settle
      yield* producer.enqueue(line("never sent"))
      yield* TestClock.adjust("6 seconds")
      assert.deepStrictEqual(heard, [["at once", 1, 0], ["late", 1, 3000], ["never sent", 0, 5000]])
    }).pipe(Effect.scoped, Effect.provide(memory(oneTopic))))

  it.effect("logs what its handler fails with, whatever that is, and goes on", () =>
    capturingErrors((errors) =>
      Effect.gen(function*() {
        const heard: Array<string> = []
        const producer = yield* Producer.make({
          onDelivery: {
            handler: ({ record }) => {
              heard.push(record.value)
              switch (record.value) {
                case "0":
                  return Effect.fail("typed failure")
                case "1":
                  return Effect.die(new Error("defect"))
                case "2":
                  throw new Error("thrown")
                case "3":
                  return Effect.interrupt
                default:
                  return Effect.void
              }
            }
          }
        })
        yield* producer.sendAll(count(6).map((value) => line(value)))
        yield* settle
        assert.deepStrictEqual(heard, count(6))
        assert.lengthOf(errors, 4)
        for (const text of ["typed failure", "defect", "thrown", "interrupted"]) {
          assert.isTrue(errors.some((error) => error.includes(text)), text)
        }
      })
    ).pipe(Effect.scoped, Effect.provide(memory(oneTopic))))

  it.effect("makes senders wait past maxPending, until reports are handled", () =>
    Effect.gen(function*() {
      const release = yield* Deferred.make<void>()
      const accepted: Array<number> = []
      const producer = yield* Producer.make({
        onDelivery: { maxPending: 3, handler: () => Deferred.await(release) }
      })
      const fibers = yield* Effect.forEach(
        count(10),
        (value, i) => Effect.fork(Effect.tap(producer.enqueue(line(value)), () => accepted.push(i)))
      )
      yield* settle
      assert.deepStrictEqual(accepted, [0, 1, 2])
      assert.deepStrictEqual(yield* values(), count(3))
      yield* Deferred.succeed(release, undefined)
      yield* Fiber.join(Fiber.all(fibers))
      yield* producer.flush
      assert.deepStrictEqual(yield* values(), count(10))
    }).pipe(Effect.scoped, Effect.provide(memory(oneTopic))))

  it.effect("lets a handler send with its own producer, in every way, when nobody else may", () =>
    Effect.gen(function*() {
      const heard: Array<string> = []
      const producer: Producer.Producer<string> = yield* Producer.make<string>({
        onDelivery: {
          maxPending: 1,
          handler: ({ correlation, record }) =>
            Effect.gen(function*() {
              heard.push(record.value)
              if (correlation !== "original") return
              yield* producer.send(line(`${record.value} send`))
              yield* Effect.flatten(producer.enqueue(line(`${record.value} enqueue`)))
              yield* producer.sendAll([line(`${record.value} all`), line(`${record.value} all`)])
              yield* Stream.run(Stream.make(line(`${record.value} sink`)), producer.sink)
              yield* producer.flush
            })
        }
      })
      for (const value of ["a", "b"]) yield* producer.send(line(value), { correlation: "original" })
      yield* settle
      const of = (value: string) => ["send", "enqueue", "all", "all", "sink"].map((way) => `${value} ${way}`)
      const expected = ["a", ...of("a"), "b", ...of("b")]
      assert.sameMembers(heard, expected)
      assert.sameMembers([...(yield* values())], expected)
    }).pipe(Effect.scoped, Effect.provide(memory(oneTopic))))

  it.effect("lets a handler send while the buffer is full and others wait for its room", () =>
    Effect.gen(function*() {
      const heard: Array<string> = []
      const most: Array<number> = []
      const cluster = yield* MemoryCluster
      const producer: Producer.Producer = yield* Producer.make({
        // Room for two of these records, which always more than two want.
        bufferBytes: 500,
        batchBytes: 500,
        maxRecordBytes: 500,
        onDelivery: {
          concurrency: 2,
          maxPending: 4,
          handler: ({ record }): Effect.Effect<unknown, unknown> => {
            heard.push(record.value.trim())
            if (record.value.startsWith("audit")) return Effect.void
            const audit = line(`audit ${record.value.trim()}`.padEnd(200))
            return Effect.zipRight(producer.send(audit), Effect.flatten(producer.enqueue(audit)))
          }
        }
      })
      yield* producer.send(line("audit"))
      yield* cluster.inject(Fault.slow({}, { latency: "20 millis", duration: "1 hour" }))
      let waiting = 0
      const senders = yield* Effect.forEach(count(40), (number) => {
        waiting++
        return Effect.fork(
          Effect.tap(producer.enqueue(line(number.padEnd(200))), () => {
            most.push(--waiting)
          })
        )
      })
      // As many round trips as it takes, one after the other, and no more than a few for each record.
      yield* TestClock.adjust("10 seconds")
      yield* Effect.all(yield* Fiber.join(Fiber.all(senders)))
      assert.isAbove(Math.max(...most), 30)
      yield* TestClock.adjust("10 seconds")
      const expected = count(40).flatMap((number) => [number, `audit ${number}`, `audit ${number}`])
      assert.sameMembers(heard, ["audit", ...expected])
    }).pipe(Effect.scoped, Effect.provide(memory(oneTopic))))

  it.effect("has its workers before the producer is there, without the maker's annotations", () =>
    Effect.gen(function*() {
      class Config extends Context.Tag("test/Config")<Config, string>() {}
      const seen: Array<unknown> = []
      const cluster = yield* MemoryCluster
      const producer = yield* Producer.make({
        onDelivery: {
          handler: () =>
            Effect.gen(function*() {
              seen.push(yield* Config)
              seen.push(Array.from(yield* FiberRef.get(FiberRef.currentLogAnnotations)))
              seen.push(Array.from(yield* FiberRef.get(FiberRef.currentLogSpan)))
            })
        }
      }).pipe(
        Effect.annotateLogs("maker", "x"),
        Effect.withLogSpan("maker"),
        Effect.provideService(Config, "the maker's services")
      )
      yield* producer.send(line("a"))
      assert.strictEqual(yield* cluster.connections, 2)
      yield* settle
      assert.deepStrictEqual(seen, ["the maker's services", [], []])
    }).pipe(Effect.scoped, Effect.provide(memory(oneTopic))))
})

describe("a failed record", () => {
  const warnings = <A, E, R>(use: (lines: Array<string>) => Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.suspend(() => {
      const lines: Array<string> = []
      const logger = Logger.make<unknown, void>(({ logLevel, message }) => {
        if (LogLevel.greaterThanEqual(logLevel, LogLevel.Warning)) lines.push(String(message))
      })
      return Effect.provide(use(lines), Logger.replace(Logger.defaultLogger, logger))
    })

  it.effect("that nobody waits for is logged", () =>
    warnings((lines) =>
      Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        const producer = yield* Producer.make({ deliveryTimeout: "1 second" })
        yield* producer.send(line("0"))
        yield* cluster.pauseBroker(1)
        yield* producer.enqueue(line("nobody"))
        yield* producer.enqueue(line("nobody either"))
        const awaited = yield* Effect.fork(Effect.flip(producer.send(line("somebody"))))
        const gone = yield* Effect.fork(producer.send(line("gone")))
        const all = yield* Effect.fork(producer.sendAll([line("all"), line("gone")]))
        const sink = yield* Effect.fork(
          Stream.run(Stream.concat(Stream.make(line("sink"), line("gone")), Stream.never), producer.sink)
        )
        yield* settle
        yield* Effect.all([Fiber.interrupt(gone), Fiber.interrupt(all), Fiber.interrupt(sink)])
        yield* TestClock.adjust("1 second")
        yield* Fiber.join(awaited)
        const unheard = lines.map((text) => /^(\d+) records failed/.exec(text)?.[1]).filter((n) => n !== undefined)
        assert.deepStrictEqual(unheard.reduce((sum, n) => sum + Number(n), 0), 7, lines.join("\n"))
        yield* cluster.resumeBroker(1)
      })
    ).pipe(Effect.scoped, Effect.provide(memory(oneTopic))))

  it.effect("can be awaited by many, and late", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const producer = yield* Producer.make({ deliveryTimeout: "1 second" })
      yield* producer.send(line("0"))
      yield* cluster.pauseBroker(1)
      const ack = yield* producer.enqueue(line("1"))
      const fibers = yield* Effect.forEach(count(3), () => Effect.fork(Effect.flip(ack)))
      yield* settle
      yield* Fiber.interrupt(fibers[1]!)
      yield* TestClock.adjust("1 second")
      assert.isTrue(Option.isSome(yield* fibers[0]!.poll))
      assert.strictEqual((yield* Fiber.join(fibers[2]!)).reason._tag, "DeliveryTimeout")
      assert.strictEqual((yield* Effect.flip(ack)).reason._tag, "DeliveryTimeout")
      yield* cluster.resumeBroker(1)
    }).pipe(Effect.scoped, Effect.provide(memory(oneTopic))))
})
