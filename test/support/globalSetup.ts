/** One broker for all tests of the project `kafka`; tests read its addresses with `inject("kafka")`. */
import type { TestProject } from "vitest/node"

import { type KafkaAddresses, startKafka } from "./kafka.ts"

declare module "vitest" {
  export interface ProvidedContext {
    /** The broker of the run: Apache Kafka with TLS and SASL listeners, or whatever `KAFKA_BROKERS` names. */
    readonly kafka: KafkaAddresses
  }
}

/** Starts the broker, or takes the cluster that the variable `KAFKA_BROKERS` (`host:port,host:port`) names. */
export default async (project: TestProject): Promise<() => Promise<void>> => {
  const given = process.env["KAFKA_BROKERS"]
  if (given !== undefined && given !== "") {
    project.provide("kafka", { brokers: given, listeners: { plaintext: given }, ca: undefined })
    return async () => {}
  }
  const { brokers, ca, listeners, stop } = await startKafka({ sasl: true })
  project.provide("kafka", { brokers, listeners, ca })
  return stop
}
