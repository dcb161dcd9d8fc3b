import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"

import type { HistoryEvent } from "./history.ts"

/** An event without its time. */
export type Untimed<E> = E extends { readonly time: number } ? Omit<E, "time"> : never

/** Writes a history down, in the order in which things happen. */
export class Recorder {
  readonly events: Array<HistoryEvent> = []
  readonly #clock: Clock.Clock

  constructor(clock: Clock.Clock) {
    this.#clock = clock
  }

  /** Milliseconds since the start, whatever the wall clock says. */
  get now(): number {
    return Number(this.#clock.unsafeCurrentTimeNanos()) / 1e6
  }

  /** Something happens now. */
  readonly add = (event: Untimed<HistoryEvent>): void => {
    this.events.push({ ...event, time: this.now } as HistoryEvent)
  }
}

/** A recorder in the time of the clock. */
export const makeRecorder: Effect.Effect<Recorder> = Effect.map(Effect.clock, (clock) => new Recorder(clock))
