/**
 * One connection to one broker: bytes out, bytes in.
 *
 * The client engine does everything else itself (bootstrap, routing, retries,
 * deadlines, throttling), so that a driver is small and a fault is a function
 * around a connection. `@sluice/kafkajs` implements it over TCP and TLS,
 * `@sluice/testing` in memory.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/**
 * Where a broker listens.
 *
 * @since 0.1.0
 * @category models
 */
export interface BrokerAddress {
  readonly host: string
  readonly port: number
}

/**
 * What a connection needs to know beside the address.
 *
 * @since 0.1.0
 * @category models
 */
export interface ConnectOptions {
  /** Sent in the header of each request; brokers log it and apply quotas by it. */
  readonly clientId: string
  /** For the whole of opening: TCP, TLS and SASL. */
  readonly connectTimeout: Duration.Duration
  /** A longer response frame, in bytes, fails the connection before it is buffered. */
  readonly maxFrameBytes: number
}

/**
 * One request, without size and header: the driver adds them with its
 * correlation id (`requestHeader` in `internal/protocol/header.ts`).
 *
 * @since 0.1.0
 * @category models
 */
export interface RequestFrame {
  readonly apiKey: number
  readonly apiVersion: number
  /** 2 for flexible versions, else 1. */
  readonly headerVersion: 1 | 2
  /** The body in parts, written one after the other and never copied together. They must not change until they are written. */
  readonly body: ReadonlyArray<Uint8Array>
  /** Only Produce with `acks: "none"` expects no response. */
  readonly expectResponse: boolean
}

/**
 * A connection failed. `written` says whether the broker may have got the
 * request: `false` only where it surely did not.
 *
 * @since 0.1.0
 * @category errors
 */
export class TransportError extends Data.TaggedError("TransportError")<{
  readonly reason:
    /** Refused, unreachable, unknown host, cut off before it was up, or not up within `connectTimeout`. */
    | "ConnectFailed"
    /** The TLS handshake failed for good: a certificate that is not trusted, an alert, or an answer that is not TLS. */
    | "TlsFailed"
    /** SASL refused the credentials or the mechanism. */
    | "AuthenticationFailed"
    /** What came was not a Kafka response, or longer than `maxFrameBytes`. */
    | "InvalidFrame"
    /** An open connection broke. */
    | "ConnectionLost"
    /** The connection was closed on this side. */
    | "Closed"
  readonly address: BrokerAddress
  readonly message: string
  readonly written: boolean
  readonly cause?: unknown
}> {}

/**
 * An open, authenticated connection. It never reopens.
 *
 * @since 0.1.0
 * @category models
 */
export interface Connection {
  /**
   * Writes at once, in the order of the calls; the inner effect, to be run once,
   * awaits the response: the bytes after its correlation id. Without
   * `expectResponse` it awaits the socket's own write and gives an empty array.
   * Interrupting it, or never running it, drops the response; the request stays
   * in flight.
   */
  readonly send: (request: RequestFrame) => Effect.Effect<Effect.Effect<Uint8Array, TransportError>, TransportError>
  /** Completes when the connection has ended, with the reason. */
  readonly closed: Effect.Effect<TransportError>
}

/**
 * Opens connections.
 *
 * @since 0.1.0
 * @category tags
 */
export class Transport extends Context.Tag("@sluice/kafka/Transport")<Transport, {
  /** Opens and authenticates one connection; it lives as long as the scope, whose closing is immediate. */
  readonly connect: (
    address: BrokerAddress,
    options: ConnectOptions
  ) => Effect.Effect<Connection, TransportError, Scope.Scope>
}>() {}
