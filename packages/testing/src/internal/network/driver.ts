import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"

import type { Network } from "./network.ts"

/** Lets a network live in the time of a clock. */
export interface Driver {
  readonly clock: Clock.Clock
  /** Gives the network something to do now. It is done soon, in a fiber of the driver's. */
  readonly touch: (action: () => void) => void
  /** Does something to the network, which is up to date then. What is thrown is a defect: the caller's mistake. */
  readonly operate: <A>(operation: (network: Network) => A) => Effect.Effect<A>
}

/** A fiber that sleeps until the network has something to do. */
interface Sleeper {
  readonly deadline: number
  readonly fiber: Fiber.RuntimeFiber<void>
}

/**
 * Drives a network until the scope closes. Time is the clock's of whoever calls this, for all connections. There are two
 * fibers at most: one works, the other sleeps until something is due.
 */
export const make = (network: Network): Effect.Effect<Driver, never, Scope.Scope> =>
  Effect.gen(function*() {
    const clock = yield* Effect.clock
    const scope = yield* Effect.scope
    let isAwake = false
    let sleeper: Sleeper | undefined
    let resume: (() => void) | undefined

    const wake = (): void => {
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

    const sleepUntil = (deadline: number): Effect.Effect<void> =>
      clock.sleep(Duration.millis(Math.max(0, deadline - clock.unsafeCurrentTimeMillis()))).pipe(
        Effect.zipRight(Effect.sync(() => {
          if (sleeper?.deadline === deadline) sleeper = undefined
          wake()
        })),
        Effect.interruptible,
        Effect.forkIn(scope),
        Effect.map((fiber) => {
          sleeper = { deadline, fiber }
        })
      )

    const work = Effect.suspend(() => {
      network.advance(clock.unsafeCurrentTimeMillis())
      const deadline = network.nextDeadline()
      // A sleeper that wakes for nothing is cheaper than a new one each time that a deadline moves away.
      if (deadline === undefined || (sleeper !== undefined && sleeper.deadline <= deadline)) return idle
      const interruptOld = sleeper === undefined ? Effect.void : Fiber.interruptFork(sleeper.fiber)
      return interruptOld.pipe(Effect.zipRight(sleepUntil(deadline)), Effect.zipRight(idle))
    })
    yield* work.pipe(
      Effect.forever,
      Effect.tapDefect((cause) => Effect.logError("The in-memory cluster has stopped: this is a bug in it", cause)),
      Effect.interruptible,
      Effect.forkScoped
    )

    return {
      clock,
      touch: (action) => {
        network.keepTime(clock.unsafeCurrentTimeMillis())
        action()
        wake()
      },
      operate: (operation) =>
        Effect.sync(() => {
          network.advance(clock.unsafeCurrentTimeMillis())
          const result = operation(network)
          wake()
          return result
        })
    }
  })
