import { ProduceAcks, Producer } from "@platformatic/kafka"

import type { Connect } from "../client.ts"
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
