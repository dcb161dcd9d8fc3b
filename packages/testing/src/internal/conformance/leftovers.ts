import * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberStatus from "effect/FiberStatus"
import * as Schedule from "effect/Schedule"
import * as Supervisor from "effect/Supervisor"

/** Something outlived the program that started it. */
export class LeftoverError extends Data.TaggedError("LeftoverError")<{
  /** What it is, one each: fibers, and what the caller counts. */
  readonly leftovers: ReadonlyArray<string>
  readonly message: string
}> {}

/** How a program is checked. */
export interface CheckOptions {
  /** Names what is open, one name a thing. */
  readonly leftovers?: Effect.Effect<Iterable<string>> | undefined
  /** How long what is on its way out may take. */
  readonly patience?: Duration.DurationInput | undefined
}

/** Looks at once, and again ever more seldom while something is left. */
const until = (patience: Duration.DurationInput) =>
  Schedule.exponential("1 millis").pipe(Schedule.union(Schedule.spaced("50 millis")), Schedule.upTo(patience))

const countEach = (names: Iterable<string>): Map<string, number> => {
  const counts = new Map<string, number>()
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1)
  return counts
}

/** What there is more of than before. */
const newSince = (before: ReadonlyMap<string, number>, names: Iterable<string>): ReadonlyArray<string> =>
  Array.from(countEach(names)).flatMap(([name, count]) =>
    Array.from({ length: Math.max(0, count - (before.get(name) ?? 0)) }, () => name)
  )

const describe = (fiber: Fiber.RuntimeFiber<unknown, unknown>): Effect.Effect<string> =>
  Effect.map(
    Fiber.status(fiber),
    (status) => `fiber #${fiber.id().id} (${FiberStatus.isSuspended(status) ? "suspended" : "running"})`
  )

/**
 * Runs a program, and fails if it leaves something behind: a fiber that it started, however deep, or something that was
 * not open before. The program's own failure comes first.
 */
export const nothingLeft =
  ({ leftovers: open = Effect.succeed([]), patience = "3 seconds" }: CheckOptions) =>
  <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | LeftoverError, R> =>
    Effect.gen(function*() {
      const before = countEach(yield* open)
      const supervisor = yield* Supervisor.track
      const result = yield* Effect.supervised(self, supervisor)
      const check = Effect.gen(function*() {
        const fibers = yield* Effect.forEach(yield* supervisor.value, describe)
        const leftovers = [...fibers, ...newSince(before, yield* open)]
        if (leftovers.length > 0) {
          return yield* new LeftoverError({ leftovers, message: `left behind: ${leftovers.join(", ")}` })
        }
      })
      yield* Effect.retry(check, until(patience))
      return result
    })
