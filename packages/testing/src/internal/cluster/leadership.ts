import { changeInSyncReplicas, replicate } from "./replication.ts"
import type { ClusterState } from "./state.ts"
import { noLeader, type Partition } from "./topic.ts"

/**
 * Each change of the leader is a new epoch, no leader among them, and wakes those who watch the partition. A new leader
 * must be in sync. What it does not have is gone. Says whether there was a change.
 */
export const changeLeader = (state: ClusterState, partition: Partition, leader: number, now: number): boolean => {
  if (partition.leader === leader) return false
  const endOffset = leader === noLeader ? partition.log.endOffset : partition.endOffsetOf(leader)
  partition.leader = leader
  partition.leaderEpoch++
  const { index, leaderEpoch, topicName } = partition
  state.observe({ _tag: "LeaderChanged", topic: topicName, partition: index, leader, leaderEpoch }, now)
  if (leader !== noLeader) {
    truncate(state, partition, endOffset, now)
    partition.epochStartOffset = endOffset
    for (const replica of partition.replicaStates) {
      replica.fetch = undefined
      replica.caughtUpAt = partition.inSyncReplicas.includes(replica.brokerId) ? now : -Infinity
    }
  }
  replicate(state, partition, now)
  partition.notify()
  return true
}

const truncate = (state: ClusterState, partition: Partition, offset: number, now: number): void => {
  // Also what another follower or the old leader has from there on: it drops that before it fetches from the new one.
  for (const replica of partition.replicaStates) replica.endOffset = Math.min(replica.endOffset, offset)
  if (offset >= partition.log.endOffset) return
  partition.log.truncateTo(offset)
  partition.producers.truncateTo(offset)
  state.observe({ _tag: "Truncated", topic: partition.topicName, partition: partition.index, offset }, now)
}

const elect = (state: ClusterState, partition: Partition): number =>
  partition.replicas.find((id) => state.isActive(id) && partition.inSyncReplicas.includes(id)) ?? noLeader

/** The in-sync replica after the leader, in the order of the replicas, that runs; `undefined` if there is no other. */
export const nextLeader = (state: ClusterState, partition: Partition): number | undefined => {
  const { inSyncReplicas, leader, replicas } = partition
  const after = replicas.indexOf(leader) + 1
  return [...replicas.slice(after), ...replicas.slice(0, after)]
    .find((id) => id !== leader && state.isActive(id) && state.isServing(id) && inSyncReplicas.includes(id))
}

/**
 * A broker is fenced: it leaves the in-sync replicas unless it is the last of them, and another of them leads (unclean
 * election is off). Says whether the leader changed.
 */
export const afterBrokerFenced = (
  state: ClusterState,
  partition: Partition,
  brokerId: number,
  now: number
): boolean => {
  if (!partition.replicas.includes(brokerId)) return false
  const remaining = partition.inSyncReplicas.filter((id) => id !== brokerId)
  const leaves = remaining.length > 0 && remaining.length < partition.inSyncReplicas.length
  if (leaves) changeInSyncReplicas(state, partition, remaining, now)
  if (partition.leader === brokerId) return changeLeader(state, partition, elect(state, partition), now)
  if (leaves) replicate(state, partition, now)
  return false
}

/**
 * A broker is in the cluster again: it fetches what it lacks, or leads where nobody does and it may. It does not take
 * leaderships back. Says whether the leader changed.
 */
export const afterBrokerUnfenced = (
  state: ClusterState,
  partition: Partition,
  brokerId: number,
  now: number
): boolean => {
  if (!partition.replicas.includes(brokerId)) return false
  if (partition.leader === noLeader) return changeLeader(state, partition, elect(state, partition), now)
  replicate(state, partition, now)
  return false
}
