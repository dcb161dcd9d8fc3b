/** Our own client over TCP, for tests. */
import type { Kafka, KafkaError } from "@sluice/kafka"
import { KafkaJs } from "@sluice/kafkajs"
import { Effect, type Layer } from "effect"

/** A client of a cluster, with short pauses between retries. */
export const client = (
  brokers: string,
  options: Partial<KafkaJs.KafkaJsOptions> = {}
): Layer.Layer<Kafka.Kafka, KafkaError.FatalError> =>
  KafkaJs.layer({ brokers, clientId: "sluice-test", retryBackoff: "20 millis", ...options })

/** Sockets, timers and whatever else keeps this process alive, one name each. */
export const activeResources: Effect.Effect<ReadonlyArray<string>> = Effect.sync(() => process.getActiveResourcesInfo())
