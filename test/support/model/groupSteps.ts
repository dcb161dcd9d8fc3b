/** Steps of classic groups: of their members, and of those who store offsets. */
import { ConsumerProtocolSubscription, encodeVersioned } from "@sluice/kafka/internal/protocol/api/consumerProtocol"
import { FindCoordinator } from "@sluice/kafka/internal/protocol/api/findCoordinator"
import { Heartbeat } from "@sluice/kafka/internal/protocol/api/heartbeat"
import { JoinGroup } from "@sluice/kafka/internal/protocol/api/joinGroup"
import { LeaveGroup } from "@sluice/kafka/internal/protocol/api/leaveGroup"
import { OffsetCommit } from "@sluice/kafka/internal/protocol/api/offsetCommit"
import { OffsetFetch } from "@sluice/kafka/internal/protocol/api/offsetFetch"
import { SyncGroup } from "@sluice/kafka/internal/protocol/api/syncGroup"

import { type Names, nobody } from "./names.ts"
import { type Step, step } from "./script.ts"
import type { KnownMember, World } from "./world.ts"

const bytes = (text: string): Uint8Array => Buffer.from(text)

/** Kafka looks into the metadata of consumers: at other bytes it leaves the JoinGroup without an answer for ever. */
const subscription = (userData: string): Uint8Array =>
  encodeVersioned(ConsumerProtocolSubscription, 0, { topics: ["t1"], userData: bytes(userData) })

const idOf = (slot: string) => (names: Names): string => names.memberId(slot)

const groups = ["g1", "g1", "g1", "g2"]

/** Whose id a request carries: the member's own for the most part. */
const memberIdOf = (world: World, member: KnownMember, isRight: boolean): (names: Names) => string => {
  const { random } = world
  // Known when the step is written, so that it is the same when the script is run again.
  const isNew = member.phase === "new"
  if (isRight) return (names) => isNew ? "" : names.memberId(member.slot)
  const other = random.pick(world.members).slot
  return random.pick<(names: Names) => string>([
    () => nobody,
    () => "",
    (names) => names.memberId(other),
    (names) => names.memberId(member.slot)
  ])
}

const instanceIdOf = (world: World, member: KnownMember, isRight: boolean): string | null =>
  isRight ? member.instanceId : world.random.pick([null, "static3", "static5", "static9"])

const generationOf = (world: World, member: KnownMember, isRight: boolean): (names: Names) => number => {
  const step = isRight ? 0 : world.random.pick([-1, 1, 0, -100])
  return (names) => step === -100 ? -1 : names.generation(member.slot) + step
}

/** One JoinGroup. */
export const join = (world: World, member: KnownMember, connection: number, rightness = 90): Step => {
  const { random } = world
  const isRight = random.percent(rightness)
  const comesAnew = member.instanceId !== null && random.percent(20)
  const memberId = comesAnew ? () => "" : memberIdOf(world, member, isRight || random.percent(50))
  const groupInstanceId = instanceIdOf(world, member, isRight || random.percent(60))
  const protocols = random.weighted<ReadonlyArray<string>>([
    [7, ["range"]],
    [3, ["range", "roundrobin"]],
    [2, ["roundrobin", "range"]],
    [1, ["roundrobin"]],
    [isRight ? 0 : 1, []]
  ])
  const edition = random.weighted([[8, 1], [1, 2]])
  const sessionTimeoutMs = isRight ? 30_000 : random.pick([30_000, 30_000, 30_000, 10, 5_000_000, -1])
  const protocolType = isRight ? "consumer" : random.pick(["consumer", "consumer", "connect", ""])
  const groupSlot = isRight || random.percent(97) ? member.group : ""
  return step(connection, JoinGroup, random.between(6, 9), (names) => ({
    groupId: groupSlot === "" ? "" : names.of(groupSlot),
    memberId: memberId(names),
    groupInstanceId,
    sessionTimeoutMs,
    rebalanceTimeoutMs: 60_000,
    protocolType,
    protocols: protocols.map((name) => ({ name, metadata: subscription(`${member.slot} ${name} ${edition}`) }))
  }), {
    slot: member.slot,
    observe: (_, body) => {
      if (body === undefined) return
      if (body.errorCode === 0) {
        world.removeUnusedId(member.group, body.memberId)
        member.phase = "joined"
        member.protocolName = body.protocolName
        member.isLeader = body.leader === body.memberId
      } else if (body.errorCode === memberIdRequired) {
        world.addUnusedId(member, body.memberId)
        member.phase = "named"
      } else if (body.errorCode === unknownMemberId || body.errorCode === fencedInstanceId) {
        member.phase = "new"
      }
    }
  })
}

const memberIdRequired = 79
const unknownMemberId = 25
const fencedInstanceId = 82
const rebalanceInProgress = 27

/** One SyncGroup. */
export const sync = (world: World, member: KnownMember, connection: number, rightness = 90): Step => {
  const { random } = world
  const isRight = random.percent(rightness)
  const version = random.between(4, 5)
  const memberId = memberIdOf(world, member, isRight || random.percent(60))
  const generation = generationOf(world, member, isRight || random.percent(60))
  const groupInstanceId = instanceIdOf(world, member, isRight || random.percent(70))
  const protocolName = isRight ? member.protocolName : random.pick([member.protocolName, "range", "sticky", null])
  const protocolType = isRight ? "consumer" : random.pick(["consumer", "consumer", "connect", null])
  const assigned = world.members.filter((one) =>
    one.group === member.group && (isRight ? one.phase !== "new" : random.percent(50))
  )
  const assigns = isRight ? member.isLeader : random.percent(50)
  return step(connection, SyncGroup, version, (names) => ({
    groupId: names.of(member.group),
    generationId: generation(names),
    memberId: memberId(names),
    groupInstanceId,
    protocolType,
    protocolName,
    assignments: assigns
      ? assigned.map(({ slot }) => ({ memberId: names.memberId(slot), assignment: bytes(`for ${slot}`) }))
      : []
  }), {
    slot: member.slot,
    observe: (_, body) => {
      if (body === undefined) return
      if (body.errorCode === 0) member.phase = "stable"
      else if (body.errorCode === rebalanceInProgress) member.phase = "named"
      else if (body.errorCode === unknownMemberId) member.phase = "new"
    }
  })
}

/** One Heartbeat. */
export const heartbeat = (world: World, member: KnownMember, connection: number): Step => {
  const { random } = world
  const isRight = random.percent(75)
  const memberId = memberIdOf(world, member, isRight || random.percent(50))
  const generation = generationOf(world, member, isRight || random.percent(50))
  const groupInstanceId = instanceIdOf(world, member, isRight || random.percent(60))
  return step(connection, Heartbeat, 4, (names) => ({
    groupId: names.of(member.group),
    generationId: generation(names),
    memberId: memberId(names),
    groupInstanceId
  }), {
    observe: (_, body) => {
      if (isRight && body?.errorCode === rebalanceInProgress) member.phase = "named"
      if (isRight && body?.errorCode === unknownMemberId) member.phase = "new"
    }
  })
}

/**
 * One LeaveGroup: of the member, or of static ones by their names. While somebody has an id and has not joined with it, only
 * that one leaves: if the last member did, Kafka would wait a millisecond for the other, and what comes within is open.
 */
export const leave = (world: World, member: KnownMember, connection: number): Step => {
  const { random } = world
  const [slot, ...more] = world.slotsOfUnusedIds(member.group)
  if (slot !== undefined && (slot !== member.slot || more.length > 0)) return heartbeat(world, member, connection)
  const leaving = slot !== undefined ?
    [{ one: member, memberId: idOf(slot), groupInstanceId: null }] :
    Array.from({ length: random.weighted([[6, 1], [1, 2], [1, 0]]) }, (_, index) => {
      const one = index === 0 ? member : random.pick(world.members)
      const isRight = random.percent(75)
      return {
        one,
        memberId: one.instanceId !== null && random.percent(50) ? () => "" : memberIdOf(world, one, isRight),
        groupInstanceId: instanceIdOf(world, one, isRight || random.percent(50))
      }
    })
  return step(connection, LeaveGroup, random.between(4, 5), (names) => ({
    groupId: names.of(member.group),
    members: leaving.map(({ groupInstanceId, memberId }) => ({ memberId: memberId(names), groupInstanceId }))
  }), {
    observe: (_, body) => {
      body?.members.forEach(({ errorCode, memberId }, index) => {
        if (errorCode === 0) leaving[index]!.one.phase = "new"
        if (errorCode === 0) world.removeUnusedId(member.group, memberId)
      })
    }
  })
}

/** One OffsetCommit: of a member, or of nobody. */
export const commit = (world: World, member: KnownMember, connection: number): Step => {
  const { random } = world
  const isRight = random.percent(60)
  const isNobody = random.percent(35)
  const group = isNobody ? random.pick([...groups, "g3"]) : member.group
  const memberId = isNobody ? () => "" : memberIdOf(world, member, isRight || random.percent(50))
  const generation = isNobody && random.percent(90)
    ? () => -1
    : generationOf(world, member, isRight || random.percent(50))
  const groupInstanceId = isNobody ? null : instanceIdOf(world, member, isRight || random.percent(70))
  const topics = Array.from(
    new Set(Array.from({ length: random.between(1, 2) }, () => world.topicSlot())),
    (topic) => ({
      topic,
      partitions: Array.from(new Set([world.partitionOf(topic), world.partitionOf(topic)]), (partitionIndex) => ({
        partitionIndex,
        committedOffset: random.weighted([[8, random.below(50)], [1, -1]]),
        committedLeaderEpoch: random.pick([-1, 0, 3]),
        committedMetadata: random.weighted([[4, ""], [3, "note"], [2, null], [1, "x".repeat(5000)], [
          1,
          "ü".repeat(2100)
        ]])
      }))
    })
  )
  return step(connection, OffsetCommit, random.between(8, 9), (names) => ({
    groupId: names.of(group),
    generationIdOrMemberEpoch: generation(names),
    memberId: memberId(names),
    groupInstanceId,
    topics: topics.map(({ partitions, topic }) => ({ name: names.of(topic), partitions }))
  }))
}

/** One OffsetFetch: of one group or many. */
export const offsetFetch = (world: World, connection: number): Step => {
  const { random } = world
  const version = random.between(6, 9)
  const wanted = Array.from({ length: version < 8 ? 1 : random.between(1, 2) }, () => ({
    group: random.pick([...groups, "g3", "g9"]),
    topics: random.percent(40) ? null : [{ slot: world.topicSlot(), partitionIndexes: [0, random.pick([1, 1, 5])] }]
  })).filter(({ group }, index, all) => all.findIndex((other) => other.group === group) === index)
  const requireStable = random.percent(30) && version >= 7
  return step(connection, OffsetFetch, version, (names) => {
    const topicsOf = ({ topics }: (typeof wanted)[number]) =>
      topics?.map(({ partitionIndexes, slot }) => ({ name: names.of(slot), partitionIndexes })) ?? null
    return version < 8
      ? { groupId: names.of(wanted[0]!.group), topics: topicsOf(wanted[0]!), requireStable }
      : { groups: wanted.map((one) => ({ groupId: names.of(one.group), topics: topicsOf(one) })), requireStable }
  })
}

/** One FindCoordinator. */
export const findCoordinator = (world: World, connection: number): Step => {
  const { random } = world
  const version = random.between(3, 6)
  const keyType = random.weighted([[6, 0], [1, 5], [1, -1]])
  const slots = Array.from({ length: version < 4 ? 1 : random.between(0, 2) }, () => random.pick([...groups, "g9"]))
  return step(connection, FindCoordinator, version, (names) => ({
    keyType,
    ...(version < 4 ? { key: names.of(slots[0]!) } : { coordinatorKeys: slots.map((slot) => names.of(slot)) })
  }))
}

/** What a member would do next, if everything goes well. */
export const progress = (world: World, member: KnownMember, connection: number): Step => {
  switch (member.phase) {
    case "joined":
      return sync(world, member, connection)
    case "stable":
      return world.random.percent(60)
        ? heartbeat(world, member, connection)
        : join(world, member, connection)
    default:
      return join(world, member, connection, 96)
  }
}
