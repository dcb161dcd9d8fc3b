import { cancelable } from "@sluice/kafka/internal/fiber"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"

import { Timers } from "./timers.ts"

/** Somebody who sleeps. */
interface Sleeper {
  readonly fiber: Fiber.RuntimeFiber<unknown, unknown>
  readonly wake: () => void
}

/**
 * What the wall clock says first: the beginning of 2026, in milliseconds since 1970. From 0 a jump back would lead to times
 * that Kafka does not take.
 */
export const wallStart = 1_767_225_600_000

/**
 * Time that moves only when it is told to. The wall clock (milliseconds) can be set, as a machine's can; the monotonic one
 * (nanoseconds), which begins at 0 and by which sleeps end, cannot.
 */
export class VirtualClock implements Clock.Clock {
  readonly [Clock.ClockTypeId]: typeof Clock.ClockTypeId = Clock.ClockTypeId
  readonly #timers = new Timers<Sleeper>()
  #elapsed = 0
  #wallOffset = wallStart

  /** Milliseconds since the start, with their fractions, whatever the wall clock says. */
  get elapsed(): number {
    return this.#elapsed
  }

  /** What the wall clock says: whole milliseconds, as of a machine's. */
  unsafeCurrentTimeMillis(): number {
    return Math.floor(this.#elapsed + this.#wallOffset)
  }

  /** Nanoseconds since the start. */
  unsafeCurrentTimeNanos(): bigint {
    return BigInt(Math.round(this.#elapsed * 1e6))
  }

  readonly currentTimeMillis: Effect.Effect<number> = Effect.sync(() => this.unsafeCurrentTimeMillis())

  readonly currentTimeNanos: Effect.Effect<bigint> = Effect.sync(() => this.unsafeCurrentTimeNanos())

  /** Sleeps; for ever if the duration is infinite. */
  sleep(duration: Duration.Duration): Effect.Effect<void> {
    const millis = Duration.toMillis(duration)
    if (millis === Infinity) return forever
    return Effect.withFiberRuntime((fiber) =>
      cancelable((resume) => {
        const timer = this.#timers.add(this.#elapsed + millis, {
          fiber: fiber as Fiber.RuntimeFiber<unknown, unknown>,
          wake: () => resume(Effect.void)
        })
        return () => this.#timers.cancel(timer)
      })
    )
  }

  /** Sets the wall clock forward, or back. No sleep ends earlier or later for that. */
  jump(millis: number): void {
    this.#wallOffset += millis
  }

  /** Goes on to the end of the next sleep; false if none ends within `millis`. */
  advance(millis = Infinity): boolean {
    const timer = this.#timers.next(this.#elapsed + millis)
    if (timer === undefined) return false
    this.#elapsed = timer.at
    timer.value.wake()
    return true
  }

  /** Who sleeps, and until when; in the order in which they wake. */
  sleepers(): ReadonlyArray<{ readonly at: number; readonly fiber: Sleeper["fiber"] }> {
    return this.#timers.pending().map(({ at, value: { fiber } }) => ({ at, fiber }))
  }
}

/** `Effect.never` would hold a timer of the machine's. */
const forever = Effect.async<never>(() => {})
