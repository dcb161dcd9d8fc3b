/** Our own client over TCP, for tests. */
import { Kafka, type KafkaError } from "@sluice/kafka"
import { KafkaJs } from "@sluice/kafkajs"
import { Effect, Layer } from "effect"

/** A client of a cluster, with short pauses between retries. */
export const client = (
  brokers: string,
  options: Partial<Kafka.KafkaOptions> & KafkaJs.TransportOptions = {}
): Layer.Layer<Kafka.Kafka, KafkaError.FatalError> => {
  const { sasl, ssl, ...kafka } = options
  return Kafka.layer({ brokers, clientId: "sluice-test", retryBackoff: "20 millis", ...kafka }).pipe(
    Layer.provide(KafkaJs.transport({ sasl, ssl }))
  )
}

/** Sockets, timers and whatever else keeps this process alive, one name each. */
export const activeResources: Effect.Effect<ReadonlyArray<string>> = Effect.sync(() => process.getActiveResourcesInfo())
