import { Consumer, Kafka, Producer, Serde, Topic } from "@sluice/kafka"
import { Chunk, Effect, Exit, Layer, Option, Scope, Stream } from "effect"

import type { Connect, Send } from "../client.ts"
import type { Load } from "../load.ts"
import { NullBroker } from "../nullBroker.ts"
import { chunkSize, keyOf, OrderCheck, recordsInFlight, valueOf } from "../records.ts"
import { effectModes } from "./effects.ts"

/** One acknowledgement of so many is waited for, and timed. */
const enqueueSample = 1_000

/** A pipe holds 16 chunks, beside the one that goes in and the one that comes out. */
const pipeChunk = Math.floor(recordsInFlight / 18)

/** Sluice over TCP; without brokers on a {@link NullBroker}. Its defaults: acks all, idempotent. */
export const connect: Connect = async ({ brokers, idempotent, mode, partitions, topic: name }) => {
  const nullBroker = brokers === "" ? new NullBroker(name, partitions) : undefined
  // Not loaded where it is not measured: a copy of the client without its driver runs here too.
  const live = nullBroker === undefined
    ? (await import("@sluice/kafkajs")).KafkaJs.layer({ brokers })
    : Layer.provide(Kafka.layer({ brokers: nullBroker.address }), nullBroker.layer)
  const topic = Topic.make(name, { key: Serde.bytes, value: Serde.bytes })
  const record = (index: number) => topic.record({ key: keyOf(index), value: valueOf(index) })

  if (mode === "consume") {
    return {
      modes: {},
      consume: async (records) => {
        const check = new OrderCheck()
        await Effect.runPromise(
          Effect.gen(function*() {
            const consumer = yield* Consumer.make({ groupId: `bench-${process.pid}`, topics: [topic] })
            yield* consumer.records.pipe(
              Stream.mapChunks((chunk) => {
                for (const { key, value } of Chunk.toReadonlyArray(chunk)) check.see(key!, value)
                return chunk
              }),
              Stream.takeUntil(() => check.count >= records),
              Stream.run(consumer.commitSink)
            )
          }).pipe(Effect.scoped, Effect.provide(live))
        )
        if (check.count !== records) throw new Error(`${check.count} records instead of ${records}`)
      },
      close: async () => {}
    }
  }

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
