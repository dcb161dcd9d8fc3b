import type * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Sink from "effect/Sink"
import type * as Stream from "effect/Stream"

import type { CommitOptions, Consumer, ConsumerOptions, RunBatchOptions, RunOptions } from "../../Consumer.ts"
import type { Committable } from "../../ConsumerRecord.ts"
import { Kafka } from "../../Kafka.ts"
import type { KafkaError } from "../../KafkaError.ts"
import type * as Topic from "../../Topic.ts"
import type { Cluster } from "../cluster/cluster.ts"
import type { ConnectionPool } from "../cluster/pool.ts"
import { pause } from "../cluster/retry.ts"
import { closed, defect, invalidArgument } from "../errors.ts"
import { bounded, Fibers, inContext, once } from "../fiber.ts"
import { topicPartitionKey } from "../kernel/topicPartition.ts"
import { consumerTypeId } from "../typeIds.ts"
import { type BatchHandler, batchLanes } from "./batches.ts"
import { type CommitTarget, Committer, notAssigned } from "./committer.ts"
import { Coordinator } from "./coordinator.ts"
import { GroupMember } from "./group.ts"
import { type Handled, type Handler, handling } from "./handling.ts"
import { logRetry } from "./logRetry.ts"
import { type FetchSettings, type GroupSettings, parseGroup } from "./options.ts"
import { Ownership } from "./ownership.ts"
import type { AssignedPartition } from "./partition.ts"
import { type ProcessingContext, recordLanes } from "./processing.ts"
import { FetchedRecord } from "./record.ts"
import { resultStream } from "./results.ts"
import { type MakeLanes, Run } from "./run.ts"
import { parseRun, parseRunBatch } from "./runOptions.ts"
import { Sight } from "./sight.ts"
import {
  makeSource,
  type PartitionRecords,
  partitionStream,
  recordStream,
  secondReader,
  type Source
} from "./source.ts"
import type { Subscription } from "./subscription.ts"

export { assign } from "./assign.ts"

/** See `Consumer.make`. */
export const make = <const T extends Topic.AnySource, R = never>(
  options: ConsumerOptions<T, R>
): Effect.Effect<Consumer<T>, KafkaError, Kafka | Scope.Scope | R> =>
  Effect.gen(function*() {
    const context = yield* Effect.context<R>()
    const [group, fetch] = yield* parseGroup(options, inContext(context))
    const { cluster } = yield* Kafka
    const owned = new Map<string, AssignedPartition>()
    const sight = new Sight(cluster, fetch, () => owned.values())
    const source = yield* makeSource(cluster, fetch, sight)
    sight.source = source
    const joinPool = yield* cluster.makePool
    const engine: GroupConsumer = new GroupConsumer(group, fetch, cluster, source, sight, owned, joinPool)
    yield* Effect.addFinalizer(() => engine.close)
    yield* Effect.forEach(fetch.subscription.explicit, (topic) => cluster.topic(topic), { discard: true })
    if (fetch.subscription.hasPatterns) yield* engine.discover
    yield* engine.start
    return Object.assign(engine, sight.face) as unknown as Consumer<T>
  })

/** A member of a group: what the application does with it. */
class GroupConsumer {
  readonly [consumerTypeId]: typeof consumerTypeId = consumerTypeId
  readonly records: Stream.Stream<FetchedRecord, KafkaError>
  readonly partitions: Stream.Stream<PartitionRecords, KafkaError>
  readonly #group: GroupSettings
  readonly #fetch: FetchSettings
  readonly #cluster: Cluster
  readonly #subscription: Subscription
  readonly #ownership: Ownership
  readonly #source: Source
  readonly #member: GroupMember
  readonly #committer: Committer
  /** None does another one's work: without one of them the consumer would stand still. */
  readonly #fibers = new Fibers((cause) => this.#source.delivery.stop(defect("Consumer", cause)))
  readonly #owned: Map<string, AssignedPartition>
  readonly #sight: Sight
  #run: Run | undefined
  #commitsByHand = false
  /** `closing`: what was delivered may still be settled and committed. */
  #status: "open" | "closing" | "closed" = "open"

  constructor(
    group: GroupSettings,
    fetch: FetchSettings,
    cluster: Cluster,
    source: Source,
    sight: Sight,
    owned: Map<string, AssignedPartition>,
    joinPool: ConnectionPool
  ) {
    this.#group = group
    this.#fetch = fetch
    this.#sight = sight
    this.#owned = owned
    this.#cluster = cluster
    this.#subscription = fetch.subscription
    this.#source = source
    const coordinator = new Coordinator(cluster, group.groupId)
    const committer = this.#committer = new Committer({
      group,
      cluster,
      coordinator,
      pool: source.lookups,
      membership: () => this.#member.membership,
      owned: () => this.#owned.values(),
      onMembershipError: (code, sent) => this.#member.membershipError(code, sent),
      onCommitted: sight.onProgress,
      troubles: sight.troubles
    })
    const ownership = this.#ownership = new Ownership({
      group,
      fetch,
      cluster,
      source,
      sight,
      coordinator,
      committer,
      fibers: this.#fibers,
      run: () => this.#run,
      commitsByHand: () => this.#commitsByHand
    }, this.#owned)
    this.#member = new GroupMember(
      cluster,
      group,
      fetch.subscription,
      coordinator,
      joinPool,
      source.lookups,
      {
        owned: () => Array.from(this.#owned.values(), ({ partition, topic }) => ({ topic, partition })),
        assign: (partitions) => ownership.assign(partitions, this.#member.membership.generationId),
        revoke: (partitions) => ownership.revoke(partitions),
        lose: () => ownership.lose(),
        onJoining: () => {
          sight.status = "joining"
        },
        onJoined: () => {
          sight.status = "stable"
          committer.request()
        },
        troubles: sight.troubles
      }
    )
    // A position that was reset is settled, and to be committed; one that was moved has no use for older ones.
    sight.onMoved = () => {
      committer.checkWaiters()
      committer.request()
    }
    source.delivery.onStop(() => {
      if (source.delivery.failure !== undefined) sight.status = "failed"
    })
    this.records = recordStream(source, this.#identity)
    this.partitions = partitionStream(source, this.#identity)
  }

  get start(): Effect.Effect<void> {
    return Effect.gen(this, function*() {
      yield* this.#source.fetcher.start
      yield* this.#fibers.fork(Effect.catchAll(this.#member.run, (error) =>
        Effect.zipRight(
          Effect.logError(`group ${this.#group.groupId}: ${error.message}`),
          Effect.sync(() => this.#source.delivery.stop(error))
        )))
      yield* this.#fibers.fork(this.#member.heartbeat)
      yield* this.#fibers.fork(this.#committer.run)
      yield* this.#fibers.fork(this.#committer.runInterval)
      if (this.#subscription.hasPatterns) yield* this.#fibers.fork(this.#discoverAgain)
    })
  }

  /** Finds the topics that the patterns fit; joins again where that changed. */
  readonly discover: Effect.Effect<void, KafkaError> = Effect.gen(this, function*() {
    const cluster = this.#cluster
    const subscription = this.#subscription
    const existing = new Set(yield* cluster.topicNames)
    if (Array.from(subscription.names).some((name) => !existing.has(name))) {
      // Not on the word of one broker, which may lag behind: partitions are given up for it.
      yield* pause(cluster.settings, 1)
      for (const name of yield* cluster.topicNames) existing.add(name)
    }
    const found = yield* Effect.filter(
      Array.from(existing).filter((name) => subscription.finds(name)),
      // What has no partitions yet is found the next time.
      (name) => subscription.names.has(name) ? Effect.succeed(true) : Effect.isSuccess(cluster.topic(name)),
      { concurrency: 16 }
    )
    const { added, removed } = subscription.match(found)
    if (added.length === 0 && removed.length === 0) return
    yield* Effect.logDebug(
      `group ${this.#group.groupId}: ${added.length} topics found, ${removed.length} are gone`
    )
    yield* this.#ownership.loseTopics(removed)
    this.#member.rejoin()
  })

  readonly #discoverAgain: Effect.Effect<never> = Effect.suspend(() => {
    let failures = 0
    return Effect.forever(Effect.gen(this, function*() {
      yield* Effect.sleep(this.#cluster.settings.metadataMaxAge)
      const discovered = yield* Effect.either(this.discover)
      failures = discovered._tag === "Right" ? 0 : failures + 1
      if (discovered._tag === "Right") this.#sight.troubles.clear("topics")
      else this.#sight.troubles.add("topics", failures, discovered.left.message)
      if (discovered._tag === "Left") yield* logRetry(failures, `topics cannot be listed: ${discovered.left.message}`)
    }))
  })

  commit = (
    committables: Committable | Iterable<Committable>,
    { metadata }: CommitOptions = {}
  ): Effect.Effect<void, KafkaError> =>
    Effect.suspend(() => {
      if (this.#status === "closed") return Effect.fail(closed("consumer"))
      const { problem, targets } = this.#settle(
        Symbol.iterator in committables ? committables : [committables as Committable],
        metadata
      )
      return Effect.zipRight(
        this.#committer.commit(targets),
        problem === undefined ? Effect.void : Effect.fail(problem)
      )
    })

  readonly commitSink: Sink.Sink<void, Committable, never, KafkaError> = Sink.suspend(() => {
    this.#commitsByHand = true
    const last = new Map<AssignedPartition, CommitTarget>()
    const passOver = (error: KafkaError): Effect.Effect<void, KafkaError> =>
      error.reason._tag !== "NotAssigned"
        ? Effect.fail(error)
        : this.#status === "closed"
        ? Effect.fail(closed("consumer"))
        : Effect.logDebug(error.message)
    // At once, not in an effect: that would be kept alive, with its chunk, until V8 collects its old objects.
    const settle = (chunk: Chunk.Chunk<Committable>) => {
      const { problem, targets } = this.#settle(chunk)
      for (const target of targets) last.set(target.partition, target)
      for (const partition of last.keys()) if (partition.status === "ended") last.delete(partition)
      this.#committer.requestSoon(chunk.length)
      return problem === undefined ? Effect.void : passOver(problem)
    }
    // One at a time, so that one that is lost does not end the wait for the others.
    const awaitAll = Effect.suspend(() =>
      Effect.forEach(
        last.values(),
        (target) => Effect.catchAll(this.#committer.commit([target]), passOver),
        { discard: true }
      )
    )
    return Sink.mapEffect(Sink.forEachChunk(settle), () => awaitAll)
  })

  run = <E, R>(handler: Handler<E, R>, options?: RunOptions): Effect.Effect<void, KafkaError | E, R> =>
    Effect.flatMap(
      parseRun(options),
      (settings) =>
        Effect.flatMap(handling(handler, settings, this.#identity), (handle) =>
          this.#runLanes(recordLanes(this.#processing, settings, handle)))
    )

  process = <B, E, R>(
    f: (record: FetchedRecord) => Effect.Effect<B, E, R>,
    options?: RunOptions
  ): Stream.Stream<B, KafkaError | E, R> =>
    resultStream(f, Math.max(64, options?.concurrency ?? 0), (handler) => this.run(handler, options))

  runBatch = <E, R>(
    handler: BatchHandler<E, R>,
    options?: RunBatchOptions
  ): Effect.Effect<void, KafkaError | E, R> =>
    Effect.flatMap(
      parseRunBatch(options),
      (settings) =>
        this.#runLanes(batchLanes(this.#processing, settings, this.#cluster.settings, this.#identity, handler))
    )

  /** Runs handlers until the consumer closes or something fails; it has drained when this ends. */
  #runLanes<E, R>(lanes: MakeLanes<KafkaError | E, R>): Effect.Effect<void, KafkaError | E, R> {
    return Effect.uninterruptibleMask((restore) => {
      const { delivery } = this.#source
      if (this.#status !== "open") return Effect.fail(closed("consumer"))
      if (!delivery.claim()) return Effect.fail(secondReader())
      const run = this.#run = new Run({
        delivery,
        committer: this.#committer,
        owned: () => this.#owned.values(),
        drainTimeout: this.#group.drainTimeout,
        closeTimeout: this.#group.closeTimeout
      })
      return Effect.ensuring(
        run.run(lanes, restore),
        Effect.sync(() => {
          this.#run = undefined
          delivery.release()
        })
      )
    })
  }

  get #identity(): Handled {
    return { clientId: this.#cluster.settings.clientId, groupId: this.#group.groupId }
  }

  get #processing(): ProcessingContext {
    const { bufferBytes, partitionBytes } = this.#fetch
    return {
      delivery: this.#source.delivery,
      committer: this.#committer,
      aheadBytes: () => Math.min(partitionBytes, bufferBytes / Math.max(1, this.#owned.size))
    }
  }

  /** Stop the pull, let handlers finish, commit, leave, and end the fibers: each within its bound. */
  readonly close: Effect.Effect<void> = once(Effect.gen(this, function*() {
    const { closeTimeout, groupId } = this.#group
    const { delivery, fetcher } = this.#source
    this.#status = "closing"
    this.#sight.status = "closing"
    yield* Effect.logDebug(`consumer of group ${groupId} closing`)
    this.#ownership.beginClose()
    const run = this.#run
    delivery.stop()
    if (run !== undefined) yield* run.drain
    yield* fetcher.stop
    // A stream that was given records settles them before it ends.
    if (run === undefined) yield* bounded(delivery.unread, this.#group.drainTimeout)
    yield* this.#ownership.revokedByClose
    if (run === undefined || this.#group.hooks.revoked !== undefined) {
      const committed = yield* bounded(this.#committer.flush(this.#owned.values()), closeTimeout)
      if (Option.isNone(committed)) yield* Effect.logWarning("consumer closing: not all was committed in time")
    }
    this.#status = "closed"
    yield* this.#fibers.interruptAll("1 second")
    const left = yield* bounded(
      Effect.catchAll(this.#member.leave, (error) => Effect.logWarning(`consumer closing: ${error.message}`)),
      closeTimeout
    )
    if (Option.isNone(left)) yield* Effect.logWarning("consumer closing: the group was not left in time")
    for (const partition of this.#owned.values()) partition.end()
    this.#owned.clear()
    this.#committer.checkWaiters()
    this.#sight.status = "closed"
    this.#sight.end()
    yield* Effect.logDebug(`consumer of group ${groupId} closed`)
  }))

  /** Takes note of what is processed. */
  #settle(committables: Iterable<Committable>, metadata?: string): {
    readonly targets: ReadonlyArray<CommitTarget>
    /** Of the last of those that cannot be committed. */
    readonly problem: KafkaError | undefined
  } {
    this.#commitsByHand = true
    const furthest = new Map<AssignedPartition, number>()
    let problem: KafkaError | undefined
    let partition: AssignedPartition | undefined
    /** Of the last one that can be settled: mostly the next one is of the same chunk, and can be, too. */
    let settled: FetchedRecord | undefined
    let end = 0
    const note = () => {
      if (settled !== undefined && end > (furthest.get(partition!) ?? 0)) furthest.set(partition!, end)
      settled = undefined
      end = 0
    }
    for (const committable of committables) {
      const isFetched = committable instanceof FetchedRecord
      if (isFetched && settled !== undefined && committable.isBeside(settled)) {
        end = Math.max(end, committable.view.offset + 1)
        continue
      }
      note()
      if (partition?.partition !== committable.partition || partition.topic !== committable.topic) {
        partition = this.#owned.get(topicPartitionKey(committable))
      }
      const offset = isFetched ? committable.view.offset : Number(committable.offset)
      if (!Number.isSafeInteger(offset) || offset < 0) {
        problem = invalidArgument(`Consumer.commit: not an offset: ${committable.offset}`)
      } else if (
        partition === undefined || !partition.isCurrent(committable.generation) || !partition.isStarted
      ) {
        problem = notAssigned(committable.topic, committable.partition)
      } else if (isFetched) {
        settled = committable
        end = offset + 1
      } else if (offset >= (furthest.get(partition) ?? 0)) {
        furthest.set(partition, offset + 1)
      }
    }
    note()
    const targets = Array.from(
      furthest,
      ([partition, offset]) => ({
        ...partition.settle(offset, metadata),
        partition,
        generation: partition.generation
      })
    )
    return { targets, problem }
  }
}
