/** Why record batches could not be read. */
export type RecordErrorReason =
  /** A checksum, length, count or offset that does not fit, or compressed bytes that cannot be expanded. */
  | "CorruptBatch"
  /** A message set of format 0 or 1 (written before Kafka 0.11), or a format newer than 2. */
  | "UnsupportedMagic"
  /** A compression type for which there is no codec. */
  | "UnsupportedCompression"
  /** The batch expands to more than the bound. */
  | "BatchTooLarge"

/** A record batch that cannot be read. */
export class RecordError extends Error {
  override readonly name = "RecordError"
  readonly reason: RecordErrorReason
  /** Where the batch starts in the bytes that were given. */
  readonly position: number
  /** The batch's base offset, as its header says (which may be what is broken). */
  readonly baseOffset: number
  /** The batch's last offset, as its header says (which may be what is broken); -1 where the header cannot tell. */
  readonly lastOffset: number

  constructor(options: {
    readonly reason: RecordErrorReason
    readonly message: string
    readonly position: number
    readonly baseOffset: number
    readonly lastOffset: number
    readonly cause?: unknown
  }) {
    super(options.message, options.cause === undefined ? undefined : { cause: options.cause })
    this.reason = options.reason
    this.position = options.position
    this.baseOffset = options.baseOffset
    this.lastOffset = options.lastOffset
  }
}
