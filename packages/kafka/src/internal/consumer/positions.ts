import * as Effect from "effect/Effect"

import { type KafkaError, RetriableError } from "../../KafkaError.ts"
import type { Cluster } from "../cluster/cluster.ts"
import type { ConnectionPool } from "../cluster/pool.ts"
import { fromCode, isFatal } from "../errors.ts"
import type { LogPosition } from "../kernel/endPosition.ts"
import { type TopicPartition, topicPartitionKey } from "../kernel/topicPartition.ts"
import { ListOffsets } from "../protocol/api/listOffsets.ts"
import { OffsetFetch } from "../protocol/api/offsetFetch.ts"
import type { Coordinator } from "./coordinator.ts"

const latest = -1
const earliest = -2

/** A position, and the epoch of the leader that said so, if it was one. */
export interface KnownPosition extends LogPosition {
  readonly validatedEpoch?: number
}

/** Where in a log: at an end, or at the first record that is not older than a timestamp. */
export type ListedPosition = "earliest" | "latest" | { readonly timestamp: number }

/** A position, and whether it is the log's end, which moves. */
export interface FoundPosition extends KnownPosition {
  readonly atEnd: boolean
}

/** Where a partition's leader says that such a position is. One attempt. */
export const listOffset = (
  cluster: Cluster,
  pool: ConnectionPool,
  { partition: index, topic }: TopicPartition,
  readCommitted: boolean,
  at: ListedPosition
): Effect.Effect<FoundPosition, KafkaError> =>
  Effect.gen(function*() {
    const metadata = yield* cluster.topic(topic)
    const place = { operation: "ListOffsets", scope: "partition", topic, partition: index } as const
    const leader = metadata.partitions[index]
    const address = leader === undefined ? undefined : cluster.address(leader.leader)
    if (leader === undefined || address === undefined) return yield* Effect.fail(fromCode(5, place))
    const connection = yield* pool.get(address)
    const response = yield* connection.request(ListOffsets, {
      replicaId: -1,
      isolationLevel: readCommitted ? 1 : 0,
      timeoutMs: 10_000,
      topics: [{
        name: topic,
        partitions: [{
          partitionIndex: index,
          currentLeaderEpoch: leader.leaderEpoch,
          timestamp: at === "latest" ? latest : at === "earliest" ? earliest : at.timestamp
        }]
      }]
    }, { maxVersion: 9 })
    const answer = response.topics[0]?.partitions[0]
    if (answer === undefined) return yield* Effect.fail(unanswered("ListOffsets", { topic, partition: index }))
    if (answer.errorCode !== 0) return yield* Effect.fail(fromCode(answer.errorCode, place))
    if (answer.offset >= 0) {
      return {
        offset: answer.offset,
        leaderEpoch: answer.leaderEpoch,
        validatedEpoch: leader.leaderEpoch,
        atEnd: at === "latest"
      }
    }
    // No record is as new as the timestamp.
    if (typeof at === "object") {
      return yield* listOffset(cluster, pool, { topic, partition: index }, readCommitted, "latest")
    }
    return yield* Effect.fail(unanswered("ListOffsets", { topic, partition: index }))
  }).pipe(
    // The leader may be another one by now.
    Effect.tapError((error) => isFatal(error) ? Effect.void : Effect.ignore(cluster.refresh))
  )

/** What a group has committed, by partition; those without an offset are left out. One attempt. */
export const committedOffsets = (
  groupId: string,
  coordinator: Coordinator,
  pool: ConnectionPool,
  partitions: ReadonlyArray<TopicPartition>
): Effect.Effect<ReadonlyMap<string, LogPosition>, KafkaError> => {
  const byTopic = new Map<string, Array<number>>()
  for (const { partition, topic } of partitions) {
    const list = byTopic.get(topic)
    if (list === undefined) byTopic.set(topic, [partition])
    else list.push(partition)
  }
  const topics = Array.from(byTopic, ([name, partitionIndexes]) => ({ name, partitionIndexes }))
  return coordinator.connection(pool).pipe(
    Effect.flatMap((connection) =>
      connection.request(
        OffsetFetch,
        (connection.version(OffsetFetch) ?? 0) >= 8
          ? { groups: [{ groupId, topics }], requireStable: true }
          : { groupId, topics, requireStable: (connection.version(OffsetFetch) ?? 0) >= 7 }
      )
    ),
    Effect.flatMap((response) => {
      const answer = response.groups[0] ?? response
      const answered = new Map<string, LogPosition>()
      let { errorCode } = answer
      for (const { name, partitions } of answer.topics) {
        for (const { committedLeaderEpoch, committedOffset, errorCode: code, partitionIndex } of partitions) {
          if (code !== 0) errorCode = code
          answered.set(topicPartitionKey({ topic: name, partition: partitionIndex }), {
            offset: committedOffset,
            leaderEpoch: committedLeaderEpoch
          })
        }
      }
      if (errorCode !== 0) {
        return Effect.fail(fromCode(errorCode, { operation: `OffsetFetch of group ${groupId}`, scope: "client" }))
      }
      // What the answer leaves out must not pass for "none", which the reset policy decides.
      const missing = partitions.find((partition) => !answered.has(topicPartitionKey(partition)))
      if (missing !== undefined) return Effect.fail(unanswered("OffsetFetch", missing))
      return Effect.succeed(new Map(Array.from(answered).filter(([, { offset }]) => offset >= 0)))
    }),
    Effect.tapError((error) => Effect.sync(() => coordinator.forgetAfter(error)))
  )
}

const unanswered = (operation: string, { partition, topic }: TopicPartition): RetriableError =>
  new RetriableError({
    reason: { _tag: "InvalidResponse", topic, partition },
    scope: "partition",
    message: `${operation}: the answer does not name topic ${topic}, partition ${partition}`
  })
