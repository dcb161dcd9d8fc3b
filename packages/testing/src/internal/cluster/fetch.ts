import type { Fetch } from "@sluice/kafka/internal/protocol/api/fetch"
import type { RequestOf, ResponseInput } from "@sluice/kafka/internal/protocol/field"

import { errorCode } from "./errorCode.ts"
import { nodeOf } from "./metadata.ts"
import { Reply } from "./reply.ts"
import type { ClusterState, RequestContext } from "./state.ts"
import type { Partition, Topic } from "./topic.ts"

type Request = RequestOf<typeof Fetch>
type Response = ResponseInput<typeof Fetch>
type PartitionRequest = Request["topics"][number]["partitions"][number]
type PartitionResponse = Response["responses"][number]["partitions"][number]

/**
 * Whether a broker may serve reads of a partition to a client that knows this epoch of its leader, -1 for none
 * (KIP-320): the error code, or `None`.
 */
export const checkReplica = (
  partition: Partition,
  brokerId: number,
  currentLeaderEpoch: number,
  leaderOnly: boolean
): number => {
  if (!partition.replicas.includes(brokerId)) return errorCode.NotLeaderOrFollower
  if (currentLeaderEpoch >= 0) {
    if (currentLeaderEpoch < partition.leaderEpoch) return errorCode.FencedLeaderEpoch
    if (currentLeaderEpoch > partition.leaderEpoch) return errorCode.UnknownLeaderEpoch
  }
  return leaderOnly && partition.leader !== brokerId ? errorCode.NotLeaderOrFollower : errorCode.None
}

/** One partition of a Fetch. Topics are looked up anew at each attempt, since one may be deleted meanwhile. */
class PartitionFetch {
  readonly wanted: PartitionRequest
  private readonly context: RequestContext
  private readonly findTopic: () => Topic | undefined
  /** A partition that is not there when the request comes does not keep it from waiting for the others. */
  readonly isMissing: boolean
  /** What there was to read when that was last asked, and up to where. */
  private parkedBytes = 0
  private parkedLimit = 0

  constructor(context: RequestContext, wanted: PartitionRequest, findTopic: () => Topic | undefined) {
    this.context = context
    this.wanted = wanted
    this.findTopic = findTopic
    this.isMissing = this.partition === undefined
  }

  get partition(): Partition | undefined {
    return this.findTopic()?.partitions[this.wanted.partition]
  }

  /** What is before it may be read here: it is committed, and the broker has it. */
  private limit(partition: Partition): number {
    return Math.min(partition.highWatermark, partition.endOffsetOf(this.context.broker.id))
  }

  /** Why nothing can be read, or `None`. */
  check(): number {
    const { partition } = this
    if (partition === undefined) {
      // One that is deleted while the request waits is missing from its topic, whatever has become of that.
      return this.context.version >= 13 && this.isMissing && this.findTopic() === undefined
        ? errorCode.UnknownTopicId
        : errorCode.UnknownTopicOrPartition
    }
    // Followers serve consumers too: those say where they are since version 11 (KIP-392).
    const code = checkReplica(partition, this.context.broker.id, this.wanted.currentLeaderEpoch, false)
    if (code !== errorCode.None) return code
    const { fetchOffset } = this.wanted
    const inRange = fetchOffset >= partition.log.startOffset &&
      fetchOffset <= partition.endOffsetOf(this.context.broker.id)
    return inRange ? errorCode.None : errorCode.OffsetOutOfRange
  }

  private isDeleted(partition: Partition): boolean {
    return this.check() === errorCode.OffsetOutOfRange && this.wanted.fetchOffset < partition.log.startOffset
  }

  /** Bytes that a read would give; `Infinity` where there is an error to tell, or a segment that will not grow. */
  available(): number {
    const { partition, wanted } = this
    if (this.isMissing) return 0
    if (partition === undefined) return Infinity
    const limit = this.limit(partition)
    if (this.isDeleted(partition)) {
      // No reason to answer: a broker goes on counting from where the offset was.
      return Math.min(this.parkedBytes + partition.log.bytesFrom(this.parkedLimit, limit), wanted.partitionMaxBytes)
    }
    if (this.check() !== errorCode.None) return Infinity
    const bytes = partition.log.bytesFrom(wanted.fetchOffset, limit)
    this.parkedBytes = bytes
    this.parkedLimit = limit
    return bytes === Infinity ? Infinity : Math.min(bytes, wanted.partitionMaxBytes)
  }

  read(maxBytes: number, minOneBatch: boolean, isolationLevel: number): PartitionResponse {
    const code = this.check()
    const { partition, wanted } = this
    if (partition === undefined || code !== errorCode.None) return this.failed(code)
    const { log } = partition
    const limit = this.limit(partition)
    const bound = Math.min(wanted.partitionMaxBytes, maxBytes)
    const records = log.read(wanted.fetchOffset, bound, minOneBatch, limit)
    // A batch is there, and larger than the bound: a broker leaves out the rest with it.
    const isTooLarge = records.length === 0 && bound > 0 && wanted.fetchOffset < limit
    return {
      partitionIndex: wanted.partition,
      errorCode: errorCode.None,
      highWatermark: limit,
      // Transactions that are under way would hold it back.
      lastStableOffset: limit,
      logStartOffset: log.startOffset,
      abortedTransactions: isolationLevel === readCommitted && !isTooLarge ? [] : null,
      records
    }
  }

  private failed(code: number): PartitionResponse {
    const { partition } = this
    const response: PartitionResponse = {
      partitionIndex: this.wanted.partition,
      errorCode: code,
      highWatermark: -1,
      abortedTransactions: this.isMissing ? [] : null,
      records: noRecords
    }
    const leads = code === errorCode.NotLeaderOrFollower || code === errorCode.FencedLeaderEpoch
    return partition !== undefined && leads && this.context.version >= 16
      ? { ...response, currentLeader: { leaderId: partition.leader, leaderEpoch: partition.leaderEpoch } }
      : response
  }
}

const readCommitted = 1
const noRecords = new Uint8Array(0)

interface TopicFetch {
  readonly topic: string
  readonly topicId: string
  readonly partitions: ReadonlyArray<PartitionFetch>
}

const topicFetches = (state: ClusterState, context: RequestContext, request: Request): ReadonlyArray<TopicFetch> =>
  request.topics.map(({ partitions, topic, topicId }) => {
    const find = () => context.version >= 13 ? state.topics.getById(topicId) : state.topics.get(topic)
    return {
      topic,
      topicId,
      partitions: partitions.map((wanted) => new PartitionFetch(context, wanted, find))
    }
  })

interface ReadResult {
  readonly response: Response
  readonly bytes: number
  readonly hasError: boolean
}

/** Reads what there is, within the bounds; but the first batch is given however large it is. */
const read = (state: ClusterState, request: Request, topics: ReadonlyArray<TopicFetch>): ReadResult => {
  let bytes = 0
  let hasError = false
  const leaders = new Set<number>()
  const responses = topics.map(({ partitions, topic, topicId }) => ({
    topic,
    topicId,
    partitions: partitions.map((partition) => {
      const response = partition.read(Math.max(0, request.maxBytes - bytes), bytes === 0, request.isolationLevel)
      bytes += response.records?.length ?? 0
      if (response.errorCode !== errorCode.None && !partition.isMissing) hasError = true
      if (response.currentLeader?.leaderId !== undefined) leaders.add(response.currentLeader.leaderId)
      return response
    })
  }))
  const nodeEndpoints = leaders.size === 0
    ? []
    : state.activeBrokers().filter((broker) => leaders.has(broker.id)).map(nodeOf)
  return { response: { errorCode: errorCode.None, responses, nodeEndpoints }, bytes, hasError }
}

/**
 * Reads batches. With too little to read it parks until there is enough, an error to tell, or `maxWaitMs` has passed.
 * There are no fetch sessions (KIP-227): a client that asks for one is served without, as by a broker that has no room
 * for another.
 */
export const handleFetch = (state: ClusterState, context: RequestContext, request: Request): Reply<Response> => {
  if (request.sessionEpoch > 0) {
    return Reply.respond<Response>({ errorCode: errorCode.FetchSessionIdNotFound, responses: [] })
  }
  const topics = topicFetches(state, context, request)
  const first = read(state, request, topics)
  const partitions = topics.flatMap((topic) => topic.partitions)
  const minBytes = Math.min(request.minBytes, request.maxBytes)
  const hasNothingToWaitFor = request.maxWaitMs <= 0 || partitions.every((partition) => partition.isMissing)
  if (hasNothingToWaitFor || first.hasError || first.bytes >= minBytes) return Reply.respond(first.response)

  const reply = new Reply<Response>()
  const stops: Array<() => void> = []
  const stopWaiting = () => {
    for (const stop of stops) stop()
  }
  const answer = () => {
    stopWaiting()
    reply.respond(read(state, request, topics).response)
  }
  const answerIfEnough = () => {
    let available = 0
    for (const partition of partitions) available += partition.available()
    if (available >= minBytes) answer()
  }
  for (const partition of new Set(partitions.map((fetch) => fetch.partition))) {
    if (partition !== undefined) stops.push(partition.watch(answerIfEnough))
  }
  const deadline = state.timers.schedule(context.now + request.maxWaitMs, answer)
  stops.push(() => deadline.cancel())
  reply.onAbandon(stopWaiting)
  answerIfEnough()
  return reply
}
