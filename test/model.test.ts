/** The model of a cluster, which `@sluice/testing` is made of, against Apache Kafka: random requests, the same answers. */
import { assert, describe, it } from "@effect/vitest"
import type { Produce } from "@sluice/kafka/internal/protocol/api/produce"
import type { ResponseOf } from "@sluice/kafka/internal/protocol/field"
import { Effect } from "effect"
import { inject } from "vitest"

import { reportDuration } from "./support/duration.ts"
import { checkSeed, explain, prepareBroker } from "./support/model/check.ts"
import type { Run } from "./support/model/script.ts"
import type { Distortion } from "./support/model/side.ts"

reportDuration("The model against Apache Kafka")

const brokers = inject("kafka").brokers

const number = (name: string): number | undefined => {
  const text = process.env[name]
  return text === undefined || text === "" ? undefined : Number(text)
}

/** The same ones each time, and so many that nobody has tried as `MODEL_SEEDS` says; or the one of `MODEL_SEED` again. */
const seeds = (): ReadonlyArray<number> => {
  const seed = number("MODEL_SEED")
  if (seed !== undefined) return [seed]
  const first = Math.floor(Math.random() * 2 ** 30)
  return [
    ...Array.from({ length: 160 }, (_, index) => index),
    ...Array.from({ length: number("MODEL_SEEDS") ?? 0 }, (_, index) => first + index)
  ]
}

/** Half a minute is enough for those that are always tried. */
const timeout = number("MODEL_SEEDS") === undefined ? 300_000 : 3_600_000

/** Seeds whose scripts write, and join, more than once. */
const logSeed = 1
const groupSeed = 0

describe("the model", () => {
  it.live("answers as Apache Kafka does", () =>
    Effect.gen(function*() {
      yield* prepareBroker(brokers)
      const results = yield* Effect.forEach(seeds(), (seed) => checkSeed({ brokers }, seed), { concurrency: 6 })
      const sum = (of: (run: Run) => number) => results.reduce((total, { run }) => total + of(run), 0)
      console.log(
        `${results.length} scripts, ${sum((run) => run.steps.length)} steps, ${sum((run) => run.answers)} answers ` +
          `compared, up to ${Math.max(...results.map(({ run }) => run.mostParked))} requests parked at a time, ` +
          `${sum((run) => run.isCutShort ? 1 : 0)} scripts cut short`
      )
      const failed = results.filter(({ run }) => run.differences.length > 0)
      if (failed.length > 0) assert.fail(yield* explain({ brokers }, failed))
      assert.isAbove(sum((run) => run.answers), 0)
    }), timeout)

  it.live("is found out where it differs", () =>
    Effect.gen(function*() {
      yield* prepareBroker(brokers)
      const late: Distortion = (api, body) =>
        api.name !== "Produce" ? body : {
          ...body as ResponseOf<typeof Produce>,
          responses: (body as ResponseOf<typeof Produce>).responses.map((topic) => ({
            ...topic,
            partitionResponses: topic.partitionResponses.map((partition) => ({
              ...partition,
              baseOffset: partition.baseOffset < 2 ? partition.baseOffset : partition.baseOffset + 1
            }))
          }))
        }
      const found = yield* checkSeed({ brokers, distort: late }, logSeed)
      assert.match(found.run.differences[0]!, /^step \d+, Produce: .*baseOffset: model \d+, broker \d+$/)
      const report = yield* explain({ brokers, distort: late }, [found])
      assert.include(report, `MODEL_SEED=${logSeed}`)
      const steps = /Shortened to (\d+) steps/.exec(report)
      assert.isBelow(Number(steps![1]), found.run.steps.length)

      const silent: Distortion = (api, body) => api.name === "JoinGroup" ? undefined : body
      const parked = yield* checkSeed({ brokers, distort: silent }, groupSeed)
      assert.match(parked.run.differences[0]!, /JoinGroup: the broker has answered, and the model has not$/)
    }), 120_000)
})
