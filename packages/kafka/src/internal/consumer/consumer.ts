import * as Chunk from "effect/Chunk"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import * as Sink from "effect/Sink"
import * as Stream from "effect/Stream"
import { PCGRandom } from "effect/Utils"

import { type AssignedConsumer, type AssignOptions, type Consumer, type ConsumerOptions } from "../../Consumer.ts"
import type { Committable } from "../../ConsumerRecord.ts"
import { Kafka } from "../../Kafka.ts"
import { FatalError, type KafkaError } from "../../KafkaError.ts"
import type * as Topic from "../../Topic.ts"
import type { Cluster } from "../cluster/cluster.ts"
import type { ConnectionPool } from "../cluster/pool.ts"
import { untilFatal } from "../cluster/retry.ts"
import { closed, fromCode, invalidArgument } from "../errors.ts"
import { bounded, Fibers, once } from "../fiber.ts"
import { type TopicPartition, topicPartitionKey } from "../kernel/topicPartition.ts"
import { OffsetFetch } from "../protocol/api/offsetFetch.ts"
import { tracedPoll } from "../telemetry/poll.ts"
import { consumerTypeId } from "../typeIds.ts"
import { type CommitTarget, Committer, notAssigned } from "./committer.ts"
import { Coordinator } from "./coordinator.ts"
import { Delivery } from "./delivery.ts"
import { Fetcher } from "./fetcher.ts"
import { GroupMember } from "./group.ts"
import { type FetchSettings, type GroupSettings, parseAssign, parseGroup } from "./options.ts"
import { AssignedPartition } from "./partition.ts"
import { listOffset } from "./positions.ts"
import { FetchedRecord } from "./record.ts"
import { commitSettled, Run } from "./run.ts"

/** The generation of partitions that are read without a group. */
const noGeneration = -1

/** See `Consumer.make`. */
export const make = <const T extends Topic.Any>(
  options: ConsumerOptions<T>
): Effect.Effect<Consumer<T>, KafkaError, Kafka | Scope.Scope> =>
  Effect.gen(function*() {
    const [group, fetch] = yield* parseGroup(options)
    const { cluster } = yield* Kafka
    const parts = yield* makeParts(cluster, fetch)
    const joinPool = yield* cluster.makePool
    const engine = new GroupConsumer(group, fetch, cluster, parts, joinPool)
    yield* Effect.addFinalizer(() => engine.close)
    yield* Effect.forEach(fetch.topics.keys(), cluster.topic, { discard: true })
    yield* engine.start
    return engine as unknown as Consumer<T>
  })

/** See `Consumer.assign`. */
export const assign = <const T extends Topic.Any>(
  options: AssignOptions<T>
): Effect.Effect<AssignedConsumer<T>, KafkaError, Kafka | Scope.Scope> =>
  Effect.gen(function*() {
    const fetch = yield* parseAssign(options)
    const { cluster } = yield* Kafka
    const parts = yield* makeParts(cluster, fetch)
    const { delivery, fetcher, lookups } = parts
    yield* Effect.addFinalizer(() => Effect.zipRight(Effect.sync(() => delivery.stop()), fetcher.stop))
    const partitions: Array<AssignedPartition> = []
    for (const topic of fetch.topics.values()) {
      const count = (yield* cluster.topic(topic.name)).partitions.length
      for (const partition of options.partitions ?? Array.from({ length: count }, (_, i) => i)) {
        if (partition >= count) {
          return yield* Effect.fail(fromCode(3, {
            operation: "Consumer.assign",
            scope: "partition",
            topic: topic.name,
            partition,
            detail: `the topic has ${count} partitions`
          }))
        }
        partitions.push(new AssignedPartition(topic, partition, noGeneration))
      }
    }
    yield* fetcher.start
    yield* Effect.forEach(partitions, (partition) =>
      Effect.map(untilFatal(cluster.settings, listOffset(cluster, lookups, partition, fetch)), (offset) => {
        partition.start(offset, null)
        delivery.add(partition)
        fetcher.add(partition)
      }), { concurrency: 16, discard: true })
    return {
      [consumerTypeId]: consumerTypeId,
      records: recordStream(delivery, { clientId: cluster.settings.clientId, groupId: undefined })
    } as unknown as AssignedConsumer<T>
  })

/** What consumers with and without a group have in common. */
interface Parts {
  readonly fetcher: Fetcher
  readonly delivery: Delivery
  /** For requests that must not wait behind a fetch. */
  readonly lookups: ConnectionPool
  /** Set by a group consumer, which commits a position that was reset. */
  onReset: (partition: AssignedPartition, offset: number) => Effect.Effect<void>
}

const makeParts = (cluster: Cluster, settings: FetchSettings): Effect.Effect<Parts, never, Scope.Scope> =>
  Effect.gen(function*() {
    const pool = yield* cluster.makePool
    const lookups = yield* cluster.makePool
    const clock = yield* Effect.clock
    const random = new PCGRandom(yield* Random.nextIntBetween(0, 0x7fffffff))
    const delivery: Delivery = new Delivery((partition, bytes) => fetcher.consumed(partition, bytes))
    const parts: Parts = {
      delivery,
      lookups,
      onReset: () => Effect.void,
      get fetcher() {
        return fetcher
      }
    }
    const fetcher: Fetcher = new Fetcher(
      cluster,
      pool,
      lookups,
      settings,
      {
        onFatal: (error) => delivery.stop(error),
        onReset: (partition, offset) => parts.onReset(partition, offset)
      },
      () => clock.unsafeCurrentTimeMillis(),
      () => random.number()
    )
    return parts
  })

const recordStream = (
  delivery: Delivery,
  consumer: { readonly clientId: string; readonly groupId: string | undefined }
): Stream.Stream<FetchedRecord, KafkaError> =>
  Stream.repeatEffectChunkOption(
    Effect.flatMap(
      delivery.pull,
      ({ records }) => tracedPoll(Chunk.unsafeFromArray(records), consumer)
    )
  )

/** A member of a group: what it owns, and how it takes and gives it. */
class GroupConsumer {
  readonly [consumerTypeId]: typeof consumerTypeId = consumerTypeId
  readonly #group: GroupSettings
  readonly #fetch: FetchSettings
  readonly #cluster: Cluster
  readonly #parts: Parts
  readonly #coordinator: Coordinator
  readonly #member: GroupMember
  readonly #committer: Committer
  readonly #fibers = new Fibers()
  readonly #owned = new Map<string, AssignedPartition>()
  #run: Run | undefined
  /** Whether the application commits records of the raw stream: a revocation waits for those. */
  #commitsByHand = false

  constructor(group: GroupSettings, fetch: FetchSettings, cluster: Cluster, parts: Parts, joinPool: ConnectionPool) {
    this.#group = group
    this.#fetch = fetch
    this.#cluster = cluster
    this.#parts = parts
    this.#coordinator = new Coordinator(cluster, group.groupId)
    this.#member = new GroupMember(
      cluster,
      group,
      new Set(fetch.topics.keys()),
      this.#coordinator,
      joinPool,
      parts.lookups,
      {
        owned: () => Array.from(this.#owned.values(), ({ partition, topic }) => ({ topic, partition })),
        assign: (partitions) => this.#assign(partitions),
        revoke: (partitions) => this.#revoke(partitions),
        lose: () => this.#lose,
        onJoined: () => this.#committer.request()
      }
    )
    this.#committer = new Committer(
      cluster,
      group.groupId,
      this.#coordinator,
      parts.lookups,
      () => this.#member.membership,
      () => this.#owned.values(),
      (code, sent) => this.#member.membershipError(code, sent)
    )
    parts.onReset = (partition, offset) =>
      Effect.sync(() => {
        // What was settled before lies out of the log; the new position is not to be lost if nothing follows.
        partition.start(offset, null)
        this.#committer.settle(partition, offset)
        this.#committer.request()
      })
    this.records = recordStream(parts.delivery, { clientId: cluster.settings.clientId, groupId: group.groupId })
  }

  readonly records: Stream.Stream<FetchedRecord, KafkaError>

  get start(): Effect.Effect<void> {
    return Effect.gen(this, function*() {
      yield* this.#parts.fetcher.start
      yield* this.#fibers.fork(Effect.catchAll(this.#member.run, (error) =>
        Effect.zipRight(
          Effect.logError(`group ${this.#group.groupId}: ${error.message}`),
          Effect.sync(() => this.#parts.delivery.stop(error))
        )))
      yield* this.#fibers.fork(this.#member.heartbeat)
      yield* this.#fibers.fork(this.#committer.run)
      yield* this.#fibers.fork(
        Effect.forever(Effect.zipRight(
          Effect.sleep(Duration.max(this.#group.commitInterval, Duration.millis(1))),
          Effect.sync(() => {
            if (this.#run !== undefined) this.#committer.request()
          })
        ))
      )
    })
  }

  commit = (committables: Committable | Iterable<Committable>): Effect.Effect<void, KafkaError> =>
    Effect.suspend(() => {
      const { stale, targets } = this.#settle(
        Symbol.iterator in committables ? committables : [committables as Committable]
      )
      if (stale !== undefined) return Effect.fail(notAssigned(stale.topic, stale.partition))
      if (!this.#parts.delivery.isOpen && this.#closed) return Effect.fail(closed("consumer"))
      return this.#committer.commit(targets)
    })

  readonly commitSink: Sink.Sink<void, Committable, never, KafkaError> = Sink.suspend(() => {
    const last = new Map<AssignedPartition, number>()
    const await_ = Effect.suspend(() => {
      const targets = Array.from(last, ([partition, offset]) => ({ partition, offset }))
        .filter(({ partition }) => partition.status !== "ended")
      return targets.length === 0 ? Effect.void : this.#committer.commit(targets)
    }).pipe(Effect.catchIf((error) => error.reason._tag === "NotAssigned", () => Effect.void))
    return Sink.forEachChunk((chunk: Chunk.Chunk<Committable>) =>
      Effect.suspend(() => {
        const { stale, targets } = this.#settle(chunk)
        for (const { offset, partition } of targets) last.set(partition, offset)
        for (const partition of last.keys()) if (partition.status === "ended") last.delete(partition)
        this.#committer.request()
        return stale === undefined ? Effect.void : Effect.logDebug(notAssigned(stale.topic, stale.partition).message)
      })
    ).pipe(Sink.mapEffect(() => await_))
  })

  run = <E, R>(
    handler: (record: FetchedRecord) => Effect.Effect<unknown, E, R>
  ): Effect.Effect<void, KafkaError | E, R> =>
    Effect.suspend(() => {
      if (this.#closed) return Effect.fail(closed("consumer"))
      if (this.#run !== undefined) return Effect.fail(invalidArgument("Consumer: it already has a run"))
      const run = this.#run = new Run({
        groupId: this.#group.groupId,
        clientId: this.#cluster.settings.clientId,
        delivery: this.#parts.delivery,
        committer: this.#committer,
        owned: () => this.#owned.values(),
        drainTimeout: this.#group.drainTimeout
      })
      return Effect.ensuring(
        run.run(handler),
        Effect.sync(() => {
          if (this.#run === run) this.#run = undefined
        })
      )
    })

  #closed = false

  /** Stop the pull, let handlers finish, commit, leave, and end the fibers: each within its bound. */
  readonly close: Effect.Effect<void> = once(
    Effect.suspend(() => {
      const { delivery, fetcher } = this.#parts
      this.#closed = true
      return Effect.logDebug(`consumer of group ${this.#group.groupId} closing`).pipe(
        Effect.zipRight(Effect.suspend(() => {
          delivery.stop()
          return this.#run === undefined ? Effect.void : this.#run.drain
        })),
        Effect.zipRight(fetcher.stop),
        Effect.zipRight(
          Effect.suspend(() => bounded(commitSettled(this.#committer, this.#owned.values()), this.#group.closeTimeout))
        ),
        Effect.flatMap((committed) =>
          Option.isSome(committed) ? Effect.void : Effect.logWarning("consumer closing: not all was committed in time")
        ),
        Effect.zipRight(this.#fibers.interruptAll("1 second")),
        Effect.zipRight(Effect.suspend(() =>
          bounded(
            Effect.catchAll(this.#member.leave, (error) => Effect.logWarning(`consumer closing: ${error.message}`)),
            this.#group.closeTimeout
          )
        )),
        Effect.zipRight(Effect.sync(() => {
          for (const partition of this.#owned.values()) partition.end()
          this.#owned.clear()
          this.#committer.checkWaiters()
        })),
        Effect.zipRight(Effect.logDebug(`consumer of group ${this.#group.groupId} closed`))
      )
    })
  )

  #settle(committables: Iterable<Committable>): {
    readonly targets: ReadonlyArray<CommitTarget>
    readonly stale: Committable | undefined
  } {
    this.#commitsByHand = true
    const furthest = new Map<AssignedPartition, number>()
    let stale: Committable | undefined
    for (const committable of committables) {
      const partition = this.#owned.get(topicPartitionKey(committable))
      if (partition === undefined || partition.generation !== committable.generation || partition.status === "ended") {
        stale = committable
        continue
      }
      const offset = committable instanceof FetchedRecord ? committable.view.offset : Number(committable.offset)
      if (offset + 1 > (furthest.get(partition) ?? 0)) furthest.set(partition, offset + 1)
    }
    const targets: Array<CommitTarget> = []
    for (const [partition, offset] of furthest) {
      // A position past what was delivered can only be a mistake; it would skip records.
      const bounded = Math.min(offset, partition.delivered ?? offset)
      this.#committer.settle(partition, bounded)
      targets.push({ partition, offset: bounded })
    }
    return { targets, stale }
  }

  #assign(added: ReadonlyArray<TopicPartition>): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (added.length === 0) return Effect.void
      const { generationId } = this.#member.membership
      const partitions = added.map(({ partition, topic }) =>
        new AssignedPartition(this.#fetch.topics.get(topic)!, partition, generationId)
      )
      for (const partition of partitions) this.#owned.set(partition.key, partition)
      return Effect.asVoid(this.#fibers.fork(this.#startPartitions(partitions)))
    })
  }

  /** Finds where each partition starts, and starts it. */
  #startPartitions(partitions: ReadonlyArray<AssignedPartition>): Effect.Effect<void> {
    const { settings } = this.#cluster
    return Effect.gen(this, function*() {
      const committed = yield* untilFatal(settings, this.#committedOffsets(partitions))
      yield* Effect.forEach(partitions, (partition) =>
        Effect.gen(this, function*() {
          if (partition.status !== "active") return
          const offset = committed.get(partition.key)
          if (offset !== undefined) {
            this.#startPartition(partition, offset, offset)
            return
          }
          if (this.#fetch.reset === "fail") {
            return yield* Effect.fail(
              new FatalError({
                reason: { _tag: "OffsetOutOfRange", topic: partition.topic, partition: partition.partition },
                scope: "partition",
                message:
                  `group ${this.#group.groupId} has no offset for topic ${partition.topic}, partition ${partition.partition}, and \`reset\` is "fail"`
              })
            )
          }
          const start = yield* untilFatal(
            settings,
            listOffset(this.#cluster, this.#parts.lookups, partition, this.#fetch)
          )
          if ((partition.status as AssignedPartition["status"]) !== "active") return
          this.#startPartition(partition, start, null)
          // Else a restart before the first commit would skip what came meanwhile.
          if (this.#fetch.reset === "latest") {
            this.#committer.settle(partition, start)
            this.#committer.request()
          }
        }), { concurrency: 16, discard: true })
    }).pipe(Effect.catchAll((error) => Effect.sync(() => this.#parts.delivery.stop(error))))
  }

  #startPartition(partition: AssignedPartition, offset: number, committed: number | null): void {
    partition.start(offset, committed)
    this.#parts.delivery.add(partition)
    this.#parts.fetcher.add(partition)
    this.#run?.start(partition)
  }

  /** The group's offsets, by partition; those without one are left out. */
  #committedOffsets(
    partitions: ReadonlyArray<AssignedPartition>
  ): Effect.Effect<ReadonlyMap<string, number>, KafkaError> {
    const byTopic = new Map<string, Array<number>>()
    for (const { partition, topic } of partitions) {
      const list = byTopic.get(topic)
      if (list === undefined) byTopic.set(topic, [partition])
      else list.push(partition)
    }
    const topics = Array.from(byTopic, ([name, partitionIndexes]) => ({ name, partitionIndexes }))
    const { groupId } = this.#group
    return this.#coordinator.connection(this.#parts.lookups).pipe(
      Effect.flatMap((connection) =>
        connection.request(
          OffsetFetch,
          (connection.version(OffsetFetch) ?? 0) >= 8
            ? { groups: [{ groupId, topics }], requireStable: true }
            : { groupId, topics, requireStable: (connection.version(OffsetFetch) ?? 0) >= 7 }
        )
      ),
      Effect.flatMap((response) => {
        const answer = response.groups[0] ?? response
        const offsets = new Map<string, number>()
        let { errorCode } = answer
        for (const topic of answer.topics) {
          for (const partition of topic.partitions) {
            if (partition.errorCode !== 0) errorCode = partition.errorCode
            else if (partition.committedOffset >= 0) {
              offsets.set(
                topicPartitionKey({ topic: topic.name, partition: partition.partitionIndex }),
                partition.committedOffset
              )
            }
          }
        }
        return errorCode === 0
          ? Effect.succeed(offsets)
          : Effect.fail(fromCode(errorCode, { operation: `OffsetFetch of group ${groupId}`, scope: "client" }))
      }),
      Effect.tapError((error) => Effect.sync(() => this.#coordinator.forgetAfter(error)))
    )
  }

  /** Lets what was delivered be processed and committed, up to the bound; nothing of it is delivered afterwards. */
  #revoke(revoked: ReadonlyArray<TopicPartition>): Effect.Effect<void> {
    return Effect.suspend(() => {
      const partitions = this.#find(revoked)
      if (partitions.length === 0) return Effect.void
      for (const partition of partitions) {
        this.#parts.fetcher.remove(partition, partition.drain())
        this.#parts.delivery.remove(partition)
      }
      const { delivery } = this.#parts
      const drained = Effect.forEach(partitions, (partition) => {
        if (this.#run !== undefined) return this.#run.laneEnded(partition)
        return this.#commitsByHand
          ? Effect.asVoid(Effect.repeat(this.#settledSoon, {
            while: () => partition.status === "draining" && !partition.isSettled && delivery.isOpen
          }))
          : Effect.void
      }, { discard: true }).pipe(
        Effect.zipRight(commitSettled(this.#committer, partitions)),
        Effect.interruptible
      )
      return Effect.timeoutOption(drained, this.#group.drainTimeout).pipe(
        Effect.flatMap((done) =>
          Option.isSome(done) ? Effect.void : Effect.logWarning(
            `${partitions.length} revoked partitions were not drained within ${
              Duration.format(this.#group.drainTimeout)
            }: what was delivered and not committed is delivered again`
          )
        ),
        Effect.ensuring(Effect.suspend(() => this.#end(partitions)))
      )
    })
  }

  /** Time for the application to settle more. */
  readonly #settledSoon: Effect.Effect<void> = Effect.sleep("10 millis")

  get #lose(): Effect.Effect<void> {
    return Effect.suspend(() => {
      const partitions = Array.from(this.#owned.values())
      return partitions.length === 0 ? Effect.void : Effect.zipRight(
        Effect.logWarning(
          `group ${this.#group.groupId}: this member is no longer in it; ${partitions.length} partitions are lost`
        ),
        this.#end(partitions)
      )
    })
  }

  #end(partitions: ReadonlyArray<AssignedPartition>): Effect.Effect<void> {
    return Effect.suspend(() => {
      for (const partition of partitions) {
        this.#parts.fetcher.remove(partition, partition.end())
        this.#parts.delivery.remove(partition)
        if (this.#owned.get(partition.key) === partition) this.#owned.delete(partition.key)
      }
      this.#committer.checkWaiters()
      const run = this.#run
      return run === undefined
        ? Effect.void
        : Effect.forEach(partitions, (partition) => run.lose(partition), { concurrency: "unbounded", discard: true })
    })
  }

  #find(partitions: ReadonlyArray<TopicPartition>): ReadonlyArray<AssignedPartition> {
    return partitions.flatMap((topicPartition) => this.#owned.get(topicPartitionKey(topicPartition)) ?? [])
  }
}
