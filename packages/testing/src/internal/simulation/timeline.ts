import { readBatchHeader } from "@sluice/kafka/internal/kernel/batchHeader"
import { errorOf } from "@sluice/kafka/internal/kernel/errors"
import { Fetch } from "@sluice/kafka/internal/protocol/api/fetch"
import { Heartbeat } from "@sluice/kafka/internal/protocol/api/heartbeat"
import { JoinGroup } from "@sluice/kafka/internal/protocol/api/joinGroup"
import { OffsetCommit } from "@sluice/kafka/internal/protocol/api/offsetCommit"
import { OffsetFetch } from "@sluice/kafka/internal/protocol/api/offsetFetch"
import { Produce } from "@sluice/kafka/internal/protocol/api/produce"
import { SyncGroup } from "@sluice/kafka/internal/protocol/api/syncGroup"
import type { RequestOf, ResponseInput } from "@sluice/kafka/internal/protocol/field"

import { describe } from "../../Fault.ts"
import type { ClusterEvent } from "../cluster/event.ts"
import type { Exchange, NetworkEvent } from "../network/event.ts"
import type { HistoryEvent, Violation } from "./history.ts"
import { deletedTopic } from "./plan.ts"
import type { TimelineEntry } from "./trial.ts"

type Written = ReadonlyArray<string>

const inWords = (parts: Written): string => parts.length === 0 ? "" : ` ${parts.join(", ")}`

const failedWith = (code: number | undefined): string =>
  code === undefined || code === 0 ? "" : ` ${errorOf(code).name}`

/** What a batch says of itself. */
const batchInWords = (records: Uint8Array | null): string => {
  if (records === null || records.length < 61) return "no batch"
  const { baseSequence, producerEpoch, producerId, recordCount } = readBatchHeader(records, 0)
  const identity = producerId < 0 ? "" : `, producer ${producerId}/${producerEpoch} sequence ${baseSequence}`
  return `${recordCount} records${identity}`
}

/** Which requests there are words for; of the others the name says it all. */
const requestInWords = ({ api, request }: Exchange): Written => {
  switch (api) {
    case Produce:
      return (request as RequestOf<typeof Produce>).topicData.flatMap(({ name, partitionData }) =>
        partitionData.map(({ index, records }) => `${name}-${index} (${batchInWords(records)})`)
      )
    case Fetch:
      return (request as RequestOf<typeof Fetch>).topics.flatMap(({ partitions, topic }) =>
        partitions.map(({ fetchOffset, partition }) => `${topic}-${partition} from ${fetchOffset}`)
      )
    case JoinGroup: {
      const { memberId } = request as RequestOf<typeof JoinGroup>
      return [memberId === "" ? "new member" : memberId]
    }
    case SyncGroup:
    case Heartbeat: {
      const { generationId, memberId } = request as RequestOf<typeof SyncGroup>
      return [`${memberId} generation ${generationId}`]
    }
    case OffsetCommit: {
      const { generationIdOrMemberEpoch, memberId, topics } = request as RequestOf<typeof OffsetCommit>
      return [
        `${memberId} generation ${generationIdOrMemberEpoch}`,
        ...topics.flatMap(({ name, partitions }) =>
          partitions.map(({ committedOffset, partitionIndex }) => `${name}-${partitionIndex} at ${committedOffset}`)
        )
      ]
    }
    default:
      return []
  }
}

const responseInWords = ({ api, response }: Exchange): Written => {
  switch (api) {
    case Produce:
      return (response as ResponseInput<typeof Produce>).responses.flatMap(({ name, partitionResponses }) =>
        partitionResponses.map(({ baseOffset, errorCode, index }) =>
          `${name}-${index}${errorCode === 0 ? ` at ${baseOffset}` : failedWith(errorCode)}`
        )
      )
    case Fetch: {
      const { errorCode, responses } = response as ResponseInput<typeof Fetch>
      return [
        ...(errorCode ? [errorOf(errorCode).name] : []),
        ...(responses ?? []).flatMap(({ partitions, topic }) =>
          partitions.flatMap(({ errorCode, partitionIndex, records }) =>
            errorCode === 0 && (records?.length ?? 0) === 0
              ? []
              : `${topic}-${partitionIndex}${failedWith(errorCode) || ` ${records!.length} bytes`}`
          )
        )
      ]
    }
    case OffsetCommit:
      return (response as ResponseInput<typeof OffsetCommit>).topics.flatMap(({ name, partitions }) =>
        partitions.flatMap(({ errorCode, partitionIndex }) =>
          errorCode === 0 ? [] : `${name}-${partitionIndex}${failedWith(errorCode)}`
        )
      )
    case JoinGroup: {
      const { errorCode, generationId, leader, memberId } = response as ResponseInput<typeof JoinGroup>
      return errorCode !== 0
        ? [errorOf(errorCode).name]
        : [`generation ${generationId}, ${memberId}${leader === memberId ? " leads" : ""}`]
    }
    case OffsetFetch:
      return []
    default: {
      const code = (response as { readonly errorCode?: number }).errorCode
      return code === undefined || code === 0 ? [] : [errorOf(code).name]
    }
  }
}

const clusterInWords = (event: ClusterEvent): string => {
  switch (event._tag) {
    case "LeaderChanged":
      return `${event.topic}-${event.partition} is led by ${
        event.leader === -1 ? "nobody" : `broker ${event.leader}`
      }, ` +
        `epoch ${event.leaderEpoch}`
    case "InSyncReplicasChanged":
      return `${event.topic}-${event.partition} in sync: ${event.inSyncReplicas.join(", ")}`
    case "Truncated":
      return `${event.topic}-${event.partition} is cut off at ${event.offset}`
    case "Deleted":
      return `${event.topic}-${event.partition} begins at ${event.offset} now`
    case "BrokerFenced":
      return `broker ${event.broker} is out of the cluster`
    case "BrokerUnfenced":
      return `broker ${event.broker} is in the cluster again`
    case "GenerationBegan":
      return `group ${event.group} begins generation ${event.generation}: ${event.members.join(", ") || "empty"}`
    case "MemberExpelled":
      return `${event.member} is put out of group ${event.group}: ${event.why} timeout`
    case "MemberAbsent":
      return `${event.member} has not joined, and keeps its place in group ${event.group}`
    case "CoordinatorMoved":
      return `group ${event.group} is coordinated by broker ${event.broker}`
  }
}

const onNetwork = (event: NetworkEvent): TimelineEntry | undefined => {
  const { time } = event
  switch (event._tag) {
    case "Connected":
      return {
        time,
        actor: `broker ${event.broker}`,
        kind: "connection",
        text: `connection ${event.connection} is open`
      }
    case "Disconnected":
      return {
        time,
        actor: "network",
        kind: "connection",
        text: `connection ${event.connection} is closed by the ${event.by}${event.message && `: ${event.message}`}`
      }
    case "Served": {
      const { exchange } = event
      const { api, broker, client, connection, id, version } = exchange
      const text = `#${id} ${api.name} v${version} to broker ${broker} (connection ${connection})`
      return { time, actor: client, kind: "request", text: text + inWords(requestInWords(exchange)) }
    }
    case "Answered": {
      const { exchange } = event
      if (exchange.response === undefined) return undefined
      return {
        time,
        actor: `broker ${exchange.broker}`,
        kind: "answer",
        text: `#${exchange.id} ${exchange.api.name} to ${exchange.client}${inWords(responseInWords(exchange))}`
      }
    }
    case "Sent":
    case "Received":
      return undefined
    case "FaultBegan": {
      const on = event.exchange === undefined ? "" : ` (#${event.exchange.id} of ${event.exchange.client})`
      return { time, actor: "fault", kind: "fault", text: `${event.id} begins: ${describe(event.fault)}${on}` }
    }
    case "FaultEnded":
      return { time, actor: "fault", kind: "fault", text: `${event.id} ends: ${describe(event.fault)}` }
    case "Cluster":
      // Brokers' own topics change leaders by the dozen.
      return "topic" in event.event && event.event.topic.startsWith("__")
        ? undefined
        : { time, actor: "cluster", kind: "cluster", text: clusterInWords(event.event) }
  }
}

const ofProducer = (time: number, actor: string, text: string): TimelineEntry => ({
  time,
  actor,
  kind: "producer",
  text
})

const ofConsumer = (time: number, actor: string, text: string): TimelineEntry => ({
  time,
  actor,
  kind: "consumer",
  text
})

const placeInWords = (partition: number, offset: number | undefined): string => `${partition}/${offset ?? "?"}`

const inHistory = (event: HistoryEvent): TimelineEntry | undefined => {
  const { time } = event
  switch (event._tag) {
    case "Invoked":
      return ofProducer(
        time,
        event.producer,
        `${event.record} is sent (${event.size} bytes${event.flaw === undefined ? "" : `, ${event.flaw}`})`
      )
    case "Accepted":
      return ofProducer(time, event.producer, `${event.record} is accepted`)
    case "Acknowledged":
      return ofProducer(
        time,
        event.producer,
        `${event.record} is acknowledged at ${placeInWords(event.partition, event.offset)}`
      )
    case "Failed":
      return ofProducer(time, event.producer, `${event.record} failed: ${event.reason}, persisted ${event.persisted}`)
    case "Abandoned":
      return ofProducer(time, event.producer, `${event.record} has no outcome for its sender`)
    case "Reported":
      return ofProducer(
        time,
        event.producer,
        event.outcome._tag === "Acknowledged"
          ? `${event.record} is reported at ${placeInWords(event.outcome.partition, event.outcome.offset)}`
          : `${event.record} is reported: ${event.outcome.reason}, persisted ${event.outcome.persisted}`
      )
    case "ReportHandled":
      return ofProducer(time, event.producer, `the report of ${event.record} is handled`)
    case "Piped":
      return ofProducer(time, event.producer, `${event.record} comes out of a stream (${event.lane})`)
    case "Flushing":
    case "Flushed":
      return ofProducer(time, event.producer, event._tag === "Flushing" ? "flushes" : "has flushed")
    case "SinkDone":
      return ofProducer(time, event.producer, `a sink is done (${event.lane})`)
    case "ProducerClosing":
    case "ProducerClosed":
      return ofProducer(time, event.producer, event._tag === "ProducerClosing" ? "closes" : "is closed")
    case "MemberStarted":
      return ofConsumer(time, event.member, "starts")
    case "MemberClosing":
      return ofConsumer(time, event.member, "closes")
    case "MemberClosed":
      return ofConsumer(time, event.member, "is closed")
    case "MemberKilled":
      return ofConsumer(time, event.member, "is killed")
    case "MemberFenced":
      return ofConsumer(time, event.member, "is told that its name is taken")
    case "Stalled":
      return ofConsumer(time, event.member, "stands still")
    case "Resumed":
      return ofConsumer(time, event.member, "goes on")
    case "Seeking":
    case "Sought":
      return ofConsumer(
        time,
        event.member,
        `${event._tag === "Seeking" ? "seeks" : "is at"} ${placeInWords(event.partition, event.offset)}`
      )
    case "Paused":
    case "Continued":
      return ofConsumer(time, event.member, `${event._tag === "Paused" ? "pauses" : "resumes"} ${event.partition}`)
    case "Started":
      return ofConsumer(
        time,
        event.member,
        `handles ${event.record} of ${placeInWords(event.partition, event.offset)}`
      )
    case "Processed":
      return ofConsumer(
        time,
        event.member,
        `has handled ${event.record} of ${placeInWords(event.partition, event.offset)}`
      )
    case "HandlerEnded":
      return ofConsumer(
        time,
        event.member,
        `the handler of ${placeInWords(event.partition, event.offset)} ${
          event.how === "failed" ? "has failed" : "was interrupted"
        }`
      )
    case "ReaderRestarted":
      return ofConsumer(time, event.member, "reads again")
    case "Read":
      return ofConsumer(time, event.reader, `reads ${event.record} of ${placeInWords(event.partition, event.offset)}`)
    case "TopicDeleted":
    case "TopicMade":
      return {
        time,
        actor: "cluster",
        kind: "cluster",
        text: `topic ${deletedTopic} is ${event._tag === "TopicMade" ? "made again" : "deleted"}`
      }
    case "PartitionsAdded":
      return { time, actor: "cluster", kind: "cluster", text: `${event.count} partitions from now on` }
    case "ReadFailed":
      return ofConsumer(time, event.reader, `cannot read ${placeInWords(event.partition, event.offset)}`)
    case "Healed":
      return { time, actor: "fault", kind: "fault", text: "all is mended" }
    // The network tells of these.
    case "Assigned":
    case "Synced":
    case "Committed":
    case "Expelled":
    case "Absent":
    case "EndFound":
    case "Fetched":
    case "Stored":
    case "FaultBegan":
    case "FaultEnded":
    case "SilenceBegan":
    case "SilenceFelt":
    case "SilenceEnded":
    case "Truncated":
    case "Deleted":
      return undefined
  }
}

/** An event of the network, and how much of the history was written before it. */
export interface PlacedEvent {
  readonly event: NetworkEvent
  readonly position: number
}

/** Puts together what happened on the network, what clients saw of it, and what is wrong, in the order of time. */
export const timeline = (
  network: ReadonlyArray<PlacedEvent>,
  history: ReadonlyArray<HistoryEvent>,
  violations: ReadonlyArray<Violation>
): ReadonlyArray<TimelineEntry> => {
  const entries: Array<TimelineEntry> = []
  const add = (entry: TimelineEntry | undefined): void => {
    if (entry !== undefined) entries.push(entry)
  }
  let next = 0
  for (const { event, position } of network) {
    while (next < position) add(inHistory(history[next++]!))
    add(onNetwork(event))
  }
  while (next < history.length) add(inHistory(history[next++]!))
  for (const { invariant, message, time } of violations) {
    const entry: TimelineEntry = {
      time: time ?? entries.at(-1)?.time ?? 0,
      actor: "checker",
      kind: "violation",
      text: `${invariant}: ${message}`
    }
    const after = entries.findIndex((each) => each.time > entry.time)
    entries.splice(after === -1 ? entries.length : after, 0, entry)
  }
  return entries
}
