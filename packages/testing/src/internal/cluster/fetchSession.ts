import type { Fetch } from "@sluice/kafka/internal/protocol/api/fetch"
import type { RequestOf, ResponseInput } from "@sluice/kafka/internal/protocol/field"

import { errorCode } from "./errorCode.ts"

type Request = RequestOf<typeof Fetch>
type Response = ResponseInput<typeof Fetch>
type PartitionRequest = Request["topics"][number]["partitions"][number]
type PartitionResponse = Response["responses"][number]["partitions"][number]

/** What is to be fetched of a partition. */
export interface FetchedPartition {
  readonly topic: string
  readonly topicId: string
  readonly wanted: PartitionRequest
}

/** A partition in a session, and what the client was last told of it. */
interface CachedPartition {
  fetched: FetchedPartition
  highWatermark: number
  logStartOffset: number
}

/** What one client fetches from one broker, remembered from request to request (KIP-227). */
interface FetchSession {
  readonly id: number
  /** Of the request that is to come next. */
  epoch: number
  /** In the order in which they are served. */
  readonly partitions: Map<string, CachedPartition>
  usedAt: number
}

const initialEpoch = 0
const finalEpoch = -1
/** `min.incremental.fetch.session.eviction.ms`: a session that was used since then is not put out for another. */
const minEvictionMs = 120_000

const nextEpoch = (epoch: number): number => epoch === 0x7fff_ffff ? 1 : epoch + 1

const keyOf = (topic: string, topicId: string, partition: number): string => `${topic} ${topicId} ${partition}`

const partitionsOf = (request: Request): ReadonlyArray<FetchedPartition> =>
  request.topics.flatMap(({ partitions, topic, topicId }) => partitions.map((wanted) => ({ topic, topicId, wanted })))

const keyOfFetched = ({ topic, topicId, wanted }: FetchedPartition): string => keyOf(topic, topicId, wanted.partition)

/** How a request is served: what is fetched, and what of the answer the client is told. */
export interface FetchContext {
  readonly partitions: ReadonlyArray<FetchedPartition>
  /** To be called once, with the answer. */
  readonly answer: (response: Response, now: number) => Response
}

/** The sessions of one broker. */
export class FetchSessions {
  private readonly byId = new Map<number, FetchSession>()
  private readonly maxCount: number
  private ids = 0

  /** `maxCount` is the brokers' `max.incremental.fetch.session.cache.slots`. */
  constructor(maxCount: number) {
    this.maxCount = maxCount
  }

  /** How many there are. */
  get count(): number {
    return this.byId.size
  }

  /** All are forgotten, as when the broker starts again. */
  clear(): void {
    this.byId.clear()
  }

  /** What a request is for, all of it, without beginning with it. */
  peek(request: Request): ReadonlyArray<FetchedPartition> {
    const session = request.sessionEpoch > initialEpoch ? this.byId.get(request.sessionId) : undefined
    if (session === undefined) return partitionsOf(request)
    const all = new Map(Array.from(session.partitions, ([key, { fetched }]) => [key, fetched]))
    for (const fetched of partitionsOf(request)) all.set(keyOfFetched(fetched), fetched)
    for (const key of forgottenOf(request)) all.delete(key)
    return Array.from(all.values())
  }

  /** Begins with a request; an error code where that cannot be. */
  begin(request: Request, now: number): FetchContext | number {
    const { sessionEpoch, sessionId } = request
    if (sessionEpoch === initialEpoch || sessionEpoch === finalEpoch) {
      this.byId.delete(sessionId)
      const partitions = partitionsOf(request)
      const isFinal = sessionEpoch === finalEpoch || partitions.length === 0
      return {
        partitions,
        answer: (response, time) => isFinal ? response : this.create(partitions, response, time)
      }
    }
    const session = this.byId.get(sessionId)
    if (session === undefined) return errorCode.FetchSessionIdNotFound
    if (session.epoch !== sessionEpoch) return errorCode.InvalidFetchSessionEpoch
    for (const fetched of partitionsOf(request)) {
      const key = keyOfFetched(fetched)
      const cached = session.partitions.get(key)
      if (cached === undefined) session.partitions.set(key, { fetched, highWatermark: -1, logStartOffset: -1 })
      else cached.fetched = fetched
    }
    for (const key of forgottenOf(request)) session.partitions.delete(key)
    if (session.partitions.size === 0) {
      this.byId.delete(sessionId)
      return { partitions: [], answer: (response) => response }
    }
    session.usedAt = now
    session.epoch = nextEpoch(session.epoch)
    const { epoch } = session
    return {
      partitions: Array.from(session.partitions.values(), ({ fetched }) => fetched),
      answer: (response) =>
        session.epoch === epoch
          ? changesOnly(session, response)
          : { errorCode: errorCode.InvalidFetchSessionEpoch, responses: [] }
    }
  }

  private create(partitions: ReadonlyArray<FetchedPartition>, response: Response, now: number): Response {
    if (!this.makeRoom(now)) return response
    const session: FetchSession = { id: ++this.ids, epoch: 1, partitions: new Map(), usedAt: now }
    const answers = new Map(
      response.responses.flatMap(({ partitions, topic, topicId }) =>
        partitions.map((answer) => [keyOf(topic!, topicId!, answer.partitionIndex), answer] as const)
      )
    )
    for (const fetched of partitions) {
      const key = keyOfFetched(fetched)
      const { highWatermark = -1, logStartOffset = -1 } = answers.get(key) ?? {}
      session.partitions.set(key, { fetched, highWatermark, logStartOffset })
    }
    this.byId.set(session.id, session)
    return { ...response, sessionId: session.id }
  }

  private makeRoom(now: number): boolean {
    if (this.byId.size < this.maxCount) return true
    for (const { id, usedAt } of this.byId.values()) {
      if (now - usedAt <= minEvictionMs) continue
      this.byId.delete(id)
      return true
    }
    return false
  }
}

const forgottenOf = (request: Request): ReadonlyArray<string> =>
  request.forgottenTopicsData.flatMap(({ partitions, topic, topicId }) =>
    partitions.map((partition) => keyOf(topic, topicId, partition))
  )

/** Leaves out what the client knows. Who had records is served last the next time. */
const changesOnly = (session: FetchSession, response: Response): Response => ({
  ...response,
  sessionId: session.id,
  responses: response.responses.flatMap((topic) => {
    const changed = topic.partitions.filter((answer) => {
      const key = keyOf(topic.topic!, topic.topicId!, answer.partitionIndex)
      const cached = session.partitions.get(key)
      if (cached === undefined) return true
      const mustAnswer = isNews(cached, answer)
      cached.highWatermark = answer.errorCode === errorCode.None ? answer.highWatermark : -1
      cached.logStartOffset = answer.logStartOffset ?? -1
      if ((answer.records?.length ?? 0) > 0) {
        session.partitions.delete(key)
        session.partitions.set(key, cached)
      }
      return mustAnswer
    })
    return changed.length === 0 ? [] : [{ ...topic, partitions: changed }]
  })
})

const isNews = (cached: CachedPartition, answer: PartitionResponse): boolean =>
  answer.errorCode !== errorCode.None || (answer.records?.length ?? 0) > 0 ||
  answer.highWatermark !== cached.highWatermark || (answer.logStartOffset ?? -1) !== cached.logStartOffset ||
  (answer.preferredReadReplica ?? -1) >= 0
