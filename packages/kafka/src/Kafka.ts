/**
 * A Kafka cluster, as a client sees it: where it is reached, who leads what.
 * Producers and consumers of one application share it.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

import * as internal from "./internal/cluster/cluster.ts"
import { Check, parseBootstrap, type Settings } from "./internal/cluster/settings.ts"
import type { FatalError } from "./KafkaError.ts"
import { Transport } from "./Transport.ts"

/**
 * What a client needs to know of its cluster.
 *
 * @since 0.1.0
 * @category models
 */
export interface KafkaOptions {
  /** Where to ask first: `"host:port"`, several in an array or with commas between them. One that answers is enough. */
  readonly brokers: string | ReadonlyArray<string>
  /** Names the application in the brokers' logs, metrics and quotas. Default `"sluice"`. */
  readonly clientId?: string | undefined
  /** For opening a connection, TLS and SASL included. Default 10 seconds. */
  readonly connectTimeout?: Duration.DurationInput | undefined
  /** How long a broker may take to answer one request. Default 30 seconds. */
  readonly requestTimeout?: Duration.DurationInput | undefined
  /** How long an operation of several attempts may take: finding the cluster, metadata, a coordinator. Default 1 minute. */
  readonly apiTimeout?: Duration.DurationInput | undefined
  /** Before the first retry; doubled each time, with jitter. Default 100 milliseconds. */
  readonly retryBackoff?: Duration.DurationInput | undefined
  /** The longest pause between retries. Default 1 second. */
  readonly retryBackoffMax?: Duration.DurationInput | undefined
  /** Metadata is asked for again when it is this old, even if nothing failed. Default 1 minute. */
  readonly metadataMaxAge?: Duration.DurationInput | undefined
  /** A longer answer of a broker ends its connection, in bytes. Default 100 MiB. */
  readonly maxFrameBytes?: number | undefined
}

/**
 * The client of one cluster. Get it from a driver's layer: `KafkaJs.layer` of
 * `@sluice/kafkajs`, or `MemoryCluster.layer` of `@sluice/testing`.
 *
 * @since 0.1.0
 * @category tags
 */
export class Kafka extends Context.Tag("@sluice/kafka/Kafka")<Kafka, {
  readonly clientId: string
  /** @internal */
  readonly cluster: internal.Cluster
}>() {}

const parse = (options: KafkaOptions): Effect.Effect<Settings, FatalError> => {
  const check = new Check("Kafka")
  return Effect.gen(function*() {
    const clientId = options.clientId ?? "sluice"
    if (typeof clientId !== "string" || clientId.length > 249) {
      return yield* check.fail("clientId", "must be a string of at most 249 characters")
    }
    const retryBackoff = yield* check.duration("retryBackoff", options.retryBackoff, 100, { min: 1 })
    return {
      bootstrap: yield* parseBootstrap(options.brokers),
      clientId,
      connectTimeout: yield* check.duration("connectTimeout", options.connectTimeout, "10 seconds", { min: 1 }),
      requestTimeout: yield* check.duration("requestTimeout", options.requestTimeout, "30 seconds", { min: 1 }),
      apiTimeout: yield* check.duration("apiTimeout", options.apiTimeout, "1 minute", { min: 1 }),
      retryBackoff,
      retryBackoffMax: yield* check.duration("retryBackoffMax", options.retryBackoffMax, "1 second", {
        min: options.retryBackoffMax === undefined ? 0 : retryBackoff
      }),
      metadataMaxAge: yield* check.duration("metadataMaxAge", options.metadataMaxAge, "1 minute", {
        min: "100 millis"
      }),
      maxFrameBytes: yield* check.integer("maxFrameBytes", options.maxFrameBytes, 100 * 1024 * 1024, { min: 1024 })
    }
  })
}

/**
 * The client over a transport. Checks the options; reaches the cluster when it
 * is first used.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: KafkaOptions): Layer.Layer<Kafka, FatalError, Transport> =>
  Layer.scoped(
    Kafka,
    Effect.gen(function*() {
      const settings = yield* parse(options)
      const transport = yield* Transport
      return { clientId: settings.clientId, cluster: yield* internal.make(transport, settings) }
    })
  )
