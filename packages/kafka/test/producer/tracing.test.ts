import { assert, describe, it } from "@effect/vitest"
import { parseTraceparent } from "@sluice/kafka/internal/kernel/traceContext"
import * as Producer from "@sluice/kafka/Producer"
import { MemoryCluster } from "@sluice/testing/MemoryCluster"
import { Context, Effect, Exit, Fiber, Option, Stream, TestClock, Tracer } from "effect"

import { memory } from "../support/memory.ts"
import { count, line } from "./lines.ts"
import { rememberingTracer } from "./spans.ts"
import { wired, Wires } from "./wire.ts"

const oneTopic = { topics: { lines: 1 } }
const settle = TestClock.adjust(0)

const decoder = new TextDecoder()
const storedHeaders = Effect.map(
  Effect.flatMap(MemoryCluster, (cluster) => cluster.records("lines")),
  (records) => records.map(({ headers }) => headers.map(({ key, value }) => [key, decoder.decode(value!)] as const))
)

describe("tracing", () => {
  it.effect("makes one span for each record, with its context in the record", () =>
    Effect.gen(function*() {
      const { producing, tracer } = rememberingTracer()
      const producer = yield* Producer.make()
      yield* Effect.gen(function*() {
        yield* producer.send(line("a", { key: "key" }))
        yield* producer.sendAll([line("b"), line("c", { headers: [{ key: "own", value: "1" }] })])
        yield* Effect.flatten(producer.enqueue(line("d")))
        yield* Stream.run(Stream.make(line("e")), producer.sink)
      }).pipe(Effect.withSpan("caller"), Effect.withTracer(tracer))
      const spans = producing()
      assert.lengthOf(spans, 5)
      for (const [i, span] of spans.entries()) {
        assert.strictEqual(span.name, "send lines")
        assert.strictEqual(Option.getOrThrow(span.parent).spanId, "0".repeat(15) + "1")
        assert.deepStrictEqual(Object.fromEntries(span.attributes), {
          "messaging.system.name": "kafka",
          "messaging.operation.name": "send",
          "messaging.operation.type": "send",
          "messaging.destination.name": "lines",
          "messaging.destination.partition.id": "0",
          "messaging.client.id": "test",
          "kafka.offset": i,
          ...(i === 0 ? { "kafka.message.key": "key" } : {})
        })
        assert.deepStrictEqual(span.ends, [Exit.void])
      }
      const headers = yield* storedHeaders
      for (const [i, span] of spans.entries()) {
        const [key, value] = headers[i]!.at(-1)!
        assert.strictEqual(key, "traceparent")
        assert.deepStrictEqual(parseTraceparent(value), { traceId: span.traceId, spanId: span.spanId, sampled: true })
      }
      assert.deepStrictEqual(headers[2]![0], ["own", "1"])
    }).pipe(Effect.scoped, Effect.provide(memory(oneTopic))))

  it.effect("leaves a record's own context as it is", () =>
    Effect.gen(function*() {
      const { producing, tracer } = rememberingTracer()
      const producer = yield* Producer.make()
      const own = `00-${"b".repeat(32)}-${"c".repeat(16)}-01`
      yield* producer.send(line("a", { headers: [{ key: "traceparent", value: own }] })).pipe(Effect.withTracer(tracer))
      assert.deepStrictEqual(yield* storedHeaders, [[["traceparent", own]]])
      assert.lengthOf(producing(), 1)
      assert.lengthOf(producing()[0]!.ends, 1)
    }).pipe(Effect.scoped, Effect.provide(memory(oneTopic))))

  it.effect("costs nothing without a tracer: no span, no header", () =>
    Effect.gen(function*() {
      const { spans, tracer } = rememberingTracer()
      const producer = yield* Producer.make()
      yield* Effect.withSpan(producer.send(line("a")), "Effect's own tracer")
      yield* producer.send(line("b")).pipe(Effect.withTracerEnabled(false), Effect.withTracer(tracer))
      assert.deepStrictEqual(yield* storedHeaders, [[], []])
      assert.lengthOf(spans, 0)
    }).pipe(Effect.scoped, Effect.provide(memory(oneTopic))))

  it.effect("ends the span of a record that fails, with its error", () =>
    Effect.gen(function*() {
      const { producing, tracer } = rememberingTracer()
      const cluster = yield* MemoryCluster
      const producer = yield* Producer.make({ deliveryTimeout: "1 second", maxRecordBytes: 1000 })
      yield* producer.send(line("0"))
      yield* cluster.pauseBroker(1)
      const fiber = yield* Effect.fork(Effect.flip(producer.send(line("a"))).pipe(Effect.withTracer(tracer)))
      yield* TestClock.adjust("1 second")
      const error = yield* Fiber.join(fiber)
      const [span] = producing()
      assert.deepStrictEqual(span!.ends, [Exit.fail(error)])
      assert.strictEqual(span!.attributes.get("error.type"), "DeliveryTimeout")
      yield* cluster.resumeBroker(1)
      yield* settle
      assert.lengthOf(span!.ends, 1)
      yield* Effect.flip(producer.send(line("b", { partition: 9 }))).pipe(Effect.withTracer(tracer))
      assert.strictEqual(producing()[1]!.attributes.get("error.type"), "UNKNOWN_TOPIC_OR_PARTITION")
      assert.lengthOf(producing()[1]!.ends, 1)
    }).pipe(Effect.scoped, Effect.provide(memory(oneTopic))))

  it.effect("ends the span of a record that is withdrawn, or refused at close", () =>
    Effect.gen(function*() {
      const { producing, tracer } = rememberingTracer()
      const cluster = yield* MemoryCluster
      yield* Effect.gen(function*() {
        const producer = yield* Producer.make({ bufferBytes: 300, batchBytes: 300, maxRecordBytes: 300 })
        yield* producer.send(line("0")).pipe(Effect.withTracerEnabled(false))
        yield* cluster.pauseBroker(1)
        yield* producer.enqueue(line("accepted".padEnd(150)))
        const withdrawn = yield* Effect.fork(producer.send(line("withdrawn".padEnd(150))))
        yield* Effect.fork(producer.send(line("refused".padEnd(150))))
        yield* settle
        yield* Fiber.interrupt(withdrawn)
        yield* Effect.fork(Effect.zipRight(settle, cluster.resumeBroker(1)))
      }).pipe(Effect.scoped, Effect.withTracer(tracer))
      const [accepted, withdrawn, refused] = producing()
      assert.deepStrictEqual(accepted!.ends, [Exit.void])
      assert.lengthOf(withdrawn!.ends, 1)
      assert.isTrue(Exit.isInterrupted(withdrawn!.ends[0]!))
      assert.lengthOf(refused!.ends, 1)
      assert.strictEqual(refused!.attributes.get("error.type"), "Closed")
    }).pipe(Effect.provide(memory(oneTopic))))

  it.effect("ends a span once if the sender is interrupted just when its record is accepted", () =>
    Effect.gen(function*() {
      const { producing, tracer } = rememberingTracer()
      const producer = yield* Producer.make({ bufferBytes: 300, batchBytes: 300, maxRecordBytes: 300 })
      yield* producer.send(line("0")).pipe(Effect.withTracerEnabled(false))
      const fibers = yield* Effect.forEach(
        count(60),
        (value) => Effect.fork(producer.send(line(value.padEnd(150)))).pipe(Effect.withTracer(tracer))
      )
      for (const [i, fiber] of fibers.entries()) {
        yield* Effect.forEach(count(i % 13), () => Effect.yieldNow(), { discard: true })
        yield* Fiber.interruptFork(fiber)
      }
      yield* settle
      yield* producer.flush
      for (const span of producing()) assert.lengthOf(span.ends, 1)
      const stored = new Set((yield* storedHeaders).flat().map(([, value]) => parseTraceparent(value)!.spanId))
      for (const span of producing()) {
        assert.strictEqual(Exit.isSuccess(span.ends[0]!), stored.has(span.spanId))
      }
    }).pipe(Effect.scoped, Effect.provide(memory(oneTopic))))

  it.effect("does not harm a record by a tracer that throws", () =>
    Effect.gen(function*() {
      const fail = () => {
        throw new Error("from the tracer")
      }
      const starting = Tracer.make({ span: fail, context: (execution) => execution() })
      const producer = yield* Producer.make()
      for (const tracer of [starting, rememberingTracer(fail).tracer]) {
        const places = yield* producer.sendAll(count(3).map((value) => line(value))).pipe(Effect.withTracer(tracer))
        assert.lengthOf(places, 3)
      }
      assert.strictEqual((yield* producer.send(line("after"))).offset, 6n)
    }).pipe(Effect.scoped, Effect.provide(memory(oneTopic))))

  it.effect("gives the maker's span to no fiber of the engine", () =>
    Effect.gen(function*() {
      const { spans, tracer } = rememberingTracer()
      const parents: Array<Option.Option<Tracer.AnySpan>> = []
      const parent = Effect.map(Effect.context<never>(), (context) =>
        Context.getOption(context as Context.Context<Tracer.ParentSpan>, Tracer.ParentSpan))
      const producer = yield* Producer.make({
        onDelivery: {
          handler: () =>
            Effect.map(parent, (span) => parents.push(span))
        }
      }).pipe(Effect.withSpan("maker"), Effect.withTracer(tracer))
      yield* producer.send(line("a")).pipe(Effect.withSpan("caller"), Effect.withTracer(tracer))
      yield* settle
      assert.deepStrictEqual(parents.map(Option.isNone), [true])
      assert.deepStrictEqual(spans.map(({ name }) => name), ["maker", "caller", "send lines"])
      const wire = yield* Wires
      assert.isNotEmpty(wire.spans)
      assert.deepStrictEqual(wire.spans.filter(({ api, span }) => span !== undefined && api !== "InitProducerId"), [])
    }).pipe(Effect.scoped, Effect.provide(wired(oneTopic))))
})
