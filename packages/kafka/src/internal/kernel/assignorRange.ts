import { type Assignor, compareMembers, subscribersByTopic } from "./assignor.ts"
import type { TopicPartition } from "./topicPartition.ts"

/**
 * Splits each topic by itself into ranges of consecutive partitions, one a subscriber, in the order of the members; the
 * first ones get one more where it does not divide. Topics with the same number of partitions and subscribers are
 * split alike, so that equal keys meet in one member. As Java's RangeAssignor without racks.
 */
export const rangeAssignor: Assignor = {
  name: "range",
  protocol: "eager",
  assign: (members, partitionCounts) => {
    const ordered = Array.from(members).sort(compareMembers)
    const assignment = new Map<string, Array<TopicPartition>>()
    for (const member of ordered) assignment.set(member.memberId, [])
    for (const [topic, subscribers] of subscribersByTopic(ordered, partitionCounts)) {
      const count = partitionCounts.get(topic)!
      const share = Math.floor(count / subscribers.length)
      const withOneMore = count % subscribers.length
      let next = 0
      subscribers.forEach((member, index) => {
        const end = next + share + (index < withOneMore ? 1 : 0)
        const given = assignment.get(member.memberId)!
        for (; next < end; next++) given.push({ topic, partition: next })
      })
    }
    return assignment
  }
}
