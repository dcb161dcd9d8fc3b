import type { ClusterState } from "./state.ts"
import { noLeader, type Partition, type Replica } from "./topic.ts"

/** Whether a follower has all that its leader has, or had it not too long ago. */
const isCaughtUp = (state: ClusterState, partition: Partition, replica: Replica, now: number): boolean =>
  replica.endOffset >= partition.log.endOffset || now - replica.caughtUpAt <= state.config.replicaLagTimeMaxMs

/** Says that the in-sync replicas are others now. */
export const changeInSyncReplicas = (
  state: ClusterState,
  partition: Partition,
  inSyncReplicas: ReadonlyArray<number>,
  now: number
): void => {
  partition.inSyncReplicas = inSyncReplicas
  const { index, topicName } = partition
  state.observe({ _tag: "InSyncReplicasChanged", topic: topicName, partition: index, inSyncReplicas }, now)
}

/** The leader has appended what is in the log from `previousEnd` on. */
export const afterAppend = (state: ClusterState, partition: Partition, previousEnd: number, now: number): void => {
  for (const replica of partition.replicaStates) {
    if (replica.endOffset === previousEnd && state.replicates(replica.brokerId)) replica.caughtUpAt = now
  }
  replicate(state, partition, now)
}

/**
 * Brings the followers on as far as they can be now, and what depends on it: who is in sync, and the high watermark.
 * To be called whenever the log has grown, the leader or the in-sync replicas have changed, or a broker hangs or goes on.
 */
export const replicate = (state: ClusterState, partition: Partition, now: number): void => {
  const { leader } = partition
  // Who is in sync is the leader's to say, and nobody can fetch from one that hangs.
  if (leader === noLeader || !state.replicates(leader)) {
    for (const replica of partition.replicaStates) replica.fetch = undefined
    return schedule(state, partition, undefined)
  }
  advanceFollowers(state, partition, now)
  updateInSyncReplicas(state, partition, now)
  const isHigher = raiseHighWatermark(state, partition, now)
  schedule(state, partition, nextEvent(state, partition))
  if (isHigher) partition.notify()
}

const advanceFollowers = (state: ClusterState, partition: Partition, now: number): void => {
  const { leader, log, replicaStates } = partition
  let rank = 0
  for (const replica of replicaStates) {
    if (replica.brokerId === leader) {
      replica.endOffset = log.endOffset
      continue
    }
    const delay = ++rank * state.config.replicationDelayMs
    if (!state.replicates(replica.brokerId)) {
      replica.fetch = undefined
    } else if (delay === 0) {
      replica.endOffset = log.endOffset
      replica.caughtUpAt = now
    } else {
      if (replica.fetch !== undefined && replica.fetch.dueAt <= now) {
        replica.endOffset = replica.fetch.upTo
        replica.caughtUpAt = replica.fetch.begunAt
        replica.fetch = undefined
      }
      if (replica.fetch === undefined && replica.endOffset < log.endOffset) {
        replica.fetch = { upTo: log.endOffset, begunAt: now, dueAt: now + delay }
      }
    }
  }
}

/** Who lags leaves; who has all that is committed, and all from before this leader, comes back. */
const updateInSyncReplicas = (state: ClusterState, partition: Partition, now: number): void => {
  const { epochStartOffset, highWatermark, leader, replicaStates } = partition
  let inSync = partition.inSyncReplicas
  for (const replica of replicaStates) {
    const { brokerId, endOffset } = replica
    if (brokerId === leader) continue
    if (inSync.includes(brokerId)) {
      if (!isCaughtUp(state, partition, replica, now)) inSync = inSync.filter((id) => id !== brokerId)
    } else if (state.replicates(brokerId) && endOffset >= highWatermark && endOffset >= epochStartOffset) {
      inSync = [...inSync, brokerId]
      // It may lack what is not committed, and has as long as any other to fetch it.
      replica.caughtUpAt = now
    }
  }
  if (inSync !== partition.inSyncReplicas) changeInSyncReplicas(state, partition, inSync, now)
}

/**
 * The high watermark is the lowest end of the in-sync replicas; and of those that have just caught up, else they would
 * never be in sync while the log grows. With too few in-sync replicas it stays, since Kafka 4.0 (KIP-966): nothing is
 * committed meanwhile. Says whether it is higher now.
 */
const raiseHighWatermark = (state: ClusterState, partition: Partition, now: number): boolean => {
  if (!partition.hasEnoughReplicas) return false
  const { inSyncReplicas, log, replicaStates } = partition
  let lowest = log.endOffset
  for (const replica of replicaStates) {
    if (replica.endOffset >= lowest) continue
    const counts = inSyncReplicas.includes(replica.brokerId) ||
      (state.replicates(replica.brokerId) && isCaughtUp(state, partition, replica, now))
    if (counts) lowest = replica.endOffset
  }
  if (lowest <= partition.highWatermark) return false
  partition.highWatermark = lowest
  return true
}

/** When a fetch is done, or a follower that does not fetch has lagged for too long. */
const nextEvent = (state: ClusterState, partition: Partition): number | undefined => {
  let next = Infinity
  for (const replica of partition.replicaStates) {
    if (replica.endOffset >= partition.log.endOffset) continue
    if (replica.fetch !== undefined) next = Math.min(next, replica.fetch.dueAt)
    if (partition.inSyncReplicas.includes(replica.brokerId)) {
      next = Math.min(next, replica.caughtUpAt + state.config.replicaLagTimeMaxMs + 1)
    }
  }
  return next === Infinity ? undefined : next
}

const schedule = (state: ClusterState, partition: Partition, at: number | undefined): void => {
  const { replicationTimer } = partition
  if (replicationTimer?.at === at) return
  replicationTimer?.cancel()
  partition.replicationTimer = at === undefined ? undefined : state.timers.schedule(at, (now) => {
    partition.replicationTimer = undefined
    replicate(state, partition, now)
  })
}
