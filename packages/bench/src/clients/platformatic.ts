import { Consumer, MessagesStreamFallbackModes, ProduceAcks, Producer } from "@platformatic/kafka"

import type { Connect, Read } from "../client.ts"
import { keyOf, valueOf } from "../records.ts"
import { promiseModes } from "./promises.ts"

/** `@platformatic/kafka` with acks all. */
export const connect: Connect = async ({ brokers, idempotent, topic }) => {
  const producer = new Producer({
    clientId: "bench",
    bootstrapBrokers: brokers.split(","),
    acks: ProduceAcks.ALL,
    idempotent
  })
  return {
    modes: promiseModes(
      (index) => ({ topic, key: keyOf(index), value: valueOf(index) }),
      (messages) => producer.send({ messages })
    ),
    close: () => producer.close()
  }
}

/** Tuned: its default of 50 MiB a fetch takes it time that grows with the square of what comes. */
const run: Read = async ({ brokers, group, records, topic, tuned }, check) => {
  const consumer = new Consumer({
    clientId: "bench",
    bootstrapBrokers: brokers.split(","),
    groupId: group,
    ...(tuned ? { maxBytes: 2 ** 20, highWaterMark: 10_000 } : {})
  })
  const stream = await consumer.consume({
    topics: [topic],
    mode: "committed",
    fallbackMode: MessagesStreamFallbackModes.EARLIEST,
    autocommit: true
  })
  await new Promise<void>((resolve, reject) => {
    stream.on("error", reject)
    stream.on("data", ({ key, value }) => {
      check.see(key, value)
      if (check.count === records) resolve()
    })
  })
  await stream.close()
  await consumer.close()
}

export const readers = { run }
