import { assert, describe, it } from "@effect/vitest"
import { Transport, type TransportError } from "@sluice/kafka/Transport"
import { Cause, Effect, Exit, Logger, LogLevel, Option, type Scope } from "effect"

import * as World from "../../src/internal/network/world.ts"
import * as Simulation from "../../src/Simulation.ts"
import { type Client, connect, ping } from "../support/client.ts"

const bug = new TypeError("a bug in the brokers")

/** What becomes of who does something after the brokers have failed at a request. */
const afterTheBug = <A>(
  next: (world: World.World, client: Client) => Effect.Effect<A, TransportError, Scope.Scope>
): unknown => {
  const program = Effect.gen(function*() {
    const world = yield* World.make()
    const client = yield* Effect.provideService(connect(), Transport, world.transport)
    world.network.handle = () => {
      throw bug
    }
    yield* Effect.fork(ping(client))
    const closed = yield* Effect.timeoutOption(client.connection.closed, "1 second")
    assert.isTrue(Option.isNone(closed), "it is no broken connection")
    return yield* next(world, client)
  }).pipe(Effect.scoped, Logger.withMinimumLogLevel(LogLevel.None))
  const { exit } = Simulation.run(program)
  return Exit.isFailure(exit) ? Cause.squash(exit.cause) : exit.value
}

describe("a bug in the brokers", () => {
  it("is the defect of whoever asks for something afterwards", () => {
    assert.strictEqual(afterTheBug((_, client) => ping(client)), bug)
  })

  it("is the defect of the next operation", () => {
    assert.strictEqual(afterTheBug(({ cluster }) => cluster.heal), bug)
    assert.strictEqual(afterTheBug(({ cluster }) => cluster.connections), bug)
  })

  it("is remembered where an operation or a client comes upon it; a mistake of who asks is not", () => {
    const broken = (property: "connect" | "openConnections", by: (world: World.World) => Effect.Effect<unknown>) => {
      const program = Effect.gen(function*() {
        const world = yield* World.make()
        const mistake = yield* Effect.exit(world.cluster.stopBroker(99))
        assert.isTrue(Exit.isFailure(mistake))
        yield* world.cluster.connections
        Object.defineProperty(world.network, property, {
          get: () => {
            throw bug
          }
        })
        const failed = yield* Effect.exit(by(world))
        assert.strictEqual(Exit.isFailure(failed) && Cause.squash(failed.cause), bug)
        return yield* world.cluster.heal
      }).pipe(Effect.scoped, Logger.withMinimumLogLevel(LogLevel.None))
      const { exit } = Simulation.run(program)
      return Exit.isFailure(exit) ? Cause.squash(exit.cause) : exit.value
    }
    assert.strictEqual(broken("openConnections", ({ cluster }) => cluster.connections), bug)
    const connecting = ({ transport }: World.World) =>
      Effect.orDie(Effect.provideService(Effect.scoped(connect()), Transport, transport))
    assert.strictEqual(broken("connect", connecting), bug)
  })
})
