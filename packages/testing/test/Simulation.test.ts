import { execFileSync } from "node:child_process"
import { fileURLToPath } from "node:url"

import { assert, describe, it } from "@effect/vitest"
import {
  Cause,
  Clock,
  Deferred,
  Duration,
  Effect,
  Exit,
  Fiber,
  Logger,
  Metric,
  Random,
  Ref,
  Runtime,
  Schedule,
  Scheduler
} from "effect"

import { wallStart } from "../src/internal/virtual/clock.ts"
import * as Simulation from "../src/Simulation.ts"
import { traceOf, wild } from "./virtual/traced.ts"

const seeds = (count: number) => Array.from({ length: count }, (_, index) => index + 1)

const succeed = <A, E>({ exit, leftovers }: Simulation.Result<A, E>): A => {
  if (Exit.isFailure(exit)) throw new Error(Cause.pretty(exit.cause))
  assert.deepStrictEqual(leftovers, [])
  return exit.value
}

/** What `run` throws. */
const errorOf = <A, E>(program: Effect.Effect<A, E>, options?: Simulation.Options): Simulation.SimulationError => {
  try {
    Simulation.run(program, options)
  } catch (error) {
    assert.instanceOf(error, Simulation.SimulationError)
    return error
  }
  throw new Error("it has not thrown")
}

/** For which seeds a program fails, or has no end. */
const failing = <A, E>(program: Effect.Effect<A, E>, interleaving: Simulation.Interleaving): ReadonlyArray<number> =>
  seeds(100).filter((seed) => {
    try {
      return Exit.isFailure(Simulation.run(program, { seed, interleaving }).exit)
    } catch {
      return true
    }
  })

describe("a simulation", () => {
  it("refuses options that cannot be", () => {
    const run = (options: Simulation.Options) => () => Simulation.run(Effect.void, options)
    assert.throws(run({ seed: 0.5 }), RangeError, "A seed of 0.5; it must be a whole number")
    assert.throws(run({ seed: NaN }), RangeError, "A seed of NaN")
    assert.throws(run({ maxSteps: NaN }), RangeError, "maxSteps is NaN: it must be 1 or more")
    assert.throws(run({ maxSteps: 0 }), RangeError, "maxSteps is 0")
    assert.throws(run({ interleaving: { extraYields: NaN } }), RangeError, "extraYields is NaN")
  })

  it("gives the program's exit, how long it took in virtual time, and what is left", () => {
    const { exit, leftovers, steps, time } = Simulation.run(Effect.as(Effect.sleep("1 day"), "done"))
    assert.deepStrictEqual(exit, Exit.succeed("done"))
    assert.strictEqual(time, 24 * 3_600_000)
    assert.isAtLeast(steps, 1)
    assert.deepStrictEqual(leftovers, [])
    assert.deepStrictEqual(Simulation.run(Effect.fail("no luck")).exit, Exit.fail("no luck"))
  })

  it("gives the program chance by the seed, whatever the interleaving", () => {
    const numbers = Effect.replicateEffect(Effect.zipLeft(Random.next, Effect.yieldNow()), 20)
    const ofSeed = (seed: number, interleaving: Simulation.Interleaving = {}) =>
      succeed(Simulation.run(numbers, { seed, interleaving }))
    assert.deepStrictEqual(ofSeed(1), ofSeed(1))
    assert.deepStrictEqual(ofSeed(1), ofSeed(1, wild))
    assert.notDeepEqual(ofSeed(1), ofSeed(2))
  })

  it("is the same again with the same seed, in this process", () => {
    const traces = new Set<string>()
    for (const seed of seeds(3)) {
      for (const interleaving of [{}, { extraYields: 0.05 }, wild]) {
        const trace = traceOf(seed, interleaving)
        assert.deepStrictEqual(traceOf(seed, interleaving), trace)
        traces.add(trace.join("\n"))
      }
    }
    assert.strictEqual(traces.size, 9)
  })

  it("is the same again with the same seed, in any process", { timeout: 60_000 }, () => {
    const program = fileURLToPath(new URL("virtual/traced.ts", import.meta.url))
    const [first, second] = [1, 2].map(() => execFileSync(process.execPath, [program, "3"], { encoding: "utf8" }))
    assert.strictEqual(first, second)
    assert.strictEqual(first, [...traceOf(3, {}), ...traceOf(3, wild), ""].join("\n"))
  })

  it("runs inside of another, in a time of its own", () => {
    const inner = Effect.zipRight(Effect.sleep("1 minute"), Clock.currentTimeMillis)
    const times = succeed(Simulation.run(Effect.gen(function*() {
      yield* Effect.sleep("1 hour")
      const time = yield* Effect.sync(() => succeed(Simulation.run(inner)))
      yield* Effect.sleep("1 second")
      return [time, yield* Clock.currentTimeMillis]
    })))
    assert.deepStrictEqual(times, [wallStart + 60_000, wallStart + 3_601_000])
  })

  it("refuses probabilities that are none", () => {
    for (const value of [-0.1, 1, Number.NaN]) {
      assert.throws(() => Simulation.run(Effect.void, { interleaving: { extraYields: value } }), RangeError)
      assert.throws(() => Simulation.run(Effect.void, { interleaving: { earlyTimers: value } }), RangeError)
    }
  })
})

describe("an interleaving", () => {
  it("that shuffles finds who relies on the order of starts", () => {
    const program = Effect.gen(function*() {
      let connection: string | undefined
      const connect = Effect.sync(() => {
        connection = "open"
      })
      const use = Effect.suspend(() => connection === undefined ? Effect.fail("not connected") : Effect.void)
      yield* Effect.all([connect, use], { concurrency: "unbounded" })
    })
    assert.deepStrictEqual(failing(program, {}), [])
    assert.isAbove(failing(program, { shuffle: true }).length, 10)
  })

  it("of extra yields finds who checks first, and acts then", () => {
    const program = Effect.gen(function*() {
      const balance = yield* Ref.make(10)
      const withdraw = Effect.gen(function*() {
        if ((yield* Ref.get(balance)) < 10) return
        yield* Ref.update(balance, (before) => before - 10)
      })
      yield* Effect.all([withdraw, withdraw], { concurrency: "unbounded" })
      if ((yield* Ref.get(balance)) < 0) yield* Effect.fail("overdrawn")
    })
    assert.deepStrictEqual(failing(program, {}), [])
    assert.deepStrictEqual(failing(program, { shuffle: true }), [])
    assert.isAbove(failing(program, { extraYields: 0.05 }).length, 2)
  })

  it("of early timers finds who misses a signal", () => {
    const program = Effect.gen(function*() {
      const waiters: Array<Deferred.Deferred<void>> = []
      const signal = Effect.suspend(() => Effect.forEach(waiters, (waiter) => Deferred.succeed(waiter, undefined)))
      yield* Effect.fork(Effect.delay(signal, "5 millis"))
      yield* Effect.repeatN(Effect.yieldNow(), 10)
      const waiter = yield* Deferred.make<void>()
      waiters.push(waiter)
      yield* Deferred.await(waiter)
    })
    for (const interleaving of [{}, { shuffle: true }, { extraYields: 0.05 }]) {
      assert.deepStrictEqual(failing(program, interleaving), [])
    }
    assert.isAbove(failing(program, { earlyTimers: 0.05 }).length, 10)
  })

  it("of very many extra yields comes to its end", () => {
    const counted = Effect.reduce(seeds(100), 0, (sum, number) => Effect.as(Effect.yieldNow(), sum + number))
    assert.strictEqual(
      succeed(Simulation.run(counted, { interleaving: { extraYields: 0.9 }, maxSteps: 100_000 })),
      5050
    )
  })
})

describe("a run that does not come to its end", () => {
  it("tells of a deadlock who waits for whom", () => {
    const error = errorOf(
      Effect.gen(function*() {
        const never = yield* Deferred.make<void>()
        const worker = yield* Deferred.await(never).pipe(
          Effect.withSpan("handle order"),
          Effect.annotateLogs({ partition: 3 }),
          Effect.fork
        )
        yield* Effect.sleep("5 seconds")
        yield* Fiber.join(worker)
      }),
      { seed: 17 }
    )
    assert.strictEqual(error.reason, "Deadlock")
    assert.strictEqual(error.seed, 17)
    assert.strictEqual(error.time, 5000)
    assert.deepStrictEqual(error.waiting, [
      `fiber 1 waits for fiber 2 "handle order" (partition: 3)`,
      `fiber 2 "handle order" (partition: 3) waits for fiber 1`
    ])
    assert.include(error.message, "Deadlock at 5000 ms, seed 17")
    assert.include(error.message, error.waiting[0]!)
  })

  it("tells of a promise that it cannot wait for", () => {
    assert.include(errorOf(Effect.promise(() => Promise.resolve(1))).message, "runPromise")
  })

  it("tells of a loop that has no end, and that time stands still in it", () => {
    const error = errorOf(
      Effect.gen(function*() {
        yield* Effect.fork(Effect.sleep("1 hour"))
        yield* Effect.sleep("2 seconds")
        yield* Effect.retry(Effect.zipRight(Effect.yieldNow(), Effect.fail("again")), Schedule.forever)
      }),
      { maxSteps: 5000 }
    )
    assert.strictEqual(error.reason, "NoEnd")
    assert.strictEqual(error.time, 2000)
    assert.match(error.message, /no end after 5000 steps, 49\d\d of them since time last moved/)
    assert.include(error.waiting, "fiber 2 sleeps until 3600000 ms")
  })

  it("tells of a loop that has no end while time goes on", () => {
    const error = errorOf(Effect.repeat(Effect.void, Schedule.spaced("1 second")), { maxSteps: 1000 })
    assert.strictEqual(error.reason, "NoEnd")
    assert.isAbove(error.time, 100_000)
  })
})

describe("what a program leaves behind", () => {
  const leftovers = <A, E>(program: Effect.Effect<A, E>) => Simulation.run(program).leftovers

  it("is told: fibers, what they are called, and what they wait for", () => {
    assert.deepStrictEqual(
      leftovers(Effect.gen(function*() {
        yield* Effect.forkDaemon(Effect.withSpan(Effect.never, "poll"))
        const sleeper = yield* Effect.forkDaemon(Effect.sleep("3 seconds"))
        yield* Effect.forkDaemon(Fiber.join(sleeper))
        yield* Effect.sleep("1 second")
      })),
      [`fiber 2 "poll" waits`, "fiber 3 sleeps until 3000 ms", "fiber 4 waits for fiber 3"]
    )
  })

  it("is told of a timer of somebody who is no part of it", () => {
    assert.deepStrictEqual(
      leftovers(Effect.map(Effect.clock, (clock) => {
        Effect.runFork(clock.sleep(Duration.minutes(1)))
      })),
      ["a timer at 60000 ms"]
    )
  })

  it("is told of a fiber that is always ready", () => {
    const left = leftovers(Effect.forkDaemon(Effect.forever(Effect.yieldNow())))
    assert.deepStrictEqual(left, ["fiber 2", "1 steps that are ready"])
  })

  it("is nothing if all is interrupted, though nobody waits for that", () => {
    assert.deepStrictEqual(
      leftovers(Effect.gen(function*() {
        const slow = yield* Effect.forkDaemon(
          Effect.onInterrupt(Effect.never, () => Effect.repeatN(Effect.yieldNow(), 50))
        )
        yield* Effect.yieldNow()
        yield* Fiber.interruptFork(slow)
        yield* Effect.timeout(Effect.yieldNow(), "1 hour")
      })),
      []
    )
  })

  it("is told of a fiber that was started from a callback, by the program's runtime", () => {
    assert.deepStrictEqual(
      leftovers(Effect.map(Effect.runtime<never>(), (runtime) => {
        Runtime.runFork(runtime)(Effect.sleep("1 minute"))
      })),
      ["fiber 2 sleeps until 60000 ms"]
    )
  })
})

describe("an escape from a simulation", () => {
  const escapes: Record<string, () => unknown> = {
    "Date.now()": () => Date.now(),
    "new Date()": () => new Date(),
    "Date()": () => Date(),
    "performance.now()": () => performance.now(),
    "Math.random()": () => Math.random(),
    "crypto.randomUUID()": () => crypto.randomUUID(),
    "crypto.getRandomValues()": () => crypto.getRandomValues(new Uint8Array(1)),
    setTimeout: () => setTimeout(() => {}, 0),
    setInterval: () => setInterval(() => {}, 10),
    setImmediate: () => setImmediate(() => {}),
    queueMicrotask: () => queueMicrotask(() => {}),
    "Effect's default scheduler": () => Effect.runFork(Effect.yieldNow())
  }
  const globals = () => [
    Date,
    Date.now,
    performance.now,
    Math.random,
    crypto.randomUUID,
    crypto.getRandomValues,
    setTimeout,
    setInterval,
    setImmediate,
    queueMicrotask,
    Scheduler.defaultScheduler.scheduleTask
  ]

  for (const [name, escape] of Object.entries(escapes)) {
    it(`by ${name} is an error that says where, and does no harm afterwards`, () => {
      const before = globals()
      const error = errorOf(Effect.zipRight(Effect.sleep("1 second"), Effect.sync(escape)))
      assert.strictEqual(error.reason, "Escaped")
      assert.include(error.message, `Escaped at 1000 ms, seed 0: ${name} was used`)
      assert.include(error.stack, "Simulation.test.ts")
      assert.deepStrictEqual(globals(), before)
      assert.isAbove(Date.now(), 1.7e12)
      assert.doesNotThrow(() => Math.random())
    })

    it(`by ${name} is let through where that is allowed`, () => {
      const { exit } = Simulation.run(Effect.sync(escape), { escapes: "allow" })
      assert.isTrue(Exit.isSuccess(exit))
      if (Exit.isSuccess(exit) && name === "setInterval") clearInterval(exit.value as NodeJS.Timeout)
    })
  }

  it("is an error even if the program catches it", () => {
    const error = errorOf(Effect.catchAllDefect(Effect.sync(() => Date.now()), () => Effect.succeed(0)))
    assert.strictEqual(error.reason, "Escaped")
  })

  it("is none of a date that is told, nor of what Effect itself does", () => {
    const counter = Metric.timer("simulation-test")
    const lines: Array<string> = []
    const logger = Logger.make(({ date, message }) => {
      lines.push(`${date.toISOString()} ${String(message)}`)
    })
    const program = Effect.gen(function*() {
      yield* Effect.sleep("1 second")
      yield* Effect.log("hello").pipe(Effect.provide(Logger.replace(Logger.defaultLogger, logger)))
      yield* Metric.trackDuration(Effect.withSpan(Effect.sleep(5), "span"), counter)
      yield* Effect.timeoutOption(Effect.never, "1 second")
      yield* Effect.forEach([{ a: 1 }, { a: 2 }], (value) => Ref.make(value), { concurrency: 2 })
      return [new Date(5) instanceof Date, new Date("2026-01-02").getTime(), Date.UTC(2026, 0, 2)]
    })
    assert.deepStrictEqual(succeed(Simulation.run(program)), [true, 1767312000000, 1767312000000])
    assert.deepStrictEqual(lines, ["2026-01-01T00:00:01.000Z hello"])
  })

  it("is found of an inner simulation, and then of the outer one", () => {
    const inner = Effect.sync(() => errorOf(Effect.sync(() => Date.now())).message)
    const error = errorOf(Effect.gen(function*() {
      yield* Effect.sleep("3 seconds")
      assert.include(yield* inner, "Escaped at 0 ms")
      Date.now()
    }))
    assert.include(error.message, "Escaped at 3000 ms")
  })
})

describe("a simulation with promises", () => {
  it("awaits those that need nothing of the machine, and no time passes", async () => {
    const program = Effect.gen(function*() {
      yield* Effect.sleep("1 hour")
      const value = yield* Effect.promise(async () => {
        for (let turn = 0; turn < 10; turn++) await null
        queueMicrotask(() => {})
        return 42
      })
      return [value, yield* Clock.currentTimeMillis]
    })
    assert.deepStrictEqual(succeed(await Simulation.runPromise(program)), [42, wallStart + 3_600_000])
  })

  it("runs beside others", async () => {
    const program = (name: string) =>
      Effect.replicateEffect(
        Effect.zipRight(Effect.promise(() => Promise.resolve()), Effect.map(Random.next, (next) => `${name} ${next}`)),
        20
      )
    const together = await Promise.all(["a", "b"].map((name) => Simulation.runPromise(program(name), { seed: 5 })))
    const alone = [await Simulation.runPromise(program("a"), { seed: 5 })]
    assert.deepStrictEqual(succeed(together[0]!), succeed(alone[0]!))
    assert.notDeepEqual(succeed(together[0]!), succeed(together[1]!))
  })

  it("rejects where it does not come to its end", async () => {
    const rejection = (program: Effect.Effect<unknown>) =>
      Simulation.runPromise(program).then(() => undefined, (error: Simulation.SimulationError) => error.reason)
    assert.strictEqual(await rejection(Effect.never), "Deadlock")
    assert.strictEqual(await rejection(Effect.sync(() => Date.now())), "Escaped")
    const late = Effect.zipRight(Effect.promise(() => Promise.resolve()), Effect.sync(() => Math.random()))
    assert.strictEqual(await rejection(late), "Escaped")
    assert.isAbove(Date.now(), 1.7e12)
  })
})

describe("a check of many seeds", () => {
  it("is not green without any seed", () => {
    for (const wrong of [0, -3, NaN, 1.5, []]) {
      assert.throws(() => Simulation.check({ seeds: wrong }, () => Effect.fail("no luck")), RangeError, "1 or more")
    }
  })

  it("says nothing if all is well", () => {
    const tried: Array<number> = []
    Simulation.check({ seeds: 10 }, (seed) => Effect.sync(() => tried.push(seed)))
    assert.deepStrictEqual(tried, seeds(10))
  })

  it("throws for the first seed that fails, and names it", () => {
    const program = Effect.flatMap(
      Random.nextIntBetween(0, 10),
      (drawn) => drawn === 0 ? Effect.fail(new Error("drew a blank")) : Effect.void
    )
    const first = seeds(100).find((seed) => Exit.isFailure(Simulation.run(program, { seed }).exit))!
    try {
      Simulation.check({ seeds: 100 }, () => program)
      assert.fail("it has not thrown")
    } catch (error) {
      assert.instanceOf(error, Simulation.SimulationError)
      assert.strictEqual(error.reason, "Failed")
      assert.strictEqual(error.seed, first)
      assert.include(error.message, `seed ${first}: Error: drew a blank`)
      assert.include(String(error.cause), "drew a blank")
    }
    assert.doesNotThrow(() => Simulation.check({ seeds: seeds(first - 1) }, () => program))
  })

  it("throws for what is left behind", () => {
    assert.throws(
      () => Simulation.check({ seeds: [7] }, () => Effect.forkDaemon(Effect.never)),
      /seed 7: it leaves something behind\n\s+fiber 2 waits/
    )
  })

  it("tries interleavings of its own, unless it is given one", () => {
    const overdrawn = Effect.gen(function*() {
      const balance = yield* Ref.make(10)
      const withdraw = Effect.flatMap(
        Ref.get(balance),
        (before) => before < 10 ? Effect.void : Ref.update(balance, (now) => now - 10)
      )
      yield* Effect.all([withdraw, withdraw], { concurrency: "unbounded" })
      assert.isAtLeast(yield* Ref.get(balance), 0)
    })
    assert.throws(() => Simulation.check({ seeds: 300 }, () => overdrawn), /seed \d+: AssertionError/)
    assert.doesNotThrow(() => Simulation.check({ seeds: 300, interleaving: {} }, () => overdrawn))
  })
})
