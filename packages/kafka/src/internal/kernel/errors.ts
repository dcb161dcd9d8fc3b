/** What a client finds again before it retries. */
export type Refresh = "none" | "metadata" | "coordinator"

/** One error code of the protocol, and what a well-behaved client does about it. */
export interface ErrorEntry<Tag extends string = ProtocolErrorTag> {
  readonly code: number
  /** The name in Kafka's own table: `NOT_ENOUGH_REPLICAS`. */
  readonly name: string
  /** The name as a tag: `NotEnoughReplicas`. */
  readonly tag: Tag
  /**
   * Whether the same request may succeed later without anything else being done than `refresh`. Some are retried a
   * bounded number of times only.
   */
  readonly retriable: boolean
  readonly refresh: Refresh
  /**
   * For a produce request that failed with it: whether its records may have been written all the same. What became of
   * an earlier attempt is not in question here.
   */
  readonly persisted: "no" | "maybe"
}

const permanent = <const Tag extends string>(
  code: number,
  name: string,
  tag: Tag,
  persisted: "no" | "maybe" = "no"
): ErrorEntry<Tag> => ({ code, name, tag, retriable: false, refresh: "none", persisted })

const retriable = <const Tag extends string>(
  code: number,
  name: string,
  tag: Tag,
  refresh: Refresh = "none",
  persisted: "no" | "maybe" = "no"
): ErrorEntry<Tag> => ({ code, name, tag, retriable: true, refresh, persisted })

// Differs from Java's exception classes in five codes. Clients do retry 8, 11, 55 and 129, which Java marks as final: a
// broker, controller or partition that is not available now, or metadata that is out of date. 84, which Java marks as
// retriable, says that there is nothing to do. With acks "all" a broker answers 3, 6 and 56 also when it lost the
// partition, the leadership or the disk after its own append, while it waited for the replicas: "maybe". Lost sequence state (45, 47, 49, 59) is "maybe": the broker cannot tell
// whether it has the records. So is 46, an acknowledgement without an offset that the producer takes as success.
const table = [
  permanent(-1, "UNKNOWN_SERVER_ERROR", "UnknownServerError", "maybe"),
  permanent(1, "OFFSET_OUT_OF_RANGE", "OffsetOutOfRange"),
  retriable(2, "CORRUPT_MESSAGE", "CorruptMessage"),
  retriable(3, "UNKNOWN_TOPIC_OR_PARTITION", "UnknownTopicOrPartition", "metadata", "maybe"),
  permanent(4, "INVALID_FETCH_SIZE", "InvalidFetchSize"),
  retriable(5, "LEADER_NOT_AVAILABLE", "LeaderNotAvailable", "metadata"),
  retriable(6, "NOT_LEADER_OR_FOLLOWER", "NotLeaderOrFollower", "metadata", "maybe"),
  retriable(7, "REQUEST_TIMED_OUT", "RequestTimedOut", "none", "maybe"),
  retriable(8, "BROKER_NOT_AVAILABLE", "BrokerNotAvailable", "metadata"),
  retriable(9, "REPLICA_NOT_AVAILABLE", "ReplicaNotAvailable", "metadata"),
  permanent(10, "MESSAGE_TOO_LARGE", "MessageTooLarge"),
  retriable(11, "STALE_CONTROLLER_EPOCH", "StaleControllerEpoch", "metadata"),
  permanent(12, "OFFSET_METADATA_TOO_LARGE", "OffsetMetadataTooLarge"),
  retriable(13, "NETWORK_EXCEPTION", "NetworkException", "metadata", "maybe"),
  retriable(14, "COORDINATOR_LOAD_IN_PROGRESS", "CoordinatorLoadInProgress"),
  retriable(15, "COORDINATOR_NOT_AVAILABLE", "CoordinatorNotAvailable", "coordinator"),
  retriable(16, "NOT_COORDINATOR", "NotCoordinator", "coordinator"),
  permanent(17, "INVALID_TOPIC_EXCEPTION", "InvalidTopicException"),
  permanent(18, "RECORD_LIST_TOO_LARGE", "RecordListTooLarge"),
  retriable(19, "NOT_ENOUGH_REPLICAS", "NotEnoughReplicas"),
  retriable(20, "NOT_ENOUGH_REPLICAS_AFTER_APPEND", "NotEnoughReplicasAfterAppend", "none", "maybe"),
  permanent(21, "INVALID_REQUIRED_ACKS", "InvalidRequiredAcks"),
  permanent(22, "ILLEGAL_GENERATION", "IllegalGeneration"),
  permanent(23, "INCONSISTENT_GROUP_PROTOCOL", "InconsistentGroupProtocol"),
  permanent(24, "INVALID_GROUP_ID", "InvalidGroupId"),
  permanent(25, "UNKNOWN_MEMBER_ID", "UnknownMemberId"),
  permanent(26, "INVALID_SESSION_TIMEOUT", "InvalidSessionTimeout"),
  permanent(27, "REBALANCE_IN_PROGRESS", "RebalanceInProgress"),
  permanent(28, "INVALID_COMMIT_OFFSET_SIZE", "InvalidCommitOffsetSize"),
  permanent(29, "TOPIC_AUTHORIZATION_FAILED", "TopicAuthorizationFailed"),
  permanent(30, "GROUP_AUTHORIZATION_FAILED", "GroupAuthorizationFailed"),
  permanent(31, "CLUSTER_AUTHORIZATION_FAILED", "ClusterAuthorizationFailed"),
  permanent(32, "INVALID_TIMESTAMP", "InvalidTimestamp"),
  permanent(33, "UNSUPPORTED_SASL_MECHANISM", "UnsupportedSaslMechanism"),
  permanent(34, "ILLEGAL_SASL_STATE", "IllegalSaslState"),
  permanent(35, "UNSUPPORTED_VERSION", "UnsupportedVersion"),
  permanent(36, "TOPIC_ALREADY_EXISTS", "TopicAlreadyExists"),
  permanent(37, "INVALID_PARTITIONS", "InvalidPartitions"),
  permanent(38, "INVALID_REPLICATION_FACTOR", "InvalidReplicationFactor"),
  permanent(39, "INVALID_REPLICA_ASSIGNMENT", "InvalidReplicaAssignment"),
  permanent(40, "INVALID_CONFIG", "InvalidConfig"),
  retriable(41, "NOT_CONTROLLER", "NotController", "metadata"),
  permanent(42, "INVALID_REQUEST", "InvalidRequest"),
  permanent(43, "UNSUPPORTED_FOR_MESSAGE_FORMAT", "UnsupportedForMessageFormat"),
  permanent(44, "POLICY_VIOLATION", "PolicyViolation"),
  permanent(45, "OUT_OF_ORDER_SEQUENCE_NUMBER", "OutOfOrderSequenceNumber", "maybe"),
  permanent(46, "DUPLICATE_SEQUENCE_NUMBER", "DuplicateSequenceNumber", "maybe"),
  permanent(47, "INVALID_PRODUCER_EPOCH", "InvalidProducerEpoch", "maybe"),
  permanent(48, "INVALID_TXN_STATE", "InvalidTxnState"),
  permanent(49, "INVALID_PRODUCER_ID_MAPPING", "InvalidProducerIdMapping", "maybe"),
  permanent(50, "INVALID_TRANSACTION_TIMEOUT", "InvalidTransactionTimeout"),
  retriable(51, "CONCURRENT_TRANSACTIONS", "ConcurrentTransactions"),
  permanent(52, "TRANSACTION_COORDINATOR_FENCED", "TransactionCoordinatorFenced"),
  permanent(53, "TRANSACTIONAL_ID_AUTHORIZATION_FAILED", "TransactionalIdAuthorizationFailed"),
  permanent(54, "SECURITY_DISABLED", "SecurityDisabled"),
  retriable(55, "OPERATION_NOT_ATTEMPTED", "OperationNotAttempted"),
  retriable(56, "KAFKA_STORAGE_ERROR", "KafkaStorageError", "metadata", "maybe"),
  permanent(57, "LOG_DIR_NOT_FOUND", "LogDirNotFound"),
  permanent(58, "SASL_AUTHENTICATION_FAILED", "SaslAuthenticationFailed"),
  permanent(59, "UNKNOWN_PRODUCER_ID", "UnknownProducerId", "maybe"),
  permanent(60, "REASSIGNMENT_IN_PROGRESS", "ReassignmentInProgress"),
  permanent(61, "DELEGATION_TOKEN_AUTH_DISABLED", "DelegationTokenAuthDisabled"),
  permanent(62, "DELEGATION_TOKEN_NOT_FOUND", "DelegationTokenNotFound"),
  permanent(63, "DELEGATION_TOKEN_OWNER_MISMATCH", "DelegationTokenOwnerMismatch"),
  permanent(64, "DELEGATION_TOKEN_REQUEST_NOT_ALLOWED", "DelegationTokenRequestNotAllowed"),
  permanent(65, "DELEGATION_TOKEN_AUTHORIZATION_FAILED", "DelegationTokenAuthorizationFailed"),
  permanent(66, "DELEGATION_TOKEN_EXPIRED", "DelegationTokenExpired"),
  permanent(67, "INVALID_PRINCIPAL_TYPE", "InvalidPrincipalType"),
  permanent(68, "NON_EMPTY_GROUP", "NonEmptyGroup"),
  permanent(69, "GROUP_ID_NOT_FOUND", "GroupIdNotFound"),
  retriable(70, "FETCH_SESSION_ID_NOT_FOUND", "FetchSessionIdNotFound"),
  retriable(71, "INVALID_FETCH_SESSION_EPOCH", "InvalidFetchSessionEpoch"),
  retriable(72, "LISTENER_NOT_FOUND", "ListenerNotFound", "metadata"),
  permanent(73, "TOPIC_DELETION_DISABLED", "TopicDeletionDisabled"),
  retriable(74, "FENCED_LEADER_EPOCH", "FencedLeaderEpoch", "metadata"),
  retriable(75, "UNKNOWN_LEADER_EPOCH", "UnknownLeaderEpoch"),
  permanent(76, "UNSUPPORTED_COMPRESSION_TYPE", "UnsupportedCompressionType"),
  permanent(77, "STALE_BROKER_EPOCH", "StaleBrokerEpoch"),
  retriable(78, "OFFSET_NOT_AVAILABLE", "OffsetNotAvailable"),
  permanent(79, "MEMBER_ID_REQUIRED", "MemberIdRequired"),
  retriable(80, "PREFERRED_LEADER_NOT_AVAILABLE", "PreferredLeaderNotAvailable", "metadata"),
  permanent(81, "GROUP_MAX_SIZE_REACHED", "GroupMaxSizeReached"),
  permanent(82, "FENCED_INSTANCE_ID", "FencedInstanceId"),
  retriable(83, "ELIGIBLE_LEADERS_NOT_AVAILABLE", "EligibleLeadersNotAvailable", "metadata"),
  permanent(84, "ELECTION_NOT_NEEDED", "ElectionNotNeeded"),
  permanent(85, "NO_REASSIGNMENT_IN_PROGRESS", "NoReassignmentInProgress"),
  permanent(86, "GROUP_SUBSCRIBED_TO_TOPIC", "GroupSubscribedToTopic"),
  permanent(87, "INVALID_RECORD", "InvalidRecord"),
  retriable(88, "UNSTABLE_OFFSET_COMMIT", "UnstableOffsetCommit"),
  retriable(89, "THROTTLING_QUOTA_EXCEEDED", "ThrottlingQuotaExceeded"),
  permanent(90, "PRODUCER_FENCED", "ProducerFenced"),
  permanent(91, "RESOURCE_NOT_FOUND", "ResourceNotFound"),
  permanent(92, "DUPLICATE_RESOURCE", "DuplicateResource"),
  permanent(93, "UNACCEPTABLE_CREDENTIAL", "UnacceptableCredential"),
  permanent(94, "INCONSISTENT_VOTER_SET", "InconsistentVoterSet"),
  permanent(95, "INVALID_UPDATE_VERSION", "InvalidUpdateVersion"),
  permanent(96, "FEATURE_UPDATE_FAILED", "FeatureUpdateFailed"),
  permanent(97, "PRINCIPAL_DESERIALIZATION_FAILURE", "PrincipalDeserializationFailure"),
  permanent(98, "SNAPSHOT_NOT_FOUND", "SnapshotNotFound"),
  permanent(99, "POSITION_OUT_OF_RANGE", "PositionOutOfRange"),
  retriable(100, "UNKNOWN_TOPIC_ID", "UnknownTopicId", "metadata"),
  permanent(101, "DUPLICATE_BROKER_REGISTRATION", "DuplicateBrokerRegistration"),
  permanent(102, "BROKER_ID_NOT_REGISTERED", "BrokerIdNotRegistered"),
  retriable(103, "INCONSISTENT_TOPIC_ID", "InconsistentTopicId", "metadata"),
  permanent(104, "INCONSISTENT_CLUSTER_ID", "InconsistentClusterId"),
  permanent(105, "TRANSACTIONAL_ID_NOT_FOUND", "TransactionalIdNotFound"),
  retriable(106, "FETCH_SESSION_TOPIC_ID_ERROR", "FetchSessionTopicIdError"),
  permanent(107, "INELIGIBLE_REPLICA", "IneligibleReplica"),
  permanent(108, "NEW_LEADER_ELECTED", "NewLeaderElected"),
  permanent(109, "OFFSET_MOVED_TO_TIERED_STORAGE", "OffsetMovedToTieredStorage"),
  permanent(110, "FENCED_MEMBER_EPOCH", "FencedMemberEpoch"),
  permanent(111, "UNRELEASED_INSTANCE_ID", "UnreleasedInstanceId"),
  permanent(112, "UNSUPPORTED_ASSIGNOR", "UnsupportedAssignor"),
  permanent(113, "STALE_MEMBER_EPOCH", "StaleMemberEpoch"),
  permanent(114, "MISMATCHED_ENDPOINT_TYPE", "MismatchedEndpointType"),
  permanent(115, "UNSUPPORTED_ENDPOINT_TYPE", "UnsupportedEndpointType"),
  permanent(116, "UNKNOWN_CONTROLLER_ID", "UnknownControllerId"),
  permanent(117, "UNKNOWN_SUBSCRIPTION_ID", "UnknownSubscriptionId"),
  permanent(118, "TELEMETRY_TOO_LARGE", "TelemetryTooLarge"),
  permanent(119, "INVALID_REGISTRATION", "InvalidRegistration"),
  permanent(120, "TRANSACTION_ABORTABLE", "TransactionAbortable"),
  permanent(121, "INVALID_RECORD_STATE", "InvalidRecordState"),
  retriable(122, "SHARE_SESSION_NOT_FOUND", "ShareSessionNotFound"),
  retriable(123, "INVALID_SHARE_SESSION_EPOCH", "InvalidShareSessionEpoch"),
  permanent(124, "FENCED_STATE_EPOCH", "FencedStateEpoch"),
  permanent(125, "INVALID_VOTER_KEY", "InvalidVoterKey"),
  permanent(126, "DUPLICATE_VOTER", "DuplicateVoter"),
  permanent(127, "VOTER_NOT_FOUND", "VoterNotFound"),
  permanent(128, "INVALID_REGULAR_EXPRESSION", "InvalidRegularExpression"),
  retriable(129, "REBOOTSTRAP_REQUIRED", "RebootstrapRequired", "metadata"),
  permanent(130, "STREAMS_INVALID_TOPOLOGY", "StreamsInvalidTopology"),
  permanent(131, "STREAMS_INVALID_TOPOLOGY_EPOCH", "StreamsInvalidTopologyEpoch"),
  permanent(132, "STREAMS_TOPOLOGY_FENCED", "StreamsTopologyFenced"),
  retriable(133, "SHARE_SESSION_LIMIT_REACHED", "ShareSessionLimitReached")
] as const

/** Names an error of the protocol; `Unknown` is any code that is not in the table, such as a newer broker's. */
export type ProtocolErrorTag = (typeof table)[number]["tag"] | "Unknown"

const byCode: ReadonlyMap<number, ErrorEntry> = new Map(
  table.map((entry): [number, ErrorEntry] => [entry.code, entry])
)

/** Every code of the protocol but 0, which is no error. */
export const errors: ReadonlyArray<ErrorEntry> = table

/**
 * What an error code means. A code that is not known is final, and tagged `Unknown`, as is 0, which is no error: check
 * for it before.
 */
export const errorOf = (code: number): ErrorEntry =>
  byCode.get(code) ??
    { code, name: `UNKNOWN_${code}`, tag: "Unknown", retriable: false, refresh: "none", persisted: "maybe" }
