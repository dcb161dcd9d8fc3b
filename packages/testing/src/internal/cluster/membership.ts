import type { Heartbeat } from "@sluice/kafka/internal/protocol/api/heartbeat"
import type { LeaveGroup } from "@sluice/kafka/internal/protocol/api/leaveGroup"
import type { SyncGroup } from "@sluice/kafka/internal/protocol/api/syncGroup"
import type { RequestOf } from "@sluice/kafka/internal/protocol/field"

import { errorCode } from "./errorCode.ts"
import { type Group, type Member, noAssignment, syncFailed, type SyncResponse } from "./group.ts"
import { checkCoordinator, findGroup } from "./groupRequest.ts"
import { rebalance, removeMember, renewSession } from "./rebalance.ts"
import { Reply } from "./reply.ts"
import type { ClusterState, Handler, RequestContext } from "./state.ts"

const assigned = (group: Group, member: Member): SyncResponse => ({
  errorCode: errorCode.None,
  protocolType: group.protocolType ?? null,
  protocolName: group.protocolName,
  assignment: member.assignment
})

/** Hands out assignments: a follower waits until the leader has sent them. */
export const handleSyncGroup = (
  state: ClusterState,
  context: RequestContext,
  request: RequestOf<typeof SyncGroup>
): Reply<SyncResponse> => {
  const { memberId, protocolName, protocolType } = request
  // KIP-559: they are there since version 5, and then must not be null.
  const namesProtocol = context.version >= 5
  if (namesProtocol && (protocolType === null || protocolName === null)) {
    return Reply.respond(syncFailed(errorCode.InconsistentGroupProtocol))
  }
  const group = findGroup(state, context, request)
  if (typeof group === "number") return Reply.respond(syncFailed(group))
  if (namesProtocol && (protocolType !== group.protocolType || protocolName !== group.protocolName)) {
    return Reply.respond(syncFailed(errorCode.InconsistentGroupProtocol))
  }
  if (group.phase === "PreparingRebalance") return Reply.respond(syncFailed(errorCode.RebalanceInProgress))

  const member = group.members.get(memberId)!
  group.pendingSyncs.delete(memberId)
  if (group.pendingSyncs.size === 0) group.syncDeadline?.cancel()
  if (group.phase === "Stable") return Reply.respond(assigned(group, member))
  const reply = new Reply<SyncResponse>()
  member.awaitingSync = reply
  if (group.leaderId === memberId) assign(state, group, request.assignments, context.now)
  return reply
}

/** The leader has spoken: the generation is complete. */
const assign = (
  state: ClusterState,
  group: Group,
  assignments: RequestOf<typeof SyncGroup>["assignments"],
  now: number
): void => {
  const byMember = new Map(assignments.map(({ assignment, memberId }) => [memberId, assignment]))
  group.phase = "Stable"
  for (const member of group.members.values()) {
    // Copied, since the request's bytes are the client's.
    member.assignment = new Uint8Array(byMember.get(member.id) ?? noAssignment)
    if (member.answerSync(assigned(group, member))) renewSession(state, group, member, now)
  }
  group.save()
}

/** Keeps a member alive, and tells it to join again. */
export const handleHeartbeat: Handler<typeof Heartbeat> = (state, context, request) => {
  const group = findGroup(state, context, request)
  // A broker that is still loading the group does not put anybody out.
  if (group === errorCode.CoordinatorLoadInProgress) return { errorCode: errorCode.None }
  if (typeof group === "number") return { errorCode: group }
  renewSession(state, group, group.members.get(request.memberId)!, context.now)
  return { errorCode: group.phase === "PreparingRebalance" ? errorCode.RebalanceInProgress : errorCode.None }
}

/** Takes members out: one that leaves, or static ones by their names as an administrator does. */
export const handleLeaveGroup: Handler<typeof LeaveGroup> = (state, context, request) => {
  const { groupId } = request
  if (groupId === "") return { errorCode: errorCode.InvalidGroupId, members: [] }
  const code = checkCoordinator(state, context, groupId)
  if (code !== errorCode.None) return { errorCode: code, members: [] }
  const group = state.groups.get(groupId)
  const members = request.members.map(({ groupInstanceId, memberId }) => ({
    memberId,
    groupInstanceId,
    errorCode: group === undefined ? errorCode.UnknownMemberId : leave(group, memberId, groupInstanceId)
  }))
  if (group !== undefined && group.phase !== "Empty" && members.some((member) => member.errorCode === 0)) {
    rebalance(state, group, context.now)
  }
  return { errorCode: errorCode.None, members }
}

const leave = (group: Group, memberId: string, instanceId: string | null): number => {
  if (group.pendingJoins.has(memberId)) {
    group.remove(memberId)
    return errorCode.None
  }
  const id = memberId === "" && instanceId !== null ? group.staticMemberId(instanceId) : memberId
  if (id === undefined) return errorCode.UnknownMemberId
  const code = group.checkMember(id, instanceId)
  if (code === errorCode.None) removeMember(group, group.members.get(id)!)
  return code
}
