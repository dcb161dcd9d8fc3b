/** Wall clocks are set forward and back; deadlines and pauses must not notice. */
import { assert, describe, it } from "@effect/vitest"
import * as Producer from "@sluice/kafka/Producer"
import { MemoryCluster } from "@sluice/testing/MemoryCluster"
import * as Simulation from "@sluice/testing/Simulation"
import { Clock, Effect, Exit, Fiber } from "effect"

import { line } from "./producer/lines.ts"
import { memory } from "./support/memory.ts"

const hour = 3_600_000

const elapsed = Effect.map(Clock.currentTimeNanos, (nanos) => Number(nanos) / 1e6)

/** Sends to a broker that hangs, while the wall clock jumps; gives how long it took, and what became of it. */
const sendThrough = (jump: number) =>
  Effect.gen(function*() {
    const cluster = yield* MemoryCluster
    const producer = yield* Producer.make({ deliveryTimeout: "5 seconds", closeTimeout: 0 })
    yield* producer.send(line("first", { partition: 0 }))
    yield* cluster.pauseBroker(1)
    const start = yield* elapsed
    const fiber = yield* Effect.fork(Effect.exit(producer.send(line("second", { partition: 0 }))))
    yield* Effect.sleep("1 second")
    yield* Simulation.jumpClock(jump)
    const exit = yield* Fiber.join(fiber)
    return { took: (yield* elapsed) - start, exit }
  }).pipe(Effect.scoped, Effect.provide(memory({ topics: { lines: 1 } }, { requestTimeout: "1 minute" })))

describe("a wall clock that is set", () => {
  it.each([["back", -hour], ["forward", hour]])("%s does not move a producer's deadline", (_, jump) => {
    const { exit } = Simulation.run(sendThrough(jump))
    assert.isTrue(Exit.isSuccess(exit), String(exit))
    if (Exit.isSuccess(exit)) {
      assert.strictEqual(exit.value.took, 5000)
      assert.isTrue(Exit.isFailure(exit.value.exit))
    }
  })
})
