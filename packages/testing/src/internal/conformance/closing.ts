import { assert } from "@effect/vitest"
import * as Consumer from "@sluice/kafka/Consumer"
import * as Producer from "@sluice/kafka/Producer"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

import {
  contents,
  type Define,
  joinGroup,
  Journal,
  newTopic,
  quick,
  range,
  type TextTopic,
  uniqueName,
  within
} from "./harness.ts"

/**
 * Closes a producer with thousands of records on their way, and compares what its callers and its delivery handler were
 * told with what is in the topic.
 */
const closeInFlight = (options: Producer.ProducerOptions<number>, atOnce: number) =>
  Effect.gen(function*() {
    const partitions = 3
    const topic = yield* newTopic({ partitions })
    const reports = new Journal<Producer.Delivery<number>>()
    const scope = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
    const producer = yield* Scope.extend(
      Producer.make({
        ...options,
        onDelivery: { handler: (delivery: Producer.Delivery<number>) => Effect.sync(() => reports.add(delivery)) }
      }),
      scope
    )
    const accepted: Array<Effect.Effect<Producer.RecordMetadata, unknown>> = []
    const write = (number: number) =>
      Effect.map(
        producer.enqueue(
          topic.record({ partition: number % partitions, value: `${number} ${"x".repeat(200)}` }),
          { correlation: number }
        ),
        (acknowledgement) => {
          accepted[number] = acknowledgement
        }
      )
    yield* Effect.forEach(range(atOnce), write, { discard: true })
    // Some go on while it closes, until they are refused.
    const late = yield* Effect.forkScoped(
      Effect.flip(Effect.forEach(range(10 * atOnce), (number) => write(atOnce + number), { discard: true }))
    )
    yield* Effect.yieldNow()
    yield* within("closing", Scope.close(scope, Exit.void))
    const refused = yield* within("the refusal", late)
    assert.deepStrictEqual([refused._tag, refused.reason._tag, refused.persisted], ["FatalError", "Closed", "no"])
    assert.isAtLeast(accepted.length, atOnce)

    const outcomes = yield* within(
      "an outcome of each accepted record",
      Effect.forEach(accepted, Effect.either, { concurrency: "unbounded" })
    )
    assert.deepStrictEqual(
      reports.entries.map(({ correlation }) => correlation!).sort((one, other) => one - other),
      range(accepted.length)
    )
    const counts = new Map<number, number>()
    const inTopic = yield* contents(topic, partitions)
    for (const { value } of inTopic.flat()) {
      const number = Number(value!.split(" ")[0])
      counts.set(number, (counts.get(number) ?? 0) + 1)
    }
    let acknowledged = 0
    for (const { _tag, correlation, ...delivery } of reports.entries) {
      const outcome = outcomes[correlation!]!
      assert.strictEqual(_tag === "Acknowledged", Either.isRight(outcome))
      const count = counts.get(correlation!) ?? 0
      if ("metadata" in delivery) {
        acknowledged++
        assert.strictEqual(count, 1, `record ${correlation} was acknowledged`)
        const { offset, partition } = delivery.metadata
        assert.strictEqual(inTopic[partition]![Number(offset)]!.value!.split(" ")[0], String(correlation))
      } else if (delivery.error.persisted === "no") {
        assert.strictEqual(count, 0, `record ${correlation} was not written`)
      } else {
        assert.isAtMost(count, 1, `record ${correlation} may have been written`)
      }
    }
    return { accepted: accepted.length, acknowledged }
  })

const sendNumbers = (producer: Producer.Producer, topic: TextTopic, source: string, count: number) =>
  Effect.forEach(
    range(count),
    (number) => producer.enqueue(topic.record({ key: `${source} ${number % 10}`, value: `${source} ${number}` })),
    { discard: true }
  )

/** What holds at the end of a scope, and between the instances of one client. */
export const closing = (test: Define): void => {
  test(
    "closing sends what was accepted: each record is acknowledged, reported once, and once in the topic",
    Effect.gen(function*() {
      const { accepted, acknowledged } = yield* closeInFlight({ linger: "1 minute", batchBytes: 8 * 1024 }, 3_000)
      assert.strictEqual(acknowledged, accepted)
    })
  )

  test(
    "a close without time gives each record one outcome, which is true",
    Effect.gen(function*() {
      const { accepted, acknowledged } = yield* closeInFlight({ closeTimeout: 0, batchBytes: 4 * 1024 }, 3_000)
      assert.isAtMost(acknowledged, accepted)
    })
  )

  test(
    "a producer that is interrupted while it waits leaves no trace",
    Effect.gen(function*() {
      const topic = yield* newTopic({ partitions: 1 })
      const producer = yield* Producer.make({ linger: "1 minute" })
      // Accepted, so it is delivered all the same.
      yield* Effect.timeoutOption(producer.send(topic.record({ value: "accepted" })), "5 millis")
      yield* producer.flush
      const [read] = yield* contents(topic, 1)
      assert.deepStrictEqual(read!.map(({ value }) => value), ["accepted"])
    })
  )

  test(
    "several producers and consumers share one client",
    Effect.gen(function*() {
      const partitions = 4
      const topics = [yield* newTopic({ partitions }), yield* newTopic({ partitions })]
      const [shared, own] = [yield* uniqueName("shared"), yield* uniqueName("own")]
      const journals = { shared: new Journal<string>(), own: new Journal<string>(), assigned: new Journal<string>() }
      const note =
        (journal: Journal<string>) => ({ topic, value }: { readonly topic: string; readonly value: string | null }) =>
          Effect.sync(() => journal.add(`${topic} ${value}`))
      const members = [
        yield* joinGroup({ ...quick, groupId: shared, topics }, note(journals.shared)),
        yield* joinGroup({ ...quick, groupId: shared, topics }, note(journals.shared)),
        yield* joinGroup({ ...quick, groupId: own, topics }, note(journals.own))
      ]
      const assigned = yield* Consumer.assign({ topics })
      yield* Effect.forkScoped(Stream.runForEach(assigned.records, note(journals.assigned)))

      const producers = yield* Effect.all([
        Producer.make(),
        Producer.make({ compression: "gzip" }),
        Producer.make({ acks: "leader" })
      ])
      const count = 200
      const expected = topics.flatMap(({ name }) =>
        producers.flatMap((_, source) => range(count).map((number) => `${name} ${source} ${number}`))
      )
      yield* Effect.forEach(
        topics.flatMap((topic) => producers.map((producer, source) => ({ producer, source, topic }))),
        ({ producer, source, topic }) => sendNumbers(producer, topic, String(source), count),
        { concurrency: "unbounded", discard: true }
      )
      yield* Effect.forEach(producers, (producer) => producer.flush, { concurrency: "unbounded", discard: true })
      for (const [name, journal] of Object.entries(journals)) {
        yield* journal.until(`all of ${name}`, ({ length }) => length >= expected.length)
        assert.sameMembers(journal.entries, expected)
      }
      yield* Effect.forEach(members, ({ leave }) => within("leaving", leave), {
        concurrency: "unbounded",
        discard: true
      })
    })
  )
}
