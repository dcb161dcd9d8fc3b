/**
 * A process of its own that reads a topic with a backlog: it stops in the middle when it is told to, and tells its parent
 * what it holds meanwhile. Arguments: brokers, topic, records to warm up with, records in all.
 */
import { Consumer, Serde, Topic } from "@sluice/kafka"
import { Chunk, Effect, Stream } from "effect"

import { client } from "../../support/client.ts"

/** What the process says: where it is, and what it has read so far. */
export interface Backlog {
  readonly stage: "warm" | "reading" | "done"
  readonly read: number
  /** Where a record did not follow the one before it, if anywhere. */
  readonly gap: string | undefined
  /** Bytes of memory that the process has now, and the most that it ever had. */
  readonly rss: number
  readonly maxRss: number
  /** Bytes that the collector keeps, and those of buffers. */
  readonly heap: number
  readonly buffers: number
}

/** Of the consumer: its default. */
export const bufferBytes = 64 * 1024 * 1024

const consume = (brokers: string, name: string, warmUp: number, count: number) =>
  Effect.gen(function*() {
    const topic = Topic.make(name, { key: Serde.bytes, value: Serde.bytes })
    let stage: Backlog["stage"] = "warm"
    let read = 0
    let gap: string | undefined
    const next = new Map<number, bigint>()
    const tell = () => {
      const { arrayBuffers, heapUsed, rss } = process.memoryUsage()
      const maxRss = process.resourceUsage().maxRSS * 1_024
      const said: Backlog = { stage, read, gap, rss, maxRss, heap: heapUsed, buffers: arrayBuffers }
      process.send!(said)
    }
    // With little room, so that what is measured from has no buffer in it.
    yield* Consumer.assign({ topics: [topic], fetch: { bufferBytes: 1024 * 1024 } }).pipe(
      Effect.flatMap(({ records }) => Stream.runDrain(Stream.take(records, warmUp))),
      Effect.scoped
    )
    tell()
    stage = "reading"
    yield* Effect.acquireRelease(
      Effect.sync(() => setInterval(tell, 100)),
      (timer) => Effect.sync(() => clearInterval(timer))
    )
    const consumer = yield* Consumer.make({ groupId: name, topics: [topic], fetch: { bufferBytes } })
    yield* consumer.records.pipe(
      Stream.chunks,
      Stream.takeUntil((chunk) => {
        for (const { offset, partition } of chunk) {
          const expected = next.get(partition) ?? 0n
          if (offset !== expected) gap ??= `partition ${partition}: ${offset} after ${expected - 1n}`
          next.set(partition, offset + 1n)
          read++
        }
        return read >= count
      }),
      // The handler stops with the first chunk, until it is told to go on.
      Stream.tap((chunk) =>
        read > Chunk.size(chunk) ? Effect.void : Effect.async<void>((resume) => {
          process.once("message", () => resume(Effect.void))
        })
      ),
      Stream.flattenChunks,
      Stream.run(consumer.commitSink)
    )
    stage = "done"
    tell()
  }).pipe(Effect.scoped, Effect.provide(client(brokers)))

if (process.send !== undefined && import.meta.filename === process.argv[1]) {
  const [brokers, topic, warmUp, count] = process.argv.slice(2) as [string, string, string, string]
  process.once("disconnect", () => process.exit(1))
  await Effect.runPromise(consume(brokers, topic, Number(warmUp), Number(count)))
  process.disconnect()
}
