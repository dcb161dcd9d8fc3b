import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

import type { FatalError } from "../../KafkaError.ts"
import type { BrokerAddress } from "../../Transport.ts"
import { invalidArgument } from "../errors.ts"

/** The client's settings, checked. */
export interface Settings {
  readonly bootstrap: ReadonlyArray<BrokerAddress>
  readonly clientId: string
  readonly connectTimeout: Duration.Duration
  readonly requestTimeout: Duration.Duration
  readonly apiTimeout: Duration.Duration
  readonly retryBackoff: Duration.Duration
  readonly retryBackoffMax: Duration.Duration
  readonly metadataMaxAge: Duration.Duration
  readonly maxFrameBytes: number
}

/** Checks options one after the other; the first that is wrong fails. */
export class Check {
  readonly #owner: string
  constructor(owner: string) {
    this.#owner = owner
  }

  fail(option: string, problem: string): Effect.Effect<never, FatalError> {
    return Effect.fail(invalidArgument(`${this.#owner}: ${option} ${problem}`))
  }

  /** A duration of at least `min`, and finite unless `infinite`. */
  duration(
    option: string,
    input: Duration.DurationInput | undefined,
    fallback: Duration.DurationInput,
    limits: { readonly min?: Duration.DurationInput } = {}
  ): Effect.Effect<Duration.Duration, FatalError> {
    const value = Duration.decodeUnknown(input === undefined ? fallback : input)
    if (value._tag === "None") {
      return this.fail(
        option,
        `must be a duration such as "30 seconds" or a number of milliseconds, got ${show(input)}`
      )
    }
    const min = limits.min ?? 0
    if (!Duration.isFinite(value.value)) return this.fail(option, "must be finite")
    if (isNegative(input) || Duration.lessThan(value.value, min)) {
      return this.fail(option, `must be at least ${Duration.format(min)}, got ${show(input)}`)
    }
    return Effect.succeed(value.value)
  }

  /** A safe integer within bounds. */
  integer(
    option: string,
    input: number | undefined,
    fallback: number,
    limits: { readonly min: number; readonly max?: number }
  ): Effect.Effect<number, FatalError> {
    const value = input === undefined ? fallback : input
    const max = limits.max ?? Number.MAX_SAFE_INTEGER
    if (!Number.isSafeInteger(value) || value < limits.min || value > max) {
      const range = limits.max === undefined ? `at least ${limits.min}` : `between ${limits.min} and ${max}`
      return this.fail(option, `must be a whole number ${range}, got ${show(input)}`)
    }
    return Effect.succeed(value)
  }

  /** Nothing but true and false. */
  boolean(option: string, input: boolean | undefined, fallback: boolean): Effect.Effect<boolean, FatalError> {
    const value = input === undefined ? fallback : input
    return typeof value === "boolean"
      ? Effect.succeed(value)
      : this.fail(option, `must be true or false, got ${show(input)}`)
  }

  /** One of a few strings. */
  oneOf<const A extends string>(
    option: string,
    input: A | undefined,
    fallback: A,
    allowed: ReadonlyArray<A>
  ): Effect.Effect<A, FatalError> {
    const value = input === undefined ? fallback : input
    if (!allowed.includes(value)) {
      return this.fail(option, `must be one of ${allowed.map((a) => `"${a}"`).join(", ")}, got ${show(input)}`)
    }
    return Effect.succeed(value)
  }
}

/** Duration takes what is negative, or not a number, for zero. */
const isNegative = (input: unknown): boolean =>
  typeof input === "number" || typeof input === "bigint"
    ? !(input >= 0)
    : typeof input === "string"
    ? input.trimStart().startsWith("-")
    : Array.isArray(input) && input.some(isNegative)

const show = (value: unknown): string => typeof value === "string" ? `"${value}"` : String(value)

/** Parses `host:port` or `[ipv6]:port`; undefined if it is neither. */
export const parseAddress = (text: string): BrokerAddress | undefined => {
  const match = /^(?:\[([0-9a-fA-F:.%]+)\]|([^\s:/[\]@?#]+)):(\d{1,5})$/.exec(text.trim())
  if (match === null) return undefined
  const port = Number(match[3])
  if (port < 1 || port > 65535) return undefined
  return { host: (match[1] ?? match[2])!, port }
}

/** Parses a bootstrap list: an array, or one string with commas. */
export const parseBootstrap = (
  brokers: string | ReadonlyArray<string>
): Effect.Effect<ReadonlyArray<BrokerAddress>, FatalError> => {
  const check = new Check("Kafka")
  const list: ReadonlyArray<unknown> = typeof brokers === "string" ? brokers.split(",") : brokers
  if (!Array.isArray(list) || !list.every((text) => typeof text === "string")) {
    return check.fail("brokers", "must be a string, or an array of strings")
  }
  const texts = list.map((text) => text.trim()).filter((text) => text !== "")
  if (texts.length === 0) return check.fail("brokers", "is empty: give at least one \"host:port\"")
  return Effect.forEach(texts, (text) => {
    const address = parseAddress(text)
    return address === undefined
      ? check.fail("brokers", `has a malformed address "${text}": expected "host:port" or "[ipv6]:port"`)
      : Effect.succeed(address)
  })
}
