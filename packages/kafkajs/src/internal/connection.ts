import { formatAddress } from "@sluice/kafka/internal/errors"
import { firstOf } from "@sluice/kafka/internal/fiber"
import type { BrokerAddress, Connection, ConnectOptions, RequestFrame } from "@sluice/kafka/Transport"
import { TransportError } from "@sluice/kafka/Transport"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"

import type { SaslOptions, TransportOptions } from "../KafkaJs.ts"
import { isRefusal, type KafkaJsConnection, makeConnection, type SaslConfig } from "./kafkajs.ts"
import { noBytes, PendingRequest } from "./pendingRequest.ts"
import { saslConfig } from "./sasl.ts"
import { BrokerSocket, messageOf, type SocketFailure } from "./socket.ts"

/**
 * One connection: kafkajs' object for it, our socket under that, and what kafkajs does not do: requests without an
 * answer, requests that wait while SASL is repeated, and errors that say what may have left.
 */
class Driver {
  readonly closed: Effect.Effect<TransportError>
  readonly #address: BrokerAddress
  readonly #clientId: string
  readonly #socket: BrokerSocket
  readonly #kafkajs: KafkaJsConnection
  readonly #closed = Deferred.unsafeMake<TransportError>(FiberId.none)
  /** Requests without an answer that the system has not taken yet. */
  readonly #oneWay = new Set<PendingRequest>()
  /** While SASL is repeated: the requests that wait for its end. */
  #held: Array<PendingRequest> | undefined = undefined

  constructor(address: BrokerAddress, options: ConnectOptions, ssl: TransportOptions["ssl"]) {
    this.#address = address
    this.#clientId = options.clientId
    this.closed = Deferred.await(this.#closed)
    this.#socket = new BrokerSocket({
      address,
      tls: ssl === true ? {} : ssl === false ? undefined : ssl,
      maxFrameBytes: options.maxFrameBytes,
      onFrame: (frame) => this.#receive(frame),
      onFailure: (failure) => this.#ended(failure)
    })
    this.#kafkajs = makeConnection({
      address,
      clientId: options.clientId,
      open: (onConnect) => {
        this.#socket.open(onConnect)
        return this.#socket
      }
    })
  }

  send(frame: RequestFrame): Effect.Effect<Effect.Effect<Uint8Array, TransportError>, TransportError> {
    return Effect.suspend(() => {
      if (this.#socket.failure !== undefined) return Effect.fail(this.error(this.#socket.failure, false))
      const request = new PendingRequest(frame, (start) => this.#noAnswer(start))
      if (this.#held === undefined) this.#write(request)
      else this.#held.push(request)
      return Effect.succeed(request.answer)
    })
  }

  /** TCP and TLS. */
  connect(): Effect.Effect<void, SocketFailure> {
    return Effect.tryPromise({
      try: () => this.#kafkajs.connect(),
      catch: (cause) => this.#failure("connect", cause)
    })
  }

  /** SASL, for the first time. Gives the milliseconds that the broker grants; 0 without a limit. */
  authenticate(options: SaslOptions): Effect.Effect<number, SocketFailure> {
    return Effect.suspend(() => {
      this.#socket.phase = "SASL"
      return Effect.flatMap(this.#credentials(options), (config) => this.#exchange(config))
    }).pipe(
      Effect.tap(() => {
        this.#socket.phase = "open"
      })
    )
  }

  /**
   * SASL again, over the open connection (KIP-368). The broker answers what is in flight, but closes if a request comes
   * between the messages of SASL: what is sent meanwhile waits.
   */
  reauthenticate(options: SaslOptions): Effect.Effect<number, SocketFailure> {
    return Effect.flatMap(this.#credentials(options), (config) =>
      Effect.suspend(() => {
        this.#held = []
        return this.#exchange(config)
      })).pipe(Effect.tap(() => this.#release()))
  }

  /** Ends the connection at once. Only the first call counts. */
  fail(failure: SocketFailure): void {
    this.#socket.fail(failure)
  }

  /** The time for opening is up. */
  openTimeout(timeout: Duration.Duration): SocketFailure {
    const { phase } = this.#socket
    const missing = phase === "TCP" ? "no connection" : phase === "TLS" ? "no TLS handshake" : "no SASL authentication"
    return { reason: "ConnectFailed", message: `${missing} within ${Duration.format(timeout)}` }
  }

  error(failure: SocketFailure, written: boolean): TransportError {
    return new TransportError({
      ...failure,
      address: this.#address,
      message: `${formatAddress(this.#address)}: ${failure.message}`,
      written
    })
  }

  #credentials(options: SaslOptions): Effect.Effect<SaslConfig, SocketFailure> {
    return Effect.mapError(saslConfig(options), (cause) => this.#failure("the provider of tokens failed", cause))
  }

  #exchange(config: SaslConfig): Effect.Effect<number, SocketFailure> {
    const kafkajs = this.#kafkajs
    return Effect.tryPromise({
      try: async () => {
        kafkajs.sasl = config
        kafkajs.authenticatedAt = null
        try {
          await kafkajs.authenticate()
        } finally {
          // Secrets are kept no longer than they are needed.
          kafkajs.sasl = null
        }
        return kafkajs.sessionLifetime.toNumber()
      },
      catch: (cause) => {
        const failure = this.#failure(`SASL ${config.mechanism.toUpperCase()}`, cause)
        const refused = this.#socket.failure === undefined && isRefusal(cause)
        return refused ? { ...failure, reason: "AuthenticationFailed" as const } : failure
      }
    })
  }

  /** The first cause: of the socket if that has failed, of which everything else is a consequence. */
  #failure(what: string, cause: unknown): SocketFailure {
    if (this.#socket.failure !== undefined) return this.#socket.failure
    const reason = this.#socket.phase === "open" ? "ConnectionLost" : "ConnectFailed"
    return { reason, message: `${what}: ${messageOf(cause)}`, cause }
  }

  #write(request: PendingRequest): void {
    request.correlationId = this.#kafkajs.nextCorrelationId()
    if (!request.expectResponse) {
      // Past kafkajs' queue, which takes such a request for done before it is written.
      this.#oneWay.add(request)
      request.write(this.#socket, this.#clientId, () => {
        this.#oneWay.delete(request)
        request.resolve({ payload: noBytes })
      })
      return
    }
    this.#kafkajs.requestQueue.push({
      entry: request,
      expectResponse: true,
      requestTimeout: null,
      sendRequest: () => request.write(this.#socket, this.#clientId)
    })
  }

  #release(): void {
    const held = this.#held ?? []
    this.#held = undefined
    for (const request of held) this.#write(request)
  }

  #receive(frame: Buffer): void {
    const { requestQueue } = this.#kafkajs
    const correlationId = frame.readInt32BE(0)
    // A broker answers in the order of the requests; kafkajs would only log an answer to nothing.
    const oldest = requestQueue.inflight.keys().next().value
    if (correlationId !== oldest) {
      const expected = oldest === undefined ? "none is in flight" : `${oldest} is the oldest in flight`
      this.fail({ reason: "InvalidFrame", message: `a response to request ${correlationId}, but ${expected}` })
      return
    }
    requestQueue.fulfillRequest({ correlationId, size: frame.length, payload: frame.subarray(4) })
  }

  /** kafkajs has rejected what is in its queue: now the others. */
  #ended(failure: SocketFailure): void {
    for (const request of this.#oneWay) request.reject()
    this.#oneWay.clear()
    for (const request of this.#held ?? []) request.reject()
    this.#held = undefined
    Deferred.unsafeDone(this.#closed, Effect.succeed(this.error(failure, true)))
  }

  /** Why a request that starts there has no answer. */
  #noAnswer(start: number | undefined): TransportError {
    return this.error(this.#socket.failure!, start !== undefined && this.#socket.mayHaveLeft(start))
  }
}

const closedHere: SocketFailure = { reason: "Closed", message: "the connection was closed by this client" }

/** Milliseconds that must lie between two authentications of a connection, with a margin: brokers refuse it sooner. */
const betweenAuthentications = 1_100

/** Repeats SASL before each session ends; a failure ends the connection. */
const keepAuthenticated = (
  driver: Driver,
  sasl: SaslOptions,
  timeout: Duration.Duration,
  sessionLifetime: number
): Effect.Effect<void> =>
  Random.nextRange(0.8, 0.9).pipe(
    Effect.flatMap((part) => Effect.sleep(Math.max(part * sessionLifetime, betweenAuthentications))),
    Effect.zipRight(
      Effect.timeoutFail(driver.reauthenticate(sasl), {
        duration: timeout,
        onTimeout: (): SocketFailure => ({
          reason: "ConnectionLost",
          message: `SASL could not be repeated within ${Duration.format(timeout)}`
        })
      })
    ),
    Effect.matchEffect({
      onFailure: (failure) => Effect.sync(() => driver.fail(failure)),
      onSuccess: (next) => next > 0 ? keepAuthenticated(driver, sasl, timeout, next) : Effect.void
    })
  )

/** `connect` of the transport: opens and authenticates one connection, which lives as long as the scope. */
export const connect =
  (settings: TransportOptions) =>
  (address: BrokerAddress, options: ConnectOptions): Effect.Effect<Connection, TransportError, Scope.Scope> =>
    Effect.uninterruptible(Effect.gen(function*() {
      const { connectTimeout } = options
      const { sasl, ssl } = settings
      const driver = new Driver(address, options, ssl)
      const sessionLifetime = yield* driver.connect().pipe(
        Effect.zipRight(sasl === undefined ? Effect.succeed(0) : driver.authenticate(sasl)),
        Effect.timeoutFail({ duration: connectTimeout, onTimeout: () => driver.openTimeout(connectTimeout) }),
        Effect.mapError((failure) => driver.error(failure, false)),
        // Whatever region the caller is in: the timeout works by interruption, and nothing is lost by one here.
        Effect.interruptible,
        Effect.onError(() => Effect.sync(() => driver.fail(closedHere)))
      )
      yield* Effect.addFinalizer(() => Effect.sync(() => driver.fail(closedHere)))
      if (sasl !== undefined && sessionLifetime > 0) {
        yield* firstOf(keepAuthenticated(driver, sasl, connectTimeout, sessionLifetime), driver.closed).pipe(
          Effect.interruptible,
          Effect.forkScoped
        )
      }
      return { closed: driver.closed, send: (request) => driver.send(request) }
    }))
