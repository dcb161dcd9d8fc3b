/** Members in processes of their own, which can be killed, and cut off for a while. */
import { assert } from "@effect/vitest"
import type * as Consumer from "@sluice/kafka/Consumer"
import * as Kafka from "@sluice/kafka/Kafka"
import * as Producer from "@sluice/kafka/Producer"
import * as Fault from "@sluice/testing/Fault"
import { MemoryCluster } from "@sluice/testing/MemoryCluster"
import { type Duration, Effect, type Fiber, Layer } from "effect"

import { type Line, Lines, member, range } from "./reading.ts"

/** What a member is and does. */
export interface MemberPlan {
  readonly options?: Partial<Consumer.ConsumerOptions<typeof Lines>>
  readonly run?: Consumer.RunOptions
  /** Before a record counts as handled. */
  readonly work?: (line: Line) => Effect.Effect<void, string>
}

/** A client of its own, and whether its process is alive. */
export const client = (clientId: string, options: Partial<Kafka.KafkaOptions> = {}) =>
  Effect.gen(function*() {
    const cluster = yield* MemoryCluster
    const context = yield* Layer.build(
      Kafka.layer({ brokers: cluster.bootstrap, clientId, requestTimeout: "2 seconds", ...options })
    )
    const state = { alive: true }
    return {
      provide: <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.provide(self, context),
      state,
      /** As SIGKILL does: nothing that it does from now on has any effect, and nothing of it reaches a broker. */
      kill: Effect.suspend(() => {
        state.alive = false
        return cluster.inject(Fault.partition({ clients: [clientId] }, "1 day"))
      }),
      /** Nothing gets through in either direction. */
      cutOff: (duration: Duration.DurationInput) => cluster.inject(Fault.partition({ clients: [clientId] }, duration))
    }
  })

/** A member of the group in a process of its own, which runs a handler: what it began, and what it handled. */
export const spawn = (clientId: string, { options, run, work = () => Effect.void }: MemberPlan = {}) =>
  Effect.gen(function*() {
    const { cutOff, kill, provide, state } = yield* client(clientId)
    const { close, consumer } = yield* provide(
      member({ sessionTimeout: "6 seconds", heartbeatInterval: "1 second", ...options })
    )
    const begun: Array<string> = []
    const handled: Array<string> = []
    const fiber: Fiber.RuntimeFiber<void, unknown> = yield* Effect.fork(consumer.run((line) =>
      Effect.suspend(() => {
        if (!state.alive) return Effect.void
        begun.push(`${line.partition}/${line.value}`)
        return Effect.map(work(line), () => {
          if (state.alive) handled.push(`${line.partition}/${line.value}`)
        })
      }), run))
    return { name: clientId, close, consumer, begun, handled, fiber, kill, cutOff, state }
  })

export type Process = Effect.Effect.Success<ReturnType<typeof spawn>>

/** Writes 0, 1, 2 … to each of so many partitions, in batches of their own. */
export const writeRounds = (partitions: number, from: number, to: number, pause: Duration.DurationInput = 0) =>
  Effect.scoped(Effect.gen(function*() {
    const producer = yield* Producer.make()
    for (let value = from; value < to; value++) {
      yield* producer.sendAll(
        range(0, partitions).map((partition) =>
          Lines.record({ key: String(value % 7), value: String(value), partition })
        )
      )
      yield* Effect.sleep(pause)
    }
  }))

export const everything = (partitions: number, count: number): ReadonlyArray<string> =>
  range(0, partitions).flatMap((partition) => range(0, count).map((value) => `${partition}/${value}`))

/** What was handled in all is all that was written, each once. */
export const assertOnce = (handled: ReadonlyArray<string>, partitions: number, count: number): void =>
  assert.sameMembers([...handled], [...everything(partitions, count)])

/** What was handled more than once, as often as it was too often. */
export const duplicates = (handled: ReadonlyArray<string>): ReadonlyArray<string> => {
  const seen = new Set<string>()
  return handled.filter((each) => seen.has(each) || !seen.add(each))
}

/** Whether all partitions have an owner, and each of these at least so many. */
export const share = (
  members: ReadonlyArray<{ readonly consumer: Pick<Consumer.Sight, "assignment"> }>,
  partitions: number,
  least = 1
) =>
  Effect.map(
    Effect.forEach(members, ({ consumer }) => consumer.assignment.get),
    (all) => all.flat().length === partitions && all.every(({ length }) => length >= least)
  )
