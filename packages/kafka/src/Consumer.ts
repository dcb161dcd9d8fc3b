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
 * How a group member works. Only `groupId` and `topics` have no default.
 *
 * @since 0.1.0
 * @category models
 */
export interface ConsumerOptions<T extends Topic.AnySource> {
  readonly groupId: string
  /**
   * What to subscribe to. Every topic must exist; for a `Topic.pattern` the cluster is asked for its topics once in
   * `metadataMaxAge`. Where several fit a name, the topic itself comes first, then the first pattern.
   */
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
  /** How often {@link Consumer.run} commits. Default 1 second; also when partitions are revoked, and at the end. */
  readonly commitInterval?: Duration.DurationInput | undefined
  /** How long handlers get to finish what they have in hand, when a partition is revoked and at the end. Default 20 seconds. */
  readonly drainTimeout?: Duration.DurationInput | undefined
  /** How long closing waits for the last commit, and again for leaving the group. Default 10 seconds. */
  readonly closeTimeout?: Duration.DurationInput | undefined
  readonly fetch?: FetchOptions | undefined
}

/**
 * A member of a consumer group.
 *
 * @since 0.1.0
 * @category models
 */
export interface Consumer<out T extends Topic.AnySource> {
  readonly [TypeId]: TypeId
  /**
   * All records of the assigned partitions; a chunk holds records of one
   * partition, in order. Pulling is not processing: nothing is committed by
   * itself. Ends when the consumer closes; fails only with what is fatal to it,
   * or with a record that cannot be deserialized.
   */
  readonly records: Stream.Stream<Of<T>, KafkaError>
  /**
   * Settles records and waits until that is committed. Settling a record settles
   * everything before it in its partition. Fails with `NotAssigned` for records
   * of a partition that was lost or given up since: its new owner gets them
   * again. As long as the partition is owned it is tried again, without a
   * deadline.
   */
  readonly commit: (records: Committable | Iterable<Committable>) => Effect.Effect<void, KafkaError>
  /**
   * Settles what it is given, with one commit under way at a time; done when all
   * is committed. Records of partitions that were lost meanwhile are passed over.
   * It must be given the last record of what was pulled, handled or not: a
   * revoked partition waits for it, for up to `drainTimeout`. So leave records out
   * where they are handled, not with a `Stream.filter` before this sink.
   */
  readonly commitSink: Sink.Sink<void, Committable, never, KafkaError>
  /**
   * Runs a handler for each record, one at a time in each partition, the
   * partitions side by side, and commits what is done. A handler that fails ends
   * the run with its error, and its record is not committed. The consumer still
   * owns its partitions then: close it, or run again.
   *
   * Interrupted, it stops taking records, lets the handlers finish within
   * `drainTimeout`, commits, and only then returns. When the consumer's scope
   * closes it does the same, and succeeds.
   */
  readonly run: <E, R>(
    handler: (record: Of<T>) => Effect.Effect<unknown, E, R>
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
export const make: <const T extends Topic.AnySource>(
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
export const layer = <const T extends Topic.AnySource, E, R>(
  options: ConsumerOptions<T>,
  handler: (record: Of<T>) => Effect.Effect<unknown, E, R>
): Layer.Layer<never, KafkaError, Kafka | R> =>
  Layer.scopedDiscard(
    Effect.gen(function*() {
      // Of its own, so that a worker that stopped holds no partitions.
      const scope = yield* Scope.fork(yield* Effect.scope, ExecutionStrategy.sequential)
      const consumer = yield* Scope.extend(make(options), scope)
      yield* consumer.run(handler).pipe(
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
export interface AssignedConsumer<out T extends Topic.AnySource> {
  /** As {@link Consumer.records}. */
  readonly records: Stream.Stream<Of<T>, KafkaError>
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
