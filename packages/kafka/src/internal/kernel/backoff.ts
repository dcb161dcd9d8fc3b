/**
 * Milliseconds to wait before retry number `attempt` (from 1): `initial` doubled
 * each time and jittered by a fifth either way, so that clients do not come back
 * in step, but `max` at most (KIP-580). Whole milliseconds, as clocks count.
 *
 * @param random between 0 (included) and 1
 */
export const backoff = (attempt: number, random: number, initial: number, max: number): number =>
  Math.min(max, Math.ceil(initial * 2 ** Math.min(attempt - 1, 30) * (0.8 + 0.4 * random)))
