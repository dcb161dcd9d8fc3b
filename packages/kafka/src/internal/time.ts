import type * as Clock from "effect/Clock"

/**
 * Milliseconds on a clock that is never set: for deadlines and pauses, which a wall clock that jumps would stretch or cut
 * short. Nothing is known of where it begins.
 */
export const monotonicMillis = (clock: Clock.Clock): number => Number(clock.unsafeCurrentTimeNanos()) / 1e6
