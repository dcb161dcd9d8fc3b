/**
 * What every cluster and every transport must do under this client: a suite of tests for vitest, to be run against a
 * real cluster, the one in memory, or a driver of one's own. It needs `vitest` and `@effect/vitest`.
 *
 * @since 0.1.0
 */
import { describe, it } from "@effect/vitest"
import type { Kafka } from "@sluice/kafka/Kafka"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"

import { closing } from "./internal/conformance/closing.ts"
import { consuming } from "./internal/conformance/consuming.ts"
import { groups } from "./internal/conformance/groups.ts"
import type { Define } from "./internal/conformance/harness.ts"
import * as leftovers from "./internal/conformance/leftovers.ts"
import { producing } from "./internal/conformance/producing.ts"

/**
 * How a program is checked for what it leaves behind.
 *
 * @since 0.1.0
 * @category models
 */
export interface CheckOptions {
  /**
   * Names what this process holds open now, one name a thing: on Node `process.getActiveResourcesInfo()`, in memory the
   * open connections. None by default: then only fibers are checked.
   */
  readonly leftovers?: Effect.Effect<Iterable<string>> | undefined
  /** How long what is on its way out may take. Default 3 seconds. */
  readonly patience?: Duration.DurationInput | undefined
}

/**
 * How the suite is run.
 *
 * @since 0.1.0
 * @category models
 */
export interface SuiteOptions extends CheckOptions {
  /** For one test. Default 60 seconds. */
  readonly timeout?: Duration.DurationInput | undefined
}

/**
 * Defines the suite. Each test has a client of its own from `layer`, and topics and groups of its own on the cluster,
 * which it leaves there. The cluster must let the client create topics and set `max.message.bytes` on them.
 *
 * After each test, when its client is closed, {@link nothingLeft} must hold.
 *
 * @example
 * ```ts
 * import { KafkaJs } from "@sluice/kafkajs"
 * import * as Conformance from "@sluice/testing/Conformance"
 *
 * Conformance.suite("my cluster", KafkaJs.layer({ brokers: "localhost:9092" }))
 * ```
 *
 * @since 0.1.0
 * @category suites
 */
export const suite = <E>(name: string, layer: Layer.Layer<Kafka, E>, options: SuiteOptions = {}): void => {
  const check = nothingLeft(options)
  const timeout = Duration.toMillis(options.timeout ?? "60 seconds")
  const define: Define = (testName, test) =>
    it.live(testName, () => check(test.pipe(Effect.scoped, Effect.provide(layer))), timeout)
  describe(name, () => {
    describe("producing", () => producing(define))
    describe("consuming", () => consuming(define))
    describe("groups", () => groups(define))
    describe("closing", () => closing(define))
  })
}

/**
 * A program left something behind.
 *
 * @since 0.1.0
 * @category errors
 */
export type LeftoverError = leftovers.LeftoverError

/**
 * Runs a program, and fails with {@link LeftoverError} if it leaves something behind: a fiber that it started, however
 * deep, or something that is open and was not before. The program's own failure comes first.
 *
 * @since 0.1.0
 * @category checks
 */
export const nothingLeft: (
  options?: CheckOptions
) => <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | LeftoverError, R> = (options = {}) =>
  leftovers.nothingLeft(options)
