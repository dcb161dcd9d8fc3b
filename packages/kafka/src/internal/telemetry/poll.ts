import type * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"

import type { FetchedRecord } from "../consumer/record.ts"
import { attribute } from "./semconv.ts"
import { activeTracer, linksTo, startSpan } from "./tracing.ts"

/**
 * A span of kind client for records that a stream hands over, linked to the
 * spans that produced them, if a tracer is installed.
 */
export const tracedPoll = (
  records: Chunk.NonEmptyChunk<FetchedRecord> | Chunk.Chunk<FetchedRecord>,
  consumer: { readonly groupId: string | undefined; readonly clientId: string }
): Effect.Effect<Chunk.Chunk<FetchedRecord>> =>
  Effect.withFiberRuntime((fiber) => {
    const active = activeTracer(fiber)
    if (active === undefined) return Effect.succeed(records)
    const [first] = records
    const span = startSpan(active, {
      name: `poll ${first?.topic}`,
      kind: "client",
      links: linksTo(records),
      attributes: {
        [attribute.operationName]: "poll",
        [attribute.operationType]: "receive",
        [attribute.destination]: first?.topic,
        [attribute.partition]: first === undefined ? undefined : String(first.partition),
        [attribute.consumerGroup]: consumer.groupId,
        [attribute.clientId]: consumer.clientId,
        [attribute.batchCount]: records.length
      }
    })
    span.end(active.clock.unsafeCurrentTimeNanos(), Exit.void)
    return Effect.succeed(records)
  })
