import { validateTopicName } from "@sluice/kafka/internal/kernel/topicName"
import type { Metadata } from "@sluice/kafka/internal/protocol/api/metadata"

import { errorCode } from "./errorCode.ts"
import type { Broker, ClusterState, Handler } from "./state.ts"
import { noLeader, noTopicId, type Partition, type Topic } from "./topic.ts"

/** The cluster's id, which all brokers give. */
export const clusterId = "sluice-memory-cluster0"

/** How brokers are named in responses. */
export const nodeOf = (broker: Broker) => ({
  nodeId: broker.id,
  host: broker.host,
  port: broker.port,
  rack: broker.rack ?? null
})

const describePartition = (state: ClusterState, partition: Partition) => ({
  errorCode: partition.leader === noLeader ? errorCode.LeaderNotAvailable : errorCode.None,
  partitionIndex: partition.index,
  leaderId: partition.leader,
  leaderEpoch: partition.leaderEpoch,
  replicaNodes: partition.replicas,
  isrNodes: partition.inSyncReplicas,
  offlineReplicas: partition.replicas.filter((id) => !state.isActive(id))
})

const describeTopic = (state: ClusterState, topic: Topic) => ({
  errorCode: errorCode.None,
  name: topic.name,
  topicId: topic.id,
  isInternal: topic.isInternal,
  partitions: topic.partitions.map((partition) => describePartition(state, partition))
})

const missingTopic = (code: number, name: string | null, topicId: string) => ({
  errorCode: code,
  name,
  topicId,
  partitions: []
})

/** What is asked for twice is answered once. */
const distinct = (topics: ReadonlyArray<WantedTopic>): ReadonlyArray<WantedTopic> =>
  Array.from(new Map(topics.map((topic) => [`${topic.topicId} ${topic.name}`, topic])).values())

interface WantedTopic {
  readonly name: string | null
  readonly topicId: string
}

const lookUp = (state: ClusterState, version: number, name: string | null, topicId: string) => {
  if (version >= 12 && name === null) {
    const topic = state.topics.getById(topicId)
    return topic === undefined ? missingTopic(errorCode.UnknownTopicId, null, topicId) : describeTopic(state, topic)
  }
  const topic = state.topics.get(name ?? "")
  if (topic !== undefined) return describeTopic(state, topic)
  const code = validateTopicName(name ?? "") === undefined
    ? errorCode.UnknownTopicOrPartition
    : errorCode.InvalidTopicException
  return missingTopic(code, name ?? "", noTopicId)
}

/**
 * Every broker knows the same, at once. Topics are not created by asking for them. The brokers forward to the controller,
 * so any of them may be named as it.
 */
export const handleMetadata: Handler<typeof Metadata> = (state, context, request) => {
  const brokers = state.activeBrokers()
  return {
    brokers: brokers.map(nodeOf),
    clusterId,
    controllerId: brokers[0]?.id ?? -1,
    topics: request.topics === null
      ? Array.from(state.topics.all(), (topic) => describeTopic(state, topic))
      : distinct(request.topics).map((topic) => lookUp(state, context.version, topic.name, topic.topicId))
  }
}
