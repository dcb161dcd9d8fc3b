/** Reads partitions of one's own choice without a group: here a compacted topic, into a table in memory. */
import { Consumer, Producer, Serde, Topic } from "@sluice/kafka"
import { Console, Effect, Stream } from "effect"

import { createTopic, runExample } from "./support/cluster.ts"

/** A null value says that its key is deleted. */
const Prices = Topic.make("sluice-example-prices", { key: Serde.string, value: Serde.string, tombstones: true })

const program = Effect.gen(function*() {
  yield* createTopic(Prices)
  const producer = yield* Producer.make()
  const changes: ReadonlyArray<readonly [article: string, price: string | null]> = [
    ["tea", "4.20"],
    ["milk", "1.10"],
    ["tea", "4.50"],
    ["salt", "0.80"],
    ["milk", null]
  ]
  const places = yield* producer.sendAll(changes.map(([key, value]) => Prices.record({ key, value, partition: 0 })))
  const last = places[places.length - 1]!

  const consumer = yield* Consumer.assign({ topics: [Prices], partitions: [0], from: "earliest" })
  const prices = new Map<string, string>()
  yield* consumer.records.pipe(
    Stream.takeUntil(({ offset }) => offset === last.offset),
    Stream.runForEach(({ key, value }) =>
      Effect.sync(() => {
        if (key === null) return
        if (value === null) prices.delete(key)
        else prices.set(key, value)
      })
    )
  )
  for (const [article, price] of prices) yield* Console.log(`${article}: ${price}`)
}).pipe(Effect.scoped)

runExample(program)
