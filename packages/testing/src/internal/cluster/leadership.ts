import { changeInSyncReplicas, replicate } from "./replication.ts"
import type { ClusterState } from "./state.ts"
import { noLeader, type Partition } from "./topic.ts"

/**
 * Each change of the leader is a new epoch, no leader among them, and wakes those who watch the partition. What a new
 * leader does not have is gone. Says whether there was a change.
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
  partition.highWatermark = Math.min(partition.highWatermark, offset)
  partition.producers.truncateTo(offset)
  state.observe({ _tag: "Truncated", topic: partition.topicName, partition: partition.index, offset }, now)
}

/** The first replica leads that runs and is in sync; else, where the topic allows that, one that is not, and only that is in sync then. */
const elect = (state: ClusterState, partition: Partition, now: number): boolean => {
  const active = partition.replicas.filter(state.isActive)
  const inSync = active.find((id) => partition.inSyncReplicas.includes(id))
  const [behind] = inSync === undefined && partition.electsUnclean ? active : []
  if (behind !== undefined) changeInSyncReplicas(state, partition, [behind], now)
  return changeLeader(state, partition, inSync ?? behind ?? noLeader, now)
}

/** The in-sync replica after the leader, in the order of the replicas, that runs; `undefined` if there is no other. */
export const nextLeader = (state: ClusterState, partition: Partition): number | undefined => {
  const { inSyncReplicas, leader, replicas } = partition
  const after = replicas.indexOf(leader) + 1
  return [...replicas.slice(after), ...replicas.slice(0, after)]
    .find((id) => id !== leader && state.isActive(id) && state.isServing(id) && inSyncReplicas.includes(id))
}

/**
 * A broker is fenced: it leaves the in-sync replicas unless it is the last of them, and another one leads. Says whether the leader changed.
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
  if (partition.leader === brokerId) return elect(state, partition, now)
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
  if (partition.leader === noLeader) return elect(state, partition, now)
  replicate(state, partition, now)
  return false
}
