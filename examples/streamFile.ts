/** Streams the lines of a file into a topic, compressed, with no more in memory than the producer's buffer. */
import { join } from "node:path"

import { FileSystem } from "@effect/platform"
import { Producer, Serde, Topic } from "@sluice/kafka"
import { Console, Duration, Effect, Stream } from "effect"

import { createTopic, runExample } from "./support/cluster.ts"

const Lines = Topic.make("sluice-example-lines", { key: Serde.string, value: Serde.string })
const path = join(import.meta.dirname, "data", "access.log")

const program = Effect.gen(function*() {
  yield* createTopic(Lines)
  const fileSystem = yield* FileSystem.FileSystem
  const producer = yield* Producer.make({ compression: "gzip", linger: "5 millis" })
  let count = 0
  const [time] = yield* fileSystem.stream(path, { chunkSize: 256 * 1024 }).pipe(
    Stream.decodeText(),
    Stream.splitLines,
    Stream.map((line) => {
      count++
      return Lines.record({ key: line.split(" ", 1)[0]!, value: line })
    }),
    // Takes chunks, waits while the buffer is full, and is done when all is acknowledged.
    Stream.run(producer.sink),
    Effect.timed
  )
  yield* Console.log(`${count} lines are acknowledged after ${Math.round(Duration.toMillis(time))} ms`)
}).pipe(Effect.scoped)

runExample(program)
