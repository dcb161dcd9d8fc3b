import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"

import type { ProduceError } from "../../KafkaError.ts"
import type { AnyRecord } from "../../Topic.ts"
import type { PendingRecord } from "../kernel/accumulator.ts"
import { check, serializationFailed, type Unserialized } from "./prepare.ts"

/**
 * Runs the serializers of one record, the key's first. Whatever they end with,
 * defects and interruptions of their own too, concerns that record alone.
 */
export const serialize = (
  record: AnyRecord,
  { key, value }: Unserialized,
  now: number,
  maxRecordBytes: number
): Effect.Effect<PendingRecord, ProduceError> =>
  Effect.flatMap(Effect.exit(bytesOf(key)), (key) =>
    Exit.isFailure(key)
      ? Effect.fail(serializationFailed(record, Cause.squash(key.cause)))
      : Effect.flatMap(Effect.exit(bytesOf(value)), (value) => {
        if (Exit.isFailure(value)) return Effect.fail(serializationFailed(record, Cause.squash(value.cause)))
        const prepared = check(record, key.value, value.value, now, maxRecordBytes)
        return "_tag" in prepared ? Effect.fail(prepared) : Effect.succeed(prepared)
      }))

/** Whether nothing is to be waited for: the serializers knew at once. */
export const isSerialized = ({ key, value }: Unserialized): boolean =>
  (!Effect.isEffect(key) || Exit.isExit(key)) && (!Effect.isEffect(value) || Exit.isExit(value))

const bytesOf = (part: Unserialized["key"]): Effect.Effect<Uint8Array | null, unknown> =>
  !Effect.isEffect(part)
    ? Effect.succeed(part)
    : Effect.map(part, (bytes) => {
      if (bytes instanceof Uint8Array) return bytes
      throw new TypeError("it gave something else than a Uint8Array")
    })
