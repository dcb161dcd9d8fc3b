import { Effect } from "effect"

import type { Client } from "../client.ts"
import { openLoop } from "../openLoop.ts"
import { batchesInFlight, chunkSize, recordsInFlight } from "../records.ts"
import { sampleEvery } from "./promises.ts"

/** `Effect.forEach` takes an array: so many records each, which leaves a twenty-fifth of the time for its end. */
const forEachSize = 25 * recordsInFlight

/** The modes of a client that sends one record, or many, as an effect. */
export const effectModes = <R>(
  record: (index: number) => R,
  send: (record: R) => Effect.Effect<unknown, unknown>,
  sendAll: (records: Array<R>) => Effect.Effect<unknown, unknown>
): Client["modes"] => ({
  "sendAll": (load) => {
    const lane = Effect.gen(function*() {
      for (let count = load.take(chunkSize); count > 0; count = load.take(chunkSize)) {
        const first = load.start
        const records = Array.from({ length: count }, (_, i) => record(first + i))
        const start = performance.now()
        yield* sendAll(records)
        load.latencies.add(performance.now() - start, count)
      }
    })
    return Effect.runPromise(
      Effect.all(Array.from({ length: batchesInFlight }, () => lane), { concurrency: "unbounded", discard: true })
    )
  },
  "send-1000": (load) => {
    const sendTimed = (index: number) => {
      const sent = send(record(index))
      if (index % sampleEvery !== 0) return sent
      const start = performance.now()
      return Effect.map(sent, () => load.latencies.add(performance.now() - start))
    }
    return Effect.runPromise(Effect.gen(function*() {
      for (let count = load.take(forEachSize); count > 0; count = load.take(forEachSize)) {
        const first = load.start
        const indices = Array.from({ length: count }, (_, i) => first + i)
        yield* Effect.forEach(indices, sendTimed, { concurrency: recordsInFlight, discard: true })
      }
    }))
  },
  "send-1": (load) =>
    Effect.runPromise(Effect.gen(function*() {
      while (load.take(1) > 0) {
        const start = performance.now()
        yield* send(record(load.start))
        load.latencies.add(performance.now() - start)
      }
    })),
  "rate": (load) =>
    openLoop(load, (index, done) => {
      Effect.runCallback(send(record(index)), {
        onExit: (exit) => done(exit._tag === "Success" ? undefined : exit.cause)
      })
    })
})
