/** Logs that lose records which a consumer has read already, or is to read next: it says so, and goes on by its policy. */
import { assert } from "@effect/vitest"
import { Consumer, type KafkaError, Producer } from "@sluice/kafka"
import { Deferred, Effect, Fiber, Stream } from "effect"

import { client } from "../support/client.ts"
import { reportDuration } from "../support/duration.ts"
import { poll, within } from "../support/members.ts"
import { uniqueName } from "../support/topics.ts"
import { type TextTopic, threeBrokers } from "./support/cluster.ts"
import { test } from "./support/test.ts"

const cluster = threeBrokers()

reportDuration("Faults of logs")

/** With a client through the proxies, which are there when the test runs. */
const provided = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => Effect.provide(self, client(cluster.addresses, { requestTimeout: "3 seconds" })))

/** Appends records to the one partition, a batch each. */
const append = (topic: TextTopic, values: ReadonlyArray<string>) =>
  Effect.scoped(
    Effect.flatMap(Producer.make(), (producer) =>
      Effect.forEach(values, (value) =>
        producer.send(topic.record({ partition: 0, value })), { discard: true }))
  ).pipe(
    Effect.provide(client(cluster.internal)),
    (self) =>
      within("records are written", self)
  )

const numbered = (what: string, count: number, bytes = 0): ReadonlyArray<string> =>
  Array.from({ length: count }, (_, index) => `${what} ${index} `.padEnd(bytes, "x"))

/** A member of a group of its own that runs until it fails, and what it says. */
const startReader = (
  topic: TextTopic,
  options: Partial<Consumer.ConsumerOptions<TextTopic>>,
  handler: (record: { readonly offset: number; readonly value: string }) => Effect.Effect<unknown> = () => Effect.void
) =>
  Effect.gen(function*() {
    const read: Array<{ readonly offset: number; readonly value: string }> = []
    const resets: Array<Consumer.PositionReset> = []
    const consumer = yield* Consumer.make({
      groupId: topic.name,
      commitInterval: "50 millis",
      heartbeatInterval: "200 millis",
      ...options,
      topics: [topic]
    })
    const failed = yield* Deferred.make<KafkaError.KafkaError>()
    yield* Effect.forkScoped(Stream.runForEach(consumer.events, (event) =>
      Effect.sync(() => {
        if (event._tag === "PositionReset") resets.push(event)
      })))
    const running = yield* Effect.forkScoped(
      Effect.tapError(
        consumer.run((record) => {
          const line = { offset: Number(record.offset), value: record.value.trimEnd() }
          return Effect.zipLeft(handler(line), Effect.sync(() => read.push(line)))
        }),
        (error) => Deferred.succeed(failed, error)
      )
    )
    const until = (what: string, value: string) =>
      poll(
        () => `${what}; the last of ${read.length} is ${JSON.stringify(read.at(-1))}`,
        () => read.some((line) => line.value.startsWith(value))
      )
    return {
      consumer,
      read,
      resets,
      until,
      committed: (offset: number) =>
        poll(`${offset} is committed`, () =>
          Effect.runSync(consumer.positions.get).some(({ committed }) => committed === BigInt(offset))),
      failure: within("its run fails", Deferred.await(failed)),
      isRunning: Effect.map(Fiber.poll(running), ({ _tag }) =>
        _tag === "None")
    }
  })

const offsetsOf = (lines: ReadonlyArray<{ readonly offset: number }>) => lines.map(({ offset }) => offset)

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => from + index)

test(
  "FM-15 a replica that is behind is elected: consumers past its end say so and go on there, or end, by their policy",
  Effect.gen(function*() {
    const makeTopic = cluster.makeTopic({
      replicas: [[1, 2]],
      config: { "min.insync.replicas": "1", "unclean.leader.election.enable": "true" }
    })
    const topics = yield* Effect.all([makeTopic, makeTopic, makeTopic])
    const [goingOn, ending, away] = topics
    const all = (values: ReadonlyArray<string>) =>
      Effect.forEach(topics, (topic) => append(topic, values), { concurrency: 3, discard: true })
    const leader = (what: string, isSo: (state: { leader: number; inSync: ReadonlyArray<number> }) => boolean) =>
      Effect.promise(async () => {
        for (const { name } of topics) await cluster.operator.topic(what, name, ([state]) => isSo(state!))
      })

    yield* all(numbered("old", 100))
    const one = yield* startReader(goingOn, {})
    const two = yield* startReader(ending, { reset: "fail", from: "earliest" })
    yield* Effect.scoped(Effect.gen(function*() {
      const three = yield* startReader(away, {})
      for (const { until } of [one, two, three]) yield* until("it reads", "old 99")
      yield* cluster.kill(2)
      yield* leader("one replica is left", ({ inSync }) => inSync.length === 1)
      yield* all(numbered("lost", 50))
      for (const { until } of [one, two, three]) yield* until("it is at the end", "lost 49")
    }))
    assert.deepStrictEqual(
      [...yield* Effect.promise(() => cluster.operator.committed(away.name, away.name, 1))],
      [[0, 150]]
    )

    yield* cluster.kill(1)
    yield* cluster.start(2)
    yield* leader("the other replica leads", ({ leader }) => leader === 2)
    // While it is behind, too: what follows must not be taken for what was there.
    yield* all(numbered("new", 100))

    const truncated = { _tag: "PositionReset", partition: 0, reason: "LogTruncated", from: 150n, to: 100n } as const
    yield* one.until("it goes on", "new 99")
    assert.deepStrictEqual(one.resets.filter(({ reason }) => reason !== "NoOffset"), [{
      ...truncated,
      topic: goingOn.name
    }])
    assert.deepStrictEqual(offsetsOf(one.read), [...range(0, 150), ...range(100, 200)])
    assert.strictEqual(one.read[150]!.value, "new 0")

    const failure = yield* two.failure
    assert.deepStrictEqual([failure._tag, failure.reason._tag], ["FatalError", "LogTruncated"])
    assert.deepStrictEqual(offsetsOf(two.read), range(0, 150))

    // Who comes back later has the epoch of what it committed.
    const three = yield* startReader(away, {})
    yield* three.until("it goes on", "new 99")
    assert.deepStrictEqual(three.resets, [{ ...truncated, topic: away.name }])
    assert.deepStrictEqual(offsetsOf(three.read), range(100, 200))
    assert.isTrue(yield* one.isRunning)
  }).pipe(provided)
)

test(
  "FM-40 records are deleted past a consumer's position: it says what it skips and goes on behind that, or ends, by its policy",
  Effect.gen(function*() {
    const topic = yield* cluster.makeTopic({ replicas: [[1, 2, 3]] })
    yield* append(topic, numbered("v", 100, 2_000))
    const gate = yield* Deferred.make<void>()
    const waitsAt5 = ({ offset }: { readonly offset: number }) => offset === 5 ? Deferred.await(gate) : Effect.void
    const start = (reset: "earliest" | "latest" | "fail") =>
      startReader(
        topic,
        { groupId: uniqueName(reset), from: "earliest", reset, fetch: { partitionBytes: 4_096 } },
        waitsAt5
      )
    const earliest = yield* start("earliest")
    const latest = yield* start("latest")
    const failing = yield* start("fail")
    for (const { until } of [earliest, latest, failing]) yield* until("it is on its way", "v 4")
    yield* Effect.promise(() => cluster.operator.deleteRecords(topic.name, 0, 60))
    yield* Deferred.succeed(gate, undefined)

    yield* earliest.until("it goes on", "v 99")
    const goneOn = ({ read, resets }: typeof earliest, to: number) => {
      const [reset] = resets.filter(({ reason }) => reason === "OffsetOutOfRange")
      // What was fetched before is handled.
      const from = Number(reset!.from)
      assert.isTrue(from > 5 && from < 60, `from ${from}`)
      assert.deepInclude(reset, { from: BigInt(from), to: BigInt(to) })
      assert.deepStrictEqual(offsetsOf(read), [...range(0, from), ...range(to, 100)])
    }
    goneOn(earliest, 60)
    yield* poll("it goes on at the end", () => latest.resets.some(({ reason }) => reason === "OffsetOutOfRange"))
    goneOn(latest, 100)
    const failure = yield* failing.failure
    assert.deepStrictEqual([failure._tag, failure.reason._tag], ["FatalError", "OffsetOutOfRange"])
    assert.notInclude(offsetsOf(failing.read), 60)
    yield* append(topic, ["after"])
    yield* latest.until("it reads what comes", "after")
  }).pipe(provided)
)
