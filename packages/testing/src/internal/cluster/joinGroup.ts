import type { JoinGroup } from "@sluice/kafka/internal/protocol/api/joinGroup"
import type { RequestOf } from "@sluice/kafka/internal/protocol/field"

import { errorCode } from "./errorCode.ts"
import { Group, joinFailed, type JoinResponse, Member, type MemberSettings } from "./group.ts"
import { checkCoordinator } from "./groupRequest.ts"
import { joined, maybeCompleteJoin, prepareRebalance, rebalance, renewSession, waitNoLonger } from "./rebalance.ts"
import { Reply } from "./reply.ts"
import type { ClusterState, RequestContext } from "./state.ts"

type Request = RequestOf<typeof JoinGroup>

const refuse = (code: number, memberId: string): Reply<JoinResponse> => Reply.respond(joinFailed(code, memberId))

/** The metadata is copied, since the request's bytes are the client's. */
const settingsOf = ({ protocols, rebalanceTimeoutMs, sessionTimeoutMs }: Request): MemberSettings => ({
  sessionTimeoutMs,
  rebalanceTimeoutMs,
  protocols: protocols.map(({ metadata, name }) => ({ name, metadata: new Uint8Array(metadata) }))
})

/** Lets a member into a classic group, or into its next generation. Parked until that generation begins. */
export const handleJoinGroup = (
  state: ClusterState,
  context: RequestContext,
  request: Request
): Reply<JoinResponse> => {
  const reply = join(state, context, request)
  // Before version 7 a refusal cannot say null.
  return context.version >= 7
    ? reply
    : reply.map((response) => ({ ...response, protocolName: response.protocolName ?? "" }))
}

const join = (
  state: ClusterState,
  context: RequestContext,
  request: Request
): Reply<JoinResponse> => {
  const { groupId, memberId, protocolType, protocols, sessionTimeoutMs } = request
  if (groupId === "") return refuse(errorCode.InvalidGroupId, memberId)
  const code = checkCoordinator(state, context, groupId)
  if (code !== errorCode.None) return refuse(code, memberId)
  const { groupMaxSessionTimeoutMs, groupMinSessionTimeoutMs } = state.config
  if (sessionTimeoutMs < groupMinSessionTimeoutMs || sessionTimeoutMs > groupMaxSessionTimeoutMs) {
    return refuse(errorCode.InvalidSessionTimeout, memberId)
  }
  const known = state.groups.get(groupId)
  if (known === undefined && memberId !== "") return refuse(errorCode.UnknownMemberId, memberId)
  const group = known ?? new Group(groupId)
  state.groups.set(groupId, group)
  if (!group.supports(protocolType, protocols)) return refuse(errorCode.InconsistentGroupProtocol, memberId)
  return memberId === ""
    ? joinNew(state, context, group, request)
    : rejoin(state, context, group, request)
}

const joinNew = (state: ClusterState, context: RequestContext, group: Group, request: Request): Reply<JoinResponse> => {
  const { groupInstanceId, sessionTimeoutMs } = request
  const memberId = state.nextMemberId(groupInstanceId ?? context.clientId)
  if (groupInstanceId !== null) {
    const current = group.staticMemberId(groupInstanceId)
    return current === undefined
      ? add(state, context, group, request, memberId)
      : returnStatic(state, context, group, request, current, memberId)
  }
  // KIP-394: a client first learns its id, so that one that gives up and joins again is not two members.
  group.pendingJoins.set(
    memberId,
    state.timers.schedule(context.now + sessionTimeoutMs, (now) => {
      group.remove(memberId)
      waitNoLonger(state, group, now)
    })
  )
  return refuse(errorCode.MemberIdRequired, memberId)
}

const rejoin = (state: ClusterState, context: RequestContext, group: Group, request: Request): Reply<JoinResponse> => {
  const { groupInstanceId, memberId, protocols } = request
  if (group.pendingJoins.has(memberId)) {
    return groupInstanceId === null
      ? add(state, context, group, request, memberId)
      : refuse(errorCode.UnknownServerError, "")
  }
  const code = group.checkMember(memberId, groupInstanceId)
  if (code !== errorCode.None) return refuse(code, memberId)
  const member = group.members.get(memberId)!
  const isUnchanged = member.matches(protocols)
  switch (group.phase) {
    case "PreparingRebalance":
      return update(state, context, group, member, request)
    case "CompletingRebalance":
      // It may have missed the answer to its first JoinGroup of this generation.
      return isUnchanged ? Reply.respond(joined(group, memberId)) : update(state, context, group, member, request)
    case "Stable":
      // A leader that joins wants to assign anew: the topics may have changed.
      return isUnchanged && group.leaderId !== memberId
        ? Reply.respond(joined(group, memberId))
        : update(state, context, group, member, request)
    case "Empty":
      return refuse(errorCode.UnknownMemberId, memberId)
  }
}

const add = (
  state: ClusterState,
  context: RequestContext,
  group: Group,
  request: Request,
  memberId: string
): Reply<JoinResponse> => {
  const member = new Member(memberId, request.groupInstanceId, context.clientId, settingsOf(request))
  const reply = new Reply<JoinResponse>()
  member.isNew = true
  member.awaitingJoin = reply
  group.hasNewMember = true
  group.add(member, request.protocolType)
  renewSession(state, group, member, context.now, state.config.groupNewMemberJoinTimeoutMs)
  rebalance(state, group, context.now)
  return reply
}

const park = (member: Member, request: Request): Reply<JoinResponse> => {
  // A JoinGroup that it sent before, on another connection, is never answered: so it is in Kafka.
  const reply = new Reply<JoinResponse>()
  member.settings = settingsOf(request)
  member.awaitingJoin = reply
  return reply
}

const update = (
  state: ClusterState,
  context: RequestContext,
  group: Group,
  member: Member,
  request: Request
): Reply<JoinResponse> => {
  const reply = park(member, request)
  rebalance(state, group, context.now)
  return reply
}

/** A static member that comes back takes its old place without a rebalance, if the group is stable. */
const returnStatic = (
  state: ClusterState,
  context: RequestContext,
  group: Group,
  request: Request,
  oldId: string,
  memberId: string
): Reply<JoinResponse> => {
  const { now, version } = context
  const oldLeader = group.leaderId ?? ""
  const member = group.replaceStatic(oldId, memberId)
  const reply = park(member, request)
  renewSession(state, group, member, now)
  if (group.phase === "CompletingRebalance") {
    // The leader may be assigning partitions to the old id.
    prepareRebalance(state, group, now)
  } else if (group.phase !== "Stable") {
    maybeCompleteJoin(state, group, now)
  } else if (group.selectProtocol() !== group.protocolName) {
    prepareRebalance(state, group, now)
  } else {
    group.save()
    // Not to assign anew, a leader is told so (KIP-814) or, before version 9, not told that it leads.
    const response = joined(group, memberId)
    member.answerJoin(
      version >= 9
        ? { ...response, skipAssignment: group.leaderId === memberId }
        : { ...response, leader: oldLeader, members: [] }
    )
  }
  return reply
}
