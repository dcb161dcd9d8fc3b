/**
 * A service that is told to stop. SIGTERM and SIGINT interrupt the program (`NodeRuntime.runMain` does that), which closes
 * the layers from the outside in: the worker takes nothing new, finishes the jobs in hand with the producer that they
 * need, commits, and leaves the group; then the producer delivers what it has, and goes; then the connections close.
 *
 * Here the process sends itself the signal, as an orchestrator would, in the middle of a job.
 */
import { Consumer, Producer, Serde, Topic } from "@sluice/kafka"
import { Console, Effect, Layer, Stream } from "effect"

import { createTopic, runExample } from "./support/cluster.ts"

const Jobs = Topic.make("sluice-example-service-jobs", { key: Serde.string, value: Serde.string })
const Results = Topic.make("sluice-example-service-results", { key: Serde.string, value: Serde.string })

class ResultProducer extends Producer.Tag("ResultProducer")<ResultProducer>() {}

let begun = 0

const Worker = Consumer.layer(
  // Longer than any job takes, and shorter than the orchestrator waits before it kills.
  { groupId: "sluice-example-service", topics: [Jobs], drainTimeout: "20 seconds" },
  ({ key, value }) =>
    Effect.gen(function*() {
      const producer = yield* ResultProducer
      yield* Console.log(`${value} begins`)
      if (++begun === 3) process.kill(process.pid, "SIGTERM")
      yield* Effect.sleep("300 millis")
      yield* producer.send(Results.record({ key, value: `the result of ${value}` }))
      yield* Console.log(`${value} is done`)
    }).pipe(Effect.onInterrupt(() => Console.log(`${value} was cut off`)))
)

const Service = Worker.pipe(Layer.provide(ResultProducer.layer()))

const program = Effect.gen(function*() {
  yield* createTopic(Jobs)
  yield* createTopic(Results)
  const jobs = ["job 1", "job 2", "job 3", "job 4", "job 5"]
  yield* Effect.scoped(Effect.flatMap(Producer.make(), (producer) =>
    // One key: one partition, so that the jobs are done one after the other.
    producer.sendAll(jobs.map((value) => Jobs.record({ key: "jobs", value })))))

  yield* Effect.ensuring(Layer.launch(Service), Console.log("the service has stopped"))
}).pipe(
  // What the next instance of the service would begin with.
  Effect.onInterrupt(() =>
    Effect.gen(function*() {
      const next = yield* Consumer.make({ groupId: "sluice-example-service", topics: [Jobs] })
      const [first] = yield* Stream.runCollect(Stream.take(next.records, 1))
      yield* Console.log(`the next one begins with ${first?.value}`)
    }).pipe(Effect.scoped, Effect.orDie)
  )
)

runExample(program)
