import { assert, describe, it } from "@effect/vitest"
import { bounded, detached, once } from "@sluice/kafka/internal/fiber"
import * as Kafka from "@sluice/kafka/Kafka"
import { MemoryCluster } from "@sluice/testing/MemoryCluster"
import { Context, Effect, Exit, Fiber, FiberRef, HashMap, Layer, Option, Scope, TestClock, Tracer } from "effect"

import { wired, Wires } from "../producer/wire.ts"

const settle = TestClock.adjust(0)
const metadataRequests = Effect.map(Wires, (wire) => wire.requests.filter(({ api }) => api === "Metadata").length)

describe("the cluster", () => {
  it.effect("shares one request among callers, and sends another for those who come while it is under way", () =>
    Effect.gen(function*() {
      const { cluster } = yield* Kafka.Kafka
      const early = yield* Effect.forEach([1, 2, 3], () => Effect.fork(cluster.refresh))
      yield* TestClock.adjust(450)
      assert.strictEqual(yield* metadataRequests, 1, "it is on its way")
      const late = yield* Effect.forEach([1, 2, 3, 4, 5], () => Effect.fork(cluster.refresh))
      yield* TestClock.adjust(160)
      assert.strictEqual(yield* metadataRequests, 2)
      assert.isTrue(Option.isSome(yield* early[0]!.poll))
      assert.isTrue(Option.isNone(yield* late[0]!.poll))
      yield* TestClock.adjust(400)
      yield* Fiber.join(Fiber.all([...early, ...late]))
      assert.isAtMost(yield* metadataRequests, 3)
    }).pipe(Effect.provide(wired({ latency: 100 }))))

  it.effect("asks again by itself when the view is old, and only for topics in use", () =>
    Effect.gen(function*() {
      const { cluster } = yield* Kafka.Kafka
      yield* cluster.refresh
      yield* TestClock.adjust("10 minutes")
      assert.strictEqual(yield* metadataRequests, 1)
      yield* cluster.topic("lines")
      assert.strictEqual(yield* metadataRequests, 2)
      yield* cluster.topic("lines")
      assert.strictEqual(yield* metadataRequests, 2, "it is known")
      yield* TestClock.adjust("3 minutes")
      assert.isAtLeast(yield* metadataRequests, 4)
      const { version } = cluster.metadata()
      yield* TestClock.adjust("1 minute")
      assert.isAbove(cluster.metadata().version, version)
    }).pipe(Effect.provide(wired({ topics: { lines: 1 } }))))

  it.effect("opens nothing before it is used, and leaves nothing when it is closed", () =>
    Effect.gen(function*() {
      const memory = yield* MemoryCluster
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(Kafka.layer({ brokers: "broker-1.memory:9092" }), scope)
      const { cluster } = Context.get(context, Kafka.Kafka)
      assert.strictEqual(yield* memory.connections, 0)
      yield* cluster.refresh
      assert.strictEqual(yield* memory.connections, 1)
      yield* memory.pauseBroker(1)
      const waiting = yield* Effect.fork(Effect.flip(cluster.refresh))
      const looking = yield* Effect.fork(Effect.flip(cluster.topic("nowhere")))
      yield* settle
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual((yield* Fiber.join(waiting)).reason._tag, "Closed")
      assert.strictEqual((yield* Fiber.join(looking)).reason._tag, "Closed")
      assert.strictEqual((yield* Effect.flip(cluster.refresh)).reason._tag, "Closed")
      assert.strictEqual(yield* memory.connections, 0)
    }).pipe(Effect.provide(wired())))

  it.effect("tries every address of the bootstrap list, and says what went wrong if none answers", () =>
    Effect.gen(function*() {
      const wire = yield* Wires
      const { cluster } = yield* Kafka.Kafka
      wire.refuse = (address) => address.startsWith("broker-1") ? undefined : "ConnectFailed"
      for (let i = 0; i < 5; i++) yield* cluster.refresh
      wire.refuse = () => "TlsFailed"
      yield* Effect.flatMap(MemoryCluster, (memory) => memory.stopBroker(1))
      yield* settle
      const error = yield* Effect.flip(cluster.refresh)
      assert.strictEqual(`${error._tag} ${error.reason._tag}`, "FatalError TlsFailed", "there is no hope anywhere")
    }).pipe(Effect.provide(wired({}, { brokers: "nowhere:1,broker-1.memory:9092,elsewhere:2" }))))
})

describe("bounded", () => {
  it.effect("returns in time whatever it runs, and however often it is interrupted", () =>
    Effect.gen(function*() {
      for (const self of [Effect.never, Effect.uninterruptible(Effect.never)]) {
        const fiber = yield* Effect.fork(bounded(self, "1 second"))
        yield* settle
        yield* Effect.forEach([1, 2, 3], () => Fiber.interruptFork(fiber))
        yield* TestClock.adjust("999 millis")
        assert.isTrue(Option.isNone(yield* fiber.poll))
        yield* TestClock.adjust("1 millis")
        yield* Fiber.await(fiber)
      }
      assert.strictEqual(Option.getOrUndefined(yield* bounded(Effect.succeed(1), "1 second")), 1)
      assert.strictEqual(yield* Effect.flip(bounded(Effect.fail("no"), "1 second")), "no")
    }))
})

describe("once", () => {
  it.effect("runs once; who comes later, or is interrupted, awaits the same end", () =>
    Effect.gen(function*() {
      let runs = 0
      const self = once(Effect.zipRight(Effect.sleep("1 second"), Effect.sync(() => ++runs)))
      const first = yield* Effect.fork(self)
      yield* TestClock.adjust("500 millis")
      const second = yield* Effect.fork(self)
      yield* Fiber.interruptFork(first)
      yield* TestClock.adjust("499 millis")
      assert.isTrue(Option.isNone(yield* first.poll))
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* Fiber.join(second), 1)
      assert.strictEqual(yield* self, 1)
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(runs, 1)
    }))
})

describe("detached", () => {
  it.effect("keeps its starter's services, and neither span nor annotations", () =>
    Effect.gen(function*() {
      class Service extends Context.Tag("test/Service")<Service, string>() {}
      const seen = Effect.gen(function*() {
        const context = (yield* Effect.context<Service>()) as Context.Context<any>
        return {
          service: Context.get(context, Service),
          span: Context.getOption(context, Tracer.ParentSpan),
          annotations: HashMap.size(yield* FiberRef.get(FiberRef.currentLogAnnotations)),
          logSpans: Array.from(yield* FiberRef.get(FiberRef.currentLogSpan)),
          spanAnnotations: HashMap.size(yield* FiberRef.get(FiberRef.currentTracerSpanAnnotations))
        }
      })
      const found = yield* detached(seen).pipe(
        Effect.annotateLogs("a", 1),
        Effect.annotateSpans("b", 2),
        Effect.withLogSpan("c"),
        Effect.withSpan("d"),
        Effect.provideService(Service, "s")
      )
      assert.deepStrictEqual(found, {
        service: "s",
        span: Option.none(),
        annotations: 0,
        logSpans: [],
        spanAnnotations: 0
      })
    }))
})
