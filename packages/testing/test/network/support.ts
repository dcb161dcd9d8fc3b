import { apis } from "@sluice/kafka/internal/protocol/apis"
import { Transport } from "@sluice/kafka/Transport"
import { Cause, Clock, Effect, Exit, Fiber, type Scope, TestClock } from "effect"

import { MemoryCluster } from "../../src/index.ts"
import type { NetworkEvent } from "../../src/internal/network/event.ts"
import * as World from "../../src/internal/network/world.ts"
import { text } from "../support/model.ts"

/** A cluster, what is behind it, and all that it told its observer. */
export interface ObservedWorld extends World.World {
  readonly events: ReadonlyArray<NetworkEvent>
}

/** Runs a test with a cluster of its own, which has a topic "orders" with two partitions. */
export const inWorld = <E>(
  options: World.WorldOptions,
  test: (world: ObservedWorld) => Effect.Effect<void, E, MemoryCluster | Transport | Scope.Scope>
): Effect.Effect<void, E> =>
  Effect.gen(function*() {
    const events: Array<NetworkEvent> = []
    const world = yield* World.make({ topics: { orders: 2 }, ...options, observer: (event) => events.push(event) })
    yield* test({ ...world, events }).pipe(
      Effect.provideService(MemoryCluster, world.cluster),
      Effect.provideService(Transport, world.transport)
    )
  }).pipe(Effect.scoped)

/** What an effect came to, and when, after some virtual time; "pending" if it has not ended by then. */
export const outcome = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  within: Parameters<typeof TestClock.adjust>[0] = "1 hour"
): Effect.Effect<{ readonly exit: Exit.Exit<A, E>; readonly time: number } | "pending", never, R> =>
  Effect.gen(function*() {
    const begun = yield* Clock.currentTimeMillis
    const fiber = yield* Effect.fork(
      Effect.zipWith(Effect.exit(self), Clock.currentTimeMillis, (exit, time) => ({ exit, time: time - begun }))
    )
    yield* TestClock.adjust(within)
    const result = yield* fiber.poll
    if (result._tag === "Some") return yield* result.value
    yield* Fiber.interrupt(fiber)
    return "pending"
  })

/** When an effect has succeeded, in milliseconds from now; else what became of it. */
export const doneAfter = <A, E, R>(self: Effect.Effect<A, E, R>, within?: Parameters<typeof TestClock.adjust>[0]) =>
  Effect.map(outcome(self, within), (result) => {
    if (result === "pending") return result
    return Exit.isSuccess(result.exit) ? result.time : Cause.pretty(result.exit.cause)
  })

/** The values in "orders". */
export const storedValues = Effect.gen(function*() {
  const cluster = yield* MemoryCluster
  return (yield* cluster.records("orders")).map((record) => text(record.value))
})

/** Message of the defect that an effect dies with. */
export const defectOf = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.exit(effect), (exit) => Exit.isFailure(exit) ? String(Cause.squash(exit.cause)) : "no failure")

/** The events of some kinds, as short lines. */
export const lines = (events: ReadonlyArray<NetworkEvent>): ReadonlyArray<string> =>
  events.flatMap((event) => {
    switch (event._tag) {
      case "Connected":
        return `${event.time} connected ${event.connection} to ${event.broker}`
      case "Disconnected":
        return `${event.time} disconnected ${event.connection} by ${event.by}`
      case "Sent":
        return `${event.time} sent ${apis.get(event.apiKey)?.name} on ${event.connection}`
      case "Served":
      case "Answered":
      case "Received":
        return `${event.time} ${event._tag.toLowerCase()} ${event.exchange.api.name} ${event.exchange.id}`
      case "FaultBegan":
        return `${event.time} fault ${event.id} ${event.fault._tag} began`
      case "FaultEnded":
        return `${event.time} fault ${event.id} ${event.fault._tag} ended`
      case "Cluster":
        return `${event.time} ${event.event._tag}`
    }
  })
