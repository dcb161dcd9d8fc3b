import type { JoinGroup } from "@sluice/kafka/internal/protocol/api/joinGroup"
import type { SyncGroup } from "@sluice/kafka/internal/protocol/api/syncGroup"
import type { ResponseInput } from "@sluice/kafka/internal/protocol/field"

import { errorCode } from "./errorCode.ts"
import type { Reply } from "./reply.ts"
import { javaHash } from "./state.ts"
import type { Timer } from "./timers.ts"

/** The answer to a JoinGroup. */
export type JoinResponse = ResponseInput<typeof JoinGroup>
/** The answer to a SyncGroup. */
export type SyncResponse = ResponseInput<typeof SyncGroup>

/** A way to assign partitions that a member knows, and what it tells the leader about itself. */
export interface GroupProtocol {
  readonly name: string
  readonly metadata: Uint8Array
}

/** What a member says of itself when it joins. */
export interface MemberSettings {
  readonly sessionTimeoutMs: number
  readonly rebalanceTimeoutMs: number
  /** In the order of its preference. */
  readonly protocols: ReadonlyArray<GroupProtocol>
}

/** A member of a classic group. */
export class Member {
  readonly id: string
  /** Set for a static member (KIP-345). */
  readonly instanceId: string | null
  /** That it first joined by. */
  readonly clientId: string
  settings: MemberSettings
  assignment: Uint8Array = noAssignment
  /** Until its first generation begins: it cannot send heartbeats yet. */
  isNew = false
  /** Its parked JoinGroup and SyncGroup. */
  awaitingJoin: Reply<JoinResponse> | undefined
  awaitingSync: Reply<SyncResponse> | undefined
  session: Timer | undefined

  constructor(id: string, instanceId: string | null, clientId: string, settings: MemberSettings) {
    this.id = id
    this.instanceId = instanceId
    this.clientId = clientId
    this.settings = settings
  }

  /** Answers its parked JoinGroup, if there is one. */
  answerJoin(response: JoinResponse): void {
    const reply = this.awaitingJoin
    this.awaitingJoin = undefined
    reply?.respond(response)
  }

  /** Answers its parked SyncGroup, if there is one, and says whether there was. */
  answerSync(response: SyncResponse): boolean {
    const reply = this.awaitingSync
    this.awaitingSync = undefined
    reply?.respond(response)
    return reply !== undefined
  }

  /** Whether it names the same protocols with the same metadata in the same order. */
  matches(protocols: ReadonlyArray<GroupProtocol>): boolean {
    const own = this.settings.protocols
    return own.length === protocols.length &&
      own.every(({ metadata, name }, index) =>
        name === protocols[index]!.name && Buffer.compare(metadata, protocols[index]!.metadata) === 0
      )
  }
}

/** What a member without an assignment gets. */
export const noAssignment = new Uint8Array(0)

/** Where a classic group is in its life. A group that is deleted is no state here: it is gone. */
export type GroupPhase =
  /** No members; perhaps offsets. */
  | "Empty"
  /** Members are (re)joining. */
  | "PreparingRebalance"
  /** A generation has begun and waits for its leader's assignments. */
  | "CompletingRebalance"
  /** All members have their assignments. */
  | "Stable"

/** An offset that a group has stored. */
export interface CommittedOffset {
  readonly offset: number
  readonly leaderEpoch: number
  readonly metadata: string
}

/** What a coordinator has written down of a group, and another one finds when it takes over. */
interface Checkpoint {
  readonly generation: number
  readonly protocolType: string | undefined
  readonly protocolName: string | null
  readonly leaderId: string | undefined
  readonly members: ReadonlyArray<Member>
}

/** The members that a coordinator has written down keep nothing of what only the running coordinator knew. */
const copyOf = (member: Member, id = member.id): Member => {
  const copy = new Member(id, member.instanceId, member.clientId, member.settings)
  copy.assignment = member.assignment
  return copy
}

/** The order of Java's `HashMap`, as long as it has few keys. */
const inHashTable = (one: string, other: string): number => bucket(one) - bucket(other)

const bucket = (key: string): number => {
  const hash = javaHash(key)
  return (hash ^ (hash >>> 16)) & 15
}

/** A classic group: who is in it, and the questions that the rules ask. The rules themselves are in the modules beside. */
export class Group {
  readonly id: string
  phase: GroupPhase = "Empty"
  /** Whether the rebalance that is being prepared is the first after the group was empty. */
  isInitialRebalance = false
  /** Whether somebody joined since the initial rebalance was last delayed. */
  hasNewMember = false
  generation = 0
  protocolType: string | undefined
  protocolName: string | null = null
  leaderId: string | undefined
  readonly members = new Map<string, Member>()
  /** Ids that were given out and have not joined yet, with the end of their wait. */
  readonly pendingJoins = new Map<string, Timer>()
  /** Members that have not asked for their assignment in this generation. */
  readonly pendingSyncs = new Set<string>()
  joinDeadline: Timer | undefined
  syncDeadline: Timer | undefined
  /** By topic and partition. */
  readonly offsets = new Map<string, Map<number, CommittedOffset>>()
  private checkpoint: Checkpoint | undefined

  constructor(id: string) {
    this.id = id
  }

  /** The id of the static member of that name. */
  staticMemberId(instanceId: string): string | undefined {
    for (const member of this.members.values()) if (member.instanceId === instanceId) return member.id
    return undefined
  }

  /** `None` if it is a member, and not one whose name another has taken. */
  checkMember(memberId: string, instanceId: string | null): number {
    if (instanceId !== null) {
      const current = this.staticMemberId(instanceId)
      if (current === undefined) return errorCode.UnknownMemberId
      if (current !== memberId) return errorCode.FencedInstanceId
    }
    return this.members.has(memberId) ? errorCode.None : errorCode.UnknownMemberId
  }

  /** The longest that any member wants to have for a rebalance. */
  get rebalanceTimeoutMs(): number {
    let longest = 0
    for (const { settings } of this.members.values()) longest = Math.max(longest, settings.rebalanceTimeoutMs)
    return longest
  }

  get haveAllJoined(): boolean {
    if (this.pendingJoins.size > 0) return false
    for (const member of this.members.values()) if (member.awaitingJoin === undefined) return false
    return true
  }

  /** Whether one of these protocols is known to all members; to an empty group anything is welcome. */
  supports(protocolType: string, protocols: ReadonlyArray<GroupProtocol>): boolean {
    if (this.phase === "Empty") return protocolType !== "" && protocols.length > 0
    return protocolType === this.protocolType && protocols.some(({ name }) => this.isCommon(name))
  }

  private isCommon(protocol: string): boolean {
    for (const { settings } of this.members.values()) {
      if (!settings.protocols.some(({ name }) => name === protocol)) return false
    }
    return true
  }

  /** Of the protocols that all members know, the one that most of them like best; of equals, the first in Kafka's table. */
  selectProtocol(): string | null {
    const votes = new Map<string, number>()
    for (const { settings } of this.members.values()) {
      const favourite = settings.protocols.find(({ name }) => this.isCommon(name))?.name
      if (favourite !== undefined) votes.set(favourite, (votes.get(favourite) ?? 0) + 1)
    }
    let selected: string | null = null
    for (const name of Array.from(votes.keys()).sort(inHashTable)) {
      if (selected === null || votes.get(name)! > votes.get(selected)!) selected = name
    }
    return selected
  }

  /** What the leader is told of all members, to assign partitions by. */
  describeMembers(): JoinResponse["members"] {
    return Array.from(this.members.values(), ({ id, instanceId, settings }) => ({
      memberId: id,
      groupInstanceId: instanceId,
      metadata: settings.protocols.find(({ name }) => name === this.protocolName)?.metadata ?? noAssignment
    }))
  }

  add(member: Member, protocolType: string): void {
    if (this.members.size === 0) this.protocolType = protocolType
    this.leaderId ??= member.id
    this.members.set(member.id, member)
    this.removePending(member.id)
  }

  /** Takes a member out; the next one leads if it did. */
  remove(memberId: string): void {
    this.members.get(memberId)?.session?.cancel()
    this.members.delete(memberId)
    if (this.leaderId === memberId) this.leaderId = this.members.keys().next().value
    this.removePending(memberId)
    this.pendingSyncs.delete(memberId)
  }

  private removePending(memberId: string): void {
    this.pendingJoins.get(memberId)?.cancel()
    this.pendingJoins.delete(memberId)
  }

  /** A static member has come back without its id: it gets a new one, and the old one is fenced. */
  replaceStatic(oldId: string, newId: string): Member {
    const old = this.members.get(oldId)!
    old.session?.cancel()
    this.members.delete(oldId)
    old.answerJoin(joinFailed(errorCode.FencedInstanceId, oldId))
    old.answerSync(syncFailed(errorCode.FencedInstanceId))
    const member = copyOf(old, newId)
    this.members.set(newId, member)
    if (this.leaderId === oldId) this.leaderId = newId
    return member
  }

  /** If the leader has not rejoined, the first member that has leads. Says whether there is a leader. */
  electJoinedLeader(): boolean {
    if (this.leaderId === undefined) return false
    if (this.members.get(this.leaderId)?.awaitingJoin !== undefined) return true
    for (const member of this.members.values()) {
      if (member.awaitingJoin !== undefined) {
        this.leaderId = member.id
        return true
      }
    }
    return false
  }

  /** Writes down what another coordinator would find: done when a generation is complete, or the group empty. */
  save(): void {
    this.checkpoint = {
      generation: this.generation,
      protocolType: this.protocolType,
      protocolName: this.protocolName,
      leaderId: this.leaderId,
      members: Array.from(this.members.values(), (member) => copyOf(member))
    }
  }

  /** Becomes what was last written down, as at a new coordinator. Whoever waited has been answered before. */
  restore(): void {
    for (const memberId of [...this.members.keys(), ...this.pendingJoins.keys()]) this.remove(memberId)
    this.pendingSyncs.clear()
    this.joinDeadline?.cancel()
    this.syncDeadline?.cancel()
    const { generation = 0, leaderId, members = [], protocolName = null, protocolType } = this.checkpoint ?? {}
    this.generation = generation
    this.protocolType = protocolType
    this.protocolName = protocolName
    for (const member of members) this.members.set(member.id, copyOf(member))
    this.leaderId = leaderId
    this.phase = members.length === 0 ? "Empty" : "Stable"
  }
}

/** A JoinGroup that is refused. */
export const joinFailed = (code: number, memberId: string): JoinResponse => ({
  errorCode: code,
  protocolName: null,
  leader: "",
  memberId,
  members: []
})

/** A SyncGroup that is refused. */
export const syncFailed = (code: number): SyncResponse => ({ errorCode: code, assignment: noAssignment })
