/** Records that are sent all the time while something goes wrong, and what is wrong with them in the end. */
import { assert } from "@effect/vitest"
import type { Kafka } from "@sluice/kafka"
import { Consumer, Producer } from "@sluice/kafka"
import { acknowledgedIsLogged } from "@sluice/testing/internal/simulation/checkers/acknowledgedIsLogged"
import { closeIsOrderly } from "@sluice/testing/internal/simulation/checkers/closeIsOrderly"
import { failedNoIsAbsent } from "@sluice/testing/internal/simulation/checkers/failedNoIsAbsent"
import { noDuplicates } from "@sluice/testing/internal/simulation/checkers/noDuplicates"
import { nothingInvented } from "@sluice/testing/internal/simulation/checkers/nothingInvented"
import { oneOutcome } from "@sluice/testing/internal/simulation/checkers/oneOutcome"
import { order } from "@sluice/testing/internal/simulation/checkers/order"
import { rightPartition } from "@sluice/testing/internal/simulation/checkers/rightPartition"
import type { History, HistoryEvent, LoggedRecord } from "@sluice/testing/internal/simulation/history"
import { Cause, Duration, Effect, Either, Exit, Fiber, Layer, Scope, Stream } from "effect"

import { client } from "../../support/client.ts"
import type { TextTopic, ThreeBrokers } from "./cluster.ts"

/** What a producer promises: the invariants that are checked. */
export type Mode = "idempotent" | "acks all" | "acks leader" | "acks none"

const settings = {
  "idempotent": {},
  "acks all": { idempotent: false },
  "acks leader": { acks: "leader" },
  "acks none": { acks: "none" }
} as const

/** The same checkers as in the simulation, by what is promised. */
const checksOf = (mode: Mode) => [
  acknowledgedIsLogged,
  failedNoIsAbsent,
  order,
  oneOutcome,
  rightPartition,
  nothingInvented,
  closeIsOrderly,
  ...(mode === "idempotent" ? [noDuplicates] : [])
]

/** How records are sent. */
export interface LoadOptions {
  readonly topic: TextTopic
  /** Which partitions get records, each from a fiber of its own; six by default. */
  readonly partitions?: number
  /** `"idempotent"` by default. */
  readonly mode?: Mode
  readonly producer?: Omit<Producer.ProducerOptions<number>, "acks" | "idempotent" | "onDelivery">
  readonly kafka?: Partial<Kafka.KafkaOptions>
  /** Records of each partition that go together, every ten milliseconds; ten by default. */
  readonly burst?: number
  /** Of each value; 200 by default. */
  readonly bytes?: number
}

/** What became of the records. */
export interface Result {
  /** What was promised and not kept, in words: nothing, if all is well. */
  readonly violations: ReadonlyArray<string>
  readonly history: History
  readonly acknowledged: number
  readonly failed: { readonly no: number; readonly maybe: number }
  /** Reasons of failures, each once. */
  readonly reasons: ReadonlyArray<string>
  /** Records that are in the log more than once. */
  readonly duplicated: number
  /** Records that were acknowledged and are not in the log. */
  readonly lost: number
}

/** Records that are being sent. */
export interface Load {
  readonly producer: Producer.Producer<number>
  /** Waits until so many more records of each partition (or of these) are acknowledged. */
  readonly progress: (
    what: string,
    options?: { readonly records?: number; readonly partitions?: ReadonlyArray<number> }
  ) => Effect.Effect<void>
  /** Waits until there is such an event. */
  readonly until: (what: string, isSo: (event: HistoryEvent) => boolean) => Effect.Effect<void>
  /** Puts something else into the history. */
  readonly note: (event: HistoryEvent) => Effect.Effect<unknown>
  /** What has happened so far. */
  readonly events: ReadonlyArray<HistoryEvent>
  /** Sends no more, waits for every outcome, closes the producer, reads the topic and judges. */
  readonly finish: Effect.Effect<Result>
}

const patience = Duration.seconds(90)

/** A defect, instead of waiting for ever. */
export const within = <A, E, R>(what: string, self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.timeoutFailCause(self, {
    duration: patience,
    onTimeout: () => Cause.die(new Error(`${what}: not within ${Duration.format(patience)}`))
  })

const poll = (what: string, isSo: () => boolean): Effect.Effect<void> =>
  within(
    what,
    Effect.gen(function*() {
      while (!isSo()) yield* Effect.sleep("10 millis")
    })
  )

const endMark = "end"

/** All that is in a topic, read by a client that knows of no faults: up to marks that are written behind it. */
export const readBack = (cluster: ThreeBrokers, topic: TextTopic, partitions: number) =>
  Effect.gen(function*() {
    yield* Effect.promise(() => cluster.operator.whole(topic.name))
    const producer = yield* Producer.make()
    const ends = yield* producer.sendAll(
      Array.from({ length: partitions }, (_, partition) => topic.record({ partition, value: endMark }))
    )
    const consumer = yield* Consumer.assign({ topics: [topic] })
    const left = new Set(ends.keys())
    const log: Array<{ readonly partition: number; readonly offset: number; readonly value: string }> = []
    yield* consumer.records.pipe(
      Stream.takeUntil(({ offset, partition, value }) => {
        if (offset === ends[partition]!.offset) left.delete(partition)
        else if (value !== endMark) log.push({ partition, offset: Number(offset), value })
        return left.size === 0
      }),
      Stream.runDrain
    )
    return log.sort((one, other) => one.partition - other.partition || one.offset - other.offset)
  }).pipe(
    Effect.scoped,
    Effect.provide(client(cluster.internal)),
    Effect.orDie,
    (self) => within(`${topic.name} is read back`, self)
  )

/** Starts a producer that sends until `finish`. It is closed with the scope, whatever happens. */
export const startLoad = (
  cluster: ThreeBrokers,
  { burst = 10, bytes = 200, kafka = {}, mode = "idempotent", partitions = 6, producer: options = {}, topic }:
    LoadOptions
): Effect.Effect<Load, never, Scope.Scope> =>
  Effect.gen(function*() {
    const events: Array<HistoryEvent> = []
    const acknowledged: Array<number> = new Array(partitions).fill(0)
    const outcomes: Array<Effect.Effect<Producer.RecordMetadata, { readonly persisted: "no" | "maybe" }>> = []
    const name = "producer"
    const time = () => performance.now()

    const outcomeOf = (delivery: Producer.Delivery<number>) =>
      delivery._tag === "Acknowledged"
        ? {
          _tag: "Acknowledged" as const,
          partition: delivery.metadata.partition,
          offset: delivery.metadata.offset === undefined ? undefined : Number(delivery.metadata.offset)
        }
        : {
          _tag: "Failed" as const,
          persisted: delivery.error.persisted,
          reason: delivery.error.reason._tag
        }
    const heard = (delivery: Producer.Delivery<number>): void => {
      const outcome = outcomeOf(delivery)
      if (outcome._tag === "Acknowledged") acknowledged[outcome.partition]!++
      events.push({ _tag: "Reported", time: time(), producer: name, record: delivery.correlation!, outcome })
    }

    const scope = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
    const context = yield* Layer.buildWithScope(
      client(cluster.addresses, { requestTimeout: "3 seconds", ...kafka }),
      scope
    )
    const producer = yield* Producer.make<number>({
      ...options,
      ...settings[mode],
      onDelivery: { handler: (delivery: Producer.Delivery<number>) => Effect.sync(() => heard(delivery)) }
    }).pipe(Effect.provide(context), Scope.extend(scope))

    let isStopping = false
    const send = (partition: number) =>
      Effect.suspend(() => {
        const record = outcomes.length
        const value = `${record} `.padEnd(bytes, "x")
        events.push({
          _tag: "Invoked",
          time: time(),
          producer: name,
          record,
          size: value.length,
          partition,
          lane: partition
        })
        // Its place: other fibers send meanwhile.
        outcomes.push(Effect.never)
        return Effect.map(
          Effect.either(producer.enqueue(topic.record({ partition, value }), { correlation: record })),
          (accepted) => {
            outcomes[record] = Either.isRight(accepted) ? accepted.right : Effect.fail(accepted.left)
          }
        )
      })
    const lane = (partition: number) =>
      Effect.gen(function*() {
        while (!isStopping) {
          for (let i = 0; i < burst && !isStopping; i++) yield* send(partition)
          yield* Effect.sleep("10 millis")
        }
      })
    const lanes = yield* Effect.forkScoped(
      Effect.forEach(Array(partitions).keys(), lane, { concurrency: "unbounded", discard: true })
    )

    const told = Effect.forEach(
      outcomes.keys(),
      (record) =>
        Effect.map(Effect.either(outcomes[record]!), (outcome) => {
          const common = { time: time(), producer: name, record }
          if (Either.isRight(outcome)) {
            const { offset, partition } = outcome.right
            const place = { partition, offset: offset === undefined ? undefined : Number(offset) }
            events.push({ _tag: "Acknowledged", ...common, ...place })
          } else {
            const { persisted } = outcome.left
            events.push({ _tag: "Failed", ...common, persisted, reason: "" })
          }
        }),
      { discard: true }
    )

    const finish = Effect.gen(function*() {
      isStopping = true
      yield* within("everything is accepted", Fiber.join(lanes))
      yield* within("every record has its outcome", Effect.suspend(() => told))
      events.push({ _tag: "ProducerClosing", time: time(), producer: name })
      yield* within("the producer is closed", Scope.close(scope, Exit.void))
      events.push({ _tag: "ProducerClosed", time: time(), producer: name })
      const log = (yield* readBack(cluster, topic, partitions)).map(({ offset, partition, value }): LoggedRecord => ({
        partition,
        offset,
        record: parseInt(value)
      }))
      return judge(mode, options, events, log)
    })

    const load: Load = {
      producer,
      progress: (what, { partitions: which = [...acknowledged.keys()], records = 20 } = {}) =>
        Effect.suspend(() => {
          const goals = which.map((partition) => [partition, acknowledged[partition]! + records] as const)
          return poll(
            `${what} (${acknowledged.join(", ")} are acknowledged)`,
            () => goals.every(([partition, goal]) => acknowledged[partition]! >= goal)
          )
        }),
      until: (what, isSo) => poll(what, () => events.some(isSo)),
      note: (event) => Effect.sync(() => events.push(event)),
      events,
      finish
    }
    return load
  }).pipe(Effect.orDie)

const judge = (
  mode: Mode,
  { bufferBytes = 32 * 1024 * 1024, deliveryTimeout = "2 minutes" }: NonNullable<LoadOptions["producer"]>,
  events: ReadonlyArray<HistoryEvent>,
  log: ReadonlyArray<LoggedRecord>
): Result => {
  const history: History = {
    events,
    producers: [{
      name: "producer",
      // The checkers take "all" for idempotent; without it, a copy may follow as with a leader that is asked again.
      acks: mode === "idempotent" ? "all" : mode === "acks none" ? "none" : "leader",
      bufferBytes,
      deliveryTimeout: Duration.toMillis(deliveryTimeout),
      hasReports: true
    }],
    members: [],
    sessionTimeout: 0,
    log,
    committed: new Map(),
    settledAt: undefined,
    settleWithin: 0,
    leftovers: []
  }
  const copies = new Map<number, number>()
  for (const { record } of log) copies.set(record, (copies.get(record) ?? 0) + 1)
  let acknowledged = 0
  let lost = 0
  const failed = { no: 0, maybe: 0 }
  const reasons = new Set<string>()
  for (const event of events) {
    if (event._tag === "Acknowledged") {
      acknowledged++
      if (!copies.has(event.record)) lost++
    } else if (event._tag === "Failed") failed[event.persisted]++
    else if (event._tag === "Reported" && event.outcome._tag === "Failed") reasons.add(event.outcome.reason)
  }
  return {
    violations: checksOf(mode).flatMap(({ check }) =>
      check(history).map(({ invariant, message }) => `${invariant}: ${message}`)
    ),
    history,
    acknowledged,
    failed,
    reasons: [...reasons].sort(),
    duplicated: Array.from(copies.values()).filter((count) => count > 1).length,
    lost
  }
}

/** Fails unless everything was acknowledged, and is in the log once and in order. */
export const assertFlawless = ({ acknowledged, duplicated, failed, lost, reasons, violations }: Result): void => {
  assert.deepStrictEqual(
    { violations, lost, duplicated, failed, reasons },
    { violations: [], lost: 0, duplicated: 0, failed: { no: 0, maybe: 0 }, reasons: [] }
  )
  assert.isAbove(acknowledged, 0)
}
