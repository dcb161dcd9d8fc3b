import type { Assignor } from "./assignor.ts"
import { type TopicPartition, topicPartitionKey } from "./topicPartition.ts"

/** How one assignment follows from another. */
export interface AssignmentDiff {
  /** To be started. */
  readonly added: ReadonlyArray<TopicPartition>
  /** Untouched: they go on while the group rebalances. */
  readonly kept: ReadonlyArray<TopicPartition>
  /** To be drained, committed and given up. */
  readonly revoked: ReadonlyArray<TopicPartition>
}

/** Compares what a member owns with what it is assigned. */
export const diffAssignment = (
  owned: ReadonlyArray<TopicPartition>,
  assigned: ReadonlyArray<TopicPartition>
): AssignmentDiff => {
  const ownedKeys = new Set(owned.map(topicPartitionKey))
  const assignedKeys = new Set(assigned.map(topicPartitionKey))
  return {
    added: assigned.filter((topicPartition) => !ownedKeys.has(topicPartitionKey(topicPartition))),
    kept: owned.filter((topicPartition) => assignedKeys.has(topicPartitionKey(topicPartition))),
    revoked: owned.filter((topicPartition) => !assignedKeys.has(topicPartitionKey(topicPartition)))
  }
}

/**
 * What a member gives up before it joins: everything under the eager protocol; under the cooperative one only the
 * partitions of topics that it no longer subscribes to, as nobody can give it those again.
 */
export const revokedBeforeJoin = (
  protocol: Assignor["protocol"],
  owned: ReadonlyArray<TopicPartition>,
  topics: ReadonlySet<string>
): ReadonlyArray<TopicPartition> =>
  protocol === "eager" ? owned : owned.filter((topicPartition) => !topics.has(topicPartition.topic))

/**
 * Whether a member joins again at once after the sync, so that the partitions that it has given up find their next
 * owners (KIP-429). `diff` is of what it claimed as it joined: the leader holds that back, also where it was lost since.
 */
export const rejoinsAfterSync = (protocol: Assignor["protocol"], diff: AssignmentDiff): boolean =>
  protocol === "cooperative" && diff.revoked.length > 0

/** What a member of a group said as it last joined, and what it was given. */
export interface Share {
  readonly topics: ReadonlyArray<string>
  /** What it held as it joined, and is to give up before others are given it. */
  readonly claimed: ReadonlyArray<TopicPartition>
  readonly assigned: ReadonlyArray<TopicPartition>
}

/**
 * Whether each partition that a group reads has an owner. `claimed`: those without one are held back for members that are to
 * give them up, and join again then or are put out of the group. `unowned`: of some nobody in the group knows.
 *
 * @param partitionCounts of the topics that members subscribe to
 */
export const ownershipOf = (
  partitionCounts: ReadonlyMap<string, number>,
  shares: ReadonlyArray<Share>
): "owned" | "claimed" | "unowned" => {
  // A static member that came back may read fewer topics than it was given partitions of.
  const owned = shares.flatMap(({ assigned, topics }) => {
    const subscribed = new Set(topics)
    return assigned.filter(({ topic }) => subscribed.has(topic))
  })
  const ownedKeys = new Set(owned.map(topicPartitionKey))
  const claimedKeys = new Set(shares.flatMap(({ claimed }) => claimed).map(topicPartitionKey))
  let isClaimed = false
  for (const [topic, count] of partitionCounts) {
    for (let partition = 0; partition < count; partition++) {
      const key = topicPartitionKey({ topic, partition })
      if (ownedKeys.has(key)) continue
      if (!claimedKeys.has(key)) return "unowned"
      isClaimed = true
    }
  }
  return isClaimed ? "claimed" : "owned"
}

/** Who a member is to its coordinator. */
export interface Membership {
  readonly memberId: string
  readonly generationId: number
}

const ILLEGAL_GENERATION = 22
const UNKNOWN_MEMBER_ID = 25
const FENCED_INSTANCE_ID = 82

/**
 * Whether a coordinator's answer takes the whole assignment away: the partitions are lost, not revoked, as others may
 * own them already. They are dropped and never committed. An answer to what was sent under an earlier membership says
 * nothing of the present one: a static member that joined anew has itself taken its name from who it was.
 *
 * @param errorCode the protocol's error code in a response of the coordinator
 * @param sent the membership that the request named
 * @param current the membership now
 */
export const losesAssignment = (errorCode: number, sent: Membership, current: Membership): boolean => {
  switch (errorCode) {
    case FENCED_INSTANCE_ID:
      return sent.memberId === current.memberId
    case ILLEGAL_GENERATION:
    case UNKNOWN_MEMBER_ID:
      return sent.memberId === current.memberId && sent.generationId === current.generationId
    default:
      return false
  }
}

/**
 * Whether a member missed generations before the one that it joined. Only a static one does: the group keeps its place
 * when it does not join in time. Others may have had its partitions meanwhile, so all that it has is lost.
 *
 * @param before the generation that it was in; below 0 for none
 * @param joined the generation that it has joined
 */
export const missedGenerations = (before: number, joined: number): boolean => before >= 0 && joined > before + 1
