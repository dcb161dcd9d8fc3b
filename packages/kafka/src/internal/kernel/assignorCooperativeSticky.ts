import { balanceAssignment } from "./assignmentBalance.ts"
import { resolveClaims } from "./assignmentClaims.ts"
import { type Assignor, compareMembers, subscribersByTopic } from "./assignor.ts"
import { compareTopicPartitions, type TopicPartition, topicPartitionKey } from "./topicPartition.ts"

/**
 * Balances the partitions over the members, leaves each where it is as far as balance allows, and gives nothing to a
 * member that another one still holds (KIP-429): such a partition is in no list of this assignment, its holder gives it
 * up and joins again, and the next assignment hands it out. That next one moves nothing else, so that two rounds
 * settle every change.
 */
export const cooperativeStickyAssignor: Assignor = {
  name: "cooperative-sticky",
  protocol: "cooperative",
  assign: (members, partitionCounts) => {
    const ordered = Array.from(members).sort(compareMembers)
    const subscribers = subscribersByTopic(ordered, partitionCounts)
    const claims = resolveClaims(ordered)
    const ownerOf = (topicPartition: TopicPartition) => claims.get(topicPartitionKey(topicPartition))?.owner ?? null

    const balanced = balanceAssignment(subscribers, partitionCounts, ownerOf)
    const assignment = new Map<string, ReadonlyArray<TopicPartition>>()
    for (const member of ordered) {
      const given = (balanced.get(member) ?? []).filter((topicPartition) => {
        const claim = claims.get(topicPartitionKey(topicPartition))
        return claim === undefined || claim.owner === member
      })
      assignment.set(member.memberId, given.sort(compareTopicPartitions))
    }
    return assignment
  }
}
