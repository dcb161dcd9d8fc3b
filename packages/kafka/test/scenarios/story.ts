import { assert } from "@effect/vitest"
import type { Kafka, KafkaOptions } from "@sluice/kafka/Kafka"
import type { ProduceError } from "@sluice/kafka/KafkaError"
import type { Transport } from "@sluice/kafka/Transport"
import type { MemoryCluster } from "@sluice/testing/MemoryCluster"
import * as Simulation from "@sluice/testing/Simulation"
import { Cause, Effect, Exit, Logger, LogLevel, type Scope } from "effect"

import { wired, type Wires, type WrittenBatch } from "../producer/wire.ts"

/** What a scenario has at hand. */
export type World = MemoryCluster | Kafka | Transport | Wires | Scope.Scope

/** Where a scenario takes place. */
export interface Place {
  readonly cluster?: Parameters<typeof MemoryCluster.layer>[0]
  readonly client?: Partial<KafkaOptions>
  readonly seed?: number
  readonly interleaving?: Simulation.Interleaving
}

/** Far more than any scenario takes: one that never ends says so within seconds. */
const maxSteps = 1_000_000

/** Runs a scenario to its end, in virtual time, on a cluster in memory; nothing may be left of it. */
export const play = <A, E>(
  scenario: Effect.Effect<A, E, World>,
  { client, cluster = {}, interleaving = {}, seed = 1 }: Place = {}
): A => {
  const options = { topics: { lines: 1 }, latency: 1, seed, ...cluster }
  const brokers = Array.from({ length: options.brokers ?? 1 }, (_, i) => `broker-${i + 1}.memory:9092`)
  const program = scenario.pipe(
    Effect.scoped,
    Effect.provide(wired(options, { brokers, requestTimeout: "2 seconds", ...client })),
    Logger.withMinimumLogLevel(LogLevel.None)
  )
  const { exit, leftovers } = Simulation.run(program, { seed, interleaving, maxSteps })
  if (Exit.isFailure(exit)) {
    throw new Error(`seed ${seed}: ${Cause.pretty(exit.cause, { renderErrorCause: true })}`, {
      cause: Cause.squash(exit.cause)
    })
  }
  assert.deepStrictEqual(leftovers, [], `seed ${seed}`)
  return exit.value
}

/** Runs a scenario once for each seed, every other one with more interleavings. */
export const playSeeds = <A, E>(
  scenario: Effect.Effect<A, E, World>,
  place: Place = {},
  seeds = 4
): void => {
  for (let seed = 1; seed <= seeds; seed++) {
    play(scenario, { ...place, seed, interleaving: seed % 2 === 0 ? { extraYields: 0.05 } : {} })
  }
}

/** Three brokers, each of which can lead. */
export const threeBrokers = { brokers: 3, topics: { lines: 3 } } as const

/** Why a record failed, and whether it may be in the log. */
export const outcome = (error: ProduceError): string => `${error.reason._tag} ${error.persisted}`

/**
 * Sequence numbers of a partition begin at 0 in each epoch and leave no gap, however often a batch went.
 */
export const assertNoGap = (batches: ReadonlyArray<WrittenBatch>, partition: number): void => {
  const next = new Map<string, number>()
  for (const { count, epoch, partition: at, producerId, sequence } of batches) {
    if (at !== partition) continue
    const epochOf = `${producerId}/${epoch}`
    const expected = next.get(epochOf) ?? 0
    assert.isAtMost(sequence, expected, `a gap in partition ${partition}`)
    next.set(epochOf, Math.max(expected, sequence + count))
  }
}
