/** Closing with much in flight. */
import { assert, describe, it } from "@effect/vitest"
import * as Producer from "@sluice/kafka/Producer"
import * as Fault from "@sluice/testing/Fault"
import { MemoryCluster } from "@sluice/testing/MemoryCluster"
import { Clock, Effect, Exit, Scope } from "effect"

import { count, line, values } from "../producer/lines.ts"
import { Wires } from "../producer/wire.ts"
import { outcome, play, playSeeds, threeBrokers } from "./story.ts"

describe("a close", () => {
  it("FM-52, CL-9: with a thousand records in flight ends when each has been reported, once, and nothing connects any more", () => {
    playSeeds(
      Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        const wire = yield* Wires
        const reported: Array<string> = []
        let handling = 0
        const scope = yield* Scope.make()
        const producer = yield* Scope.extend(
          Producer.make({
            batchBytes: 500,
            onDelivery: {
              concurrency: 16,
              handler: ({ _tag, record }) =>
                Effect.sync(() => handling++).pipe(
                  Effect.zipRight(Effect.sleep("5 millis")),
                  Effect.zipRight(Effect.sync(() => {
                    handling--
                    reported.push(`${_tag} ${record.value}`)
                  }))
                )
            }
          }),
          scope
        )
        for (const partition of [0, 1, 2]) yield* producer.send(line("first", { partition }))
        yield* cluster.inject(Fault.all(
          Fault.slow({}, { latency: 50, jitter: 20, duration: "1 minute" }),
          // It retries in the midst of the close.
          Fault.refuse({ api: "Produce", nth: 5, times: 3 }, "NotEnoughReplicas")
        ))
        yield* Effect.forEach(count(1000), (value) => producer.enqueue(line(value, { partition: Number(value) % 3 })))
        yield* Scope.close(scope, Exit.void)
        assert.strictEqual(handling, 0)
        assert.sameMembers(reported.slice(3), count(1000).map((value) => `Acknowledged ${value}`))
        const [connects, requests] = [wire.connects.length, wire.requests.length]
        assert.strictEqual(outcome(yield* Effect.flip(producer.send(line("late")))), "Closed no")
        yield* Effect.sleep("10 seconds")
        assert.lengthOf(wire.connects, connects)
        assert.strictEqual(wire.requests.slice(requests).filter(({ api }) => api === "Produce").length, 0)
        assert.lengthOf(reported, 1003)
        const stored = (yield* Effect.forEach([0, 1, 2], (partition) => values(partition))).flat()
        assert.lengthOf(stored, 1003)
        yield* cluster.heal
      }),
      { cluster: threeBrokers },
      2
    )
  })

  it("FM-53: while the broker hangs ends at its bound: each of a thousand records is reported, and it is true", () => {
    play(Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const reported = new Map<string, string>()
      let reports = 0
      const scope = yield* Scope.make()
      const producer = yield* Scope.extend(
        Producer.make({
          batchBytes: 500,
          closeTimeout: "3 seconds",
          onDelivery: {
            handler: (delivery) =>
              Effect.sync(() => {
                reports++
                const isFailed = delivery._tag === "Failed"
                reported.set(delivery.record.value, isFailed ? outcome(delivery.error) : delivery._tag)
              })
          }
        }),
        scope
      )
      yield* producer.send(line("first"))
      yield* cluster.pauseBroker(1)
      yield* Effect.forEach(count(1000), (value) => producer.enqueue(line(value)))
      yield* Effect.sleep("100 millis")
      const start = yield* Clock.currentTimeMillis
      yield* Scope.close(scope, Exit.void)
      assert.isAtMost((yield* Clock.currentTimeMillis) - start, 4000)
      assert.strictEqual(reports, 1001)
      assert.deepStrictEqual(new Set(reported.values()), new Set(["Acknowledged", "Closed maybe", "Closed no"]))
      // What it had got by then it does, now that nobody waits for it.
      yield* cluster.resumeBroker(1)
      yield* Effect.sleep("10 seconds")
      const stored = yield* values()
      assert.isAbove(stored.length, 1)
      for (const value of stored.slice(1)) assert.strictEqual(reported.get(value), "Closed maybe")
      assert.strictEqual(new Set(stored).size, stored.length)
    }))
  })
})
