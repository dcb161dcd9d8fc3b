import type { TopicPartition } from "./topicPartition.ts"

/** A member of a consumer group, as it described itself when it joined. */
export interface GroupMember {
  readonly memberId: string
  /** The name of a static member (KIP-345), which outlives its member id; `null` for a dynamic one. */
  readonly groupInstanceId: string | null
  /** The topics that it subscribes to. */
  readonly topics: ReadonlyArray<string>
  /** What it holds while it joins, or, under the eager protocol, what it held before if it says so. */
  readonly ownedPartitions: ReadonlyArray<TopicPartition>
  /** The generation in which it was given `ownedPartitions`; -1 when it was in none. */
  readonly generationId: number
}

/** The partitions given to each member, by member id: every member is in it, each list sorted. */
export type GroupAssignment = ReadonlyMap<string, ReadonlyArray<TopicPartition>>

/** Decides, on the group's leader, which member consumes which partition. */
export interface Assignor {
  /** The name that members negotiate in JoinGroup. */
  readonly name: "cooperative-sticky" | "sticky" | "range" | "roundrobin"
  /** `eager`: members give up everything before they join; `cooperative`: only what moves away (KIP-429). */
  readonly protocol: "eager" | "cooperative"
  /**
   * The assignment of every partition of every topic that is subscribed and in `partitionCounts`. It depends on the
   * arguments alone, and not on their order.
   */
  readonly assign: (
    members: ReadonlyArray<GroupMember>,
    partitionCounts: ReadonlyMap<string, number>
  ) => GroupAssignment
}

const compareStrings = (left: string, right: string): number => left < right ? -1 : left > right ? 1 : 0

/**
 * Orders members as Java does: static members first, by instance id, then dynamic ones by member id. A static member
 * keeps its place when it comes back under another member id.
 */
export const compareMembers = (left: GroupMember, right: GroupMember): number => {
  if (left.groupInstanceId === null && right.groupInstanceId === null) {
    return compareStrings(left.memberId, right.memberId)
  }
  if (left.groupInstanceId === null) return 1
  if (right.groupInstanceId === null) return -1
  return compareStrings(left.groupInstanceId, right.groupInstanceId)
}

/** The members that subscribe to each known topic, in the order of the topics' names and of `members`. */
export const subscribersByTopic = (
  members: ReadonlyArray<GroupMember>,
  partitionCounts: ReadonlyMap<string, number>
): ReadonlyMap<string, ReadonlyArray<GroupMember>> => {
  const subscribers = new Map<string, Array<GroupMember>>()
  for (const topic of Array.from(partitionCounts.keys()).sort(compareStrings)) subscribers.set(topic, [])
  for (const member of members) {
    for (const topic of new Set(member.topics)) subscribers.get(topic)?.push(member)
  }
  for (const [topic, ofTopic] of subscribers) {
    if (ofTopic.length === 0) subscribers.delete(topic)
  }
  return subscribers
}
