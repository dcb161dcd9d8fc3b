/**
 * Consumes records: as a member of a group that commits what it processed, or
 * partitions of one's own choice.
 *
 * A consumer lives as long as its scope. Closing it finishes what is being
 * processed, commits it, leaves the group, and then closes the connections.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import type * as Sink from "effect/Sink"
import type * as Stream from "effect/Stream"

import type { Committable, Of } from "./ConsumerRecord.ts"
import * as internal from "./internal/consumer/consumer.ts"
import { consumerTypeId } from "./internal/typeIds.ts"
import type { Kafka } from "./Kafka.ts"
import type { KafkaError } from "./KafkaError.ts"
import type * as Topic from "./Topic.ts"

/**
 * Identifies a consumer at run time.
 *
 * @since 0.1.0
 * @category type ids
 */
export const TypeId: TypeId = consumerTypeId

/**
 * @since 0.1.0
 * @category type ids
 */
export type TypeId = "~@sluice/kafka/Consumer"

/**
 * How records are fetched. All have defaults.
 *
 * @since 0.1.0
 * @category models
 */
export interface FetchOptions {
  /** How long a broker may hold a fetch that has too little to give. Default 500 milliseconds. */
  readonly maxWait?: Duration.DurationInput | undefined
  /** What is too little, in bytes. Default 1. */
  readonly minBytes?: number | undefined
  /** What is fetched of one partition ahead of the application, in bytes. Default 1 MiB. */
  readonly partitionBytes?: number | undefined
  /** What is fetched ahead of the application in all, in bytes. Default 64 MiB. One batch of each broker may come on top, and compressed batches count as they are on the wire. */
  readonly bufferBytes?: number | undefined
}

/**
 * How a commit that failed is tried again: as long as the partition is owned in
 * the same generation. All have defaults.
 *
 * @since 0.1.0
 * @category models
 */
export interface CommitRetryOptions {
  /** How often, until those that wait for it fail with its `RetriableError`. What is processed stays so, and goes along with the next commit. Default: for ever. */
  readonly times?: number | undefined
  /** The pause before the first time; doubled each time, with jitter. Default: the client's `retryBackoff`. */
  readonly backoff?: Duration.DurationInput | undefined
  /** The longest pause. Default: the client's `retryBackoffMax`. */
  readonly maxBackoff?: Duration.DurationInput | undefined
}

/**
 * How a group member works. Only `groupId` and `topics` have no default.
 *
 * @since 0.1.0
 * @category models
 */
export interface ConsumerOptions<T extends Topic.Any> {
  readonly groupId: string
  /** What to subscribe to; every topic must exist. */
  readonly topics: ReadonlyArray<T>
  /** Where a partition starts that the group has no offset for, or whose offset the log no longer has. Default `"earliest"`; `"fail"` ends the consumer. */
  readonly reset?: "earliest" | "latest" | "fail" | undefined
  /** Default `"read_committed"`: records of open and aborted transactions are left out. */
  readonly isolation?: "read_committed" | "read_uncommitted" | undefined
  /** How the group shares its partitions. Default `"cooperative-sticky"`: a rebalance stops only what moves. All members need the same. */
  readonly assignor?: "cooperative-sticky" | "range" | undefined
  /** Without a heartbeat for so long a member is out of the group. Default 45 seconds; brokers set limits. */
  readonly sessionTimeout?: Duration.DurationInput | undefined
  /** Default 3 seconds. Members learn of a rebalance by it. */
  readonly heartbeatInterval?: Duration.DurationInput | undefined
  /** How long the group waits for a member to join again when it rebalances. Default 1 minute. */
  readonly rebalanceTimeout?: Duration.DurationInput | undefined
  /** How often what is processed is committed. Default 1 second; also when partitions are revoked, and at the end. */
  readonly commitInterval?: Duration.DurationInput | undefined
  /** After how many processed records it is committed without waiting for the interval. Default: no number. */
  readonly commitCount?: number | undefined
  readonly commitRetry?: CommitRetryOptions | undefined
  /** How long handlers get to finish what they have in hand, when a partition is revoked and at the end. Default 20 seconds. */
  readonly drainTimeout?: Duration.DurationInput | undefined
  /** How long closing waits for the last commit, and again for leaving the group. Default 10 seconds. */
  readonly closeTimeout?: Duration.DurationInput | undefined
  readonly fetch?: FetchOptions | undefined
}

/**
 * What goes along with a commit.
 *
 * @since 0.1.0
 * @category models
 */
export interface CommitOptions {
  /** Kept by the group with the committed offsets; other tools show it. Brokers take up to 4,096 bytes by default. */
  readonly metadata?: string | undefined
}

/**
 * How handlers are run. All have defaults.
 *
 * @since 0.1.0
 * @category models
 */
export interface RunOptions {
  /**
   * Which records are handled one after the other, in the order of their partition:
   *
   * - `"partition"` (default): all of a partition;
   * - `"key"`: those of a topic that have the same key. Records with other keys, and those without a key, go on beside them;
   * - `"none"`: none.
   */
  readonly order?: "partition" | "key" | "none" | undefined
  /** How many handlers at a time. Default 16; with `order: "partition"` as many as there are partitions. */
  readonly concurrency?: number | undefined
  /**
   * With `order: "key"` and `"none"`: how far handlers may be ahead of the oldest record of a partition that is not done, in
   * records; also no further than `fetch.partitionBytes`. A commit never passes that record, so as many may be handled again
   * after a crash. Default 10,000.
   */
  readonly maxAhead?: number | undefined
  /**
   * - `"after"` (default): a record is committed when it is done, so that each is handled at least once;
   * - `"before"`: records are handled when they are committed, up to 100 of a partition ahead, so that each is handled at most
   *   once: after a crash or a failure, those that were committed and not yet handled are not handled at all.
   */
  readonly commit?: "after" | "before" | undefined
  /**
   * What becomes of a record whose handler fails or dies, or whose key or value cannot be deserialized:
   *
   * - `"fail"` (default): the run ends with that error, and the record is not committed;
   * - `"skip"`: it counts as done. It is logged as a warning, and counted by the metric `sluice.consumer.skipped`.
   */
  readonly onFailure?: "fail" | "skip" | undefined
}

/**
 * How batches are handled. All have defaults.
 *
 * @since 0.1.0
 * @category models
 */
export interface RunBatchOptions {
  /** The most records of a batch. Default 1,000. A batch is what has arrived: nothing waits for it to be full. */
  readonly maxRecords?: number | undefined
  /** How many handlers at a time. Default: as many as there are partitions. */
  readonly concurrency?: number | undefined
  /** As {@link RunOptions.onFailure}: `"skip"` passes over the whole batch whose handler failed. A record that cannot be deserialized is alone. */
  readonly onFailure?: "fail" | "skip" | undefined
}

/**
 * Records of one partition, one at least, in their order.
 *
 * @since 0.1.0
 * @category models
 */
export interface Batch<out T extends Topic.Any> {
  readonly topic: string
  readonly partition: number
  readonly records: readonly [Of<T>, ...Array<Of<T>>]
}

/**
 * A partition for as long as it is assigned.
 *
 * @since 0.1.0
 * @category models
 */
export interface PartitionRecords<out T extends Topic.Any> {
  readonly topic: string
  readonly partition: number
  /**
   * Its records, in order, in the chunks in which they came. Ends when the
   * partition is given up or lost, and when the consumer closes; fails alone
   * with what is wrong with this partition. If it is run again, it begins with
   * what was not settled; it can be run once at a time.
   */
  readonly records: Stream.Stream<Of<T>, KafkaError>
}

/**
 * A member of a consumer group.
 *
 * @since 0.1.0
 * @category models
 */
export interface Consumer<out T extends Topic.Any> {
  readonly [TypeId]: TypeId
  /**
   * All records of the assigned partitions; a chunk holds records of one
   * partition, in order. Pulling is not processing: nothing is committed by
   * itself. Ends when the consumer closes; fails only with what is fatal to it,
   * or with a record that cannot be deserialized.
   */
  readonly records: Stream.Stream<Of<T>, KafkaError>
  /**
   * Each partition when it is assigned to this member, with a stream of its
   * records; take them side by side, all of them: `Stream.flatMap` with
   * `concurrency: "unbounded"`. As with {@link Consumer.records}, nothing is
   * committed by itself.
   *
   * @example
   * ```ts
   * import { Consumer, Serde, Topic } from "@sluice/kafka"
   * import { Console, Effect, Stream } from "effect"
   *
   * const Lines = Topic.make("lines", { key: Serde.string, value: Serde.string })
   *
   * export const program = Effect.gen(function*() {
   *   const consumer = yield* Consumer.make({ groupId: "printer", topics: [Lines] })
   *   yield* consumer.partitions.pipe(
   *     Stream.flatMap(({ partition, records }) =>
   *       records.pipe(
   *         Stream.mapChunksEffect((chunk) => Effect.as(Console.log(`${partition}: ${chunk.length} records`), chunk))
   *       ), { concurrency: "unbounded" }),
   *     Stream.run(consumer.commitSink)
   *   )
   * }).pipe(Effect.scoped)
   * ```
   */
  readonly partitions: Stream.Stream<PartitionRecords<T>, KafkaError>
  /**
   * Settles records and waits until that is committed. Settling a record settles
   * everything before it in its partition. Fails with `NotAssigned` for records
   * of a partition that was lost or given up since: its new owner gets them
   * again. As long as the partition is owned it is tried again, by
   * `commitRetry`. Commits at the same time share requests: one is under way, and
   * the next one has whatever is settled then.
   */
  readonly commit: (
    records: Committable | Iterable<Committable>,
    options?: CommitOptions
  ) => Effect.Effect<void, KafkaError>
  /**
   * Settles what it is given, and commits that at `commitInterval` and after
   * `commitCount` records; done when all is committed. Records of partitions that were lost meanwhile are passed over.
   * It must be given the last record of what was pulled, handled or not: a
   * revoked partition waits for it, for up to `drainTimeout`. So leave records out
   * where they are handled, not with a `Stream.filter` before this sink.
   */
  readonly commitSink: Sink.Sink<void, Committable, never, KafkaError>
  /**
   * Runs a handler for each record and commits what is done: by default one
   * record at a time in each partition, the partitions side by side;
   * {@link RunOptions} has other orders. Handlers may end in any order: what is
   * committed is the end of what is done without a gap.
   *
   * A handler that fails ends the run with its error, and its record is not
   * committed. The consumer still owns its partitions then: close it, or run
   * again, which begins with what was not committed.
   *
   * Interrupted, it stops taking records, lets the handlers finish within
   * `drainTimeout`, commits, and only then returns. When the consumer's scope
   * closes it does the same, and succeeds.
   *
   * @example
   * ```ts
   * import { Consumer, Serde, Topic } from "@sluice/kafka"
   * import { Effect } from "effect"
   *
   * const Payments = Topic.make("payments", { key: Serde.string, value: Serde.string })
   *
   * // Sixteen accounts at a time, each account's payments in their order.
   * export const program = Effect.gen(function*() {
   *   const consumer = yield* Consumer.make({ groupId: "ledger", topics: [Payments] })
   *   yield* consumer.run((payment) => Effect.log(`${payment.key}: ${payment.value}`), { order: "key", concurrency: 16 })
   * }).pipe(Effect.scoped)
   * ```
   */
  readonly run: <E, R>(
    handler: (record: Of<T>) => Effect.Effect<unknown, E, R>,
    options?: RunOptions
  ) => Effect.Effect<void, KafkaError | E, R>
  /**
   * {@link Consumer.run} as a stream of what the handlers make of the records, as
   * they are done: with `order: "partition"` in the order of each partition. A
   * record is settled when its handler is done and the stream has room, so what
   * must not be lost belongs into the handler.
   *
   * However the stream ends, its handlers drain before that is over, as those of
   * `run` do.
   *
   * @example
   * ```ts
   * import { Consumer, Serde, Topic } from "@sluice/kafka"
   * import { Effect, Stream } from "effect"
   *
   * const Words = Topic.make("words", { key: Serde.string, value: Serde.string })
   *
   * export const program = Effect.gen(function*() {
   *   const consumer = yield* Consumer.make({ groupId: "lengths", topics: [Words] })
   *   return yield* consumer.process((word) => Effect.succeed(word.value.length), { order: "none" }).pipe(
   *     Stream.take(100),
   *     Stream.runSum
   *   )
   * }).pipe(Effect.scoped)
   * ```
   */
  readonly process: <A, E, R>(
    f: (record: Of<T>) => Effect.Effect<A, E, R>,
    options?: RunOptions
  ) => Stream.Stream<A, KafkaError | E, R>
  /**
   * Runs a handler for batches, one at a time in each partition, and commits what
   * it gives back: the records that are done, `batch.records` for all. That
   * settles all before them in the batch, too; what is after them comes again, with
   * a pause if nothing was done. Interrupted, failed and closed, it ends as
   * {@link Consumer.run} does.
   *
   * @example
   * ```ts
   * import { Consumer, Serde, Topic } from "@sluice/kafka"
   * import { Effect } from "effect"
   *
   * const Rows = Topic.make("rows", { key: Serde.string, value: Serde.string })
   *
   * declare const insert: (rows: ReadonlyArray<string>) => Effect.Effect<void>
   *
   * export const program = Effect.gen(function*() {
   *   const consumer = yield* Consumer.make({ groupId: "inserts", topics: [Rows] })
   *   yield* consumer.runBatch(({ records }) => Effect.as(insert(records.map(({ value }) => value)), records))
   * }).pipe(Effect.scoped)
   * ```
   */
  readonly runBatch: <E, R>(
    handler: (batch: Batch<T>) => Effect.Effect<Committable | Iterable<Committable>, E, R>,
    options?: RunBatchOptions
  ) => Effect.Effect<void, KafkaError | E, R>
}

/**
 * A member of a consumer group, on connections of its own. Fails if the cluster
 * cannot be reached within the client's `apiTimeout`, refuses the credentials, a
 * topic does not exist, or an option is out of range. It does not wait for the
 * group.
 *
 * @example
 * ```ts
 * import { Consumer, Serde, Topic } from "@sluice/kafka"
 * import { Effect, Stream } from "effect"
 *
 * const Lines = Topic.make("lines", { key: Serde.string, value: Serde.string })
 *
 * export const program = Effect.gen(function*() {
 *   const consumer = yield* Consumer.make({ groupId: "printer", topics: [Lines] })
 *   yield* consumer.records.pipe(
 *     Stream.tap((record) => Effect.log(`${record.partition}/${record.offset} ${record.value}`)),
 *     Stream.run(consumer.commitSink)
 *   )
 * }).pipe(Effect.scoped)
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make: <const T extends Topic.Any>(
  options: ConsumerOptions<T>
) => Effect.Effect<Consumer<T>, KafkaError, Kafka | Scope.Scope> = internal.make

/**
 * A worker as a layer: {@link make} and {@link Consumer.run}, for as long as the
 * layer lives. If the handler fails the worker stops and leaves the group, which
 * is logged as an error; the program goes on. To end the program with it, use
 * `run` itself.
 *
 * @example
 * ```ts
 * import { Consumer, Serde, Topic } from "@sluice/kafka"
 * import { Effect } from "effect"
 *
 * const Lines = Topic.make("lines", { key: Serde.string, value: Serde.string })
 *
 * export const Printer = Consumer.layer(
 *   { groupId: "printer", topics: [Lines] },
 *   (record) => Effect.log(record.value)
 * )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = <const T extends Topic.Any, E, R>(
  options: ConsumerOptions<T>,
  handler: (record: Of<T>) => Effect.Effect<unknown, E, R>,
  run?: RunOptions
): Layer.Layer<never, KafkaError, Kafka | R> =>
  Layer.scopedDiscard(
    Effect.gen(function*() {
      // Of its own, so that a worker that stopped holds no partitions.
      const scope = yield* Scope.fork(yield* Effect.scope, ExecutionStrategy.sequential)
      const consumer = yield* Scope.extend(make(options), scope)
      yield* consumer.run(handler, run).pipe(
        Effect.tapErrorCause((cause) => Effect.logError(`the worker of group ${options.groupId} stopped`, cause)),
        Effect.onExit((exit) => Scope.close(scope, exit)),
        Effect.interruptible,
        Effect.forkScoped
      )
    })
  )

/**
 * How partitions are read without a group.
 *
 * @since 0.1.0
 * @category models
 */
export interface AssignOptions<T extends Topic.Any> {
  readonly topics: ReadonlyArray<T>
  /** Of each topic, by number. Default: all that it has now. */
  readonly partitions?: ReadonlyArray<number> | undefined
  /** Where to start. Default `"earliest"`. */
  readonly from?: "earliest" | "latest" | undefined
  /** Default `"read_committed"`. */
  readonly isolation?: "read_committed" | "read_uncommitted" | undefined
  readonly fetch?: FetchOptions | undefined
}

/**
 * Reads partitions without a group, and commits nothing.
 *
 * @since 0.1.0
 * @category models
 */
export interface AssignedConsumer<out T extends Topic.Any> {
  /** As {@link Consumer.records}. */
  readonly records: Stream.Stream<Of<T>, KafkaError>
  /** As {@link Consumer.partitions}. */
  readonly partitions: Stream.Stream<PartitionRecords<T>, KafkaError>
}

/**
 * Reads partitions of one's own choice, from either end of their logs as they
 * are when this effect succeeds.
 *
 * @since 0.1.0
 * @category constructors
 */
export const assign: <const T extends Topic.Any>(
  options: AssignOptions<T>
) => Effect.Effect<AssignedConsumer<T>, KafkaError, Kafka | Scope.Scope> = internal.assign
