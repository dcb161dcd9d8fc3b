import type { DeleteRecords } from "@sluice/kafka/internal/protocol/api/deleteRecords"

import { errorCode } from "./errorCode.ts"
import type { ClusterState, Handler, RequestContext } from "./state.ts"
import type { Partition, Topic } from "./topic.ts"

const highWatermark = -1

/**
 * Forgets what is before an offset that is not past the high watermark. A parked fetch of what is gone learns of it when
 * something else happens, as on a broker.
 */
export const deleteBefore = (state: ClusterState, partition: Partition, offset: number, now: number): void => {
  if (offset <= partition.log.startOffset) return
  partition.log.deleteBefore(offset)
  state.observe({ _tag: "Deleted", topic: partition.topicName, partition: partition.index, offset }, now)
}

const remove = (state: ClusterState, context: RequestContext, topic: Topic, partition: Partition, wanted: number) => {
  if (topic.isInternal) return { code: errorCode.InvalidTopicException, lowWatermark: -1 }
  if (partition.leader !== context.broker.id) return { code: errorCode.NotLeaderOrFollower, lowWatermark: -1 }
  const offset = wanted === highWatermark ? partition.highWatermark : wanted
  if (offset < 0 || offset > partition.highWatermark) return { code: errorCode.OffsetOutOfRange, lowWatermark: -1 }
  deleteBefore(state, partition, offset, context.now)
  return { code: errorCode.None, lowWatermark: partition.log.startOffset }
}

/** Deletes what is before an offset. The low watermark is where the log begins then. */
export const handleDeleteRecords: Handler<typeof DeleteRecords> = (state, context, request) => ({
  topics: request.topics.map(({ name, partitions }) => {
    const topic = state.topics.get(name)
    return {
      name,
      partitions: partitions.map(({ offset, partitionIndex }) => {
        const partition = topic?.partitions[partitionIndex]
        const { code, lowWatermark } = topic === undefined || partition === undefined
          ? { code: errorCode.UnknownTopicOrPartition, lowWatermark: -1 }
          : remove(state, context, topic, partition, offset)
        return { partitionIndex, lowWatermark, errorCode: code }
      })
    }
  })
})
