import type { Fetch } from "@sluice/kafka/internal/protocol/api/fetch"
import type { RequestOf, ResponseInput } from "@sluice/kafka/internal/protocol/field"

import { errorCode } from "./errorCode.ts"
import type { FetchedPartition } from "./fetchSession.ts"
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

  /**
   * Where a client in a rack is to read, which says so to leaders only (KIP-392): the replica in sync there that has most,
   * as Kafka's `RackAwareReplicaSelector` has it; `undefined` for here.
   */
  preferredReplica(state: ClusterState, rackId: string): number | undefined {
    const { partition } = this
    const here = this.context.broker
    if (partition === undefined || rackId === "" || here.rack === rackId || partition.leader !== here.id) {
      return undefined
    }
    const { fetchOffset } = this.wanted
    return partition.inSyncReplicas
      .filter((id) =>
        state.broker(id)?.rack === rackId && state.isActive(id) && partition.endOffsetOf(id) >= fetchOffset
      )
      .reduce<number | undefined>(
        (best, id) => best === undefined || partition.endOffsetOf(id) > partition.endOffsetOf(best) ? id : best,
        undefined
      )
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

  read(
    maxBytes: number,
    minOneBatch: boolean,
    isolationLevel: number,
    preferredReadReplica: number | undefined
  ): PartitionResponse {
    const code = this.check()
    const { partition, wanted } = this
    if (partition === undefined || code !== errorCode.None) return this.failed(code)
    const { log } = partition
    const limit = this.limit(partition)
    if (preferredReadReplica !== undefined) {
      return {
        partitionIndex: wanted.partition,
        errorCode: errorCode.None,
        highWatermark: limit,
        lastStableOffset: limit,
        logStartOffset: log.startOffset,
        abortedTransactions: null,
        preferredReadReplica,
        records: noRecords
      }
    }
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
  readonly partitions: Array<PartitionFetch>
}

/** One for each run of partitions of the same topic: in a session they come in whatever order. */
const topicFetches = (
  state: ClusterState,
  context: RequestContext,
  partitions: ReadonlyArray<FetchedPartition>
): ReadonlyArray<TopicFetch> => {
  const topics: Array<TopicFetch> = []
  for (const { topic, topicId, wanted } of partitions) {
    const find = () => context.version >= 13 ? state.topics.getById(topicId) : state.topics.get(topic)
    const last = topics[topics.length - 1]
    const fetch = new PartitionFetch(context, wanted, find)
    if (last?.topic === topic && last.topicId === topicId) last.partitions.push(fetch)
    else topics.push({ topic, topicId, partitions: [fetch] })
  }
  return topics
}

interface ReadResult {
  readonly response: Response
  readonly bytes: number
  readonly hasError: boolean
  readonly isRedirect: boolean
}

/** Reads what there is, within the bounds; but the first batch is given however large it is. */
const read = (state: ClusterState, request: Request, topics: ReadonlyArray<TopicFetch>): ReadResult => {
  let bytes = 0
  let hasError = false
  let isRedirect = false
  const leaders = new Set<number>()
  const responses = topics.map(({ partitions, topic, topicId }) => ({
    topic,
    topicId,
    partitions: partitions.map((partition) => {
      const preferred = partition.preferredReplica(state, request.rackId)
      const room = Math.max(0, request.maxBytes - bytes)
      const response = partition.read(room, bytes === 0, request.isolationLevel, preferred)
      bytes += response.records?.length ?? 0
      if (response.errorCode !== errorCode.None && !partition.isMissing) hasError = true
      if ((response.preferredReadReplica ?? -1) >= 0) isRedirect = true
      if (response.currentLeader?.leaderId !== undefined) leaders.add(response.currentLeader.leaderId)
      return response
    })
  }))
  const nodeEndpoints = leaders.size === 0
    ? []
    : state.activeBrokers().filter((broker) => leaders.has(broker.id)).map(nodeOf)
  return { response: { errorCode: errorCode.None, responses, nodeEndpoints }, bytes, hasError, isRedirect }
}

/**
 * Reads batches. With too little to read it parks until there is enough, an error to tell, or `maxWaitMs` has passed.
 */
export const handleFetch = (state: ClusterState, context: RequestContext, request: Request): Reply<Response> => {
  const session = context.broker.fetchSessions.begin(request, context.now)
  if (typeof session === "number") return Reply.respond<Response>({ errorCode: session, responses: [] })
  const topics = topicFetches(state, context, session.partitions)
  const first = read(state, request, topics)
  const partitions = topics.flatMap((topic) => topic.partitions)
  const minBytes = Math.min(request.minBytes, request.maxBytes)
  const hasNothingToWaitFor = request.maxWaitMs <= 0 || partitions.every((partition) => partition.isMissing)
  if (hasNothingToWaitFor || first.hasError || first.isRedirect || first.bytes >= minBytes) {
    return Reply.respond(session.answer(first.response, context.now))
  }

  const reply = new Reply<Response>()
  const stops: Array<() => void> = []
  const stopWaiting = () => {
    for (const stop of stops) stop()
  }
  const answer = () => {
    stopWaiting()
    reply.respond(session.answer(read(state, request, topics).response, context.now))
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
