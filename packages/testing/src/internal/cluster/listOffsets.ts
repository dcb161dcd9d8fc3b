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

/** What is committed, and not found there either yet: the leader is new and does not know how far that is (KIP-207). */
const find = (partition: Partition, timestamp: number): TimestampedOffset | "Unknown" | undefined => {
  const { epochStartOffset, highWatermark, leaderEpoch, log } = partition
  const isCommittedKnown = highWatermark >= epochStartOffset
  const committed = (found: TimestampedOffset | undefined) =>
    found !== undefined && found.offset < highWatermark ? found : isCommittedKnown ? undefined : "Unknown"
  switch (timestamp) {
    case special.latest:
      return isCommittedKnown ? { offset: highWatermark, timestamp: -1, leaderEpoch } : "Unknown"
    case special.earliest:
    case special.earliestLocal:
      return { offset: log.startOffset, timestamp: -1, leaderEpoch: log.leaderEpochAt(log.startOffset) ?? leaderEpoch }
    case special.maxTimestamp:
      return committed(log.latestTimestamp())
    case special.latestTiered:
    case special.earliestPending:
      return undefined
    default:
      return committed(log.firstSince(timestamp))
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
  if (code !== errorCode.None) return { partitionIndex, errorCode: code }
  const found = find(partition, timestamp)
  return found === "Unknown"
    ? { partitionIndex, errorCode: errorCode.OffsetNotAvailable }
    : { partitionIndex, errorCode: errorCode.None, ...found }
}

/**
 * Finds offsets: of a log's ends, or of the first record that is not older than a timestamp. A partition that is asked
 * for twice is answered once, as a mistake.
 */
export const handleListOffsets: Handler<typeof ListOffsets> = (state, context, request) => ({
  topics: request.topics.map(({ name, partitions }) => {
    const indexes = partitions.map(({ partitionIndex }) => partitionIndex)
    return {
      name,
      partitions: Array.from(new Set(indexes), (partitionIndex) => {
        const first = indexes.indexOf(partitionIndex)
        return first === indexes.lastIndexOf(partitionIndex)
          ? look(context, state.topics.partition(name, partitionIndex), partitions[first]!)
          : { partitionIndex, errorCode: errorCode.InvalidRequest }
      })
    }
  })
})
