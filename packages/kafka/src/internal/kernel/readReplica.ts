/** A replica that a partition's leader told a consumer to read from (KIP-392). */
export interface PreferredReplica {
  readonly broker: number
  /** Of the leader that said so: the next one may know better. */
  readonly leaderEpoch: number
  /** Until when it holds, in milliseconds. */
  readonly until: number
}

/** What is known when it is decided where to read. */
export interface ReplicaView {
  /** -1 for none. */
  readonly leader: number
  readonly leaderEpoch: number
  /** Milliseconds. */
  readonly now: number
}

/**
 * Whether to go on reading from the preferred replica; else the leader is asked, which names another one if it knows of
 * one. Not past its time, since replicas come and go, and not in another epoch: what was read is compared with the log of
 * the new leader first.
 */
export const holdsStill = (preferred: PreferredReplica, { leader, leaderEpoch, now }: ReplicaView): boolean =>
  preferred.broker !== leader && preferred.leaderEpoch === leaderEpoch && now < preferred.until
