/**
 * Inserts records in batches and commits what is inserted, in two ways. `runBatch` hands out what has come of a partition,
 * and commits what the handler gives back. From `records` the application makes batches of its own, and nothing is committed
 * before it reaches `commitSink`. Either way, what was not inserted comes again after a crash.
 */
import { Consumer, type ConsumerRecord, Producer, Serde, Topic } from "@sluice/kafka"
import { Console, Effect, Fiber, Schema, Stream } from "effect"

import { createTopic, runExample } from "./support/cluster.ts"

const Measurement = Schema.Struct({ sensor: Schema.String, celsius: Schema.Number })
const Measurements = Topic.make("sluice-example-measurements", { key: Serde.string, value: Serde.json(Measurement) })
const recordCount = 1_000

/** Stands for a table, with the place of each row's record as its key: a row that comes twice is one row. */
class Table {
  readonly rows = new Map<string, typeof Measurement.Type>()

  /** One statement for all. */
  insert(records: Iterable<ConsumerRecord.Of<typeof Measurements>>) {
    return Effect.zipRight(
      Effect.sleep("1 millis"),
      Effect.sync(() => {
        for (const { offset, partition, value } of records) this.rows.set(`${partition}-${offset}`, value)
      })
    )
  }
}

const byRunBatch = Effect.gen(function*() {
  const table = new Table()
  const consumer = yield* Consumer.make({ groupId: "sluice-example-inserts", topics: [Measurements] })
  const run = yield* Effect.fork(consumer.runBatch(
    ({ records }) => Effect.as(table.insert(records), records),
    { maxRecords: 200 }
  ))
  yield* Effect.repeat(Effect.sleep("5 millis"), { while: () => table.rows.size < recordCount })
  // Interrupted, it commits what is done.
  yield* Fiber.interrupt(run)
  yield* Console.log(`${table.rows.size} rows are inserted by runBatch, and their records committed`)
}).pipe(Effect.scoped)

const byHand = Effect.gen(function*() {
  const table = new Table()
  const consumer = yield* Consumer.make({ groupId: "sluice-example-inserts-by-hand", topics: [Measurements] })
  yield* consumer.records.pipe(
    Stream.take(recordCount),
    // Batches of up to 200, of any partition, but nothing waits for longer than 20 milliseconds.
    Stream.groupedWithin(200, "20 millis"),
    Stream.mapEffect((batch) => Effect.as(table.insert(batch), batch)),
    Stream.flattenChunks,
    Stream.run(consumer.commitSink)
  )
  yield* Console.log(`${table.rows.size} rows are inserted by hand, and their records committed`)
}).pipe(Effect.scoped)

const program = Effect.gen(function*() {
  yield* createTopic(Measurements)
  const producer = yield* Producer.make()
  yield* producer.sendAll(Array.from({ length: recordCount }, (_, index) => {
    const sensor = `sensor ${index % 20}`
    return Measurements.record({ key: sensor, value: { sensor, celsius: 15 + (index % 100) / 10 } })
  }))
  yield* byRunBatch
  yield* byHand
}).pipe(Effect.scoped)

runExample(program)
