/**
 * The lines of a file go through a topic: one producer sends them, two members of a consumer group handle them. At the
 * end the demo counts what was sent, acknowledged, handled and committed, and shows the trace of one record.
 *
 * `node examples/demo.ts --help` tells the options.
 */
import { FileSystem } from "@effect/platform"
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import { Admin, Consumer, type ConsumerRecord, KafkaError, Producer, Serde, Topic } from "@sluice/kafka"
import { Cause, Clock, Duration, Effect, Exit, Layer, Stream } from "effect"

import { type Arguments, help, parseArguments, UsageError } from "./demo/arguments.ts"
import { Journal } from "./demo/journal.ts"
import { makeProgress, type Progress } from "./demo/progress.ts"
import { formatTrace, SpanCollector } from "./demo/spans.ts"
import { count, formatCounts, formatSummary } from "./demo/summary.ts"
import { cluster } from "./support/cluster.ts"

const partitions = 6
const memberNames = ["one", "two"]
/** One trace in so many is kept. */
const tracesKept = 1_000
/** Without any progress for so long, in milliseconds, what is missing counts as lost. */
const patience = 30_000

/** Tells the records of this run from others, where the topic has any. */
const run = `${process.pid}-${Date.now().toString(36)}`
const lineHeader = "demo-line"
const decoder = new TextDecoder()

/** The number of a line of this run; undefined for any other record. */
const lineOf = (headers: ReadonlyArray<Topic.Header>): number | undefined => {
  const header = headers.find(({ key }) => key === lineHeader)?.value
  if (header == null) return undefined
  const [sender, line] = decoder.decode(header).split("/")
  return sender === run ? Number(line) : undefined
}

const demo = (options: Arguments, spans: SpanCollector, journal: Journal) =>
  Effect.gen(function*() {
    const Lines = Topic.make(options.topic ?? `sluice-demo-${run}`, { key: Serde.string, value: Serde.string })
    const groupId = `sluice-demo-${run}`
    let phase: string | undefined = "connecting"
    const progress = yield* makeProgress(() => phase ?? formatCounts(journal))
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      process.once(signal, () => progress.say("Stopping: what was accepted is sent, what is in hand is finished."))
    }
    const file = yield* checkFile(options.file)
    progress.say(`${options.file} (${count(file.size)} bytes), through topic ${Lines.name}`)
    progress.say(
      `of ${options.brokers === undefined ? "a cluster of 3 brokers in memory" : `the cluster at ${options.brokers}`}.`
    )
    yield* createTopic(Lines.name, options.topic !== undefined, progress)

    /** Sends the lines, the client's address as the key, and waits until all are acknowledged. */
    const produce = Effect.scoped(Effect.gen(function*() {
      const producer = yield* Producer.make({
        onDelivery: { handler: (delivery) => Effect.sync(() => journal.reported(delivery)) }
      })
      yield* linesOf(options).pipe(
        Stream.map((text) =>
          Lines.record({
            key: text.split(" ", 1)[0]!,
            value: text,
            headers: [{ key: lineHeader, value: `${run}/${journal.sent++}` }]
          })
        ),
        Stream.run(producer.sink)
      )
    }))

    const handle = (member: string) => (record: ConsumerRecord.Of<typeof Lines>) =>
      Effect.sync(() => {
        const line = lineOf(record.headers)
        if (line !== undefined) journal.wasHandled(member, record.partition, line)
        else if (record.value === run) journal.member(member)
      })

    const finished = yield* Effect.makeLatch()

    /** A member of the group, until all is finished; then it has committed and left. */
    const member = (name: string) =>
      Effect.scoped(Effect.gen(function*() {
        const consumer = yield* Consumer.make({ groupId, topics: [Lines], heartbeatInterval: "250 millis" })
        yield* Effect.raceFirst(consumer.run(handle(name)), finished.await)
      }))

    /** A group needs a moment to share its partitions: records go to all of them until each member was given one. */
    const awaitMembers = Effect.scoped(Effect.gen(function*() {
      const producer = yield* Producer.make()
      const probes = Array.from({ length: 10 * partitions }, (_, index) =>
        Lines.record({ key: String(index), value: run }))
      while (journal.members.size < memberNames.length) {
        yield* producer.sendAll(probes)
        yield* Effect.sleep("100 millis")
      }
    })).pipe(Effect.withTracerEnabled(false))

    const work = Effect.gen(function*() {
      phase = "waiting for the group"
      const [upAfter] = yield* Effect.timed(awaitMembers)
      progress.say(`The group has ${memberNames.length} members, after ${Math.round(Duration.toMillis(upAfter))} ms.`)
      phase = undefined
      const start = yield* Clock.currentTimeMillis
      const sinceStart = Effect.map(Clock.currentTimeMillis, (now) =>
        now - start)
      yield* produce
      const acknowledged = yield* sinceStart
      progress.say("All lines are sent and acknowledged.")
      yield* awaitHandled(journal)
      return { acknowledged, handled: yield* sinceStart }
    })

    const [times] = yield* Effect.all(
      [Effect.ensuring(work, finished.open), ...memberNames.map(member)],
      { concurrency: "unbounded" }
    )
    progress.say("The members have finished, committed and left the group.")
    const committed = yield* goesOnAt(Lines, groupId, Array.from(journal.partitions.keys()))
    progress.say("")
    progress.say(formatSummary(journal, committed, times))
    const traces = spans.traces(2)
    progress.say("")
    if (traces.length > 0) {
      progress.say(`One record, from send to process\n${formatTrace(traces[traces.length >> 1]!)}\n`)
    }
    const problems = journal.problems(committed)
    for (const problem of problems) progress.say(problem)
    progress.say(problems.length === 0 ? "Nothing was lost, nothing was handled twice." : "The demo failed.")
    return problems.length === 0 ? 0 : 1
  }).pipe(
    Effect.scoped,
    Effect.onInterrupt(() => Effect.sync(() => console.log(`Stopped: ${formatCounts(journal)}.`)))
  )

/** The file's lines, from its start again where more are asked for than it has. */
const linesOf = ({ file, lines }: Arguments) =>
  Stream.unwrap(Effect.map(FileSystem.FileSystem, (fileSystem) => {
    const once = fileSystem.stream(file, { chunkSize: 256 * 1024 }).pipe(Stream.decodeText(), Stream.splitLines)
    return lines === undefined ? once : Stream.take(Stream.forever(once), lines)
  }))

/** Fails as wrong usage if it is not a file with something in it. */
const checkFile = (path: string) =>
  Effect.gen(function*() {
    const fileSystem = yield* FileSystem.FileSystem
    const info = yield* Effect.mapError(
      fileSystem.stat(path),
      (error) => new UsageError({ message: `--file: ${error.message}` })
    )
    if (info.type !== "File" || info.size === 0n) {
      return yield* new UsageError({ message: `--file: ${path} ${info.size === 0n ? "is empty" : "is not a file"}` })
    }
    return info
  })

/** A topic of the run's own is deleted at the end; one that was named stays. */
const createTopic = (name: string, isNamed: boolean, progress: Progress) => {
  const created = Admin.createTopic(name, { partitions })
  if (!isNamed) {
    return Effect.acquireRelease(
      created,
      () =>
        Effect.catchAll(
          Admin.deleteTopic(name),
          (error) => Effect.sync(() => progress.say(`The topic stays: ${error.message}`))
        )
    )
  }
  return Effect.catchIf(
    created,
    (error) => error.reason._tag === "TopicAlreadyExists",
    () => Effect.sync(() => progress.say("The topic is there already: its other records are passed over."))
  )
}

/** Waits until every acknowledged line was handled, or nothing comes any more. */
const awaitHandled = (journal: Journal) =>
  Effect.gen(function*() {
    let handled = -1
    let since = 0
    while (journal.handled < journal.acknowledged) {
      const now = yield* Clock.currentTimeMillis
      if (journal.handled > handled) {
        handled = journal.handled
        since = now
      } else if (now - since > patience) {
        return
      }
      yield* Effect.sleep("10 millis")
    }
  })

/**
 * Where a new member of the group goes on: one more record is sent to each partition, and the first that the member is
 * given of each is at the offset that the group has committed.
 */
const goesOnAt = (topic: Topic.Topic<string, string, string>, groupId: string, partitions: ReadonlyArray<number>) =>
  Effect.scoped(Effect.gen(function*() {
    const first = new Map<number, bigint>()
    if (partitions.length === 0) return first
    const producer = yield* Producer.make()
    yield* producer.sendAll(partitions.map((partition) => topic.record({ partition, value: "the end" })))
    const consumer = yield* Consumer.make({ groupId, topics: [topic] })
    yield* consumer.records.pipe(
      Stream.takeUntil(({ offset, partition }) => {
        if (!first.has(partition)) first.set(partition, offset)
        return partitions.every((each) => first.has(each))
      }),
      Stream.runDrain,
      Effect.timeout("30 seconds"),
      Effect.ignore
    )
    return first
  })).pipe(Effect.withTracerEnabled(false))

const main = Effect.gen(function*() {
  const options = yield* parseArguments(process.argv.slice(2))
  if (options === undefined) {
    console.log(help)
    return 0
  }
  const spans = new SpanCollector(tracesKept)
  return yield* Effect.provide(
    demo(options, spans, new Journal()),
    Layer.merge(cluster(options.brokers), Layer.setTracer(spans.tracer))
  )
}).pipe(
  Effect.catchAll((error) =>
    Effect.sync(() => {
      const isUsage = error._tag === "UsageError" ||
        (KafkaError.isKafkaError(error) && ["InvalidArgument", "InvalidTopicException"].includes(error.reason._tag))
      console.error(isUsage ? `${error.message}\nSee --help.` : error.message)
      return isUsage ? 2 : 1
    })
  ),
  Effect.provide(NodeContext.layer)
)

// Whoever reads may have seen enough, such as `head`: the result is told by the exit code all the same.
process.stdout.on("error", () => {})

NodeRuntime.runMain(main, {
  teardown: (exit, onExit) =>
    onExit(Exit.isSuccess(exit) ? exit.value as number : Cause.isInterruptedOnly(exit.cause) ? 130 : 1)
})
