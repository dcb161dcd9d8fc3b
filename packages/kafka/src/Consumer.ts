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
import type * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type * as Sink from "effect/Sink"
import type * as Stream from "effect/Stream"

import type { Committable, Of } from "./ConsumerRecord.ts"
import * as internal from "./internal/consumer/consumer.ts"
import * as worker from "./internal/consumer/worker.ts"
import { consumerTypeId } from "./internal/typeIds.ts"
import type { Kafka } from "./Kafka.ts"
import type { KafkaError } from "./KafkaError.ts"
import type { Observed } from "./Observed.ts"
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
  /** What is too little, in bytes; no more than what one partition may bring, half of its `partitionBytes`. Default 1. */
  readonly minBytes?: number | undefined
  /** What is fetched of one partition ahead of the application, in bytes; half of it at a time. Default 2 MiB. */
  readonly partitionBytes?: number | undefined
  /**
   * How many records are fetched of one partition ahead of the application: it is fetched on when half of them are taken.
   * Brokers know bytes only, so what one fetch brings may come on top. Default 100,000.
   */
  readonly partitionRecords?: number | undefined
  /** What one answer of a broker may bring, in bytes; no more than there is room for. An answer is in memory as a whole while it is taken apart. Default 16 MiB. */
  readonly maxBytes?: number | undefined
  /**
   * What is fetched ahead of the application in all, in bytes. Default 64 MiB. One batch of each broker may come on top, and
   * compressed batches count as they are on the wire. With `order: "key"` and `"none"` as much again may wait for handlers.
   */
  readonly bufferBytes?: number | undefined
  /**
   * Whether the checksum of each batch is compared (CRC-32C). Default true; without it, a batch that was damaged on its way
   * or on a disk may be read as something else.
   */
  readonly checkCrcs?: boolean | undefined
  /**
   * Where this consumer is, in the words of the brokers' `broker.rack`: partitions are read from a replica in the same
   * rack then, if there is one and the brokers have a `replica.selector.class` for it (KIP-392). Default: from the leaders.
   */
  readonly rack?: string | undefined
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
 * A partition of a topic.
 *
 * @since 0.1.0
 * @category models
 */
export interface TopicPartition {
  readonly topic: string
  readonly partition: number
}

/**
 * A partition, and the offset of the record that is to be read next.
 *
 * @since 0.1.0
 * @category models
 */
export interface PartitionOffset extends TopicPartition {
  readonly offset: bigint | number
}

/**
 * A place in a log: an end of it, an offset, or the first record that is not
 * older than a timestamp (milliseconds since the epoch); where all are older,
 * the end.
 *
 * @since 0.1.0
 * @category models
 */
export type StartPosition =
  | "earliest"
  | "latest"
  | { readonly offset: bigint | number }
  | { readonly timestamp: number | Date }

/**
 * Offsets that the application stores itself, in the transaction in which it
 * stores what it made of the records: it is asked for those of the partitions
 * that are about to be read, and leaves out what it has none of. Should it fail,
 * so does the consumer (`OffsetStoreFailed`).
 *
 * @since 0.1.0
 * @category models
 */
export interface OffsetStore<out R = never> {
  readonly store: (
    partitions: ReadonlyArray<TopicPartition>
  ) => Effect.Effect<Iterable<PartitionOffset>, unknown, R>
}

/**
 * How a group shares its partitions. `"cooperative-sticky"`: a rebalance stops
 * only what moves. `"sticky"`: each member gives up everything, and is given
 * most of it again. `"range"`: of each topic a range, so that equal keys of
 * topics with equally many partitions meet. `"roundrobin"`: one after the other.
 *
 * @since 0.1.0
 * @category models
 */
export type AssignorName = "cooperative-sticky" | "sticky" | "range" | "roundrobin"

/**
 * What happens to the partitions of a consumer.
 *
 * @since 0.1.0
 * @category models
 */
export type ConsumerEvent =
  /** The group rebalances: the member joins again. */
  | { readonly _tag: "Rebalancing" }
  /** It was given partitions, in addition to those that it has. */
  | {
    readonly _tag: "Assigned"
    readonly partitions: ReadonlyArray<TopicPartition>
    readonly generation: number
  }
  /** It gave partitions up: what was delivered of them is committed, as far as there was time. */
  | { readonly _tag: "Revoked"; readonly partitions: ReadonlyArray<TopicPartition> }
  /** Others may have them already, or their topic was deleted; nothing was committed. */
  | { readonly _tag: "Lost"; readonly partitions: ReadonlyArray<TopicPartition> }
  | PositionReset

/**
 * A partition begins where a policy says: there is no offset of it (`NoOffset`),
 * the log does not have the offset (`OffsetOutOfRange`), or it was cut off before
 * it (`LogTruncated`). What is between `from` and a larger `to` is skipped.
 *
 * @since 0.1.0
 * @category models
 */
export interface PositionReset extends TopicPartition {
  readonly _tag: "PositionReset"
  readonly reason: "NoOffset" | "OffsetOutOfRange" | "LogTruncated"
  /** Where it was to go on; undefined if there was no offset. */
  readonly from: bigint | undefined
  /** Where it goes on. */
  readonly to: bigint
}

/**
 * Where a partition is.
 *
 * @since 0.1.0
 * @category models
 */
export interface PartitionPosition extends TopicPartition {
  /** Of the next record to be delivered; undefined until it is known. */
  readonly position: bigint | undefined
  /** What the group has committed, as far as this consumer knows. */
  readonly committed: bigint | undefined
  /** Where the log ends for readers of this isolation level, when the broker last said so. */
  readonly end: bigint | undefined
  /** What is between `position` and `end`. */
  readonly lag: bigint | undefined
  readonly paused: boolean
}

/**
 * Something that fails and is tried again.
 *
 * @since 0.1.0
 * @category models
 */
export interface Trouble {
  /** Such as `heartbeat` or `fetch from broker 2`. */
  readonly what: string
  /** In a row. */
  readonly failures: number
  /** The last one's. */
  readonly message: string
}

/**
 * How a consumer is doing. `joining`: it has no assignment yet, or waits for the
 * next one. `failed`: it ended with a fatal error.
 *
 * @since 0.1.0
 * @category models
 */
export interface ConsumerHealth {
  readonly status: "joining" | "stable" | "closing" | "closed" | "failed"
  /** Empty as long as all works. */
  readonly troubles: ReadonlyArray<Trouble>
}

/**
 * How a group member works. Only `groupId` and `topics` have no default.
 *
 * @since 0.1.0
 * @category models
 */
export interface ConsumerOptions<T extends Topic.AnySource, R = never> {
  readonly groupId: string
  /**
   * What to subscribe to. Every topic must exist; for a `Topic.pattern` the cluster is asked for its topics once in
   * `metadataMaxAge`. Where several fit a name, the topic itself comes first, then the first pattern.
   */
  readonly topics: ReadonlyArray<T>
  /**
   * Where a partition starts that the group has no offset for; default: where `reset` says. With a store the
   * application's own offsets take the place of the group's, and `reset` says where there are none.
   */
  readonly from?: StartPosition | OffsetStore<R> | undefined
  /**
   * Where a partition goes on whose offset the log does not have (any more), with a warning and an event. Default
   * `"earliest"`, with `from: "latest"` `"latest"`; `"fail"` ends the consumer. Where the log was cut off by a new leader
   * (KIP-320), it goes on where the logs diverge; `"fail"` ends the consumer then too (`LogTruncated`).
   */
  readonly reset?: "earliest" | "latest" | "fail" | undefined
  /** Default `"read_committed"`: records of open and aborted transactions are left out. */
  readonly isolation?: "read_committed" | "read_uncommitted" | undefined
  /**
   * How the group shares its partitions. Default `"cooperative-sticky"`. Of several the group takes the first that all
   * members have. A group goes over from one to another in two rolling restarts: with both in the list, the new one
   * first, then with the new one alone. As long as one that is not cooperative is in the list, this member gives up
   * everything in each rebalance.
   */
  readonly assignor?: AssignorName | ReadonlyArray<AssignorName> | undefined
  /**
   * Makes it a static member (KIP-345) by this name, which no other member of the group may have at the same time.
   * Closing, it does not leave the group: its partitions wait for it to come back, for up to `sessionTimeout`.
   */
  readonly groupInstanceId?: string | undefined
  /**
   * Runs when partitions were assigned, before anything of them is delivered. Like the other hooks it has `drainTimeout`
   * (or a quarter of `rebalanceTimeout`, if that is less), is interrupted then, and its failures are logged.
   */
  readonly onAssigned?: ((partitions: ReadonlyArray<TopicPartition>) => Effect.Effect<unknown, unknown, R>) | undefined
  /** Runs when partitions are given up, closing too: after their handlers. What it settles is still committed. */
  readonly onRevoked?: ((partitions: ReadonlyArray<TopicPartition>) => Effect.Effect<unknown, unknown, R>) | undefined
  /** Runs when partitions were lost: others may be at work on them. */
  readonly onLost?: ((partitions: ReadonlyArray<TopicPartition>) => Effect.Effect<unknown, unknown, R>) | undefined
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
   *
   * With `commit: "before"`, in each order: how many records of a partition may be committed and not handled, so that as many
   * are not handled at all after a crash; half of it is committed at a time. Default 100; two at least where keys go beside
   * one another.
   */
  readonly maxAhead?: number | undefined
  /**
   * - `"after"` (default): a record is committed when it is done, so that each is handled at least once;
   * - `"before"`: records are handled when they are committed, up to `maxAhead` ahead, so that each is handled at most
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
export interface Batch<out T extends Topic.AnySource> {
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
export interface PartitionRecords<out T extends Topic.AnySource> {
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
 * What can be seen of a consumer, and how it is moved.
 *
 * @since 0.1.0
 * @category models
 */
export interface Sight {
  /** What happens from when the stream is run. A reader that is 256 events behind misses the oldest. */
  readonly events: Stream.Stream<ConsumerEvent>
  /** The partitions that it has, by topic and number; its `changes` are the stream of assignments. */
  readonly assignment: Observed<ReadonlyArray<TopicPartition>>
  /** Where each of its partitions is. */
  readonly positions: Observed<ReadonlyArray<PartitionPosition>>
  /** The sum over its partitions, as far as known. */
  readonly lag: Observed<bigint>
  readonly health: Observed<ConsumerHealth>
  /** The offset of the next record to be delivered. Fails with `NotAssigned` where there is none. */
  readonly position: (partition: TopicPartition) => Effect.Effect<bigint, KafkaError>
  /**
   * Delivers and fetches nothing of these partitions, by default of all that it has, until {@link Sight.resume}. A chunk
   * that was delivered already goes on, and so does the membership. A paused partition stays paused when it goes to another
   * member and comes back.
   */
  readonly pause: (partitions?: Iterable<TopicPartition>) => Effect.Effect<void, KafkaError>
  /** Ends {@link Sight.pause}, by default of all. */
  readonly resume: (partitions?: Iterable<TopicPartition>) => Effect.Effect<void, KafkaError>
  /**
   * Goes on elsewhere with a partition that it has. What was delivered of it before can no longer be committed
   * (`NotAssigned`), and a handler of it in hand settles nothing. What follows is committed as it is processed, also where
   * that is before the last commit.
   */
  readonly seek: (partition: TopicPartition, to: StartPosition) => Effect.Effect<void, KafkaError>
}

/**
 * A member of a consumer group.
 *
 * @since 0.1.0
 * @category models
 */
export interface Consumer<out T extends Topic.AnySource> extends Sight {
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
export const make: <const T extends Topic.AnySource, R = never>(
  options: ConsumerOptions<T, R>
) => Effect.Effect<Consumer<T>, KafkaError, Kafka | Scope.Scope | R> = internal.make

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
export const layer: <const T extends Topic.AnySource, E, R, R2 = never>(
  options: ConsumerOptions<T, R2>,
  handler: (record: Of<T>) => Effect.Effect<unknown, E, R>,
  run?: RunOptions
) => Layer.Layer<never, KafkaError, Kafka | R | R2> = worker.layer

/**
 * How partitions are read without a group.
 *
 * @since 0.1.0
 * @category models
 */
export interface AssignOptions<T extends Topic.Any, R = never> {
  readonly topics: ReadonlyArray<T>
  /** By number: of each topic. Default: all that the topics have now. */
  readonly partitions?: ReadonlyArray<number | TopicPartition> | undefined
  /** Where to start. Default `"earliest"`. Where a store has no offset, `reset` says. */
  readonly from?: StartPosition | OffsetStore<R> | undefined
  /** As in {@link ConsumerOptions}. */
  readonly reset?: "earliest" | "latest" | "fail" | undefined
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
export interface AssignedConsumer<out T extends Topic.Any> extends Sight {
  /** As {@link Consumer.records}. */
  readonly records: Stream.Stream<Of<T>, KafkaError>
  /** As {@link Consumer.partitions}. */
  readonly partitions: Stream.Stream<PartitionRecords<T>, KafkaError>
}

/**
 * Reads partitions of one's own choice. Where they start is settled when this
 * effect succeeds. Nothing is committed; an application that stores its offsets
 * along with what it made of the records, in one transaction, goes on there
 * exactly once.
 *
 * @example
 * ```ts
 * import { Consumer, Serde, Topic } from "@sluice/kafka"
 * import { Chunk, Effect, Stream } from "effect"
 *
 * const Payments = Topic.make("payments", { key: Serde.string, value: Serde.string })
 *
 * // A table of payments, and one of offsets.
 * interface Tables {
 *   readonly offsets: Effect.Effect<ReadonlyArray<Consumer.PartitionOffset>>
 *   // In one transaction.
 *   readonly insert: (payments: ReadonlyArray<string>, next: Consumer.PartitionOffset) => Effect.Effect<void>
 * }
 *
 * export const program = (tables: Tables) => Effect.gen(function*() {
 *   const consumer = yield* Consumer.assign({ topics: [Payments], from: { store: () => tables.offsets } })
 *   // A chunk holds records of one partition, in order.
 *   yield* Stream.runForEachChunk(consumer.records, (chunk) => {
 *     const values = Chunk.toReadonlyArray(Chunk.map(chunk, (record) => record.value))
 *     const { offset, partition, topic } = Array.from(chunk).at(-1)!
 *     return tables.insert(values, { topic, partition, offset: offset + 1n })
 *   })
 * }).pipe(Effect.scoped)
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const assign: <const T extends Topic.Any, R = never>(
  options: AssignOptions<T, R>
) => Effect.Effect<AssignedConsumer<T>, KafkaError, Kafka | Scope.Scope | R> = internal.assign
