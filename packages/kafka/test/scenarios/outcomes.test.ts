/** When and to whom the outcome of a record is told: acknowledgements, two stages, delivery reports. */
import { assert, describe, it } from "@effect/vitest"
import * as Producer from "@sluice/kafka/Producer"
import * as Fault from "@sluice/testing/Fault"
import { MemoryCluster } from "@sluice/testing/MemoryCluster"
import { Clock, Deferred, Effect, Fiber, Stream } from "effect"

import { count, line, values } from "../producer/lines.ts"
import { Wires, written } from "../producer/wire.ts"
import { outcome, play, playSeeds } from "./story.ts"

describe("acknowledgements", () => {
  it("SA-P1: come in the order of the sends in each partition, also where batches had to be sent again", () => {
    play(
      Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        const acked: Array<string> = []
        const reported: Array<string> = []
        const producer = yield* Producer.make<string>({
          batchBytes: 300,
          onDelivery: {
            handler: ({ correlation, ...delivery }) =>
              Effect.sync(() =>
                reported.push(delivery._tag === "Acknowledged" ? `${correlation} at ${delivery.metadata.offset}` : "")
              )
          }
        })
        yield* cluster.inject(Fault.all(
          Fault.loseResponse({ api: "Produce", nth: 4 }),
          Fault.refuse({ api: "Produce", nth: 9, times: 2 }, "NotEnoughReplicas"),
          Fault.after({ api: "Produce", nth: 14 }, Fault.moveLeader("lines", 1))
        ))
        const places = yield* Effect.forEach(count(400), (value) => {
          const name = `${Number(value) % 4} ${value}`
          return producer.enqueue(line(value, { partition: Number(value) % 4 }), { correlation: name }).pipe(
            Effect.flatMap((ack) =>
              Effect.fork(Effect.tap(ack, ({ offset }) => Effect.sync(() => acked.push(`${name} at ${offset}`))))
            ),
            Effect.zipLeft(Effect.sleep(Number(value) % 10 === 0 ? 1 : 0))
          )
        })
        yield* Fiber.join(Fiber.all(places))
        yield* producer.flush
        yield* Effect.sleep("1 second")
        for (const partition of count(4)) {
          const inOrder = Array.from({ length: 100 }, (_, i) => `${partition} ${i * 4 + Number(partition)} at ${i}`)
          for (const heard of [acked, reported]) {
            assert.deepStrictEqual(heard.filter((text) => text.startsWith(`${partition} `)), inOrder)
          }
        }
      }),
      { cluster: { brokers: 3, topics: { lines: 4 }, jitter: 3 } }
    )
  })

  it("SA-P4: a record is accepted at once while its broker is down; that it failed is told when the delivery timeout ends", () => {
    play(Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const producer = yield* Producer.make({ deliveryTimeout: "10 seconds" })
      yield* producer.send(line("first"))
      yield* cluster.stopBroker(1)
      // The client has heard of it.
      yield* Effect.sleep("1 second")
      const start = yield* Clock.currentTimeMillis
      const elapsed = Effect.map(Clock.currentTimeMillis, (now) => now - start)
      const ack = yield* producer.enqueue(line("nobody is there"))
      assert.strictEqual(yield* elapsed, 0)
      assert.strictEqual(outcome(yield* Effect.flip(ack)), "DeliveryTimeout no")
      assert.strictEqual(yield* elapsed, 10_000)
      yield* cluster.startBroker(1)
      assert.strictEqual((yield* producer.send(line("second"))).offset, 1n)
      assert.deepStrictEqual(yield* values(), ["first", "second"])
    }))
  })

  it("CL-4: with `send`, one after the other, the next record goes only after the acknowledgement of the one before", () => {
    play(
      Effect.gen(function*() {
        const wire = yield* Wires
        const producer = yield* Producer.make()
        let acknowledged = 0
        const before: Array<number> = []
        wire.answer = ({ api }) => {
          if (api === "Produce") before.push(acknowledged)
          return undefined
        }
        const start = yield* Clock.currentTimeMillis
        yield* Effect.forEach(count(50), (value) => Effect.tap(producer.send(line(value)), () => acknowledged++))
        assert.deepStrictEqual(before, Array.from({ length: 50 }, (_, i) => i))
        assert.isTrue(written(wire).every((batch) => batch.count === 1))
        assert.deepStrictEqual(yield* values(), count(50))
        // A round trip each.
        assert.isAtLeast((yield* Clock.currentTimeMillis) - start, 50 * 20)
      }),
      { cluster: { latency: 10 } }
    )
  })
})

describe("batches", () => {
  it("CL-5: with `enqueue` a batch goes when it is full, when linger is over, or with a flush; each record is reported once", () => {
    play(Effect.gen(function*() {
      const wire = yield* Wires
      const reported: Array<string> = []
      const producer = yield* Producer.make({
        linger: "1 second",
        batchBytes: 1000,
        onDelivery: { handler: ({ record }) => Effect.sync(() => reported.push(record.value)) }
      })
      const counts = () => written(wire).map((batch) => batch.count)
      const text = (name: string) => name.padEnd(160)
      const enqueue = (name: string) => producer.enqueue(line(text(name)))

      // Five fill a batch; the sixth begins the next.
      for (const name of ["a", "b", "c", "d", "e", "f"]) yield* enqueue(name)
      yield* Effect.sleep("10 millis")
      assert.deepStrictEqual(counts(), [5])
      yield* Effect.sleep("980 millis")
      assert.deepStrictEqual(counts(), [5])
      yield* Effect.sleep("20 millis")
      assert.deepStrictEqual(counts(), [5, 1])
      yield* enqueue("g")
      yield* enqueue("h")
      yield* producer.flush
      assert.deepStrictEqual(counts(), [5, 1, 2])
      yield* Effect.sleep("10 seconds")
      assert.deepStrictEqual(reported.map((value) => value.trim()), ["a", "b", "c", "d", "e", "f", "g", "h"])
    }))
  })

  it("CL-5: a batch goes too when it has so many records, with `tryEnqueue` and `pipe` as with `enqueue`", () => {
    play(Effect.gen(function*() {
      const wire = yield* Wires
      const reported: Array<string> = []
      const producer = yield* Producer.make({
        linger: "1 second",
        batchRecords: 3,
        onDelivery: { handler: ({ record }) => Effect.sync(() => reported.push(record.value)) }
      })
      const counts = () => written(wire).map((batch) => batch.count)
      for (const name of count(7)) yield* producer.tryEnqueue(line(name))
      yield* Effect.sleep("100 millis")
      assert.deepStrictEqual(counts(), [3, 3])
      yield* Effect.sleep("1 second")
      assert.deepStrictEqual(counts(), [3, 3, 1])
      yield* Stream.fromIterable(count(11).slice(7)).pipe(
        Stream.map((name) => ({ record: line(name) })),
        producer.pipe,
        Stream.runDrain
      )
      assert.deepStrictEqual(counts(), [3, 3, 1, 3, 1])
      yield* Effect.sleep("10 seconds")
      assert.deepStrictEqual(reported, count(11))
    }))
  })
})

describe("delivery reports", () => {
  it("CL-7: among ten thousand records on twelve partitions each report is its record's own", () => {
    play(
      Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        const reports = new Map<string, { readonly partition: number; readonly offset: bigint | undefined }>()
        let heard = 0
        const producer = yield* Producer.make<{ readonly id: string }>({
          batchBytes: 4000,
          onDelivery: {
            concurrency: 8,
            handler: (delivery) =>
              Effect.sync(() => {
                heard++
                assert.strictEqual(delivery.correlation?.id, `id of ${delivery.record.key}`)
                if (delivery._tag === "Acknowledged") reports.set(delivery.correlation!.id, delivery.metadata)
              })
          }
        })
        // The same value everywhere: only what the sender gave tells them apart.
        yield* Effect.forEach(
          count(10_000),
          (key, i) =>
            Effect.flatten(
              producer.enqueue(line("same", { key, partition: i % 12 }), { correlation: { id: `id of ${key}` } })
            ),
          { concurrency: "unbounded", discard: true }
        )
        yield* Effect.sleep("1 second")
        assert.strictEqual(heard, 10_000)
        const stored = yield* cluster.records("lines")
        assert.lengthOf(stored, 10_000)
        for (const { key, offset, partition } of stored) {
          const report = reports.get(`id of ${new TextDecoder().decode(key!)}`)
          assert.deepStrictEqual([report?.partition, report?.offset], [partition, offset])
        }
      }),
      { cluster: { brokers: 3, topics: { lines: 12 } } }
    )
  })

  it("FM-54: a handler that hangs holds up no other record, and one that throws costs none", () => {
    play(Effect.gen(function*() {
      const release = yield* Deferred.make<void>()
      const reported: Array<string> = []
      const producer = yield* Producer.make({
        onDelivery: {
          handler: ({ record }) => {
            reported.push(record.value)
            if (record.value === "3") throw new Error("a defect of the application")
            return record.value === "0" ? Deferred.await(release) : Effect.void
          }
        }
      })
      const start = yield* Clock.currentTimeMillis
      yield* producer.sendAll(count(1000).map((value) => line(value)))
      for (const value of count(20)) yield* producer.send(line(value))
      assert.isBelow((yield* Clock.currentTimeMillis) - start, 1000)
      assert.lengthOf(yield* values(), 1020)
      assert.deepStrictEqual(reported, ["0"])
      yield* Deferred.succeed(release, undefined)
      yield* Effect.sleep("1 second")
      assert.deepStrictEqual(reported, [...count(1000), ...count(20)])
    }))
  })

  it("FM-54: a record whose sender is interrupted is reported once, and is in the log once", () => {
    playSeeds(
      Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        const reported: Array<string> = []
        const producer = yield* Producer.make({
          onDelivery: { handler: ({ _tag, record }) => Effect.sync(() => reported.push(`${_tag} ${record.value}`)) }
        })
        yield* producer.send(line("first"))
        yield* cluster.inject(Fault.loseResponse("Produce"))
        const fibers = yield* Effect.forEach(
          count(50),
          (value) => Effect.zipLeft(Effect.fork(producer.send(line(value))), Effect.sleep("1 millis"))
        )
        yield* Effect.forEach(fibers, Fiber.interrupt)
        yield* producer.send(line("last"))
        yield* Effect.sleep("1 second")
        const all = ["first", ...count(50), "last"]
        const stored = yield* values()
        assert.sameMembers([...stored], all)
        assert.sameMembers(reported, stored.map((value) => `Acknowledged ${value}`))
      })
    )
  })
})
