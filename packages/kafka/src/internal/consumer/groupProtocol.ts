/** What members and the leader of a group tell each other through the coordinator, as Java's clients do. */
import type { Assignor, GroupMember } from "../kernel/assignor.ts"
import type { TopicPartition } from "../kernel/topicPartition.ts"
import {
  ConsumerProtocolAssignment,
  ConsumerProtocolSubscription,
  CooperativeStickyAssignorUserData,
  decodeStickyUserData,
  decodeVersioned,
  encodeVersioned,
  StickyAssignorUserData
} from "../protocol/api/consumerProtocol.ts"
import type { JoinGroup } from "../protocol/api/joinGroup.ts"
import { decodePrefix, encodeMessage } from "../protocol/codec.ts"
import type { ResponseOf } from "../protocol/field.ts"

const subscriptionVersion = 3
const assignmentVersion = 1

/** What a member says of itself as it joins. */
export interface Subscriber {
  readonly topics: ReadonlySet<string>
  /** What it holds while it joins. */
  readonly owned: ReadonlyArray<TopicPartition>
  /** The generation that it was in; -1 for none. */
  readonly generationId: number
  /** What it was given last, also after it gave it up. */
  readonly assigned: ReadonlyArray<TopicPartition>
  /** The generation in which that was. */
  readonly assignedIn: number
}

export const encodeSubscription = (assignor: Assignor["name"], self: Subscriber): Uint8Array =>
  encodeVersioned(ConsumerProtocolSubscription, subscriptionVersion, {
    topics: Array.from(self.topics).sort(),
    userData: userData(assignor, self),
    ownedPartitions: byTopic(self.owned),
    generationId: self.generationId
  })

const userData = (
  assignor: Assignor["name"],
  { assigned, assignedIn, generationId }: Subscriber
): Uint8Array | null => {
  switch (assignor) {
    case "cooperative-sticky":
      return encodeMessage(CooperativeStickyAssignorUserData, 0, { generation: generationId })
    case "sticky":
      return assigned.length === 0 ? null : encodeMessage(StickyAssignorUserData, 1, {
        previousAssignment: byTopic(assigned),
        generation: assignedIn
      })
    case "range":
    case "roundrobin":
      return null
  }
}

/** Throws where the bytes are no subscription. */
export const decodeSubscription = (
  assignor: Assignor["name"],
  { groupInstanceId, memberId, metadata }: ResponseOf<typeof JoinGroup>["members"][number]
): GroupMember => {
  const { value, version } = decodeVersioned(ConsumerProtocolSubscription, metadata)
  const member = {
    memberId,
    groupInstanceId,
    topics: value.topics,
    ownedPartitions: flat(value.ownedPartitions),
    generationId: value.generationId
  }
  if (value.userData === null) return member
  if (assignor === "sticky") {
    const { generation, previousAssignment } = decodeStickyUserData(value.userData)
    return { ...member, ownedPartitions: flat(previousAssignment), generationId: generation }
  }
  // Clients that are too old for the field in the subscription say it here (KIP-792).
  return assignor === "cooperative-sticky" && version < 2 && value.userData.length >= 4
    ? { ...member, generationId: decodePrefix(CooperativeStickyAssignorUserData, 0, value.userData).generation }
    : member
}

export const encodeAssignment = (partitions: ReadonlyArray<TopicPartition>): Uint8Array =>
  encodeVersioned(ConsumerProtocolAssignment, assignmentVersion, { assignedPartitions: byTopic(partitions) })

/** Throws where the bytes are no assignment. A member that the leader left out gets no bytes at all. */
export const decodeAssignment = (bytes: Uint8Array): ReadonlyArray<TopicPartition> =>
  bytes.length === 0 ? [] : flat(decodeVersioned(ConsumerProtocolAssignment, bytes).value.assignedPartitions)

interface PartitionsOfTopic {
  readonly topic: string
  readonly partitions: ReadonlyArray<number>
}

const byTopic = (topicPartitions: ReadonlyArray<TopicPartition>): ReadonlyArray<PartitionsOfTopic> => {
  const topics = new Map<string, Array<number>>()
  for (const { partition, topic } of topicPartitions) {
    const partitions = topics.get(topic)
    if (partitions === undefined) topics.set(topic, [partition])
    else partitions.push(partition)
  }
  return Array.from(topics, ([topic, partitions]) => ({ topic, partitions }))
}

const flat = (topics: ReadonlyArray<PartitionsOfTopic>): ReadonlyArray<TopicPartition> =>
  topics.flatMap(({ partitions, topic }) => partitions.map((partition) => ({ topic, partition })))
