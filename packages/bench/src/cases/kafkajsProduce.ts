import { Kafka, logLevel, Partitioners } from "kafkajs"

import { firstKey, keys, makeValues, measure } from "../measure.ts"

const [brokers = "", topic = "", count = "0"] = process.argv.slice(2)
const records = Number(count)
const values = makeValues(records)

const chunk = 1000
const callsInFlight = 5

const producer = new Kafka({ brokers: brokers.split(","), logLevel: logLevel.ERROR }).producer({
  createPartitioner: Partitioners.DefaultPartitioner
})
await producer.connect()
await producer.send({ topic, messages: [{ key: firstKey, value: values[0]! }] })
await measure(records, async () => {
  let next = 0
  const lane = async () => {
    while (next < records) {
      const start = next
      next += chunk
      const messages = []
      for (let i = start; i < Math.min(records, start + chunk); i++) {
        messages.push({ key: keys[i % keys.length]!, value: values[i]! })
      }
      await producer.sendBatch({ acks: -1, topicMessages: [{ topic, messages }] })
    }
  }
  await Promise.all(Array.from({ length: callsInFlight }, lane))
})
await producer.disconnect()
