/** Records that cannot be handled. */
import { assert, describe, it } from "@effect/vitest"
import * as Producer from "@sluice/kafka/Producer"
import * as Serde from "@sluice/kafka/Serde"
import * as Topic from "@sluice/kafka/Topic"
import { Effect, Exit, Fiber, Logger, LogLevel, Metric, MetricState, Schema } from "effect"

import { line, Lines } from "../producer/lines.ts"
import { awhile, committed, fill, Hands, join } from "./hands.ts"
import { play, playSeeds } from "./story.ts"

const orders = ["partition", "key", "none"] as const
const place = { cluster: { topics: { lines: 2 } } }
const Json = Topic.make("lines", { key: Serde.string, value: Serde.json(Schema.Struct({ n: Schema.Number })) })

/** Partition 0 has a record that is no JSON, between two that are; partition 1 has none. */
const withPoison = fill([
  line("{\"n\":1}", { partition: 0, key: "a" }),
  line("{\"n\":", { partition: 0, key: "b" }),
  line("{\"n\":3}", { partition: 0, key: "c" }),
  line("{\"n\":4}", { partition: 1, key: "d" }),
  line("{\"n\":5}", { partition: 1, key: "e" })
])

/** How many records were skipped in all; the registry of metrics outlives a test. */
const skipped = Effect.map(Metric.snapshot, (pairs) => {
  let count = 0
  for (const { metricKey, metricState } of pairs) {
    if (metricKey.name === "sluice.consumer.skipped" && MetricState.isCounterState(metricState)) {
      count += Number(metricState.count)
    }
  }
  return count
})

describe("a record that does not decode", () => {
  it("SA-B1, CL-20: ends the run with its place, and is not committed; what was handled before is", () => {
    for (const order of orders) {
      playSeeds(
        Effect.gen(function*() {
          yield* withPoison
          const { consumer } = yield* join({ topics: [Json] })
          const seen: Array<number> = []
          const error = yield* Effect.flip(
            consumer.run(({ value }) => Effect.sync(() => seen.push(value.n)), { order })
          )
          assert.deepStrictEqual([error._tag, error.reason], [
            "FatalError",
            { _tag: "DeserializationFailed", topic: "lines", partition: 0 }
          ])
          assert.include(error.message, "offset 1")
          assert.strictEqual((yield* committed())[0], 1)
          if (order === "partition") assert.notInclude(seen, 3)
        }),
        place,
        2
      )
    }
  })

  it("SA-B1, CL-20, FM-35: is skipped by policy: logged, counted, committed; nothing else is touched", () => {
    for (const order of orders) {
      const lines: Array<string> = []
      const logger = Logger.make(({ logLevel, message }) => {
        if (logLevel === LogLevel.Warning) lines.push(String(message))
      })
      playSeeds(
        Effect.gen(function*() {
          const before = yield* skipped
          yield* withPoison
          const { consumer } = yield* join({ topics: [Json] })
          const seen: Array<number> = []
          yield* consumer.run(({ value }) => Effect.sync(() => seen.push(value.n)), { order, onFailure: "skip" }).pipe(
            Effect.provide(Logger.replace(Logger.defaultLogger, logger)),
            Logger.withMinimumLogLevel(LogLevel.Info),
            Effect.forkScoped
          )
          yield* awhile
          assert.sameMembers(seen, [1, 3, 4, 5])
          assert.deepStrictEqual(yield* committed(), { 0: 3, 1: 2 })
          assert.strictEqual((yield* skipped) - before, 1)
        }),
        place,
        2
      )
      assert.deepStrictEqual(
        lines,
        Array(2).fill(
          "group group: skipped the record at offset 1 of topic lines, partition 0: not handled"
        )
      )
    }
  })

  it("CL-20, FM-35: that ends the run comes first when it is run again, and costs no loop", () => {
    play(
      Effect.gen(function*() {
        yield* withPoison
        const { consumer } = yield* join({ topics: [Json] })
        const once = Effect.flip(consumer.run(() => Effect.void))
        yield* once
        assert.strictEqual((yield* once).reason._tag, "DeserializationFailed")
        const seen: Array<number> = []
        yield* Effect.forkScoped(
          consumer.run(({ value }) => Effect.sync(() => seen.push(value.n)), { onFailure: "skip" })
        )
        yield* awhile
        assert.include(seen, 3)
        assert.deepStrictEqual(yield* committed(), { 0: 3, 1: 2 })
      }),
      place
    )
  })
})

describe("a handler", () => {
  it("SA-B9, FM-34: that fails, dies or throws is skipped by policy, and the next record is handled", () => {
    for (const order of orders) {
      playSeeds(
        Effect.gen(function*() {
          yield* fill(["fails", "dies", "throws", "works"].map((value) => line(value, { key: value })))
          const { consumer } = yield* join()
          const seen: Array<string> = []
          yield* Effect.forkScoped(
            consumer.run(({ value }): Effect.Effect<void, string> => {
              seen.push(value)
              if (value === "throws") throw new Error("thrown")
              return value === "fails" ? Effect.fail("failed") : value === "dies" ? Effect.die("died") : Effect.void
            }, { order, onFailure: "skip" })
          )
          yield* awhile
          assert.sameMembers(seen, ["fails", "dies", "throws", "works"])
          assert.deepStrictEqual(yield* committed(), { 0: 4 })
        }),
        {},
        2
      )
    }
  })

  it("SA-B9: that is interrupted at the end of its time is not skipped: its record comes again", () => {
    for (const order of orders) {
      playSeeds(
        Effect.gen(function*() {
          yield* fill([line("slow", { key: "a" }), line("next", { key: "a" })])
          const { close, consumer } = yield* join({ drainTimeout: "1 second" })
          const hands = new Hands()
          const run = yield* Effect.fork(consumer.run(hands.handler, { order, onFailure: "skip" }))
          yield* awhile
          yield* close
          assert.deepStrictEqual(yield* Fiber.await(run), Exit.void)
          assert.include(hands.cut, "slow")
          assert.deepStrictEqual(yield* committed(), {})
        }),
        {},
        2
      )
    }
  })

  it("SA-B7: is given null keys and values, empty headers and those with one name, as they are", () => {
    const Deletes = Topic.make("lines", { key: Serde.string, value: Serde.string, tombstones: true })
    for (const order of orders) {
      play(Effect.gen(function*() {
        const headers = [
          { key: "h", value: new Uint8Array([1]) },
          { key: "h", value: null },
          { key: "", value: new Uint8Array() }
        ]
        yield* Effect.scoped(Effect.flatMap(Producer.make(), (producer) =>
          producer.sendAll([
            Deletes.record({ key: "a", value: null }),
            Deletes.record({ key: null, value: "", headers })
          ])))
        const { consumer } = yield* join({ topics: [Deletes] })
        const seen: Array<unknown> = []
        yield* Effect.forkScoped(
          consumer.run(
            ({ headers, key, value }) =>
              Effect.sync(() =>
                seen.push([key, value, headers.map((header) => [header.key, header.value && Array.from(header.value)])])
              ),
            { order, concurrency: 1 }
          )
        )
        yield* awhile
        assert.deepStrictEqual(seen, [["a", null, []], [null, "", [["h", [1]], ["h", null], ["", []]]]])
      }))
    }
  })
})

describe("options of a run", () => {
  it("SA-B5: that are out of range are refused before anything is read", () => {
    play(Effect.gen(function*() {
      const { consumer } = yield* join({ topics: [Lines] })
      const refused = (options: object) =>
        Effect.map(Effect.flip(consumer.run(() => Effect.void, options)), ({ message }) => message)
      assert.strictEqual(
        yield* refused({ concurrency: 0 }),
        "Consumer.run: concurrency must be a whole number between 1 and 100000, got 0"
      )
      assert.include(
        yield* refused({ order: "value" }),
        "Consumer.run: order must be one of \"partition\", \"key\", \"none\""
      )
      assert.include(yield* refused({ maxAhead: 0.5 }), "Consumer.run: maxAhead must be a whole number")
      assert.include(yield* refused({ commit: "later" }), "Consumer.run: commit must be one of \"after\", \"before\"")
      assert.include(
        yield* refused({ onFailure: "retry" }),
        "Consumer.run: onFailure must be one of \"fail\", \"skip\""
      )
      // Nobody reads.
      const run = yield* Effect.fork(consumer.run(() => Effect.void))
      yield* awhile
      assert.isNull(run.unsafePoll())
      yield* Fiber.interrupt(run)
    }))
  })
})
