import * as Effect from "effect/Effect"

const longStreak = 5

/** Something failed and is tried again: a warning once it has failed several times in a row, else for debugging. */
export const logRetry = (failures: number, message: string): Effect.Effect<void> =>
  failures === longStreak
    ? Effect.logWarning(`${message}; failed ${failures} times in a row, and is tried on`)
    : Effect.logDebug(`${message}; tried again`)
