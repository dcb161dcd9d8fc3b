import { Effect, Exit, Layer, Scope } from "effect"
import { KafkaJS } from "effect-kafka/KafkaJS"
import * as Producer from "effect-kafka/Producer"
import { logLevel } from "kafkajs"

import type { Connect } from "../client.ts"
import { keyOf, valueOf } from "../records.ts"
import { effectModes } from "./effects.ts"

/** effect-kafka over kafkajs, its first engine. */
export const connect: Connect = async ({ brokers, idempotent, topic }) => {
  const scope = Effect.runSync(Scope.make())
  const instance = await Effect.runPromise(Layer.buildWithScope(
    KafkaJS.layer({ brokers: brokers.split(","), logLevel: logLevel.ERROR }),
    scope
  ))
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
