import type { ConsumerRecord } from "@sluice/kafka"
import * as Consumer from "@sluice/kafka/Consumer"
import type { Kafka } from "@sluice/kafka/Kafka"
import * as Producer from "@sluice/kafka/Producer"
import type * as Topic from "@sluice/kafka/Topic"
import { MemoryCluster } from "@sluice/testing/MemoryCluster"
import { Clock, Deferred, Effect, Exit, FiberId, Scope } from "effect"

import { Lines } from "../producer/lines.ts"

export type Line = ConsumerRecord.Of<typeof Lines>

/** Writes records, in their order, one batch a partition. */
export const fill = (
  records: ReadonlyArray<Topic.ProducerRecord<string, any, any>>
): Effect.Effect<void, never, Kafka> =>
  Effect.scoped(Effect.orDie(
    Effect.flatMap(Producer.make({ linger: "5 millis" }), (producer) => producer.sendAll(records))
  ))

/** What the group has committed, as `partition: offset`; of one topic. */
export const committed = (topic = "lines", groupId = "group"): Effect.Effect<
  Record<number, number>,
  never,
  MemoryCluster
> =>
  Effect.flatMap(MemoryCluster, (cluster) =>
    Effect.map(cluster.committed(groupId), (offsets) =>
      Object.fromEntries(
        offsets.filter((each) => each.topic === topic).map(({ offset, partition }) => [partition, Number(offset)])
      )))

/** A member of the group `group`, and how it ends. */
export const join = <const T extends Topic.Any = typeof Lines>(
  options: Partial<Consumer.ConsumerOptions<T>> = {}
) =>
  Effect.gen(function*() {
    const scope = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
    const consumer = yield* Consumer.make({ groupId: "group", topics: [Lines] as any, ...options }).pipe(
      Scope.extend(scope)
    )
    return { consumer: consumer as Consumer.Consumer<T>, close: Scope.close(scope, Exit.void) }
  })

/** How long something takes, in milliseconds. */
export const timed = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<number, E, R> =>
  Effect.gen(function*() {
    const before = yield* Clock.currentTimeMillis
    yield* self
    return (yield* Clock.currentTimeMillis) - before
  })

/** Handlers that do as they are told, known by the values of their records. */
export class Hands {
  readonly started: Array<string> = []
  readonly finished: Array<string> = []
  readonly cut: Array<string> = []
  /** The most at a time. */
  most = 0
  readonly #waiting = new Map<string, Deferred.Deferred<void, string>>()
  readonly #holds: (record: Line) => boolean

  /** Those of which `holds` says so end when they are let go; the others at once. */
  constructor(holds: (record: Line) => boolean = () => true) {
    this.#holds = holds
  }

  readonly handler = (record: Line): Effect.Effect<void, string> =>
    Effect.suspend(() => {
      this.started.push(record.value)
      if (!this.#holds(record)) {
        this.finished.push(record.value)
        return Effect.void
      }
      const gate = Deferred.unsafeMake<void, string>(fiberId)
      this.#waiting.set(record.value, gate)
      this.most = Math.max(this.most, this.#waiting.size)
      return Deferred.await(gate).pipe(
        Effect.onExit((exit) =>
          Effect.sync(() => {
            this.#waiting.delete(record.value)
            if (Exit.isSuccess(exit)) this.finished.push(record.value)
            else this.cut.push(record.value)
          })
        )
      )
    })

  /** Those at work, in the order in which they began. */
  get busy(): ReadonlyArray<string> {
    return Array.from(this.#waiting.keys())
  }

  /** Ends these, and lets what follows from it happen. */
  readonly finish = (...values: ReadonlyArray<string>): Effect.Effect<void> =>
    Effect.zipRight(
      Effect.forEach(values, (value) => Deferred.succeed(this.#gate(value), undefined), { discard: true }),
      moment
    )

  readonly fail = (value: string, error: string): Effect.Effect<void> =>
    Effect.zipRight(Deferred.fail(this.#gate(value), error), moment)

  /** Ends all, also those that begin later, until no more begin. */
  readonly finishAll: Effect.Effect<void> = Effect.suspend(() =>
    this.busy.length === 0 ? Effect.void : Effect.zipRight(this.finish(...this.busy), this.finishAll)
  )

  #gate(value: string): Deferred.Deferred<void, string> {
    const gate = this.#waiting.get(value)
    if (gate === undefined) throw new Error(`${value} is not at work; ${this.busy.join(" ")} are`)
    return gate
  }
}

const fiberId = FiberId.none

/** Long enough for everything that is under way, and too short for anything that is timed. */
export const moment: Effect.Effect<void> = Effect.sleep("50 millis")

/** Long enough for a member to join and to be given its records. */
export const awhile: Effect.Effect<void> = Effect.sleep("5 seconds")
