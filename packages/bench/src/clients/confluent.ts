import { createRequire } from "node:module"

import type { Connect, Job, Read } from "../client.ts"
import { keyOf, valueOf } from "../records.ts"
import { promiseModes } from "./promises.ts"

interface Message {
  readonly key: Buffer
  readonly value: Buffer
}

/** The part of confluent's API that is used here: it is no dependency, since it does not install everywhere. */
interface Confluent {
  readonly KafkaJS: {
    readonly Kafka: new(options: object) => {
      readonly producer: (options: object) => {
        readonly connect: () => Promise<void>
        readonly send: (batch: { readonly topic: string; readonly messages: Array<object> }) => Promise<unknown>
        readonly disconnect: () => Promise<void>
      }
      readonly consumer: (options: object) => {
        readonly connect: () => Promise<void>
        readonly subscribe: (subscription: { readonly topic: string }) => Promise<void>
        readonly run: (handlers: {
          readonly eachMessage?: (payload: { readonly message: Message }) => Promise<void>
          readonly eachBatch?: (payload: { readonly batch: { readonly messages: Array<Message> } }) => Promise<void>
        }) => Promise<void>
        readonly disconnect: () => Promise<void>
      }
    }
  }
}

/** Loads it from wherever Node finds it: `NODE_PATH` counts. */
export const load = (): Confluent => createRequire(import.meta.url)("@confluentinc/kafka-javascript")

/** confluent's client by its promises, with acks all; one at a time it does not linger. */
export const connect: Connect = async ({ brokers, idempotent, mode, topic }) => {
  const { KafkaJS } = load()
  const kafka = new KafkaJS.Kafka({ kafkaJS: { brokers: brokers.split(","), logLevel: 1 } })
  const producer = kafka.producer({
    "kafkaJS": { acks: -1, idempotent },
    ...(mode === "send-1" ? { "linger.ms": 0 } : {})
  })
  await producer.connect()
  return {
    modes: promiseModes(
      (index) => ({ key: keyOf(index), value: valueOf(index) }),
      (messages) => producer.send({ topic, messages })
    ),
    close: () => producer.disconnect()
  }
}

const subscribed = async ({ brokers, group, topic }: Job) => {
  const kafka = new (load().KafkaJS.Kafka)({ kafkaJS: { brokers: brokers.split(","), logLevel: 1 } })
  const consumer = kafka.consumer({ kafkaJS: { groupId: group, fromBeginning: true } })
  await consumer.connect()
  await consumer.subscribe({ topic })
  return consumer
}

const reader =
  (handlers: (see: (message: Message) => void) => Parameters<Awaited<ReturnType<typeof subscribed>>["run"]>[0]): Read =>
  async (job, check) => {
    const consumer = await subscribed(job)
    await new Promise<void>((resolve, reject) => {
      const see = ({ key, value }: Message) => {
        check.see(key, value)
        if (check.count === job.records) resolve()
      }
      consumer.run(handlers(see)).catch(reject)
    })
    await consumer.disconnect()
  }

/** It commits what it has handed over when it disconnects. */
export const readers = {
  records: reader((see) => ({
    eachBatch: async ({ batch }) => {
      for (const message of batch.messages) see(message)
    }
  })),
  run: reader((see) => ({
    eachMessage: async ({ message }) => see(message)
  }))
}
