import { batchAttribute, batchField } from "@sluice/kafka/internal/kernel/batchHeader"
import { readInt16 } from "@sluice/kafka/internal/kernel/bigEndian"
import type { Produce } from "@sluice/kafka/internal/protocol/api/produce"
import type { RequestOf, ResponseInput } from "@sluice/kafka/internal/protocol/field"

import { findBatch, validateBatch } from "./batch.ts"
import { errorCode } from "./errorCode.ts"
import { nodeOf } from "./metadata.ts"
import { Reply } from "./reply.ts"
import type { ClusterState, RequestContext } from "./state.ts"
import type { Partition, Topic } from "./topic.ts"

type Response = ResponseInput<typeof Produce>
type TopicResponse = Response["responses"][number]
type PartitionResponse = TopicResponse["partitionResponses"][number]

const failed = (index: number, code: number): PartitionResponse => ({ index, errorCode: code, baseOffset: -1 })

/** Failures that a broker finds only when it has the log at hand; with the others it leaves out where that starts. */
const refused = (partition: Partition, code: number): PartitionResponse => ({
  ...failed(partition.index, code),
  ...(code !== errorCode.MessageTooLarge && code !== errorCode.CorruptMessage &&
    { logStartOffset: partition.log.startOffset })
})

const succeeded = (partition: Partition, baseOffset: number): PartitionResponse => ({
  index: partition.index,
  errorCode: errorCode.None,
  baseOffset,
  logStartOffset: partition.log.startOffset
})

/** Names the leader in its place (KIP-951), in versions that can. */
const notLeader = (partition: Partition, version: number): PartitionResponse => {
  const response = failed(partition.index, errorCode.NotLeaderOrFollower)
  return version < 10
    ? response
    : { ...response, currentLeader: { leaderId: partition.leader, leaderEpoch: partition.leaderEpoch } }
}

/** The rules of a leader, in the order in which a broker applies them. */
const append = (
  context: RequestContext,
  topic: Topic,
  partition: Partition,
  acks: number,
  records: Uint8Array | null
): PartitionResponse => {
  const { index } = partition
  const batch = findBatch(records)
  if (typeof batch === "number") return failed(index, batch)
  if (acks < -1 || acks > 1) return failed(index, errorCode.InvalidRequiredAcks)
  if (topic.isInternal) return failed(index, errorCode.InvalidTopicException)
  if (partition.leader !== context.broker.id) return notLeader(partition, context.version)
  if (acks === -1 && partition.inSyncReplicas.length < topic.minInsyncReplicas) {
    return failed(index, errorCode.NotEnoughReplicas)
  }
  const header = validateBatch(batch, topic.maxMessageBytes)
  if (typeof header === "number") return refused(partition, header)

  // There are no transactions here, so that none can be under way.
  if (isTransactional(batch)) return refused(partition, errorCode.InvalidTxnState)
  const isIdempotent = header.producerId >= 0
  if (isIdempotent) {
    const check = partition.producers.check(header)
    if (check._tag === "Refuse") return refused(partition, check.errorCode)
    if (check._tag === "Duplicate") {
      return { ...succeeded(partition, check.baseOffset), logAppendTimeMs: check.maxTimestamp }
    }
  }
  const baseOffset = partition.log.append(batch, partition.leaderEpoch)
  if (isIdempotent) partition.producers.update(header, baseOffset)
  partition.notify()
  return succeeded(partition, baseOffset)
}

/** Where the leaders are to which the client is sent. */
const nodeEndpoints = (state: ClusterState, responses: ReadonlyArray<TopicResponse>) => {
  const leaders = new Set<number>()
  for (const { partitionResponses } of responses) {
    for (const { currentLeader } of partitionResponses) if (currentLeader?.leaderId) leaders.add(currentLeader.leaderId)
  }
  return leaders.size === 0 ? [] : state.aliveBrokers().filter((broker) => leaders.has(broker.id)).map(nodeOf)
}

const isTransactional = (batch: Uint8Array): boolean =>
  (readInt16(batch, batchField.attributes) & batchAttribute.transactional) !== 0

const hasTransactionalBatch = (request: RequestOf<typeof Produce>): boolean =>
  request.topicData.some(({ partitionData }) =>
    partitionData.some(({ records }) => {
      const batch = findBatch(records)
      return typeof batch !== "number" && isTransactional(batch)
    })
  )

/**
 * Appends batches. With acks 0 there is no response: if anything failed, the broker closes the connection, since it has
 * no other way to tell.
 */
export const handleProduce = (
  state: ClusterState,
  context: RequestContext,
  request: RequestOf<typeof Produce>
): Reply<Response> => {
  const { acks, transactionalId } = request
  const isUnauthorized = transactionalId === null && hasTransactionalBatch(request)
  const responses = request.topicData.map(({ name, partitionData }): TopicResponse => {
    const topic = state.topics.get(name)
    return {
      name,
      partitionResponses: partitionData.map(({ index, records }) => {
        if (isUnauthorized) return failed(index, errorCode.TransactionalIdAuthorizationFailed)
        const partition = topic?.partitions[index]
        return topic === undefined || partition === undefined
          ? failed(index, errorCode.UnknownTopicOrPartition)
          : append(context, topic, partition, acks, records)
      })
    }
  })
  if (acks !== 0) return Reply.respond<Response>({ responses, nodeEndpoints: nodeEndpoints(state, responses) })
  const hasError = responses.some((topic) => topic.partitionResponses.some((partition) => partition.errorCode !== 0))
  return Reply.settled({ _tag: hasError ? "Disconnect" : "NoResponse" })
}
