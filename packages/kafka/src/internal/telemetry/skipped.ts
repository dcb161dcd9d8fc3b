import * as Cause from "effect/Cause"
import type * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"

import { attribute } from "./semconv.ts"
import { errorTypeOf } from "./tracing.ts"

const skipped = Metric.counter("sluice.consumer.skipped", {
  description: "Records that were passed over because their handler failed or they did not decode",
  incremental: true
})

/** Counts records that a policy passed over. They are few: a label costs microseconds. */
export const countSkipped = (
  count: number,
  topic: string,
  groupId: string,
  cause: Cause.Cause<unknown>
): Effect.Effect<void> =>
  Metric.incrementBy(
    skipped.pipe(
      Metric.tagged(attribute.destination, topic),
      Metric.tagged(attribute.consumerGroup, groupId),
      Metric.tagged(attribute.errorType, errorTypeOf(Cause.squash(cause)))
    ),
    count
  )
