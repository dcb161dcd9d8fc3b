import type * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Tracer from "effect/Tracer"

import type { ProduceError } from "../../KafkaError.ts"
import type { AnyRecord } from "../../Topic.ts"
import type { PendingRecord } from "../kernel/accumulator.ts"
import { recordSizeUpperBound } from "../kernel/recordBatch.ts"
import { attribute } from "../telemetry/semconv.ts"
import { type ActiveTracer, endSpan, keyAttribute, startSpan, withTraceHeaders } from "../telemetry/tracing.ts"
import type { BatchOutcome } from "./outcome.ts"

/** The span of a record on its way. Undefined if the tracer throws: it is not ours, and no record may be lost by it. */
export const startRecordSpan = (
  tracer: ActiveTracer,
  record: AnyRecord,
  pending: PendingRecord,
  clientId: string
): Tracer.Span | undefined => {
  try {
    return startSpan(tracer, {
      name: `send ${record.topic.name}`,
      kind: "producer",
      attributes: {
        [attribute.operationName]: "send",
        [attribute.operationType]: "send",
        [attribute.destination]: record.topic.name,
        [attribute.clientId]: clientId,
        [attribute.key]: keyAttribute(pending.key),
        [attribute.tombstone]: pending.value === null ? true : undefined
      }
    })
  } catch {
    return undefined
  }
}

/** The record, with the span in its headers. */
export const withTraceContext = (record: PendingRecord, span: Tracer.Span): PendingRecord => {
  const headers = withTraceHeaders(record.headers, span)
  return headers === record.headers
    ? record
    : { ...record, headers, size: recordSizeUpperBound(record.key, record.value, headers) }
}

/** The record of the span has its outcome, as the one at `index` of its batch. */
export const endRecordSpan = (span: Tracer.Span, outcome: BatchOutcome, index: number, clock: Clock.Clock): void => {
  try {
    span.attribute(attribute.partition, String(outcome.partition))
    if (outcome.baseOffset !== -1) span.attribute(attribute.offset, outcome.baseOffset + index)
    endSpan(span, clock.unsafeCurrentTimeNanos(), outcome.error)
  } catch {
    // As above: nor may a record lose its outcome.
  }
}

/** The record of the span was withdrawn or refused. */
export const endUnaccepted = (
  span: Tracer.Span,
  cause: Cause.Cause<ProduceError>,
  clock: Clock.Clock
): Effect.Effect<void> =>
  Effect.sync(() => {
    const now = clock.unsafeCurrentTimeNanos()
    if (cause._tag === "Fail") endSpan(span, now, cause.error)
    else span.end(now, Exit.failCause(cause))
  })
