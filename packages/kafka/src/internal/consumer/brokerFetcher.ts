import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

import type { KafkaError } from "../../KafkaError.ts"
import type { Cluster } from "../cluster/cluster.ts"
import type { BrokerConnection } from "../cluster/connection.ts"
import type { ConnectionPool } from "../cluster/pool.ts"
import { pause } from "../cluster/retry.ts"
import { fromCode, isFatal } from "../errors.ts"
import { firstOf } from "../fiber.ts"
import type { FetchBudget, FetchReservation } from "../kernel/fetchBudget.ts"
import { FetchSession, type FetchSessionRequest, type WantedPartition } from "../kernel/fetchSession.ts"
import { type TopicPartition, topicPartitionKey } from "../kernel/topicPartition.ts"
import { Latch } from "../latch.ts"
import { Fetch } from "../protocol/api/fetch.ts"
import type { ResponseOf } from "../protocol/field.ts"
import type { Leaders } from "./leaders.ts"
import { logRetry } from "./logRetry.ts"
import type { FetchSettings } from "./options.ts"
import type { AssignedPartition } from "./partition.ts"
import type { Recovery } from "./recovery.ts"
import type { Troubles } from "./troubles.ts"

/** Versions from 13 on name topics by id. */
const maxFetchVersion = 12
/** How long a broker may hold a fetch that leaves a partition out, at first. */
const shortWait = 10
/** What else is in an answer, beside records. */
const answerOverhead = 64 * 1024

const fetchSessionErrors: ReadonlySet<number> = new Set([
  70, /* FETCH_SESSION_ID_NOT_FOUND */
  71, /* INVALID_FETCH_SESSION_EPOCH */
  106 /* FETCH_SESSION_TOPIC_ID_ERROR */
])

/** What the fetchers of all brokers share. */
export interface FetchingContext {
  readonly cluster: Cluster
  readonly pool: ConnectionPool
  readonly settings: FetchSettings
  readonly leaders: Leaders
  readonly recovery: Recovery
  readonly budget: FetchBudget
  readonly troubles: Troubles
  readonly now: () => number
  /** All partitions, by key. */
  readonly partitions: ReadonlyMap<string, AssignedPartition>
  readonly isHalted: () => boolean
  readonly onFatal: (error: KafkaError) => void
  /** It is known anew where logs end. */
  readonly onProgress: () => void
  /** Another look is taken at where partitions are, if the cluster is known anew. */
  readonly routeAgain: () => void
  /** Waits for room in the budget, which any partition may make. */
  readonly starve: (latch: Latch) => void
  readonly feedStarved: () => void
}

/** What a Fetch asked for. */
type Asked = ReadonlyMap<string, WantedPartition & { readonly assigned: AssignedPartition }>

/**
 * Fetches from one broker: one request at a time, as far as the budget of bytes
 * allows, in a session of the broker's.
 */
export class BrokerFetcher {
  /** Opened when there may be something to fetch. */
  readonly latch = new Latch(true)
  readonly #broker: number
  readonly #context: FetchingContext
  readonly #session = new FetchSession()
  /** What it has asked for, until the answer is dealt with. */
  #poll: { readonly connection: BrokerConnection; readonly reservation: FetchReservation } | undefined
  #failures = 0
  #partialWait = shortWait

  constructor(broker: number, context: FetchingContext) {
    this.#broker = broker
    this.#context = context
  }

  readonly #next: Effect.Effect<void> = Effect.gen(this, function*() {
    const { budget, cluster, leaders, now, partitions, pool, recovery, settings } = this.#context
    const { latch } = this
    const broker = this.#broker
    latch.close()
    // Whoever asked for the newer metadata, a partition may have moved to a broker whose fiber sleeps.
    this.#context.routeAgain()
    const { gone, retryAt, wanted } = this.#fetchable()
    yield* Effect.forEach(gone, (partition) => recovery.recreated(partition), { discard: true })
    const address = cluster.address(broker)
    if (wanted.size === 0 || address === undefined) {
      // Its partitions have gone elsewhere: nothing of it is missed.
      if (retryAt === Infinity) this.#works()
      return yield* this.#woken(retryAt)
    }
    // Before anything is chosen and reserved: until it may be sent, what it is for may be given up or assigned anew.
    const connected = yield* pool.get(address).pipe(
      Effect.tap((connection) => connection.unthrottled),
      Effect.either
    )
    if (connected._tag === "Left") return yield* this.#failed(connected.left)
    const unvalidated = Array.from(this.#fetchable().wanted, (key) => partitions.get(key)!).filter((partition) =>
      leaders.needsValidation(partition)
    )
    if (unvalidated.length > 0) {
      const validated = yield* Effect.either(recovery.validate(address, unvalidated))
      if (validated._tag === "Left") return yield* this.#failed(validated.left)
    }
    const { full, retryAt: nextAt, wanted: keys } = this.#fetchable()
    for (const key of keys) if (leaders.needsValidation(partitions.get(key)!)) keys.delete(key)
    if (keys.size === 0) return latch.open()
    const reservation = budget.reserve(keys, full)
    if (reservation === null) {
      this.#context.starve(latch)
      return yield* this.#woken(nextAt)
    }
    // A partition that was left out may soon be ready: the broker must not hold this answer for long, unless it has
    // turned out to take long.
    const maxWait = Duration.toMillis(settings.maxWait)
    const wait = reservation.partial ? Math.min(this.#partialWait, maxWait) : maxWait
    const askedAt = now()
    this.#poll = { connection: connected.right, reservation }
    const result = yield* Effect.either(this.#fetch(connected.right, reservation, wait))
    this.#poll = undefined
    latch.open()
    if (result._tag === "Left") {
      this.#session.restart()
      this.#arrivedNothing(reservation)
      return yield* this.#failed(result.left)
    }
    this.#works()
    if (result.right === "anew") return
    const isEmpty = result.right === "nothing"
    this.#partialWait = reservation.partial && isEmpty ? Math.min(this.#partialWait * 2, maxWait) : shortWait
    // A broker that does not wait is not to be asked again and again at once.
    if (isEmpty && now() - askedAt < wait / 2) yield* Effect.sleep(shortWait)
  })

  /** To be run for as long as anything is fetched at all. */
  readonly run: Effect.Effect<never> = Effect.onInterrupt(
    Effect.forever(this.#next),
    () =>
      Effect.suspend(() => {
        if (this.#poll === undefined) return Effect.void
        const { connection, reservation } = this.#poll
        this.#arrivedNothing(reservation)
        // A broker serves one request at a time: nobody is to wait behind a poll that nobody wants.
        return connection.close
      })
  )

  /** Waits until there may be something to fetch, or a partition may be tried again. */
  #woken(retryAt: number): Effect.Effect<void> {
    const { latch } = this
    return retryAt === Infinity
      ? latch.await
      : firstOf(latch.await, Effect.sleep(Math.max(1, retryAt - this.#context.now())))
  }

  get #trouble(): string {
    return `fetch from broker ${this.#broker}`
  }

  #works(): void {
    if (this.#failures > 0) this.#context.troubles.clear(this.#trouble)
    this.#failures = 0
  }

  #failed(error: KafkaError): Effect.Effect<void> {
    const { cluster, leaders, onFatal, partitions, troubles } = this.#context
    if (isFatal(error)) {
      onFatal(error)
      return Effect.never
    }
    this.#failures++
    for (const partition of partitions.values()) {
      if (partition.preferred?.broker === this.#broker) leaders.avoidReplicas(partition)
    }
    leaders.wantMetadata()
    troubles.add(this.#trouble, this.#failures, error.message)
    return Effect.zipRight(
      logRetry(this.#failures, `${this.#trouble} failed: ${error.message}`),
      pause(cluster.settings, this.#failures)
    )
  }

  /**
   * The partitions that may be fetched here now, whether some hold too many records for it, when the next one may, and those
   * whose topic is another one now.
   */
  #fetchable(): {
    readonly wanted: Set<string>
    readonly full: boolean
    readonly retryAt: number
    readonly gone: ReadonlyArray<AssignedPartition>
  } {
    const { isHalted, leaders, now: time, partitions, settings } = this.#context
    const wanted = new Set<string>()
    const gone: Array<AssignedPartition> = []
    let full = false
    const now = time()
    let retryAt = Infinity
    if (isHalted()) return { wanted, full, retryAt, gone }
    for (const [key, partition] of partitions) {
      if (
        partition.fetchOffset === undefined || partition.status !== "active" || partition.paused ||
        leaders.source(partition) !== this.#broker || leaders.isStale(partition)
      ) continue
      if (partition.retryAt > now) retryAt = Math.min(retryAt, partition.retryAt)
      else if (leaders.isOfAnotherTopic(partition)) gone.push(partition)
      else if (partition.heldRecords > settings.partitionRecords / 2) full = true
      else wanted.add(key)
    }
    return { wanted, full, retryAt, gone }
  }

  #fetch(
    connection: BrokerConnection,
    reservation: FetchReservation,
    maxWaitMs: number
  ): Effect.Effect<"records" | "nothing" | "anew", KafkaError> {
    const { cluster: { settings: { maxFrameBytes, requestTimeout } }, leaders, partitions, settings } = this.#context
    const asked = new Map<string, WantedPartition & { readonly assigned: AssignedPartition }>()
    let { minBytes, rack } = settings
    for (const { key, maxBytes } of reservation.partitions) {
      // A partition that has all that it may bring waits for no others: they may have nothing.
      minBytes = Math.min(minBytes, maxBytes)
      const assigned = partitions.get(key)!
      if (!leaders.mayPrefer(assigned)) rack = ""
      asked.set(key, {
        assigned,
        topic: assigned.topic,
        partition: assigned.partition,
        fetchOffset: assigned.fetchOffset!,
        leaderEpoch: leaders.leaderEpoch(assigned),
        maxBytes,
        mustAnswer: assigned.logEnd === undefined
      })
    }
    return connection.request(
      Fetch,
      {
        maxWaitMs,
        minBytes,
        maxBytes: Math.max(1, Math.min(reservation.maxBytes, settings.maxBytes, maxFrameBytes - answerOverhead)),
        isolationLevel: settings.readCommitted ? 1 : 0,
        rackId: rack,
        ...inSession(this.#session.next(asked))
      },
      {
        maxVersion: maxFetchVersion,
        timeout: Duration.sum(requestTimeout, Duration.millis(maxWaitMs))
      }
    ).pipe(Effect.flatMap((response) => this.#arrived(response, reservation, asked)))
  }

  #arrivedNothing(reservation: FetchReservation): void {
    this.#context.budget.arrived(reservation, new Map())
    this.#context.feedStarved()
  }

  #arrived(
    response: ResponseOf<typeof Fetch>,
    reservation: FetchReservation,
    asked: Asked
  ): Effect.Effect<"records" | "nothing" | "anew", KafkaError> {
    const { budget, leaders, onProgress, recovery, settings } = this.#context
    if (response.errorCode !== 0) {
      const error = fromCode(response.errorCode, { operation: "Fetch", scope: "client" })
      // Brokers forget sessions when they start, and when they have too many: that is no trouble.
      if (!fetchSessionErrors.has(response.errorCode) || !this.#session.refused()) return Effect.fail(error)
      this.#arrivedNothing(reservation)
      return Effect.as(Effect.logDebug(`broker ${this.#broker}: a new fetch session, ${error.message}`), "anew")
    }
    this.#session.answered(response.sessionId)
    const received = new Map<string, number>()
    const failed: Array<Effect.Effect<void>> = []
    const dropped: Array<[AssignedPartition, number]> = []
    for (const topic of response.responses) {
      for (const answer of topic.partitions) {
        const request = asked.get(topicPartitionKey({ topic: topic.topic, partition: answer.partitionIndex }))
        if (request === undefined) continue
        const { assigned: partition, fetchOffset, leaderEpoch } = request
        if (answer.errorCode !== 0) {
          failed.push(recovery.failed(partition, fetchOffset, answer.errorCode))
          continue
        }
        this.#answered(partition, answer)
        if (partition.fetchOffset === fetchOffset) {
          partition.validatedEpoch = leaderEpoch
          const replica = answer.preferredReadReplica
          if (replica >= 0 && replica !== this.#broker) leaders.prefer(partition, replica, leaderEpoch)
        }
        if (answer.records === null || answer.records.length === 0) continue
        received.set(partition.key, answer.records.length)
        const taken = partition.fetched({
          bytes: unshared(answer.records),
          highWatermark: answer.highWatermark,
          options: {
            fetchOffset,
            abortedTransactions: settings.readCommitted ? answer.abortedTransactions : null,
            checkCrcs: settings.checkCrcs
          }
        })
        if (!taken) dropped.push([partition, answer.records.length])
      }
    }
    onProgress()
    budget.arrived(reservation, received)
    for (const [partition, bytes] of dropped) budget.consumed(partition.key, bytes)
    this.#context.feedStarved()
    return Effect.as(Effect.all(failed, { discard: true }), received.size > 0 ? "records" : "nothing")
  }

  #answered(
    partition: AssignedPartition,
    { highWatermark, lastStableOffset }: { readonly highWatermark: number; readonly lastStableOffset: number }
  ): void {
    const end = this.#context.settings.readCommitted && lastStableOffset >= 0 ? lastStableOffset : highWatermark
    if (end >= 0) partition.logEnd = end
    this.#context.recovery.works(partition)
  }
}

const inSession = ({ forgotten, partitions, sessionEpoch, sessionId }: FetchSessionRequest) => ({
  sessionId,
  sessionEpoch,
  topics: Array.from(byTopic(partitions), ([topic, wanted]) => ({
    topic,
    partitions: wanted.map(({ fetchOffset, leaderEpoch, maxBytes, partition }) => ({
      partition,
      currentLeaderEpoch: leaderEpoch,
      fetchOffset,
      partitionMaxBytes: maxBytes
    }))
  })),
  forgottenTopicsData: Array.from(byTopic(forgotten), ([topic, gone]) => ({
    topic,
    partitions: gone.map(({ partition }) => partition)
  }))
})

const byTopic = <A extends TopicPartition>(partitions: ReadonlyArray<A>): ReadonlyMap<string, ReadonlyArray<A>> => {
  const topics = new Map<string, Array<A>>()
  for (const partition of partitions) {
    const others = topics.get(partition.topic)
    if (others === undefined) topics.set(partition.topic, [partition])
    else others.push(partition)
  }
  return topics
}

/**
 * The bytes of one partition, not to keep the whole response alive for a small
 * part of it: a slow partition may hold many such parts.
 */
const unshared = (bytes: Uint8Array): Uint8Array =>
  bytes.length * 4 < bytes.buffer.byteLength ? new Uint8Array(bytes) : bytes
