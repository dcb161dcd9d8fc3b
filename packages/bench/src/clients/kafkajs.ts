import { Kafka, logLevel, type Message, Partitioners } from "kafkajs"

import type { Connect } from "../client.ts"
import { keyOf, OrderCheck, valueOf } from "../records.ts"
import { promiseModes } from "./promises.ts"

/** kafkajs as it comes; idempotent with one request in flight, as its documentation asks. */
export const connect: Connect = async ({ brokers, idempotent, mode, topic }) => {
  const kafka = new Kafka({ brokers: brokers.split(","), logLevel: logLevel.ERROR })
  if (mode === "consume") {
    const consumer = kafka.consumer({ groupId: `bench-${process.pid}` })
    return {
      modes: {},
      consume: async (records) => {
        const check = new OrderCheck()
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
        if (check.count !== records) throw new Error(`${check.count} records instead of ${records}`)
      },
      close: () => consumer.disconnect()
    }
  }
  const producer = kafka.producer({
    createPartitioner: Partitioners.DefaultPartitioner,
    ...(idempotent ? { idempotent, maxInFlightRequests: 1 } : {})
  })
  await producer.connect()
  return {
    modes: promiseModes(
      (index): Message => ({ key: keyOf(index), value: valueOf(index) }),
      (messages) => producer.sendBatch({ acks: -1, topicMessages: [{ topic, messages }] })
    ),
    close: () => producer.disconnect()
  }
}
