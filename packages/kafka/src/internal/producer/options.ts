import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

import type { FatalError } from "../../KafkaError.ts"
import { murmur2 } from "../../Partitioner.ts"
import type { ProducerOptions, Report, ReportingOptions } from "../../Producer.ts"
import { Check } from "../cluster/settings.ts"
import { invalidArgument } from "../errors.ts"
import type { Codec } from "../kernel/compression.ts"
import { parseCompression } from "./compression.ts"
import { isRouting, type Routing } from "./partitioner.ts"

/** A producer's options, checked, with their defaults. Durations in milliseconds where the kernel takes them. */
export interface ProducerSettings {
  /** As the protocol has it: 0, 1, or -1 for all. */
  readonly acks: 0 | 1 | -1
  readonly idempotent: boolean
  readonly codec: Codec | undefined
  readonly partitioner: Routing
  readonly linger: Duration.Duration
  readonly batchBytes: number
  readonly batchRecords: number
  readonly maxInFlight: number
  readonly ackTimeout: Duration.Duration
  readonly retries: number
  readonly maxRecordBytes: number
  readonly bufferBytes: number
  readonly deliveryTimeout: Duration.Duration
  readonly closeTimeout: Duration.Duration
  readonly onDelivery: OnDelivery | undefined
}

/** Who gets the reports, with the bounds. */
export interface OnDelivery {
  /** Undefined if they are taken from a stream. */
  readonly handler: ((report: Report<any>) => Effect.Effect<unknown, any, any>) | undefined
  readonly concurrency: number
  readonly keepsOrder: boolean
  readonly maxPending: number
  readonly closeTimeout: Duration.Duration
}

const kib = 1024
const mib = 1024 * kib
/** Brokers know the last five batches of an idempotent producer in each partition. */
const mostInFlight = 5
const maxInt32 = 0x7fffffff

/** Checks all options; nothing is sent before. */
export const parse = (
  options: ProducerOptions<any, any> & Partial<ReportingOptions>
): Effect.Effect<ProducerSettings, FatalError> =>
  Effect.gen(function*() {
    const check = new Check("Producer")
    const acks = yield* check.oneOf("acks", options.acks, "all", ["none", "leader", "all"])
    if (options.idempotent !== undefined && typeof options.idempotent !== "boolean") {
      return yield* check.fail("idempotent", "must be a boolean")
    }
    if (options.idempotent === true && acks !== "all") {
      return yield* Effect.fail(
        invalidArgument(`Producer: idempotent needs acks "all", and acks is "${acks}"`)
      )
    }
    const codec = yield* parseCompression(check, options.compression)
    const partitioner: unknown = options.partitioner === undefined ? murmur2 : options.partitioner
    if (!isRouting(partitioner)) {
      return yield* check.fail("partitioner", "must be one of `Partitioner`, or made by `Partitioner.make`")
    }
    const linger = yield* check.duration("linger", options.linger, 0)
    const maxRecordBytes = yield* check.integer("maxRecordBytes", options.maxRecordBytes, mib, { min: 1, max: 2 ** 30 })
    const batchBytes = yield* check.integer("batchBytes", options.batchBytes, mib, { min: 1, max: 2 ** 30 })
    const batchRecords = options.batchRecords === undefined
      ? Infinity
      : yield* check.integer("batchRecords", options.batchRecords, 0, { min: 1 })
    const maxInFlight = yield* check.integer("maxInFlight", options.maxInFlight, mostInFlight, {
      min: 1,
      max: mostInFlight
    })
    const ackTimeout = yield* check.duration("ackTimeout", options.ackTimeout, "10 seconds", { min: 1 })
    if (Duration.toMillis(ackTimeout) > maxInt32) {
      return yield* check.fail("ackTimeout", `must be at most ${maxInt32} milliseconds`)
    }
    const retries = options.retries === undefined
      ? Infinity
      : yield* check.integer("retries", options.retries, 0, { min: 0 })
    const bufferBytes = yield* check.integer("bufferBytes", options.bufferBytes, 32 * mib, { min: 1 })
    if (bufferBytes < maxRecordBytes) {
      return yield* check.fail(
        "bufferBytes",
        `must be at least maxRecordBytes (${maxRecordBytes}), got ${bufferBytes}: lower maxRecordBytes too, or raise it`
      )
    }
    const deliveryTimeout = yield* check.duration("deliveryTimeout", options.deliveryTimeout, "2 minutes", { min: 1 })
    if (Duration.greaterThanOrEqualTo(linger, deliveryTimeout)) {
      return yield* check.fail("linger", `must be less than deliveryTimeout (${Duration.format(deliveryTimeout)})`)
    }
    const closeTimeout = yield* check.duration("closeTimeout", options.closeTimeout, "30 seconds")
    let onDelivery: OnDelivery | undefined
    if (options.onDelivery !== undefined) {
      if (typeof options.onDelivery.handler !== "function") {
        return yield* check.fail("onDelivery.handler", "must be a function")
      }
      onDelivery = {
        handler: options.onDelivery.handler,
        concurrency: yield* check.integer("onDelivery.concurrency", options.onDelivery.concurrency, 1, {
          min: 1,
          max: 10_000
        }),
        keepsOrder: (yield* check.oneOf("onDelivery.order", options.onDelivery.order, "none", [
          "partition",
          "none"
        ])) === "partition",
        maxPending: yield* check.integer("onDelivery.maxPending", options.onDelivery.maxPending, 100_000, { min: 1 }),
        closeTimeout: yield* check.duration("onDelivery.closeTimeout", options.onDelivery.closeTimeout, "30 seconds")
      }
    }
    if (options.deliveries !== undefined) {
      if (onDelivery !== undefined) return yield* check.fail("deliveries", "cannot be had beside onDelivery")
      onDelivery = {
        handler: undefined,
        concurrency: 1,
        keepsOrder: false,
        maxPending: yield* check.integer("deliveries.maxPending", options.deliveries.maxPending, 100_000, { min: 1 }),
        closeTimeout: yield* check.duration("deliveries.closeTimeout", options.deliveries.closeTimeout, "30 seconds")
      }
    }
    return {
      acks: acks === "none" ? 0 : acks === "leader" ? 1 : -1,
      idempotent: acks === "all" && options.idempotent !== false,
      codec,
      partitioner,
      linger,
      batchBytes,
      batchRecords,
      maxInFlight,
      ackTimeout,
      retries,
      maxRecordBytes,
      bufferBytes,
      deliveryTimeout,
      closeTimeout,
      onDelivery
    }
  })
