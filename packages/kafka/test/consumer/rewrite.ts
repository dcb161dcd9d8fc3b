import { apis } from "@sluice/kafka/internal/protocol/apis"
import { byteLength, decodeRequest, decodeResponse, encodeResponse } from "@sluice/kafka/internal/protocol/codec"
import { responseBody, responseHeader } from "@sluice/kafka/internal/protocol/header"
import { type Connection, type RequestFrame, Transport } from "@sluice/kafka/Transport"
import { Effect, Layer } from "effect"

/** An answer as it came, and the request that it answers. `Connect` is that of a connection which is about to open. */
export interface Answer {
  readonly api: string
  readonly request: any
  readonly response: any
  readonly clientId: string
}

/** Another answer, none to leave it as it is, or an effect of either, which holds the answer up. */
export type Rewrite = (answer: Answer) => unknown

/** A transport whose answers are read and may be changed on their way. */
export const rewriting = (rewrite: Rewrite): Layer.Layer<Transport, never, Transport> =>
  Layer.effect(
    Transport,
    Effect.map(Transport, (transport) => ({
      connect: (address, options) =>
        Effect.map(
          Effect.zipRight(connecting(options.clientId, rewrite), transport.connect(address, options)),
          (connection): Connection => ({
            closed: connection.closed,
            send: (frame) =>
              Effect.map(
                connection.send(frame),
                (answer) => Effect.flatMap(answer, (bytes) => changed(frame, bytes, options.clientId, rewrite))
              )
          })
        )
    }))
  )

const connecting = (clientId: string, rewrite: Rewrite): Effect.Effect<unknown> =>
  Effect.suspend(() => {
    const held = rewrite({ api: "Connect", clientId, request: undefined, response: undefined })
    return Effect.isEffect(held) ? held as Effect.Effect<unknown> : Effect.void
  })

/** What follows the frame's size and correlation id. */
const bodyStart = 8

const changed = (
  frame: RequestFrame,
  bytes: Uint8Array,
  clientId: string,
  rewrite: Rewrite
): Effect.Effect<Uint8Array> =>
  Effect.gen(function*() {
    const api = apis.get(frame.apiKey)!
    if (api.name === "ApiVersions" || !frame.expectResponse) return bytes
    const result = rewrite({
      api: api.name,
      clientId,
      request: decodeRequest(api, frame.apiVersion, Buffer.concat(frame.body)),
      response: decodeResponse(api, frame.apiVersion, responseBody(api, frame.apiVersion, bytes))
    })
    const other = Effect.isEffect(result) ? yield* result as Effect.Effect<unknown> : result
    if (other === undefined) return bytes
    const parts = encodeResponse(api, frame.apiVersion, other as any)
    return Buffer.concat([responseHeader(api, frame.apiVersion, 0, byteLength(parts)), ...parts]).subarray(bodyStart)
  })

/** A Fetch answer with what `change` makes of each partition's part. */
export const fetchAnswer = (
  { api, response }: Answer,
  change: (partition: any, topic: string) => unknown
): unknown => {
  if (api !== "Fetch") return undefined
  return {
    ...response,
    responses: response.responses.map((topic: any) => ({
      ...topic,
      partitions: topic.partitions.map((partition: any) => change(partition, topic.topic) ?? partition)
    }))
  }
}
