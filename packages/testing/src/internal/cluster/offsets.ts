import type { OffsetCommit } from "@sluice/kafka/internal/protocol/api/offsetCommit"
import type { OffsetFetch } from "@sluice/kafka/internal/protocol/api/offsetFetch"
import type { RequestOf } from "@sluice/kafka/internal/protocol/field"

import { errorCode } from "./errorCode.ts"
import { type CommittedOffset, Group } from "./group.ts"
import { checkCoordinator } from "./groupRequest.ts"
import { renewSession } from "./rebalance.ts"
import type { ClusterState, Handler, RequestContext } from "./state.ts"

type CommitRequest = RequestOf<typeof OffsetCommit>
type CommitPartition = CommitRequest["topics"][number]["partitions"][number]

/** The group that may store these offsets, or the error code. */
const groupForCommit = (state: ClusterState, context: RequestContext, request: CommitRequest): Group | number => {
  const { generationIdOrMemberEpoch: generation, groupId, groupInstanceId, memberId } = request
  const refused = checkCoordinator(state, context, groupId)
  if (refused !== errorCode.None) return refused
  const group = state.groups.get(groupId)
  if (group === undefined) {
    // Nobody's group: an administrator's, or a consumer's that has its partitions assigned by hand.
    if (generation < 0) return new Group(groupId)
    return context.version >= 9 ? errorCode.GroupIdNotFound : errorCode.IllegalGeneration
  }
  if (generation < 0 && group.phase === "Empty") return group
  if (generation < 0 && memberId === "" && groupInstanceId === null) return errorCode.UnknownMemberId
  const code = group.checkMember(memberId, groupInstanceId)
  if (code !== errorCode.None) return code
  if (generation !== group.generation) return errorCode.IllegalGeneration
  return group.phase === "CompletingRebalance" ? errorCode.RebalanceInProgress : group
}

const store = (state: ClusterState, group: Group, topic: string, partition: CommitPartition): number => {
  const metadata = partition.committedMetadata ?? ""
  if (metadata.length > state.config.offsetMetadataMaxBytes) return errorCode.OffsetMetadataTooLarge
  let offsets = group.offsets.get(topic)
  if (offsets === undefined) group.offsets.set(topic, offsets = new Map())
  offsets.set(partition.partitionIndex, {
    offset: partition.committedOffset,
    leaderEpoch: partition.committedLeaderEpoch,
    metadata
  })
  return errorCode.None
}

/** Stores offsets: of a member in its group's generation, or of anybody while the group has no members. */
export const handleOffsetCommit: Handler<typeof OffsetCommit> = (state, context, request) => {
  const exists = (topic: string, partition: number) => state.topics.partition(topic, partition) !== undefined
  const isPointless = !request.topics.some(({ name, partitions }) =>
    partitions.some(({ partitionIndex }) => exists(name, partitionIndex))
  )
  const group = isPointless ? errorCode.UnknownTopicOrPartition : groupForCommit(state, context, request)
  if (typeof group !== "number") {
    state.groups.set(group.id, group)
    const member = group.members.get(request.memberId)
    if (member !== undefined) renewSession(state, group, member, context.now)
  }
  return {
    topics: request.topics.map(({ name, partitions }) => ({
      name,
      partitions: partitions.map((partition) => {
        const { partitionIndex } = partition
        if (!exists(name, partitionIndex)) return { partitionIndex, errorCode: errorCode.UnknownTopicOrPartition }
        return { partitionIndex, errorCode: typeof group === "number" ? group : store(state, group, name, partition) }
      })
    }))
  }
}

const noOffset: CommittedOffset = { offset: -1, leaderEpoch: -1, metadata: "" }

const describe = (partitionIndex: number, committed: CommittedOffset) => ({
  partitionIndex,
  committedOffset: committed.offset,
  committedLeaderEpoch: committed.leaderEpoch,
  metadata: committed.metadata,
  errorCode: errorCode.None
})

type WantedTopics = RequestOf<typeof OffsetFetch>["topics"]

const fetchGroup = (state: ClusterState, context: RequestContext, groupId: string, wanted: WantedTopics) => {
  const code = checkCoordinator(state, context, groupId)
  if (code !== errorCode.None) return { topics: [], errorCode: code }
  const offsets = state.groups.get(groupId)?.offsets
  const topics = wanted === null
    ? Array.from(offsets ?? [], ([name, partitions]) => ({
      name,
      partitions: Array.from(partitions, ([partition, committed]) => describe(partition, committed))
    }))
    : wanted.map(({ name, partitionIndexes }) => ({
      name,
      partitions: partitionIndexes.map((partition) =>
        describe(partition, offsets?.get(name)?.get(partition) ?? noOffset)
      )
    }))
  return { topics, errorCode: errorCode.None }
}

/** Gives the offsets that groups have stored, -1 where there is none; all of a group if no topics are named. */
export const handleOffsetFetch: Handler<typeof OffsetFetch> = (state, context, request) =>
  context.version < 8
    ? fetchGroup(state, context, request.groupId, request.topics)
    : {
      groups: request.groups.map(({ groupId, topics }) => ({ groupId, ...fetchGroup(state, context, groupId, topics) }))
    }
