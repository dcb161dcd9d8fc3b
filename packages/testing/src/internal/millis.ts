import * as Duration from "effect/Duration"

/**
 * The milliseconds of a duration; throws a `RangeError` for one that is negative, or no number. Effect would take both for
 * zero, in silence.
 */
export const millisOf = (what: string, duration: Duration.DurationInput): number => {
  const isWrong = typeof duration === "string"
    ? duration.trim().startsWith("-")
    : Number.isNaN(duration) || Number(duration) < 0
  if (!isWrong) return Duration.toMillis(duration)
  throw new RangeError(
    `${what} of ${String(duration)}${typeof duration === "number" ? " ms" : ""}; it must be 0 or more`
  )
}
