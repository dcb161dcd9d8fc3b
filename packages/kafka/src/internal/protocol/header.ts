import { ApiVersions } from "./api/apiVersions.ts"
import { apis } from "./apis.ts"
import { ProtocolError } from "./error.ts"
import type { AnyApi } from "./field.ts"
import { Reader } from "./reader.ts"

/** The version of the header that goes before a request: 2 where the request is flexible. */
export const requestHeaderVersion = (api: AnyApi, version: number): 1 | 2 => version >= api.flexible ? 2 : 1

/**
 * The version of the header that goes before a response: 1 where the response is flexible, but always 0 for ApiVersions,
 * whose response a client must read before it knows what the broker speaks.
 */
export const responseHeaderVersion = (api: AnyApi, version: number): 0 | 1 =>
  version >= api.flexible && api.key !== ApiVersions.key ? 1 : 0

/** What goes before a request's body. */
export interface RequestHeader {
  readonly apiKey: number
  readonly apiVersion: number
  readonly headerVersion: 1 | 2
  readonly correlationId: number
  readonly clientId: string | null
}

/**
 * The bytes that go before a request's body of `bodyLength` bytes: the frame's size, then the header. The client id has
 * a length of two bytes in both versions, so that old brokers can read the header of any ApiVersions request.
 */
export const requestHeader = (header: RequestHeader, bodyLength: number): Uint8Array => {
  const clientIdLength = header.clientId === null ? 0 : Buffer.byteLength(header.clientId)
  if (clientIdLength > 0x7fff) {
    throw new ProtocolError(`a client id of ${clientIdLength} bytes`, "RequestHeader", header.headerVersion, 0)
  }
  const length = 14 + clientIdLength + (header.headerVersion === 2 ? 1 : 0)
  const bytes = Buffer.allocUnsafe(length)
  bytes.writeInt32BE(length - 4 + bodyLength, 0)
  bytes.writeInt16BE(header.apiKey, 4)
  bytes.writeInt16BE(header.apiVersion, 6)
  bytes.writeInt32BE(header.correlationId, 8)
  if (header.clientId === null) {
    bytes.writeInt16BE(-1, 12)
  } else {
    bytes.writeInt16BE(clientIdLength, 12)
    bytes.write(header.clientId, 14)
  }
  if (header.headerVersion === 2) bytes[length - 1] = 0
  return bytes
}

/** A request whose header was read. */
export interface DecodedRequestHeader {
  readonly apiKey: number
  readonly apiVersion: number
  readonly correlationId: number
  readonly clientId: string | null
  /** A view of what follows the header. */
  readonly body: Uint8Array
}

/**
 * Reads the header of a request from a frame without its size. The version may be one that is not declared: a server
 * answers that of ApiVersions with error 35, and closes the connection on any other. Throws {@link ProtocolError} on an
 * API that is not declared, since nothing says how long its header is.
 */
export const decodeRequestHeader = (frame: Uint8Array): DecodedRequestHeader => {
  const reader = new Reader(frame, "RequestHeader", 1)
  const apiKey = reader.int16()
  const apiVersion = reader.int16()
  const correlationId = reader.int32()
  const clientIdLength = reader.int16()
  if (clientIdLength < -1) reader.fail(`a client id of ${clientIdLength} bytes`)
  const clientId = clientIdLength < 0 ? null : reader.string(clientIdLength)
  const api = apis.get(apiKey)
  if (api === undefined) return reader.fail(`api ${apiKey} is not known`)
  if (requestHeaderVersion(api, apiVersion) === 2) reader.skipTags()
  return { apiKey, apiVersion, correlationId, clientId, body: frame.subarray(reader.position) }
}

/** The body of a response, from what follows its correlation id: skips the header's tagged fields, if it has them. */
export const responseBody = (api: AnyApi, version: number, bytes: Uint8Array): Uint8Array => {
  if (responseHeaderVersion(api, version) === 0) return bytes
  const reader = new Reader(bytes, "ResponseHeader", 1)
  reader.skipTags()
  return bytes.subarray(reader.position)
}

/** The bytes that go before a response's body of `bodyLength` bytes: the frame's size, then the header. */
export const responseHeader = (
  api: AnyApi,
  version: number,
  correlationId: number,
  bodyLength: number
): Uint8Array => {
  const length = responseHeaderVersion(api, version) === 1 ? 9 : 8
  const bytes = Buffer.allocUnsafe(length)
  bytes.writeInt32BE(length - 4 + bodyLength, 0)
  bytes.writeInt32BE(correlationId, 4)
  if (length === 9) bytes[8] = 0
  return bytes
}
