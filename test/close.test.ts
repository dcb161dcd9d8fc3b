/** Closing while the broker hangs (SIGSTOP): within its bounds, and with the truth about each record. */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Admin, Consumer, Producer, Serde, Topic } from "@sluice/kafka"
import * as Conformance from "@sluice/testing/Conformance"
import { Deferred, Duration, Effect, Either, Exit, Fiber, Option, Scope, Stream } from "effect"

import { activeResources, client } from "./support/client.ts"
import { reportDuration } from "./support/duration.ts"
import { type KafkaCluster, startKafka } from "./support/kafka.ts"
import { uniqueName } from "./support/topics.ts"

let cluster: KafkaCluster

beforeAll(async () => {
  cluster = await startKafka()
})

afterAll(() => cluster.stop())

reportDuration("Closing while a broker hangs")

const makeTopic = Effect.gen(function*() {
  const topic = Topic.make(uniqueName("close"), { key: Serde.string, value: Serde.string })
  yield* Admin.createTopic(topic.name, { partitions: 2, config: { "max.message.bytes": "2000000" } })
  return topic
})

type LinesTopic = Effect.Effect.Success<typeof makeTopic>

/** The broker hangs until the scope closes, whatever happens. */
const pausedBroker = Effect.acquireRelease(
  Effect.sync(() => cluster.pause(1)),
  () => Effect.sync(() => cluster.resume(1))
)

const test = (
  name: string,
  self: Effect.Effect<void, unknown, Effect.Effect.Context<typeof makeTopic> | Scope.Scope>
) =>
  it.live(name, () =>
    Effect.suspend(() => Effect.provide(Effect.scoped(self), client(cluster.brokers))).pipe(
      Conformance.nothingLeft({ leftovers: activeResources })
    ))

/** The number that each value starts with, and how often it is there. */
const numbersIn = (topic: LinesTopic) =>
  Effect.scoped(Effect.gen(function*() {
    const producer = yield* Producer.make()
    const ends = yield* producer.sendAll([0, 1].map((partition) => topic.record({ partition, value: "end" })))
    const consumer = yield* Consumer.assign({ topics: [topic] })
    const counts = new Map<number, number>()
    const left = new Set([0, 1])
    yield* consumer.records.pipe(
      Stream.takeUntil(({ offset, partition, value }) => {
        if (offset === ends[partition]!.offset) left.delete(partition)
        else if (value !== "end") counts.set(parseInt(value), (counts.get(parseInt(value)) ?? 0) + 1)
        return left.size === 0
      }),
      Stream.runDrain
    )
    return counts
  })).pipe(Effect.timeout("30 seconds"))

const range = (count: number) => Array.from({ length: count }, (_, number) => number)

const closeTimeout = 800

interface Case {
  readonly name: string
  readonly options: Producer.ProducerOptions<number>
  readonly count: number
  readonly bytes: number
}

const cases: ReadonlyArray<Case> = [
  { name: "idempotent", options: { batchBytes: 2_000 }, count: 2_000, bytes: 100 },
  { name: "acks leader", options: { acks: "leader", batchBytes: 2_000 }, count: 2_000, bytes: 100 },
  // More in flight than the system takes: a part of it never leaves this process.
  {
    name: "large batches",
    options: { batchBytes: 1_000_000, bufferBytes: 128 * 1024 * 1024 },
    count: 300,
    bytes: 90_000
  }
]

describe("a producer", () => {
  for (const { bytes, count, name, options } of cases) {
    test(
      `closes within its bound, and knows what may have been written (${name})`,
      Effect.gen(function*() {
        const topic = yield* makeTopic
        const scope = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
        const reports: Array<Producer.Delivery<number>> = []
        const producer = yield* Scope.extend(
          Producer.make({
            ...options,
            closeTimeout,
            onDelivery: { handler: (report: Producer.Delivery<number>) => Effect.sync(() => reports.push(report)) }
          }),
          scope
        )
        yield* producer.sendAll([0, 1].map((partition) => topic.record({ partition, value: "-1" })))

        const { accepted, closing } = yield* Effect.scoped(Effect.gen(function*() {
          yield* pausedBroker
          const accepted = yield* Effect.forEach(range(count), (number) =>
            producer.enqueue(
              topic.record({ partition: number % 2, value: `${number} `.padEnd(bytes, "x") }),
              { correlation: number }
            ))
          const [closing] = yield* Effect.timed(Scope.close(scope, Exit.void))
          return { accepted, closing }
        }))
        assert.isAtLeast(Duration.toMillis(closing), closeTimeout - 50)
        assert.isBelow(Duration.toMillis(closing), closeTimeout + 1_000)

        const outcomes = yield* Effect.forEach(
          accepted,
          (outcome) => Effect.timeout(Effect.either(outcome), "1 second")
        )
        assert.sameMembers(reports.flatMap(({ correlation }) => correlation ?? []), range(count))
        const counts = yield* numbersIn(topic)
        const seen = { acknowledged: 0, no: 0, maybe: 0 }
        for (const [number, outcome] of outcomes.entries()) {
          const times = counts.get(number) ?? 0
          if (Either.isRight(outcome)) {
            seen.acknowledged++
            assert.strictEqual(times, 1, `record ${number} was acknowledged`)
            continue
          }
          const { _tag, persisted, reason } = outcome.left
          assert.deepStrictEqual([_tag, reason._tag], ["FatalError", "Closed"])
          seen[persisted]++
          assert.isAtMost(times, persisted === "no" ? 0 : 1, `record ${number}: ${persisted}`)
        }
        assert.isAbove(seen.no, 0)
        assert.isAbove(seen.maybe, 0)
        assert.strictEqual(seen.acknowledged, 0)
      })
    )
  }

  test(
    "fails a record at its deadline, and goes on with the next ones in order when the broker does",
    Effect.gen(function*() {
      const topic = yield* makeTopic
      const producer = yield* Producer.make({ deliveryTimeout: "700 millis", batchBytes: 1_000 })
      const send = (number: number) => producer.send(topic.record({ partition: 0, value: `${number} ` }))
      yield* send(0)
      const late = yield* Effect.scoped(Effect.gen(function*() {
        yield* pausedBroker
        const waiting = yield* Effect.forEach(
          range(3),
          (number) => producer.enqueue(topic.record({ partition: 0, value: `${number + 1} ` }))
        )
        return yield* Effect.timed(Effect.forEach(waiting, Effect.flip))
      }))
      const [duration, errors] = late
      assert.isBelow(Duration.toMillis(duration), 1_700)
      for (const error of errors) {
        assert.deepStrictEqual([error._tag, error.reason._tag], ["RetriableError", "DeliveryTimeout"])
        assert.strictEqual(error.persisted, "maybe")
      }
      const next = yield* Effect.forEach(range(50), (number) => Effect.retry(send(number + 10), { times: 3 }))
      const offsets = next.map(({ offset }) => Number(offset))
      assert.deepStrictEqual(offsets, [...offsets].sort((one, other) => one - other))
      const counts = yield* numbersIn(topic)
      for (const number of [0, ...range(50).map((number) => number + 10)]) assert.strictEqual(counts.get(number), 1)
      for (const number of [1, 2, 3]) assert.isAtMost(counts.get(number) ?? 0, 1)
    })
  )
})

describe("a consumer", () => {
  test(
    "closes within its bounds, and what was not handled comes again",
    Effect.gen(function*() {
      const topic = yield* makeTopic
      const producer = yield* Producer.make()
      yield* producer.sendAll(range(10).map((number) => topic.record({ partition: 0, value: `${number} ` })))
      const options = { groupId: topic.name, topics: [topic] } as const
      const scope = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
      const consumer = yield* Scope.extend(
        Consumer.make({
          ...options,
          commitInterval: "1 hour",
          drainTimeout: "500 millis",
          closeTimeout: "500 millis",
          sessionTimeout: "2 seconds",
          heartbeatInterval: "200 millis"
        }),
        scope
      )
      const third = yield* Deferred.make<void>()
      const running = yield* Effect.forkScoped(
        consumer.run(({ value }) =>
          parseInt(value) < 3 ? Effect.void : Effect.zipRight(Deferred.succeed(third, undefined), Effect.never)
        )
      )
      yield* Deferred.await(third)
      const [closing] = yield* Effect.scoped(
        Effect.zipRight(pausedBroker, Effect.timed(Scope.close(scope, Exit.void)))
      )
      // The handler, the commit, the fetches, the members' fibers and leaving: each has its bound.
      assert.isBelow(Duration.toMillis(closing), 500 + 500 + 1_000 + 1_000 + 500 + 1_000)
      assert.isTrue(Exit.isSuccess(yield* Effect.timeout(Fiber.await(running), "1 second")))

      const next = yield* Consumer.make(options)
      const records = yield* next.records.pipe(
        Stream.map(({ value }) => parseInt(value)),
        Stream.takeUntil((number) => number === 9),
        Stream.runCollect,
        Effect.timeout("20 seconds")
      )
      // The commit of what was handled was on its way: the broker may do it when it goes on.
      assert.include([0, 3], Array.from(records)[0])
      assert.deepStrictEqual(Array.from(records), range(10).slice(-records.length))
    })
  )

  test(
    "without a group closes at once",
    Effect.gen(function*() {
      const topic = yield* makeTopic
      const scope = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
      const consumer = yield* Scope.extend(Consumer.assign({ topics: [topic] }), scope)
      const reading = yield* Effect.forkScoped(Stream.runCollect(consumer.records))
      const producer = yield* Producer.make()
      yield* producer.send(topic.record({ value: "v" }))
      const [closing] = yield* Effect.scoped(
        Effect.zipRight(pausedBroker, Effect.timed(Scope.close(scope, Exit.void)))
      )
      assert.isBelow(Duration.toMillis(closing), 1_000)
      assert.isTrue(Exit.isSuccess(yield* Effect.timeout(Fiber.await(reading), "1 second")))
    })
  )
})

describe("a client", () => {
  test(
    "closes at once while it asks a broker that hangs",
    Effect.gen(function*() {
      const asking = Effect.provide(
        Effect.scoped(Producer.make()),
        client(cluster.brokers, { clientId: "sluice-test-2" })
      )
      const [duration, answer] = yield* Effect.scoped(
        Effect.zipRight(pausedBroker, Effect.timed(Effect.timeoutOption(asking, "100 millis")))
      )
      assert.isTrue(Option.isNone(answer))
      assert.isBelow(Duration.toMillis(duration), 1_000)
    })
  )
})
