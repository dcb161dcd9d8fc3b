/**
 * A process of its own that offers records to a topic, and tells its parent how many of them the producer has asked for:
 * what it holds is the client's, not that of a test. Arguments: brokers, topic, records to warm up with, records to offer.
 */
import { Producer, Serde, Topic } from "@sluice/kafka"
import { Chunk, Effect, Option, Stream } from "effect"

import { client } from "../../support/client.ts"

/** What the process says: where it is, and what it has taken so far. */
export interface Offered {
  readonly stage: "warm" | "offering" | "done"
  /** Records that the producer has asked for. */
  readonly offered: number
  /** Bytes of memory that the process has now, and the most that it ever had. */
  readonly rss: number
  readonly maxRss: number
  /** Bytes that the collector keeps, and those of buffers. */
  readonly heap: number
  readonly buffers: number
}

/** Bytes of each value. */
export const valueBytes = 200
/** Of the producer: its default. */
export const bufferBytes = 32 * 1024 * 1024

const recordsInChunk = 1_000

const offer = (brokers: string, name: string, warmUp: number, count: number) =>
  Effect.gen(function*() {
    const topic = Topic.make(name, { key: Serde.bytes, value: Serde.bytes })
    const value = new Uint8Array(valueBytes).fill(120)
    let stage: Offered["stage"] = "warm"
    let offered = 0
    const tell = () => {
      const { arrayBuffers, heapUsed, rss } = process.memoryUsage()
      const maxRss = process.resourceUsage().maxRSS * 1_024
      process.send!(
        {
          stage,
          offered,
          rss,
          maxRss,
          heap: heapUsed,
          buffers: arrayBuffers,
          total: process.memoryUsage().heapTotal,
          external: process.memoryUsage().external
        } as Offered
      )
    }
    const run = (records: number, producer: Producer.Producer) =>
      Stream.unfoldChunk(0, (made) => {
        if (made === records) return Option.none()
        const size = Math.min(recordsInChunk, records - made)
        offered += size
        return Option.some([
          Chunk.unsafeFromArray(Array.from({ length: size }, () => topic.record({ value }))),
          made + size
        ])
      }).pipe(Stream.run(producer.sink))

    // With little room, so that what is measured from has no buffer in it.
    yield* Effect.scoped(Effect.flatMap(Producer.make({ bufferBytes: 1024 * 1024 }), (small) => run(warmUp, small)))
    const producer = yield* Producer.make({ bufferBytes, deliveryTimeout: "1 hour" })
    offered = 0
    tell()
    yield* Effect.async<void>((resume) => {
      process.once("message", () => resume(Effect.void))
    })
    stage = "offering"
    yield* Effect.acquireRelease(
      Effect.sync(() => setInterval(tell, 100)),
      (timer) => Effect.sync(() => clearInterval(timer))
    )
    yield* run(count, producer)
    stage = "done"
    tell()
  }).pipe(
    Effect.scoped,
    // While the broker hangs, connections are given up and made again.
    Effect.provide(client(brokers, { requestTimeout: "3 seconds" }))
  )

if (process.send !== undefined && import.meta.filename === process.argv[1]) {
  const [brokers, topic, warmUp, count] = process.argv.slice(2) as [string, string, string, string]
  process.once("disconnect", () => process.exit(1))
  await Effect.runPromise(offer(brokers, topic, Number(warmUp), Number(count)))
  process.disconnect()
}
