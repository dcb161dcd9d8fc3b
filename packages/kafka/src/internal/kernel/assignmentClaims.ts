import type { GroupMember } from "./assignor.ts"
import { topicPartitionKey } from "./topicPartition.ts"

/** Who holds a partition by what the members say: of several claims the newest counts, and of equal ones none. */
export interface Claim {
  owner: GroupMember | null
  generationId: number
}

/** The claims of all members, by partition. */
export const resolveClaims = (members: ReadonlyArray<GroupMember>): ReadonlyMap<string, Claim> => {
  const claims = new Map<string, Claim>()
  for (const member of members) {
    for (const key of new Set(member.ownedPartitions.map(topicPartitionKey))) {
      const claim = claims.get(key)
      if (claim === undefined) {
        claims.set(key, { owner: member, generationId: member.generationId })
      } else if (member.generationId > claim.generationId) {
        claim.owner = member
        claim.generationId = member.generationId
      } else if (member.generationId === claim.generationId) {
        claim.owner = null
      }
    }
  }
  return claims
}
