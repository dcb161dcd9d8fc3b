import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Runtime from "effect/Runtime"
import type * as Scope from "effect/Scope"

import type { Network } from "./network.ts"

/** Lets a network live in the time of a clock. */
export interface Driver {
  /**
   * Gives the network something to do now. What comes of it at once is done soon, in a fiber of the driver's. Once the
   * network has failed, everything that is done to it does, for the same reason: it is a bug in it, not a broken connection.
   */
  readonly touch: (action: (network: Network) => void) => void
  /**
   * Does something to the network, which is up to date then. What is thrown is a defect: a `RangeError` is the caller's
   * mistake, anything else a bug, as in {@link touch}.
   */
  readonly operate: <A>(operation: (network: Network) => A) => Effect.Effect<A>
}

/** A fiber that sleeps until the network has something to do. */
interface Sleeper {
  deadline: number
  fiber: Fiber.RuntimeFiber<void> | undefined
}

/**
 * What time it is by a clock that never jumps, in milliseconds. Microseconds are enough: a fraction that is lost in
 * conversions must not make a deadline look like one that is still to come.
 */
export const monotonic = (clock: Clock.Clock): number =>
  Math.round(Number(clock.unsafeCurrentTimeNanos()) / 1000) / 1000

/**
 * Drives a network until the scope closes. Time is the clock's of whoever calls this, for all connections.
 *
 * A simulation pays for each step of a fiber, and most of what happens is a frame that arrives: so whoever sleeps does
 * the work when it wakes, sleeps again if it is still the first that must wake, and starts in the step of whoever needs
 * it. One fiber more works where no time has to pass.
 */
export const make = (network: Network): Effect.Effect<Driver, never, Scope.Scope> =>
  Effect.gen(function*() {
    const clock = yield* Effect.clock
    const runtime = yield* Effect.runtime<never>()
    const runFork = Runtime.runFork(runtime)
    /** The one that wakes first is last. */
    const sleepers: Array<Sleeper> = []
    let isAwake = false
    let resume: (() => void) | undefined
    let isClosed = false
    let defect: { readonly cause: unknown } | undefined

    const requireSound = (): void => {
      if (defect !== undefined) throw defect.cause
    }

    /** Does something to the network; remembers what it throws, unless that is the caller's mistake. */
    const remembering = <A>(action: () => A, isMistake: (cause: unknown) => boolean = () => false): A => {
      requireSound()
      try {
        return action()
      } catch (cause) {
        if (!isMistake(cause)) defect = { cause }
        throw cause
      }
    }

    const advance = (now: number): void => remembering(() => network.advance(now))

    const alive = <A>(self: Effect.Effect<A>): Effect.Effect<A> =>
      self.pipe(
        Effect.tapDefect((cause) => Effect.logError("The in-memory cluster has stopped: this is a bug in it", cause)),
        Effect.interruptible
      )

    const wakeWorker = (): void => {
      const waiting = resume
      resume = undefined
      if (waiting === undefined) isAwake = true
      else waiting()
    }

    const idle = Effect.async<void>((done) => {
      if (isAwake) done(Effect.void)
      else resume = () => done(Effect.void)
      isAwake = false
    })

    // A sleeper that wakes for nothing is cheaper than a new one each time that a deadline moves away.
    const isTaken = (deadline: number): boolean => sleepers.length > 0 && sleepers.at(-1)!.deadline <= deadline

    /** Nothing is to come: nobody need sleep. */
    const dismiss = (): void => {
      for (const { fiber } of sleepers.splice(0)) fiber?.unsafeInterruptAsFork(FiberId.none)
    }

    const sleep = (sleeper: Sleeper): Effect.Effect<void> =>
      Effect.flatMap(
        Effect.suspend(() => clock.sleep(Duration.millis(Math.ceil(sleeper.deadline - monotonic(clock))))),
        () => {
          const index = sleepers.indexOf(sleeper)
          const now = monotonic(clock)
          advance(now)
          // Dismissed when it was about to wake: it is being interrupted, and others must take over.
          if (index < 0) {
            arm(now)
            return Effect.void
          }
          sleepers.splice(index, 1)
          const deadline = network.nextDeadline()
          if (deadline === undefined) return Effect.sync(dismiss)
          if (isTaken(deadline)) return Effect.void
          sleeper.deadline = deadline
          sleepers.push(sleeper)
          return sleep(sleeper)
        }
      )

    /** Sees to it that somebody is awake when the network has something to do. */
    const arm = (now: number): void => {
      const deadline = network.nextDeadline()
      if (isClosed) return
      if (deadline === undefined) return dismiss()
      if (deadline <= now) return wakeWorker()
      if (isTaken(deadline)) return
      const sleeper: Sleeper = { deadline, fiber: undefined }
      sleepers.push(sleeper)
      sleeper.fiber = runFork(alive(sleep(sleeper)))
    }

    yield* Effect.addFinalizer(() =>
      Effect.suspend(() => {
        isClosed = true
        return Fiber.interruptAll(sleepers.flatMap(({ fiber }) => fiber === undefined ? [] : [fiber]))
      })
    )
    yield* Effect.suspend(() => {
      const now = monotonic(clock)
      advance(now)
      arm(now)
      return idle
    }).pipe(Effect.forever, alive, Effect.forkScoped)

    return {
      touch: (action) => {
        const now = monotonic(clock)
        remembering(() => {
          network.keepTime(now)
          action(network)
        })
        arm(now)
      },
      operate: (operation) =>
        Effect.sync(() => {
          const now = monotonic(clock)
          advance(now)
          const result = remembering(() => operation(network), (cause) => cause instanceof RangeError)
          arm(now)
          return result
        })
    }
  })
