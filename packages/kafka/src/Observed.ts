/**
 * Values that change, and can be looked at.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"

/**
 * A value that changes. `changes` begins with the present one, and ends when the
 * producer or consumer is closed; who reads slowly is given the newest.
 *
 * @since 0.1.0
 * @category models
 */
export interface Observed<out A> {
  readonly get: Effect.Effect<A>
  readonly changes: Stream.Stream<A>
}
