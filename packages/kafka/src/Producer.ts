/**
 * Produces records: batched, acknowledged, and each accepted record with
 * exactly one outcome.
 *
 * A producer lives as long as its scope. Closing drains it: nothing new is
 * accepted, what was accepted is sent, every delivery handler has run, then the
 * connections go.
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import type { ConfigError } from "effect/ConfigError"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type * as Sink from "effect/Sink"
import type * as Stream from "effect/Stream"

import * as internal from "./internal/producer/producer.ts"
import { producerTypeId } from "./internal/typeIds.ts"
import type { Kafka } from "./Kafka.ts"
import type { FatalError, KafkaError, ProduceError, SendAllError } from "./KafkaError.ts"
import type { Observed } from "./Observed.ts"
import type { Partitioner } from "./Partitioner.ts"
import type * as Topic from "./Topic.ts"

/**
 * Identifies a producer at run time.
 *
 * @since 0.1.0
 * @category type ids
 */
export const TypeId: TypeId = producerTypeId

/**
 * @since 0.1.0
 * @category type ids
 */
export type TypeId = "~@sluice/kafka/Producer"

/**
 * Where an acknowledged record is in the log.
 *
 * @since 0.1.0
 * @category models
 */
export interface RecordMetadata {
  readonly topic: string
  readonly partition: number
  /** Undefined where the broker did not tell: with `acks: "none"`, and for a duplicate that it no longer remembers. */
  readonly offset: bigint | undefined
  /** Milliseconds since the epoch: the record's own, or the broker's where the topic says `LogAppendTime`. */
  readonly timestamp: number
}

/**
 * What became of one record, with the value that the caller gave to tell
 * records apart.
 *
 * @since 0.1.0
 * @category models
 */
export type Delivery<C> =
  | {
    readonly _tag: "Acknowledged"
    readonly record: Topic.AnyRecord
    readonly correlation: C | undefined
    readonly metadata: RecordMetadata
  }
  | {
    readonly _tag: "Failed"
    readonly record: Topic.AnyRecord
    readonly correlation: C | undefined
    readonly error: ProduceError
  }

/**
 * What a delivery handler is told of a record that was accepted.
 *
 * @since 0.1.0
 * @category models
 */
export type Report<C> = Delivery<C> & {
  /** How often its batch was sent: 0 if never. */
  readonly attempts: number
  /** From the record's acceptance to its outcome, in milliseconds. */
  readonly elapsedMillis: number
}

/**
 * A record to send, with the value that tells it apart.
 *
 * @since 0.1.0
 * @category models
 */
export interface Outgoing<out C> {
  readonly record: Topic.AnyRecord
  readonly correlation?: C | undefined
}

/**
 * The outcome of one record of a `sendAll`.
 *
 * @since 0.1.0
 * @category models
 */
export type SendResult =
  | { readonly _tag: "Acknowledged"; readonly metadata: RecordMetadata }
  | { readonly _tag: "Failed"; readonly error: ProduceError }

/**
 * How batches are compressed. `"zstd"` makes them smallest, at about the cost
 * of `"lz4"` and `"snappy"`; `"gzip"` comes close to it, and costs several
 * times as much. A level, where there are any, trades one for the other: of
 * gzip from 1 (fast) to 9 (small), by default 6; of zstd from -131,072 to 22,
 * by default 3 (KIP-390).
 *
 * zstd needs Node 22.15 or 23.8, or newer: on older ones a producer with it
 * fails with `InvalidArgument`. Consumers read all of them, with the same
 * exception.
 *
 * @since 0.1.0
 * @category models
 */
export type Compression =
  | "none"
  | "gzip"
  | "snappy"
  | "lz4"
  | "zstd"
  | { readonly type: "gzip" | "zstd"; readonly level: number }

/**
 * How a producer works. All have defaults.
 *
 * @since 0.1.0
 * @category models
 */
export interface ProducerOptions<C = never, R = never> {
  /**
   * Who must have a record before it counts as sent: all in-sync replicas
   * (`"all"`, the default), the leader alone, or nobody: then a record counts as
   * sent when the socket has it, and its offset is not known.
   */
  readonly acks?: "none" | "leader" | "all" | undefined
  /** The broker refuses what it has already (default true with `acks: "all"`, which it needs). */
  readonly idempotent?: boolean | undefined
  /** Default `"none"`. A batch that would not get smaller is sent as it is. */
  readonly compression?: Compression | undefined
  /** How long a batch waits for more records. Default 0: batches form while another one of their partition is in flight. */
  readonly linger?: Duration.DurationInput | undefined
  /** A batch is full at this many bytes, before compression. Default 1 MiB. Brokers refuse batches over their `message.max.bytes` (1 MiB): they are split. */
  readonly batchBytes?: number | undefined
  /** A batch is full with this many records. Default: as many as `batchBytes` takes. */
  readonly batchRecords?: number | undefined
  /**
   * Requests to a broker that are not answered yet, and so batches of a
   * partition, which stay in order. Default 5, which is also the most: brokers
   * know the last five batches of an idempotent producer. Without idempotence a
   * partition has one in flight, whatever this says, to keep its order.
   */
  readonly maxInFlight?: number | undefined
  /** How long a broker may wait for its replicas before it answers (the protocol's `timeout.ms`). Default 10 seconds. */
  readonly ackTimeout?: Duration.DurationInput | undefined
  /**
   * How often a batch is sent again after a failure that may pass. Default:
   * until `deliveryTimeout`. The pause before the first is the client's
   * `retryBackoff`, doubled each time up to `retryBackoffMax`.
   */
  readonly retries?: number | undefined
  /** Which partition a record goes to that does not say so itself. Default `Partitioner.murmur2`, as Kafka's Java client. */
  readonly partitioner?: Partitioner | undefined
  /** A larger record is refused at once. Default 1 MiB. */
  readonly maxRecordBytes?: number | undefined
  /** Bytes of accepted records that have no outcome yet; past it senders wait their turn. Default 32 MiB. */
  readonly bufferBytes?: number | undefined
  /** From a record's acceptance to its outcome, retries included. Default 2 minutes. */
  readonly deliveryTimeout?: Duration.DurationInput | undefined
  /** How long closing waits for what was accepted. Default 30 seconds. What was not written by then ends `persisted: "no"`, what was not answered `"maybe"`. */
  readonly closeTimeout?: Duration.DurationInput | undefined
  /** Hears of every accepted record exactly once, in workers that start before the producer does. */
  readonly onDelivery?: {
    /**
     * Its failures are logged. What it sends itself is accepted even while others wait for reports to be handled, and
     * while the producer closes, until all reports are handled.
     */
    readonly handler: (report: Report<C>) => Effect.Effect<unknown, unknown, R>
    /**
     * How many handlers run at a time. Default 1: reports in the order in which
     * outcomes come, which in a partition is that of its log, unless a batch has
     * to be sent again that was written.
     */
    readonly concurrency?: number | undefined
    /**
     * With `"partition"` reports of a partition are handled one after the other,
     * in the order in which they come, whatever the concurrency: a handler that
     * hangs holds up its own partition. Default `"none"`: any report is next.
     */
    readonly order?: "partition" | "none" | undefined
    /** Accepted records without a handled report; past it senders wait. Default 100,000. */
    readonly maxPending?: number | undefined
    /** How long closing waits for the handlers. Default 30 seconds; what is not reported by then is logged. */
    readonly closeTimeout?: Duration.DurationInput | undefined
  } | undefined
}

/**
 * How a producer works whose reports are a stream, and not `onDelivery`'s.
 *
 * @since 0.1.0
 * @category models
 */
export interface ReportingOptions extends Omit<ProducerOptions, "onDelivery"> {
  readonly deliveries: DeliveriesOptions
}

/**
 * How reports are kept for {@link ReportingProducer.deliveries}.
 *
 * @since 0.1.0
 * @category models
 */
export interface DeliveriesOptions {
  /** Accepted records whose report was not taken; past it senders wait. Default 100,000. */
  readonly maxPending?: number | undefined
  /** How long closing waits for them to be taken. Default 30 seconds; how many are left then is logged. */
  readonly closeTimeout?: Duration.DurationInput | undefined
}

/**
 * Sends records. `C` is the type of the correlation value that its delivery
 * handler gets back.
 *
 * @since 0.1.0
 * @category models
 */
export interface Producer<in C = never> {
  readonly [TypeId]: TypeId
  /**
   * Sends a record and waits until it is acknowledged. Interrupted before the
   * record is accepted, it is withdrawn; after that it is delivered all the same.
   */
  readonly send: (
    record: Topic.AnyRecord,
    options?: { readonly correlation?: C | undefined }
  ) => Effect.Effect<RecordMetadata, ProduceError>
  /**
   * Sends records and waits until each has its outcome: their places in the
   * order given, or {@link SendAllError} with every outcome if one failed.
   */
  readonly sendAll: (
    records: Iterable<Topic.AnyRecord>
  ) => Effect.Effect<ReadonlyArray<RecordMetadata>, SendAllError>
  /**
   * Waits until the record is accepted; the inner effect waits until it is
   * acknowledged, and need not be run.
   */
  readonly enqueue: (
    record: Topic.AnyRecord,
    options?: { readonly correlation?: C | undefined }
  ) => Effect.Effect<Effect.Effect<RecordMetadata, ProduceError>, ProduceError>
  /**
   * As {@link Producer.enqueue}, but fails with `BufferFull` (a `RetriableError`,
   * `persisted: "no"`) where that waits for room. The first record of a topic
   * still waits to learn where the topic is, and one with an effectful serde for
   * its serializer.
   */
  readonly tryEnqueue: (
    record: Topic.AnyRecord,
    options?: { readonly correlation?: C | undefined }
  ) => Effect.Effect<Effect.Effect<RecordMetadata, ProduceError>, ProduceError>
  /**
   * A stream of records to a stream of what became of them, in their order and
   * chunk by chunk, with the correlation value of each. Failures are elements:
   * the stream fails only as its input does. Up to 16 chunks are on their way at
   * a time: thousands of sends, and no fiber for any.
   *
   * @example
   * ```ts
   * import { Producer, Serde, Topic } from "@sluice/kafka"
   * import { Effect, Stream } from "effect"
   *
   * const Lines = Topic.make("lines", { key: Serde.string, value: Serde.string })
   *
   * export const program = Effect.gen(function*() {
   *   const producer = yield* Producer.make<number>()
   *   yield* Stream.range(1, 10_000).pipe(
   *     Stream.map((id) => ({ record: Lines.record({ value: `line ${id}` }), correlation: id })),
   *     producer.pipe,
   *     Stream.filter((delivery) => delivery._tag === "Failed"),
   *     Stream.runForEach(({ correlation }) => Effect.logError(`line ${correlation} is not in the topic`))
   *   )
   * }).pipe(Effect.scoped)
   * ```
   */
  readonly pipe: <D extends C, E, R>(
    records: Stream.Stream<Outgoing<D>, E, R>
  ) => Stream.Stream<Delivery<D>, E, R>
  /**
   * Sends a stream: chunks in, batches out, with back-pressure. Done when all
   * are acknowledged; fails with the first failure, after those accepted before
   * it have their outcome.
   */
  readonly sink: Sink.Sink<void, Topic.AnyRecord, never, ProduceError>
  /** Sends what was accepted so far without lingering, and waits for its outcomes. */
  readonly flush: Effect.Effect<void>
  /**
   * What it has in hand, and what it has trouble with: trouble that may pass is
   * tried again, and told here. Costs nothing until it is asked. `changes` gives it
   * whenever other partitions or brokers are in trouble, or for another reason; it
   * looks once a second.
   */
  readonly health: Observed<Health>
}

/**
 * A producer that was made with `deliveries`.
 *
 * @since 0.1.0
 * @category models
 */
export interface ReportingProducer<in out C = never> extends Producer<C> {
  /**
   * The report of every accepted record, exactly once, in the order in which
   * outcomes come. One subscriber at a time: a second one fails with
   * `InvalidArgument`. One that stops early was given its last chunk, of up to
   * 1024 reports; the next one goes on after it. Reports of a chunk count as taken
   * when the next one is asked for.
   *
   * Ends when the producer is closed and all reports are given, so its fiber must
   * outlive the producer's scope: with `Effect.forkScoped` in that scope it would
   * be interrupted first, and then closing waits for it no more. What a subscriber
   * sends while it has a chunk in hand, in its own fiber or in those that it starts
   * for it, does not wait for reports to be taken. With `Stream.mapEffect` and a
   * concurrency it may have asked for the next chunk: then that does wait, and must
   * not be what is to take them.
   *
   * @example
   * ```ts
   * import { Producer, Serde, Topic } from "@sluice/kafka"
   * import { Effect, Fiber, Stream } from "effect"
   *
   * const Lines = Topic.make("lines", { key: Serde.string, value: Serde.string })
   *
   * export const program = Effect.gen(function*() {
   *   const reports = yield* Effect.scoped(Effect.gen(function*() {
   *     const producer = yield* Producer.make<number>({ deliveries: { maxPending: 10_000 } })
   *     const reports = yield* producer.deliveries.pipe(
   *       Stream.runForEach(({ _tag, correlation }) => Effect.log(`line ${correlation}: ${_tag}`)),
   *       Effect.fork
   *     )
   *     for (const id of [1, 2, 3]) {
   *       yield* producer.enqueue(Lines.record({ value: `line ${id}` }), { correlation: id })
   *     }
   *     return reports
   *   }))
   *   yield* Fiber.join(reports)
   * })
   * ```
   */
  readonly deliveries: Stream.Stream<Report<C>, FatalError>
}

/**
 * What a producer has in hand at a moment, and what it has trouble with.
 *
 * @since 0.1.0
 * @category models
 */
export interface Health {
  /** Accepted records that have no outcome yet. */
  readonly bufferedRecords: number
  /** Their bytes, of which there may be `bufferBytes`. */
  readonly bufferedBytes: number
  /** Those of them in requests that are not answered yet. */
  readonly inFlightRecords: number
  /** Records that wait to be accepted: for room, for their topic to be found, for their serializer. */
  readonly waitingSenders: number
  /** Records with an outcome whose report is not handled, or not taken. */
  readonly unhandledReports: number
  /** Of the topics that it sends to. Empty if all is well. */
  readonly partitions: ReadonlyArray<PartitionTrouble>
  /** Leaders of partitions that it has records for. Empty if all is well. */
  readonly brokers: ReadonlyArray<BrokerTrouble>
}

/**
 * A partition that has no leader, or whose records have not got there at the
 * last attempt.
 *
 * @since 0.1.0
 * @category models
 */
export interface PartitionTrouble {
  readonly topic: string
  readonly partition: number
  /** The id of the broker that leads it. */
  readonly leader: number | undefined
  readonly bufferedRecords: number
  /** Of the last attempt, if there was one. */
  readonly error: KafkaError | undefined
}

/**
 * A broker to which no connection could be made, with records that wait for it.
 *
 * @since 0.1.0
 * @category models
 */
export interface BrokerTrouble {
  /** `host:port`. */
  readonly broker: string
  /** Of the last attempt. */
  readonly error: KafkaError
}

/**
 * A producer on connections of its own. Fails if the cluster cannot be reached
 * within the client's `apiTimeout`, refuses the credentials, or an option is
 * out of range.
 *
 * @example
 * ```ts
 * import { Producer, Serde, Topic } from "@sluice/kafka"
 * import { Effect } from "effect"
 *
 * const Lines = Topic.make("lines", { key: Serde.string, value: Serde.string })
 *
 * export const program = Effect.gen(function*() {
 *   const producer = yield* Producer.make()
 *   const { offset, partition } = yield* producer.send(Lines.record({ key: "app.log", value: "started" }))
 *   yield* Effect.log(`at ${partition}/${offset}`)
 * }).pipe(Effect.scoped)
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make: {
  <C = never>(options: ReportingOptions): Effect.Effect<ReportingProducer<C>, KafkaError, Kafka | Scope.Scope>
  <C = never, R = never>(
    options?: ProducerOptions<C, R>
  ): Effect.Effect<Producer<C>, KafkaError, Kafka | Scope.Scope | R>
} = internal.make as never

/**
 * The class of a tag for one producer of an application, which may have
 * several. It brings a layer.
 *
 * @example
 * ```ts
 * import { Producer } from "@sluice/kafka"
 * import { Effect } from "effect"
 *
 * class Billing extends Producer.Tag("app/Billing")<Billing, { readonly invoice: number }>() {}
 *
 * export const BillingLive = Billing.layer({
 *   onDelivery: { handler: (delivery) => Effect.log(delivery._tag, delivery.correlation?.invoice) }
 * })
 * ```
 *
 * @since 0.1.0
 * @category tags
 */
export const Tag = <const Id extends string>(id: Id) => <Self, C = never>(): TagClass<Self, Id, C> => {
  const Base = Context.Tag(id)<Self, Producer<C>>()
  return class extends (Base as any) {
    static layer<R = never>(this: Context.Tag<Self, Producer<C>>, options?: ProducerOptions<C, R>) {
      return Layer.scoped(this, make(options))
    }
    static layerConfig<R = never>(
      this: Context.Tag<Self, Producer<C>>,
      config: Config.Config.Wrap<ProducerOptions<C, R>>
    ) {
      return Layer.scoped(this, Effect.flatMap(Config.unwrap(config), (options) => make(options)))
    }
  } as any
}

/**
 * What {@link Tag} gives.
 *
 * @since 0.1.0
 * @category tags
 */
export interface TagClass<Self, Id extends string, C> extends Context.TagClass<Self, Id, Producer<C>> {
  /** A producer for the layer's lifetime. */
  readonly layer: <R = never>(
    options?: ProducerOptions<C, R>
  ) => Layer.Layer<Self, KafkaError, Kafka | R>
  /**
   * The same with options from the application's configuration.
   *
   * @example
   * ```ts
   * import { Producer } from "@sluice/kafka"
   * import { Config } from "effect"
   *
   * class Billing extends Producer.Tag("app/Billing")<Billing>() {}
   *
   * export const BillingLive = Billing.layerConfig({
   *   linger: Config.duration("BILLING_LINGER"),
   *   bufferBytes: Config.withDefault(Config.integer("BILLING_BUFFER_BYTES"), 64 * 1024 * 1024)
   * })
   * ```
   */
  readonly layerConfig: <R = never>(
    config: Config.Config.Wrap<ProducerOptions<C, R>>
  ) => Layer.Layer<Self, KafkaError | ConfigError, Kafka | R>
}
