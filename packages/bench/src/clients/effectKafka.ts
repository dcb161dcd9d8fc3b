import { Effect, Exit, Layer, Scope, Stream } from "effect"
import * as Consumer from "effect-kafka/Consumer"
import { KafkaJS } from "effect-kafka/KafkaJS"
import * as Producer from "effect-kafka/Producer"
import { logLevel } from "kafkajs"

import type { Connect, Job, Read } from "../client.ts"
import { keyOf, valueOf } from "../records.ts"
import { effectModes } from "./effects.ts"

const kafka = ({ brokers }: Job) => KafkaJS.layer({ brokers: brokers.split(","), logLevel: logLevel.ERROR })

/** effect-kafka over kafkajs, its first engine. */
export const connect: Connect = async (job) => {
  const { idempotent, topic } = job
  const scope = Effect.runSync(Scope.make())
  const instance = await Effect.runPromise(Layer.buildWithScope(kafka(job), scope))
  const producer = await Effect.runPromise(
    Producer.makeProducer({ acks: -1, idempotent }).pipe(Effect.provide(instance), Scope.extend(scope))
  )
  return {
    modes: effectModes(
      (index) => ({ key: keyOf(index), value: valueOf(index) }),
      (message) => producer.send({ topic, messages: [message] }),
      (messages) => producer.send({ topic, messages })
    ),
    close: () => Effect.runPromise(Scope.close(scope, Exit.void))
  }
}

/** It commits as kafkajs does, once it has handed over a batch. */
const run: Read = (job, check) =>
  Consumer.serveStream(job.topic).pipe(
    Stream.takeUntil(({ key, value }) => {
      check.see(key!, value!)
      return check.count >= job.records
    }),
    Stream.runDrain,
    Effect.provide(Consumer.layer({ groupId: job.group, fromBeginning: true })),
    Effect.provide(kafka(job)),
    Effect.runPromise
  )

export const readers = { run }
