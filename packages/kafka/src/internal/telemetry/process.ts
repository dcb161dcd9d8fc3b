import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type * as Tracer from "effect/Tracer"

import type { FetchedRecord } from "../consumer/record.ts"
import { attribute } from "./semconv.ts"
import {
  type ActiveTracer,
  activeTracer,
  errorTypeOf,
  keyAttribute,
  linksTo,
  linkTo,
  spanOfHeaders,
  startSpan
} from "./tracing.ts"

/**
 * The handler inside a span of kind consumer, if a tracer is installed. Its
 * parent is the span that produced the record, so that one trace goes through,
 * and it is linked to it too, as the conventions ask; a span around the whole
 * run is linked.
 */
export const tracedProcess = <E, R>(
  record: FetchedRecord,
  consumer: { readonly groupId: string; readonly clientId: string },
  handler: (record: FetchedRecord) => Effect.Effect<unknown, E, R>
): Effect.Effect<unknown, E, R> =>
  Effect.withFiberRuntime((fiber) => {
    const active = activeTracer(fiber)
    if (active === undefined) return handler(record)
    const origin = spanOfHeaders(record.headers)
    const ambient = Option.getOrUndefined(active.parent)
    const links = origin === undefined ? [] : [linkTo(origin)]
    if (origin !== undefined && ambient !== undefined) links.push(linkTo(ambient))
    const span = startSpan(active, {
      name: `process ${record.topic}`,
      kind: "consumer",
      parent: origin === undefined ? active.parent : Option.some(origin),
      links,
      attributes: {
        [attribute.operationName]: "process",
        [attribute.operationType]: "process",
        [attribute.destination]: record.topic,
        [attribute.partition]: String(record.partition),
        [attribute.consumerGroup]: consumer.groupId,
        [attribute.clientId]: consumer.clientId,
        [attribute.offset]: record.view.offset,
        [attribute.key]: keyAttribute(record.view.key),
        [attribute.tombstone]: record.view.hasValue ? undefined : true
      }
    })
    return inSpan(active, span, () => handler(record))
  })

/**
 * The handler of a batch inside a span of kind consumer, if a tracer is
 * installed, linked to the spans that produced the first 128 of its records.
 */
export const tracedBatch = <B extends Batch, A, E, R>(
  batch: B,
  consumer: { readonly groupId: string; readonly clientId: string },
  handler: (batch: B) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.withFiberRuntime((fiber) => {
    const active = activeTracer(fiber)
    if (active === undefined) return handler(batch)
    const { partition, records, topic } = batch
    const span = startSpan(active, {
      name: `process ${topic}`,
      kind: "consumer",
      links: linksTo(records),
      attributes: {
        [attribute.operationName]: "process",
        [attribute.operationType]: "process",
        [attribute.destination]: topic,
        [attribute.partition]: String(partition),
        [attribute.consumerGroup]: consumer.groupId,
        [attribute.clientId]: consumer.clientId,
        [attribute.batchCount]: records.length
      }
    })
    return inSpan(active, span, () => handler(batch))
  })

interface Batch {
  readonly topic: string
  readonly partition: number
  readonly records: ReadonlyArray<FetchedRecord>
}

const inSpan = <A, E, R>(
  active: ActiveTracer,
  span: Tracer.Span,
  self: () => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.suspend(self).pipe(
    Effect.withParentSpan(span),
    Effect.onExit((exit) =>
      Effect.sync(() => {
        if (Exit.isFailure(exit)) span.attribute(attribute.errorType, errorTypeOf(Cause.squash(exit.cause)))
        span.end(active.clock.unsafeCurrentTimeNanos(), exit)
      })
    )
  ) as Effect.Effect<A, E, R>
