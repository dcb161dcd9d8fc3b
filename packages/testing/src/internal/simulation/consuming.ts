import * as Consumer from "@sluice/kafka/Consumer"
import type * as ConsumerRecord from "@sluice/kafka/ConsumerRecord"
import type { Kafka } from "@sluice/kafka/Kafka"
import type { KafkaError } from "@sluice/kafka/KafkaError"
import * as Chunk from "effect/Chunk"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"

import { SeededRandom } from "../random.ts"
import type { PartitionIndex } from "./history.ts"
import { concern, groupId, type MemberPlan, rebalanceTimeout, sessionTimeout, type WorkloadPlan } from "./plan.ts"
import { recordId, Records } from "./producing.ts"
import type { Recorder } from "./recorder.ts"

type Line = ConsumerRecord.Of<typeof Records>

/** One member of the group: handles records, and fails at it now and then. */
class Handling {
  readonly #member: string
  readonly #plan: MemberPlan
  readonly #recorder: Recorder
  readonly #chance: SeededRandom
  readonly #slowAt: number
  #failures: number
  #handled = 0

  constructor(plan: WorkloadPlan, index: number, recorder: Recorder) {
    this.#plan = plan.members[index]!
    this.#member = this.#plan.name
    this.#recorder = recorder
    this.#chance = new SeededRandom(plan.seed, concern.member + index)
    this.#slowAt = this.#chance.between(1, 30)
    this.#failures = this.#plan.failures
  }

  readonly one = (record: Line): Effect.Effect<void, "failed"> =>
    Effect.suspend(() => {
      const { handling, slowHandling } = this.#plan
      const { partition } = record
      const member = this.#member
      const offset = Number(record.offset)
      const place = { member, partition, offset }
      this.#recorder.add({ _tag: "Started", ...place, record: recordId(record.value) })
      const fate = this.#chance.between(0, 399)
      const duration = fate === 0 || ++this.#handled === this.#slowAt ? slowHandling : fate < 100 ? handling : 0
      const failing = fate >= 395 && this.#failures > 0
      if (failing) this.#failures--
      const done = Effect.suspend(() => {
        if (failing) return Effect.fail("failed" as const)
        this.#recorder.add({ _tag: "Processed", ...place, record: recordId(record.value) })
        return Effect.void
      })
      return Effect.onExit(
        duration === 0 ? done : Effect.zipRight(Effect.sleep(Duration.millis(duration)), done),
        (exit) =>
          Effect.sync(() => {
            if (Exit.isSuccess(exit)) return
            const how = exit.cause._tag === "Fail" ? "failed" : "interrupted"
            this.#recorder.add({ _tag: "HandlerEnded", ...place, how })
          })
      )
    })

  readonly #chunk = (records: Chunk.Chunk<Line>): Effect.Effect<Chunk.Chunk<Line>, "failed"> =>
    Effect.as(Effect.forEach(records, this.one, { discard: true }), records)

  /** Reads until the consumer closes; begins again when a handler has failed. */
  readonly read = (consumer: Consumer.Consumer<typeof Records>): Effect.Effect<void> =>
    Effect.suspend((): Effect.Effect<void, "failed" | KafkaError> => {
      switch (this.#plan.kind) {
        case "run":
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

/** One stay of a member in the group; `until` ends it. */
const stay = (
  plan: WorkloadPlan,
  self: MemberPlan,
  handling: Handling,
  recorder: Recorder,
  until: Effect.Effect<void>
): Effect.Effect<void, never, Kafka> =>
  Effect.gen(function*() {
    const member = self.name
    yield* Effect.addFinalizer(() => Effect.sync(() => recorder.add({ _tag: "MemberClosed", member })))
    const consumer = yield* Effect.eventually(Consumer.make({
      groupId,
      topics: [Records],
      assignor: plan.assignor,
      isolation: plan.isolation,
      sessionTimeout,
      heartbeatInterval: "1 second",
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
    }))
    recorder.add({ _tag: "MemberStarted", member })
    const reader = yield* Effect.forkDaemon(handling.read(consumer))
    yield* Effect.raceFirst(until, endedByItself(member, reader))
    recorder.add({ _tag: "MemberClosing", member })
    return reader
  }).pipe(Effect.scoped, Effect.flatMap(Fiber.join))

/** A member of the plan: comes and goes, and stays in the end until `end`. */
export const runMember = (
  plan: WorkloadPlan,
  index: number,
  recorder: Recorder,
  end: Effect.Effect<void>
): Effect.Effect<void, never, Kafka> =>
  Effect.gen(function*() {
    const self = plan.members[index]!
    const handling = new Handling(plan, index, recorder)
    for (const { from, to } of self.stays) {
      yield* Effect.sleep(Duration.millis(Math.max(0, from - recorder.now)))
      const until = to === undefined ? end : Effect.sleep(Duration.millis(Math.max(0, to - recorder.now)))
      yield* stay(plan, self, handling, recorder, until)
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
          for (const { offset, partition, value } of chunk) {
            recorder.add({ _tag: "Read", reader: name, partition, offset: Number(offset), record: recordId(value) })
            positions.set(partition, Number(offset) + 1)
          }
        })))
    )
    yield* Effect.raceFirst(end, endedByItself(name, reader))
    return reader
  }).pipe(Effect.scoped, Effect.flatMap(Fiber.join))
