/** The conformance suite on the cluster in memory, and its check for what is left. */
import { assert, describe, it } from "@effect/vitest"
import { Kafka, Producer } from "@sluice/kafka"
import { Transport } from "@sluice/kafka/Transport"
import * as Conformance from "@sluice/testing/Conformance"
import { make, MemoryCluster } from "@sluice/testing/MemoryCluster"
import { Effect, Exit, Fiber, Layer, Runtime, Scope } from "effect"

/** It outlives the clients of the tests, so that their connections can be counted when they are gone. */
const { cluster, transport } = Effect.runSync(Scope.extend(make({ brokers: 3 }), Effect.runSync(Scope.make())))

const connections = Effect.map(cluster.connections, (count) => Array.from({ length: count }, () => "connection"))

const client = Kafka.layer({ brokers: cluster.bootstrap, retryBackoff: "10 millis" }).pipe(
  Layer.provide(Layer.succeed(Transport, transport))
)

Conformance.suite("on the cluster in memory", client, { leftovers: connections })

// Where nothing takes time, nothing overlaps; here each test has a cluster of its own too, which leaves nothing either.
Conformance.suite(
  "on a cluster in memory that is a millisecond away",
  MemoryCluster.layer({ brokers: 3, latency: "1 millis", client: { retryBackoff: "10 millis" } })
)

describe("the check for what is left", () => {
  const fails = (program: Effect.Effect<unknown>, leftovers?: Effect.Effect<Iterable<string>>) =>
    Effect.flip(Conformance.nothingLeft({ leftovers, patience: "50 millis" })(program))

  it.live("passes over what has ended, and over what was there before", () =>
    Effect.gen(function*() {
      const before = yield* Effect.fork(Effect.never)
      const check = Conformance.nothingLeft({ leftovers: Effect.succeed(["socket", "socket"]) })
      const ended = Effect.zipRight(Effect.forkDaemon(Effect.sleep("20 millis")), Effect.fork(Effect.void))
      assert.strictEqual(yield* check(Effect.as(ended, "the result")), "the result")
      yield* Fiber.interrupt(before)
    }))

  it.live("finds a fiber, however deep", () =>
    Effect.gen(function*() {
      const programs: Record<string, Effect.Effect<unknown>> = {
        child: Effect.fork(Effect.never),
        daemon: Effect.forkDaemon(Effect.never),
        deep: Effect.flatMap(Effect.forkDaemon(Effect.forkDaemon(Effect.never)), Fiber.join),
        runtime: Effect.map(Effect.runtime(), (runtime) => {
          Runtime.runFork(runtime)(Effect.never)
        }),
        layer: Effect.provide(Effect.void, Layer.effectDiscard(Effect.forkDaemon(Effect.never)))
      }
      for (const [name, program] of Object.entries(programs)) {
        const { _tag, leftovers } = yield* fails(program)
        assert.strictEqual(_tag, "LeftoverError", name)
        assert.lengthOf(leftovers, 1)
        assert.match(leftovers[0]!, /^fiber #\d+ \(suspended\)$/)
      }
    }))

  it.live("finds what is named one time more than before", () =>
    Effect.gen(function*() {
      const open = ["timer", "socket"]
      const { leftovers, message } = yield* fails(
        Effect.sync(() => open.push("socket")),
        Effect.sync(() => open)
      )
      assert.deepStrictEqual(leftovers, ["socket"])
      assert.strictEqual(message, "left behind: socket")
    }))

  it.live("finds a producer that was not closed", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const open = Effect.provide(Scope.extend(Producer.make(), scope), client).pipe(Effect.exit)
      const { leftovers } = yield* fails(open, connections)
      assert.includeMembers(leftovers.map((name) => name.split(" ")[0]), ["fiber"])
      yield* Scope.close(scope, Exit.void)
    }))

  it.live("waits for what is on its way out, and lets a failure of the program through", () =>
    Effect.gen(function*() {
      const late = yield* Effect.exit(Conformance.nothingLeft()(Effect.forkDaemon(Effect.sleep("100 millis"))))
      assert.isTrue(Exit.isSuccess(late))
      const failed = Effect.zipRight(Effect.forkDaemon(Effect.sleep("100 millis")), Effect.fail("its own"))
      assert.strictEqual(yield* Effect.flip(Conformance.nothingLeft()(failed)), "its own")
    }))
})
