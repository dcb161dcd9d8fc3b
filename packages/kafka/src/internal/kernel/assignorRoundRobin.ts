import { type Assignor, compareMembers, subscribersByTopic } from "./assignor.ts"
import type { TopicPartition } from "./topicPartition.ts"

/**
 * Deals the partitions of all topics out in their order, to one member after the other; a member that does not subscribe
 * to the topic is passed over. As Java's RoundRobinAssignor.
 */
export const roundRobinAssignor: Assignor = {
  name: "roundrobin",
  protocol: "eager",
  assign: (members, partitionCounts) => {
    const ordered = Array.from(members).sort(compareMembers)
    const assignment = new Map<string, Array<TopicPartition>>()
    for (const { memberId } of ordered) assignment.set(memberId, [])
    let turn = 0
    for (const [topic, subscribers] of subscribersByTopic(ordered, partitionCounts)) {
      const subscribed = new Set(subscribers)
      for (let partition = 0; partition < partitionCounts.get(topic)!; partition++) {
        while (!subscribed.has(ordered[turn % ordered.length]!)) turn++
        assignment.get(ordered[turn++ % ordered.length]!.memberId)!.push({ topic, partition })
      }
    }
    return assignment
  }
}
