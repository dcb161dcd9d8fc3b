import { assert, describe, it } from "@effect/vitest"
import * as Producer from "@sluice/kafka/Producer"
import { MemoryCluster } from "@sluice/testing/MemoryCluster"
import {
  Chunk,
  Clock,
  Deferred,
  Effect,
  Exit,
  Fiber,
  Logger,
  LogLevel,
  Option,
  Scheduler,
  Scope,
  Stream,
  TestClock
} from "effect"

import { outcome, play } from "../scenarios/story.ts"
import { memory } from "../support/memory.ts"
import { count, line, values } from "./lines.ts"

/** A producer in a scope of its own, which is closed by hand. */
const open = (options: Producer.ReportingOptions) =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    const producer = yield* Scope.extend(Producer.make<number>(options), scope)
    return { producer, close: Scope.close(scope, Exit.void) }
  })

const correlations = (reports: Iterable<Producer.Report<number>>) =>
  Array.from(reports, ({ correlation }) => correlation)

/** Gives what is logged as an error to `use`. */
const capturingErrors = <A, E, R>(use: (errors: Array<string>) => Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    const errors: Array<string> = []
    const logger = Logger.make<unknown, void>(({ message }) => {
      errors.push(String(message))
    })
    return use(errors).pipe(
      Effect.provide(Logger.replace(Logger.defaultLogger, logger)),
      Logger.withMinimumLogLevel(LogLevel.Error)
    )
  })

describe("deliveries", () => {
  it("gives the report of every accepted record exactly once, in order, and ends with the producer", () => {
    play(Effect.gen(function*() {
      const { close, producer } = yield* open({ batchBytes: 300, maxRecordBytes: 100, deliveries: {} })
      const fiber = yield* Effect.fork(Stream.runCollect(producer.deliveries))
      for (let id = 0; id < 300; id++) yield* producer.enqueue(line(`v${id}`), { correlation: id })
      yield* Effect.flip(producer.send(line("x".repeat(200)), { correlation: -1 }))
      yield* producer.send(line("without"))
      assert.isTrue(Option.isNone(yield* Fiber.poll(fiber)))
      yield* close
      const reports = Chunk.toReadonlyArray(yield* Fiber.join(fiber))
      assert.deepStrictEqual(correlations(reports), [...Array.from({ length: 300 }, (_, id) => id), undefined])
      assert.deepStrictEqual(
        reports.map((report) => report._tag === "Acknowledged" ? Number(report.metadata.offset) : -1),
        Array.from({ length: 301 }, (_, i) => i)
      )
      for (const { attempts } of reports) assert.strictEqual(attempts, 1)
      assert.deepStrictEqual(Chunk.toReadonlyArray(yield* Stream.runCollect(producer.deliveries)), [])
    }))
  })

  it("tells of failures", () => {
    play(Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const { close, producer } = yield* open({ deliveryTimeout: "1 second", deliveries: {} })
      yield* producer.send(line("0"), { correlation: 6 })
      yield* cluster.pauseBroker(1)
      yield* producer.enqueue(line("1"), { correlation: 7 })
      const reports = yield* Stream.runCollect(Stream.take(producer.deliveries, 2))
      assert.deepStrictEqual(
        Chunk.toReadonlyArray(reports).map((report) => [
          report.correlation,
          report._tag === "Failed" ? outcome(report.error) : report._tag
        ]),
        [[6, "Acknowledged"], [7, "DeliveryTimeout maybe"]]
      )
      yield* cluster.resumeBroker(1)
      yield* close
    }))
  })

  it("is bounded: past so many that were not taken senders wait", () => {
    play(Effect.gen(function*() {
      const { close, producer } = yield* open({ deliveries: { maxPending: 10 } })
      const sending = yield* Effect.fork(
        Effect.forEach(count(30), (value, i) => producer.enqueue(line(value), { correlation: i }))
      )
      yield* Effect.sleep("1 minute")
      assert.deepStrictEqual(yield* values(), count(10))
      const { unhandledReports, waitingSenders } = yield* producer.health.get
      assert.deepStrictEqual([unhandledReports, waitingSenders], [10, 1])
      // A chunk in hand counts until the next one is asked for.
      const gate = yield* Deferred.make<void>()
      const taken: Array<number | undefined> = []
      const fiber = yield* producer.deliveries.pipe(
        Stream.runForEach(({ correlation }) => taken.push(correlation) === 10 ? Deferred.await(gate) : Effect.void),
        Effect.fork
      )
      yield* Effect.sleep("1 minute")
      assert.lengthOf(yield* values(), 10)
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(sending)
      yield* close
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(taken, count(30).map(Number))
      assert.deepStrictEqual(yield* values(), count(30))
    }))
  })

  it("keeps nobody waiting who has not asked for it", () => {
    play(Effect.gen(function*() {
      const producer = yield* Producer.make()
      yield* producer.sendAll(count(1000).map((value) => line(value)))
      assert.strictEqual((yield* producer.health.get).unhandledReports, 0)
      // @ts-expect-error a producer without the option has none
      assert.notInstanceOf(producer.deliveries, Object)
    }))
  })

  it("has one subscriber at a time; the next one goes on after what the last one was given", () => {
    play(Effect.gen(function*() {
      const { close, producer } = yield* open({ deliveries: {} })
      const first = yield* Effect.fork(Stream.runCollect(Stream.take(producer.deliveries, 2)))
      yield* Effect.sleep("1 millis")
      const error = yield* Effect.flip(Stream.runDrain(producer.deliveries))
      assert.strictEqual(error.reason._tag, "InvalidArgument")
      for (const id of [0, 1]) yield* producer.send(line("v"), { correlation: id })
      assert.deepStrictEqual(correlations(yield* Fiber.join(first)), [0, 1])
      const second = yield* Effect.fork(Stream.runCollect(producer.deliveries))
      for (const id of [2, 3]) yield* producer.send(line("v"), { correlation: id })
      yield* close
      assert.deepStrictEqual(correlations(yield* Fiber.join(second)), [2, 3])
    }))
  })

  it.effect("has one subscriber however their steps fall", () =>
    Effect.gen(function*() {
      const producer = yield* Producer.make({ deliveries: {} })
      for (let at = 0; at < 120; at++) {
        const subscribers = yield* Effect.forEach([0, 1], () => {
          let step = 0
          const scheduler = Scheduler.make(
            (task, priority, fiber) => Scheduler.defaultScheduler.scheduleTask(task, priority, fiber),
            () => step++ === at ? 0 : false
          )
          return Effect.fork(Effect.withScheduler(Stream.runDrain(producer.deliveries), scheduler))
        })
        yield* TestClock.adjust(0)
        assert.lengthOf(subscribers.filter((fiber) => fiber.unsafePoll() === null), 1, `yielding at step ${at}`)
        yield* Fiber.interruptAll(subscribers)
      }
    }).pipe(Effect.scoped, Effect.provide(memory({ topics: { lines: 1 } }))))

  it("is not to be had of a tag's layer, where nobody could follow it", () => {
    class Billing extends Producer.Tag("app/Billing")<Billing, number>() {}
    // @ts-expect-error no such option
    assert.isDefined(Billing.layer({ deliveries: {} }))
  })

  it("loses none to an interruption of a subscriber that waits, and those in its hands count as given", () => {
    play(Effect.gen(function*() {
      const { close, producer } = yield* open({ deliveries: { maxPending: 1 } })
      const waiting = yield* Effect.fork(Stream.runDrain(producer.deliveries))
      yield* Effect.sleep("1 second")
      yield* Fiber.interrupt(waiting)
      yield* producer.send(line("v"), { correlation: 0 })
      const holding = yield* Effect.fork(Stream.runForEach(producer.deliveries, () => Effect.never))
      yield* Effect.sleep("1 second")
      const blocked = yield* Effect.fork(producer.send(line("v"), { correlation: 1 }))
      yield* Effect.sleep("1 second")
      assert.isTrue(Option.isNone(yield* Fiber.poll(blocked)))
      yield* Fiber.interrupt(holding)
      yield* Fiber.join(blocked)
      const last = yield* Effect.fork(Stream.runCollect(producer.deliveries))
      yield* close
      assert.deepStrictEqual(correlations(yield* Fiber.join(last)), [1])
    }))
  })

  it("is given everything before the producer is closed, by a broker that is slow", () => {
    play(
      Effect.gen(function*() {
        const { close, producer } = yield* open({ deliveries: {} })
        const taken: Array<number | undefined> = []
        let isClosed = false
        const fiber = yield* producer.deliveries.pipe(
          Stream.runForEach(({ correlation }) =>
            Effect.delay(
              Effect.sync(() => {
                assert.isFalse(isClosed)
                taken.push(correlation)
              }),
              "5 millis"
            )
          ),
          Effect.fork
        )
        yield* Effect.forEach(count(1000), (value, i) => producer.enqueue(line(value), { correlation: i }))
        yield* close
        isClosed = true
        assert.deepStrictEqual(taken, count(1000).map(Number))
        yield* Fiber.join(fiber)
      }),
      { cluster: { latency: 500 } }
    )
  })

  it("may send in fibers that it starts for it: with a timeout, beside one another", () => {
    play(Effect.gen(function*() {
      const { close, producer } = yield* open({ deliveries: { maxPending: 2 } })
      const again = (id: number) => producer.send(line("again"), { correlation: id })
      const fiber = yield* producer.deliveries.pipe(
        Stream.runForEach(({ correlation: id }) =>
          id! < 100
            ? Effect.all([Effect.timeout(again(id! + 100), "1 minute"), again(id! + 200)], { concurrency: "unbounded" })
            : Effect.void
        ),
        Effect.fork
      )
      const others = yield* Effect.fork(
        Effect.forEach(count(20), (value, i) => producer.enqueue(line(value), { correlation: i }), {
          concurrency: "unbounded"
        })
      )
      yield* Fiber.join(others)
      yield* close
      yield* Fiber.join(fiber)
      assert.lengthOf(yield* values(), 60)
    }))
  })

  it("holds up what another fiber sends, also one that it started for what it had in hand before", () => {
    play(Effect.gen(function*() {
      const { close, producer } = yield* open({ deliveries: { maxPending: 2 } })
      let later: Fiber.RuntimeFiber<unknown, unknown> | undefined
      yield* producer.send(line("0"))
      yield* producer.send(line("1"))
      const gate = yield* Deferred.make<void>()
      let taken = 0
      yield* producer.deliveries.pipe(
        Stream.rechunk(1),
        Stream.runForEach(() =>
          Effect.gen(function*() {
            if (taken++ === 0) {
              later = yield* Effect.forkDaemon(Effect.zipRight(Effect.sleep("5 seconds"), producer.send(line("3"))))
            }
            if (taken > 2) yield* Deferred.await(gate)
          })
        ),
        Effect.forkScoped
      )
      yield* Effect.sleep("1 second")
      yield* producer.enqueue(line("2"))
      yield* producer.enqueue(line("2"))
      yield* Effect.sleep("10 seconds")
      assert.isTrue(Option.isNone(yield* Fiber.poll(later!)))
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(later!)
      yield* close
    }))
  })

  it("may send in its own fiber, with every report taken up, and while the producer closes", () => {
    play(Effect.gen(function*() {
      const { close, producer } = yield* open({ deliveries: { maxPending: 2 } })
      const fiber = yield* producer.deliveries.pipe(
        Stream.runForEach(({ correlation }) =>
          correlation! < 100 ? producer.send(line("again"), { correlation: correlation! + 100 }) : Effect.void
        ),
        Effect.fork
      )
      const others = yield* Effect.fork(
        Effect.forEach(count(20), (value, i) => producer.enqueue(line(value), { correlation: i }), {
          concurrency: "unbounded"
        })
      )
      yield* Fiber.join(others)
      yield* close
      yield* Fiber.join(fiber)
      const stored = yield* values()
      assert.sameMembers([...stored], [...count(20), ...count(20).map(() => "again")])
    }))
  })

  it("does not hold up a close past its bound, by one that hangs, or at all by one that is gone", () => {
    play(capturingErrors((errors) =>
      Effect.gen(function*() {
        for (const [leaves, least, most] of [[false, 5000, 5100], [true, 0, 1000]] as const) {
          const { close, producer } = yield* open({ deliveries: { closeTimeout: "5 seconds" } })
          const fiber = yield* Effect.fork(Stream.runForEach(producer.deliveries, () => Effect.never))
          yield* producer.send(line("0"))
          yield* producer.send(line("1"))
          yield* Effect.sleep("1 second")
          if (leaves) yield* Fiber.interrupt(fiber)
          const start = yield* Clock.currentTimeMillis
          yield* close
          const elapsed = (yield* Clock.currentTimeMillis) - start
          assert.isAtLeast(elapsed, least)
          assert.isAtMost(elapsed, most)
          assert.deepStrictEqual(
            errors.splice(0),
            [`producer closing: ${leaves ? 1 : 2} reports were not handled in time`]
          )
          if (leaves) assert.lengthOf(Chunk.toReadonlyArray(yield* Stream.runCollect(producer.deliveries)), 1)
          yield* Fiber.interrupt(fiber)
        }
      })
    ))
  })

  it("waits at the close for a subscriber that is about to come", () => {
    play(Effect.gen(function*() {
      const { close, producer } = yield* open({ deliveries: {} })
      for (const id of [0, 1, 2]) yield* producer.send(line("v"), { correlation: id })
      const late = yield* Effect.fork(Effect.delay(Stream.runCollect(producer.deliveries), "2 seconds"))
      yield* close
      assert.deepStrictEqual(correlations(yield* Fiber.join(late)), [0, 1, 2])
    }))
  })

  it("cannot be had beside onDelivery, and its settings are checked", () => {
    play(Effect.gen(function*() {
      const handler = () => Effect.void
      for (
        const [options, problem] of [
          [{ deliveries: {}, onDelivery: { handler } }, /deliveries cannot be had beside onDelivery/],
          [{ deliveries: { maxPending: 0 } }, /deliveries\.maxPending must be a whole number at least 1/],
          [{ deliveries: { closeTimeout: -1 } }, /deliveries\.closeTimeout must be at least/]
        ] as ReadonlyArray<readonly [Producer.ReportingOptions, RegExp]>
      ) {
        const error = yield* Effect.flip(Producer.make(options))
        assert.strictEqual(error.reason._tag, "InvalidArgument")
        assert.match(error.message, problem)
      }
    }))
  })
})
