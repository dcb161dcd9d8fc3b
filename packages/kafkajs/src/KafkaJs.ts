/**
 * The transport of `@sluice/kafka` over TCP and TLS, with SASL. One connection
 * of kafkajs 2.2.4 is used for each connection to a broker; nothing else of
 * kafkajs is.
 *
 * @since 0.1.0
 */
import type { ConnectionOptions } from "node:tls"

import { type Kafka, type KafkaOptions, layer as kafkaLayer } from "@sluice/kafka/Kafka"
import type { FatalError } from "@sluice/kafka/KafkaError"
import { Transport } from "@sluice/kafka/Transport"
import type * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import type { Mechanism } from "kafkajs"

import * as internal from "./internal/connection.ts"

/**
 * A token for OAUTHBEARER.
 *
 * @since 0.1.0
 * @category models
 */
export interface OauthBearerToken {
  readonly value: string | Redacted.Redacted<string>
  /** SASL extensions, sent with the token. */
  readonly extensions?: Readonly<Record<string, string>> | undefined
}

/**
 * How to authenticate: kafkajs' own settings, with secrets that should be
 * `Redacted`. A token provider is asked before each authentication, the
 * repeated ones of a long connection too (KIP-368), and must reuse and refresh
 * its tokens itself; where it fails, the connection fails as one that may be
 * tried again. `authenticationProvider` is kafkajs' way to add a mechanism.
 *
 * @since 0.1.0
 * @category models
 */
export type SaslOptions =
  | {
    readonly mechanism: "plain" | "scram-sha-256" | "scram-sha-512"
    readonly username: string
    readonly password: string | Redacted.Redacted<string>
  }
  | {
    readonly mechanism: "aws"
    readonly authorizationIdentity: string
    readonly accessKeyId: string
    readonly secretAccessKey: string | Redacted.Redacted<string>
    readonly sessionToken?: string | Redacted.Redacted<string> | undefined
  }
  | {
    readonly mechanism: "oauthbearer"
    readonly oauthBearerProvider: (() => Promise<OauthBearerToken>) | Effect.Effect<OauthBearerToken, unknown>
  }
  | Readonly<Mechanism>

/**
 * How to secure connections.
 *
 * @since 0.1.0
 * @category models
 */
export interface TransportOptions {
  /** `true`, or Node's options, for TLS; the host is checked against the broker's certificate. Off by default. */
  readonly ssl?: boolean | Omit<ConnectionOptions, "socket"> | undefined
  /** Off by default. */
  readonly sasl?: SaslOptions | undefined
}

/**
 * Where the cluster is, how to connect to it, and how patient to be.
 *
 * @since 0.1.0
 * @category models
 */
export interface KafkaJsOptions extends KafkaOptions, TransportOptions {}

/**
 * The driver alone: how connections are opened, without where to.
 *
 * @since 0.1.0
 * @category layers
 */
export const transport = (options: TransportOptions = {}): Layer.Layer<Transport> =>
  Layer.succeed(Transport, { connect: internal.connect(options) })

/**
 * A client of a Kafka cluster over TCP. Checks the options; connects when it is
 * first used.
 *
 * @example
 * ```ts
 * import { KafkaJs } from "@sluice/kafkajs"
 * import { Redacted } from "effect"
 *
 * export const KafkaLive = KafkaJs.layer({
 *   brokers: "broker-1.example.com:9093,broker-2.example.com:9093",
 *   clientId: "billing",
 *   ssl: true,
 *   sasl: { mechanism: "scram-sha-512", username: "billing", password: Redacted.make("secret") }
 * })
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: KafkaJsOptions): Layer.Layer<Kafka, FatalError> =>
  Layer.provide(kafkaLayer(options), transport(options))
