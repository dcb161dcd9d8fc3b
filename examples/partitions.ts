/**
 * Partitions read side by side without a group: a program that is given its partitions by somebody else, or wants all of
 * them, joins nothing and commits nothing. Here it counts what each partition of a topic has.
 */
import { Consumer, Producer, Serde, Topic } from "@sluice/kafka"
import { Console, Effect, Stream } from "effect"

import { createTopic, runExample } from "./support/cluster.ts"

const Visits = Topic.make("sluice-example-visits", { key: Serde.string, value: Serde.string })
const visitCount = 3_000

const program = Effect.gen(function*() {
  yield* createTopic(Visits)
  const producer = yield* Producer.make()
  yield* producer.sendAll(
    Array.from(
      { length: visitCount },
      (_, index) => Visits.record({ key: `visitor ${index % 100}`, value: `/page/${index % 7}` })
    )
  )

  const consumer = yield* Consumer.assign({ topics: [Visits], partitions: [0, 1, 2] })
  const counts = new Map<number, number>()
  yield* consumer.partitions.pipe(
    Stream.flatMap(
      ({ partition, records }) =>
        // A chunk at a time: an effect for each record would cost more than the record.
        Stream.mapChunks(records, (chunk) => {
          counts.set(partition, (counts.get(partition) ?? 0) + chunk.length)
          return chunk
        }),
      { concurrency: "unbounded" }
    ),
    Stream.take(visitCount),
    Stream.runDrain
  )
  const total = Array.from(counts.values()).reduce((sum, count) => sum + count, 0)
  yield* Console.log(`${total} visits in ${counts.size} partitions`)
}).pipe(Effect.scoped)

runExample(program)
