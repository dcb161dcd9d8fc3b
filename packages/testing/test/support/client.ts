import { ApiVersions } from "@sluice/kafka/internal/protocol/api/apiVersions"
import { decodeResponse, encodeRequest } from "@sluice/kafka/internal/protocol/codec"
import type { AnyApi, RequestInput, ResponseOf } from "@sluice/kafka/internal/protocol/field"
import { requestHeaderVersion, responseBody } from "@sluice/kafka/internal/protocol/header"
import { type Connection, Transport, type TransportError } from "@sluice/kafka/Transport"
import { Duration, Effect, type Scope } from "effect"

/** Where broker 1 or another one listens. */
export const addressOf = (brokerId: number) => ({ host: `broker-${brokerId}.memory`, port: 9092 })

/** A client without any sense: it encodes, sends and decodes. */
export interface Client {
  readonly connection: Connection
  /** Sends at once; the inner effect awaits the response. */
  readonly send: <A extends AnyApi>(
    api: A,
    body: RequestInput<A>,
    version?: number
  ) => Effect.Effect<Effect.Effect<ResponseOf<A>, TransportError>, TransportError>
  readonly ask: <A extends AnyApi>(
    api: A,
    body: RequestInput<A>,
    version?: number
  ) => Effect.Effect<ResponseOf<A>, TransportError>
  /** Sends any bytes as a body. */
  readonly sendBytes: (
    apiKey: number,
    apiVersion: number,
    body: Uint8Array,
    headerVersion?: 1 | 2
  ) => Effect.Effect<Effect.Effect<Uint8Array, TransportError>, TransportError>
}

/** Connects to a broker. */
export const connect = (
  brokerId = 1,
  options: { readonly maxFrameBytes?: number } = {}
): Effect.Effect<Client, TransportError, Transport | Scope.Scope> =>
  Effect.gen(function*() {
    const transport = yield* Transport
    const connection = yield* transport.connect(addressOf(brokerId), {
      clientId: "test",
      connectTimeout: Duration.seconds(10),
      maxFrameBytes: options.maxFrameBytes ?? 10_000_000
    })
    const send: Client["send"] = (api, body, version = api.versions[1]) =>
      Effect.map(
        connection.send({
          apiKey: api.key,
          apiVersion: version,
          headerVersion: requestHeaderVersion(api, version),
          body: encodeRequest(api, version, body),
          expectResponse: true
        }),
        Effect.map((bytes) => decodeResponse(api, version, responseBody(api, version, bytes)))
      )
    return {
      connection,
      send,
      ask: (api, body, version) => Effect.flatten(send(api, body, version)),
      sendBytes: (apiKey, apiVersion, body, headerVersion = 1) =>
        connection.send({ apiKey, apiVersion, headerVersion, body: [body], expectResponse: true })
    }
  })

/** Asks something that every broker answers at once. */
export const ping = (client: Client) =>
  client.ask(ApiVersions, { clientSoftwareName: "test", clientSoftwareVersion: "1" })
