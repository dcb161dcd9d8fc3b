import { Consumer, Kafka, Producer, Serde, Topic } from "@sluice/kafka"
import { Chunk, Deferred, Effect, Exit, Fiber, FiberId, Layer, Option, Scope, Stream } from "effect"

import type { Connect, Job, Listen, Read, Send } from "../client.ts"
import type { Load } from "../load.ts"
import { NullBroker } from "../nullBroker.ts"
import { chunkSize, keyOf, type OrderCheck, recordsInFlight, valueOf } from "../records.ts"
import { effectModes } from "./effects.ts"

/** One acknowledgement of so many is waited for, and timed. */
const enqueueSample = 1_000

/** A pipe holds 16 chunks, beside the one that goes in and the one that comes out. */
const pipeChunk = Math.floor(recordsInFlight / 18)

const topicOf = ({ topic }: Job) => Topic.make(topic, { key: Serde.bytes, value: Serde.bytes })

/** Not loaded where it is not measured: a copy of the client without its driver runs here too. */
const overTcp = async ({ brokers }: Job) => (await import("@sluice/kafkajs")).KafkaJs.layer({ brokers })

/** Sluice over TCP; without brokers on a {@link NullBroker}. Its defaults: acks all, idempotent. */
export const connect: Connect = async (job) => {
  const { brokers, idempotent, partitions } = job
  const nullBroker = brokers === "" ? new NullBroker(job.topic, partitions) : undefined
  const live = nullBroker === undefined
    ? await overTcp(job)
    : Layer.provide(Kafka.layer({ brokers: nullBroker.address }), nullBroker.layer)
  const topic = topicOf(job)
  const record = (index: number) => topic.record({ key: keyOf(index), value: valueOf(index) })
  const scope = Effect.runSync(Scope.make())
  const producer = await Effect.runPromise(
    Producer.make<number>({ idempotent }).pipe(
      Effect.provide(await Effect.runPromise(Layer.buildWithScope(live, scope))),
      Scope.extend(scope)
    )
  )

  const chunks = <A>(load: Load, size: number, element: (index: number) => A): Stream.Stream<A> =>
    Stream.repeatEffectChunkOption(Effect.suspend(() => {
      const count = load.take(size)
      const first = load.start
      return count === 0
        ? Effect.fail(Option.none())
        : Effect.succeed(Chunk.unsafeFromArray(Array.from({ length: count }, (_, i) => element(first + i))))
    }))

  const sink: Send = (load) => Effect.runPromise(Stream.run(chunks(load, chunkSize, record), producer.sink))

  const enqueue: Send = (load) =>
    Effect.runPromise(Effect.gen(function*() {
      while (load.take(1) > 0) {
        const index = load.start
        if (index % enqueueSample !== 0) {
          yield* producer.enqueue(record(index))
          continue
        }
        const start = performance.now()
        const acknowledged = yield* producer.enqueue(record(index))
        yield* Effect.fork(Effect.map(acknowledged, () => load.latencies.add(performance.now() - start)))
      }
      yield* producer.flush
    }))

  // The correlation value is the time: one look at the clock for a chunk.
  const pipe: Send = (load) => {
    let now = 0
    const outgoing = Stream.mapChunks(
      chunks(load, pipeChunk, (index) => index),
      (indices) => {
        now = performance.now()
        return Chunk.map(indices, (index) => ({ record: record(index), correlation: now }))
      }
    )
    return producer.pipe(outgoing).pipe(
      Stream.runForEachChunk((deliveries) =>
        Effect.suspend(() => {
          for (const delivery of deliveries) if (delivery._tag === "Failed") return Effect.fail(delivery.error)
          load.latencies.add(performance.now() - Chunk.unsafeHead(deliveries).correlation!, deliveries.length)
          return Effect.void
        })
      ),
      Effect.runPromise
    )
  }

  return {
    modes: { ...effectModes(record, producer.send, producer.sendAll), sink, enqueue, pipe },
    close: () => Effect.runPromise(Scope.close(scope, Exit.void)),
    ...(nullBroker === undefined ? {} : { accepted: () => nullBroker.accepted })
  }
}

const consumerOf = (job: Job) => Consumer.make({ groupId: job.group, topics: [topicOf(job)] })
type BenchConsumer = Effect.Effect.Success<ReturnType<typeof consumerOf>>

/** With a consumer that has committed and left the group when this is done. */
const reader =
  (use: (consumer: BenchConsumer, check: OrderCheck, job: Job) => Effect.Effect<void, unknown>): Read =>
  async (job, check) =>
    Effect.runPromise(
      Effect.flatMap(consumerOf(job), (consumer) => use(consumer, check, job)).pipe(
        Effect.scoped,
        Effect.provide(await overTcp(job))
      )
    )

const records = reader((consumer, check, job) =>
  consumer.records.pipe(
    Stream.mapChunks((chunk) => {
      for (const { key, value } of Chunk.toReadonlyArray(chunk)) check.see(key!, value)
      return chunk
    }),
    Stream.chunks,
    Stream.takeUntil(() => check.count >= job.records),
    Stream.flattenChunks,
    Stream.run(consumer.commitSink)
  )
)

/** A run, which ends when the last record has come. */
const untilRead = (
  run: (
    consumer: BenchConsumer,
    done: Effect.Effect<unknown>,
    check: OrderCheck,
    job: Job
  ) => Effect.Effect<void, unknown>
): Read =>
  reader((consumer, check, job) =>
    Effect.flatMap(
      Deferred.make<void>(),
      (read) => Effect.raceFirst(run(consumer, Deferred.succeed(read, undefined), check, job), Deferred.await(read))
    )
  )

const runs = (options: Consumer.RunOptions): Read =>
  untilRead((consumer, done, check, job) =>
    consumer.run(({ key, value }) => {
      check.see(key!, value)
      return check.count >= job.records ? done : Effect.void
    }, options)
  )

export const readers = {
  records,
  "runBatch": untilRead((consumer, done, check, job) =>
    consumer.runBatch(({ records }) => {
      for (const { key, value } of records) check.see(key!, value)
      return Effect.as(check.count >= job.records ? done : Effect.void, records)
    })
  ),
  "run": runs({}),
  "run-1": runs({ concurrency: 1 }),
  "run-key": runs({ order: "key", concurrency: 16 })
}

export const listen: Listen = async (job, onRecord) => {
  const joined = Deferred.unsafeMake<void>(FiberId.none)
  const fiber = Effect.runFork(
    Effect.flatMap(
      Consumer.make({
        groupId: job.group,
        topics: [topicOf(job)],
        onAssigned: () => Deferred.succeed(joined, undefined)
      }),
      (consumer) => consumer.run(({ key, value }) => Effect.sync(() => onRecord(key!, value)))
    ).pipe(Effect.scoped, Effect.provide(await overTcp(job)))
  )
  await Effect.runPromise(Effect.raceFirst(Deferred.await(joined), Effect.zipRight(Fiber.join(fiber), Effect.never)))
  return async () => {
    await Effect.runPromise(Fiber.interrupt(fiber))
  }
}
