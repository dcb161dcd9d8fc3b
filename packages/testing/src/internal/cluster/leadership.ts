import { noLeader, type Partition } from "./topic.ts"

/** Tells whether a broker runs. */
export type IsAlive = (brokerId: number) => boolean

/**
 * Each change of the leader is a new epoch, no leader among them, and wakes those who watch the partition. Says whether
 * there was a change.
 */
export const changeLeader = (partition: Partition, leader: number): boolean => {
  if (partition.leader === leader) return false
  partition.leader = leader
  partition.leaderEpoch++
  partition.notify()
  return true
}

const elect = (partition: Partition, isAlive: IsAlive): number =>
  partition.replicas.find((id) => isAlive(id) && partition.inSyncReplicas.includes(id)) ?? noLeader

/**
 * A broker has stopped: it leaves the in-sync replicas unless it is the last of them, and another of them leads (unclean
 * election is off). Says whether the leader changed.
 */
export const afterBrokerStopped = (partition: Partition, brokerId: number, isAlive: IsAlive): boolean => {
  if (!partition.replicas.includes(brokerId)) return false
  const remaining = partition.inSyncReplicas.filter((id) => id !== brokerId)
  if (remaining.length > 0) partition.inSyncReplicas = remaining
  return partition.leader === brokerId && changeLeader(partition, elect(partition, isAlive))
}

/**
 * A broker has started again: it catches up with the leader at once, or leads where nobody does and it may. It does not
 * take leaderships back. Says whether the leader changed.
 */
export const afterBrokerStarted = (partition: Partition, brokerId: number, isAlive: IsAlive): boolean => {
  if (!partition.replicas.includes(brokerId)) return false
  const changed = partition.leader === noLeader && changeLeader(partition, elect(partition, isAlive))
  if (partition.leader !== noLeader && !partition.inSyncReplicas.includes(brokerId)) {
    partition.inSyncReplicas = [...partition.inSyncReplicas, brokerId]
  }
  return changed
}
