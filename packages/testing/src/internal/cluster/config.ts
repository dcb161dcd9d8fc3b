import { builtInCodecs, type CodecLookup } from "@sluice/kafka/internal/kernel/compression"

/** The settings of the brokers, named as Kafka names them. Defaults are Kafka's but for the initial rebalance delay. */
export interface ClusterConfig {
  /** `message.max.bytes`: of one batch; a topic's `max.message.bytes` wins. */
  readonly messageMaxBytes: number
  /** `log.segment.bytes`; 1 MiB here: a fetch never reads across a segment's end. */
  readonly logSegmentBytes: number
  /** `default.replication.factor` and `num.partitions` of topics that are created without. */
  readonly defaultReplicationFactor: number
  readonly numPartitions: number
  /** `min.insync.replicas`; a topic's own wins. */
  readonly minInsyncReplicas: number
  /**
   * How long a follower's fetch takes: 0 for not at all, so that followers are never behind. Of several followers of a
   * partition the second takes twice as long, and so on, so that they are not all at the same place. All of that is to
   * be well below `replicaLagTimeMaxMs`.
   */
  readonly replicationDelayMs: number
  /** `replica.lag.time.max.ms`: who has not caught up with the leader for as long is not in sync. */
  readonly replicaLagTimeMaxMs: number
  /** `broker.session.timeout.ms`: a broker that hangs for as long is fenced. One that dies is fenced at once. */
  readonly brokerSessionTimeoutMs: number
  /** `log.retention.check.interval.ms`. */
  readonly logRetentionCheckIntervalMs: number
  /** What the brokers' wall clock says at time 0, in milliseconds since 1970: the age of records is told by it. */
  readonly wallStartMs: number
  /** How long a broker loads a group that it coordinates from now on. */
  readonly coordinatorLoadMs: number
  /** `group.initial.rebalance.delay.ms`: 0 here, so that tests need not wait. */
  readonly groupInitialRebalanceDelayMs: number
  readonly groupMinSessionTimeoutMs: number
  readonly groupMaxSessionTimeoutMs: number
  /** How long a new member's first JoinGroup may stay parked. */
  readonly groupNewMemberJoinTimeoutMs: number
  /** `offset.metadata.max.bytes`. */
  readonly offsetMetadataMaxBytes: number
  /** `max.incremental.fetch.session.cache.slots`: who comes when all are taken is served without a session. */
  readonly maxFetchSessions: number
  /** What the brokers can expand. Batches of other types are taken and given all the same, since nothing looks inside. */
  readonly codecs: CodecLookup
}

/** What a cluster has unless it is told otherwise. */
export const defaultConfig: ClusterConfig = {
  messageMaxBytes: 1024 * 1024 + 12,
  logSegmentBytes: 1024 * 1024,
  defaultReplicationFactor: 1,
  numPartitions: 1,
  minInsyncReplicas: 1,
  replicationDelayMs: 0,
  replicaLagTimeMaxMs: 30_000,
  brokerSessionTimeoutMs: 9000,
  logRetentionCheckIntervalMs: 300_000,
  wallStartMs: 0,
  coordinatorLoadMs: 0,
  groupInitialRebalanceDelayMs: 0,
  groupMinSessionTimeoutMs: 6000,
  groupMaxSessionTimeoutMs: 1_800_000,
  groupNewMemberJoinTimeoutMs: 300_000,
  offsetMetadataMaxBytes: 4096,
  maxFetchSessions: 1000,
  codecs: builtInCodecs
}
