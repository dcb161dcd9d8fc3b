/** Events for any number of streams, none of which holds up the others. */
import { assert, describe, it } from "@effect/vitest"
import { Broadcast } from "@sluice/kafka/internal/consumer/broadcast"
import { Chunk, Effect, Fiber, Stream } from "effect"

import { quiet } from "./world.ts"

describe("Broadcast", () => {
  it.effect("tells every stream that runs, in order, and ends them", () =>
    Effect.gen(function*() {
      const broadcast = new Broadcast<number>()
      broadcast.publish(0)
      const streams = [
        yield* Effect.fork(Stream.runCollect(broadcast.stream)),
        yield* Effect.fork(Stream.runCollect(broadcast.stream))
      ]
      yield* quiet
      for (const value of [1, 2, 3]) broadcast.publish(value)
      broadcast.end()
      for (const stream of streams) assert.deepStrictEqual(Chunk.toReadonlyArray(yield* Fiber.join(stream)), [1, 2, 3])
    }))

  it.effect("costs a reader that is slow only what is oldest", () =>
    Effect.gen(function*() {
      const broadcast = new Broadcast<number>()
      const taken: Array<number> = []
      const reader = yield* Effect.fork(Stream.runForEach(broadcast.stream, (value) =>
        Effect.sync(() => {
          taken.push(value)
        })))
      yield* quiet
      for (let value = 0; value < 1000; value++) broadcast.publish(value)
      broadcast.end()
      yield* Fiber.join(reader)
      assert.deepStrictEqual(taken, Array.from({ length: 256 }, (_, i) => 744 + i))
    }))
})
