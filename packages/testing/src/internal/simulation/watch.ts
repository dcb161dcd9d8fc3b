import { endPosition } from "@sluice/kafka/internal/kernel/endPosition"
import { ConsumerProtocolAssignment, decodeVersioned } from "@sluice/kafka/internal/protocol/api/consumerProtocol"
import { Fetch } from "@sluice/kafka/internal/protocol/api/fetch"
import { ListOffsets } from "@sluice/kafka/internal/protocol/api/listOffsets"
import { OffsetCommit } from "@sluice/kafka/internal/protocol/api/offsetCommit"
import { Produce } from "@sluice/kafka/internal/protocol/api/produce"
import { SyncGroup } from "@sluice/kafka/internal/protocol/api/syncGroup"
import type { RequestOf, ResponseInput } from "@sluice/kafka/internal/protocol/field"

import type { ClusterEvent } from "../cluster/event.ts"
import type { Exchange, NetworkEvent } from "../network/event.ts"
import type { FetchedEvent, GroupEvent, HistoryEvent, PartitionIndex } from "./history.ts"

/** What a history is about. */
export interface Subject {
  readonly topic: string
  readonly group: string
}

/** The partitions of an encoded assignment; none for a member without one. */
const partitionsOf = (assignment: Uint8Array, { topic }: Subject): ReadonlyArray<PartitionIndex> =>
  assignment.length === 0 ? [] : decodeVersioned(ConsumerProtocolAssignment, assignment).value.assignedPartitions
    .filter((each) => each.topic === topic)
    .flatMap(({ partitions }) => partitions)

const errorCodeOf = (exchange: Exchange): number => (exchange.response as { readonly errorCode: number }).errorCode

/** The leader's assignments are the generation's as soon as the coordinator has taken them. */
const assigned = (time: number, exchange: Exchange, subject: Subject): ReadonlyArray<GroupEvent> => {
  const { assignments, generationId: generation, groupId } = exchange.request as RequestOf<typeof SyncGroup>
  return assignments.length === 0 || groupId !== subject.group ? [] : [{
    _tag: "Assigned",
    time,
    generation,
    partitions: new Map(assignments.map(({ assignment, memberId }) => [memberId, partitionsOf(assignment, subject)]))
  }]
}

const synced = (time: number, exchange: Exchange, subject: Subject): ReadonlyArray<GroupEvent> => {
  const { generationId: generation, groupId, memberId } = exchange.request as RequestOf<typeof SyncGroup>
  const { assignment, errorCode } = exchange.response as ResponseInput<typeof SyncGroup>
  return errorCode === 0 && groupId === subject.group
    ? [{ _tag: "Synced", time, memberId, generation, partitions: partitionsOf(assignment, subject) }]
    : []
}

const committed = (time: number, exchange: Exchange, subject: Subject): ReadonlyArray<GroupEvent> => {
  const request = exchange.request as RequestOf<typeof OffsetCommit>
  const response = exchange.response as ResponseInput<typeof OffsetCommit>
  return request.groupId !== subject.group ?
    [] :
    request.topics.flatMap(({ name, partitions }, topic) =>
      name !== subject.topic ? [] : partitions.map(({ committedOffset, partitionIndex }, index) => ({
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

const latest = -1

const endsFound = (time: number, exchange: Exchange, subject: Subject): ReadonlyArray<GroupEvent> => {
  const request = exchange.request as RequestOf<typeof ListOffsets>
  const response = exchange.response as ResponseInput<typeof ListOffsets>
  return request.topics.flatMap(({ name, partitions }, topic) =>
    name !== subject.topic ? [] : partitions.flatMap(({ partitionIndex: partition, timestamp }, index) => {
      const { errorCode, offset } = response.topics[topic]!.partitions[index]!
      return timestamp !== latest || errorCode !== 0
        ? []
        : { _tag: "EndFound" as const, time, partition, offset: offset! }
    })
  )
}

const inCluster = (time: number, event: ClusterEvent, { group, topic }: Subject): ReadonlyArray<HistoryEvent> => {
  switch (event._tag) {
    case "Truncated":
    case "Deleted":
      return event.topic === topic
        ? [{ _tag: event._tag, time, partition: event.partition, offset: event.offset }]
        : []
    case "MemberExpelled":
      return event.group === group ? [{ _tag: "Expelled", time, memberId: event.member, why: event.why }] : []
    case "MemberAbsent":
      return event.group === group ? [{ _tag: "Absent", time, memberId: event.member }] : []
    default:
      return []
  }
}

/** What a broker sent of the topic. */
const fetched = (time: number, exchange: Exchange, { topic }: Subject): ReadonlyArray<FetchedEvent> => {
  const request = exchange.request as RequestOf<typeof Fetch>
  const response = exchange.response as ResponseInput<typeof Fetch>
  const offsets = new Map(
    request.topics.flatMap((asked) =>
      asked.topic !== topic
        ? []
        : asked.partitions.map(({ fetchOffset, partition }) => [partition, fetchOffset] as const)
    )
  )
  const parts = response.responses.flatMap((answer) =>
    answer.topic !== topic ? [] : answer.partitions.flatMap(({ partitionIndex: partition, records }) => {
      const from = offsets.get(partition)!
      return records === null || records === undefined || records.length === 0
        ? []
        : {
          partition,
          from,
          end: endPosition(records, { offset: from, leaderEpoch: -1 }).offset,
          bytes: records.length
        }
    })
  )
  const bytes = parts.reduce((sum, part) => sum + part.bytes, 0)
  const { broker, client: member, sentAt } = exchange
  return parts.length === 0
    ? []
    : [{ _tag: "Fetched", time, sentAt, member, broker, excess: Math.max(0, bytes - request.maxBytes), parts }]
}

/** Which batches a broker acknowledges; with acks none it answers nothing. */
const stored = (time: number, exchange: Exchange, { topic }: Subject): ReadonlyArray<HistoryEvent> => {
  const request = exchange.request as RequestOf<typeof Produce>
  const response = exchange.response as ResponseInput<typeof Produce> | undefined
  return (response?.responses ?? []).flatMap(({ name, partitionResponses }, index) =>
    name !== topic ? [] : partitionResponses.flatMap(({ baseOffset: from, errorCode, index: partition }, place) => {
      const { records } = request.topicData[index]!.partitionData[place]!
      return errorCode !== 0 || records === null
        ? []
        : {
          _tag: "Stored" as const,
          time,
          partition,
          from,
          end: from + endPosition(records, { offset: 0, leaderEpoch: -1 }).offset
        }
    })
  )
}

/** What a history has to know of what happened on the network and in the cluster, but for faults: see `Disturbances`. */
export const historyOf = (event: NetworkEvent, subject: Subject): ReadonlyArray<HistoryEvent> => {
  const { time } = event
  switch (event._tag) {
    case "Answered":
      return event.exchange.api === OffsetCommit
        ? committed(time, event.exchange, subject)
        : event.exchange.api === SyncGroup && errorCodeOf(event.exchange) === 0
        ? assigned(time, event.exchange, subject)
        : event.exchange.api === Produce
        ? stored(time, event.exchange, subject)
        : []
    case "Received":
      return event.exchange.api === SyncGroup
        ? synced(time, event.exchange, subject)
        : event.exchange.api === ListOffsets
        ? endsFound(time, event.exchange, subject)
        : event.exchange.api === Fetch
        ? fetched(time, event.exchange, subject)
        : []
    case "Cluster":
      return inCluster(time, event.event, subject)
    case "Connected":
    case "Disconnected":
    case "FaultBegan":
    case "FaultEnded":
    case "Sent":
    case "Served":
      return []
  }
}
