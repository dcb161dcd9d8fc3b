import * as Consumer from "@sluice/kafka/Consumer"
import type * as ConsumerRecord from "@sluice/kafka/ConsumerRecord"
import type { Kafka } from "@sluice/kafka/Kafka"
import type { KafkaError } from "@sluice/kafka/KafkaError"
import type * as Topic from "@sluice/kafka/Topic"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"

import { SeededRandom } from "../random.ts"
import type { PartitionIndex } from "./history.ts"
import {
  concern,
  groupId,
  heartbeatInterval,
  type MemberPlan,
  rebalanceTimeout,
  sessionTimeout,
  type WorkloadPlan
} from "./plan.ts"
import { contentOf, recordId, Records } from "./producing.ts"
import type { Recorder } from "./recorder.ts"

type Line = ConsumerRecord.Of<typeof Records>

/** Lets a handler do its work, and records it. */
export const handled = (
  recorder: Recorder,
  member: string,
  record: { readonly partition: PartitionIndex; readonly offset: bigint; readonly value: string },
  work: Effect.Effect<void, "failed"> | undefined,
  content?: string
): Effect.Effect<void, "failed"> => {
  const place = { member, partition: record.partition, offset: Number(record.offset) }
  recorder.add({
    _tag: "Started",
    ...place,
    record: recordId(record.value),
    ...(content !== undefined && { content })
  })
  const done = Effect.sync(() => recorder.add({ _tag: "Processed", ...place, record: recordId(record.value) }))
  return Effect.onExit(work === undefined ? done : Effect.zipRight(work, done), (exit) =>
    Effect.sync(() => {
      if (Exit.isSuccess(exit)) return
      const how = exit.cause._tag === "Fail" ? "failed" : "interrupted"
      recorder.add({ _tag: "HandlerEnded", ...place, how })
    }))
}

/** One member of the group: handles records, and fails at it or never ends now and then. */
class Handling {
  readonly #member: string
  readonly #plan: MemberPlan
  readonly #healAt: number
  readonly #recorder: Recorder
  readonly #chance: SeededRandom
  readonly #slowAt: number
  #failures: number
  #handled = 0
  /** When handlers begin to hang. */
  #hangsFrom: number

  constructor(plan: WorkloadPlan, index: number, recorder: Recorder) {
    this.#plan = plan.members[index]!
    this.#member = this.#plan.name
    this.#healAt = plan.healAt
    this.#recorder = recorder
    this.#chance = new SeededRandom(plan.seed, concern.member + index)
    this.#slowAt = this.#chance.between(1, 30)
    this.#failures = this.#plan.failures
    this.#hangsFrom = this.#plan.habits.hangsFrom ?? Infinity
  }

  /** The next handler that starts at this time or later is one that only its client ends; once all is mended it ends. */
  hangFrom(time: number): void {
    this.#hangsFrom = Math.min(this.#hangsFrom, time)
  }

  /** A handler that is given a record now never ends by itself. */
  #hangs(): boolean {
    const now = this.#recorder.now
    if (now < this.#hangsFrom || now >= this.#healAt) return false
    this.#hangsFrom = Infinity
    return this.#plan.kind === "run" || this.#plan.kind === "layer"
  }

  readonly one = (record: Line): Effect.Effect<void, "failed"> =>
    Effect.suspend(() => {
      const { handling, slowHandling } = this.#plan
      const fate = this.#chance.between(0, 399)
      const duration = this.#hangs()
        ? this.#healAt - this.#recorder.now
        : fate === 0 || ++this.#handled === this.#slowAt
        ? slowHandling
        : fate < 100
        ? handling
        : 0
      const failing = fate >= 395 && this.#failures > 0
      if (failing) this.#failures--
      const work = failing
        ? Effect.zipRight(Effect.sleep(Duration.millis(duration)), Effect.fail("failed" as const))
        : duration === 0
        ? undefined
        : Effect.sleep(Duration.millis(duration))
      return handled(this.#recorder, this.#member, record, work, contentOf(record.key, record.value, record.headers))
    })

  readonly #chunk = (records: Chunk.Chunk<Line>): Effect.Effect<Chunk.Chunk<Line>, "failed"> =>
    Effect.as(Effect.forEach(records, this.one, { discard: true }), records)

  /** Reads until the consumer closes; begins again when a handler has failed. */
  readonly read = (consumer: Consumer.Consumer<typeof Records>): Effect.Effect<void> =>
    Effect.suspend((): Effect.Effect<void, "failed" | KafkaError> => {
      switch (this.#plan.kind) {
        case "run":
        case "layer":
          return consumer.run(this.one)
        case "sink":
          return consumer.records.pipe(Stream.mapChunksEffect(this.#chunk), Stream.run(consumer.commitSink))
        case "commit":
          return Stream.runForEachChunk(
            consumer.records,
            (chunk) =>
              Effect.flatMap(this.#chunk(chunk), (records) =>
                Effect.catchIf(
                  consumer.commit(Chunk.toReadonlyArray(records)),
                  (error) => error.reason._tag === "NotAssigned",
                  () => Effect.void
                ))
          )
      }
    }).pipe(
      Effect.tapError((error) =>
        Effect.sync(() => {
          if (error === "failed") this.#recorder.add({ _tag: "ReaderRestarted", member: this.#member })
        })
      ),
      Effect.retry({ while: (error) => error === "failed" }),
      Effect.catchAll((error) => error !== "failed" && error.reason._tag === "Closed" ? Effect.void : Effect.die(error))
    )
}

/** Nobody ends reading but by closing the consumer: whoever ends before has stopped for no reason. */
const endedByItself = (name: string, reader: Fiber.Fiber<void>): Effect.Effect<never> =>
  Effect.zipRight(Fiber.join(reader), Effect.dieMessage(`${name} stopped reading by itself`))

/** How a member leaves: how often the fiber that closes is interrupted, and whether what reads is, too. */
export type Leaving = Pick<MemberPlan["habits"], "interruptions" | "interruptsReader">

/** Interrupts a fiber again and again. */
const interruptOften = (fiber: Fiber.Fiber<void>, pauses: ReadonlyArray<number>): Effect.Effect<void> =>
  Effect.forEach(
    pauses,
    (pause) => Effect.zipRight(Effect.sleep(Duration.millis(pause)), Fiber.interruptFork(fiber)),
    { discard: true }
  )

/** Dies of what a fiber died of; that it was interrupted is no trouble. */
const awaitEnd = (fiber: Fiber.Fiber<void>): Effect.Effect<void> =>
  Effect.flatMap(
    Fiber.await(fiber),
    (exit) => Exit.isSuccess(exit) || Cause.isInterruptedOnly(exit.cause) ? Effect.void : Effect.failCause(exit.cause)
  )

/** One stay of a member in its group; `until` ends it. */
export const stay = <T extends Topic.Any>(
  member: string,
  options: Consumer.ConsumerOptions<T>,
  read: (consumer: Consumer.Consumer<T>) => Effect.Effect<void>,
  recorder: Recorder,
  until: Effect.Effect<void>,
  { interruptions, interruptsReader }: Leaving = { interruptions: [], interruptsReader: "no" }
): Effect.Effect<void, never, Kafka> =>
  Effect.gen(function*() {
    const closing = yield* Deferred.make<void>()
    let reader: Fiber.Fiber<void> | undefined
    const whole = yield* Effect.gen(function*() {
      yield* Effect.addFinalizer(() => Effect.sync(() => recorder.add({ _tag: "MemberClosed", member })))
      const consumer = yield* Effect.eventually(Consumer.make(options))
      recorder.add({ _tag: "MemberStarted", member })
      reader = yield* Effect.forkDaemon(read(consumer))
      yield* Effect.raceFirst(until, endedByItself(member, reader))
      recorder.add({ _tag: "MemberClosing", member })
      yield* Deferred.succeed(closing, undefined)
      if (interruptsReader !== "no") yield* Fiber.interruptFork(reader)
      if (interruptsReader === "before") yield* Fiber.await(reader)
    }).pipe(Effect.scoped, Effect.forkDaemon)
    yield* Effect.raceFirst(
      awaitEnd(whole),
      Effect.zipRight(Deferred.await(closing), interruptOften(whole, interruptions))
    )
    yield* awaitEnd(whole)
    if (reader !== undefined) yield* awaitEnd(reader)
  })

/** The same by a layer: one whose handler fails leaves the group, and comes again. */
const stayAsWorker = (
  options: Consumer.ConsumerOptions<typeof Records>,
  self: MemberPlan,
  handling: Handling,
  recorder: Recorder,
  until: Effect.Effect<void>
): Effect.Effect<void, never, Kafka> => {
  const member = self.name
  const once = Effect.gen(function*() {
    const stopped = yield* Deferred.make<"failed">()
    yield* Effect.addFinalizer(() => Effect.sync(() => recorder.add({ _tag: "MemberClosed", member })))
    yield* Effect.eventually(
      Layer.build(
        Consumer.layer(
          options,
          (record) => Effect.tapError(handling.one(record), (failed) => Deferred.succeed(stopped, failed))
        )
      )
    )
    recorder.add({ _tag: "MemberStarted", member })
    const why = yield* Effect.raceFirst(until, Deferred.await(stopped))
    recorder.add({ _tag: "MemberClosing", member })
    return why
  })
  return Effect.asVoid(Effect.repeat(Effect.scoped(once), { while: (why) => why === "failed" }))
}

/** Timers that overtake ready work, and fibers that are late, come to less. */
const lateness = 200

/**
 * How long closing a member may take: its handlers, a commit, and leaving the group. Where what reads is ended first it
 * commits by itself, and the consumer does so again. Nothing else waits: what runs in the background can be interrupted.
 */
export const closingTime = (
  { closeTimeout, drainTimeout }: { readonly closeTimeout: number; readonly drainTimeout: number },
  how: "commits once" | "commits twice"
): number => drainTimeout + (how === "commits twice" ? 3 : 2) * closeTimeout + lateness

/** Whether what a member reads by is ended before its consumer. */
export const readerEndsFirst = ({ habits: { interruptsReader }, kind }: MemberPlan): boolean =>
  kind === "layer" || kind === "run" && interruptsReader !== "no"

/** A member of the plan: comes and goes, and stays in the end until `end`. */
export const runMember = (
  plan: WorkloadPlan,
  index: number,
  recorder: Recorder,
  end: Effect.Effect<void>
): Effect.Effect<void, never, Kafka> =>
  Effect.gen(function*() {
    const self = plan.members[index]!
    const { habits: { hangs, ...leaving }, kind, stays } = self
    const handling = new Handling(plan, index, recorder)
    const options: Consumer.ConsumerOptions<typeof Records> = {
      groupId,
      topics: [Records],
      assignor: plan.assignor,
      isolation: plan.isolation,
      sessionTimeout,
      heartbeatInterval,
      rebalanceTimeout,
      commitInterval: self.commitInterval,
      drainTimeout: self.drainTimeout,
      closeTimeout: self.closeTimeout,
      fetch: {
        maxWait: "1 second",
        minBytes: self.minBytes,
        bufferBytes: self.bufferBytes,
        partitionBytes: self.bufferBytes
      }
    }
    for (const { from, to } of stays) {
      yield* Effect.sleep(Duration.millis(Math.max(0, from - recorder.now)))
      const until = to === undefined ? end : Effect.sleep(Duration.millis(Math.max(0, to - recorder.now)))
      if (to !== undefined && hangs !== undefined) handling.hangFrom(to - hangs)
      yield* kind === "layer"
        ? stayAsWorker(options, self, handling, recorder, until)
        : stay(self.name, options, handling.read, recorder, until, {
          ...leaving,
          // A stream that is interrupted ends in the middle of a record: that is what it is for.
          interruptsReader: kind === "run" ? leaving.interruptsReader : "no"
        })
    }
  })

/** Reads all partitions without a group, until `end`; `positions` tells how far it is. */
export const runReader = (
  name: string,
  recorder: Recorder,
  positions: Map<PartitionIndex, number>,
  end: Effect.Effect<void>
): Effect.Effect<void, never, Kafka> =>
  Effect.gen(function*() {
    const consumer = yield* Effect.eventually(Consumer.assign({
      topics: [Records],
      isolation: "read_uncommitted",
      fetch: { maxWait: "1 second", minBytes: 5000 }
    }))
    const reader = yield* Effect.forkDaemon(
      Effect.orDie(Stream.runForEachChunk(consumer.records, (chunk) =>
        Effect.sync(() => {
          for (const { headers, key, offset, partition, value } of chunk) {
            recorder.add({
              _tag: "Read",
              reader: name,
              partition,
              offset: Number(offset),
              record: recordId(value),
              content: contentOf(key, value, headers)
            })
            positions.set(partition, Number(offset) + 1)
          }
        })))
    )
    yield* Effect.raceFirst(end, endedByItself(name, reader))
    return reader
  }).pipe(Effect.scoped, Effect.flatMap(Fiber.join))
