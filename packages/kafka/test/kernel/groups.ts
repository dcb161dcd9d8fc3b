import type { GroupAssignment, GroupMember } from "@sluice/kafka/internal/kernel/assignor"
import { type TopicPartition, topicPartitionKey } from "@sluice/kafka/internal/kernel/topicPartition"
import { FastCheck } from "effect"

/** A group and the topics of its cluster. */
export interface Group {
  readonly members: ReadonlyArray<GroupMember>
  readonly partitionCounts: ReadonlyMap<string, number>
}

const topics = ["t0", "t1", "t2", "t3"]

const partitionCounts = FastCheck.tuple(...topics.map(() => FastCheck.nat({ max: 7 }))).map((counts) =>
  new Map(topics.map((topic, index) => [topic, counts[index]!]))
)

const ownedPartitions = FastCheck.array(
  FastCheck.record({ topic: FastCheck.constantFrom(...topics, "deleted"), partition: FastCheck.nat({ max: 8 }) }),
  { maxLength: 12 }
)

const members = (subscription: FastCheck.Arbitrary<ReadonlyArray<string>>) =>
  FastCheck.array(
    FastCheck.record({
      isStatic: FastCheck.boolean(),
      topics: subscription,
      ownedPartitions,
      generationId: FastCheck.integer({ min: -1, max: 2 })
    }),
    { minLength: 1, maxLength: 7 }
  ).map((all) =>
    all.map(({ isStatic, ...member }, index): GroupMember => ({
      ...member,
      memberId: `m${index}`,
      groupInstanceId: isStatic ? `i${(index * 5) % 7}` : null
    }))
  )

/** Groups in which members subscribe as they like and claim what they like, several the same partition too. */
export const anyGroup: FastCheck.Arbitrary<Group> = FastCheck.record({
  members: members(FastCheck.subarray([...topics, "unknown"])),
  partitionCounts
})

/** Groups in which all members have the same topics. */
export const uniformGroup: FastCheck.Arbitrary<Group> = FastCheck.subarray(topics, { minLength: 1 }).chain((
  subscription
) => FastCheck.record({ members: members(FastCheck.constant(subscription)), partitionCounts }))

/** What the members hold in the next generation, when every one has done as the assignment says. */
export const afterRound = (group: Group, assignment: GroupAssignment): Group => {
  const generationId = Math.max(0, ...group.members.map((member) => member.generationId)) + 1
  return {
    ...group,
    members: group.members.map((member) => ({
      ...member,
      generationId,
      ownedPartitions: assignment.get(member.memberId)!
    }))
  }
}

/** The keys that each member has. */
export const keysByMember = (assignment: GroupAssignment): Record<string, ReadonlyArray<string>> =>
  Object.fromEntries(Array.from(assignment, ([memberId, partitions]) => [memberId, partitions.map(topicPartitionKey)]))

/** The partitions that somebody can be given. */
export const assignable = (group: Group): ReadonlyArray<TopicPartition> =>
  Array.from(group.partitionCounts).flatMap(([topic, count]) =>
    group.members.some((member) => member.topics.includes(topic))
      ? Array.from({ length: count }, (_, partition) => ({ topic, partition }))
      : []
  )
