/**
 * What can go wrong, as values: `RetriableError` and `FatalError`, each with a reason. A record that failed says whether
 * it may be in the log all the same.
 */
import { Consumer, type KafkaError, Producer, Serde, Topic } from "@sluice/kafka"
import { Console, Effect, Schedule } from "effect"

import { createTopic, runExample } from "./support/cluster.ts"

const Notes = Topic.make("sluice-example-notes", { key: Serde.string, value: Serde.string })
const Missing = Topic.make("sluice-example-missing", { key: Serde.string, value: Serde.string })

/** Sends again only what surely is not in the log: anything else could write it twice. */
const sendAgain = <A>(send: Effect.Effect<A, KafkaError.ProduceError>) =>
  Effect.retry(send, {
    while: (error) => error._tag === "RetriableError" && error.persisted === "no",
    schedule: Schedule.exponential("50 millis"),
    times: 1
  })

const program = Effect.gen(function*() {
  yield* createTopic(Notes)
  const producer = yield* Producer.make({ maxRecordBytes: 1_000 })

  // Both classes by their tags. The client has retried by itself before it fails with a RetriableError.
  yield* sendAgain(producer.send(Missing.record({ key: "a", value: "hello" }))).pipe(
    Effect.catchTag(
      "RetriableError",
      ({ message, persisted, reason }) =>
        Console.log(`may work later: ${reason._tag}, persisted: ${persisted} (${message})`)
    ),
    Effect.catchTag(
      "FatalError",
      ({ message, reason }) => Console.log(`will not work like this: ${reason._tag} (${message})`)
    )
  )

  // One record is too large: it fails alone, and the others are acknowledged.
  const records = ["short", "x".repeat(2_000), "also short"].map((value) => Notes.record({ key: "a", value }))
  yield* Effect.catchTag(
    producer.sendAll(records),
    "SendAllError",
    ({ results }) =>
      Effect.forEach(results, (result, index) =>
        Console.log(
          `record ${index}: ${
            result._tag === "Acknowledged"
              ? `acknowledged at offset ${result.metadata.offset}`
              : `${result.error.reason._tag}, ${result.error.scope} only, persisted: ${result.error.persisted}`
          }`
        ))
  )

  // Options are checked before anything is sent.
  yield* Consumer.make({ groupId: "", topics: [Notes] }).pipe(
    Effect.catchTag("FatalError", ({ message }) => Console.log(message))
  )
}).pipe(Effect.scoped)

runExample(program)
