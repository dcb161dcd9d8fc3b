import { Kafka, logLevel } from "kafkajs"

import { measure, OrderCheck } from "../measure.ts"

const [brokers = "", topic = "", count = "0"] = process.argv.slice(2)
const records = Number(count)
const check = new OrderCheck()

const consumer = new Kafka({ brokers: brokers.split(","), logLevel: logLevel.ERROR }).consumer({
  groupId: `bench-${process.pid}`
})
await measure(records, async () => {
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await new Promise<void>((resolve, reject) => {
    consumer.run({
      eachBatch: async ({ batch }) => {
        for (const { key, value } of batch.messages) check.see(key!, value!)
        if (check.count >= records) resolve()
      }
    }).catch(reject)
  })
})
await consumer.disconnect()
if (check.count !== records) throw new Error(`${check.count} records instead of ${records}`)
