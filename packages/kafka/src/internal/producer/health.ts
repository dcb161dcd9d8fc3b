import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"

import type { BrokerTrouble, Health, PartitionTrouble } from "../../Producer.ts"
import type { Accumulator } from "../kernel/accumulator.ts"
import type { PartitionBuffer } from "../kernel/partitionBuffer.ts"

/** What a producer has in hand, and what it has trouble with. */
export const healthOf = <Entry>(
  accumulator: Accumulator<Entry>,
  others: {
    readonly waitingSenders: number
    readonly unhandledReports: number
    readonly brokers: ReadonlyArray<BrokerTrouble>
  }
): Health => {
  let bufferedRecords = 0
  let inFlightRecords = 0
  for (const { entries, inFlight } of accumulator.incomplete) {
    bufferedRecords += entries.length
    if (inFlight) inFlightRecords += entries.length
  }
  const partitions: Array<PartitionTrouble> = []
  for (const partition of accumulator.partitions()) {
    const trouble = troubleOf(partition)
    if (trouble !== undefined) partitions.push(trouble)
  }
  return { bufferedRecords, bufferedBytes: accumulator.reserved, inFlightRecords, ...others, partitions }
}

/** It has no leader, or its records do not get there. */
const troubleOf = <Entry>({ batches, lastError, leader, partition, topic }: PartitionBuffer<Entry>) => {
  let bufferedRecords = 0
  let error = batches.length === 0 && leader !== -1 ? undefined : lastError
  for (const batch of batches) {
    bufferedRecords += batch.entries.length
    error = batch.lastError ?? error
  }
  return leader === -1 || error !== undefined
    ? { topic, partition, leader: leader === -1 ? undefined : leader, bufferedRecords, error }
    : undefined
}

/** How often {@link healthChanges} looks. */
const interval = "1 second"

/** The health as it is, whenever the trouble is another one, and as it is when `hasEnded` opens. */
export const healthChanges = (health: Effect.Effect<Health>, hasEnded: Effect.Latch): Stream.Stream<Health> =>
  Stream.suspend(() => {
    const look: Effect.Effect<boolean> = Effect.map(Effect.timeoutOption(hasEnded.await, interval), Option.isSome)
    return Stream.unfoldEffect(
      "begin" as "begin" | "goOn" | "end",
      (at) =>
        at === "end"
          ? Effect.succeedNone
          : Effect.zipWith(
            at === "begin" ? Effect.succeed(false) : look,
            health,
            (isLast, value) => Option.some([value, isLast ? "end" as const : "goOn" as const] as const)
          )
    ).pipe(Stream.changesWith(sameTrouble))
  })

/** Whether the same partitions and brokers are in trouble, for the same reasons. */
const sameTrouble = (a: Health, b: Health): boolean => summary(a) === summary(b)

const summary = ({ brokers, partitions }: Health): string =>
  JSON.stringify([
    partitions.map(({ error, leader, partition, topic }) => [topic, partition, leader, error?.reason._tag]),
    brokers.map(({ broker, error }) => [broker, error.reason._tag])
  ])
