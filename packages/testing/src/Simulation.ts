/**
 * Runs a program in virtual time, by a seed: what is ready runs until nothing is, then time jumps to the next timer. The
 * same seed gives the same run, to the step.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"

import { VirtualClock } from "./internal/virtual/clock.ts"
import { SimulationError } from "./internal/virtual/error.ts"
import { Simulator } from "./internal/virtual/simulator.ts"

export { SimulationError, type SimulationErrorReason } from "./internal/virtual/error.ts"

/**
 * In which order things happen that may happen in any order. Without any of these, what is ready first runs first.
 *
 * @since 0.1.0
 * @category models
 */
export interface Interleaving {
  /** A ready fiber is picked by the seed. It also breaks orders that Effect keeps in production. Default false. */
  readonly shuffle?: boolean
  /** How probable it is that a fiber yields before a step where it need not: from 0, and less than 1. Default 0. */
  readonly extraYields?: number
  /**
   * How probable it is that a timer overtakes ready work, as when the process is short of time: from 0, and less than 1.
   * Only one that is due within 50 milliseconds does. Default 0.
   */
  readonly earlyTimers?: number
}

/**
 * How a program is run.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** Decides about chance, and about the interleaving. Default 0. */
  readonly seed?: number
  readonly interleaving?: Interleaving
  /**
   * How many steps a run may have: one that takes more is thought to have no end. Default 10 million, which takes up to a
   * minute or so. A step is what a fiber does until it waits or yields, so that a loop of plain JavaScript is one that never
   * ends: nothing can stop it, nor a test's timeout.
   */
  readonly maxSteps?: number
  /**
   * What becomes of a program that uses what it is not given: the time of `Date` or `performance`, `Math.random` or the
   * global `crypto`, timers of JavaScript's, or Effect's default scheduler, as `Effect.runFork` does. It would not be the
   * same run again. With `allow` it is let through. What the callbacks of a promise do is not seen. Default `fail`.
   */
  readonly escapes?: "fail" | "allow"
}

/**
 * A run that has ended.
 *
 * @since 0.1.0
 * @category models
 */
export interface Result<A, E> {
  readonly exit: Exit.Exit<A, E>
  /** How much virtual time has passed, in milliseconds. */
  readonly time: number
  readonly steps: number
  /** What the program left behind: fibers that have not ended, and timers that nobody cancelled. Empty if all is well. */
  readonly leftovers: ReadonlyArray<string>
}

/**
 * Runs a program to its end, at once. Throws a {@link SimulationError} if it does not come to one.
 *
 * Its clock says that 2026 begins (UTC). What the program awaits must come from the program; where it awaits promises,
 * take {@link runPromise}.
 *
 * @example
 * ```ts
 * import { Simulation } from "@sluice/testing"
 * import { Effect } from "effect"
 *
 * const { exit, leftovers, time } = Simulation.run(Effect.as(Effect.sleep("1 hour"), "done"), { seed: 1 })
 * console.log(exit, leftovers, time)
 * ```
 *
 * @since 0.1.0
 * @category running
 */
export const run = <A, E>(program: Effect.Effect<A, E>, options: Options = {}): Result<A, E> =>
  new Simulator(program, false, options).run()

/**
 * As {@link run}, for a program that awaits promises too. They must be settled without the machine: time does not wait for
 * a file or a socket. Rejects with a {@link SimulationError}.
 *
 * @since 0.1.0
 * @category running
 */
export const runPromise = <A, E>(program: Effect.Effect<A, E>, options: Options = {}): Promise<Result<A, E>> =>
  new Simulator(program, true, options).runPromise()

/**
 * Which runs are tried.
 *
 * @since 0.1.0
 * @category models
 */
export interface CheckOptions extends Omit<Options, "seed"> {
  /** How many seeds, from 1; or which. None at all is a mistake: a `RangeError`. */
  readonly seeds: number | ReadonlyArray<number>
}

/** Orders that production may show too. */
const interleavings: ReadonlyArray<Interleaving> = [
  {},
  { extraYields: 0.05 },
  { extraYields: 0.05, earlyTimers: 0.02 }
]

/**
 * Runs a program for many seeds, and throws a {@link SimulationError} for the first one for which it fails or leaves
 * something behind. By default some runs have the usual order, some extra yields, some early timers too.
 *
 * @example
 * ```ts
 * import { Simulation } from "@sluice/testing"
 * import { Effect, Random } from "effect"
 *
 * Simulation.check({ seeds: 100 }, () =>
 *   Effect.gen(function*() {
 *     const pauses = yield* Effect.replicateEffect(Random.nextIntBetween(0, 1000), 3)
 *     yield* Effect.forEach(pauses, (pause) => Effect.sleep(pause), { concurrency: "unbounded" })
 *   }))
 * ```
 *
 * @since 0.1.0
 * @category running
 */
export const check = <A, E>(
  { seeds, ...options }: CheckOptions,
  program: (seed: number) => Effect.Effect<A, E>
): void => {
  for (const seed of seedsOf(seeds)) {
    const { exit, leftovers, time } = run(program(seed), {
      interleaving: interleavings[Math.abs(seed) % interleavings.length]!,
      ...options,
      seed
    })
    const failed = (message: string, cause?: unknown) =>
      new SimulationError({
        reason: "Failed",
        message: `Failed at ${time} ms, seed ${seed}: ${message}`,
        seed,
        time,
        waiting: leftovers,
        cause
      })
    if (Exit.isFailure(exit)) throw failed(Cause.pretty(exit.cause), Cause.squash(exit.cause))
    if (leftovers.length > 0) throw failed(["it leaves something behind", ...leftovers].join("\n  "))
  }
}

/** A check of no seeds would be green. */
const seedsOf = (seeds: number | ReadonlyArray<number>): ReadonlyArray<number> => {
  const count = typeof seeds === "number" ? seeds : seeds.length
  if (!Number.isSafeInteger(count) || count < 1) throw new RangeError(`A check of ${count} seeds; it needs 1 or more`)
  return typeof seeds === "number" ? Array.from({ length: seeds }, (_, index) => index + 1) : seeds
}

/**
 * Sets the wall clock of the simulation forward, or back, by milliseconds. Sleeps end when they would have: as on a machine
 * whose clock is set. A defect outside of a simulation.
 *
 * @since 0.1.0
 * @category time
 */
export const jumpClock = (millis: number): Effect.Effect<void> =>
  Effect.flatMap(
    Effect.clock,
    (clock) => {
      if (!Number.isFinite(millis)) return Effect.die(new RangeError(`The clock cannot jump by ${millis} ms`))
      return clock instanceof VirtualClock
        ? Effect.sync(() => clock.jump(millis))
        : Effect.dieMessage("only the clock of a simulation can jump")
    }
  )
