import { Consumer, Serde, Topic } from "@sluice/kafka"
import { KafkaJs } from "@sluice/kafkajs"
import { Chunk, Effect, Stream } from "effect"

import { measure, OrderCheck } from "../measure.ts"

const [brokers = "", name = "", count = "0"] = process.argv.slice(2)
const records = Number(count)
const topic = Topic.make(name, { key: Serde.bytes, value: Serde.bytes })
const check = new OrderCheck()

const program = Effect.gen(function*() {
  const consumer = yield* Consumer.make({ groupId: `bench-${process.pid}`, topics: [topic] })
  yield* consumer.records.pipe(
    Stream.mapChunks((chunk) => {
      for (const record of Chunk.toReadonlyArray(chunk)) check.see(record.key!, record.value)
      return chunk
    }),
    Stream.takeUntil(() => check.count >= records),
    Stream.run(consumer.commitSink)
  )
}).pipe(Effect.scoped)

await measure(records, () => Effect.runPromise(program.pipe(Effect.provide(KafkaJs.layer({ brokers })))))
if (check.count !== records) throw new Error(`${check.count} records instead of ${records}`)
