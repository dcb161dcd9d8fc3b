import * as Effect from "effect/Effect"

import type { PositionReset } from "../../Consumer.ts"
import type { KafkaError } from "../../KafkaError.ts"
import type { Cluster } from "../cluster/cluster.ts"
import type { ConnectionPool } from "../cluster/pool.ts"
import { defect } from "../errors.ts"
import { Fibers } from "../fiber.ts"
import { FetchBudget } from "../kernel/fetchBudget.ts"
import type { Latch } from "../latch.ts"
import { BrokerFetcher, type FetchingContext } from "./brokerFetcher.ts"
import { Leaders } from "./leaders.ts"
import type { FetchSettings } from "./options.ts"
import type { AssignedPartition } from "./partition.ts"
import { Recovery } from "./recovery.ts"
import type { Troubles } from "./troubles.ts"

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

/**
 * Fetches the partitions that it is given: routes each to the fiber of the
 * broker that it is read from. Trouble with one partition or broker is retried
 * for ever and holds up no other.
 */
export class Fetcher {
  readonly #cluster: Cluster
  readonly #budget: FetchBudget
  readonly #leaders: Leaders
  readonly #recovery: Recovery
  readonly #context: FetchingContext
  readonly #fibers = new Fibers((cause) => this.#context.onFatal(defect("Consumer", cause)))
  readonly #partitions = new Map<string, AssignedPartition>()
  readonly #brokers = new Map<number, BrokerFetcher>()
  /** Of the brokers that wait for room in the budget, which any partition may make. */
  readonly #starved = new Set<Latch>()
  readonly #routing = Effect.unsafeMakeLatch(true)
  #routedVersion = -1
  #isHalted = false

  constructor(
    cluster: Cluster,
    pool: ConnectionPool,
    lookups: ConnectionPool,
    settings: FetchSettings,
    { onFatal, onProgress, onReset, troubles }: FetcherEvents,
    now: () => number,
    random: () => number
  ) {
    this.#cluster = cluster
    const budget = this.#budget = new FetchBudget({
      totalBytes: settings.bufferBytes,
      partitionBytes: settings.partitionBytes
    })
    const leaders = this.#leaders = new Leaders(cluster, troubles, now, () => this.#routing.unsafeOpen())
    const recovery = this.#recovery = new Recovery({
      cluster,
      lookups,
      settings,
      leaders,
      troubles,
      now,
      random,
      fork: (effect) => this.#fibers.fork(effect),
      onFatal,
      onReset,
      consumed: (partition, bytes) => this.consumed(partition, bytes)
    })
    this.#context = {
      cluster,
      pool,
      settings,
      leaders,
      recovery,
      budget,
      troubles,
      now,
      partitions: this.#partitions,
      isHalted: () => this.#isHalted,
      onFatal,
      onProgress,
      routeAgain: () => {
        if (cluster.metadata().version !== this.#routedVersion) this.#routing.unsafeOpen()
      },
      starve: (latch) => this.#starved.add(latch),
      feedStarved: () => this.#feedStarved()
    }
  }

  /** Starts the fibers. */
  readonly start: Effect.Effect<void> = Effect.suspend(() =>
    Effect.all([this.#fibers.fork(this.#route), this.#fibers.fork(this.#leaders.refresh)], { discard: true })
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
    this.#recovery.forget(partition)
    this.#feedStarved()
  }

  /** The application took records, or they were dropped: the partition may be fetched on. */
  consumed(partition: AssignedPartition, bytes: number): void {
    this.#budget.consumed(partition.key, bytes)
    this.#feedStarved()
    const broker = this.#brokers.get(this.#leaders.source(partition))
    if (broker === undefined) this.#routing.unsafeOpen()
    else broker.latch.open()
  }

  #feedStarved(): void {
    // To clear an empty set makes a new table, too.
    if (this.#starved.size === 0) return
    for (const latch of this.#starved) latch.open()
    this.#starved.clear()
  }

  /** Starts a fiber for each broker that is read from, wakes those there are, and asks who leads what has no leader. */
  readonly #route: Effect.Effect<never> = Effect.forever(Effect.suspend(() => {
    this.#routing.unsafeClose()
    this.#routedVersion = this.#cluster.metadata().version
    const missing = new Set<number>()
    for (const partition of this.#partitions.values()) {
      const source = this.#leaders.source(partition)
      if (source === -1 || this.#cluster.address(source) === undefined) this.#leaders.wantMetadata()
      else if (this.#brokers.has(source)) this.#brokers.get(source)!.latch.open()
      else missing.add(source)
    }
    return Effect.zipRight(
      Effect.forEach(missing, (id) => {
        const broker = new BrokerFetcher(id, this.#context)
        this.#brokers.set(id, broker)
        return this.#fibers.fork(broker.run)
      }, { discard: true }),
      this.#routing.await
    )
  }))
}
