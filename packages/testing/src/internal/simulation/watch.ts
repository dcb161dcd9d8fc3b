import { ConsumerProtocolAssignment, decodeVersioned } from "@sluice/kafka/internal/protocol/api/consumerProtocol"
import { OffsetCommit } from "@sluice/kafka/internal/protocol/api/offsetCommit"
import { SyncGroup } from "@sluice/kafka/internal/protocol/api/syncGroup"
import type { RequestOf, ResponseInput } from "@sluice/kafka/internal/protocol/field"

import { describe, type Fault } from "../../Fault.ts"
import type { ClusterEvent } from "../cluster/event.ts"
import type { Exchange, NetworkEvent } from "../network/event.ts"
import type { GroupEvent, HistoryEvent, PartitionIndex } from "./history.ts"
import { groupId, topicName } from "./plan.ts"

/** The partitions of an encoded assignment; none for a member without one. */
const partitionsOf = (assignment: Uint8Array): ReadonlyArray<PartitionIndex> =>
  assignment.length === 0 ? [] : decodeVersioned(ConsumerProtocolAssignment, assignment).value.assignedPartitions
    .filter(({ topic }) => topic === topicName)
    .flatMap(({ partitions }) => partitions)

const errorCodeOf = (exchange: Exchange): number => (exchange.response as { readonly errorCode: number }).errorCode

/** The leader's assignments are the generation's as soon as the coordinator has taken them. */
const assigned = (time: number, exchange: Exchange): ReadonlyArray<GroupEvent> => {
  const { assignments, generationId: generation } = exchange.request as RequestOf<typeof SyncGroup>
  return assignments.length === 0 ? [] : [{
    _tag: "Assigned",
    time,
    generation,
    partitions: new Map(assignments.map(({ assignment, memberId }) => [memberId, partitionsOf(assignment)]))
  }]
}

const synced = (time: number, exchange: Exchange): ReadonlyArray<GroupEvent> => {
  const { generationId: generation, memberId } = exchange.request as RequestOf<typeof SyncGroup>
  return errorCodeOf(exchange) === 0 ? [{ _tag: "Synced", time, memberId, generation }] : []
}

const committed = (time: number, exchange: Exchange): ReadonlyArray<GroupEvent> => {
  const request = exchange.request as RequestOf<typeof OffsetCommit>
  const response = exchange.response as ResponseInput<typeof OffsetCommit>
  return request.topics.flatMap(({ name, partitions }, topic) =>
    name !== topicName ? [] : partitions.map(({ committedOffset, partitionIndex }, index) => ({
      _tag: "Committed" as const,
      time,
      sentAt: exchange.sentAt,
      memberId: request.memberId,
      generation: request.generationIdOrMemberEpoch,
      partition: partitionIndex,
      offset: committedOffset,
      errorCode: response.topics[topic]!.partitions[index]!.errorCode
    }))
  )
}

const inCluster = (time: number, event: ClusterEvent): ReadonlyArray<HistoryEvent> => {
  switch (event._tag) {
    case "Truncated":
      return event.topic === topicName
        ? [{ _tag: "Truncated", time, partition: event.partition, offset: event.offset }]
        : []
    case "MemberExpelled":
      return event.group === groupId ? [{ _tag: "Expelled", time, memberId: event.member, why: event.why }] : []
    default:
      return []
  }
}

/** Faults whose end is told; the others are over as soon as they have begun. */
const lasting: ReadonlySet<Fault["_tag"]> = new Set(["Partition", "Slow", "Crash", "Pause"])

/** What a history has to know of what happened on the network and in the cluster. */
export const historyOf = (event: NetworkEvent): ReadonlyArray<HistoryEvent> => {
  const { time } = event
  switch (event._tag) {
    case "Answered":
      return event.exchange.api === OffsetCommit
        ? committed(time, event.exchange)
        : event.exchange.api === SyncGroup && errorCodeOf(event.exchange) === 0
        ? assigned(time, event.exchange)
        : []
    case "Received":
      return event.exchange.api === SyncGroup ? synced(time, event.exchange) : []
    case "FaultBegan":
    case "FaultEnded": {
      const { fault, id } = event
      const told = { time, id, fault: describe(fault) }
      const isMomentary = event._tag === "FaultBegan" && !lasting.has(fault._tag)
      return isMomentary
        ? [{ _tag: "FaultBegan", ...told }, { _tag: "FaultEnded", ...told }]
        : [{ _tag: event._tag, ...told }]
    }
    case "Cluster":
      return inCluster(time, event.event)
    case "Connected":
    case "Disconnected":
    case "Served":
      return []
  }
}
