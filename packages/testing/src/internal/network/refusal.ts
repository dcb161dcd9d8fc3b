import type { ApiVersions } from "@sluice/kafka/internal/protocol/api/apiVersions"
import type { CreatePartitions } from "@sluice/kafka/internal/protocol/api/createPartitions"
import type { CreateTopics } from "@sluice/kafka/internal/protocol/api/createTopics"
import type { DeleteRecords } from "@sluice/kafka/internal/protocol/api/deleteRecords"
import type { DeleteTopics } from "@sluice/kafka/internal/protocol/api/deleteTopics"
import type { DescribeGroups } from "@sluice/kafka/internal/protocol/api/describeGroups"
import type { Fetch } from "@sluice/kafka/internal/protocol/api/fetch"
import type { FindCoordinator } from "@sluice/kafka/internal/protocol/api/findCoordinator"
import type { Heartbeat } from "@sluice/kafka/internal/protocol/api/heartbeat"
import type { InitProducerId } from "@sluice/kafka/internal/protocol/api/initProducerId"
import type { JoinGroup } from "@sluice/kafka/internal/protocol/api/joinGroup"
import type { LeaveGroup } from "@sluice/kafka/internal/protocol/api/leaveGroup"
import type { ListOffsets } from "@sluice/kafka/internal/protocol/api/listOffsets"
import type { Metadata } from "@sluice/kafka/internal/protocol/api/metadata"
import type { OffsetCommit } from "@sluice/kafka/internal/protocol/api/offsetCommit"
import type { OffsetFetch } from "@sluice/kafka/internal/protocol/api/offsetFetch"
import type { OffsetForLeaderEpoch } from "@sluice/kafka/internal/protocol/api/offsetForLeaderEpoch"
import type { Produce } from "@sluice/kafka/internal/protocol/api/produce"
import type { SyncGroup } from "@sluice/kafka/internal/protocol/api/syncGroup"
import type { AnyApi, RequestOf, ResponseInput } from "@sluice/kafka/internal/protocol/field"

import { errorCode as errorCodes } from "../cluster/errorCode.ts"
import type { Answer } from "../cluster/reply.ts"
import { noTopicId } from "../cluster/topic.ts"
import type { ReadRequest } from "./frames.ts"

type Refusal<A extends AnyApi> = (request: RequestOf<A>, errorCode: number, version: number) => ResponseInput<A>

const noBytes = new Uint8Array(0)
const noNode = { nodeId: -1, host: "", port: -1 }

const produce: Refusal<typeof Produce> = ({ topicData }, errorCode) => ({
  responses: topicData.map(({ name, partitionData }) => ({
    name,
    partitionResponses: partitionData.map(({ index }) => ({ index, errorCode, baseOffset: -1 }))
  }))
})

/** Of the whole session, not of a partition. */
const fetchSessionErrors: ReadonlySet<number> = new Set([
  errorCodes.FetchSessionIdNotFound,
  errorCodes.InvalidFetchSessionEpoch,
  errorCodes.FetchSessionTopicIdError
])

const fetch: Refusal<typeof Fetch> = ({ topics }, errorCode) => ({
  errorCode: fetchSessionErrors.has(errorCode) ? errorCode : 0,
  responses: fetchSessionErrors.has(errorCode) ? [] : topics.map(({ partitions, topic, topicId }) => ({
    topic,
    topicId,
    partitions: partitions.map(({ partition }) => ({
      partitionIndex: partition,
      errorCode,
      highWatermark: -1,
      abortedTransactions: null,
      records: noBytes
    }))
  }))
})

const listOffsets: Refusal<typeof ListOffsets> = ({ topics }, errorCode) => ({
  topics: topics.map(({ name, partitions }) => ({
    name,
    partitions: partitions.map(({ partitionIndex }) => ({ partitionIndex, errorCode }))
  }))
})

const offsetForLeaderEpoch: Refusal<typeof OffsetForLeaderEpoch> = ({ topics }, errorCode) => ({
  topics: topics.map(({ partitions, topic }) => ({
    topic,
    partitions: partitions.map(({ partition }) => ({ partition, errorCode }))
  }))
})

const offsetCommit: Refusal<typeof OffsetCommit> = ({ topics }, errorCode) => ({
  topics: topics.map(({ name, partitions }) => ({
    name,
    partitions: partitions.map(({ partitionIndex }) => ({ partitionIndex, errorCode }))
  }))
})

const offsetFetch: Refusal<typeof OffsetFetch> = ({ groups }, errorCode, version) =>
  version < 8
    ? { topics: [], errorCode }
    : { groups: groups.map(({ groupId }) => ({ groupId, topics: [], errorCode })) }

const findCoordinator: Refusal<typeof FindCoordinator> = ({ coordinatorKeys }, errorCode, version) =>
  version < 4
    ? { ...noNode, errorCode, errorMessage: null }
    : { coordinators: coordinatorKeys.map((key) => ({ ...noNode, key, errorCode, errorMessage: null })) }

const joinGroup: Refusal<typeof JoinGroup> = ({ memberId }, errorCode, version) => ({
  errorCode,
  generationId: -1,
  protocolName: version >= 7 ? null : "",
  leader: "",
  memberId,
  members: []
})

const syncGroup: Refusal<typeof SyncGroup> = (_, errorCode) => ({ errorCode, assignment: noBytes })

const heartbeat: Refusal<typeof Heartbeat> = (_, errorCode) => ({ errorCode })

const leaveGroup: Refusal<typeof LeaveGroup> = (_, errorCode) => ({ errorCode, members: [] })

const describeGroups: Refusal<typeof DescribeGroups> = ({ groups }, errorCode) => ({
  groups: groups.map((groupId) => ({
    errorCode,
    groupId,
    groupState: "",
    protocolType: "",
    protocolData: "",
    members: []
  }))
})

const initProducerId: Refusal<typeof InitProducerId> = (_, errorCode) => ({
  errorCode,
  producerId: -1,
  producerEpoch: -1
})

const apiVersions: Refusal<typeof ApiVersions> = (_, errorCode) => ({ errorCode, apiKeys: [] })

const createTopics: Refusal<typeof CreateTopics> = ({ topics }, errorCode) => ({
  topics: topics.map(({ name }) => ({ name, topicId: noTopicId, errorCode, errorMessage: null, configs: [] }))
})

const createPartitions: Refusal<typeof CreatePartitions> = ({ topics }, errorCode) => ({
  results: topics.map(({ name }) => ({ name, errorCode, errorMessage: null }))
})

const deleteTopics: Refusal<typeof DeleteTopics> = ({ topicNames, topics }, errorCode, version) => ({
  responses: version < 6
    ? topicNames.map((name) => ({ name, topicId: noTopicId, errorCode }))
    : topics.map(({ name, topicId }) => ({ name, topicId, errorCode }))
})

const deleteRecords: Refusal<typeof DeleteRecords> = ({ topics }, errorCode) => ({
  topics: topics.map(({ name, partitions }) => ({
    name,
    partitions: partitions.map(({ partitionIndex }) => ({ partitionIndex, lowWatermark: -1, errorCode }))
  }))
})

const refusals: Readonly<Record<string, Refusal<any>>> = {
  Produce: produce,
  Fetch: fetch,
  ListOffsets: listOffsets,
  OffsetForLeaderEpoch: offsetForLeaderEpoch,
  OffsetCommit: offsetCommit,
  OffsetFetch: offsetFetch,
  FindCoordinator: findCoordinator,
  JoinGroup: joinGroup,
  SyncGroup: syncGroup,
  Heartbeat: heartbeat,
  LeaveGroup: leaveGroup,
  DescribeGroups: describeGroups,
  InitProducerId: initProducerId,
  ApiVersions: apiVersions,
  CreateTopics: createTopics,
  CreatePartitions: createPartitions,
  DeleteTopics: deleteTopics,
  DeleteRecords: deleteRecords
}

/** Metadata tells of an error topic by topic, beside the brokers, which it tells of in any case. */
const refuseMetadata = (
  { topics = [], ...rest }: ResponseInput<typeof Metadata>,
  errorCode: number,
  version: number
): ResponseInput<typeof Metadata> => ({
  ...rest,
  topics: topics.map((topic) => ({ ...topic, errorCode, partitions: [] })),
  ...(version >= 13 && topics.length === 0 && { errorCode })
})

/**
 * What a broker answers that could do nothing of a request: the error, wherever the response has a place for one, as in
 * `getErrorResponse` of Kafka's own request classes. `serve` gives what it would answer otherwise, where that is needed;
 * it must change nothing.
 */
export const refuse = (request: ReadRequest, errorCode: number, serve: () => Answer<unknown>): Answer<unknown> => {
  const { api, body, version } = request
  if (api.name === "Metadata") {
    const served = serve()
    return served._tag === "Response"
      ? { _tag: "Response", body: refuseMetadata(served.body as ResponseInput<typeof Metadata>, errorCode, version) }
      : served
  }
  // The one way to tell a client of an error that expects no response.
  if (api.name === "Produce" && (body as RequestOf<typeof Produce>).acks === 0) return { _tag: "Disconnect" }
  return { _tag: "Response", body: refusals[api.name]!(body, errorCode, version) }
}
