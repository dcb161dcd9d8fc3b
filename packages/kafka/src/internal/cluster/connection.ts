import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as RuntimeFlags from "effect/RuntimeFlags"
import * as Scope from "effect/Scope"

import { FatalError, type KafkaError, RetriableError } from "../../KafkaError.ts"
import type { BrokerAddress, Connection, Transport } from "../../Transport.ts"
import { TransportError } from "../../Transport.ts"
import { Alarm } from "../alarm.ts"
import { formatAddress, fromTransport, requestTimeout } from "../errors.ts"
import { detached, hasStopped, once } from "../fiber.ts"
import { ApiVersions, decodeApiVersionsResponse } from "../protocol/api/apiVersions.ts"
import { chooseVersion } from "../protocol/apis.ts"
import { decodeResponse, encodeRequest } from "../protocol/codec.ts"
import type { AnyApi, RequestInput, ResponseOf } from "../protocol/field.ts"
import { requestHeaderVersion, responseBody } from "../protocol/header.ts"
import { monotonicMillis } from "../time.ts"
import type { Settings } from "./settings.ts"

/** How one request is to be sent. */
export interface RequestOptions {
  /** Until the answer; the client's `requestTimeout` by default. Past it the connection is closed: what still comes has no owner. */
  readonly timeout?: Duration.Duration
  /** Not above this version, where a newer one means something else. */
  readonly maxVersion?: number
  /** Interrupting the wait closes the connection, since a broker serves one request at a time: for what it holds back. */
  readonly closeOnInterrupt?: boolean
}

/**
 * One connection to one broker that speaks the protocol: versions agreed on,
 * requests encoded, answers decoded, timeouts kept and throttling obeyed. A
 * connection that failed is never revived.
 */
export interface BrokerConnection {
  readonly address: BrokerAddress
  readonly isOpen: () => boolean
  /** The version that requests of `api` use here; undefined if the broker has none in common. */
  readonly version: (api: AnyApi, maxVersion?: number) => number | undefined
  /** Writes at once, in the order of the calls; the inner effect awaits the answer. */
  readonly send: <A extends AnyApi>(
    api: A,
    body: RequestInput<A>,
    options?: RequestOptions
  ) => Effect.Effect<Effect.Effect<ResponseOf<A>, KafkaError>, KafkaError>
  /** Writes and awaits the answer. */
  readonly request: <A extends AnyApi>(
    api: A,
    body: RequestInput<A>,
    options?: RequestOptions
  ) => Effect.Effect<ResponseOf<A>, KafkaError>
  /** Writes a request that has no answer (Produce with `acks: "none"`); the inner effect awaits the socket. */
  readonly sendOneWay: <A extends AnyApi>(
    api: A,
    body: RequestInput<A>,
    options?: RequestOptions
  ) => Effect.Effect<Effect.Effect<void, KafkaError>, KafkaError>
  /** Waits while the broker wants to hear nothing (KIP-219). Requests wait by themselves; this is for who would rather wait before making one. */
  readonly unthrottled: Effect.Effect<void>
  /** Completes when the connection has ended. */
  readonly closed: Effect.Effect<void>
  readonly close: Effect.Effect<void>
}

/** What a broker asks for beyond a quota window or two is a mistake, in milliseconds. */
const maxThrottle = 60_000
const softwareName = "sluice-kafka"
const softwareVersion = "0.1.0"

/**
 * Opens a connection and agrees on versions, within the connect timeout for
 * each. To be run uninterruptibly, so that no opened connection is lost on the
 * way to its owner, who closes it; `restore` makes the waits interruptible.
 */
export const open = (
  transport: Transport["Type"],
  settings: Settings,
  address: BrokerAddress,
  restore: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
): Effect.Effect<BrokerConnection, KafkaError> =>
  Effect.flatMap(Scope.make(), (scope) => {
    const opened = Effect.gen(function*() {
      const connection = yield* transport.connect(address, {
        clientId: settings.clientId,
        connectTimeout: settings.connectTimeout,
        maxFrameBytes: settings.maxFrameBytes
      }).pipe(Scope.extend(scope), Effect.mapError(fromTransport))
      const self = new NegotiatedConnection(connection, scope, settings, address, yield* Effect.clock)
      yield* Effect.forkIn(Effect.interruptible(detached(self.keepDeadlines)), scope)
      yield* self.negotiate
      return self
    })
    return Effect.onError(restore(opened), () => Scope.close(scope, Exit.void))
  })

/** A request whose answer somebody waits for. */
interface AwaitedRequest {
  /** In milliseconds of {@link monotonicMillis}. */
  readonly deadline: number
  /** Who waits. */
  readonly fiber: Fiber.RuntimeFiber<unknown, unknown>
  isLate: boolean
}

class NegotiatedConnection implements BrokerConnection {
  readonly address: BrokerAddress
  readonly closed: Effect.Effect<void>
  readonly close: Effect.Effect<void>
  readonly negotiate: Effect.Effect<void, KafkaError>
  readonly #connection: Connection
  readonly #settings: Settings
  readonly #clock: Clock.Clock
  readonly #versions = new Map<number, readonly [min: number, max: number]>([[ApiVersions.key, ApiVersions.versions]])
  readonly #awaited = new Set<AwaitedRequest>()
  readonly #alarm: Alarm
  #open = true
  #throttledUntil = 0

  constructor(
    connection: Connection,
    scope: Scope.CloseableScope,
    settings: Settings,
    address: BrokerAddress,
    clock: Clock.Clock
  ) {
    this.address = address
    this.#connection = connection
    this.#settings = settings
    this.#clock = clock
    this.#alarm = new Alarm(clock, this.#closeIfLate)
    this.closed = Effect.map(connection.closed, () => {
      this.#open = false
    })
    const closing = once(Scope.close(scope, Exit.void))
    this.close = Effect.suspend(() => {
      this.#open = false
      return closing
    })
    this.negotiate = this.request(ApiVersions, {
      clientSoftwareName: softwareName,
      clientSoftwareVersion: softwareVersion
    }, { timeout: settings.connectTimeout }).pipe(
      Effect.flatMap((response) => {
        if (response.errorCode !== 0) {
          return Effect.fail(this.#unsupported("ApiVersions 3: it is older than Kafka 2.4"))
        }
        for (const { apiKey, maxVersion, minVersion } of response.apiKeys) {
          this.#versions.set(apiKey, [minVersion, maxVersion])
        }
        return Effect.void
      })
    )
  }

  isOpen = (): boolean => this.#open

  readonly unthrottled: Effect.Effect<void> = Effect.suspend(() =>
    this.#throttle > 0 ? Effect.zipRight(Effect.sleep(this.#throttle), this.unthrottled) : Effect.void
  )

  /** Milliseconds; none for a connection that is closed. */
  get #throttle(): number {
    return this.#open ? this.#throttledUntil - monotonicMillis(this.#clock) : 0
  }

  version = (api: AnyApi, maxVersion = 0x7fff): number | undefined => {
    const range = this.#versions.get(api.key)
    return range === undefined ? undefined : chooseVersion(api, range[0], Math.min(range[1], maxVersion))
  }

  send = <A extends AnyApi>(
    api: A,
    body: RequestInput<A>,
    options: RequestOptions = {}
  ): Effect.Effect<Effect.Effect<ResponseOf<A>, KafkaError>, KafkaError> =>
    Effect.map(this.#write(api, body, true, options), ({ response, version }) => {
      const answer = Effect.flatMap(
        this.#await(api, response, options.timeout),
        (bytes) => this.#decode(api, version, bytes)
      )
      return options.closeOnInterrupt === true ? Effect.onInterrupt(answer, () => this.close) : answer
    })

  request = <A extends AnyApi>(
    api: A,
    body: RequestInput<A>,
    options?: RequestOptions
  ): Effect.Effect<ResponseOf<A>, KafkaError> => Effect.flatten(this.send(api, body, options))

  sendOneWay = <A extends AnyApi>(
    api: A,
    body: RequestInput<A>,
    options: RequestOptions = {}
  ): Effect.Effect<Effect.Effect<void, KafkaError>, KafkaError> =>
    Effect.map(
      this.#write(api, body, false, options),
      ({ response }) => Effect.asVoid(this.#await(api, response, options.timeout))
    )

  /** Until its deadline, which ends the connection: for any caller, an uninterruptible one too. */
  #await(
    api: AnyApi,
    response: Effect.Effect<Uint8Array, TransportError>,
    timeout: Duration.Duration = this.#settings.requestTimeout
  ): Effect.Effect<Uint8Array, KafkaError> {
    const deadline = monotonicMillis(this.#clock) + Duration.toMillis(timeout)
    // Nothing is undone at an interruption, by a mask that would outlive each answer: whoever looks at the next deadline asks
    // the fiber, which is kept until then.
    return Effect.withFiberRuntime((fiber, { runtimeFlags }) => {
      const request: AwaitedRequest = { deadline, fiber, isLate: false }
      this.#awaited.add(request)
      this.#alarm.set(deadline)
      return Effect.matchCauseEffect(
        RuntimeFlags.interruptible(runtimeFlags) ? response : Effect.interruptible(response),
        {
          onFailure: (cause) => {
            this.#awaited.delete(request)
            return Effect.failCause(
              Cause.map(
                cause,
                (error) =>
                  request.isLate ? requestTimeout(api.name, this.address, timeout, error.written) : fromTransport(error)
              )
            )
          },
          onSuccess: (bytes) => {
            this.#awaited.delete(request)
            return Effect.succeed(bytes)
          }
        }
      )
    })
  }

  /** The fiber that looks after the deadlines of all requests. */
  get keepDeadlines(): Effect.Effect<never> {
    return this.#alarm.run
  }

  readonly #closeIfLate: Effect.Effect<void> = Effect.suspend(() => {
    const now = monotonicMillis(this.#clock)
    let isLate = false
    for (const request of this.#awaited) {
      if (hasStopped(request.fiber)) {
        this.#awaited.delete(request)
      } else if (request.deadline > now) {
        this.#alarm.set(request.deadline)
      } else {
        request.isLate = true
        isLate = true
      }
    }
    if (!isLate) return Effect.void
    this.#open = false
    // The fiber of the alarm is one of those that closing ends.
    return Effect.asVoid(Effect.forkDaemon(this.close))
  })

  #write<A extends AnyApi>(
    api: A,
    body: RequestInput<A>,
    expectResponse: boolean,
    options: RequestOptions
  ): Effect.Effect<
    { readonly version: number; readonly response: Effect.Effect<Uint8Array, TransportError> },
    KafkaError
  > {
    return Effect.suspend(() => {
      if (!this.#open) {
        return Effect.fail(fromTransport(
          new TransportError({
            reason: "Closed",
            address: this.address,
            written: false,
            message: `the connection to ${formatAddress(this.address)} is closed`
          })
        ))
      }
      if (this.#throttle > 0) {
        return Effect.zipRight(this.unthrottled, this.#write(api, body, expectResponse, options))
      }
      const version = this.version(api, options.maxVersion)
      if (version === undefined) return Effect.fail(this.#unsupported(api.name))
      return this.#connection.send({
        apiKey: api.key,
        apiVersion: version,
        headerVersion: requestHeaderVersion(api, version),
        body: encodeRequest(api, version, body),
        expectResponse
      }).pipe(
        Effect.map((response) => ({ version, response })),
        Effect.mapError(fromTransport)
      )
    })
  }

  #decode<A extends AnyApi>(api: A, version: number, bytes: Uint8Array): Effect.Effect<ResponseOf<A>, KafkaError> {
    let response: ResponseOf<A>
    try {
      response = decodeAnswer(api, version, bytes)
    } catch (cause) {
      const error = new RetriableError({
        reason: { _tag: "InvalidResponse", broker: formatAddress(this.address), written: true },
        scope: "client",
        message: `${api.name}: malformed answer from ${formatAddress(this.address)}: ${
          cause instanceof Error ? cause.message : String(cause)
        }`,
        cause
      })
      return Effect.zipRight(this.close, Effect.fail(error))
    }
    // KIP-219: the answer comes at once, and the client stays quiet for that long.
    const throttle = (response as { readonly throttleTimeMs?: number }).throttleTimeMs
    if (throttle !== undefined && throttle > 0) {
      const pause = Math.min(throttle, maxThrottle)
      this.#throttledUntil = Math.max(this.#throttledUntil, monotonicMillis(this.#clock) + pause)
    }
    return Effect.succeed(response)
  }

  #unsupported(what: string): FatalError {
    const broker = formatAddress(this.address)
    return new FatalError({
      reason: { _tag: "UnsupportedVersion", broker, written: false },
      scope: "client",
      message: `${broker} has no version of ${what} in common with this client`
    })
  }
}

const decodeAnswer = <A extends AnyApi>(api: A, version: number, bytes: Uint8Array): ResponseOf<A> => {
  const body = responseBody(api, version, bytes)
  return api.key === ApiVersions.key
    ? decodeApiVersionsResponse(version, body) as unknown as ResponseOf<A>
    : decodeResponse(api, version, body)
}
