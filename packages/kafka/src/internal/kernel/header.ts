/** A record's header. Keys may repeat, and their order is kept. */
export interface Header {
  readonly key: string
  readonly value: Uint8Array | null
}
