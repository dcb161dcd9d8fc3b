import { errorCode } from "./errorCode.ts"
import { type Group, joinFailed, type JoinResponse, type Member, noAssignment, syncFailed } from "./group.ts"
import type { ClusterState } from "./state.ts"
import { noLeader } from "./topic.ts"

/** Gives a member's session its full length again, or another one. */
export const renewSession = (
  state: ClusterState,
  group: Group,
  member: Member,
  now: number,
  timeoutMs = member.settings.sessionTimeoutMs
): void => {
  member.session?.cancel()
  member.session = state.timers.schedule(now + timeoutMs, (time) => expireSession(state, group, member, time))
}

const expireSession = (state: ClusterState, group: Group, member: Member, now: number): void => {
  // Who waits for an answer of ours is alive, but for a new member: its client may have gone before it had an id.
  const waits = member.awaitingJoin !== undefined || member.awaitingSync !== undefined
  if (waits && !member.isNew) return
  tellExpelled(state, group, member.id, "session", now)
  removeMember(group, member)
  if (group.phase === "PreparingRebalance") waitNoLonger(state, group, now)
  else rebalance(state, group, now)
}

const tellExpelled = (
  state: ClusterState,
  group: Group,
  member: string,
  why: "session" | "join" | "sync",
  now: number
): void => state.observe({ _tag: "MemberExpelled", group: group.id, member, why }, now)

/** Somebody who was waited for has not come: completes the join phase if nobody else is missing. */
export const waitNoLonger = (state: ClusterState, group: Group, now: number): void => {
  if (group.phase === "PreparingRebalance" && group.haveAllJoined) completeJoin(state, group, now)
}

/**
 * Takes a member out. A JoinGroup of it that is still parked is answered, so that its client joins anew; a SyncGroup is
 * not: so it is in Kafka.
 */
export const removeMember = (group: Group, member: Member): void => {
  member.answerJoin(joinFailed(errorCode.UnknownMemberId, ""))
  group.remove(member.id)
}

/** Begins a rebalance, or completes the one that has begun if that is possible now. */
export const rebalance = (state: ClusterState, group: Group, now: number): void => {
  if (group.phase === "PreparingRebalance") maybeCompleteJoin(state, group, now)
  else prepareRebalance(state, group, now)
}

/** Completes the join phase if nobody is missing; the initial one waits for its delay. */
export const maybeCompleteJoin = (state: ClusterState, group: Group, now: number): void => {
  if (group.phase === "PreparingRebalance" && !group.isInitialRebalance && group.haveAllJoined) {
    completeJoin(state, group, now)
  }
}

/** Asks all members to join again: those that wait for assignments now, the others with their next heartbeat. */
export const prepareRebalance = (state: ClusterState, group: Group, now: number): void => {
  if (group.phase === "CompletingRebalance") {
    for (const member of group.members.values()) {
      member.assignment = noAssignment
      if (member.answerSync(syncFailed(errorCode.RebalanceInProgress))) renewSession(state, group, member, now)
    }
  }
  group.pendingSyncs.clear()
  group.syncDeadline?.cancel()
  group.isInitialRebalance = group.phase === "Empty"
  group.phase = "PreparingRebalance"
  if (group.isInitialRebalance) {
    const delay = state.config.groupInitialRebalanceDelayMs
    delayInitialRebalance(state, group, now, delay, Math.max(group.rebalanceTimeoutMs - delay, 0))
  } else if (group.haveAllJoined) {
    completeJoin(state, group, now)
  } else {
    completeJoinLater(state, group, now)
  }
}

/** A new group waits a little for more members, and again as long as some come. */
const delayInitialRebalance = (
  state: ClusterState,
  group: Group,
  now: number,
  delayMs: number,
  remainingMs: number
): void => {
  const { groupInitialRebalanceDelayMs } = state.config
  if (delayMs === 0) return completeJoin(state, group, now)
  group.hasNewMember = false
  group.joinDeadline = state.timers.schedule(now + delayMs, (time) => {
    if (group.hasNewMember && remainingMs > 0) {
      const next = Math.min(groupInitialRebalanceDelayMs, remainingMs)
      delayInitialRebalance(state, group, time, next, Math.max(remainingMs - delayMs, 0))
    } else {
      completeJoin(state, group, time)
    }
  })
}

const completeJoinLater = (state: ClusterState, group: Group, now: number): void => {
  group.joinDeadline?.cancel()
  const wait = Math.max(1, group.rebalanceTimeoutMs)
  group.joinDeadline = state.timers.schedule(now + wait, (time) => completeJoin(state, group, time))
}

/** Begins the next generation with those who have joined; static members may stay away until their session ends. */
const completeJoin = (state: ClusterState, group: Group, now: number): void => {
  group.joinDeadline?.cancel()
  const absent: Array<string> = []
  for (const member of Array.from(group.members.values())) {
    if (member.awaitingJoin !== undefined) continue
    if (member.instanceId === null) {
      tellExpelled(state, group, member.id, "join", now)
      group.remove(member.id)
    } else absent.push(member.id)
  }
  if (!group.electJoinedLeader() && group.members.size > 0) return completeJoinLater(state, group, now)

  group.generation++
  const members = Array.from(group.members.keys())
  state.observe({ _tag: "GenerationBegan", group: group.id, generation: group.generation, members }, now)
  for (const member of absent) state.observe({ _tag: "MemberAbsent", group: group.id, member }, now)
  group.pendingSyncs.clear()
  if (group.members.size === 0) {
    group.protocolName = null
    group.phase = "Empty"
    group.save()
    return
  }
  group.protocolName = group.selectProtocol()
  group.phase = "CompletingRebalance"
  for (const member of group.members.values()) {
    member.answerJoin(joined(group, member.id))
    renewSession(state, group, member, now)
    member.isNew = false
    group.pendingSyncs.add(member.id)
  }
  const { generation } = group
  group.syncDeadline = state.timers.schedule(now + group.rebalanceTimeoutMs, (time) => {
    if (group.generation === generation) expirePendingSyncs(state, group, time)
  })
}

const expirePendingSyncs = (state: ClusterState, group: Group, now: number): void => {
  if (group.pendingSyncs.size === 0) return
  for (const memberId of Array.from(group.pendingSyncs)) {
    tellExpelled(state, group, memberId, "sync", now)
    group.remove(memberId)
  }
  prepareRebalance(state, group, now)
}

/** What a member is told of the current generation; the leader also learns who the members are. */
export const joined = (group: Group, memberId: string): JoinResponse => ({
  errorCode: errorCode.None,
  generationId: group.generation,
  protocolType: group.protocolType ?? null,
  protocolName: group.protocolName,
  leader: group.leaderId ?? "",
  memberId,
  members: group.leaderId === memberId ? group.describeMembers() : []
})

/**
 * Another broker coordinates the group from now on. It knows only what was written down: the last complete generation,
 * whose members have their full session again. While no broker does, nobody's session ends.
 */
export const moveCoordinator = (state: ClusterState, group: Group, now: number): void => {
  const partition = state.offsetsPartition(group.id)
  state.observe({ _tag: "CoordinatorMoved", group: group.id, broker: partition.leader }, now)
  for (const member of group.members.values()) {
    member.answerJoin(joinFailed(errorCode.NotCoordinator, member.id))
    member.answerSync(syncFailed(errorCode.NotCoordinator))
  }
  group.restore()
  if (partition.leader === noLeader) return
  const loadedAt = Math.max(now, state.loadedAt(partition))
  for (const member of group.members.values()) renewSession(state, group, member, loadedAt)
}
