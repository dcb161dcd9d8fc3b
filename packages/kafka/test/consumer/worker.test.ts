/** Members whose reader has ended: they must not hold what others could read. */
import { assert, describe, it } from "@effect/vitest"
import { Consumer } from "@sluice/kafka"
import { Effect, Fiber, Layer, Stream } from "effect"

import { committed, inWorld, isDone, member, Numbers, passUntil, range, Seen, write } from "./world.ts"

const twoPartitions = { topics: { numbers: 2 } }

describe("a worker that has stopped", () => {
  it.effect("leaves the group: another member gets its partitions", () =>
    Effect.gen(function*() {
      yield* write(0, ["bad"])
      const worker = Consumer.layer({ groupId: "group", topics: [Numbers] }, () => Effect.fail("a handler that fails"))
      yield* Effect.forkScoped(Layer.launch(worker))
      const seen = new Seen()
      const { consumer } = yield* member()
      yield* Effect.fork(consumer.run(seen.handler))
      yield* write(0, range(0, 5))
      yield* write(1, range(0, 5))
      yield* passUntil("all is read by the other", () => seen.count === 11)
      assert.deepStrictEqual(seen.of(1), range(0, 5))
    }).pipe(inWorld(twoPartitions)))
})

describe("a revocation", () => {
  it.effect("does not wait for commits of a stream that has ended", () =>
    Effect.gen(function*() {
      yield* write(0, range(0, 10))
      yield* write(1, range(0, 10))
      const first = yield* member()
      const reading = yield* Effect.fork(
        first.consumer.records.pipe(Stream.take(5), Stream.run(first.consumer.commitSink))
      )
      yield* passUntil("read", () => isDone(reading))
      const seen = new Seen()
      const second = yield* member()
      yield* Effect.fork(second.consumer.run(seen.handler))
      // A heartbeat, and two rounds of the group: far less than `drainTimeout`.
      yield* passUntil("the second has a partition", () => seen.count > 0, { steps: 70 })
    }).pipe(inWorld(twoPartitions)))
})

describe("closing under a stream", () => {
  it.effect("waits until what was pulled is settled, and commits it", () =>
    Effect.gen(function*() {
      yield* write(0, range(0, 10))
      const { close, consumer } = yield* member()
      const seen = new Seen()
      const reading = yield* Effect.fork(consumer.records.pipe(
        Stream.mapEffect((record) => Effect.as(Effect.delay(seen.handler(record), "100 millis"), record)),
        Stream.run(consumer.commitSink)
      ))
      yield* passUntil("some are processed", () => seen.count >= 3)
      const closing = yield* Effect.fork(close)
      yield* passUntil("closed", () => isDone(closing))
      yield* Fiber.join(reading)
      assert.strictEqual(seen.count, 10)
      assert.deepStrictEqual(yield* committed(), { 0: 10 })
    }).pipe(inWorld({ topics: { numbers: 1 } })))
})
