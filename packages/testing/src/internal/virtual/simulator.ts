import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as FiberRefs from "effect/FiberRefs"
import type * as FiberStatus from "effect/FiberStatus"
import * as Random from "effect/Random"

import type { Options, Result } from "../../Simulation.ts"
import { makeRandomStream, type RandomStream } from "../random.ts"
import { VirtualClock } from "./clock.ts"
import { SimulationError, type SimulationErrorReason } from "./error.ts"
import { Escapes } from "./escapes.ts"
import { Fibers } from "./fibers.ts"
import { VirtualScheduler } from "./scheduler.ts"

/** How many more steps a program has after its end, for fibers that are being interrupted. */
const stepsAfterEnd = 100_000

/** How long ready work may be held up by the machine: far less than any timeout, or each would be a fault of its own. */
const longestStall = 50

/** How many fibers an error tells of. */
const fibersTold = 20

/** Comes after all promises that can be settled without the machine. Kept, because a simulation guards the global one. */
const nextTurn = ((setImmediate) => () => new Promise<void>((resolve) => setImmediate(resolve)))(
  globalThis.setImmediate
)

const requireProbability = (name: string, value: number): void => {
  // If everything had to wait for something else, nothing would ever happen.
  if (!(value >= 0 && value < 1)) throw new RangeError(`${name} is ${value}: it must be at least 0 and less than 1`)
}

/** A seed that is no whole number would be cut off to another one, in silence. */
const requireSeed = (seed: number): void => {
  if (!Number.isSafeInteger(seed)) throw new RangeError(`A seed of ${seed}; it must be a whole number`)
}

/** One run of a program: what is ready runs until nothing is, then time goes on to the next timer. */
export class Simulator<A, E> {
  readonly #seed: number
  readonly #maxSteps: number
  readonly #earlyTimers: number
  readonly #clock = new VirtualClock()
  readonly #fibers = new Fibers()
  readonly #scheduler: VirtualScheduler
  readonly #timing: RandomStream
  readonly #escapes: Escapes | undefined
  readonly #program: Effect.Effect<A, E>
  #steps = 0
  #stepOfLastAdvance = 0
  #escape: SimulationError | undefined
  #exit: Exit.Exit<A, E> | undefined

  constructor(program: Effect.Effect<A, E>, allowMicrotasks: boolean, options: Options) {
    const { escapes = "fail", interleaving = {}, maxSteps = 10_000_000, seed = 0 } = options
    const { earlyTimers = 0, extraYields = 0, shuffle = false } = interleaving
    requireProbability("extraYields", extraYields)
    requireProbability("earlyTimers", earlyTimers)
    requireSeed(seed)
    if (!(maxSteps >= 1)) throw new RangeError(`maxSteps is ${maxSteps}: it must be 1 or more`)
    this.#seed = seed
    this.#maxSteps = maxSteps
    this.#earlyTimers = earlyTimers
    // A stream for each, so that one more yield does not shift the order, nor that the program's own chance.
    this.#scheduler = new VirtualScheduler({
      shuffle,
      extraYields,
      schedule: makeRandomStream(seed, 1),
      yields: makeRandomStream(seed, 2)
    })
    this.#timing = makeRandomStream(seed, 3)
    this.#escapes = escapes === "allow" ? undefined : new Escapes({
      allowMicrotasks,
      hashes: makeRandomStream(seed, 4),
      ids: makeRandomStream(seed, 5),
      now: () => this.#clock.unsafeCurrentTimeMillis(),
      onEscape: (what, advice) => {
        const escape = this.#error("Escaped", `${what} was used: ${advice}`)
        // The program may catch it.
        this.#escape ??= escape
        throw escape
      }
    })
    this.#program = program.pipe(Effect.withClock(this.#clock), Effect.withRandom(Random.make(seed)))
  }

  /** Runs it to its end at once. */
  run(): Result<A, E> {
    return this.#guarded(() => {
      this.#start()
      for (;;) {
        this.#runReady()
        if (this.#exit !== undefined) return this.#ended(this.#exit)
        if (!this.#advance()) throw this.#deadlock("; a promise needs runPromise")
      }
    })
  }

  /** Runs it to its end, and lets promises settle in between. */
  async runPromise(): Promise<Result<A, E>> {
    this.#guarded(() => this.#start())
    for (;;) {
      do {
        this.#guarded(() => this.#runReady())
        await nextTurn()
      } while (this.#exit === undefined && this.#scheduler.size > 0)
      const exit = this.#exit
      if (exit !== undefined) return this.#guarded(() => this.#ended(exit))
      if (!this.#guarded(() => this.#advance())) throw this.#deadlock("")
    }
  }

  #guarded<B>(action: () => B): B {
    return this.#escapes === undefined ? action() : this.#escapes.guard(action)
  }

  #start(): void {
    const fiber = Effect.runFork(this.#program, {
      scheduler: this.#scheduler,
      updateRefs: (refs, fiberId) =>
        FiberRefs.updateAs(refs, { fiberId, fiberRef: FiberRef.currentSupervisor, value: this.#fibers })
    })
    this.#throwEscape()
    fiber.addObserver((exit) => {
      this.#exit = exit
    })
  }

  /** Runs what is ready until nothing is, or the program has ended. */
  #runReady(): void {
    while (this.#exit === undefined && this.#scheduler.size > 0) {
      if (this.#earlyTimers > 0 && this.#timing() < this.#earlyTimers) this.#advance(longestStall)
      this.#countStep()
      this.#runOne()
    }
  }

  #runOne(): void {
    this.#scheduler.take()?.()
    this.#throwEscape()
  }

  #throwEscape(): void {
    if (this.#escape !== undefined) throw this.#escape
  }

  /** Goes on to the next timer; false if there is none within `millis`. */
  #advance(millis = Infinity): boolean {
    const before = this.#clock.elapsed
    if (!this.#clock.advance(millis)) return false
    this.#countStep()
    if (this.#clock.elapsed > before) this.#stepOfLastAdvance = this.#steps
    return true
  }

  #countStep(): void {
    if (++this.#steps <= this.#maxSteps) return
    const still = this.#steps - 1 - this.#stepOfLastAdvance
    throw this.#error("NoEnd", `no end after ${this.#maxSteps} steps, ${still} of them since time last moved`)
  }

  #ended(exit: Exit.Exit<A, E>): Result<A, E> {
    // What was interrupted, and is not awaited, ends now.
    for (let step = 0; step < stepsAfterEnd && this.#scheduler.size > 0; step++) this.#runOne()
    return { exit, time: this.#clock.elapsed, steps: this.#steps, leftovers: this.#leftovers() }
  }

  #leftovers(): ReadonlyArray<string> {
    const { size } = this.#scheduler
    const running = new Set(this.#fibers.running)
    return [
      ...this.#describeFibers(),
      ...this.#clock.sleepers().filter(({ fiber }) => !running.has(fiber) && !this.#fibers.isAbandoned(fiber)).map((
        { at }
      ) => `a timer at ${at} ms`),
      ...size === 0 ? [] : [`${size} steps that are ready`]
    ]
  }

  #deadlock(advice: string): SimulationError {
    return this.#error("Deadlock", `the program waits, nothing is ready, and nobody sleeps${advice}`)
  }

  #error(reason: SimulationErrorReason, text: string): SimulationError {
    const time = this.#clock.elapsed
    // Its stack says who has escaped.
    const fibers = reason === "Escaped" ? [] : this.#describeFibers()
    const waiting = fibers.length > fibersTold
      ? [...fibers.slice(0, fibersTold), `${fibers.length - fibersTold} more`]
      : fibers
    const message = [`${reason} at ${time} ms, seed ${this.#seed}: ${text}`, ...waiting].join("\n  ")
    return new SimulationError({ reason, seed: this.#seed, time, waiting, message })
  }

  #describeFibers(): ReadonlyArray<string> {
    const { running } = this.#fibers
    const sleepers = new Map(this.#clock.sleepers().map(({ at, fiber }) => [fiber, at]))
    const statuses = this.#askStatuses(running)
    return running.map((fiber, index) => this.#fibers.describe(fiber, statuses[index], sleepers.get(fiber)))
  }

  /** What fibers say of themselves; nothing unless all are suspended, for they would have to run to answer. */
  #askStatuses(fibers: ReadonlyArray<Fiber.RuntimeFiber<unknown, unknown>>): ReadonlyArray<FiberStatus.FiberStatus> {
    if (this.#scheduler.size > 0) return []
    const answers = Effect.runFork(Effect.forEach(fibers, ({ status }) => status), { scheduler: this.#scheduler })
    for (;;) {
      const exit = answers.unsafePoll()
      if (exit !== null) return Exit.isSuccess(exit) ? exit.value : []
      const task = this.#scheduler.take()
      if (task === undefined) return []
      task()
    }
  }
}
