import { balanceAssignment } from "./assignmentBalance.ts"
import { resolveClaims } from "./assignmentClaims.ts"
import { type Assignor, compareMembers, subscribersByTopic } from "./assignor.ts"
import { compareTopicPartitions, topicPartitionKey } from "./topicPartition.ts"

/**
 * Balances the partitions over the members, and gives each back to the member that had it before as far as balance
 * allows. All have given up everything by then, so that one round is enough.
 */
export const stickyAssignor: Assignor = {
  name: "sticky",
  protocol: "eager",
  assign: (members, partitionCounts) => {
    const ordered = Array.from(members).sort(compareMembers)
    const claims = resolveClaims(ordered)
    const balanced = balanceAssignment(
      subscribersByTopic(ordered, partitionCounts),
      partitionCounts,
      (topicPartition) => claims.get(topicPartitionKey(topicPartition))?.owner ?? null
    )
    return new Map(ordered.map((member) => [
      member.memberId,
      (balanced.get(member) ?? []).sort(compareTopicPartitions)
    ]))
  }
}
