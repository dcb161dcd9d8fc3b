import { Consumer, type ConsumerRecord, Kafka, Producer, Serde, Topic } from "@sluice/kafka"
import { Transport } from "@sluice/kafka/Transport"
import { make as makeCluster, MemoryCluster, type Options } from "@sluice/testing/MemoryCluster"
import { Context, type Duration, Effect, Exit, Fiber, Layer, Logger, Scope, TestClock } from "effect"

import { type Rewrite, rewriting } from "./rewrite.ts"

/** What most tests read. */
export const Numbers = Topic.make("numbers", { key: Serde.string, value: Serde.string })
export type NumberRecord = ConsumerRecord.Of<typeof Numbers>

/** A cluster in memory and a client of it; `rewrite` changes what the brokers answer. */
export const world = (
  options: Options = {},
  client: Partial<Kafka.KafkaOptions> = {},
  rewrite: Rewrite = () => undefined
): Layer.Layer<MemoryCluster | Kafka.Kafka | Transport> =>
  kafkaLayer("test", client).pipe(
    Layer.provideMerge(rewriting(rewrite)),
    Layer.provideMerge(clusterLayer(options))
  )

/** Runs a test in a world of its own, which outlives the test's scope. */
export const inWorld = (
  options: Options = {},
  client: Partial<Kafka.KafkaOptions> = {},
  rewrite: Rewrite = () => undefined
) =>
<A, E>(
  self: Effect.Effect<A, E, MemoryCluster | Kafka.Kafka | Transport | Scope.Scope>
): Effect.Effect<A, E> => self.pipe(Effect.scoped, Effect.provide(world(options, client, rewrite)))

const clusterLayer = (options: Options) =>
  Layer.scopedContext(Effect.map(
    makeCluster(options),
    ({ cluster, transport }) => Context.make(MemoryCluster, cluster).pipe(Context.add(Transport, transport))
  ))

const kafkaLayer = (clientId: string, client: Partial<Kafka.KafkaOptions> = {}) =>
  Layer.unwrapEffect(
    Effect.map(MemoryCluster, ({ bootstrap }) => Layer.orDie(Kafka.layer({ brokers: bootstrap, clientId, ...client })))
  )

/** Another client of the same cluster, which lives as long as the test's scope. */
export const client = (clientId: string, options: Partial<Kafka.KafkaOptions> = {}) =>
  Layer.build(kafkaLayer(clientId, options))

/** Writes values, in their order, to one partition: one batch a call. */
export const writeTo = <V>(topic: Topic.Topic<string, string, V>, partition: number, values: Iterable<V>) =>
  writeBatches(topic, [partition], [Array.from(values)])

/** Writes batches to each of some partitions. */
export const writeBatches = <V>(
  topic: Topic.Topic<string, string, V>,
  partitions: ReadonlyArray<number>,
  batches: ReadonlyArray<ReadonlyArray<V>>
) =>
  Producer.make({ linger: 1 }).pipe(
    Effect.flatMap((producer) =>
      Effect.forEach(
        batches,
        (batch) =>
          producer.sendAll(
            partitions.flatMap((partition) => batch.map((value) => topic.record({ key: null, value, partition })))
          ),
        { discard: true }
      )
    ),
    Effect.scoped,
    passing,
    Effect.orDie
  )

/** Writes numbers, as text. */
export const write = (partition: number, values: Iterable<number | string>) =>
  writeTo(Numbers, partition, Array.from(values, String))

export const range = (from: number, to: number): ReadonlyArray<number> =>
  Array.from({ length: to - from }, (_, i) => from + i)

/** A consumer with an end of its own, at the test's end at the latest. */
export const member = (options: Partial<Consumer.ConsumerOptions<typeof Numbers>> = {}) =>
  Effect.gen(function*() {
    const scope = yield* Effect.acquireRelease(Scope.make(), (scope) =>
      passing(Scope.close(scope, Exit.void), { step: "1 second" }))
    const consumer = yield* Consumer.make({
      groupId: "group",
      topics: [Numbers],
      // Fewer timers: records are answered with at once all the same.
      fetch: { maxWait: "2 seconds" },
      ...options
    }).pipe(Scope.extend(scope))
    return { consumer, close: Scope.close(scope, Exit.void) }
  })

/** What handlers were given, as `partition/value`. */
export class Seen {
  readonly values: Array<string> = []

  readonly take = (record: NumberRecord) => {
    this.values.push(`${record.partition}/${record.value}`)
  }

  readonly handler = (record: NumberRecord): Effect.Effect<void> => Effect.sync(() => this.take(record))

  of(partition: number): ReadonlyArray<number> {
    return this.values.filter((value) => value.startsWith(`${partition}/`)).map((value) => Number(value.split("/")[1]))
  }

  get count(): number {
    return this.values.length
  }
}

/** Lets everything run that does not wait for time. */
export const quiet: Effect.Effect<void> = Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))

/** Lets virtual time pass until something holds. */
export const passUntil = <R = never>(
  what: string,
  condition: Effect.Effect<boolean, never, R> | (() => boolean),
  options: { readonly step?: Duration.DurationInput; readonly steps?: number } = {}
): Effect.Effect<void, never, R> =>
  Effect.gen(function*() {
    const holds = typeof condition === "function" ? Effect.sync(condition) : condition
    for (let step = 0; step < (options.steps ?? 200); step++) {
      yield* quiet
      if (yield* holds) return
      yield* TestClock.adjust(options.step ?? "100 millis")
    }
    throw new Error(`not in time: ${what}`)
  })

/** Whether a fiber has ended. */
export const isDone = (fiber: Fiber.RuntimeFiber<unknown, unknown>): boolean => fiber.unsafePoll() !== null

/** Lets virtual time pass until an effect is done. */
export const passing = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  options?: { readonly step?: Duration.DurationInput; readonly steps?: number }
): Effect.Effect<A, E, R> =>
  Effect.gen(function*() {
    const fiber = yield* Effect.fork(self)
    yield* passUntil("done", () => isDone(fiber), options)
    return yield* Fiber.join(fiber)
  })

/** What a group has committed, as `partition: offset`. */
export const committed = (groupId = "group") =>
  Effect.flatMap(
    MemoryCluster,
    (cluster) =>
      Effect.map(cluster.committed(groupId), (offsets) =>
        Object.fromEntries(offsets.map(({ offset, partition }) => [partition, Number(offset)])))
  )

/** Collects what is logged, as `LEVEL message`. */
export const logged = () => {
  const lines: Array<string> = []
  const logger = Logger.make(({ logLevel, message }) => {
    lines.push(`${logLevel.label} ${Array.isArray(message) ? message.join(" ") : String(message)}`)
  })
  return { lines, layer: Logger.add(logger) }
}
