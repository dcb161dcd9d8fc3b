/** What a consumer holds while its handler does nothing: the bound, however much there is to read. */
import { fork } from "node:child_process"
import { join } from "node:path"

import { afterAll, assert, beforeAll, it } from "@effect/vitest"
import { Admin, Producer, Serde, Topic } from "@sluice/kafka"
import { Chunk, Effect, Stream } from "effect"

import { client } from "../support/client.ts"
import { reportDuration } from "../support/duration.ts"
import { type KafkaCluster, startKafka } from "../support/kafka.ts"
import { uniqueName } from "../support/topics.ts"
import { type Backlog, bufferBytes } from "./support/backlog.ts"
import { watching } from "./support/watching.ts"

let cluster: KafkaCluster

beforeAll(async () => {
  cluster = await startKafka()
})

afterAll(() => cluster.stop())

reportDuration("A backlog")

const mib = 1024 * 1024
const minute = 60_000
/** So many that their shares are the whole bound. */
const partitions = 64
const valueBytes = 1_000
const warmUp = 100_000
const count = 2_000_000

/** As in `memory.test.ts`: what is really held has to fit into these, not what a collector leaves for later. */
const heapLimits = ["--max-old-space-size=72", "--max-semi-space-size=2"]

/** Two gigabytes, in batches as producers make them. */
const write = (name: string) =>
  Effect.gen(function*() {
    const topic = Topic.make(name, { key: Serde.bytes, value: Serde.bytes })
    yield* Admin.createTopic(name, { partitions, config: { "segment.bytes": "67108864" } })
    const producer = yield* Producer.make({ batchBytes: 64 * 1024, linger: "5 millis" })
    const value = new Uint8Array(valueBytes).fill(120)
    const chunk = (from: number) =>
      Chunk.unsafeFromArray(
        Array.from({ length: 1000 }, (_, index) => topic.record({ partition: (from + index) % partitions, value }))
      )
    yield* Stream.range(0, count / 1000 - 1).pipe(
      Stream.mapChunks((numbers) => Chunk.flatMap(numbers, (number) => chunk(number * 1000))),
      Stream.run(producer.sink)
    )
  }).pipe(Effect.scoped, Effect.provide(client(cluster.brokers)), Effect.runPromise)

it(
  "is held to the bound while the handler does nothing, two gigabytes to go, and is read without a gap then",
  { timeout: 10 * minute },
  async () => {
    const topic = uniqueName("backlog")
    await write(topic)
    const program = join(import.meta.dirname, "support", "backlog.ts")
    const child = fork(program, [cluster.brokers, topic, `${warmUp}`, `${count}`], {
      execArgv: ["--no-warnings", ...heapLimits]
    })
    try {
      const { said, until } = watching<Backlog>(child)
      const warm = await until("warmed up", () => true, 2 * minute)
      // Nothing more has come for some seconds.
      const window = 50
      const held = await until(
        "the consumer asks for no more",
        ({ buffers }) =>
          said.length > window && buffers > bufferBytes / 2 && Math.abs(said.at(-window)!.buffers - buffers) < mib,
        minute
      )
      assert.isAtMost(held.read, 4096)
      child.send("go")
      const start = performance.now()
      const done = await until("all is read", ({ stage }) => stage === "done", 5 * minute)
      const seconds = (performance.now() - start) / 1_000
      const figures = (what: string, of: (said: Backlog) => number): string =>
        `${what} ${[warm, held, done].map((each) => (of(each) / mib).toFixed(0)).join(", ")}`
      console.log([
        `${(count / seconds).toFixed(0)} records of ${valueBytes} bytes a second once the handler went on`,
        "MiB before, while it did nothing and in the end",
        figures("the process", ({ rss }) => rss),
        figures("at most", ({ maxRss }) => maxRss),
        figures("heap", ({ heap }) => heap),
        figures("buffers", ({ buffers }) => buffers)
      ].join("; "))
      assert.isUndefined(done.gap)
      assert.strictEqual(done.read, count)
      assert.isAtMost(held.maxRss - warm.rss, bufferBytes + 64 * mib, "bytes more than before, while nothing was read")
      assert.isAtMost(done.maxRss - warm.rss, bufferBytes + 64 * mib, "bytes more than before")
    } finally {
      child.kill("SIGKILL")
    }
  }
)
