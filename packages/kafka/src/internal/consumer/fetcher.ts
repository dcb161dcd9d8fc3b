import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

import type { PositionReset } from "../../Consumer.ts"
import { FatalError, type KafkaError } from "../../KafkaError.ts"
import type { BrokerAddress } from "../../Transport.ts"
import type { Cluster } from "../cluster/cluster.ts"
import type { BrokerConnection } from "../cluster/connection.ts"
import type { ConnectionPool } from "../cluster/pool.ts"
import { pause, pauseMillis } from "../cluster/retry.ts"
import { fromCode, isFatal } from "../errors.ts"
import { Fibers } from "../fiber.ts"
import { type LogPosition } from "../kernel/endPosition.ts"
import { FetchBudget, type FetchReservation } from "../kernel/fetchBudget.ts"
import { topicPartitionKey } from "../kernel/topicPartition.ts"
import { Fetch } from "../protocol/api/fetch.ts"
import { OffsetForLeaderEpoch } from "../protocol/api/offsetForLeaderEpoch.ts"
import type { ResponseOf } from "../protocol/field.ts"
import { logRetry } from "./logRetry.ts"
import type { FetchSettings } from "./options.ts"
import type { AssignedPartition } from "./partition.ts"
import { type KnownPosition, listOffset } from "./positions.ts"
import type { Troubles } from "./troubles.ts"

/** Versions from 13 on name topics by id. */
const maxFetchVersion = 12
const unknownServerError = -1
const offsetOutOfRange = 1
/** So many newer views of the cluster are awaited that have the leader which a position is of. */
const maxStaleViews = 4
/** How long a broker may hold a fetch that leaves a partition out, at first. */
const shortWait = 10

/** What a fetcher tells its consumer. */
export interface FetcherEvents {
  /** Nothing more can be fetched: the consumer's streams fail with it. */
  readonly onFatal: (error: KafkaError) => void
  /** A partition goes on elsewhere, since the log no longer has its position. */
  readonly onReset: (reset: PositionReset) => void
  /** It is known anew where logs end. */
  readonly onProgress: () => void
  /** What fails, and is tried again. */
  readonly troubles: Troubles
}

/** What a Fetch asked for. */
type Asked = ReadonlyMap<
  string,
  { readonly partition: AssignedPartition; readonly offset: number; readonly leaderEpoch: number }
>

/**
 * Fetches the partitions that it is given, one request a broker at a time, as
 * far as the budget of bytes allows. Trouble with one partition or broker is
 * retried for ever and holds up no other.
 */
export class Fetcher {
  readonly #cluster: Cluster
  readonly #pool: ConnectionPool
  readonly #lookups: ConnectionPool
  readonly #settings: FetchSettings
  readonly #events: FetcherEvents
  readonly #now: () => number
  readonly #random: () => number
  readonly #budget: FetchBudget
  readonly #fibers = new Fibers()
  readonly #partitions = new Map<string, AssignedPartition>()
  readonly #brokers = new Map<number, Effect.Latch>()
  /** Of the brokers that wait for room in the budget, which any partition may make. */
  readonly #starved = new Set<Effect.Latch>()
  readonly #routing = Effect.unsafeMakeLatch(true)
  #routedVersion = -1
  readonly #outdated = Effect.unsafeMakeLatch(false)
  #isOutdated = false
  #isHalted = false

  constructor(
    cluster: Cluster,
    pool: ConnectionPool,
    lookups: ConnectionPool,
    settings: FetchSettings,
    events: FetcherEvents,
    now: () => number,
    random: () => number
  ) {
    this.#cluster = cluster
    this.#pool = pool
    this.#lookups = lookups
    this.#settings = settings
    this.#events = events
    this.#now = now
    this.#random = random
    this.#budget = new FetchBudget({ totalBytes: settings.bufferBytes, partitionBytes: settings.partitionBytes })
  }

  /** Starts the fibers. */
  readonly start: Effect.Effect<void> = Effect.suspend(() =>
    Effect.all([this.#fibers.fork(this.#route), this.#fibers.fork(this.#refresh)], { discard: true })
  )

  /** Asks for nothing any more: what comes would not be delivered. */
  halt(): void {
    this.#isHalted = true
  }

  /** Ends the fibers. */
  readonly stop: Effect.Effect<void> = Effect.suspend(() => this.#fibers.interruptAll("1 second"))

  /** The bytes of records that wait to be delivered, and those that are asked for. */
  get heldBytes(): number {
    return this.#budget.heldBytes
  }

  /** Counts a partition, and fetches it once it has a position. */
  add(partition: AssignedPartition): void {
    this.#partitions.set(partition.key, partition)
    this.#budget.add(partition.key)
    this.#routing.unsafeOpen()
  }

  /** Fetches a partition no more, and drops what it holds. */
  remove(partition: AssignedPartition, heldBytes: number): void {
    if (this.#partitions.get(partition.key) !== partition) return
    this.#partitions.delete(partition.key)
    this.#budget.remove(partition.key)
    this.#budget.consumed(partition.key, heldBytes)
    this.#events.troubles.clear(troubleOf(partition))
    this.#feedStarved()
  }

  /** The application took records, or they were dropped: the partition may be fetched on. */
  consumed(partition: AssignedPartition, bytes: number): void {
    this.#budget.consumed(partition.key, bytes)
    this.#feedStarved()
    this.#wake(partition)
  }

  #wake(partition: AssignedPartition): void {
    const latch = this.#brokers.get(this.#leader(partition))
    if (latch === undefined) this.#routing.unsafeOpen()
    else latch.unsafeOpen()
  }

  #feedStarved(): void {
    for (const latch of this.#starved) latch.unsafeOpen()
    this.#starved.clear()
  }

  #leader(partition: AssignedPartition): number {
    return this.#cluster.metadata().topics.get(partition.topic)?.partitions[partition.partition]?.leader ?? -1
  }

  /** Starts a fiber for each leader, wakes those there are, and asks for metadata while a partition has none. */
  readonly #route: Effect.Effect<never> = Effect.forever(Effect.suspend(() => {
    this.#routing.unsafeClose()
    this.#routedVersion = this.#cluster.metadata().version
    const missing = new Set<number>()
    for (const partition of this.#partitions.values()) {
      const leader = this.#leader(partition)
      if (leader === -1 || this.#cluster.address(leader) === undefined) this.#wantMetadata()
      else if (this.#brokers.has(leader)) this.#brokers.get(leader)!.unsafeOpen()
      else missing.add(leader)
    }
    return Effect.zipRight(
      Effect.forEach(missing, (leader) => {
        const latch = Effect.unsafeMakeLatch(true)
        this.#brokers.set(leader, latch)
        return this.#fibers.fork(this.#fetchFrom(leader, latch))
      }, { discard: true }),
      this.#routing.await
    )
  }))

  #wantMetadata(): void {
    this.#isOutdated = true
    this.#outdated.unsafeOpen()
  }

  readonly #refresh: Effect.Effect<never> = Effect.suspend(() => {
    let attempt = 0
    return Effect.forever(Effect.gen(this, function*() {
      yield* this.#outdated.await
      this.#outdated.unsafeClose()
      this.#isOutdated = false
      attempt++
      const refreshed = yield* Effect.either(this.#cluster.refresh)
      if (refreshed._tag === "Left") {
        this.#events.troubles.add("metadata", attempt, refreshed.left.message)
        yield* logRetry(attempt, `metadata cannot be refreshed: ${refreshed.left.message}`)
      } else {
        this.#events.troubles.clear("metadata")
      }
      this.#routing.unsafeOpen()
      yield* pause(this.#cluster.settings, attempt)
      // It may take a while until a partition has a leader again.
      if (!this.#isOutdated) attempt = 0
    }))
  })

  #fetchFrom(broker: number, latch: Effect.Latch): Effect.Effect<never> {
    const { settings } = this.#cluster
    const maxWait = Duration.toMillis(this.#settings.maxWait)
    let failures = 0
    let partialWait = shortWait
    const failed = (error: KafkaError): Effect.Effect<void> => {
      if (isFatal(error)) {
        this.#events.onFatal(error)
        return Effect.never
      }
      failures++
      this.#wantMetadata()
      this.#events.troubles.add(`fetch from broker ${broker}`, failures, error.message)
      return Effect.zipRight(
        logRetry(failures, `fetch from broker ${broker} failed: ${error.message}`),
        pause(settings, failures)
      )
    }
    return Effect.forever(Effect.gen(this, function*() {
      latch.unsafeClose()
      // Whoever asked for the newer metadata, a partition may have moved to a broker whose fiber sleeps.
      if (this.#cluster.metadata().version !== this.#routedVersion) this.#routing.unsafeOpen()
      const { keys: wanted, retryAt } = this.#fetchable(broker)
      const address = this.#cluster.address(broker)
      if (wanted.size === 0 || address === undefined) {
        // Its partitions have gone elsewhere: nothing of it is missed.
        if (failures > 0 && retryAt === Infinity) {
          failures = 0
          this.#events.troubles.clear(`fetch from broker ${broker}`)
        }
        return yield* retryAt === Infinity
          ? latch.await
          : Effect.raceFirst(latch.await, Effect.sleep(Math.max(1, retryAt - this.#now())))
      }
      // Before anything is chosen and reserved: until it may be sent, what it is for may be given up or assigned anew.
      const connected = yield* this.#pool.get(address).pipe(
        Effect.tap((connection) => connection.unthrottled),
        Effect.either
      )
      if (connected._tag === "Left") return yield* failed(connected.left)
      const unvalidated = this.#unvalidated(broker)
      if (unvalidated.length > 0) {
        const validated = yield* Effect.either(this.#validate(address, unvalidated))
        if (validated._tag === "Left") return yield* failed(validated.left)
      }
      const { keys } = this.#fetchable(broker)
      for (const key of keys) if (this.#needsValidation(this.#partitions.get(key)!)) keys.delete(key)
      if (keys.size === 0) return latch.unsafeOpen()
      const reservation = this.#budget.reserve(keys)
      if (reservation === null) {
        this.#starved.add(latch)
        return yield* latch.await
      }
      // A partition that was left out may soon be ready: the broker must not hold this answer for long, unless it has
      // turned out to take long.
      const wait = reservation.partial ? Math.min(partialWait, maxWait) : maxWait
      const askedAt = this.#now()
      const result = yield* this.#fetch(connected.right, reservation, wait).pipe(
        Effect.onInterrupt(() => Effect.sync(() => this.#arrivedNothing(reservation))),
        Effect.either
      )
      latch.unsafeOpen()
      if (result._tag === "Right") {
        if (failures > 0) this.#events.troubles.clear(`fetch from broker ${broker}`)
        failures = 0
        partialWait = reservation.partial && !result.right ? Math.min(partialWait * 2, maxWait) : shortWait
        // A broker that does not wait is not to be asked again and again at once.
        if (!result.right && this.#now() - askedAt < wait / 2) yield* Effect.sleep(shortWait)
        return
      }
      this.#arrivedNothing(reservation)
      yield* failed(result.left)
    }))
  }

  /** The partitions that a broker leads and that may be fetched now; and when the next one may. */
  #fetchable(broker: number): { readonly keys: Set<string>; readonly retryAt: number } {
    const keys = new Set<string>()
    const now = this.#now()
    let retryAt = Infinity
    if (this.#isHalted) return { keys, retryAt }
    for (const [key, partition] of this.#partitions) {
      if (
        partition.fetchOffset === undefined || partition.status !== "active" || partition.paused ||
        this.#leader(partition) !== broker || this.#isLeaderStale(partition)
      ) continue
      if (partition.retryAt > now) retryAt = Math.min(retryAt, partition.retryAt)
      else keys.add(key)
    }
    return { keys, retryAt }
  }

  #leaderEpoch({ partition, topic }: AssignedPartition): number {
    return this.#cluster.metadata().topics.get(topic)?.partitions[partition]?.leaderEpoch ?? -1
  }

  /** The position is of a newer leader than the one that is known, which may not have it. */
  #isLeaderStale(partition: AssignedPartition): boolean {
    const leaderEpoch = this.#leaderEpoch(partition)
    const { version } = this.#cluster.metadata()
    if (leaderEpoch < 0 || partition.fetchEpoch <= leaderEpoch) {
      partition.staleSince = undefined
      return false
    }
    partition.staleSince ??= version
    if (version - partition.staleSince >= maxStaleViews) {
      // It is another topic of the name, whose epochs began anew.
      partition.fetchEpoch = -1
      return false
    }
    this.#wantMetadata()
    return true
  }

  /** There is a newer leader than the last that was known to have the log up to the position (KIP-320). */
  #needsValidation(partition: AssignedPartition): boolean {
    return partition.fetchEpoch >= 0 && this.#leaderEpoch(partition) > partition.validatedEpoch
  }

  #unvalidated(broker: number): ReadonlyArray<AssignedPartition> {
    return Array.from(this.#fetchable(broker).keys, (key) => this.#partitions.get(key)!).filter((partition) =>
      this.#needsValidation(partition)
    )
  }

  /** Asks the new leader of partitions whether its log has what was read of the old ones'. */
  #validate(address: BrokerAddress, partitions: ReadonlyArray<AssignedPartition>): Effect.Effect<void, KafkaError> {
    return Effect.gen(this, function*() {
      const asked = partitions.map((partition) => ({
        partition,
        offset: partition.fetchOffset!,
        epoch: partition.fetchEpoch,
        leaderEpoch: this.#leaderEpoch(partition)
      }))
      const connection = yield* this.#lookups.get(address)
      // A broker without it can only be believed.
      if (connection.version(OffsetForLeaderEpoch) === undefined) {
        for (const { leaderEpoch, partition } of asked) partition.validatedEpoch = leaderEpoch
        return
      }
      const byTopic = new Map<string, Array<any>>()
      for (const { epoch, leaderEpoch, partition } of asked) {
        const wanted = { partition: partition.partition, currentLeaderEpoch: leaderEpoch, leaderEpoch: epoch }
        const others = byTopic.get(partition.topic)
        if (others === undefined) byTopic.set(partition.topic, [wanted])
        else others.push(wanted)
      }
      const { topics } = yield* connection.request(OffsetForLeaderEpoch, {
        replicaId: -1,
        topics: Array.from(byTopic, ([topic, partitions]) => ({ topic, partitions }))
      })
      const answers = new Map(
        topics.flatMap(({ partitions, topic }) =>
          partitions.map((answer) => [topicPartitionKey({ topic, partition: answer.partition }), answer] as const)
        )
      )
      yield* Effect.forEach(asked, ({ epoch, leaderEpoch, offset, partition }) => {
        if (partition.status !== "active" || partition.fetchOffset !== offset || partition.fetchEpoch !== epoch) {
          return Effect.void
        }
        const answer = answers.get(partition.key)
        if (answer === undefined || answer.errorCode !== 0) {
          return this.#partitionFailed(
            partition,
            offset,
            answer?.errorCode ?? unknownServerError,
            "OffsetForLeaderEpoch"
          )
        }
        partition.validatedEpoch = leaderEpoch
        return answer.endOffset >= offset
          ? Effect.void
          : this.#truncated(partition, offset, {
            offset: answer.endOffset,
            leaderEpoch: answer.leaderEpoch,
            validatedEpoch: leaderEpoch
          })
      }, { discard: true })
    })
  }

  /** A new leader's log ends, or goes on otherwise, before what was fetched. Never silent. */
  #truncated(partition: AssignedPartition, offset: number, end: KnownPosition): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { position, topic } = partition
      // Nothing that was delivered is concerned: only what was fetched ahead.
      if (end.offset >= position) {
        this.consumed(partition, partition.truncate(end))
        return Effect.void
      }
      if (this.#settings.reset === "fail") {
        this.#events.onFatal(
          new FatalError({
            reason: { _tag: "LogTruncated", topic, partition: partition.partition },
            scope: "partition",
            message: `topic ${topic}, partition ${partition.partition}: ${truncation(end)} before offset ${position}`
          })
        )
        return Effect.void
      }
      if (end.offset < 0) {
        // The leader does not know any such epoch.
        partition.fetchOffset = undefined
        return Effect.asVoid(this.#fibers.fork(this.#reset(partition, offset, "LogTruncated")))
      }
      this.consumed(partition, partition.truncate(end))
      const why = `is past ${end.offset}, where a new leader cut the log off`
      return this.#tellReset(partition, "LogTruncated", position, partition.position, why, "as far as all is processed")
    })
  }

  /** Whether it brought records. */
  #fetch(
    connection: BrokerConnection,
    reservation: FetchReservation,
    maxWaitMs: number
  ): Effect.Effect<boolean, KafkaError> {
    const { maxFrameBytes, requestTimeout } = this.#cluster.settings
    const asked = new Map<string, Asked extends ReadonlyMap<string, infer A> ? A : never>()
    const topics = new Map<string, Array<any>>()
    for (const { key, maxBytes } of reservation.partitions) {
      const partition = this.#partitions.get(key)!
      const offset = partition.fetchOffset!
      const leaderEpoch = this.#leaderEpoch(partition)
      asked.set(key, { partition, offset, leaderEpoch })
      let partitions = topics.get(partition.topic)
      if (partitions === undefined) topics.set(partition.topic, partitions = [])
      partitions.push({
        partition: partition.partition,
        currentLeaderEpoch: leaderEpoch,
        fetchOffset: offset,
        partitionMaxBytes: maxBytes
      })
    }
    return connection.request(
      Fetch,
      {
        maxWaitMs,
        minBytes: this.#settings.minBytes,
        maxBytes: Math.max(1, Math.min(reservation.maxBytes, maxFrameBytes - 64 * 1024)),
        isolationLevel: this.#settings.readCommitted ? 1 : 0,
        topics: Array.from(topics, ([topic, partitions]) => ({ topic, partitions }))
      },
      {
        maxVersion: maxFetchVersion,
        timeout: Duration.sum(requestTimeout, Duration.millis(maxWaitMs)),
        closeOnInterrupt: true
      }
    ).pipe(Effect.flatMap((response) => this.#arrived(response, reservation, asked)))
  }

  #arrivedNothing(reservation: FetchReservation): void {
    this.#budget.arrived(reservation, new Map())
    this.#feedStarved()
  }

  #arrived(
    response: ResponseOf<typeof Fetch>,
    reservation: FetchReservation,
    asked: Asked
  ): Effect.Effect<boolean, KafkaError> {
    if (response.errorCode !== 0) {
      return Effect.fail(fromCode(response.errorCode, { operation: "Fetch", scope: "client" }))
    }
    const received = new Map<string, number>()
    const failed: Array<Effect.Effect<void>> = []
    const dropped: Array<[AssignedPartition, number]> = []
    for (const topic of response.responses) {
      for (const answer of topic.partitions) {
        const request = asked.get(`${topic.topic}-${answer.partitionIndex}`)
        if (request === undefined) continue
        const { leaderEpoch, offset, partition } = request
        if (answer.errorCode === 0) {
          this.#answered(partition, answer)
          if (partition.fetchOffset === offset) partition.validatedEpoch = leaderEpoch
        }
        if (answer.errorCode !== 0) {
          failed.push(this.#partitionFailed(partition, offset, answer.errorCode))
        } else if (answer.records !== null && answer.records.length > 0) {
          received.set(partition.key, answer.records.length)
          const taken = partition.fetched({
            bytes: unshared(answer.records),
            highWatermark: answer.highWatermark,
            options: {
              fetchOffset: offset,
              abortedTransactions: this.#settings.readCommitted ? answer.abortedTransactions : null
            }
          })
          if (!taken) dropped.push([partition, answer.records.length])
        }
      }
    }
    this.#events.onProgress()
    this.#budget.arrived(reservation, received)
    for (const [partition, bytes] of dropped) this.#budget.consumed(partition.key, bytes)
    this.#feedStarved()
    return Effect.as(Effect.all(failed, { discard: true }), received.size > 0)
  }

  #answered(
    partition: AssignedPartition,
    { highWatermark, lastStableOffset }: { readonly highWatermark: number; readonly lastStableOffset: number }
  ): void {
    const end = this.#settings.readCommitted && lastStableOffset >= 0 ? lastStableOffset : highWatermark
    if (end >= 0) partition.logEnd = end
    if (partition.failures > 0) this.#events.troubles.clear(troubleOf(partition))
    partition.failures = 0
  }

  /** Trouble with one partition, which touches that partition alone. */
  #partitionFailed(
    partition: AssignedPartition,
    offset: number,
    code: number,
    operation = "Fetch"
  ): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (partition.status !== "active" || partition.fetchOffset !== offset) return Effect.void
      const error = fromCode(code, {
        operation,
        scope: "partition",
        topic: partition.topic,
        partition: partition.partition,
        detail: code === offsetOutOfRange ? `offset ${offset}` : undefined
      })
      if (code === offsetOutOfRange) {
        if (this.#settings.reset === "fail") {
          this.#events.onFatal(error)
          return Effect.void
        }
        // Not fetched meanwhile.
        partition.fetchOffset = undefined
        return Effect.asVoid(this.#fibers.fork(this.#reset(partition, offset)))
      }
      if (isFatal(error) && code !== unknownServerError) {
        this.#events.onFatal(error)
        return Effect.void
      }
      this.#wantMetadata()
      return this.#backOff(partition, error)
    })
  }

  #backOff(partition: AssignedPartition, error: KafkaError): Effect.Effect<void> {
    partition.failures++
    this.#events.troubles.add(troubleOf(partition), partition.failures, error.message)
    partition.retryAt = this.#now() + pauseMillis(this.#cluster.settings, partition.failures, this.#random())
    return logRetry(partition.failures, error.message)
  }

  /** The log does not have the offset: it was deleted, or never written. Never silent. */
  #reset(
    partition: AssignedPartition,
    offset: number,
    reason: "OffsetOutOfRange" | "LogTruncated" = "OffsetOutOfRange"
  ): Effect.Effect<void> {
    const { readCommitted, reset } = this.#settings
    return listOffset(this.#cluster, this.#lookups, partition, readCommitted, reset as "earliest" | "latest").pipe(
      Effect.flatMap((start) => {
        // Another reader may have begun elsewhere.
        if (partition.status !== "active" || partition.fetchOffset !== undefined) return Effect.void
        this.consumed(partition, partition.reset(offset, start))
        const why = reason === "OffsetOutOfRange" ? "is out of range" : "is not in the log of a new leader"
        return this.#tellReset(partition, reason, offset, start.offset, why, reset)
      }),
      Effect.catchAll((error) => {
        if (isFatal(error)) {
          this.#events.onFatal(error)
          return Effect.void
        }
        partition.fetchOffset ??= offset
        this.#wantMetadata()
        return Effect.zipRight(this.#backOff(partition, error), Effect.sync(() => this.#wake(partition)))
      })
    )
  }

  #tellReset(
    { partition, topic }: AssignedPartition,
    reason: PositionReset["reason"],
    from: number,
    to: number,
    why: string,
    policy: string
  ): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.#events.onReset({ _tag: "PositionReset", topic, partition, reason, from: BigInt(from), to: BigInt(to) })
      const skipped = to > from ? `; offsets ${from} to ${to - 1} are skipped` : ""
      return Effect.logWarning(
        `topic ${topic}, partition ${partition}: offset ${from} ${why}; goes on at ${to} (${policy})${skipped}`
      )
    })
  }
}

const truncation = ({ leaderEpoch, offset }: LogPosition): string =>
  offset < 0 ? "a new leader has another log" : `a new leader cut the log off at ${offset} (epoch ${leaderEpoch}),`

const troubleOf = (partition: AssignedPartition): string =>
  `fetch of topic ${partition.topic}, partition ${partition.partition}`

/**
 * The bytes of one partition, not to keep the whole response alive for a small
 * part of it: a slow partition may hold many such parts.
 */
const unshared = (bytes: Uint8Array): Uint8Array =>
  bytes.length * 4 < bytes.buffer.byteLength ? new Uint8Array(bytes) : bytes
