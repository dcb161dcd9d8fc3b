import { batchAttribute, batchField } from "@sluice/kafka/internal/kernel/batchHeader"
import { readInt16 } from "@sluice/kafka/internal/kernel/bigEndian"
import type { Produce } from "@sluice/kafka/internal/protocol/api/produce"
import type { RequestOf, ResponseInput } from "@sluice/kafka/internal/protocol/field"

import { findBatch, validateBatch } from "./batch.ts"
import { errorCode } from "./errorCode.ts"
import { nodeOf } from "./metadata.ts"
import { afterAppend } from "./replication.ts"
import { Reply } from "./reply.ts"
import { watchRetention } from "./retention.ts"
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

/** What became of a batch at its leader. */
interface Appended {
  readonly response: PartitionResponse
  /** The high watermark at which all in-sync replicas have the batch; `undefined` if it was refused. */
  readonly requiredOffset: number | undefined
}

const refuse = (response: PartitionResponse): Appended => ({ response, requiredOffset: undefined })

/** The rules of a leader, in the order in which a broker applies them. */
const append = (
  state: ClusterState,
  context: RequestContext,
  topic: Topic,
  partition: Partition,
  acks: number,
  records: Uint8Array | null
): Appended => {
  const { index, log } = partition
  const batch = findBatch(records)
  if (typeof batch === "number") return refuse(failed(index, batch))
  if (acks < -1 || acks > 1) return refuse(failed(index, errorCode.InvalidRequiredAcks))
  if (topic.isInternal) return refuse(failed(index, errorCode.InvalidTopicException))
  if (partition.leader !== context.broker.id) return refuse(notLeader(partition, context.version))
  if (acks === -1 && !partition.hasEnoughReplicas) return refuse(failed(index, errorCode.NotEnoughReplicas))
  const header = validateBatch(batch, topic.maxMessageBytes)
  if (typeof header === "number") return refuse(refused(partition, header))

  // There are no transactions here, so that none can be under way: a transaction coordinator would be asked.
  if (isTransactional(batch)) return refuse(refused(partition, errorCode.InvalidTxnState))
  const isIdempotent = header.producerId >= 0
  if (isIdempotent) {
    const check = partition.producers.check(header)
    if (check._tag === "Refuse") return refuse(refused(partition, check.errorCode))
    if (check._tag === "Duplicate") {
      return {
        response: { ...succeeded(partition, check.baseOffset), logAppendTimeMs: check.maxTimestamp },
        requiredOffset: check.baseOffset + header.recordCount
      }
    }
  }
  const baseOffset = log.append(batch, partition.leaderEpoch)
  if (isIdempotent) partition.producers.update(header, baseOffset, partition.highWatermark)
  afterAppend(state, partition, baseOffset, context.now)
  watchRetention(state, topic, context.now)
  return { response: succeeded(partition, baseOffset), requiredOffset: log.endOffset }
}

/** A batch of a request with acks all that is in the leader's log, and where its response is. */
interface Unsettled {
  readonly topic: Topic
  readonly partition: Partition
  readonly requiredOffset: number
  readonly responses: Array<PartitionResponse>
  readonly position: number
}

/**
 * Sees whether a batch is committed or never will be by this broker, and says so in its response. There is no
 * `NotEnoughReplicasAfterAppend`: with too few in-sync replicas nothing is committed, and the request waits.
 */
const settle = (state: ClusterState, context: RequestContext, unsettled: Unsettled): boolean => {
  const { partition, position, requiredOffset, responses, topic } = unsettled
  const answer = (changes: Partial<PartitionResponse>): true => {
    responses[position] = { ...responses[position]!, ...changes }
    return true
  }
  if (state.topics.get(topic.name) !== topic) return answer({ errorCode: errorCode.UnknownTopicOrPartition })
  if (partition.leader !== context.broker.id) {
    const { currentLeader, errorCode } = notLeader(partition, context.version)
    return answer({ errorCode, ...(currentLeader !== undefined && { currentLeader }) })
  }
  return partition.highWatermark >= requiredOffset
}

/** Calls `done` when each batch is settled, or when the time is over: those that are left have timed out then. */
const awaitReplicas = (
  state: ClusterState,
  context: RequestContext,
  timeoutMs: number,
  batches: ReadonlyArray<Unsettled>,
  done: () => void
): () => void => {
  const waiting = new Map<Unsettled, () => void>()
  const deadline = state.timers.schedule(context.now + Math.max(0, timeoutMs), () => {
    for (const { position, responses } of waiting.keys()) {
      responses[position] = { ...responses[position]!, errorCode: errorCode.RequestTimedOut }
    }
    finish()
  })
  const stop = () => {
    deadline.cancel()
    for (const unwatch of waiting.values()) unwatch()
    waiting.clear()
  }
  const finish = () => {
    stop()
    done()
  }
  for (const batch of batches) {
    const unwatch = batch.partition.watch(() => {
      if (!settle(state, context, batch)) return
      unwatch()
      waiting.delete(batch)
      if (waiting.size === 0) finish()
    })
    waiting.set(batch, unwatch)
  }
  return stop
}

/** Where the leaders are to which the client is sent. */
const nodeEndpoints = (state: ClusterState, responses: ReadonlyArray<TopicResponse>) => {
  const leaders = new Set<number>()
  for (const { partitionResponses } of responses) {
    for (const { currentLeader } of partitionResponses) if (currentLeader?.leaderId) leaders.add(currentLeader.leaderId)
  }
  return leaders.size === 0 ? [] : state.activeBrokers().filter((broker) => leaders.has(broker.id)).map(nodeOf)
}

const isTransactional = (batch: Uint8Array): boolean =>
  (readInt16(batch, batchField.attributes) & batchAttribute.transactional) !== 0

/** A broker looks into all batches first: one that it cannot read at all refuses the whole request. */
const hasUnreadableBatch = (request: RequestOf<typeof Produce>): boolean =>
  request.topicData.some(({ partitionData }) =>
    partitionData.some(({ records }) => findBatch(records) === errorCode.CorruptMessage)
  )

const hasTransactionalBatch = (request: RequestOf<typeof Produce>): boolean =>
  request.topicData.some(({ partitionData }) =>
    partitionData.some(({ records }) => {
      const batch = findBatch(records)
      return typeof batch !== "number" && isTransactional(batch)
    })
  )

/**
 * Appends batches. With acks all it parks until all in-sync replicas have them, a leader is no longer the leader, or
 * `timeoutMs` has passed: the batches stay in the log all the same. With acks 0 there is no response: if anything failed,
 * the broker closes the connection, since it has no other way to tell.
 */
export const handleProduce = (
  state: ClusterState,
  context: RequestContext,
  request: RequestOf<typeof Produce>
): Reply<Response> => {
  const { acks, transactionalId } = request
  const isUnreadable = hasUnreadableBatch(request)
  const isUnauthorized = transactionalId === null && hasTransactionalBatch(request)
  const appended: Array<Unsettled> = []
  // A parked fetch of several partitions is answered with all that the request has brought.
  const held = request.topicData.flatMap(({ name, partitionData }) =>
    partitionData.flatMap(({ index }) => state.topics.partition(name, index) ?? [])
  )
  for (const partition of held) partition.hold()
  const responses = request.topicData.map(({ name, partitionData }): TopicResponse => {
    const topic = state.topics.get(name)
    const results: Array<PartitionResponse> = []
    for (const { index, records } of partitionData) {
      const partition = topic?.partitions[index]
      if (isUnreadable) {
        results.push(failed(index, errorCode.CorruptMessage))
      } else if (isUnauthorized) {
        results.push(failed(index, errorCode.TransactionalIdAuthorizationFailed))
      } else if (topic === undefined || partition === undefined) {
        results.push(failed(index, errorCode.UnknownTopicOrPartition))
      } else {
        const { requiredOffset, response } = append(state, context, topic, partition, acks, records)
        const position = results.push(response) - 1
        if (requiredOffset !== undefined) {
          appended.push({ topic, partition, requiredOffset, responses: results, position })
        }
      }
    }
    return { name, partitionResponses: results }
  })
  for (const partition of held) partition.release()
  if (acks === 0) {
    const hasError = responses.some((topic) => topic.partitionResponses.some((partition) => partition.errorCode !== 0))
    return Reply.settled({ _tag: hasError ? "Disconnect" : "NoResponse" })
  }
  const response = (): Response => ({ responses, nodeEndpoints: nodeEndpoints(state, responses) })
  const unsettled = acks === -1 ? appended.filter((batch) => !settle(state, context, batch)) : []
  if (unsettled.length === 0) return Reply.respond(response())
  const reply = new Reply<Response>()
  reply.onAbandon(awaitReplicas(state, context, request.timeoutMs, unsettled, () => reply.respond(response())))
  return reply
}
