import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"

import type { ConsumerOptions, RunOptions } from "../../Consumer.ts"
import type { Of } from "../../ConsumerRecord.ts"
import type { Kafka } from "../../Kafka.ts"
import type { KafkaError } from "../../KafkaError.ts"
import type * as Topic from "../../Topic.ts"
import { make } from "./consumer.ts"
import { parseRun } from "./runOptions.ts"

/** See `Consumer.layer`. */
export const layer = <const T extends Topic.AnySource, E, R, R2 = never>(
  options: ConsumerOptions<T, R2>,
  handler: (record: Of<T>) => Effect.Effect<unknown, E, R>,
  run?: RunOptions
): Layer.Layer<never, KafkaError, Kafka | R | R2> =>
  Layer.scopedDiscard(
    Effect.gen(function*() {
      // Wrong ones are the business of whoever builds the layer, not of a log line.
      yield* parseRun(run)
      // Of its own, so that a worker that stopped holds no partitions.
      const scope = yield* Scope.fork(yield* Effect.scope, ExecutionStrategy.sequential)
      const consumer = yield* Scope.extend(make(options), scope)
      yield* consumer.run(handler, run).pipe(
        Effect.tapErrorCause((cause) => Effect.logError(`the worker of group ${options.groupId} stopped`, cause)),
        Effect.onExit((exit) => Scope.close(scope, exit)),
        Effect.interruptible,
        Effect.forkScoped
      )
    })
  )
