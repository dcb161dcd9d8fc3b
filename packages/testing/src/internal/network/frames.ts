import { ApiVersions } from "@sluice/kafka/internal/protocol/api/apiVersions"
import { apis } from "@sluice/kafka/internal/protocol/apis"
import { byteLength, decodeRequest, encodeResponse } from "@sluice/kafka/internal/protocol/codec"
import type { AnyApi, RequestOf, ResponseInput } from "@sluice/kafka/internal/protocol/field"
import { decodeRequestHeader, responseHeader } from "@sluice/kafka/internal/protocol/header"

import { unsupportedApiVersions } from "../cluster/apiVersions.ts"
import { servedApi } from "../cluster/cluster.ts"

/** A request as a broker has read it from a frame. */
export interface ReadRequest {
  readonly api: AnyApi
  readonly version: number
  readonly correlationId: number
  readonly clientId: string | null
  readonly body: RequestOf<AnyApi>
}

/** What a broker makes of a frame. */
export type ReadResult =
  | { readonly _tag: "Request"; readonly request: ReadRequest }
  /** Answered without being served. */
  | { readonly _tag: "Answer"; readonly frame: Uint8Array }
  /** A request that the broker does not have: it closes the connection without a word. */
  | { readonly _tag: "Unsupported"; readonly message: string }

const sizeBytes = 4

/** Which API a request's frame is of. */
export const apiKeyOf = (frame: Uint8Array): number => (frame[sizeBytes]! << 8) | frame[sizeBytes + 1]!

/** Reads a frame as a broker does. Throws a `ProtocolError` on anything that is no request. */
export const readRequest = (frame: Uint8Array): ReadResult => {
  const header = decodeRequestHeader(frame.subarray(sizeBytes))
  const { apiKey, apiVersion, body, clientId, correlationId } = header
  const api = servedApi(apiKey, apiVersion)
  if (api !== undefined) {
    const request = { api, version: apiVersion, correlationId, clientId, body: decodeRequest(api, apiVersion, body) }
    return { _tag: "Request", request }
  }
  return apiKey === ApiVersions.key
    ? { _tag: "Answer", frame: writeResponse(ApiVersions, 0, correlationId, unsupportedApiVersions) }
    : { _tag: "Unsupported", message: `${apis.get(apiKey)?.name ?? `API ${apiKey}`} has no version ${apiVersion} here` }
}

/** Makes the frame of a response: one array, so that nothing in it is shared with the brokers' logs. */
export const writeResponse = <A extends AnyApi>(
  api: A,
  version: number,
  correlationId: number,
  body: ResponseInput<A>
): Uint8Array => {
  const parts = encodeResponse(api, version, body)
  return Buffer.concat([responseHeader(api, version, correlationId, byteLength(parts)), ...parts])
}
