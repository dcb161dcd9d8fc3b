import type { History } from "../history.ts"

/**
 * How long after a fault's end it may still be felt, in session timeouts: a connection that has gone silent is found out
 * by the timeout of the request that waits for it, and the longest wait of a member is that for a rebalance.
 */
const aftermath = 4

/** When something was broken, or may still have had consequences. */
export class Trouble {
  /** Apart from each other, in the order of time. */
  readonly #spans: Array<{ readonly from: number; to: number }> = []

  constructor({ events, sessionTimeout }: History) {
    let healedAt = Infinity
    const endedAt = new Map<number, number>()
    for (const event of events) {
      if (event._tag === "Healed") healedAt = event.time
      if (event._tag === "FaultEnded") endedAt.set(event.id, event.time)
    }
    for (const event of events) {
      if (event._tag !== "FaultBegan") continue
      const end = endedAt.get(event.id) ?? (event.time <= healedAt ? healedAt : Infinity)
      const to = end + aftermath * sessionTimeout
      const last = this.#spans.at(-1)
      if (last !== undefined && event.time <= last.to) last.to = Math.max(last.to, to)
      else this.#spans.push({ from: event.time, to })
    }
  }

  /** Whether nothing was broken, nor had been of late, in all of this time. */
  wasCalm(from: number, to: number): boolean {
    return !this.#spans.some((span) => span.from <= to && span.to >= from)
  }
}
