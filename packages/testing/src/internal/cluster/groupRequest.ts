import { errorCode } from "./errorCode.ts"
import type { Group } from "./group.ts"
import type { ClusterState, RequestContext } from "./state.ts"

/** `None` if the broker that was asked coordinates the group, and knows it already. */
export const checkCoordinator = (state: ClusterState, context: RequestContext, groupId: string): number => {
  const partition = state.offsetsPartition(groupId)
  if (partition.leader !== context.broker.id) return errorCode.NotCoordinator
  return context.now < state.loadedAt(partition) ? errorCode.CoordinatorLoadInProgress : errorCode.None
}

/** What the requests of a member carry. */
export interface MemberRequest {
  readonly groupId: string
  readonly memberId: string
  readonly groupInstanceId: string | null
  readonly generationId: number
}

/** The group that a member's request is for, if it is a member of the current generation; else the error code. */
export const findGroup = (state: ClusterState, context: RequestContext, request: MemberRequest): Group | number => {
  const { generationId, groupId, groupInstanceId, memberId } = request
  if (groupId === "") return errorCode.InvalidGroupId
  const refused = checkCoordinator(state, context, groupId)
  if (refused !== errorCode.None) return refused
  const group = state.groups.get(groupId)
  if (group === undefined) return errorCode.UnknownMemberId
  const code = group.checkMember(memberId, groupInstanceId)
  if (code !== errorCode.None) return code
  return generationId === group.generation ? group : errorCode.IllegalGeneration
}
