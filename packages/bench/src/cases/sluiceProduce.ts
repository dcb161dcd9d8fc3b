import { Producer, Serde, Topic } from "@sluice/kafka"
import { KafkaJs } from "@sluice/kafkajs"
import { Effect } from "effect"

import { firstKey, keys, makeValues, measure } from "../measure.ts"

const [brokers = "", name = "", count = "0"] = process.argv.slice(2)
const records = Number(count)
const topic = Topic.make(name, { key: Serde.bytes, value: Serde.bytes })
const values = makeValues(records)

const chunk = 1000
const callsInFlight = 5

const program = Effect.gen(function*() {
  const producer = yield* Producer.make()
  const sendFrom = (start: number) =>
    Effect.suspend(() => {
      const batch: Array<Topic.AnyRecord> = []
      for (let i = start; i < Math.min(records, start + chunk); i++) {
        batch.push(topic.record({ key: keys[i % keys.length]!, value: values[i]! }))
      }
      return Effect.asVoid(producer.sendAll(batch))
    })
  yield* producer.send(topic.record({ key: firstKey, value: values[0]! }))
  yield* Effect.promise(() =>
    measure(records, () =>
      Effect.runPromise(Effect.forEach(
        Array.from({ length: Math.ceil(records / chunk) }, (_, i) => i * chunk),
        sendFrom,
        { concurrency: callsInFlight, discard: true }
      )))
  )
})

await Effect.runPromise(program.pipe(Effect.scoped, Effect.provide(KafkaJs.layer({ brokers }))))
