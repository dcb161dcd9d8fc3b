import type { ListOffsets } from "@sluice/kafka/internal/protocol/api/listOffsets"
import type { RequestOf, ResponseInput } from "@sluice/kafka/internal/protocol/field"

import { errorCode } from "./errorCode.ts"
import { checkReplica } from "./fetch.ts"
import type { TimestampedOffset } from "./log.ts"
import type { Handler, RequestContext } from "./state.ts"
import type { Partition } from "./topic.ts"

type PartitionRequest = RequestOf<typeof ListOffsets>["topics"][number]["partitions"][number]
type PartitionResponse = ResponseInput<typeof ListOffsets>["topics"][number]["partitions"][number]

/** Timestamps that mean something else. */
const special = {
  latest: -1,
  earliest: -2,
  maxTimestamp: -3,
  earliestLocal: -4,
  latestTiered: -5,
  earliestPending: -6
} as const

/** The first version that has each special timestamp; those before are in all. */
const sinceVersion: Readonly<Record<number, number>> = {
  [special.maxTimestamp]: 7,
  [special.earliestLocal]: 8,
  [special.latestTiered]: 9,
  [special.earliestPending]: 11
}

const isSupported = (timestamp: number, version: number): boolean =>
  timestamp >= special.earliest || version >= (sinceVersion[timestamp] ?? Infinity)

const find = ({ leaderEpoch, log }: Partition, timestamp: number): TimestampedOffset | undefined => {
  switch (timestamp) {
    case special.latest:
      return { offset: log.endOffset, timestamp: -1, leaderEpoch }
    case special.earliest:
    case special.earliestLocal:
      return { offset: log.startOffset, timestamp: -1, leaderEpoch: log.leaderEpochAt(log.startOffset) ?? leaderEpoch }
    case special.maxTimestamp:
      return log.latestTimestamp()
    case special.latestTiered:
    case special.earliestPending:
      return undefined
    default:
      return log.firstSince(timestamp)
  }
}

const look = (
  context: RequestContext,
  partition: Partition | undefined,
  { currentLeaderEpoch, partitionIndex, timestamp }: PartitionRequest
): PartitionResponse => {
  if (!isSupported(timestamp, context.version)) return { partitionIndex, errorCode: errorCode.UnsupportedVersion }
  if (partition === undefined) return { partitionIndex, errorCode: errorCode.UnknownTopicOrPartition }
  const code = checkReplica(partition, context.broker.id, currentLeaderEpoch, true)
  return { partitionIndex, errorCode: code, ...(code === errorCode.None ? find(partition, timestamp) : undefined) }
}

/** Finds offsets: of a log's ends, or of the first record that is not older than a timestamp. */
export const handleListOffsets: Handler<typeof ListOffsets> = (state, context, request) => ({
  topics: request.topics.map(({ name, partitions }) => ({
    name,
    partitions: partitions.map((wanted) => look(context, state.topics.partition(name, wanted.partitionIndex), wanted))
  }))
})
