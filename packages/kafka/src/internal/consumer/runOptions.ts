import * as Effect from "effect/Effect"

import type { RunBatchOptions, RunOptions } from "../../Consumer.ts"
import type { FatalError } from "../../KafkaError.ts"
import { Check } from "../cluster/settings.ts"

/** How a run works; checked, with its defaults. */
export interface RunSettings {
  readonly order: "partition" | "key" | "none"
  /** How many handlers at a time; undefined for one a partition. */
  readonly concurrency: number | undefined
  /** How many records of a partition may be begun, or committed, from the first one on that is not done. */
  readonly maxAhead: number
  readonly commit: "after" | "before"
  readonly onFailure: "fail" | "skip"
}

const maxConcurrency = 100_000

/** Checks the options of `run`, `process` and the worker layer. */
export const parseRun = (options: RunOptions = {}): Effect.Effect<RunSettings, FatalError> =>
  Effect.gen(function*() {
    const check = new Check("Consumer.run")
    const order = yield* check.oneOf("order", options.order, "partition", ["partition", "key", "none"])
    const commit = yield* check.oneOf("commit", options.commit, "after", ["after", "before"])
    return {
      order,
      concurrency: options.concurrency === undefined && order === "partition"
        ? undefined
        : yield* check.integer("concurrency", options.concurrency, 16, { min: 1, max: maxConcurrency }),
      maxAhead: yield* check.integer("maxAhead", options.maxAhead, commit === "before" ? 100 : 10_000, { min: 1 }),
      commit,
      onFailure: yield* check.oneOf("onFailure", options.onFailure, "fail", ["fail", "skip"])
    }
  })

/** How a run in batches works; checked, with its defaults. */
export interface RunBatchSettings {
  readonly maxRecords: number
  /** How many handlers at a time; undefined for one a partition. */
  readonly concurrency: number | undefined
  readonly onFailure: "fail" | "skip"
}

/** Checks the options of `runBatch`. */
export const parseRunBatch = (options: RunBatchOptions = {}): Effect.Effect<RunBatchSettings, FatalError> =>
  Effect.gen(function*() {
    const check = new Check("Consumer.runBatch")
    return {
      maxRecords: yield* check.integer("maxRecords", options.maxRecords, 1000, { min: 1 }),
      concurrency: options.concurrency === undefined
        ? undefined
        : yield* check.integer("concurrency", options.concurrency, 1, { min: 1, max: maxConcurrency }),
      onFailure: yield* check.oneOf("onFailure", options.onFailure, "fail", ["fail", "skip"])
    }
  })
