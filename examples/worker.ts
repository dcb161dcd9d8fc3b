/**
 * A worker as a layer, and what its shutdown does: the record in hand is finished and committed, and the next worker of
 * the group goes on after it.
 *
 * A service launches it with `Layer.launch(Worker).pipe(NodeRuntime.runMain)`, and SIGTERM is the interruption.
 */
import { Consumer, Producer, Serde, Topic } from "@sluice/kafka"
import { Console, Effect, Fiber, Layer } from "effect"

import { createTopic, runExample } from "./support/cluster.ts"

const Jobs = Topic.make("sluice-example-jobs", { key: Serde.string, value: Serde.string })
const jobCount = 8

const program = Effect.gen(function*() {
  yield* createTopic(Jobs)
  const done: Array<string> = []

  const makeWorker = (name: string) =>
    Consumer.layer({ groupId: "sluice-example-workers", topics: [Jobs] }, (job) =>
      Effect.gen(function*() {
        yield* Effect.sleep("50 millis")
        done.push(job.value)
        yield* Console.log(`${name} did ${job.value}`)
      }))

  const awaitDone = (count: number) => Effect.repeat(Effect.sleep("5 millis"), { while: () => done.length < count })

  const jobs = Array.from({ length: jobCount }, (_, index) => `job ${index + 1}`)
  yield* Effect.scoped(Effect.flatMap(Producer.make(), (producer) =>
    // One key: one partition, so that the jobs are done one after the other.
    producer.sendAll(jobs.map((job) => Jobs.record({ key: "jobs", value: job })))))

  const first = yield* Effect.fork(Layer.launch(makeWorker("the first worker")))
  yield* awaitDone(3)
  yield* Console.log("shutting down while the next job is in hand")
  yield* Fiber.interrupt(first)
  yield* Console.log(`the first worker has left after ${done.length} jobs`)

  const second = yield* Effect.fork(Layer.launch(makeWorker("the second worker")))
  yield* awaitDone(jobCount)
  yield* Fiber.interrupt(second)
  yield* Console.log(`${done.length} jobs done, ${new Set(done).size} of them different`)
})

runExample(program)
