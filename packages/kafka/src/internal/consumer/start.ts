import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"

import type { OffsetStore, PositionReset } from "../../Consumer.ts"
import { FatalError, type KafkaError } from "../../KafkaError.ts"
import type { Cluster } from "../cluster/cluster.ts"
import type { ConnectionPool } from "../cluster/pool.ts"
import type { LogPosition } from "../kernel/endPosition.ts"
import { type TopicPartition, topicPartitionKey } from "../kernel/topicPartition.ts"
import type { FetchSettings } from "./options.ts"
import { type FoundPosition, type ListedPosition, listOffset } from "./positions.ts"

/** A place to start at, the same for every partition. */
export type StartPosition = ListedPosition | { readonly offset: number }

/** Gives the offsets that the application has stored itself, of the partitions that it has any of. */
export type LoadOffsets = OffsetStore["store"]

/** Where partitions start; checked. */
export interface StartSettings {
  /** The application's own offsets, in the place of the group's. */
  readonly load: LoadOffsets | undefined
  /** Where there is no offset. */
  readonly otherwise: StartPosition | "fail"
}

/** The offsets of the application's own store, by partition. Whatever is wrong with it is fatal. */
export const storedOffsets = (
  load: LoadOffsets,
  partitions: ReadonlyArray<TopicPartition>
): Effect.Effect<ReadonlyMap<string, LogPosition>, FatalError> => {
  const failed = (problem: string, cause?: unknown) =>
    new FatalError({
      reason: { _tag: "OffsetStoreFailed" },
      scope: "client",
      message: `the store of offsets ${problem}`,
      cause
    })
  return Effect.gen(function*() {
    const wanted = new Set(partitions.map(topicPartitionKey))
    const found = new Map<string, LogPosition>()
    for (const { offset: given, partition, topic } of yield* load(partitions.map(topicPartition))) {
      const key = topicPartitionKey({ topic, partition })
      const offset = Number(given)
      // A store may give all that it has.
      if (!wanted.has(key)) continue
      if (!Number.isSafeInteger(offset) || offset < 0) {
        return yield* Effect.fail(failed(`gave ${String(given)} for ${key}, which is no offset`))
      }
      found.set(key, { offset, leaderEpoch: -1 })
    }
    return found
  }).pipe(
    Effect.sandbox,
    Effect.mapError((cause) =>
      cause._tag === "Fail" && cause.error instanceof FatalError && cause.error.reason._tag === "OffsetStoreFailed"
        ? cause.error
        : failed(`failed: ${Cause.pretty(cause)}`, Cause.squash(cause))
    )
  )
}

const topicPartition = ({ partition, topic }: TopicPartition): TopicPartition => ({ topic, partition })

/** Where a partition starts that there is no offset of. One attempt. */
export const startOtherwise = (
  cluster: Cluster,
  pool: ConnectionPool,
  partition: TopicPartition,
  settings: Pick<FetchSettings, "readCommitted">,
  at: StartPosition | "fail",
  whose: string
): Effect.Effect<FoundPosition, KafkaError> => {
  if (at === "fail") return Effect.fail(noOffset(partition, whose))
  return typeof at === "object" && "offset" in at
    ? Effect.succeed({ offset: at.offset, leaderEpoch: -1, atEnd: false })
    : listOffset(cluster, pool, partition, settings.readCommitted, at)
}

/** What is told of a partition that starts where a policy says. */
export const noOffsetReset = ({ partition, topic }: TopicPartition, { offset }: LogPosition): PositionReset => ({
  _tag: "PositionReset",
  topic,
  partition,
  reason: "NoOffset",
  from: undefined,
  to: BigInt(offset)
})

/** The same for the log; what begins at the beginning misses nothing. */
export const logNoOffset = (
  { partition, topic }: TopicPartition,
  { offset }: LogPosition,
  at: StartPosition | "fail",
  whose: string
): Effect.Effect<void> => {
  const message = `topic ${topic}, partition ${partition}: ${whose} has no offset; begins at ${offset}`
  return at === "earliest" ? Effect.logDebug(message) : Effect.logInfo(message)
}

const noOffset = ({ partition, topic }: TopicPartition, whose: string): FatalError =>
  new FatalError({
    reason: { _tag: "NoOffset", topic, partition },
    scope: "partition",
    message: `${whose} has no offset for topic ${topic}, partition ${partition}, and \`reset\` is "fail"`
  })
