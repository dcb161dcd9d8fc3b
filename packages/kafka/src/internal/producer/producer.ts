import * as Chunk from "effect/Chunk"
import type * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import { identity } from "effect/Function"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import * as Sink from "effect/Sink"
import * as Stream from "effect/Stream"
import { PCGRandom } from "effect/Utils"

import { Kafka } from "../../Kafka.ts"
import { type KafkaError, type ProduceError, RetriableError, SendAllError } from "../../KafkaError.ts"
import type { Observed } from "../../Observed.ts"
import type {
  BrokerTrouble,
  Delivery,
  Health,
  Outgoing,
  Producer,
  ProducerOptions,
  RecordMetadata,
  ReportingProducer
} from "../../Producer.ts"
import type { AnyRecord } from "../../Topic.ts"
import type { Cluster } from "../cluster/cluster.ts"
import { closed, fromCode, withPersisted } from "../errors.ts"
import { bounded, cancelable, Fibers, once } from "../fiber.ts"
import { Accumulator, type PendingRecord } from "../kernel/accumulator.ts"
import type { Batch } from "../kernel/partitionBuffer.ts"
import { type ActiveTracer, activeTracer } from "../telemetry/tracing.ts"
import { monotonicMillis } from "../time.ts"
import { producerTypeId } from "../typeIds.ts"
import { Deliveries } from "./deliveries.ts"
import { DeliveryStream } from "./deliveryStream.ts"
import { Entry, type Tracking } from "./entry.ts"
import { healthChanges, healthOf } from "./health.ts"
import { parse, type ProducerSettings } from "./options.ts"
import { AllCompletion, type BatchOutcome, type Completion, SingleCompletion, StreamCompletion } from "./outcome.ts"
import { prepare, type Unserialized } from "./prepare.ts"
import { Sender } from "./sender.ts"
import { isSerialized, serialize } from "./serialize.ts"
import { endRecordSpan, endUnaccepted, startRecordSpan, withTraceContext } from "./spans.ts"
import { Topics } from "./topics.ts"

/** Who hands records over. */
interface Caller {
  /** A delivery handler: admitted until all reports are handled, and not held up by those that are not. */
  readonly exempt: boolean
  /** For room, where there is none. */
  readonly mayWait: boolean
  readonly tracer: ActiveTracer | undefined
  /** Makes waits interruptible, as the caller is. */
  readonly restore: <A, E>(self: Effect.Effect<A, E>) => Effect.Effect<A, E>
  /** In milliseconds of the monotonic clock. */
  readonly now: number
  /** What records get that bring none: what the wall clock says. */
  readonly timestamp: number
}

/** A caller that waits: for room, or to learn where its topic is. */
interface Waiting {
  /** Sent by a delivery handler: admitted until all reports are handled. */
  readonly exempt: boolean
  readonly refuse: () => void
}

/** How many chunks of a pipe are on their way at a time. */
const chunksInPipe = 16

/** How many records one call accepts before others get a turn. */
const recordsPerTurn = 2048

/** See `Producer.make`. */
export const make = <C = never, R = never>(
  options: ProducerOptions<C, R> = {}
): Effect.Effect<Producer<C>, KafkaError, Kafka | Scope.Scope | R> =>
  Effect.gen(function*() {
    const settings = yield* parse(options)
    const { cluster } = yield* Kafka
    // Closed after the producer, whose finalizer is added later.
    const pool = yield* cluster.makePool
    const random = new PCGRandom(yield* Random.nextIntBetween(0, 0x7fffffff))
    const clock = yield* Effect.clock
    const engine = new ProducerEngine<C>(settings, cluster, clock, () => random.number())
    const sender = new Sender(engine, pool)
    engine.onReady = (leader) => sender.wake(leader)
    engine.unreachable = () => sender.unreachable()
    yield* Effect.addFinalizer(() => engine.close(sender))
    if (settings.onDelivery?.handler !== undefined && engine.deliveries instanceof Deliveries) {
      yield* engine.deliveries.start(
        engine.workers,
        settings.onDelivery.handler,
        settings.onDelivery.concurrency
      ) as Effect.Effect<void, never, R>
    }
    yield* cluster.refresh
    yield* sender.start
    return engine.deliveries instanceof DeliveryStream ? withDeliveries(engine, engine.deliveries.stream) : engine
  })

/** The producer as its user has it, with its reports. */
const withDeliveries = <C>(
  { enqueue, flush, health, pipe, send, sendAll, sink, tryEnqueue }: ProducerEngine<C>,
  deliveries: ReportingProducer<C>["deliveries"]
): ReportingProducer<C> => ({
  [producerTypeId]: producerTypeId,
  send,
  sendAll,
  enqueue,
  tryEnqueue,
  pipe,
  sink,
  flush,
  health,
  deliveries
})

/** The state of one producer; the fibers that move it are the {@link Sender}'s. */
export class ProducerEngine<C> implements Producer<C> {
  readonly [producerTypeId]: typeof producerTypeId = producerTypeId
  readonly settings: ProducerSettings
  readonly cluster: Cluster
  readonly accumulator: Accumulator<Entry>
  readonly deliveries: Deliveries<C> | DeliveryStream<C> | undefined
  readonly workers = new Fibers()
  readonly clock: Clock.Clock
  /** For deadlines: {@link monotonicMillis}. */
  readonly now: () => number
  readonly random: () => number
  readonly topics: Topics
  /** Tells the sender that a partition of this broker has something to send. */
  onReady: (leader: number) => void = () => {}
  /** Brokers that the sender cannot reach. */
  unreachable: () => ReadonlyArray<BrokerTrouble> = () => []
  #state: "open" | "closing" | "closed" = "open"
  readonly #hasEnded = Effect.unsafeMakeLatch(false)
  /** To be sent away at close. */
  readonly #waiting = new Set<Waiting>()
  readonly #flushes = new Set<{ readonly left: Set<Batch<Entry>>; readonly done: () => void }>()

  constructor(settings: ProducerSettings, cluster: Cluster, clock: Clock.Clock, random: () => number) {
    this.settings = settings
    this.cluster = cluster
    this.clock = clock
    this.now = () => monotonicMillis(clock)
    this.random = random
    this.accumulator = new Accumulator({
      batchBytes: settings.batchBytes,
      batchRecords: settings.batchRecords,
      bufferBytes: settings.bufferBytes,
      maxUnreported: settings.onDelivery?.maxPending ?? Infinity,
      linger: Duration.toMillis(settings.linger),
      deliveryTimeout: Duration.toMillis(settings.deliveryTimeout),
      codec: settings.codec,
      idempotent: settings.idempotent,
      maxInFlight: settings.idempotent ? settings.maxInFlight : 1
    })
    this.topics = new Topics(cluster, this.accumulator, settings.partitioner, random, (leader) => this.onReady(leader))
    const handled = (count: number) => this.accumulator.reported(count)
    this.deliveries = settings.onDelivery === undefined
      ? undefined
      : settings.onDelivery.handler === undefined
      ? new DeliveryStream(handled)
      : new Deliveries(settings.onDelivery.keepsOrder, handled)
  }

  send = (
    record: AnyRecord,
    options?: { readonly correlation?: C | undefined }
  ): Effect.Effect<RecordMetadata, ProduceError> =>
    this.#calling(true, (caller) => {
      const completion = new SingleCompletion()
      const submitted = this.#submit(record, options?.correlation, completion, 0, caller)
      const outcome = caller.restore(completion)
      return submitted === Effect.void ? outcome : Effect.zipRight(submitted, outcome)
    })

  enqueue = (
    record: AnyRecord,
    options?: { readonly correlation?: C | undefined }
  ): Effect.Effect<Effect.Effect<RecordMetadata, ProduceError>, ProduceError> =>
    this.#enqueue(record, options?.correlation, true)

  tryEnqueue = (
    record: AnyRecord,
    options?: { readonly correlation?: C | undefined }
  ): Effect.Effect<Effect.Effect<RecordMetadata, ProduceError>, ProduceError> =>
    this.#enqueue(record, options?.correlation, false)

  pipe = <D extends C, E, R>(records: Stream.Stream<Outgoing<D>, E, R>): Stream.Stream<Delivery<D>, E, R> =>
    Stream.suspend(() => {
      const pending = new Set<AllCompletion>()
      return Stream.chunks(records).pipe(
        Stream.mapEffect((chunk) => {
          const outgoing = Chunk.toReadonlyArray(chunk)
          const completion = new AllCompletion(outgoing.length)
          pending.add(completion)
          const submitted = this.#submitAll(
            outgoing.map(({ record }) => record),
            completion,
            (i) => outgoing[i]!.correlation
          )
          return Effect.as(submitted, { outgoing, completion })
        }),
        Stream.buffer({ capacity: chunksInPipe }),
        Stream.mapEffect(({ completion, outgoing }) =>
          Effect.map(completion.await, () => {
            pending.delete(completion)
            return Chunk.unsafeFromArray(outgoing.map(({ correlation, record }, i): Delivery<D> => {
              const metadata = completion.metadata[i]
              return metadata === undefined
                ? { _tag: "Failed", record, correlation, error: completion.errors!.get(i)! }
                : { _tag: "Acknowledged", record, correlation, metadata }
            }))
          })
        ),
        Stream.flattenChunks,
        Stream.ensuring(Effect.sync(() => {
          for (const completion of pending) completion.abandon()
        }))
      )
    })

  sendAll = (records: Iterable<AnyRecord>): Effect.Effect<ReadonlyArray<RecordMetadata>, SendAllError> =>
    Effect.suspend(() => {
      const all = Array.from(records)
      const completion = new AllCompletion(all.length)
      return Effect.zipRight(
        Effect.onError(
          Effect.zipRight(this.#submitAll(all, completion), completion.await),
          () => Effect.sync(() => completion.abandon())
        ),
        Effect.suspend(() => {
          const { errors, metadata } = completion
          if (errors === undefined) return Effect.succeed(metadata as ReadonlyArray<RecordMetadata>)
          const [[index, first]] = errors as unknown as [[number, ProduceError]]
          return Effect.fail(
            new SendAllError({
              results: Array.from(metadata, (metadata, i) =>
                metadata !== undefined
                  ? { _tag: "Acknowledged", metadata }
                  : { _tag: "Failed", error: errors.get(i)! }),
              message: `${errors.size} of ${all.length} records failed; the first, at index ${index}: ${first.message}`
            })
          )
        })
      )
    })

  readonly sink: Sink.Sink<void, AnyRecord, never, ProduceError> = Sink.suspend(() => {
    const completion = new StreamCompletion()
    const failIfAny = Effect.suspend(() => {
      const error = completion.firstError
      return error === undefined ? Effect.void : Effect.zipRight(completion.await, Effect.fail(error))
    })
    return Sink.forEachChunk((chunk: Chunk.Chunk<AnyRecord>) => {
      const records = Chunk.toReadonlyArray(chunk)
      completion.expect(records.length)
      return Effect.zipRight(this.#submitAll(records, completion), failIfAny)
    }).pipe(
      Sink.mapEffect(() => Effect.zipRight(completion.await, failIfAny)),
      Sink.ensuring(Effect.sync(() => completion.abandon()))
    )
  })

  readonly flush: Effect.Effect<void> = cancelable((resume) => {
    const left = new Set(this.accumulator.incomplete)
    if (left.size === 0) {
      resume(Effect.void)
      return () => {}
    }
    const endFlush = this.accumulator.startFlush()
    const flush = {
      left,
      done: () => {
        endFlush()
        resume(Effect.void)
      }
    }
    this.#flushes.add(flush)
    this.#wakeAll()
    return () => {
      if (this.#flushes.delete(flush)) endFlush()
    }
  })

  readonly #health: Effect.Effect<Health> = Effect.sync(() =>
    healthOf(this.accumulator, {
      waitingSenders: this.#waiting.size,
      unhandledReports: this.deliveries?.unhandled ?? 0,
      brokers: this.unreachable()
    })
  )

  readonly health: Observed<Health> = { get: this.#health, changes: healthChanges(this.#health, this.#hasEnded) }

  #enqueue(
    record: AnyRecord,
    correlation: C | undefined,
    mayWait: boolean
  ): Effect.Effect<Effect.Effect<RecordMetadata, ProduceError>, ProduceError> {
    return this.#calling(mayWait, (caller) => {
      const completion = new SingleCompletion()
      const submitted = this.#submit(record, correlation, completion, 0, caller)
      return submitted === Effect.void ? Effect.succeed(completion) : Effect.as(submitted, completion)
    })
  }

  /** With a tracer nothing is interrupted between the start of a span and what ends it. */
  #calling<A, E>(mayWait: boolean, use: (caller: Caller) => Effect.Effect<A, E>): Effect.Effect<A, E> {
    return Effect.withFiberRuntime((fiber) => {
      const tracer = activeTracer(fiber)
      const callerWith = (restore: Caller["restore"]): Caller => ({
        exempt: this.deliveries !== undefined && this.deliveries.isInside(fiber),
        mayWait,
        tracer,
        restore,
        now: this.now(),
        timestamp: this.clock.unsafeCurrentTimeMillis()
      })
      return tracer === undefined
        ? use(callerWith(identity))
        : Effect.uninterruptibleMask((restore) => use(callerWith(restore)))
    })
  }

  /** One record: accepted when the effect succeeds; whoever waits for its outcome asks its completion. */
  #submit(
    record: AnyRecord,
    correlation: unknown,
    completion: Completion,
    slot: number,
    caller: Caller,
    prepared = prepare(record, caller.timestamp, this.settings.maxRecordBytes)
  ): Effect.Effect<void, ProduceError> {
    if ("_tag" in prepared) {
      return prepared._tag === "Unserialized"
        ? this.#serialize(record, prepared, correlation, completion, slot, caller)
        : Effect.fail(prepared)
    }
    const span = caller.tracer === undefined
      ? undefined
      : startRecordSpan(caller.tracer, record, prepared, this.cluster.settings.clientId)
    const tracking: Tracking | undefined = this.deliveries === undefined && span === undefined
      ? undefined
      : { record, correlation, span, acceptedAt: undefined }
    const entry = new Entry(completion, slot, prepared.timestamp, tracking)
    const pending = span === undefined ? prepared : withTraceContext(prepared, span)
    const placed = this.#place(record, pending, entry, caller, caller.now)
    if (placed === Effect.void) return placed
    const restored = caller.restore(placed)
    return span === undefined ? restored : Effect.onError(
      restored,
      (cause) => tracking?.acceptedAt === undefined ? endUnaccepted(span, cause, this.clock) : Effect.void
    )
  }

  /** Runs the record's serializers first; a close sends it away meanwhile. */
  #serialize(
    record: AnyRecord,
    unserialized: Unserialized,
    correlation: unknown,
    completion: Completion,
    slot: number,
    caller: Caller
  ): Effect.Effect<void, ProduceError> {
    if (this.#isClosedTo(caller.exempt)) return Effect.fail(producerClosed())
    const serialized = serialize(record, unserialized, caller.timestamp, this.settings.maxRecordBytes)
    return Effect.flatMap(
      caller.restore(isSerialized(unserialized) ? serialized : this.#unlessClosed(serialized, caller.exempt)),
      (prepared) => this.#submit(record, correlation, completion, slot, { ...caller, now: this.now() }, prepared)
    )
  }

  /** Many records, in their order. One that is refused fails alone. */
  #submitAll(
    records: ReadonlyArray<AnyRecord>,
    completion: Completion,
    correlation: (index: number) => unknown = () => undefined
  ): Effect.Effect<void> {
    const from = (start: number): Effect.Effect<void> => {
      const end = Math.min(records.length, start + recordsPerTurn)
      const turn = this.#calling(true, (caller) => {
        for (let i = start; i < end; i++) {
          const submitted = this.#submit(records[i]!, correlation(i), completion, i, caller)
          if (submitted === Effect.void) continue
          return Effect.as(Effect.catchAll(submitted, (error) => Effect.sync(() => completion.fail(i, error))), i + 1)
        }
        return Effect.succeed(end)
      })
      return Effect.flatMap(turn, (next) =>
        next === records.length
          ? Effect.void
          : next === end
          ? Effect.zipRight(Effect.yieldNow(), from(next))
          : from(next))
    }
    return from(0)
  }

  #isClosedTo(exempt: boolean): boolean {
    return this.#state === "closed" || (this.#state === "closing" && !exempt)
  }

  /** Chooses the partition, once, and puts the record into its batch, now or when there is room. */
  #place(
    record: AnyRecord,
    pending: PendingRecord,
    entry: Entry,
    caller: Caller,
    now: number
  ): Effect.Effect<void, ProduceError> {
    const { exempt } = caller
    if (this.#isClosedTo(exempt)) return Effect.fail(producerClosed())
    if (!this.topics.has(record.topic.name)) {
      return Effect.zipRight(
        this.#loadTopic(record.topic.name, exempt),
        Effect.suspend(() => this.#place(record, pending, entry, caller, this.now()))
      )
    }
    const partition = this.topics.choose(record, pending)
    if (partition === undefined) return this.#unknownPartition(record, pending, entry, caller)
    if ("_tag" in partition) return Effect.fail(partition)
    if (this.accumulator.append(partition, pending, entry, now, exempt)) {
      entry.accepted(now)
      if (this.accumulator.hasNews(partition)) this.onReady(partition.leader)
      return Effect.void
    }
    if (!caller.mayWait) return Effect.fail(bufferFull(record, this.settings.bufferBytes))
    return cancelable((resume) => {
      const { accumulator } = this
      // It may have closed since: nobody would send this one away.
      if (this.#isClosedTo(exempt)) {
        resume(Effect.fail(producerClosed()))
        return () => {}
      }
      const waiting: Waiting = { exempt, refuse: () => resume(Effect.fail(producerClosed())) }
      const isFirst = !accumulator.hasWaiters
      this.#waiting.add(waiting)
      const withdraw = accumulator.wait(partition, pending, entry, exempt, this.now, () => {
        entry.accepted(this.now())
        this.#waiting.delete(waiting)
        this.onReady(partition.leader)
        resume(Effect.void)
      })
      // No batch lingers from now on.
      if (isFirst) this.#wakeAll()
      return () => {
        this.#waiting.delete(waiting)
        withdraw()
      }
    })
  }

  /** The partition may be new: asks once more before it gives up. */
  #unknownPartition(
    record: AnyRecord,
    pending: PendingRecord,
    entry: Entry,
    caller: Caller
  ): Effect.Effect<void, ProduceError> {
    const { name } = record.topic
    return this.#unlessClosed(this.cluster.refresh, caller.exempt).pipe(
      Effect.flatMap(() => {
        const count = this.topics.partitionCount(name)
        if (record.partition! < count) return this.#place(record, pending, entry, caller, this.now())
        return Effect.fail(
          fromCode(3, {
            operation: "Produce",
            scope: "record",
            topic: name,
            partition: record.partition,
            detail: `the topic has ${count} partitions`,
            persisted: "no"
          }) as ProduceError
        )
      })
    )
  }

  #loadTopic(name: string, exempt: boolean): Effect.Effect<void, ProduceError> {
    return Effect.map(this.#unlessClosed(this.cluster.topic(name), exempt), () => this.topics.add(name))
  }

  /** Asks the cluster for something that a record needs before it can be accepted. */
  #unlessClosed<A>(lookup: Effect.Effect<A, KafkaError>, exempt: boolean): Effect.Effect<A, ProduceError> {
    return Effect.suspend(() => {
      const found = Deferred.unsafeMake<A, ProduceError>(FiberId.none)
      const waiting: Waiting = { exempt, refuse: () => Deferred.unsafeDone(found, Effect.fail(producerClosed())) }
      // No race: a fiber that is interrupted while it sets up one of Effect's races may wait for ever for fibers that were
      // never started.
      return Effect.acquireUseRelease(
        Effect.suspend(() => {
          this.#waiting.add(waiting)
          return lookup.pipe(
            Effect.mapError((error) => withPersisted(error, "no")),
            Effect.intoDeferred(found),
            Effect.interruptible,
            Effect.forkDaemon
          )
        }),
        () => Deferred.await(found),
        (fiber) => {
          this.#waiting.delete(waiting)
          return Fiber.interruptFork(fiber)
        }
      )
    })
  }

  /** Gives every record of a batch its outcome, if it has none yet. */
  complete(batch: Batch<Entry>, outcome: BatchOutcome): Effect.Effect<void> {
    if (!this.accumulator.incomplete.has(batch)) return Effect.void
    const { attempts, entries, partition } = batch
    const { error } = outcome
    const now = this.deliveries === undefined ? 0 : this.now()
    let unheard = 0
    for (let i = 0; i < entries.length; i++) {
      const entry = entries[i]!
      const { tracking } = entry
      if (error !== undefined && this.deliveries === undefined && !entry.isAwaited) unheard++
      entry.settle(outcome, i)
      if (tracking === undefined) continue
      const { acceptedAt, record, span } = tracking
      if (this.deliveries !== undefined) {
        const correlation = tracking.correlation as C
        const elapsedMillis = now - acceptedAt!
        this.deliveries.push(
          partition,
          error === undefined
            ? { _tag: "Acknowledged", record, correlation, metadata: entry, attempts, elapsedMillis }
            : { _tag: "Failed", record, correlation, error, attempts, elapsedMillis }
        )
      }
      if (span !== undefined) endRecordSpan(span, outcome, i, this.clock)
    }
    if (error === undefined) this.accumulator.recycle(batch)
    this.accumulator.complete(batch, error === undefined)
    this.#settled(batch)
    return unheard === 0
      ? Effect.void
      : Effect.logWarning(`${unheard} records failed that nobody waits for: ${error!.message}`)
  }

  /** A batch was replaced by smaller ones: flushes wait for those. */
  replaced(batch: Batch<Entry>, parts: ReadonlyArray<Batch<Entry>>): void {
    for (const flush of this.#flushes) {
      if (flush.left.delete(batch)) { for (const part of parts) flush.left.add(part) }
    }
  }

  #settled(batch: Batch<Entry>): void {
    for (const flush of this.#flushes) {
      if (flush.left.delete(batch) && flush.left.size === 0) {
        this.#flushes.delete(flush)
        flush.done()
      }
    }
  }

  #wakeAll(): void {
    for (const partition of this.accumulator.active) this.onReady(partition.leader)
  }

  /**
   * Refuse, flush, let the handlers finish, stop the sender, settle what is
   * left. Connections are closed after it.
   */
  close(sender: Sender): Effect.Effect<void> {
    const { deliveries, settings, workers } = this
    return once(
      Effect.gen(this, function*() {
        this.#state = "closing"
        yield* Effect.logDebug(`producer closing: refuses new records, ${this.#refuse(false)} sent away`)

        const flushed = yield* bounded(this.flush, settings.closeTimeout)
        if (flushed._tag === "None") {
          yield* Effect.logWarning("producer closing: the close timeout passed")
          yield* this.#stop(sender)
        } else {
          yield* Effect.logDebug("producer closing: all is flushed")
        }
        if (deliveries !== undefined && settings.onDelivery !== undefined) {
          yield* bounded(this.#drainAll(deliveries), settings.onDelivery.closeTimeout)
        }
        if (this.#state === "closing") yield* this.#stop(sender)
        if (deliveries instanceof DeliveryStream) deliveries.end()
        if (deliveries !== undefined) {
          yield* deliveries.unhandled === 0
            ? Effect.logDebug("producer closing: every report is handled")
            : Effect.logError(`producer closing: ${deliveries.unhandled} reports were not handled in time`)
          yield* workers.interruptAll("1 second")
        }
        this.#hasEnded.unsafeOpen()
        yield* Effect.logDebug("producer closed")
      })
    )
  }

  /** Nothing is accepted, and nothing written, after it; what is left has its outcome. */
  #stop(sender: Sender): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.#state = "closed"
      this.#refuse(true)
      return Effect.zipRight(sender.stop, this.#settleRest)
    })
  }

  /** Sends away those who wait; delivery handlers only if `all`. How many they were. */
  #refuse(all: boolean): number {
    this.accumulator.dismissWaiters(all)
    let count = 0
    for (const waiting of this.#waiting) {
      if (waiting.exempt && !all) continue
      this.#waiting.delete(waiting)
      waiting.refuse()
      count++
    }
    return count
  }

  /** All reports are handled, those of what their handlers sent too. */
  #drainAll(deliveries: Deliveries<C> | DeliveryStream<C>): Effect.Effect<void> {
    return Effect.zipRight(
      deliveries.drain,
      Effect.suspend(() =>
        this.accumulator.incomplete.size === 0
          ? Effect.void
          : Effect.zipRight(this.flush, this.#drainAll(deliveries))
      )
    )
  }

  readonly #settleRest: Effect.Effect<void> = Effect.suspend(() => {
    const left = Array.from(this.accumulator.incomplete)
    if (left.length === 0) return Effect.void
    let records = 0
    const completed = Effect.forEach(left, (batch) => {
      records += batch.entries.length
      const cause = batch.lastError ?? batch.partition.lastError
      const error = withPersisted(closed("producer"), batch.maybeWritten || batch.inFlight ? "maybe" : "no")
      return this.complete(batch, failure(batch, cause === undefined ? error : withCause(error, cause)))
    }, { discard: true })
    return Effect.zipRight(
      completed,
      Effect.suspend(() => Effect.logWarning(`producer closing: ${records} records were not acknowledged`))
    )
  })
}

/** The outcome of a batch that failed. */
export const failure = (batch: Batch<Entry>, error: ProduceError): BatchOutcome => ({
  topic: batch.partition.topic,
  partition: batch.partition.partition,
  baseOffset: -1,
  logAppendTime: -1,
  error
})

const withCause = (error: ProduceError, cause: KafkaError): ProduceError =>
  withPersisted({ ...error, message: `${error.message}; last: ${cause.message}`, cause } as KafkaError, error.persisted)

const bufferFull = (record: AnyRecord, bufferBytes: number): ProduceError =>
  new RetriableError({
    reason: { _tag: "BufferFull", topic: record.topic.name, partition: record.partition },
    scope: "client",
    message: `no room in the producer's buffer (bufferBytes ${bufferBytes}) for a record of topic ${record.topic.name}`,
    persisted: "no"
  }) as ProduceError

const producerClosed = (): ProduceError => withPersisted(closed("producer"), "no")
