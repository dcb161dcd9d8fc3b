import { type Consumer, type EachMessageHandler, Kafka, logLevel, type Message, Partitioners } from "kafkajs"

import type { Connect, Job, Listen, Read } from "../client.ts"
import { keyOf, valueOf } from "../records.ts"
import { promiseModes } from "./promises.ts"

const kafkaOf = ({ brokers }: Job): Kafka => new Kafka({ brokers: brokers.split(","), logLevel: logLevel.ERROR })

/** kafkajs as it comes; idempotent with one request in flight, as its documentation asks. */
export const connect: Connect = async (job) => {
  const { idempotent, topic } = job
  const producer = kafkaOf(job).producer({
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

const subscribed = async (job: Job): Promise<Consumer> => {
  const consumer = kafkaOf(job).consumer({ groupId: job.group })
  await consumer.connect()
  await consumer.subscribe({ topic: job.topic, fromBeginning: true })
  return consumer
}

/** It commits after each batch: disconnecting waits for that. */
const records: Read = async (job, check) => {
  const consumer = await subscribed(job)
  await new Promise<void>((resolve, reject) => {
    consumer.run({
      eachBatch: async ({ batch }) => {
        for (const { key, value } of batch.messages) check.see(key!, value!)
        if (check.count >= job.records) resolve()
      }
    }).catch(reject)
  })
  await consumer.disconnect()
}

const run: Read = async (job, check) => {
  const consumer = await subscribed(job)
  await new Promise<void>((resolve, reject) => {
    consumer.run({
      eachMessage: async ({ message: { key, value } }) => {
        check.see(key!, value!)
        if (check.count >= job.records) resolve()
      }
    }).catch(reject)
  })
  await consumer.disconnect()
}

export const readers = { records, run }

export const listen: Listen = async (job, onRecord) => {
  const consumer = await subscribed(job)
  const eachMessage: EachMessageHandler = async ({ message: { key, value } }) => onRecord(key!, value!)
  await new Promise<void>((resolve, reject) => {
    consumer.on("consumer.group_join", () => resolve())
    consumer.run({ eachMessage }).catch(reject)
  })
  return () => consumer.disconnect()
}
