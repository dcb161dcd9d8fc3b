import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"

import { type FatalError, type KafkaError, RetriableError } from "../../KafkaError.ts"
import { backoff } from "../kernel/backoff.ts"
import type { Settings } from "./settings.ts"

/** How long pauses are: the first, and the longest. */
export type Backoff = Pick<Settings, "retryBackoff" | "retryBackoffMax">

/** Waits before attempt `attempt` (from 1): exponential, capped, with jitter (KIP-580). */
export const pause = (settings: Backoff, attempt: number): Effect.Effect<void> =>
  Effect.flatMap(Random.next, (random) => Effect.sleep(pauseMillis(settings, attempt, random)))

/** The same as a number of milliseconds, for callers that keep their own timers. */
export const pauseMillis = (settings: Backoff, attempt: number, random: number): number =>
  backoff(attempt, random, Duration.toMillis(settings.retryBackoff), Duration.toMillis(settings.retryBackoffMax))

/**
 * Runs `operation` until it succeeds, fails fatally, or `deadline` has passed.
 * The deadline holds inside an attempt too; its error then carries the last
 * attempt's as its cause.
 */
export const retrying = <A, R>(
  settings: Settings,
  options: { readonly operation: string; readonly deadline: Duration.Duration },
  operation: (attempt: number) => Effect.Effect<A, KafkaError, R>
): Effect.Effect<A, KafkaError, R> =>
  Effect.suspend(() => {
    let last: KafkaError | undefined
    const loop = (attempt: number): Effect.Effect<A, KafkaError, R> =>
      Effect.catchTag(operation(attempt), "RetriableError", (error) => {
        last = error
        return Effect.zipRight(pause(settings, attempt), Effect.suspend(() => loop(attempt + 1)))
      })
    // Interruptible, or the deadline would not hold for an uninterruptible caller.
    return Effect.timeoutFail(Effect.interruptible(loop(1)), {
      duration: options.deadline,
      onTimeout: () =>
        new RetriableError({
          reason: last === undefined ? { _tag: "RequestTimeout" } : last.reason,
          scope: last?.scope ?? "client",
          message: `${options.operation}: gave up after ${Duration.format(options.deadline)}${
            last === undefined ? "" : `; last: ${last.message}`
          }`,
          cause: last
        })
    })
  })

/** Runs `self` again, with pauses, until it succeeds or fails fatally. */
export const untilFatal = <A, R>(
  settings: Settings,
  self: Effect.Effect<A, KafkaError, R>
): Effect.Effect<A, FatalError, R> => {
  const loop = (attempt: number): Effect.Effect<A, FatalError, R> =>
    Effect.catchTag(self, "RetriableError", (error) =>
      Effect.logDebug(`tried again: ${error.message}`).pipe(
        Effect.zipRight(pause(settings, attempt)),
        Effect.zipRight(Effect.suspend(() => loop(attempt + 1)))
      ))
  return loop(1)
}
