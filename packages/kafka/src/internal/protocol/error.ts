/**
 * Bytes that are not a message of the protocol, or a value that a version of it cannot carry. `position` counts bytes
 * from the start of what was decoded or encoded.
 */
export class ProtocolError extends Error {
  override readonly name = "ProtocolError"
  /** The API or message, in the protocol's own name. */
  readonly api: string
  readonly version: number
  readonly position: number

  constructor(what: string, api: string, version: number, position: number) {
    super(`${api} v${version} at byte ${position}: ${what}`)
    this.api = api
    this.version = version
    this.position = position
  }
}
