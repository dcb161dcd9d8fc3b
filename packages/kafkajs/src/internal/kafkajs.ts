/**
 * The one module that reaches into kafkajs: its `network/connection`, which
 * gives correlation ids, the queue of requests in flight and SASL. Nothing
 * above it (cluster, broker pool, retry, producer, consumer) is used.
 */
import type { EventEmitter } from "node:events"
import { createRequire } from "node:module"

import type { BrokerAddress } from "@sluice/kafka/Transport"

/** The release whose files this module knows. */
const expectedVersion = "2.2.4"

const require = createRequire(import.meta.url)

const { version } = require("kafkajs/package.json") as { readonly version: string }
if (version !== expectedVersion) {
  throw new Error(
    `@sluice/kafkajs uses internals of kafkajs ${expectedVersion} and found kafkajs ${version}: ` +
      `install exactly kafkajs@${expectedVersion}`
  )
}

/** What kafkajs keeps of a request in flight: exactly one of the callbacks is called, once; they must not throw. */
export interface RequestEntry {
  readonly apiKey: number
  readonly apiName: string
  readonly apiVersion: number
  readonly correlationId: number
  readonly resolve: (response: { readonly payload: Buffer }) => void
  readonly reject: (error: unknown) => void
}

/** The requests of one connection, in the order in which they were written. */
export interface RequestQueue {
  /** By correlation id, oldest first. */
  readonly inflight: ReadonlyMap<number, unknown>
  readonly push: (request: {
    readonly entry: RequestEntry
    readonly expectResponse: boolean
    readonly requestTimeout: null
    readonly sendRequest: () => void
  }) => void
  readonly fulfillRequest: (response: {
    readonly size: number
    readonly correlationId: number
    readonly payload: Buffer
  }) => void
}

/** A SASL configuration as kafkajs takes it, with its secrets in the clear. kafkajs writes to it: use each object once. */
export interface SaslConfig {
  readonly mechanism: string
  readonly [option: string]: unknown
}

/** One TCP connection as kafkajs sees it. */
export interface KafkaJsConnection {
  readonly requestQueue: RequestQueue
  /** Milliseconds that the broker grants after an authentication (KIP-368); 0 without a limit. */
  readonly sessionLifetime: { readonly toNumber: () => number }
  /** Read by `authenticate` alone. */
  sasl: SaslConfig | null
  /** `authenticate` does nothing unless this is null. */
  authenticatedAt: unknown
  readonly connect: () => Promise<unknown>
  readonly authenticate: () => Promise<void>
  readonly nextCorrelationId: () => number
}

/** What kafkajs uses of a socket. It listens to `data`, `end`, `error` and `timeout`. */
export interface KafkaJsSocket extends EventEmitter {
  readonly write: (bytes: Uint8Array) => unknown
  readonly end: () => void
  readonly unref: () => void
}

const Connection = require("kafkajs/src/network/connection") as new(options: {
  readonly host: string
  readonly port: number
  readonly clientId: string
  readonly ssl: null
  readonly sasl: null
  readonly logger: typeof silentLogger
  readonly socketFactory: (options: { readonly onConnect: () => void }) => KafkaJsSocket
  readonly connectionTimeout: number
  readonly requestTimeout: number
  readonly enforceRequestTimeout: boolean
  readonly maxInFlightRequests: null
}) => KafkaJsConnection & {
  readonly requestQueue: { scheduleCheckPendingRequests: () => void; maybeThrottle: () => void }
  readonly setVersions: (versions: Record<number, { readonly minVersion: number; readonly maxVersion: number }>) => void
  readonly setSupportAuthenticationProtocol: (isSupported: boolean) => void
}

const nothing = (): void => {}

/** kafkajs logs every failure, and our own close, as errors; failures are values here. */
const silentLogger = {
  namespace: () => silentLogger,
  setLogLevel: nothing,
  debug: nothing,
  info: nothing,
  warn: nothing,
  error: nothing
}

/** The longest that a timer takes: kafkajs' own connect timeout is off, ours is on Effect's clock. */
const never = 2 ** 31 - 1

const saslHandshake = 17
const saslAuthenticate = 36

/** A kafkajs connection with its timers off, to be connected once. `open` is called by `connect`. */
export const makeConnection = (options: {
  readonly address: BrokerAddress
  readonly clientId: string
  readonly open: (onConnect: () => void) => KafkaJsSocket
}): KafkaJsConnection => {
  const connection = new Connection({
    host: options.address.host,
    port: options.address.port,
    clientId: options.clientId,
    ssl: null,
    sasl: null,
    logger: silentLogger,
    socketFactory: ({ onConnect }) => options.open(onConnect),
    connectionTimeout: never,
    requestTimeout: 0,
    enforceRequestTimeout: false,
    maxInFlightRequests: null
  })
  // On the instance: its prototype belongs to the application's own kafkajs too. It would re-arm a 1 ms timer for ever.
  connection.requestQueue.scheduleCheckPendingRequests = nothing
  connection.requestQueue.maybeThrottle = nothing
  // Without these two, `authenticate` waits for ever. Every broker since 2.2 has both versions.
  connection.setVersions({
    [saslHandshake]: { minVersion: 1, maxVersion: 1 },
    [saslAuthenticate]: { minVersion: 1, maxVersion: 1 }
  })
  connection.setSupportAuthenticationProtocol(true)
  return connection
}

/**
 * Whether an error of `authenticate` is a refusal, by the broker or of what was configured, and not a failure to find
 * out. By name: a custom mechanism may bring errors of another copy of kafkajs.
 */
export const isRefusal = (error: unknown): boolean =>
  error instanceof Error &&
  (error.name === "KafkaJSSASLAuthenticationError" || error.name === "KafkaJSProtocolError")
