import type { DeleteRecords } from "@sluice/kafka/internal/protocol/api/deleteRecords"

import { errorCode } from "./errorCode.ts"
import type { Handler } from "./state.ts"
import type { Partition } from "./topic.ts"

const highWatermark = -1

const remove = (topicIsInternal: boolean, partition: Partition, brokerId: number, wanted: number) => {
  if (topicIsInternal) return { code: errorCode.InvalidTopicException, lowWatermark: -1 }
  if (partition.leader !== brokerId) return { code: errorCode.NotLeaderOrFollower, lowWatermark: -1 }
  const { log } = partition
  const offset = wanted === highWatermark ? log.endOffset : wanted
  if (offset < 0 || offset > log.endOffset) return { code: errorCode.OffsetOutOfRange, lowWatermark: -1 }
  log.deleteBefore(offset)
  partition.notify()
  return { code: errorCode.None, lowWatermark: log.startOffset }
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
          : remove(topic.isInternal, partition, context.broker.id, offset)
        return { partitionIndex, lowWatermark, errorCode: code }
      })
    }
  })
})
