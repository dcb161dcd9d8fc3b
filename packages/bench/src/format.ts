const none = "–"

/** Three digits that count. */
const short = (value: number): string =>
  value >= 100 ? Math.round(value).toLocaleString("en") : Number(value.toPrecision(3)).toString()

/** `1,234,567`. */
export const inWhole = (value: number | undefined): string =>
  value === undefined ? none : Math.round(value).toLocaleString("en")

/** `1.23`. */
export const inDigits = (value: number | undefined): string => value === undefined ? none : short(value)

/** Microseconds, as `250 µs` or `1.25 ms`. */
export const inMicros = (value: number | undefined): string =>
  value === undefined ? none : value < 1_000 ? `${short(value)} µs` : `${short(value / 1_000)} ms`

/** `1.2 M`, `340 k`. */
export const inShort = (value: number): string =>
  value >= 1e6 ? `${short(value / 1e6)} M` : value >= 1e3 ? `${short(value / 1e3)} k` : short(value)

/** Milliseconds, as `40 s` or `3 min`. */
export const inTime = (millis: number): string =>
  millis < 90_000 ? `${Math.round(millis / 1_000)} s` : `${Math.round(millis / 60_000)} min`
