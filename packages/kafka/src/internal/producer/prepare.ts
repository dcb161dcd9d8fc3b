import * as Effect from "effect/Effect"

import { FatalError, type ProduceError, type Reason } from "../../KafkaError.ts"
import type { AnyRecord } from "../../Topic.ts"
import type { PendingRecord } from "../kernel/accumulator.ts"
import type { Header } from "../kernel/header.ts"
import { recordSizeUpperBound } from "../kernel/recordBatch.ts"

const encoder = new TextEncoder()
const noHeaders: ReadonlyArray<Header> = []

/** A record whose serializers take their time: {@link serialize} runs them. */
export interface Unserialized {
  readonly _tag: "Unserialized"
  /** Effects that give bytes, where these are not known. */
  readonly key: Uint8Array | null | Effect.Effect<unknown, unknown>
  readonly value: Uint8Array | null | Effect.Effect<unknown, unknown>
}

/** A record, serialized and checked: or why it cannot be sent, or what is to be run first. Nothing was sent. */
export const prepare = (
  record: AnyRecord,
  now: number,
  maxRecordBytes: number
): PendingRecord | ProduceError | Unserialized => {
  const { topic } = record
  let key: Uint8Array | null = null
  let value: Uint8Array | null = null
  let later: Unserialized | undefined
  try {
    if (record.key !== null && record.key !== undefined) {
      const bytes: unknown = topic.key.serialize(record.key, topic.name)
      if (bytes instanceof Uint8Array) key = bytes
      else later = { _tag: "Unserialized", key: effectOf(bytes), value }
    }
    if (record.value === null) {
      if (!topic.tombstones) {
        return rejected("InvalidArgument", record, "the value is null, and the topic has no `tombstones`")
      }
    } else {
      const bytes: unknown = topic.value.serialize(record.value, topic.name)
      if (bytes instanceof Uint8Array) value = bytes
      else later = { _tag: "Unserialized", key: later === undefined ? key : later.key, value: effectOf(bytes) }
    }
  } catch (cause) {
    return serializationFailed(record, cause)
  }
  if (later === undefined) return check(record, key, value, now, maxRecordBytes)
  return later.value === null ? { ...later, value } : later
}

/** Nothing else may come of a serializer, a null least of all, which would delete the key. */
const effectOf = (bytes: unknown): Effect.Effect<unknown, unknown> => {
  if (Effect.isEffect(bytes)) return bytes as Effect.Effect<unknown, unknown>
  throw new TypeError("it gave something else than a Uint8Array")
}

/** A record in bytes, if the rest of it is valid too. */
export const check = (
  record: AnyRecord,
  key: Uint8Array | null,
  value: Uint8Array | null,
  now: number,
  maxRecordBytes: number
): PendingRecord | ProduceError => {
  const timestamp = record.timestamp ?? now
  if (!Number.isSafeInteger(timestamp) || timestamp < 0) {
    return rejected("InvalidArgument", record, `the timestamp must be a whole number of milliseconds, got ${timestamp}`)
  }
  const { partition } = record
  if (partition !== undefined && (!Number.isInteger(partition) || partition < 0 || partition > 0x7fffffff)) {
    return rejected("InvalidArgument", record, `the partition must be a whole number from 0, got ${partition}`)
  }
  const headers = record.headers === undefined ? noHeaders : encodeHeaders(record.headers)
  if (typeof headers === "string") return rejected("InvalidArgument", record, headers)
  const size = recordSizeUpperBound(key, value, headers)
  if (size > maxRecordBytes) {
    return rejected(
      "MessageTooLarge",
      record,
      `the record takes up to ${size} bytes, more than maxRecordBytes (${maxRecordBytes})`
    )
  }
  return { key, value, headers, timestamp, size }
}

const encodeHeaders = (headers: NonNullable<AnyRecord["headers"]>): ReadonlyArray<Header> | string => {
  if (!Array.isArray(headers)) return "the headers must be an array"
  if (headers.length === 0) return noHeaders
  const encoded: Array<Header> = new Array(headers.length)
  for (let i = 0; i < headers.length; i++) {
    const header: (typeof headers)[number] | null | undefined = headers[i]
    if (typeof header !== "object" || header === null) return `header ${i} is not an object`
    const { key, value } = header
    if (typeof key !== "string") return `header ${i} has a key that is not a string`
    if (typeof value === "string") encoded[i] = { key, value: encoder.encode(value) }
    else if (value === null || value instanceof Uint8Array) encoded[i] = { key, value }
    else return `header ${i} ("${key}") has a value that is neither bytes, string, nor null`
  }
  return encoded
}

/** A record that cannot be sent as it is. */
export const rejected = (tag: Reason["_tag"], record: AnyRecord, problem: string, cause?: unknown): ProduceError =>
  new FatalError({
    reason: { _tag: tag, topic: record.topic.name, partition: record.partition },
    scope: "record",
    message: `record for topic ${JSON.stringify(record.topic.name)}: ${problem}`,
    cause,
    persisted: "no"
  }) as ProduceError

/** Its serializer threw, failed, or gave no bytes. */
export const serializationFailed = (record: AnyRecord, cause: unknown): ProduceError =>
  rejected(
    "SerializationFailed",
    record,
    `a serializer failed: ${cause instanceof Error ? cause.message : String(cause)}`,
    cause
  )
