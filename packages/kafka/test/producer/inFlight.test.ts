/** Several batches of a partition in flight, and how often and how long each is tried. */
import { assert, describe, it } from "@effect/vitest"
import * as Producer from "@sluice/kafka/Producer"
import * as Fault from "@sluice/testing/Fault"
import { MemoryCluster } from "@sluice/testing/MemoryCluster"
import { Effect, Fiber, TestClock } from "effect"

import { count, line, values } from "./lines.ts"
import { answerFirst, produceAnswer, wired, Wires, written } from "./wire.ts"

const oneTopic = { topics: { lines: 1 } }

/** Batches of one record each, while the broker answers none. */
const held = (options: Producer.ProducerOptions) =>
  Effect.gen(function*() {
    const cluster = yield* MemoryCluster
    const wire = yield* Wires
    const producer = yield* Producer.make({ batchRecords: 1, ...options })
    yield* producer.send(line("first"))
    yield* cluster.pauseBroker(1)
    const fiber = yield* Effect.fork(producer.sendAll(count(10).map((value) => line(value))))
    yield* TestClock.adjust("1 second")
    const inFlight = written(wire).length - 1
    yield* cluster.resumeBroker(1)
    yield* TestClock.adjust("1 second")
    yield* Fiber.join(fiber)
    assert.deepStrictEqual(yield* values(), ["first", ...count(10)])
    return inFlight
  })

describe("batches in flight", () => {
  it.effect("are five of a partition by default", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* held({}), 5)
    }).pipe(Effect.scoped, Effect.provide(wired(oneTopic))))

  it.effect("are as many as `maxInFlight`", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* held({ maxInFlight: 2 }), 2)
    }).pipe(Effect.scoped, Effect.provide(wired(oneTopic))))

  it.effect("are one without idempotence", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* held({ idempotent: false }), 1)
    }).pipe(Effect.scoped, Effect.provide(wired(oneTopic))))

  it.effect("are one until the leader has acknowledged one: it would take the second one before the first", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const wire = yield* Wires
      const producer = yield* Producer.make({ batchRecords: 1 })
      yield* cluster.pauseBroker(1)
      const fiber = yield* Effect.fork(producer.sendAll(count(10).map((value) => line(value))))
      yield* TestClock.adjust("1 second")
      assert.isAtMost(written(wire).length, 1)
      yield* cluster.resumeBroker(1)
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(yield* values(), count(10))
    }).pipe(Effect.scoped, Effect.provide(wired(oneTopic))))

  it.effect("keep their order when the first of them is refused: the others follow it again, with their sequences", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const wire = yield* Wires
      const making = yield* Effect.fork(Producer.make({ batchRecords: 1 }))
      yield* TestClock.adjust("1 second")
      const producer = yield* Fiber.join(making)
      const first = yield* Effect.fork(producer.send(line("first")))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(first)
      yield* cluster.inject(Fault.refuse({ api: "Produce", times: 1 }, "NotEnoughReplicas"))
      const fiber = yield* Effect.fork(producer.sendAll(count(8).map((value) => line(value))))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(yield* values(), ["first", ...count(8)])
      const sequences = new Map<number, number>()
      for (const { epoch, sequence } of written(wire)) {
        assert.strictEqual(epoch, 0)
        sequences.set(sequence, (sequences.get(sequence) ?? 0) + 1)
      }
      assert.strictEqual(sequences.get(1), 2)
      assert.isAbove(sequences.get(2)!, 1)
      assert.strictEqual(sequences.size, 9)
    }).pipe(Effect.scoped, Effect.provide(wired({ ...oneTopic, latency: 10 }))))

  it.effect("go on in a new epoch behind one that failed for good", () =>
    Effect.gen(function*() {
      const wire = yield* Wires
      const producer = yield* Producer.make({ batchRecords: 1 })
      yield* producer.send(line("first"))
      answerFirst(wire, "Produce", (request) => produceAnswer(request, () => 87))
      const fiber = yield* Effect.fork(Effect.flip(producer.sendAll(count(8).map((value) => line(value)))))
      yield* TestClock.adjust("1 second")
      const { results } = yield* Fiber.join(fiber)
      assert.deepStrictEqual(results.map(({ _tag }) => _tag), [
        "Failed",
        ...Array.from({ length: 7 }, () => "Acknowledged")
      ])
      assert.deepStrictEqual(yield* values(), ["first", ...count(8).slice(1)])
      assert.strictEqual(written(wire).at(-1)!.epoch, 1)
    }).pipe(Effect.scoped, Effect.provide(wired(oneTopic))))
})

describe("retries", () => {
  it.effect("are not used up by the failure of another batch", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const making = yield* Effect.fork(Producer.make({ batchRecords: 1, retries: 0 }))
      yield* TestClock.adjust("1 second")
      const producer = yield* Fiber.join(making)
      const first = yield* Effect.fork(producer.send(line("first")))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(first)
      yield* cluster.inject(Fault.refuse({ api: "Produce", times: 1 }, "InvalidRecord"))
      const fiber = yield* Effect.fork(Effect.flip(producer.sendAll(count(8).map((value) => line(value)))))
      yield* TestClock.adjust("1 second")
      const { results } = yield* Fiber.join(fiber)
      assert.deepStrictEqual(
        results.map((result) => result._tag === "Failed" ? result.error.reason._tag : result._tag),
        ["InvalidRecord", ...count(7).map(() => "Acknowledged")]
      )
      assert.deepStrictEqual(yield* values(), ["first", ...count(8).slice(1)])
    }).pipe(Effect.scoped, Effect.provide(wired({ ...oneTopic, latency: 10 }))))

  for (const [retries, attempts] of [[0, 1], [3, 4]] as const) {
    it.effect(`end after ${retries}`, () =>
      Effect.gen(function*() {
        const wire = yield* Wires
        const producer = yield* Producer.make({ retries })
        wire.answer = (request) => request.api === "Produce" ? produceAnswer(request, () => 19) : undefined
        const fiber = yield* Effect.fork(Effect.flip(producer.send(line("refused"))))
        yield* TestClock.adjust("10 seconds")
        const error = yield* Fiber.join(fiber)
        assert.deepInclude(error, { _tag: "RetriableError", persisted: "no" })
        assert.strictEqual(error.reason._tag, "NotEnoughReplicas")
        assert.lengthOf(written(wire), attempts)
      }).pipe(Effect.scoped, Effect.provide(wired(oneTopic))))
  }
})

describe("ackTimeout", () => {
  it.effect("is what the broker is told, by default ten seconds", () =>
    Effect.gen(function*() {
      const wire = yield* Wires
      const timeouts = () =>
        wire.requests.filter(({ api }) => api === "Produce").map(({ body }) =>
          (body as { timeoutMs: number }).timeoutMs
        )
      yield* Effect.flatMap(Producer.make(), (producer) => producer.send(line("a")))
      yield* Effect.flatMap(Producer.make({ ackTimeout: "3 seconds" }), (producer) => producer.send(line("b")))
      assert.deepStrictEqual(timeouts(), [10_000, 3000])
    }).pipe(Effect.scoped, Effect.provide(wired(oneTopic))))
})
