import * as Effect from "effect/Effect"

import type { KafkaError } from "../../KafkaError.ts"
import { RetriableError } from "../../KafkaError.ts"
import type { Cluster } from "../cluster/cluster.ts"
import type { ConnectionPool } from "../cluster/pool.ts"
import { fromCode } from "../errors.ts"
import { ListOffsets } from "../protocol/api/listOffsets.ts"
import type { FetchSettings } from "./options.ts"
import type { AssignedPartition } from "./partition.ts"

const latest = -1
const earliest = -2

/** Where the reset policy starts a partition, as its leader says. One attempt. */
export const listOffset = (
  cluster: Cluster,
  pool: ConnectionPool,
  partition: AssignedPartition,
  settings: Pick<FetchSettings, "readCommitted" | "reset">
): Effect.Effect<number, KafkaError> =>
  Effect.gen(function*() {
    const { partition: index, topic } = partition
    const metadata = yield* cluster.topic(topic)
    const place = { operation: "ListOffsets", scope: "partition", topic, partition: index } as const
    const leader = metadata.partitions[index]
    const address = leader === undefined ? undefined : cluster.address(leader.leader)
    if (leader === undefined || address === undefined) {
      yield* cluster.refresh
      return yield* Effect.fail(fromCode(5, place))
    }
    const connection = yield* pool.get(address)
    const response = yield* connection.request(ListOffsets, {
      replicaId: -1,
      isolationLevel: settings.readCommitted ? 1 : 0,
      timeoutMs: 10_000,
      topics: [{
        name: topic,
        partitions: [{
          partitionIndex: index,
          currentLeaderEpoch: leader.leaderEpoch,
          timestamp: settings.reset === "latest" ? latest : earliest
        }]
      }]
    }, { maxVersion: 9 })
    const answer = response.topics[0]?.partitions[0]
    if (answer === undefined) {
      return yield* Effect.fail(
        new RetriableError({
          reason: { _tag: "InvalidResponse", topic, partition: index },
          scope: "partition",
          message: `ListOffsets: the answer does not name topic ${topic}, partition ${index}`
        })
      )
    }
    if (answer.errorCode !== 0) {
      const error = fromCode(answer.errorCode, place)
      if (error._tag === "RetriableError") yield* cluster.refresh
      return yield* Effect.fail(error)
    }
    return answer.offset
  })
