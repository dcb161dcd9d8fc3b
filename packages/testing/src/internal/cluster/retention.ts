import { deleteBefore } from "./deleteRecords.ts"
import type { ClusterState } from "./state.ts"
import type { Partition, Topic } from "./topic.ts"

/** Whether anything is ever deleted from a topic because it is old, or one of too many. */
const hasRetention = ({ retentionBytes, retentionMs }: Topic): boolean => retentionMs >= 0 || retentionBytes >= 0

/**
 * To be called when something was appended: whether it is to be deleted again is looked at in intervals, as long as there
 * is something in a topic with retention. Compaction would look at the same times.
 */
export const watchRetention = (state: ClusterState, topic: Topic, now: number): void => {
  if (hasRetention(topic)) scheduleCheck(state, now)
}

const scheduleCheck = (state: ClusterState, now: number): void => {
  if (state.retentionCheck !== undefined) return
  const interval = state.config.logRetentionCheckIntervalMs
  state.retentionCheck = state.timers.schedule((Math.floor(now / interval) + 1) * interval, (time) => {
    state.retentionCheck = undefined
    let isLeft = false
    for (const topic of state.topics.all()) {
      if (!hasRetention(topic)) continue
      for (const partition of topic.partitions) {
        deleteBefore(state, partition, endOfExpired(topic, partition, state.config.wallStartMs + time), time)
        if (partition.log.endOffset > partition.log.startOffset) isLeft = true
      }
    }
    if (isLeft) scheduleCheck(state, time)
  })
}

/**
 * Where the segments end that go, oldest first and whole: all of their records are too old, or the others alone are as
 * large as the topic wants. The newest segment is as any other: a broker begins a new one in its place. What is not
 * committed yet stays.
 */
const endOfExpired = (
  { retentionBytes, retentionMs }: Topic,
  { highWatermark, log }: Partition,
  wallTime: number
): number => {
  const segments = log.segmentInfos()
  let surplus = retentionBytes < 0
    ? -1
    : segments.reduce((total, segment) => total + segment.bytes, 0) - retentionBytes
  let end = log.startOffset
  for (const { bytes, largestTimestamp, lastOffset } of segments) {
    const isOld = retentionMs >= 0 && wallTime - largestTimestamp > retentionMs
    surplus -= bytes
    if ((!isOld && surplus < 0) || lastOffset >= highWatermark) break
    end = lastOffset + 1
  }
  return end
}
