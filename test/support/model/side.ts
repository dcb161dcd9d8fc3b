import { ApiVersions } from "@sluice/kafka/internal/protocol/api/apiVersions"
import { decodeResponse, encodeRequest } from "@sluice/kafka/internal/protocol/codec"
import type { AnyApi, RequestInput, ResponseOf } from "@sluice/kafka/internal/protocol/field"
import { requestHeaderVersion, responseBody } from "@sluice/kafka/internal/protocol/header"
import type { TransportError } from "@sluice/kafka/Transport"
import { type BrokerAddress, type Connection, type Transport } from "@sluice/kafka/Transport"
import { Deferred, Duration, Effect, Exit, Scope } from "effect"

import type { Answer } from "./answers.ts"
import { Names } from "./names.ts"

/** A request that was sent, and its answer once it is there. */
export class Sent {
  answer: Answer | undefined
  readonly answered: Effect.Effect<Answer>

  constructor(answered: Effect.Effect<Answer>) {
    this.answered = answered
  }
}

/** Changes an answer, to see that it is noticed; `undefined` holds it back for ever. */
export type Distortion = (api: AnyApi, body: unknown) => unknown

interface OpenConnection {
  readonly connection: Connection
  readonly scope: Scope.CloseableScope
}

/** One of the two clusters: raw requests go to it over numbered connections, which are opened when they are needed. */
export class Side {
  readonly name: string
  readonly names: Names
  private readonly transport: Transport["Type"]
  private readonly address: BrokerAddress
  private readonly scope: Scope.Scope
  private readonly distort: Distortion
  private readonly connections = new Map<number, OpenConnection>()

  constructor(options: {
    readonly name: string
    readonly suffix: string
    readonly transport: Transport["Type"]
    readonly address: BrokerAddress
    readonly scope: Scope.Scope
    readonly distort?: Distortion | undefined
  }) {
    this.name = options.name
    this.names = new Names(options.suffix)
    this.transport = options.transport
    this.address = options.address
    this.scope = options.scope
    this.distort = options.distort ?? ((_, body) => body)
  }

  /** Sends a request and does not wait for its answer. */
  send(
    connection: number,
    api: AnyApi,
    version: number,
    body: unknown,
    expectResponse = true
  ): Effect.Effect<Sent, TransportError> {
    return Effect.gen(this, function*() {
      const open = yield* this.open(connection)
      const awaiting = yield* open.connection.send({
        apiKey: api.key,
        apiVersion: version,
        headerVersion: requestHeaderVersion(api, version),
        body: encodeRequest(api, version, body as RequestInput<AnyApi>),
        expectResponse
      })
      const answered = yield* Deferred.make<Answer>()
      const sent = new Sent(Deferred.await(answered))
      const answer = expectResponse
        ? Effect.flatMap(awaiting, (bytes) => {
          const given = this.distort(api, decodeResponse(api, version, responseBody(api, version, bytes)))
          return given === undefined ? Effect.never : Effect.succeed<Answer>({ _tag: "Response", body: given })
        })
        // Nothing comes back: what is asked next on this connection tells whether it was closed.
        : Effect.zipRight(awaiting, Effect.as(this.ping(connection), { _tag: "NoResponse" } satisfies Answer))
      yield* answer.pipe(
        Effect.catchTag(
          "TransportError",
          () => Effect.zipRight(this.close(connection), Effect.succeed<Answer>({ _tag: "Closed" }))
        ),
        Effect.tap((given) => {
          sent.answer = given
          return Deferred.succeed(answered, given)
        }),
        Effect.forkIn(this.scope)
      )
      return sent
    })
  }

  /** Sends a request and waits for its answer. */
  ask<A extends AnyApi>(
    connection: number,
    api: A,
    version: number,
    body: RequestInput<A>
  ): Effect.Effect<ResponseOf<A>, TransportError> {
    return Effect.flatMap(
      this.send(connection, api, version, body),
      (sent) =>
        Effect.flatMap(sent.answered, (answer) =>
          answer._tag === "Response"
            ? Effect.succeed(answer.body as ResponseOf<A>)
            : Effect.die(new Error(`${this.name}: no answer to ${api.name}`)))
    )
  }

  /** Asks something that every broker answers at once. */
  ping(connection: number): Effect.Effect<void, TransportError> {
    return Effect.gen(this, function*() {
      const { connection: open } = yield* this.open(connection)
      yield* Effect.flatten(open.send({
        apiKey: ApiVersions.key,
        apiVersion: 0,
        headerVersion: 1,
        body: encodeRequest(ApiVersions, 0, {}),
        expectResponse: true
      }))
    })
  }

  private open(number: number): Effect.Effect<OpenConnection, TransportError> {
    const known = this.connections.get(number)
    if (known !== undefined) return Effect.succeed(known)
    return Effect.gen(this, function*() {
      const scope = yield* Scope.fork(this.scope, { _tag: "Sequential" })
      const connection = yield* Scope.extend(this.transport.connect(this.address, connectOptions), scope)
      const open = { connection, scope }
      this.connections.set(number, open)
      return open
    })
  }

  private close(number: number): Effect.Effect<void> {
    const open = this.connections.get(number)
    this.connections.delete(number)
    return open === undefined ? Effect.void : Scope.close(open.scope, Exit.void)
  }
}

const connectOptions = {
  clientId: "model-test",
  connectTimeout: Duration.seconds(10),
  maxFrameBytes: 10_000_000
}
