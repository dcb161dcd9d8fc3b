import type * as Fiber from "effect/Fiber"
import * as Scheduler from "effect/Scheduler"

import type { RandomStream } from "../random.ts"

/** How a scheduler orders what may happen in any order. */
export interface SchedulerOptions {
  readonly shuffle: boolean
  /** Probability of a yield before a step. */
  readonly extraYields: number
  /** Decides which task is next. */
  readonly schedule: RandomStream
  /** Decides before which steps a fiber yields. */
  readonly yields: RandomStream
}

/**
 * Without a priority a yield is a single step. With one it is ten, which would be interrupted by yields in their turn: it
 * would take no end from a probability of 0.1 on.
 */
const plainYield = undefined as unknown as number

/** How many tasks may have been taken out before their places are. */
const placesKept = 1024

/** Keeps what fibers have to do until somebody takes it. Priorities do not matter: Effect's own apply within a fiber. */
export class VirtualScheduler implements Scheduler.Scheduler {
  readonly #options: SchedulerOptions
  #ready: Array<Scheduler.Task> = []
  #first = 0
  #stepsUntilYield: number

  constructor(options: SchedulerOptions) {
    this.#options = options
    this.#stepsUntilYield = this.#drawSteps()
  }

  /** How many tasks are ready. */
  get size(): number {
    return this.#ready.length - this.#first
  }

  scheduleTask(task: Scheduler.Task): void {
    this.#ready.push(task)
  }

  shouldYield(fiber: Fiber.RuntimeFiber<unknown, unknown>): number | false {
    // Never before the first step after a resume: the scheduler has just had its say.
    if (fiber.currentOpCount > 1 && --this.#stepsUntilYield <= 0) {
      this.#stepsUntilYield = this.#drawSteps()
      return plainYield
    }
    return Scheduler.defaultShouldYield(fiber)
  }

  /** Takes out the next task; `undefined` if none is ready. */
  take(): Scheduler.Task | undefined {
    const ready = this.#ready
    const size = ready.length - this.#first
    if (size === 0) return undefined
    const first = this.#first++
    const picked = this.#options.shuffle ? first + Math.floor(this.#options.schedule() * size) : first
    const task = ready[picked]!
    ready[picked] = ready[first]!
    if (size === 1) {
      this.#ready.length = 0
      this.#first = 0
    } else if (this.#first === placesKept) {
      this.#ready = ready.slice(placesKept)
      this.#first = 0
    }
    return task
  }

  /** Steps up to the next yield: a chance for each, drawn at once. */
  #drawSteps(): number {
    const { extraYields, yields } = this.#options
    if (extraYields <= 0) return Infinity
    return 1 + Math.floor(Math.log(1 - yields()) / Math.log(1 - extraYields))
  }
}
