/** Spans of consumed records. */
import { assert, describe, it } from "@effect/vitest"
import { Consumer, KafkaError, Producer } from "@sluice/kafka"
import type { Context } from "effect"
import { Deferred, Effect, Exit, Option, Stream, Tracer } from "effect"

import { inWorld, member, type NumberRecord, Numbers, passing, passUntil, range, write } from "./world.ts"

/** A span that remembers what it was told. */
class TestSpan implements Tracer.Span {
  readonly _tag = "Span"
  readonly spanId = `${spans++}`.padStart(16, "a")
  readonly traceId: string
  readonly sampled: boolean
  readonly attributes = new Map<string, unknown>()
  readonly ends: Array<Exit.Exit<unknown, unknown>> = []
  readonly links: Array<Tracer.SpanLink>
  readonly name: string
  readonly parent: Option.Option<Tracer.AnySpan>
  readonly context: Context.Context<never>
  readonly kind: Tracer.SpanKind
  status: Tracer.SpanStatus

  constructor(
    name: string,
    parent: Option.Option<Tracer.AnySpan>,
    context: Context.Context<never>,
    links: ReadonlyArray<Tracer.SpanLink>,
    startTime: bigint,
    kind: Tracer.SpanKind
  ) {
    this.name = name
    this.parent = parent
    this.context = context
    this.links = [...links]
    this.kind = kind
    this.status = { _tag: "Started", startTime }
    this.traceId = Option.match(parent, { onNone: () => "f".repeat(32), onSome: ({ traceId }) => traceId })
    this.sampled = Option.match(parent, { onNone: () => true, onSome: ({ sampled }) => sampled })
  }

  end(endTime: bigint, exit: Exit.Exit<unknown, unknown>): void {
    this.ends.push(exit)
    this.status = { _tag: "Ended", startTime: this.status.startTime, endTime, exit }
  }
  attribute(key: string, value: unknown): void {
    this.attributes.set(key, value)
  }
  event(): void {}
  addLinks(links: ReadonlyArray<Tracer.SpanLink>): void {
    for (const link of links) this.links.push(link)
  }
}
let spans = 0

const testTracer = () => {
  const made: Array<TestSpan> = []
  const tracer = Tracer.make({
    span: (name, parent, context, links, startTime, kind) => {
      const span = new TestSpan(name, parent, context as Context.Context<never>, links, startTime, kind)
      made.push(span)
      return span
    },
    context: (self) => self()
  })
  return { made, tracer, named: (name: string) => made.filter((span) => span.name === name) }
}

const trace = "0af7651916cd43dd8448eb211c80319c"
const span = (n: number) => `${n}`.padStart(16, "b")

/** Records as another application has written them: with a trace of their own, if one is given. */
const writeTraced = (
  values: Iterable<number>,
  flags?: (value: number) => string | undefined,
  key: string | null = null
) =>
  Producer.make({ linger: 1 }).pipe(
    Effect.flatMap((producer) =>
      producer.sendAll(Array.from(values, (value) => {
        const flag = flags?.(value)
        return Numbers.record({
          key,
          value: String(value),
          partition: 0,
          headers: flag === undefined ? [] : [{ key: "traceparent", value: `00-${trace}-${span(value)}-${flag}` }]
        })
      }))
    ),
    Effect.scoped,
    passing,
    Effect.orDie
  )

const idsOf = (links: ReadonlyArray<Tracer.SpanLink>) => links.map((link) => link.span.spanId)

const runTraced = <E>(
  tracer: Tracer.Tracer,
  handler: (record: NumberRecord) => Effect.Effect<unknown, E>
) =>
  Effect.gen(function*() {
    const { consumer } = yield* member()
    return yield* Effect.fork(consumer.run(handler).pipe(Effect.withTracer(tracer)))
  })

describe("run", () => {
  it.effect("makes a consumer span for each record, in the trace of the span that produced it, and linked to it", () =>
    Effect.gen(function*() {
      const { made, named, tracer } = testTracer()
      yield* writeTraced([1, 2], () => "01", "the key")
      const inside: Array<string> = []
      yield* runTraced(tracer, () => Effect.map(Effect.orDie(Effect.currentSpan), ({ spanId }) => inside.push(spanId)))
      yield* passUntil("both", () => inside.length === 2)
      assert.lengthOf(made, 2)
      const processed = named("process numbers")
      assert.deepStrictEqual(inside, processed.map(({ spanId }) => spanId))
      for (const [i, each] of processed.entries()) {
        assert.strictEqual(each.kind, "consumer")
        assert.strictEqual(each.traceId, trace)
        assert.deepStrictEqual(
          Option.map(each.parent, ({ _tag, spanId }) => [_tag, spanId]),
          Option.some(["ExternalSpan", span(i + 1)])
        )
        assert.deepStrictEqual(idsOf(each.links), [span(i + 1)])
        assert.deepStrictEqual(each.ends, [Exit.succeed(i + 1)])
        assert.deepStrictEqual(Object.fromEntries(each.attributes), {
          "messaging.system.name": "kafka",
          "messaging.operation.name": "process",
          "messaging.operation.type": "process",
          "messaging.destination.name": "numbers",
          "messaging.destination.partition.id": "0",
          "messaging.consumer.group.name": "group",
          "messaging.client.id": "test",
          "kafka.offset": i,
          "kafka.message.key": "the key"
        })
      }
    }).pipe(inWorld({ topics: { numbers: 1 } })))

  it.effect("links the span around it, which is the parent of a record without a trace", () =>
    Effect.gen(function*() {
      const { named, tracer } = testTracer()
      yield* writeTraced([1, 2], (value) => value === 1 ? "01" : undefined)
      const { consumer } = yield* member()
      yield* Effect.fork(consumer.run(() => Effect.void).pipe(Effect.withSpan("worker"), Effect.withTracer(tracer)))
      yield* passUntil("both", () => named("process numbers").length === 2)
      const [worker] = named("worker")
      const [traced, untraced] = named("process numbers")
      assert.deepStrictEqual(idsOf(traced!.links), [span(1), worker!.spanId])
      assert.deepStrictEqual(untraced!.links, [])
      assert.strictEqual(Option.getOrUndefined(untraced!.parent)?.spanId, worker!.spanId)
    }).pipe(inWorld({ topics: { numbers: 1 } })))

  it.effect("keeps what is not sampled unsampled, and passes over what is no traceparent", () =>
    Effect.gen(function*() {
      const { named, tracer } = testTracer()
      yield* writeTraced([1, 2, 3], (value) => ["00", "01", "zz"][value - 1])
      yield* runTraced(tracer, () => Effect.void)
      yield* passUntil("all", () => named("process numbers").length === 3)
      const parents = named("process numbers").map(({ parent }) => Option.map(parent, ({ sampled }) => sampled))
      assert.deepStrictEqual(parents.map(Option.getOrNull), [false, true, null])
    }).pipe(inWorld({ topics: { numbers: 1 } })))

  it.effect.each(
    [
      ["a tagged error", () => Effect.fail({ _tag: "NoFunds" }), "NoFunds"],
      ["an error of the protocol", () =>
        Effect.fail(
          new KafkaError.RetriableError({
            reason: { _tag: "NotEnoughReplicas", code: 19 },
            scope: "partition",
            message: "few"
          })
        ), "NOT_ENOUGH_REPLICAS"],
      ["a defect", () => Effect.die(new TypeError("boom")), "TypeError"],
      ["something else", () => Effect.fail("no luck"), "_OTHER"]
    ] as const
  )("says what a handler failed with: %s", ([, fail, type]) =>
    Effect.gen(function*() {
      const { made, tracer } = testTracer()
      yield* writeTraced([1])
      const { consumer } = yield* member()
      const exit = yield* passing(
        Effect.exit(consumer.run(fail as () => Effect.Effect<never, unknown>).pipe(Effect.withTracer(tracer)))
      )
      assert.isTrue(Exit.isFailure(exit))
      assert.strictEqual(made[0]!.attributes.get("error.type"), type)
      assert.lengthOf(made[0]!.ends, 1)
      assert.isTrue(Exit.isFailure(made[0]!.ends[0]!))
    }).pipe(inWorld({ topics: { numbers: 1 } })))

  it.effect("ends the span of a handler that is interrupted", () =>
    Effect.gen(function*() {
      const { made, tracer } = testTracer()
      yield* writeTraced([1])
      const { close, consumer } = yield* member({ drainTimeout: "1 second" })
      yield* Effect.fork(consumer.run(() => Effect.never).pipe(Effect.withTracer(tracer)))
      yield* passUntil("the record", () => made.length === 1)
      assert.lengthOf(made[0]!.ends, 0)
      yield* passing(close)
      assert.lengthOf(made[0]!.ends, 1)
      assert.isTrue(Exit.isInterrupted(made[0]!.ends[0]!))
    }).pipe(inWorld({ topics: { numbers: 1 } })))

  it.effect("makes none without a tracer, and none where tracing is off", () =>
    Effect.gen(function*() {
      const { made, tracer } = testTracer()
      yield* writeTraced([1], () => "01")
      const { close, consumer } = yield* member()
      const inside = yield* Deferred.make<boolean>()
      yield* Effect.fork(
        consumer.run(() =>
          Effect.flatMap(Effect.option(Effect.currentSpan), (found) => Deferred.succeed(inside, Option.isSome(found)))
        )
      )
      assert.isFalse(yield* passing(Deferred.await(inside)))
      yield* passing(close)
      const second = yield* Consumer.make({ groupId: "others", topics: [Numbers] })
      let seen = 0
      yield* Effect.fork(
        second.run(() => Effect.sync(() => seen++)).pipe(Effect.withTracerEnabled(false), Effect.withTracer(tracer))
      )
      yield* passUntil("the record", () => seen === 1)
      assert.lengthOf(made, 0)
    }).pipe(inWorld({ topics: { numbers: 1 } })))
})

describe("records", () => {
  it.effect("make a client span for each chunk, linked to what produced them", () =>
    Effect.gen(function*() {
      const { made, named, tracer } = testTracer()
      yield* writeTraced([1, 2, 3], (value) => value === 2 ? undefined : "01")
      const { consumer } = yield* member()
      yield* passing(
        consumer.records.pipe(Stream.take(3), Stream.runDrain, Effect.withSpan("reader"), Effect.withTracer(tracer))
      )
      const [poll] = named("poll numbers")
      const [reader] = named("reader")
      assert.lengthOf(made, 2)
      assert.strictEqual(poll!.kind, "client")
      assert.deepStrictEqual(idsOf(poll!.links), [span(1), span(3)])
      assert.strictEqual(Option.getOrUndefined(poll!.parent)?.spanId, reader!.spanId)
      assert.deepStrictEqual(poll!.ends, [Exit.void])
      assert.deepStrictEqual(Object.fromEntries(poll!.attributes), {
        "messaging.system.name": "kafka",
        "messaging.operation.name": "poll",
        "messaging.operation.type": "receive",
        "messaging.destination.name": "numbers",
        "messaging.destination.partition.id": "0",
        "messaging.consumer.group.name": "group",
        "messaging.client.id": "test",
        "messaging.batch.message_count": 3
      })
    }).pipe(inWorld({ topics: { numbers: 1 } })))

  it.effect("have so many links and no more", () =>
    Effect.gen(function*() {
      const { named, tracer } = testTracer()
      yield* writeTraced(range(0, 300), () => "01")
      const { consumer } = yield* member()
      yield* passing(consumer.records.pipe(Stream.take(300), Stream.runDrain, Effect.withTracer(tracer)))
      assert.deepStrictEqual(named("poll numbers").map(({ links }) => links.length), [128])
    }).pipe(inWorld({ topics: { numbers: 1 } })))

  it.effect("of no group name none", () =>
    Effect.gen(function*() {
      const { named, tracer } = testTracer()
      yield* write(0, [1])
      const { records } = yield* Consumer.assign({ topics: [Numbers] })
      yield* passing(records.pipe(Stream.take(1), Stream.runDrain, Effect.withTracer(tracer)))
      assert.isFalse(named("poll numbers")[0]!.attributes.has("messaging.consumer.group.name"))
    }).pipe(inWorld({ topics: { numbers: 1 } })))
})
