import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"

import { cancelable } from "../fiber.ts"

/** So long may one have its turn while others wait, in milliseconds, and so much may it do in it. */
const turnMillis = 5
const turnSteps = 1_000

interface Waiter {
  readonly turn: Turn
  readonly resume: (effect: Effect.Effect<void>) => void
}

/**
 * So many at a time do something, step by step; the others wait for their turn. One that has it keeps it from step to step,
 * for a moment, since to hand it over costs more than most steps do.
 */
export class Turns {
  #free: number
  /** In the order in which they came. */
  readonly #waiting = new Set<Waiter>()

  constructor(count: number) {
    this.#free = count
  }

  /** Whether anybody waits. */
  get isWanted(): boolean {
    return this.#waiting.size > 0
  }

  /** Waits for a turn. */
  wait(turn: Turn): Effect.Effect<void> {
    return cancelable((resume) => {
      const waiter: Waiter = { turn, resume }
      this.#waiting.add(waiter)
      this.#next()
      return () => this.#waiting.delete(waiter)
    })
  }

  /** A turn is over. */
  release(): void {
    this.#free++
    this.#next()
  }

  #next(): void {
    const [waiter] = this.#waiting
    if (waiter === undefined || this.#free === 0) return
    this.#free--
    this.#waiting.delete(waiter)
    waiter.turn.begin()
    waiter.resume(Effect.void)
  }
}

/** The turns of one of them. Whoever waits for one must {@link Turn.end} it, also when interrupted. */
export class Turn {
  readonly #turns: Turns
  readonly #clock: Clock.Clock
  #isHeld = false
  #since = 0
  #steps = 0

  constructor(turns: Turns, clock: Clock.Clock) {
    this.#turns = turns
    this.#clock = clock
  }

  /** Whether it has its turn. */
  get isHeld(): boolean {
    return this.#isHeld
  }

  /** Waits until it has. */
  readonly wait: Effect.Effect<void> = Effect.suspend(() => this.#turns.wait(this))

  /** It is its turn. */
  begin(): void {
    this.#isHeld = true
    this.#since = this.#clock.unsafeCurrentTimeMillis()
    this.#steps = 0
  }

  /** A step is done: the turn is over if others have waited for long enough. */
  stepped(): void {
    if (!this.#turns.isWanted) return
    const passed = this.#clock.unsafeCurrentTimeMillis() - this.#since
    // A clock that was put back tells nothing.
    if (++this.#steps >= turnSteps || passed >= turnMillis || passed < 0) this.end()
  }

  /** It does nothing more for now. */
  end(): void {
    if (!this.#isHeld) return
    this.#isHeld = false
    this.#turns.release()
  }
}
