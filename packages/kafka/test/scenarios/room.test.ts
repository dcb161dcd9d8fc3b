/** A buffer that is full: who waits, for what, and who does not. */
import { assert, describe, it } from "@effect/vitest"
import * as Producer from "@sluice/kafka/Producer"
import { MemoryCluster } from "@sluice/testing/MemoryCluster"
import { Chunk, Clock, Effect, Exit, Fiber, Scope, Stream } from "effect"

import { count, line, values } from "../producer/lines.ts"
import { outcome, play, playSeeds } from "./story.ts"

/** Room for four of these. */
const small = { bufferBytes: 1000, maxRecordBytes: 300, batchBytes: 1000 } as const
const text = (name: string) => name.padEnd(200, ".")

describe("a full buffer", () => {
  /** Three records whose handlers each send the next one, without an end. */
  const chains = (maxPending: number) =>
    Effect.gen(function*() {
      let links = 0
      const scope = yield* Scope.make()
      const producer: Producer.Producer = yield* Scope.extend(
        Producer.make({
          ...small,
          closeTimeout: "2 seconds",
          onDelivery: {
            concurrency: 2,
            maxPending,
            closeTimeout: "3 seconds",
            handler: ({ record }): Effect.Effect<unknown, unknown> => {
              if (!record.value.startsWith("chain")) return Effect.void
              links++
              return producer.enqueue(line(text("chain")))
            }
          }
        }),
        scope
      )
      for (let i = 0; i < 3; i++) yield* producer.enqueue(line(text("chain")))
      yield* Effect.sleep("1 second")
      const start = yield* Clock.currentTimeMillis
      const before = links
      yield* producer.flush
      assert.isBelow((yield* Clock.currentTimeMillis) - start, 100)
      // With no report to spare the chains keep everybody else waiting.
      if (maxPending > 3) { for (const value of count(20)) yield* producer.send(line(text(value))) }
      assert.isBelow((yield* Clock.currentTimeMillis) - start, 2000)
      yield* Effect.sleep("1 second")
      assert.isAbove(links, before, "the chains go on")
      const closing = yield* Clock.currentTimeMillis
      yield* Scope.close(scope, Exit.void)
      assert.isAtMost((yield* Clock.currentTimeMillis) - closing, 7000)
      // What was on its way to the broker still arrives.
      yield* Effect.sleep("20 millis")
      const { length } = yield* values()
      yield* Effect.sleep("1 minute")
      assert.lengthOf(yield* values(), length)
    })

  it("SA-P9: handlers that send again, without an end, starve neither a flush nor other senders, nor the close", () => {
    for (const maxPending of [3, 10]) playSeeds(chains(maxPending), { cluster: { latency: 10 } }, 2)
  })

  it("SA-P9: who would rather not wait is told so at once, and overtakes nobody; a pipe waits, and loses none", () => {
    playSeeds(Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const producer = yield* Producer.make<number>(small)
      yield* producer.send(line("first"))
      yield* cluster.pauseBroker(1)
      const accepted = yield* Effect.forEach(count(4), (name) => producer.tryEnqueue(line(text(name))))
      const start = yield* Clock.currentTimeMillis
      const refused = yield* Effect.flip(producer.tryEnqueue(line(text("refused"))))
      assert.deepStrictEqual([refused._tag, outcome(refused)], ["RetriableError", "BufferFull no"])
      assert.strictEqual(yield* Clock.currentTimeMillis, start)
      const piped = yield* Stream.fromIterable(count(30)).pipe(
        Stream.rechunk(3),
        Stream.map((value) => ({ record: line(text(value)), correlation: Number(value) })),
        producer.pipe,
        Stream.runCollect,
        Effect.fork
      )
      yield* Effect.sleep("500 millis")
      // There is room for a small one, and somebody who waits.
      assert.strictEqual(outcome(yield* Effect.flip(producer.tryEnqueue(line("small")))), "BufferFull no")
      yield* cluster.resumeBroker(1)
      const deliveries = Chunk.toReadonlyArray(yield* Fiber.join(piped))
      assert.deepStrictEqual(
        deliveries.map(({ _tag, correlation }) => `${correlation} ${_tag}`),
        count(30).map((value) => `${value} Acknowledged`)
      )
      yield* Effect.all(accepted)
      assert.deepStrictEqual(yield* values(), ["first", ...count(4).map(text), ...count(30).map(text)])
      yield* Effect.flatten(producer.tryEnqueue(line("last")))
    }))
  })

  it("SA-P16: a sender that gives up while it waits for room costs no other record, and no flush waits for it", () => {
    playSeeds(Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const producer = yield* Producer.make(small)
      yield* producer.send(line("first"))
      yield* cluster.pauseBroker(1)
      const acks = yield* Effect.forEach(count(4), (name) => producer.enqueue(line(text(name))))
      const blocked = yield* Effect.fork(producer.send(line(text("blocked"))))
      const accepted = yield* Effect.fork(Effect.flatten(Effect.succeed(acks[1]!)))
      const flushing = yield* Effect.fork(producer.flush)
      yield* Effect.sleep("100 millis")
      yield* Fiber.interrupt(blocked)
      yield* Fiber.interrupt(accepted)
      assert.strictEqual((yield* flushing.poll)._tag, "None")
      yield* cluster.resumeBroker(1)
      yield* Fiber.join(flushing)
      assert.deepStrictEqual((yield* Effect.all(acks)).map(({ offset }) => offset), [1n, 2n, 3n, 4n])
      // A flush of nothing is done, though the one who waited is gone.
      const start = yield* Clock.currentTimeMillis
      yield* producer.flush
      assert.strictEqual(yield* Clock.currentTimeMillis, start)
      assert.deepStrictEqual(yield* values(), ["first", ...count(4).map(text)])
    }))
  })
})

describe("a closed producer", () => {
  for (const topic of ["known", "unknown"] as const) {
    it(`SA-P8: refuses a record for ${topic === "known" ? "a topic that it knows" : "one that it never heard of"}, at once, in every way`, () => {
      play(Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        const producer = yield* Effect.scoped(
          Effect.tap(Producer.make(), (producer) => topic === "known" ? producer.send(line("0")) : Effect.void)
        )
        const connections = yield* cluster.connections
        const start = yield* Clock.currentTimeMillis
        const errors = [
          yield* Effect.flip(producer.send(line("late"))),
          yield* Effect.flip(producer.enqueue(line("late"))),
          yield* Effect.flip(producer.tryEnqueue(line("late"))),
          ...Chunk.toReadonlyArray(
            yield* Stream.runCollect(producer.pipe(Stream.make({ record: line("late") }, { record: line("late") })))
          ).flatMap((delivery) => delivery._tag === "Failed" ? [delivery.error] : []),
          yield* Effect.flip(Stream.run(Stream.make(line("late")), producer.sink)),
          ...(yield* Effect.flip(producer.sendAll([line("late"), line("late")]))).results.flatMap((result) =>
            result._tag === "Failed" ? [result.error] : []
          )
        ]
        assert.deepStrictEqual(errors.map(outcome), Array.from({ length: 8 }, () => "Closed no"))
        assert.strictEqual(yield* Clock.currentTimeMillis, start)
        yield* Effect.sleep("5 minutes")
        assert.strictEqual(yield* cluster.connections, connections)
        assert.deepStrictEqual(yield* values(), topic === "known" ? ["0"] : [])
      }))
    })
  }
})
