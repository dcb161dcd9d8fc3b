/**
 * What can go wrong: {@link RetriableError} or {@link FatalError}, each with a
 * tagged reason.
 *
 * **Retriable**: the engine has already retried until its deadline; the same
 * call may succeed later. **Fatal**: the same call will fail again until
 * something is changed.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"

import type { ProtocolErrorTag } from "./internal/kernel/errors.ts"
import type { SendResult } from "./Producer.ts"

/**
 * Reasons that are the client's own; all others are the protocol's error codes.
 *
 * @since 0.1.0
 * @category models
 */
export type ClientReasonTag =
  /** No broker of the bootstrap list could be reached before the deadline. */
  | "BrokersUnavailable"
  /** A connection broke or could not be made; `written` says whether the request may have arrived. */
  | "ConnectionLost"
  /** A broker did not answer within the request timeout. */
  | "RequestTimeout"
  /** A record was not acknowledged within the delivery timeout. */
  | "DeliveryTimeout"
  /** TLS could not be agreed with the broker. */
  | "TlsFailed"
  /** The broker refused the credentials or the SASL mechanism. */
  | "AuthenticationFailed"
  /** What answers on the port does not speak the Kafka protocol, or an answer was malformed. */
  | "InvalidResponse"
  /** There is no room for a record in the producer's buffer at the moment. */
  | "BufferFull"
  /** The producer or consumer is closed or closing. */
  | "Closed"
  /** An option, or a field of a record, is not valid; nothing was sent. */
  | "InvalidArgument"
  /** A serializer threw or failed; nothing was sent. */
  | "SerializationFailed"
  /** A partitioner threw, or chose a partition that the topic does not have; nothing was sent. */
  | "PartitionerFailed"
  /** A deserializer threw or failed. */
  | "DeserializationFailed"
  /** A batch of records is damaged, or in a format or compression that this client does not read. */
  | "CorruptRecords"
  /** Neither the group nor the caller's store has an offset of the partition, and `reset` is `"fail"`. */
  | "NoOffset"
  /** The log was cut off before the consumer's position, and `reset` is `"fail"`. */
  | "LogTruncated"
  /** The caller's store of offsets failed, or gave what is no offset. */
  | "OffsetStoreFailed"
  /** A fiber of the client died, which is a bug: its consumer does not go on without it. `cause` says why. */
  | "ClientDefect"
  /** The partition is no longer, or not yet, assigned to this consumer in the record's generation. */
  | "NotAssigned"

/**
 * Names a reason: the client's own, or a protocol error in PascalCase.
 *
 * @since 0.1.0
 * @category models
 */
export type ReasonTag = ClientReasonTag | ProtocolErrorTag

/**
 * Why an operation failed, and what it was about.
 *
 * @since 0.1.0
 * @category models
 */
export interface Reason {
  readonly _tag: ReasonTag
  /** The protocol's error code, where a broker gave one. */
  readonly code?: number | undefined
  /** `host:port` of the broker concerned. */
  readonly broker?: string | undefined
  readonly topic?: string | undefined
  readonly partition?: number | undefined
  /** For connection failures: whether the broker may have got the request. */
  readonly written?: boolean | undefined
}

/**
 * How far an error reaches: other records, partitions or topics are not
 * affected beyond it.
 *
 * @since 0.1.0
 * @category models
 */
export type ErrorScope = "record" | "partition" | "topic" | "client"

/**
 * Whether a record that failed is in the log: surely not, or nobody knows.
 *
 * @since 0.1.0
 * @category models
 */
export type Persisted = "no" | "maybe"

/**
 * What both classes of error carry.
 *
 * @since 0.1.0
 * @category models
 */
export interface KafkaErrorProps {
  readonly reason: Reason
  readonly scope: ErrorScope
  readonly message: string
  readonly cause?: unknown
  /** Set on every error of a produced record. */
  readonly persisted?: Persisted | undefined
}

/**
 * The engine has retried until its deadline; the same call may succeed later.
 * A produced record may be sent again without a duplicate only if `persisted`
 * is `"no"`.
 *
 * @since 0.1.0
 * @category errors
 */
export class RetriableError extends Data.TaggedError("RetriableError")<KafkaErrorProps> {}

/**
 * The same call will fail again until something is changed: the code, the
 * configuration, the permissions, or the topic.
 *
 * @since 0.1.0
 * @category errors
 */
export class FatalError extends Data.TaggedError("FatalError")<KafkaErrorProps> {}

/**
 * Everything that a Sluice operation fails with.
 *
 * @since 0.1.0
 * @category errors
 */
export type KafkaError = RetriableError | FatalError

/**
 * An error of one produced record; it says whether the record may be in the log.
 *
 * @since 0.1.0
 * @category errors
 */
export type ProduceError = KafkaError & { readonly persisted: Persisted }

/**
 * Some records of a `sendAll` failed. `results` has the outcome
 * of each record by its index.
 *
 * @since 0.1.0
 * @category errors
 */
export class SendAllError extends Data.TaggedError("SendAllError")<{
  readonly results: ReadonlyArray<SendResult>
  readonly message: string
}> {}

/**
 * Whether a value is a {@link KafkaError}.
 *
 * @since 0.1.0
 * @category guards
 */
export const isKafkaError = (u: unknown): u is KafkaError => u instanceof RetriableError || u instanceof FatalError
