/**
 * Inserts records in batches and commits what is inserted. Pulling from `records` commits nothing: a record is settled
 * when it reaches `commitSink`, so after a crash what was not inserted comes again.
 */
import { Consumer, type ConsumerRecord, Producer, Serde, Topic } from "@sluice/kafka"
import type { Chunk } from "effect"
import { Console, Effect, Schema, Stream } from "effect"

import { createTopic, runExample } from "./support/cluster.ts"

const Measurement = Schema.Struct({ sensor: Schema.String, celsius: Schema.Number })
const Measurements = Topic.make("sluice-example-measurements", { key: Serde.string, value: Serde.json(Measurement) })
const recordCount = 1_000

/** Stands for a table. */
const table: Array<typeof Measurement.Type> = []

/** One statement for all; gives back what is done, so that it can be committed. */
const insertAll = (records: Chunk.Chunk<ConsumerRecord.Of<typeof Measurements>>) =>
  Effect.gen(function*() {
    yield* Effect.sleep("1 millis")
    for (const { value } of records) table.push(value)
    return records
  })

const program = Effect.gen(function*() {
  yield* createTopic(Measurements)
  const producer = yield* Producer.make()
  yield* producer.sendAll(Array.from({ length: recordCount }, (_, index) => {
    const sensor = `sensor ${index % 20}`
    return Measurements.record({ key: sensor, value: { sensor, celsius: 15 + (index % 100) / 10 } })
  }))

  const consumer = yield* Consumer.make({ groupId: "sluice-example-inserts", topics: [Measurements] })
  yield* consumer.records.pipe(
    Stream.take(recordCount),
    // Batches of up to 200, but nothing waits for longer than 20 milliseconds.
    Stream.groupedWithin(200, "20 millis"),
    Stream.mapEffect(insertAll),
    Stream.flattenChunks,
    Stream.run(consumer.commitSink)
  )
  yield* Console.log(`${table.length} rows are inserted, and their records committed`)
}).pipe(Effect.scoped)

runExample(program)
