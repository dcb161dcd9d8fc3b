import { cancelable } from "@sluice/kafka/internal/fiber"
import type { Exit } from "effect"
import { Clock, Duration, Effect, Hash, Random, Scheduler, Utils } from "effect"

/** Time that stands still while anything can happen without it. */
class VirtualClock implements Clock.Clock {
  readonly [Clock.ClockTypeId]: typeof Clock.ClockTypeId = Clock.ClockTypeId
  readonly #timers: Array<{ readonly at: number; readonly wake: () => void }> = []
  #now = 0

  unsafeCurrentTimeMillis(): number {
    return this.#now
  }

  unsafeCurrentTimeNanos(): bigint {
    return BigInt(Math.round(this.#now * 1e6))
  }

  readonly currentTimeMillis: Effect.Effect<number> = Effect.sync(() => this.#now)

  readonly currentTimeNanos: Effect.Effect<bigint> = Effect.sync(() => this.unsafeCurrentTimeNanos())

  sleep(duration: Duration.Duration): Effect.Effect<void> {
    return cancelable((resume) => {
      const timer = { at: this.#now + Duration.toMillis(duration), wake: () => resume(Effect.void) }
      const later = this.#timers.findIndex(({ at }) => at > timer.at)
      this.#timers.splice(later === -1 ? this.#timers.length : later, 0, timer)
      return () => {
        const index = this.#timers.indexOf(timer)
        if (index !== -1) this.#timers.splice(index, 1)
      }
    })
  }

  /** Goes on to the next timer; false if there is none. */
  next(): boolean {
    const timer = this.#timers.shift()
    if (timer === undefined) return false
    this.#now = Math.max(this.#now, timer.at)
    timer.wake()
    return true
  }

  get timers(): number {
    return this.#timers.length
  }
}

/**
 * Runs a program in virtual time, synchronously: the same seed gives the same
 * run. Throws where nothing can happen any more, and where it takes no end.
 *
 * @param extraYields how probable it is that a fiber yields before a step
 */
export const simulate = <A, E>(
  program: Effect.Effect<A, E>,
  seed: string,
  extraYields = 0
): { readonly exit: Exit.Exit<A, E>; readonly timersLeft: number } => {
  let ready: Array<() => void> = []
  const chance = new Utils.PCGRandom(Hash.string(seed))
  const scheduler = Scheduler.make(
    (task) => {
      ready.push(task)
    },
    // Now and then another fiber comes in between two steps, where one might think that none can.
    (fiber) => fiber.currentOpCount > 1 && chance.number() < extraYields ? 0 : Scheduler.defaultShouldYield(fiber)
  )
  const clock = new VirtualClock()
  const fiber = Effect.runFork(program.pipe(Effect.withClock(clock), Effect.withRandom(Random.make(seed))), {
    scheduler
  })
  for (let turns = 0; turns < 1_000_000; turns++) {
    const tasks = ready
    ready = []
    for (const task of tasks) task()
    if (ready.length > 0) continue
    const exit = fiber.unsafePoll()
    if (exit !== null) return { exit, timersLeft: clock.timers }
    if (!clock.next()) throw new Error("a deadlock: nothing can happen any more")
  }
  throw new Error("no end after a million turns")
}
