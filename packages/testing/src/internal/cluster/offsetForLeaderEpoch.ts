import type { OffsetForLeaderEpoch } from "@sluice/kafka/internal/protocol/api/offsetForLeaderEpoch"

import { errorCode } from "./errorCode.ts"
import { checkReplica } from "./fetch.ts"
import type { Handler } from "./state.ts"
import type { Partition } from "./topic.ts"

const undefinedEpoch = { leaderEpoch: -1, endOffset: -1 }

/** Where the last epoch ends that is not newer than `epoch`. */
const endOf = (partition: Partition, epoch: number): { readonly leaderEpoch: number; readonly endOffset: number } => {
  const { epochStartOffset, leaderEpoch, log } = partition
  if (epoch < 0 || epoch > leaderEpoch) return undefinedEpoch
  if (epoch === leaderEpoch) return { leaderEpoch, endOffset: log.endOffset }
  let floor: number | undefined
  for (const { leaderEpoch: each, startOffset } of log.leaderEpochs()) {
    if (each > epoch) return { leaderEpoch: floor ?? epoch, endOffset: startOffset }
    floor = each
  }
  return { leaderEpoch: floor ?? epoch, endOffset: epochStartOffset }
}

/** Tells a consumer up to where its log and the leader's agree. */
export const handleOffsetForLeaderEpoch: Handler<typeof OffsetForLeaderEpoch> = (state, context, request) => ({
  topics: request.topics.map(({ partitions, topic }) => ({
    topic,
    partitions: partitions.map(({ currentLeaderEpoch, leaderEpoch, partition: index }) => {
      const partition = state.topics.partition(topic, index)
      const code = partition === undefined
        ? errorCode.UnknownTopicOrPartition
        : checkReplica(partition, context.broker.id, currentLeaderEpoch, true)
      return partition === undefined || code !== errorCode.None
        ? { partition: index, errorCode: code, ...undefinedEpoch }
        : { partition: index, errorCode: code, ...endOf(partition, leaderEpoch) }
    })
  }))
})
