import * as Admin from "@sluice/kafka/Admin"
import * as Consumer from "@sluice/kafka/Consumer"
import type { Kafka } from "@sluice/kafka/Kafka"
import type { KafkaError } from "@sluice/kafka/KafkaError"
import * as Producer from "@sluice/kafka/Producer"
import * as Serde from "@sluice/kafka/Serde"
import * as Topic from "@sluice/kafka/Topic"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

/** Defines one test, on a client of its own. */
export type Define = (name: string, test: Effect.Effect<void, unknown, Kafka | Scope.Scope>) => void

/** A name that no other test has had, on this cluster either. */
export const uniqueName = (prefix: string): Effect.Effect<string> =>
  Effect.map(
    Effect.all([Random.nextIntBetween(0, 2 ** 31 - 1), Random.nextIntBetween(0, 2 ** 31 - 1)]),
    (numbers) => `${prefix}-${numbers.map((number) => number.toString(36)).join("")}`
  )

/** A topic of text that may hold tombstones. */
export type TextTopic = Topic.Topic<string, string, string | null>

const textTopic = (name: string): TextTopic =>
  Topic.make(name, { key: Serde.string, value: Serde.string, tombstones: true })

/** Creates a topic that no other test uses. */
export const newTopic = (
  options: Admin.TopicOptions & { readonly partitions: number }
): Effect.Effect<TextTopic, KafkaError, Kafka> =>
  Effect.gen(function*() {
    const topic = textTopic(yield* uniqueName("conformance"))
    yield* Admin.createTopic(topic.name, options)
    return topic
  })

/** Whole numbers from 0. */
export const range = (count: number): Array<number> => Array.from({ length: count }, (_, index) => index)

/** The longest that a test waits for something that should happen by itself. */
const patience = "20 seconds"

/** A defect instead of waiting for ever, with a word about what did not happen. */
export const within = <A, E, R>(what: string, self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.timeoutFailCause(self, {
    duration: patience,
    onTimeout: () => Cause.die(new Error(`${what}: not within ${patience}`))
  })

/** What happened, in its order, for whoever waits until enough has happened. */
export class Journal<A> {
  readonly entries: Array<A> = []
  readonly #waiting = new Set<() => void>()

  /** Notes something. */
  add(entry: A): void {
    this.entries.push(entry)
    for (const check of this.#waiting) check()
  }

  /** Waits until the entries are as they should be. */
  until(what: string, isEnough: (entries: ReadonlyArray<A>) => boolean): Effect.Effect<void> {
    return within(
      what,
      Effect.async<void>((resume) => {
        const check = (): void => {
          if (!isEnough(this.entries)) return
          this.#waiting.delete(check)
          resume(Effect.void)
        }
        this.#waiting.add(check)
        check()
        return Effect.sync(() => this.#waiting.delete(check))
      })
    )
  }
}

/** A record as it is in the log. */
export interface StoredRecord {
  readonly partition: number
  readonly offset: number
  readonly key: string | null
  readonly value: string | null
  readonly timestamp: number
  readonly headers: ReadonlyArray<readonly [key: string, value: string | null]>
}

const decoder = new TextDecoder()

/** The parts of a record that are the same for whoever reads it. */
export const stored = (record: {
  readonly partition: number
  readonly offset: bigint
  readonly key: string | null
  readonly value: string | null
  readonly timestamp: number
  readonly headers: ReadonlyArray<Topic.Header>
}): StoredRecord => ({
  partition: record.partition,
  offset: Number(record.offset),
  key: record.key,
  value: record.value,
  timestamp: record.timestamp,
  headers: record.headers.map(({ key, value }) => [key, value === null ? null : decoder.decode(value)])
})

/**
 * All that is in a topic now, by partition. A last record in each partition marks the end, so that nothing has to be
 * waited for that may never come: where offsets have no gaps, a record too many is seen.
 */
export const contents = (
  topic: TextTopic,
  partitions: number,
  options: Pick<Consumer.AssignOptions<TextTopic>, "fetch"> = {}
): Effect.Effect<ReadonlyArray<ReadonlyArray<StoredRecord>>, unknown, Kafka> =>
  Effect.gen(function*() {
    const producer = yield* Producer.make()
    const ends = yield* producer.sendAll(
      range(partitions).map((partition) => topic.record({ partition, value: "the end" }))
    )
    const isEnd = (record: { readonly partition: number; readonly offset: bigint }) =>
      ends[record.partition]!.offset === record.offset
    const read = range(partitions).map((): Array<StoredRecord> => [])
    const left = new Set(range(partitions))
    const consumer = yield* Consumer.assign({ ...options, topics: [topic] })
    yield* within(
      `reading ${topic.name} to its end`,
      consumer.records.pipe(
        Stream.takeUntil((record) => {
          if (isEnd(record)) left.delete(record.partition)
          else if (left.has(record.partition)) read[record.partition]!.push(stored(record))
          return left.size === 0
        }),
        Stream.runDrain
      )
    )
    return read
  }).pipe(Effect.scoped)

/** Values of a topic, of all its partitions. */
export const values = (
  topic: TextTopic,
  partitions: number
): Effect.Effect<ReadonlyArray<string | null>, unknown, Kafka> =>
  Effect.map(contents(topic, partitions), (records) => records.flat().map(({ value }) => value))

/** A member of a group that runs a handler until it is told to leave. */
export interface Member {
  /** Closes the consumer, and waits until its run has ended. */
  readonly leave: Effect.Effect<void, unknown>
}

/** Joins a group and runs a handler over its records, until it leaves or the test ends. */
export const joinGroup = (
  options: Consumer.ConsumerOptions<TextTopic>,
  handler: Parameters<Consumer.Consumer<TextTopic>["run"]>[0]
): Effect.Effect<Member, KafkaError, Kafka | Scope.Scope> =>
  Effect.gen(function*() {
    const scope = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
    const consumer = yield* Scope.extend(Consumer.make(options), scope)
    const running = yield* Effect.forkScoped(
      consumer.run(handler as (record: unknown) => Effect.Effect<unknown, unknown>)
    )
    return { leave: Effect.zipRight(Scope.close(scope, Exit.void), Fiber.join(running)) }
  })

/** Group settings under which a rebalance takes a moment, not seconds. */
export const quick = {
  heartbeatInterval: "50 millis",
  rebalanceTimeout: "10 seconds",
  commitInterval: "50 millis",
  fetch: { maxWait: "50 millis" }
} as const

/** Something that happens once. */
export const makeSignal = Effect.map(Deferred.make<void>(), (deferred) => ({
  raise: Effect.asVoid(Deferred.succeed(deferred, undefined)),
  raised: (what: string) => within(what, Deferred.await(deferred))
}))
