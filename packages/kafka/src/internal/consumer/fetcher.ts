import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

import type { KafkaError } from "../../KafkaError.ts"
import type { Cluster } from "../cluster/cluster.ts"
import type { BrokerConnection } from "../cluster/connection.ts"
import type { ConnectionPool } from "../cluster/pool.ts"
import { pause, pauseMillis } from "../cluster/retry.ts"
import { fromCode, isFatal } from "../errors.ts"
import { Fibers } from "../fiber.ts"
import { FetchBudget, type FetchReservation } from "../kernel/fetchBudget.ts"
import { Fetch } from "../protocol/api/fetch.ts"
import type { ResponseOf } from "../protocol/field.ts"
import type { FetchSettings } from "./options.ts"
import type { AssignedPartition } from "./partition.ts"
import { listOffset } from "./positions.ts"

/** Versions from 13 on name topics by id. */
const maxFetchVersion = 12
const offsetOutOfRange = 1

/** What a fetcher tells its consumer. */
export interface FetcherEvents {
  /** Nothing more can be fetched: the consumer's streams fail with it. */
  readonly onFatal: (error: KafkaError) => void
  /** The position of a partition was reset, from an offset that the log no longer has. */
  readonly onReset: (partition: AssignedPartition, offset: number) => Effect.Effect<void>
}

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
  readonly #routing = Effect.unsafeMakeLatch(true)
  readonly #outdated = Effect.unsafeMakeLatch(false)

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

  /** Ends the fibers. */
  readonly stop: Effect.Effect<void> = Effect.suspend(() => this.#fibers.interruptAll("1 second"))

  /** Fetches a partition, from its position. */
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
  }

  /** The application took records, or they were dropped. */
  consumed(partition: AssignedPartition, bytes: number): void {
    this.#budget.consumed(partition.key, bytes)
    this.wake(partition)
  }

  /** Something changed that allows a partition to be fetched. */
  wake(partition: AssignedPartition): void {
    const latch = this.#brokers.get(this.#leader(partition))
    if (latch === undefined) this.#routing.unsafeOpen()
    else latch.unsafeOpen()
  }

  #leader(partition: AssignedPartition): number {
    return this.#cluster.metadata().topics.get(partition.topic)?.partitions[partition.partition]?.leader ?? -1
  }

  /** Starts a fiber for each leader, and asks for metadata while a partition has none. */
  readonly #route: Effect.Effect<never> = Effect.forever(Effect.suspend(() => {
    this.#routing.unsafeClose()
    const missing = new Set<number>()
    for (const partition of this.#partitions.values()) {
      const leader = this.#leader(partition)
      if (leader === -1 || this.#cluster.address(leader) === undefined) this.#outdated.unsafeOpen()
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

  readonly #refresh: Effect.Effect<never> = Effect.suspend(() => {
    let attempt = 0
    return Effect.forever(Effect.gen(this, function*() {
      yield* this.#outdated.await
      this.#outdated.unsafeClose()
      const refreshed = yield* Effect.either(this.#cluster.refresh)
      if (refreshed._tag === "Left") yield* Effect.logDebug(`metadata cannot be refreshed: ${refreshed.left.message}`)
      this.#routing.unsafeOpen()
      attempt = refreshed._tag === "Left" ? attempt + 1 : 1
      yield* pause(this.#cluster.settings, attempt)
    }))
  })

  #fetchFrom(broker: number, latch: Effect.Latch): Effect.Effect<never> {
    let failures = 0
    return Effect.forever(Effect.gen(this, function*() {
      latch.unsafeClose()
      const { keys, retryAt } = this.#fetchable(broker)
      const address = this.#cluster.address(broker)
      if (keys.size === 0 || address === undefined) {
        return yield* retryAt === Infinity
          ? latch.await
          : Effect.raceFirst(latch.await, Effect.sleep(Math.max(1, retryAt - this.#now())))
      }
      const reservation = this.#budget.reserve(keys)
      if (reservation === null) return yield* latch.await
      const result = yield* this.#pool.get(address).pipe(
        Effect.flatMap((connection) => this.#fetch(connection, reservation)),
        Effect.onInterrupt(() => Effect.sync(() => this.#budget.arrived(reservation, new Map()))),
        Effect.either
      )
      latch.unsafeOpen()
      if (result._tag === "Right") {
        failures = 0
        return
      }
      this.#budget.arrived(reservation, new Map())
      if (isFatal(result.left)) {
        this.#events.onFatal(result.left)
        return yield* Effect.never
      }
      yield* Effect.logDebug(`fetch from broker ${broker} failed, and is tried again: ${result.left.message}`)
      this.#outdated.unsafeOpen()
      failures++
      yield* pause(this.#cluster.settings, failures)
    }))
  }

  /** The partitions that a broker leads and that may be fetched now; and when the next one may. */
  #fetchable(broker: number): { readonly keys: ReadonlySet<string>; readonly retryAt: number } {
    const keys = new Set<string>()
    const now = this.#now()
    let retryAt = Infinity
    for (const [key, partition] of this.#partitions) {
      if (partition.fetchOffset === undefined || partition.status !== "active" || this.#leader(partition) !== broker) {
        continue
      }
      if (partition.retryAt > now) retryAt = Math.min(retryAt, partition.retryAt)
      else keys.add(key)
    }
    return { keys, retryAt }
  }

  #fetch(connection: BrokerConnection, reservation: FetchReservation): Effect.Effect<void, KafkaError> {
    const { maxFrameBytes, requestTimeout } = this.#cluster.settings
    const metadata = this.#cluster.metadata()
    const asked = new Map<string, { readonly partition: AssignedPartition; readonly offset: number }>()
    const topics = new Map<string, Array<any>>()
    for (const { key, maxBytes } of reservation.partitions) {
      const partition = this.#partitions.get(key)!
      const offset = partition.fetchOffset!
      asked.set(key, { partition, offset })
      let partitions = topics.get(partition.topic)
      if (partitions === undefined) topics.set(partition.topic, partitions = [])
      partitions.push({
        partition: partition.partition,
        currentLeaderEpoch: metadata.topics.get(partition.topic)?.partitions[partition.partition]?.leaderEpoch ?? -1,
        fetchOffset: offset,
        partitionMaxBytes: maxBytes
      })
    }
    // While another partition may soon be ready the broker must not hold this one's answer for long.
    const maxWait = reservation.partial
      ? Math.min(10, Duration.toMillis(this.#settings.maxWait))
      : Duration.toMillis(this.#settings.maxWait)
    return connection.request(
      Fetch,
      {
        maxWaitMs: maxWait,
        minBytes: this.#settings.minBytes,
        maxBytes: Math.min(reservation.maxBytes, maxFrameBytes - 64 * 1024),
        isolationLevel: this.#settings.readCommitted ? 1 : 0,
        topics: Array.from(topics, ([topic, partitions]) => ({ topic, partitions }))
      },
      {
        maxVersion: maxFetchVersion,
        timeout: Duration.sum(requestTimeout, this.#settings.maxWait),
        closeOnInterrupt: true
      }
    ).pipe(Effect.flatMap((response) => this.#arrived(response, reservation, asked)))
  }

  #arrived(
    response: ResponseOf<typeof Fetch>,
    reservation: FetchReservation,
    asked: ReadonlyMap<string, { readonly partition: AssignedPartition; readonly offset: number }>
  ): Effect.Effect<void, KafkaError> {
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
        const { offset, partition } = request
        if (answer.errorCode !== 0) {
          failed.push(this.#partitionFailed(partition, offset, answer.errorCode))
        } else if (answer.records !== null && answer.records.length > 0) {
          received.set(partition.key, answer.records.length)
          const taken = partition.fetched(answer.records, {
            fetchOffset: offset,
            abortedTransactions: this.#settings.readCommitted ? answer.abortedTransactions : null
          })
          if (!taken) dropped.push([partition, answer.records.length])
        }
      }
    }
    this.#budget.arrived(reservation, received)
    for (const [partition, bytes] of dropped) this.#budget.consumed(partition.key, bytes)
    return Effect.all(failed, { discard: true })
  }

  /** Trouble with one partition, which touches that partition alone. */
  #partitionFailed(partition: AssignedPartition, offset: number, code: number): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (partition.status !== "active" || partition.fetchOffset !== offset) return Effect.void
      const error = fromCode(code, {
        operation: "Fetch",
        scope: "partition",
        topic: partition.topic,
        partition: partition.partition
      })
      if (code === offsetOutOfRange) return this.#reset(partition, offset, error)
      if (isFatal(error)) {
        this.#events.onFatal(error)
        return Effect.void
      }
      this.#backOff(partition)
      this.#outdated.unsafeOpen()
      return Effect.logDebug(`${error.message}: tried again`)
    })
  }

  #backOff(partition: AssignedPartition): void {
    partition.failures++
    partition.retryAt = this.#now() + pauseMillis(this.#cluster.settings, partition.failures, this.#random())
  }

  /** The log does not have the offset: it was deleted, or never written. Never silent. */
  #reset(partition: AssignedPartition, offset: number, error: KafkaError): Effect.Effect<void> {
    if (this.#settings.reset === "fail") {
      this.#events.onFatal(error)
      return Effect.void
    }
    // Not fetched meanwhile, in the case that this takes longer than the pause.
    partition.fetchOffset = undefined
    const restore = Effect.sync(() => {
      if (partition.fetchOffset === undefined) partition.fetchOffset = offset
      this.#backOff(partition)
    })
    return listOffset(this.#cluster, this.#lookups, partition, this.#settings).pipe(
      Effect.flatMap((start) => {
        if (partition.status !== "active") return Effect.void
        this.consumed(partition, partition.reset(start))
        return Effect.zipRight(
          Effect.logWarning(
            `topic ${partition.topic}, partition ${partition.partition}: offset ${offset} is out of range; goes on at ${start} (${this.#settings.reset})`
          ),
          this.#events.onReset(partition, start)
        )
      }),
      Effect.catchAll((failure) =>
        isFatal(failure)
          ? Effect.sync(() => this.#events.onFatal(failure))
          : Effect.zipRight(restore, Effect.logDebug(`${failure.message}: tried again`))
      ),
      Effect.onInterrupt(() => restore)
    )
  }
}
