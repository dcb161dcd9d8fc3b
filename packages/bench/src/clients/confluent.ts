import { createRequire } from "node:module"

import type { Connect } from "../client.ts"
import { keyOf, valueOf } from "../records.ts"
import { promiseModes } from "./promises.ts"

/** The part of confluent's API that is used here: it is no dependency, since it does not install everywhere. */
interface Confluent {
  readonly KafkaJS: {
    readonly Kafka: new(options: object) => {
      readonly producer: (options: object) => {
        readonly connect: () => Promise<void>
        readonly send: (batch: { readonly topic: string; readonly messages: Array<object> }) => Promise<unknown>
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
