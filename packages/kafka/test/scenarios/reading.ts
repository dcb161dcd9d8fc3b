/** What scenarios of consumers have in common. They take place in virtual time. */
import * as Consumer from "@sluice/kafka/Consumer"
import type * as ConsumerRecord from "@sluice/kafka/ConsumerRecord"
import * as Producer from "@sluice/kafka/Producer"
import * as Serde from "@sluice/kafka/Serde"
import * as Topic from "@sluice/kafka/Topic"
import { MemoryCluster } from "@sluice/testing/MemoryCluster"
import { Chunk, Effect, Exit, Logger, LogLevel, Scope, Stream } from "effect"

export const named = <const Name extends string>(name: Name) =>
  Topic.make(name, { key: Serde.string, value: Serde.string })

/** What most scenarios read. */
export const Lines = named("lines")

export type Line = ConsumerRecord.ConsumerRecord<string, string, string>

export const range = (from: number, to: number): ReadonlyArray<number> =>
  Array.from({ length: to - from }, (_, i) => from + i)

/** Writes numbers as values to one partition, in their order, each in a batch of its own where they are told apart by time. */
export const write = (
  partition: number,
  values: ReadonlyArray<number>,
  options: { readonly topic?: string; readonly timestamp?: (value: number) => number } = {}
) =>
  Producer.make().pipe(
    Effect.flatMap((producer) =>
      producer.sendAll(values.map((value) =>
        named(options.topic ?? "lines").record({
          key: null,
          value: String(value),
          partition,
          timestamp: options.timestamp?.(value)
        })
      ))
    ),
    Effect.scoped
  )

/** A member with an end of its own, at the scenario's end at the latest. */
export const member = <const T extends Topic.AnySource = typeof Lines>(
  options: Partial<Consumer.ConsumerOptions<T>> = {}
) =>
  Effect.gen(function*() {
    const scope = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
    const consumer = yield* Consumer.make({
      groupId: "group",
      topics: [Lines] as any,
      ...options
    } as Consumer.ConsumerOptions<T>).pipe(Scope.extend(scope))
    return { consumer, close: Scope.close(scope, Exit.void) }
  })

/** Waits until something holds, for a minute at most. */
export const until = <R = never>(what: string, condition: Effect.Effect<boolean, never, R> | (() => boolean)) => {
  const holds = typeof condition === "function" ? Effect.sync(condition) : condition
  const wait = (steps: number): Effect.Effect<void, never, R> =>
    Effect.flatMap(holds, (done) =>
      done
        ? Effect.void
        : steps === 0
        ? Effect.die(new Error(`not in time: ${what}`))
        : Effect.zipRight(Effect.sleep("50 millis"), Effect.suspend(() => wait(steps - 1))))
  return wait(1200)
}

/** The next values of a stream, as numbers. */
export const next = <E, R>(records: Stream.Stream<Line, E, R>, count: number) =>
  records.pipe(
    Stream.take(count),
    Stream.runCollect,
    Effect.map((chunk) => Chunk.toReadonlyArray(chunk).map(({ value }) => Number(value)))
  )

/** What a group has committed, as `partition: offset`. */
export const committed = (groupId = "group") =>
  Effect.flatMap(
    MemoryCluster,
    (cluster) =>
      Effect.map(cluster.committed(groupId), (offsets) =>
        Object.fromEntries(offsets.map(({ offset, partition }) => [partition, Number(offset)])))
  )

/** Collects what is logged within, as `LEVEL message`. */
export const logged = () => {
  const lines: Array<string> = []
  const logger = Logger.make(({ logLevel, message }) => {
    lines.push(`${logLevel.label} ${Array.isArray(message) ? message.join(" ") : String(message)}`)
  })
  const within = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    self.pipe(Effect.provide(Logger.replace(Logger.defaultLogger, logger)), Logger.withMinimumLogLevel(LogLevel.Debug))
  return { lines, within, warnings: () => lines.filter((line) => line.startsWith("WARN")) }
}
