import { assert, describe, it } from "@effect/vitest"
import { Fibers } from "@sluice/kafka/internal/fiber"
import * as Kafka from "@sluice/kafka/Kafka"
import * as Producer from "@sluice/kafka/Producer"
import * as Serde from "@sluice/kafka/Serde"
import * as Topic from "@sluice/kafka/Topic"
import { MemoryCluster } from "@sluice/testing/MemoryCluster"
import { Effect, Exit, Fiber, FiberId, Scheduler, Stream, TestClock } from "effect"

import { memory } from "../support/memory.ts"
import { count, line, values } from "./lines.ts"
import { rememberingTracer } from "./spans.ts"
import { wired, Wires, written } from "./wire.ts"

/**
 * Interrupts it just before its fiber's step `step`, and says how it ended; done if it has no such step.
 */
const interruptAt = <A, E, R>(self: Effect.Effect<A, E, R>, step: number) =>
  Effect.gen(function*() {
    let steps = 0
    let target: Fiber.RuntimeFiber<unknown, unknown> | undefined
    const scheduler = Scheduler.make(
      (task, priority, fiber) => Scheduler.defaultScheduler.scheduleTask(task, priority, fiber),
      (fiber) => {
        target ??= fiber
        if (fiber !== target || steps++ !== step) return false
        fiber.unsafeInterruptAsFork(FiberId.none)
        return 0
      }
    )
    const exit = yield* Effect.flatMap(Effect.fork(Effect.withScheduler(self, scheduler)), Fiber.await)
    return { isInterrupted: Exit.isInterrupted(exit), isDone: steps <= step }
  })

/** Interrupts it at each of its steps, one run after the other; gives the number of runs. */
const interruptEverywhere = <A, E, R, B, E2, R2>(
  prepare: (run: number) => Effect.Effect<Effect.Effect<A, E, R>, E2, R2>,
  check: (run: number, isInterrupted: boolean) => Effect.Effect<B, E2, R2>
) =>
  Effect.gen(function*() {
    for (let run = 0;; run++) {
      const { isDone, isInterrupted } = yield* interruptAt(yield* prepare(run), run)
      yield* check(run, isInterrupted)
      if (isDone) {
        assert.isFalse(isInterrupted)
        assert.isAbove(run, 10)
        return run
      }
    }
  })

const record = (topic: string, value: string) =>
  Topic.make(topic, { key: Serde.string, value: Serde.string }).record({ value })

describe("an interruption, wherever it comes,", () => {
  it.effect("of a refresh of the metadata ends no other", () =>
    Effect.gen(function*() {
      const { cluster } = yield* Kafka.Kafka
      yield* interruptEverywhere(() => Effect.succeed(cluster.refresh), () => cluster.refresh)
    }).pipe(Effect.provide(memory())))

  it.effect("of a look-up of a topic ends no other", () =>
    Effect.gen(function*() {
      const memory = yield* MemoryCluster
      const { cluster } = yield* Kafka.Kafka
      yield* interruptEverywhere(
        (run) => Effect.as(memory.createTopic(`t${run}`), cluster.topic(`t${run}`)),
        (run) => cluster.topic(`t${run}`)
      )
    }).pipe(Effect.provide(memory())))

  it.effect("of a send leaves its record delivered once, or not at all", () =>
    Effect.gen(function*() {
      const memory = yield* MemoryCluster
      const producer = yield* Producer.make()
      let delivered = 0
      const runs = yield* interruptEverywhere(
        (run) => Effect.as(memory.createTopic(`t${run}`), producer.send(record(`t${run}`, "first"))),
        (run, isInterrupted) =>
          Effect.gen(function*() {
            yield* producer.send(record(`t${run}`, "second"))
            const stored = yield* values(0, `t${run}`)
            assert.deepStrictEqual(stored, stored.length === 2 ? ["first", "second"] : ["second"])
            assert.isTrue(isInterrupted || stored.length === 2)
            delivered += stored.length - 1
          })
      )
      assert.isTrue(delivered > 1 && delivered < runs)
    }).pipe(Effect.scoped, Effect.provide(memory())))

  it.effect("of a send that waits for room either withdraws its record, or it is delivered and its span says so", () =>
    Effect.gen(function*() {
      const memory = yield* MemoryCluster
      const { spans, tracer } = rememberingTracer()
      const producer = yield* Producer.make({ bufferBytes: 300, batchBytes: 300, maxRecordBytes: 300 })
      yield* producer.send(line("0"))
      let stored = 1
      let withdrawn = 0
      yield* interruptEverywhere(
        () =>
          Effect.gen(function*() {
            yield* memory.pauseBroker(1)
            yield* producer.enqueue(line("fills it".padEnd(200)))
            spans.length = 0
            const resume = Effect.zipRight(
              Effect.forEach(count(30), () => Effect.yieldNow(), { discard: true }),
              memory.resumeBroker(1)
            )
            yield* Effect.forkDaemon(resume)
            return producer.send(line("waits".padEnd(150))).pipe(Effect.withTracer(tracer))
          }),
        () =>
          Effect.gen(function*() {
            yield* memory.resumeBroker(1)
            yield* producer.send(line("last"))
            const { length } = yield* values()
            const isDelivered = length - stored === 3
            stored = length
            if (!isDelivered) withdrawn++
            assert.isTrue(spans.length === 1 || !isDelivered)
            for (const { ends } of spans) {
              assert.deepStrictEqual(ends.map(({ _tag }) => _tag), [isDelivered ? "Success" : "Failure"])
            }
          })
      )
      assert.isAbove(withdrawn, 5)
    }).pipe(Effect.scoped, Effect.provide(memory({ topics: { lines: 1 } }))))

  for (const way of ["sendAll", "sink"] as const) {
    it.effect(`of a ${way} withdraws what was not accepted, and frees all room`, () =>
      Effect.gen(function*() {
        const producer = yield* Producer.make({ bufferBytes: 300, batchBytes: 300, maxRecordBytes: 300 })
        const records = count(5).map((value) => line(value.padEnd(100)))
        let before = 0
        yield* interruptEverywhere(
          () =>
            Effect.map(values(), ({ length }) => {
              before = length
              const send: Effect.Effect<unknown, unknown> = way === "sendAll"
                ? producer.sendAll(records)
                : Stream.run(Stream.fromIterable(records), producer.sink)
              return send
            }),
          () =>
            Effect.gen(function*() {
              yield* producer.send(line("x".repeat(200)))
              const stored = (yield* values()).slice(before, -1)
              assert.deepStrictEqual(stored, count(stored.length).map((value) => value.padEnd(100)))
            })
        )
      }).pipe(Effect.scoped, Effect.provide(memory({ topics: { lines: 1 } }))))
  }

  it.effect("of a send whose serializers are effects leaves its record delivered once, or not at all, and ends them", () =>
    Effect.gen(function*() {
      let running = 0
      const yielding = Serde.makeEffect<string>({
        serialize: (value, topic) =>
          Effect.acquireUseRelease(
            Effect.sync(() => running++),
            () => Effect.as(Effect.yieldNow(), Serde.string.serialize(value, topic)),
            () => Effect.sync(() => running--)
          ),
        deserialize: () => Effect.succeed("")
      })
      const Lines = Topic.make("lines", { key: yielding, value: yielding })
      const producer = yield* Producer.make()
      yield* producer.send(line("0"))
      let stored = 1
      let delivered = 0
      const runs = yield* interruptEverywhere(
        () => Effect.succeed(producer.send(Lines.record({ key: "key", value: "interrupted" }))),
        (_, isInterrupted) =>
          Effect.gen(function*() {
            yield* producer.send(Lines.record({ key: "key", value: "last" }))
            const { length } = yield* values()
            const isDelivered = length - stored === 2
            assert.isTrue(isDelivered || (isInterrupted && length - stored === 1))
            stored = length
            if (isDelivered) delivered++
            assert.strictEqual(running, 0)
            assert.strictEqual((yield* producer.health.get).waitingSenders, 0)
          })
      )
      assert.isTrue(delivered > 1 && delivered < runs)
    }).pipe(Effect.scoped, Effect.provide(memory({ topics: { lines: 1 } }))))

  it.effect("of a subscriber of deliveries gives no report twice, and leaves its place to the next", () =>
    Effect.gen(function*() {
      const producer = yield* Producer.make<number>({ deliveries: { maxPending: 2 } })
      const given: Array<number | undefined> = []
      const take = Stream.runForEach(
        Stream.take(producer.deliveries, 2),
        ({ correlation }) => Effect.sync(() => given.push(correlation))
      )
      let last = 0
      let left = 0
      yield* interruptEverywhere(
        () =>
          Effect.gen(function*() {
            given.length = 0
            for (let i = 0; i < 2; i++) yield* producer.send(line("x"), { correlation: last++ })
            return Effect.orDie(take)
          }),
        () =>
          Effect.gen(function*() {
            const { unhandledReports } = yield* producer.health.get
            assert.isTrue(unhandledReports === 2 ? given.length === 0 : unhandledReports === 0)
            if (unhandledReports > 0) {
              left++
              yield* Effect.orDie(take)
            }
            assert.deepStrictEqual(given, given.map((_, i) => last - 2 + i))
            assert.strictEqual((yield* producer.health.get).unhandledReports, 0)
          })
      )
      assert.isAbove(left, 5)
    }).pipe(Effect.scoped, Effect.provide(memory({ topics: { lines: 1 } }))))

  it.effect("of a flush leaves nothing flushing", () =>
    Effect.gen(function*() {
      const wire = yield* Wires
      const producer = yield* Producer.make({ linger: "1 minute" })
      for (let step = 0; step < 10; step++) {
        yield* producer.enqueue(line("x"))
        yield* interruptAt(producer.flush, step)
        yield* producer.flush
      }
      const batches = written(wire).length
      yield* producer.enqueue(line("lingers"))
      yield* TestClock.adjust("59 seconds")
      assert.lengthOf(written(wire), batches)
      yield* TestClock.adjust("1 second")
      assert.lengthOf(written(wire), batches + 1)
    }).pipe(Effect.scoped, Effect.provide(wired({ topics: { lines: 1 } }))))

  it.effect("of a producer's making leaves nothing open", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      yield* interruptEverywhere(
        () =>
          Effect.succeed(
            Effect.scoped(Producer.make({ onDelivery: { handler: () => Effect.void, concurrency: 2 } }))
          ),
        () =>
          Effect.map(cluster.connections, (connections) =>
            assert.isAtMost(connections, 1, "the client's own, for metadata"))
      )
    }).pipe(Effect.provide(memory())))

  it.effect("of a fork leaves no fiber that is not known", () =>
    Effect.gen(function*() {
      for (let step = 0; step < 60; step++) {
        let running = 0
        const fibers = new Fibers()
        const body = Effect.acquireUseRelease(
          Effect.sync(() => running++),
          () => Effect.never,
          () => Effect.sync(() => running--)
        )
        yield* interruptAt(Effect.forEach(count(3), () => fibers.fork(body)), step)
        yield* TestClock.adjust(0)
        assert.strictEqual(fibers.size, running)
        yield* fibers.interruptAll("1 second")
        assert.strictEqual(running, 0)
      }
    }))
})

describe("Fibers", () => {
  it.effect("ends those too that are started while it ends the others", () =>
    Effect.gen(function*() {
      const fibers = new Fibers()
      let ended = 0
      const late = Effect.ensuring(Effect.never, Effect.sync(() => ended++))
      yield* fibers.fork(Effect.onInterrupt(Effect.never, () => fibers.fork(late)))
      yield* TestClock.adjust(0)
      yield* fibers.interruptAll("1 second")
      assert.strictEqual(fibers.size, 0)
    }))

  it.effect("gives up on one that cannot be interrupted", () =>
    Effect.gen(function*() {
      const fibers = new Fibers()
      yield* fibers.fork(Effect.uninterruptible(Effect.sleep("1 minute")))
      const fiber = yield* Effect.fork(Effect.uninterruptible(fibers.interruptAll("1 second")))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(fiber)
      assert.strictEqual(fibers.size, 1)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(fibers.size, 0)
    }))
})
