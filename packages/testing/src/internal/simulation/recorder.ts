import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"

import type { HistoryEvent } from "./history.ts"

/** An event without its time. */
export type Untimed<E> = E extends { readonly time: number } ? Omit<E, "time"> : never

/** Writes a history down, in the order in which things happen. */
export class Recorder {
  readonly events: Array<HistoryEvent> = []
  /** What was added to it and to the histories beside it. */
  readonly everything: Array<HistoryEvent>
  readonly #clock: Clock.Clock

  constructor(clock: Clock.Clock, everything: Array<HistoryEvent> = []) {
    this.#clock = clock
    this.everything = everything
  }

  /** Of another history in the same time. */
  beside(): Recorder {
    return new Recorder(this.#clock, this.everything)
  }

  /** Milliseconds since the start, whatever the wall clock says. */
  get now(): number {
    return Number(this.#clock.unsafeCurrentTimeNanos()) / 1e6
  }

  /** Something happens now. */
  readonly add = (event: Untimed<HistoryEvent>): void => {
    const timed = { ...event, time: this.now } as HistoryEvent
    this.events.push(timed)
    this.everything.push(timed)
  }
}

/** A recorder in the time of the clock. */
export const makeRecorder: Effect.Effect<Recorder> = Effect.map(Effect.clock, (clock) => new Recorder(clock))
