import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"

import type { KafkaError } from "../../KafkaError.ts"
import { tracedProcess } from "../telemetry/process.ts"
import { countSkipped } from "../telemetry/skipped.ts"
import { activeTracer } from "../telemetry/tracing.ts"
import type { FetchedRecord } from "./record.ts"
import type { RunSettings } from "./runOptions.ts"

/** What the application does with a record. */
export type Handler<E, R> = (record: FetchedRecord) => Effect.Effect<unknown, E, R>

/** Whose records they are. */
export interface Handled {
  readonly clientId: string
  readonly groupId: string
}

/**
 * What a run does with each record: it succeeds when the record is settled, and fails if the run is to fail. One that
 * does not decode is judged as one whose handler failed.
 *
 * To be asked for in the fiber that asked for the run, which knows whether there is a tracer: a record costs nothing more
 * than its handler then.
 */
export const handling = <E, R>(
  handler: Handler<E, R>,
  { onFailure }: Pick<RunSettings, "onFailure">,
  consumer: Handled
): Effect.Effect<Handler<KafkaError | E, R>> =>
  Effect.withFiberRuntime((fiber) => {
    const traced: Handler<E, R> = activeTracer(fiber) === undefined
      ? handler
      : (record) => tracedProcess(record, consumer, handler)
    const decoded: Handler<KafkaError | E, R> = (record) =>
      record.failure === undefined ? traced(record) : Effect.fail(record.failure)
    if (onFailure === "fail") return Effect.succeed(decoded)
    return Effect.succeed((record) =>
      Effect.catchAllCause(
        Effect.suspend(() => decoded(record)),
        // Whoever interrupts a handler has not judged its record.
        (cause) => Cause.isInterrupted(cause) ? Effect.failCause(cause) : skip([record], cause, consumer)
      )
    )
  })

/** Passes over records whose handler failed: not silently. */
export const skip = (
  records: ReadonlyArray<FetchedRecord>,
  cause: Cause.Cause<unknown>,
  { groupId }: Handled
): Effect.Effect<void> => {
  const first = records[0]!
  const what = records.length === 1
    ? `the record at offset ${first.offset}`
    : `${records.length} records from offset ${first.offset}`
  return Effect.zipRight(
    Effect.logWarning(
      `group ${groupId}: skipped ${what} of topic ${first.topic}, partition ${first.partition}: not handled`,
      cause
    ),
    countSkipped(records.length, first.topic, groupId, cause)
  )
}
