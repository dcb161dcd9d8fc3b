import * as Scheduler from "effect/Scheduler"

import type { RandomStream } from "../random.ts"

/** What a program could do that its simulation knows nothing of. */
export interface EscapeOptions {
  /** Virtual time, in whole milliseconds. */
  readonly now: () => number
  /** For the hashes of objects that have no other. */
  readonly hashes: RandomStream
  /** For ids of spans. */
  readonly ids: RandomStream
  /** Is told of each escape; throws. */
  readonly onEscape: (what: string, advice: string) => never
  /** Whether a microtask runs before the simulation is over. */
  readonly allowMicrotasks: boolean
}

/** A property of an object that is replaced for a while. */
interface Replacement {
  readonly target: object
  readonly key: PropertyKey
  readonly value: unknown
}

const clockAdvice = "take the time from Effect's Clock or DateTime.now"
const chanceAdvice = "take chance from Effect's Random"
const sleepAdvice = "it would fire after the run, in another time; use Effect.sleep, or Schedule"
const runtimeAdvice =
  "a fiber on Effect's default scheduler runs after the run, in another time; fork it, or run it by the runtime that Effect.runtime gives"

/** Where Effect itself asks for the time: to tell fibers apart, and for metrics. */
const timeOfEffect =
  /[\\/]effect[\\/](?:dist|src)[\\/](?:\w+[\\/])?internal[\\/](?:fiberId|fiberRuntime|metric|metric[\\/]hook)\.[cm]?[jt]s$/

/** Where Effect itself throws dice: for hashes of objects, and for the ids of spans. */
const hashOfEffect = /[\\/]effect[\\/](?:dist|src)[\\/](?:\w+[\\/])?Hash\.[cm]?[jt]s$/
const anyOfEffect = /[\\/]effect[\\/](?:dist|src)[\\/]/

/** The interval of `Effect.never`, which is only there to keep a process alive. */
const neverInterval = 2 ** 31 - 1

/** Guards against what would make a run depend on the machine. Only what is asked for between `guard` and its end counts. */
export class Escapes {
  readonly #replacements: ReadonlyArray<Replacement>

  constructor({ allowMicrotasks, hashes, ids, now, onEscape }: EscapeOptions) {
    const forbid = (what: string, advice: string) => (): never => onEscape(what, advice)
    const RealDate = globalThis.Date
    const dateNow = (): number => timeOfEffect.test(callerOf(dateNow)) ? now() : onEscape("Date.now()", clockAdvice)
    const random = (): number => {
      const caller = callerOf(random)
      if (hashOfEffect.test(caller)) return hashes()
      return anyOfEffect.test(caller) ? ids() : onEscape("Math.random()", chanceAdvice)
    }
    const GuardedDate = new Proxy(RealDate, {
      get: (target, key) => key === "now" ? dateNow : Reflect.get(target, key),
      apply: forbid("Date()", clockAdvice),
      construct: (target, args, newTarget) =>
        args.length === 0 ? onEscape("new Date()", clockAdvice) : Reflect.construct(target, args, newTarget) as object
    })
    const setInterval = (_action: unknown, millis?: number): unknown =>
      millis === neverInterval ? {} : onEscape("setInterval", sleepAdvice)
    this.#replacements = [
      { target: globalThis, key: "Date", value: GuardedDate },
      { target: globalThis, key: "setTimeout", value: forbid("setTimeout", sleepAdvice) },
      { target: globalThis, key: "setInterval", value: setInterval },
      { target: globalThis, key: "setImmediate", value: forbid("setImmediate", sleepAdvice) },
      ...allowMicrotasks
        ? []
        : [{ target: globalThis, key: "queueMicrotask", value: forbid("queueMicrotask", sleepAdvice) }],
      { target: Math, key: "random", value: random },
      { target: crypto, key: "randomUUID", value: forbid("crypto.randomUUID()", chanceAdvice) },
      { target: crypto, key: "getRandomValues", value: forbid("crypto.getRandomValues()", chanceAdvice) },
      { target: performance, key: "now", value: forbid("performance.now()", clockAdvice) },
      {
        target: Scheduler.defaultScheduler,
        key: "scheduleTask",
        value: forbid("Effect's default scheduler", runtimeAdvice)
      }
    ]
  }

  /** Does something under guard. What was there before is there again afterwards, also inside of another guard. */
  guard<A>(action: () => A): A {
    const before = this.#replacements.map(({ key, target }) => Object.getOwnPropertyDescriptor(target, key))
    try {
      for (const { key, target, value } of this.#replacements) {
        Object.defineProperty(target, key, { value, configurable: true, enumerable: true, writable: true })
      }
      return action()
    } finally {
      this.#replacements.forEach(({ key, target }, index) => {
        const descriptor = before[index]
        if (descriptor === undefined) Reflect.deleteProperty(target, key)
        else Object.defineProperty(target, key, descriptor)
      })
    }
  }
}

/** The file that a function was called from. Effect's forks ask for the time, so it must be cheap. */
const callerOf = (callee: () => number): string => {
  const { prepareStackTrace, stackTraceLimit } = Error
  const trace: { stack?: unknown } = {}
  try {
    Error.stackTraceLimit = 1
    Error.prepareStackTrace = (_error, sites) => sites[0]?.getFileName()
    Error.captureStackTrace(trace, callee)
    return String(trace.stack)
  } finally {
    Error.stackTraceLimit = stackTraceLimit
    Error.prepareStackTrace = prepareStackTrace
  }
}
