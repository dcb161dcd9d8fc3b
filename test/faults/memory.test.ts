/** What a producer holds while its broker takes nothing: the bound, however much is offered. */
import { fork } from "node:child_process"
import { join } from "node:path"

import { afterAll, assert, beforeAll, it } from "@effect/vitest"
import { Admin, Producer, Serde, Topic } from "@sluice/kafka"
import { Effect } from "effect"

import { client } from "../support/client.ts"
import { reportDuration } from "../support/duration.ts"
import { type KafkaCluster, startKafka } from "../support/kafka.ts"
import { uniqueName } from "../support/topics.ts"
import { bufferBytes, type Offered, valueBytes } from "./support/offer.ts"
import { watching } from "./support/watching.ts"

let cluster: KafkaCluster

beforeAll(async () => {
  cluster = await startKafka({
    properties: { "log.retention.check.interval.ms": 500, "log.initial.task.delay.ms": 500 }
  })
})

afterAll(() => cluster.stop())

reportDuration("Memory")

const mib = 1024 * 1024

const minute = 60_000
const partitions = 6
const warmUp = 200_000
const count = 10_000_000

/**
 * Without a limit V8 lets garbage grow to hundreds of megabytes before it collects, most of it what was kept of records
 * that are done: on a machine with room to spare that measures the machine. What is really held has to fit into these.
 */
const heapLimits = ["--max-old-space-size=72", "--max-semi-space-size=2"]

/** How many records each partition has had: idempotent producers leave no gaps. */
const recordsIn = (name: string): Promise<number> =>
  Effect.gen(function*() {
    const topic = Topic.make(name, { key: Serde.string, value: Serde.string })
    const producer = yield* Producer.make()
    const ends = yield* producer.sendAll(
      Array.from({ length: partitions }, (_, partition) => topic.record({ partition, value: "end" }))
    )
    return ends.reduce((sum, { offset }) => sum + Number(offset), 0)
  }).pipe(Effect.scoped, Effect.provide(client(cluster.brokers)), Effect.runPromise)

it(
  "holds its bound of ten million records that are offered while the broker reads nothing, and sends them all in the end",
  { timeout: 15 * minute },
  async () => {
    const topic = uniqueName("memory")
    await Effect.runPromise(
      Admin.createTopic(topic, {
        partitions,
        // They need not be kept, only counted.
        config: { "retention.bytes": "16777216", "segment.bytes": "8388608", "file.delete.delay.ms": "100" }
      }).pipe(Effect.provide(client(cluster.brokers)))
    )
    const program = join(import.meta.dirname, "support", "offer.ts")
    const child = fork(program, [cluster.brokers, topic, `${warmUp}`, `${count}`], {
      execArgv: ["--no-warnings", ...heapLimits]
    })
    try {
      const { said, until } = watching<Offered>(child)
      const warm = await until("warmed up", () => true, 3 * minute)
      cluster.pause(1)
      child.send("go")
      // Nothing was asked for in longer than a request may take: so connections were given up and made again.
      const window = 50
      const stalled = await until(
        "the producer asks for no more",
        ({ offered }) => offered > 0 && said.length > window && said.at(-window)!.offered === offered,
        2 * minute
      )
      // What is in the sink's hands is beside what was accepted.
      assert.isAtMost(stalled.offered * valueBytes, bufferBytes + mib)
      assert.isAtLeast(stalled.offered * valueBytes, bufferBytes / 2)
      cluster.resume(1)
      const start = performance.now()
      const done = await until("all are acknowledged", ({ stage }) => stage === "done", 9 * minute)
      const seconds = (performance.now() - start) / 1_000
      const figures = (what: string, of: (said: Offered) => number): string =>
        `${what} ${[warm, stalled, done].map((each) => (of(each) / mib).toFixed(0)).join(", ")}`
      console.log([
        `${(count / seconds).toFixed(0)} records a second once the broker went on`,
        "MiB before, while it hung and in the end",
        figures("the process at most", ({ maxRss }) => maxRss),
        figures("heap", ({ heap }) => heap),
        figures("buffers", ({ buffers }) => buffers)
      ].join("; "))
      assert.isAtMost(done.maxRss - warm.rss, bufferBytes + 64 * mib, "bytes more than before")
      assert.strictEqual(await recordsIn(topic), warmUp + count)
    } finally {
      child.kill("SIGKILL")
    }
  }
)
