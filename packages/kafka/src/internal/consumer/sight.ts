import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"

import type {
  ConsumerEvent,
  ConsumerHealth,
  PartitionPosition,
  PositionReset,
  Sight as SightFace,
  StartPosition as StartPositionInput
} from "../../Consumer.ts"
import type { KafkaError } from "../../KafkaError.ts"
import type { Observed } from "../../Observed.ts"
import type { Cluster } from "../cluster/cluster.ts"
import { retrying } from "../cluster/retry.ts"
import { invalidArgument } from "../errors.ts"
import { compareTopicPartitions, type TopicPartition, topicPartitionKey } from "../kernel/topicPartition.ts"
import { Broadcast } from "./broadcast.ts"
import { notAssigned } from "./committer.ts"
import { type FetchSettings, parseStart } from "./options.ts"
import type { AssignedPartition } from "./partition.ts"
import { Signal } from "./signal.ts"
import type { Source } from "./source.ts"
import { startOtherwise } from "./start.ts"
import { Troubles } from "./troubles.ts"

/** What the application sees of a consumer's partitions, and how it moves them. */
export class Sight {
  readonly #cluster: Cluster
  readonly #settings: FetchSettings
  readonly #owned: () => Iterable<AssignedPartition>
  /** Set once the source is made, which tells what it sees. */
  source!: Source
  /** Hears of positions that were settled or moved by hand. */
  onMoved: () => void = () => {}
  readonly #events = new Broadcast<ConsumerEvent>()
  readonly troubles: Troubles = new Troubles(() => this.#healthChanged.notify())
  readonly #assignmentChanged = new Signal()
  readonly #moved = new Signal()
  readonly #healthChanged = new Signal()
  /** The application's wish, which outlives an assignment. */
  readonly #paused = new Set<string>()
  #status: ConsumerHealth["status"] = "joining"
  #ended = false

  constructor(cluster: Cluster, settings: FetchSettings, owned: () => Iterable<AssignedPartition>) {
    this.#cluster = cluster
    this.#settings = settings
    this.#owned = owned
  }

  /** What the application is given of it. */
  get face(): SightFace {
    const { assignment, health, lag, pause, position, positions, resume, seek } = this
    return { events: this.#events.stream, assignment, positions, lag, health, position, pause, resume, seek }
  }

  /** A partition goes on, or begins, where a policy says. */
  readonly onReset = (reset: PositionReset): void => {
    this.publish(reset)
    this.onMoved()
    this.#moved.notify()
  }

  /** Positions, or the ends of logs, have moved. */
  readonly onProgress = (): void => this.#moved.notify()

  /** Tells of an event. */
  publish(event: ConsumerEvent): void {
    this.#events.publish(event)
  }

  /** What is owned has changed. */
  assigned(): void {
    for (const partition of this.#owned()) partition.paused = this.#paused.has(partition.key)
    this.#assignmentChanged.notify()
    this.#moved.notify()
  }

  /** How the consumer is doing. */
  set status(status: ConsumerHealth["status"]) {
    if (this.#status === status || this.#status === "failed" || this.#status === "closed") return
    if (this.#status === "closing" && status !== "closed") return
    if (this.#status === "stable" && status === "joining") this.publish({ _tag: "Rebalancing" })
    this.#status = status
    this.#healthChanged.notify()
  }

  /** Ends every stream. */
  end(): void {
    this.#ended = true
    this.#events.end()
    for (const signal of [this.#assignmentChanged, this.#moved, this.#healthChanged]) signal.notify()
  }

  readonly assignment: Observed<ReadonlyArray<TopicPartition>> = this.#observe(
    this.#assignmentChanged,
    () =>
      Array.from(this.#owned(), ({ partition, topic }): TopicPartition => ({ topic, partition })).sort(
        compareTopicPartitions
      ),
    (a, b) => a.length === b.length && a.every((one, i) => topicPartitionKey(one) === topicPartitionKey(b[i]!))
  )

  readonly positions: Observed<ReadonlyArray<PartitionPosition>> = this.#observe(
    this.#moved,
    () => Array.from(this.#owned(), positionOf).sort(compareTopicPartitions),
    (a, b) => a.length === b.length && a.every((one, i) => isSamePosition(one, b[i]!))
  )

  readonly lag: Observed<bigint> = this.#observe(
    this.#moved,
    () => {
      let sum = 0
      for (const partition of this.#owned()) sum += lagOf(partition) ?? 0
      return BigInt(sum)
    },
    (a, b) => a === b
  )

  readonly health: Observed<ConsumerHealth> = this.#observe(
    this.#healthChanged,
    () => ({ status: this.#status, troubles: this.troubles.current }),
    (a, b) =>
      a.status === b.status && a.troubles.length === b.troubles.length &&
      a.troubles.every((one, i) => one === b.troubles[i])
  )

  readonly position = (partition: TopicPartition): Effect.Effect<bigint, KafkaError> =>
    Effect.suspend(() => {
      const owned = this.#find(partition)
      return owned?.isStarted
        ? Effect.succeed(BigInt(owned.position))
        : Effect.fail(notAssigned(partition.topic, partition.partition))
    })

  readonly pause = (partitions?: Iterable<TopicPartition>): Effect.Effect<void, KafkaError> =>
    this.#setPaused(partitions, true)

  readonly resume = (partitions?: Iterable<TopicPartition>): Effect.Effect<void, KafkaError> =>
    this.#setPaused(partitions, false)

  #setPaused(partitions: Iterable<TopicPartition> | undefined, paused: boolean): Effect.Effect<void, KafkaError> {
    return Effect.suspend(() => {
      const wanted = partitions === undefined ? Array.from(this.#owned()) : Array.from(partitions)
      const operation = `Consumer.${paused ? "pause" : "resume"}`
      for (const each of wanted) {
        if (!isPartition(each)) return Effect.fail(invalidArgument(`${operation}: not a partition: ${show(each)}`))
      }
      // Without a choice `resume` means those too that are elsewhere now.
      if (partitions === undefined && !paused) this.#paused.clear()
      for (const partition of wanted) {
        const key = topicPartitionKey(partition)
        if (paused) this.#paused.add(key)
        else this.#paused.delete(key)
        const owned = this.#find(partition)
        if (owned === undefined) continue
        owned.paused = paused
        if (!paused) {
          owned.changed.notify()
          this.source.fetcher.consumed(owned, 0)
        }
      }
      this.#moved.notify()
      return Effect.void
    })
  }

  readonly seek = (partition: TopicPartition, to: StartPositionInput): Effect.Effect<void, KafkaError> =>
    Effect.gen(this, function*() {
      if (!isPartition(partition)) {
        return yield* Effect.fail(invalidArgument(`Consumer.seek: not a partition: ${show(partition)}`))
      }
      const at = yield* parseStart("Consumer.seek", "to", to)
      const gone = notAssigned(partition.topic, partition.partition)
      const owned = this.#find(partition)
      if (owned === undefined) return yield* Effect.fail(gone)
      const { settings } = this.#cluster
      const position = yield* retrying(
        settings,
        { operation: "Consumer.seek", deadline: settings.apiTimeout },
        () => startOtherwise(this.#cluster, this.source.lookups, partition, this.#settings, at, "Consumer.seek")
      )
      // It may have been given up meanwhile.
      if (owned.status !== "active" || this.#find(partition) !== owned) return yield* Effect.fail(gone)
      this.source.fetcher.consumed(owned, owned.seek(position))
      this.onMoved()
      this.#moved.notify()
    })

  #find(partition: TopicPartition): AssignedPartition | undefined {
    const key = topicPartitionKey(partition)
    for (const owned of this.#owned()) if (owned.key === key) return owned
    return undefined
  }

  /** A value, and the stream of what it is now and becomes: a slow reader is given the newest. */
  #observe<A>(signal: Signal, read: () => A, isSame: (a: A, b: A) => boolean): Observed<A> {
    const changes = Stream.suspend(() => {
      let last: { readonly value: A } | undefined
      const next: Effect.Effect<Chunk.Chunk<A>, Option.Option<never>> = Effect.suspend(() => {
        const { version } = signal
        const value = read()
        if (last === undefined || !isSame(last.value, value)) {
          last = { value }
          return Effect.succeed(Chunk.of(value))
        }
        return this.#ended ? Effect.fail(Option.none()) : Effect.zipRight(signal.wait(version), next)
      })
      return Stream.repeatEffectChunkOption(next)
    })
    return { get: Effect.sync(read), changes }
  }
}

const lagOf = (partition: AssignedPartition): number | undefined =>
  partition.logEnd === undefined || !partition.isStarted
    ? undefined
    : Math.max(0, partition.logEnd - partition.position)

const bigint = (value: number | null | undefined): bigint | undefined =>
  value === undefined || value === null ? undefined : BigInt(value)

const positionOf = (partition: AssignedPartition): PartitionPosition => ({
  topic: partition.topic,
  partition: partition.partition,
  position: bigint(partition.isStarted ? partition.position : undefined),
  committed: bigint(partition.commit.committed),
  end: bigint(partition.logEnd),
  lag: bigint(lagOf(partition)),
  paused: partition.paused
})

const isSamePosition = (a: PartitionPosition, b: PartitionPosition): boolean =>
  topicPartitionKey(a) === topicPartitionKey(b) && a.position === b.position && a.committed === b.committed &&
  a.end === b.end && a.paused === b.paused

const isPartition = (value: unknown): value is TopicPartition => {
  const { partition, topic } = (value ?? {}) as TopicPartition
  return typeof topic === "string" && Number.isSafeInteger(partition) && partition >= 0
}

const show = (value: unknown): string => {
  const { partition, topic } = (value ?? {}) as TopicPartition
  return `topic ${String(topic)}, partition ${String(partition)}`
}
