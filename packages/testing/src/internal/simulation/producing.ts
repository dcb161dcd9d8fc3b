import { partitionForKey } from "@sluice/kafka/internal/kernel/murmur2"
import type { Kafka } from "@sluice/kafka/Kafka"
import type { ProduceError } from "@sluice/kafka/KafkaError"
import * as Producer from "@sluice/kafka/Producer"
import * as Serde from "@sluice/kafka/Serde"
import * as Topic from "@sluice/kafka/Topic"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"

import { SeededRandom } from "../random.ts"
import { concern, type ProducerPlan, topicName, type WorkloadPlan } from "./plan.ts"
import type { Recorder } from "./recorder.ts"

/** The topic of every record. A value begins with the record's id. */
export const Records = Topic.make(topicName, { key: Serde.string, value: Serde.string })

type Line = Topic.ProducerRecord<typeof topicName, string, string>

/** The id of the record with this value. */
export const recordId = (value: string): number => Number.parseInt(value, 10)

/** How many records a producer hands over at a time, about. */
const recordsPerTurn = 11

/** One producer's records, each in one of the ways in which they can be sent. */
class Sending {
  readonly #producer: Producer.Producer<number>
  readonly #plan: ProducerPlan
  readonly #partitions: number
  readonly #recorder: Recorder
  readonly #chance: SeededRandom
  readonly #firstId: number
  readonly #awaiting: Array<Fiber.Fiber<unknown>> = []
  #sent = 0
  #calls = 0

  constructor(producer: Producer.Producer<number>, plan: WorkloadPlan, index: number, recorder: Recorder) {
    this.#producer = producer
    this.#plan = plan.producers[index]!
    this.#partitions = plan.partitions
    this.#recorder = recorder
    this.#chance = new SeededRandom(plan.seed, concern.producer + index)
    this.#firstId = (index + 1) * 10_000
  }

  /** Sends all records of the plan, the last ones in a hurry: outcomes are still to come when it is done. */
  readonly all: Effect.Effect<void> = Effect.gen(this, function*() {
    const { records, sendingTime } = this.#plan
    const pause = Math.round(sendingTime * recordsPerTurn / records)
    while (this.#sent < records) {
      yield* this.#chance.pick(this.#ways)
      yield* Effect.sleep(Duration.millis(this.#chance.between(0, 2 * pause)))
    }
    yield* this.#enqueue
  })

  /** All who wait for an outcome have it. */
  readonly told: Effect.Effect<void> = Effect.suspend(() => Fiber.joinAll(this.#awaiting))

  /** `lane`: the call that hands over several records in their order. */
  #next(lane?: number): { readonly id: number; readonly record: Line } {
    const { maxRecordBytes, name } = this.#plan
    const id = this.#firstId + this.#sent++
    const chance = this.#chance
    const value = `${id}:`.padEnd(chance.pick([12, 40, 100, 300, maxRecordBytes - 60]), "x")
    const way = chance.between(0, 9)
    const key = way < 5 ? `key-${chance.between(0, 20)}` : null
    const partition = way >= 5 && way < 8 ? chance.between(0, this.#partitions - 1) : undefined
    const record = Records.record({ key, value, partition })
    this.#recorder.add({
      _tag: "Invoked",
      producer: name,
      record: id,
      size: value.length + (key?.length ?? 0),
      ...(lane !== undefined && { lane }),
      partition: partition ??
        (key === null ? undefined : partitionForKey(new TextEncoder().encode(key), this.#partitions))
    })
    return { id, record }
  }

  #several(most: number): ReadonlyArray<{ readonly id: number; readonly record: Line }> {
    const lane = ++this.#calls
    return Array.from({ length: this.#chance.between(1, most) }, () => this.#next(lane))
  }

  #ended(id: number, exit: Exit.Exit<Producer.RecordMetadata, ProduceError>): void {
    const { name: producer } = this.#plan
    if (Exit.isSuccess(exit)) {
      const { offset, partition } = exit.value
      this.#recorder.add({
        _tag: "Acknowledged",
        producer,
        record: id,
        partition,
        offset: offset === undefined ? undefined : Number(offset)
      })
    } else if (exit.cause._tag === "Fail") {
      const { persisted, reason } = exit.cause.error
      this.#recorder.add({ _tag: "Failed", producer, record: id, persisted, reason: reason._tag })
    } else if (Cause.isInterruptedOnly(exit.cause)) {
      this.#recorder.add({ _tag: "Abandoned", producer, record: id })
    } else {
      // A defect ends the run.
      throw Cause.squash(exit.cause)
    }
  }

  #send({ id, record }: { readonly id: number; readonly record: Line }): Effect.Effect<void> {
    return this.#producer.send(record, { correlation: id }).pipe(
      Effect.onExit((exit) => Effect.sync(() => this.#ended(id, exit))),
      Effect.ignore
    )
  }

  readonly #enqueue = Effect.suspend(() => {
    const { name: producer } = this.#plan
    const one = Effect.suspend(() => {
      const { id, record } = this.#next()
      return Effect.matchEffect(this.#producer.enqueue(record, { correlation: id }), {
        onFailure: (error) => Effect.sync(() => this.#ended(id, Exit.fail(error))),
        onSuccess: (told) => {
          this.#recorder.add({ _tag: "Accepted", producer, record: id })
          return Effect.map(
            Effect.forkDaemon(Effect.flatMap(Effect.exit(told), (exit) => Effect.sync(() => this.#ended(id, exit)))),
            (fiber) => void this.#awaiting.push(fiber)
          )
        }
      })
    })
    return Effect.repeatN(one, this.#chance.between(0, 30))
  })

  readonly #oneByOne = Effect.suspend(() =>
    Effect.repeatN(Effect.suspend(() => this.#send(this.#next())), this.#chance.between(0, 3))
  )

  readonly #sideBySide = Effect.suspend(() =>
    Effect.all(
      Array.from({ length: this.#chance.between(1, 8) }, () => Effect.suspend(() => this.#send(this.#next()))),
      { concurrency: "unbounded", discard: true }
    )
  )

  readonly #interrupted = Effect.suspend(() =>
    Effect.flatMap(
      Effect.fork(this.#send(this.#next())),
      (fiber) =>
        Effect.sleep(Duration.millis(this.#chance.between(0, 20))).pipe(
          Effect.zipRight(Fiber.interrupt(fiber)),
          Effect.flatMap((exit) =>
            Exit.isFailure(exit) && !Cause.isInterruptedOnly(exit.cause) ? Effect.failCause(exit.cause) : Effect.void
          )
        )
    )
  )

  readonly #sendAll = Effect.suspend(() => {
    const records = this.#several(30)
    return Effect.match(this.#producer.sendAll(records.map(({ record }) => record)), {
      onSuccess: (places) => records.forEach(({ id }, index) => this.#ended(id, Exit.succeed(places[index]!))),
      onFailure: ({ results }) =>
        records.forEach(({ id }, index) => {
          const result = results[index]!
          this.#ended(
            id,
            result._tag === "Acknowledged" ? Exit.succeed(result.metadata) : Exit.fail(result.error)
          )
        })
    })
  })

  /** Whoever runs a sink is told of all records together, and not where they are: that is known from reports only. */
  readonly #sink = Effect.suspend(() => {
    const records = this.#several(40)
    return Stream.fromIterable(records.map(({ record }) => record)).pipe(
      Stream.rechunk(7),
      Stream.run(this.#producer.sink),
      Effect.catchAll(() =>
        Effect.sync(() => {
          for (const { id } of records) {
            this.#recorder.add({ _tag: "Abandoned", producer: this.#plan.name, record: id })
          }
        })
      )
    )
  })

  readonly #flush = Effect.suspend(() => Effect.zipRight(this.#enqueue, this.#producer.flush))

  readonly #ways: ReadonlyArray<Effect.Effect<void>> = [
    this.#enqueue,
    this.#enqueue,
    this.#flush,
    this.#oneByOne,
    this.#sideBySide,
    this.#sendAll,
    this.#sink,
    this.#interrupted
  ]
}

const report = (recorder: Recorder, producer: string) => (delivery: Producer.Delivery<number>): void => {
  const record = recordId(delivery.record.value)
  if (delivery.correlation !== undefined && delivery.correlation !== record) {
    throw new Error(`the report of ${record} has the correlation ${delivery.correlation}`)
  }
  if (delivery._tag === "Acknowledged") {
    const { offset, partition } = delivery.metadata
    recorder.add({
      _tag: "Reported",
      producer,
      record,
      outcome: { _tag: "Acknowledged", partition, offset: offset === undefined ? undefined : Number(offset) }
    })
  } else {
    const { persisted, reason } = delivery.error
    recorder.add({ _tag: "Reported", producer, record, outcome: { _tag: "Failed", persisted, reason: reason._tag } })
  }
}

/** One producer of the plan: sends its records and closes, while who waits for outcomes still waits. */
export const runProducer = (plan: WorkloadPlan, index: number, recorder: Recorder): Effect.Effect<void, never, Kafka> =>
  Effect.gen(function*() {
    const self = plan.producers[index]!
    const { name: producer, onDelivery } = self
    const chance = new SeededRandom(plan.seed, concern.producer + 50 + index)
    const told = report(recorder, producer)
    yield* Effect.sleep(Duration.millis(self.startAt))
    const sending = yield* Effect.scoped(Effect.gen(function*() {
      yield* Effect.addFinalizer(() => Effect.sync(() => recorder.add({ _tag: "ProducerClosed", producer })))
      const sending = yield* Effect.eventually(Producer.make<number>({
        acks: self.acks,
        compression: self.compression,
        linger: self.linger,
        batchBytes: self.batchBytes,
        bufferBytes: self.bufferBytes,
        maxRecordBytes: self.maxRecordBytes,
        deliveryTimeout: self.deliveryTimeout,
        closeTimeout: self.closeTimeout,
        onDelivery: onDelivery === undefined ? undefined : {
          ...onDelivery,
          handler: (delivery) => {
            told(delivery)
            const fate = chance.between(0, 99)
            return fate === 0
              ? Effect.sleep("30 millis")
              : fate === 1
              ? Effect.fail("the handler has failed")
              : Effect.void
          }
        }
      })).pipe(Effect.map((made) => new Sending(made, plan, index, recorder)))
      yield* sending.all
      recorder.add({ _tag: "ProducerClosing", producer })
      return sending
    }))
    yield* sending.told
  })
