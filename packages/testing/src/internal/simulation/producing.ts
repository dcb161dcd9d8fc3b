import {
  crc32Partition,
  fnv1aPartition,
  type KeyPartition,
  murmur2LegacyPartition
} from "@sluice/kafka/internal/kernel/keyPartition"
import { partitionForKey } from "@sluice/kafka/internal/kernel/murmur2"
import type { Kafka } from "@sluice/kafka/Kafka"
import type { ProduceError } from "@sluice/kafka/KafkaError"
import * as Partitioner from "@sluice/kafka/Partitioner"
import * as Producer from "@sluice/kafka/Producer"
import * as Serde from "@sluice/kafka/Serde"
import * as Topic from "@sluice/kafka/Topic"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"

import { SeededRandom } from "../random.ts"
import type { Flaw } from "./history.ts"
import {
  concern,
  deletedTopic,
  missingTopic,
  type PartitionerName,
  type ProducerPlan,
  topicName,
  type WorkloadPlan
} from "./plan.ts"
import type { Recorder } from "./recorder.ts"

/** The topic of every record. A value begins with the record's id. */
export const Records = Topic.make(topicName, { key: Serde.string, value: Serde.string })

/** A record and its id. */
interface Sent {
  readonly id: number
  readonly record: Topic.AnyRecord
}

/** How a record is handed over. */
interface Way {
  /** The call that hands over several records in their order. */
  readonly lane?: number
  /** Default: unless it has a lane. */
  readonly hasCorrelation?: boolean
  readonly mayNotWait?: boolean
}

/** The id of the record with this value. */
export const recordId = (value: string): number => Number.parseInt(value, 10)

/** All that a record carries, in words. */
export const contentOf = (key: string | null, value: string, headers: ReadonlyArray<Header>): string =>
  `${key ?? "no key"} ${value} ${headers.map((header) => `${header.key}=${textOf(header.value)}`).join(" ")}`

type Header = NonNullable<Topic.AnyRecord["headers"]>[number]

const textOf = (value: Header["value"]): string =>
  value === null ? "nothing" : typeof value === "string" ? value : decoder.decode(value)

/** The headers of a record: one, or two by the same name. */
const headersOf = (id: number): ReadonlyArray<Header> =>
  Array.from({ length: 1 + id % 2 }, (_, index) => ({ key: "part", value: `${id}.${index}` }))

/** A value that begins with the id; others have other letters behind it. */
const valueOf = (id: number, length: number): string =>
  `${id}:`.padEnd(length, String.fromCharCode("a".charCodeAt(0) + id % 26))

/** How many records a producer hands over at a time, about. */
const recordsPerTurn = 11

/** What a delivery handler sends itself has ids from here on. */
const firstOfHandler = 5000
/** How much that is. */
const recordsOfHandler = 20

/** What is sent to another topic has ids from here on, and this is how much it is, how often. */
const firstAside = 8000
const recordsAside = 80
const pauseAside = 250

const flaws: ReadonlyArray<Flaw> = ["too large", "not serializable", "no such partition"]
/** Stands behind the id of a value that does not serialize. */
const unserializable = "!"

/** Where the partitioners send keys, if they look at them. */
const partitionOfKey: Readonly<Record<PartitionerName, KeyPartition | undefined>> = {
  murmur2: partitionForKey,
  fnv1a: fnv1aPartition,
  crc32: crc32Partition,
  kafkajsLegacy: murmur2LegacyPartition,
  sticky: undefined,
  roundRobin: undefined,
  random: undefined
}

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** Serializes into buffers that it knows again, so that they can be used for something else. */
class Buffers {
  readonly #lent = new Map<number, Uint8Array>()
  readonly topic = Topic.make(topicName, {
    key: Serde.string,
    value: Serde.make({
      serialize: (value: string) => {
        if (value.endsWith(unserializable)) throw new TypeError("a value that does not serialize")
        const bytes = encoder.encode(value)
        this.#lent.set(recordId(value), bytes)
        return bytes
      },
      deserialize: Serde.string.deserialize
    })
  })

  /** Nobody may need this record's bytes any more. */
  reuse(id: number): void {
    this.#lent.get(id)?.fill(0x23)
  }

  /** Forgets the record. */
  done(id: number): void {
    this.#lent.delete(id)
  }
}

/** One producer's records, each in one of the ways in which they can be sent. */
class Sending {
  readonly #producer: Producer.Producer<number>
  readonly #plan: ProducerPlan
  readonly #partitions: number
  readonly #recorder: Recorder
  readonly #chance: SeededRandom
  readonly #firstId: number
  readonly #awaiting: Array<Fiber.Fiber<unknown>> = []
  /** Whatever was not drawn in the beginning: so that it does not move what was. */
  readonly #habit: SeededRandom
  readonly #growth: WorkloadPlan["growth"]
  readonly #isAside: boolean
  readonly #buffers = new Buffers()
  /** Whether it knows of the topic: it has accepted a record for it. */
  #isKnown = false
  #sent = 0
  #sentByHandler = 0
  #calls = 0

  constructor(producer: Producer.Producer<number>, plan: WorkloadPlan, index: number, recorder: Recorder) {
    this.#producer = producer
    this.#plan = plan.producers[index]!
    this.#partitions = plan.partitions
    this.#recorder = recorder
    this.#chance = new SeededRandom(plan.seed, concern.producer + index)
    this.#habit = new SeededRandom(plan.seed, concern.sendingHabits + index)
    this.#growth = plan.growth
    this.#isAside = index === 0 && plan.deletion !== undefined
    this.#firstId = (index + 1) * 10_000
  }

  /** Sends all records of the plan, the last ones in a hurry: outcomes are still to come when it is done. */
  readonly all: Effect.Effect<void> = Effect.gen(this, function*() {
    const { records, sendingTime } = this.#plan
    const pause = Math.round(sendingTime * recordsPerTurn / records)
    const aside = this.#isAside ? [yield* Effect.forkDaemon(this.#aside)] : []
    while (this.#sent < records) {
      yield* this.#chance.pick(this.#ways)
      yield* Effect.sleep(Duration.millis(this.#chance.between(0, 2 * pause)))
    }
    yield* this.#enqueue
    yield* Fiber.joinAll(aside)
  })

  /** All who wait for an outcome have it. */
  readonly told: Effect.Effect<void> = Effect.suspend(() =>
    // One after the other: side by side takes a fiber for each.
    Effect.forEach(this.#awaiting, Fiber.join, { discard: true })
  )

  /** What is sent to a producer that is closed. */
  readonly afterwards: Effect.Effect<void> = Effect.suspend(() =>
    Effect.all(
      [this.#enqueue, this.#send(this.#next()), this.#sendAll, this.#sink, this.#pipe, this.#producer.flush],
      { discard: true }
    )
  )

  /** What the delivery handler sends; it may only wait until that is accepted. */
  readonly byHandler: Effect.Effect<void> = Effect.suspend(() => {
    if (this.#sentByHandler === recordsOfHandler) return Effect.void
    return this.#enqueueOne(this.#make(this.#firstId + firstOfHandler + this.#sentByHandler++))
  })

  /** What goes to other topics meanwhile: one that is deleted and made again, and one that is never made. */
  readonly #aside = Effect.gen(this, function*() {
    const make = (id: number, topic: string, flaw?: Flaw): Sent => {
      const value = `${id}:aside`
      const headers = headersOf(id)
      this.#recorder.add({
        _tag: "Invoked",
        producer: this.#plan.name,
        record: id,
        size: value.length,
        content: contentOf(null, value, headers),
        hasCorrelation: true,
        partition: undefined,
        isAside: true,
        ...(flaw !== undefined && { flaw })
      })
      const { record } = Topic.make(topic, { key: Serde.string, value: Serde.string })
      return { id, record: record({ key: null, value, headers }) }
    }
    for (let sent = 0; sent < recordsAside && this.#sent < this.#plan.records; sent++) {
      const id = this.#firstId + firstAside + sent
      if (sent === 1) {
        const missing = yield* Effect.forkDaemon(this.#send(make(id, missingTopic, "no such topic")))
        this.#awaiting.push(missing)
      } else {
        yield* this.#enqueueOne(make(id, deletedTopic))
      }
      yield* Effect.sleep(Duration.millis(pauseAside))
    }
  })

  #next(way: Way = {}): Sent {
    return this.#make(this.#firstId + this.#sent++, way)
  }

  #make(id: number, { lane, hasCorrelation = lane === undefined, mayNotWait = false }: Way = {}): Sent {
    const { habits, maxRecordBytes, name, tuning } = this.#plan
    const ofKey = partitionOfKey[tuning.partitioner]
    const isOfHandler = id >= this.#firstId + firstOfHandler
    const chance = isOfHandler ? this.#habit : this.#chance
    const habit = this.#habit
    let value = valueOf(id, chance.pick([12, 40, 100, 300, maxRecordBytes - 100]))
    const way = chance.between(0, 9)
    const key = way < 5 ? `key-${chance.between(0, 20)}` : null
    let partition = way >= 5 && way < 8 ? chance.between(0, this.#partitions - 1) : undefined
    const growth = this.#growth !== undefined && this.#recorder.now >= this.#growth.at ? this.#growth : undefined
    if (growth !== undefined && partition !== undefined && habit.next() < 0.2) {
      partition = habit.between(this.#partitions, growth.partitions - 1)
    }
    const flaw = habit.next() < habits.flawed ? habit.pick(flaws) : undefined
    if (flaw === "too large") value = value.padEnd(maxRecordBytes + 1, "x")
    if (flaw === "not serializable") value += unserializable
    if (flaw === "no such partition") partition = 100 + habit.between(0, 20)
    const headers = headersOf(id)
    const record = this.#buffers.topic.record({ key, value, partition, headers })
    const keyed = key === null || partition !== undefined || ofKey === undefined ? undefined : encoder.encode(key)
    this.#recorder.add({
      _tag: "Invoked",
      producer: name,
      record: id,
      size: value.length + (key?.length ?? 0),
      content: contentOf(key, value, headers),
      hasCorrelation,
      // Whether a topic or a new partition is there has to be asked for.
      ...(mayNotWait && {
        mayNotWait: this.#isKnown && (partition ?? 0) < this.#partitions ? "at once" as const : "once known" as const
      }),
      ...(lane !== undefined && { lane }),
      ...(flaw !== undefined && { flaw }),
      partition: partition ?? (keyed && ofKey!(keyed, this.#partitions)),
      ...(this.#growth !== undefined && keyed !== undefined && {
        partitionOnceGrown: ofKey!(keyed, this.#growth.partitions)!
      })
    })
    return { id, record }
  }

  #several(
    most: number,
    hasCorrelation = false
  ): { readonly lane: number; readonly records: ReadonlyArray<Sent> } {
    const lane = ++this.#calls
    const records = Array.from(
      { length: this.#chance.between(1, most) },
      () => this.#next({ lane, hasCorrelation })
    )
    return { lane, records }
  }

  #ended(id: number, exit: Exit.Exit<Producer.RecordMetadata, ProduceError>): void {
    const { name: producer } = this.#plan
    this.#buffers.done(id)
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

  #send({ id, record }: Sent): Effect.Effect<void> {
    return this.#producer.send(record, { correlation: id }).pipe(
      Effect.onExit((exit) => Effect.sync(() => this.#ended(id, exit))),
      Effect.ignore
    )
  }

  /** Done when the record is accepted. */
  #enqueueOne({ id, record }: Sent, how: "enqueue" | "tryEnqueue" = "enqueue"): Effect.Effect<void> {
    const { habits, name: producer } = this.#plan
    return Effect.matchEffect(this.#producer[how](record, { correlation: id }), {
      onFailure: (error) => Effect.sync(() => this.#ended(id, Exit.fail(error))),
      onSuccess: (told) => {
        if (record.topic.name === topicName) this.#isKnown = true
        this.#recorder.add({ _tag: "Accepted", producer, record: id })
        if (habits.reusesBuffers) this.#buffers.reuse(id)
        return Effect.map(
          Effect.forkDaemon(Effect.flatMap(Effect.exit(told), (exit) => Effect.sync(() => this.#ended(id, exit)))),
          (fiber) => void this.#awaiting.push(fiber)
        )
      }
    })
  }

  readonly #enqueue = Effect.suspend(() =>
    Effect.repeatN(Effect.suspend(() => this.#enqueueOne(this.#next())), this.#chance.between(0, 30))
  )

  readonly #tryEnqueue = Effect.suspend(() =>
    Effect.repeatN(
      Effect.suspend(() => this.#enqueueOne(this.#next({ mayNotWait: true }), "tryEnqueue")),
      this.#chance.between(0, 30)
    )
  )

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
    const { records } = this.#several(30)
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
    const { name: producer } = this.#plan
    const { lane, records } = this.#several(40)
    return Stream.fromIterable(records.map(({ record }) => record)).pipe(
      Stream.rechunk(7),
      Stream.run(this.#producer.sink),
      Effect.match({
        onSuccess: () => this.#recorder.add({ _tag: "SinkDone", producer, lane }),
        onFailure: () => {
          for (const { id } of records) this.#recorder.add({ _tag: "Abandoned", producer, record: id })
        }
      })
    )
  })

  readonly #pipe = Effect.suspend(() => {
    const { name: producer } = this.#plan
    const { lane, records } = this.#several(40, true)
    return Stream.fromIterable(records.map(({ id, record }) => ({ record, correlation: id }))).pipe(
      Stream.rechunk(7),
      this.#producer.pipe,
      Stream.runForEach((delivery) =>
        Effect.sync(() => {
          const record = recordId(delivery.record.value)
          this.#recorder.add({ _tag: "Piped", producer, lane, record, correlation: delivery.correlation })
          this.#ended(
            record,
            delivery._tag === "Acknowledged" ? Exit.succeed(delivery.metadata) : Exit.fail(delivery.error)
          )
        })
      )
    )
  })

  readonly #flush = Effect.suspend(() => {
    const { name: producer } = this.#plan
    const note = (_tag: "Flushing" | "Flushed") => Effect.sync(() => this.#recorder.add({ _tag, producer }))
    return Effect.all([this.#enqueue, note("Flushing"), this.#producer.flush, note("Flushed")], { discard: true })
  })

  readonly #ways: ReadonlyArray<Effect.Effect<void>> = [
    this.#enqueue,
    this.#enqueue,
    this.#flush,
    this.#oneByOne,
    this.#sideBySide,
    this.#sendAll,
    this.#sink,
    this.#interrupted,
    this.#tryEnqueue,
    this.#pipe
  ]
}

const report = (recorder: Recorder, producer: string) => (delivery: Producer.Report<number>): void => {
  const record = recordId(delivery.record.value)
  const { attempts, correlation } = delivery
  const about = {
    _tag: "Reported",
    producer,
    record,
    attempts,
    ...(correlation !== undefined && { correlation })
  } as const
  if (delivery._tag === "Acknowledged") {
    const { offset, partition } = delivery.metadata
    recorder.add({
      ...about,
      outcome: { _tag: "Acknowledged", partition, offset: offset === undefined ? undefined : Number(offset) }
    })
  } else {
    const { persisted, reason } = delivery.error
    recorder.add({ ...about, outcome: { _tag: "Failed", persisted, reason: reason._tag } })
  }
}

/** One producer of the plan: sends its records and closes, while who waits for outcomes still waits; then it is used again. */
export const runProducer = (plan: WorkloadPlan, index: number, recorder: Recorder): Effect.Effect<void, never, Kafka> =>
  Effect.gen(function*() {
    const self = plan.producers[index]!
    const { habits, name: producer, onDelivery, tuning } = self
    const chance = new SeededRandom(plan.seed, concern.producer + 50 + index)
    const habit = new SeededRandom(plan.seed, concern.reportHabits + index)
    const told = report(recorder, producer)
    let sending: Sending | undefined
    let mayHang = habits.handler === "hangs" && (onDelivery?.concurrency ?? 1) > 1
    const handler = (delivery: Producer.Report<number>): Effect.Effect<void, string> => {
      told(delivery)
      return tuning.reportOrder === "none" ? handling() : Effect.ensuring(
        handling(),
        Effect.sync(() => recorder.add({ _tag: "ReportHandled", producer, record: recordId(delivery.record.value) }))
      )
    }
    const handling = (): Effect.Effect<void, string> => {
      const fate = chance.between(0, 99)
      if (fate === 0) return Effect.sleep("30 millis")
      if (fate === 1) return Effect.fail("the handler has failed")
      if (mayHang && habit.next() < 0.02) {
        mayHang = false
        return Effect.never
      }
      return habits.handler === "sends" && habit.next() < 0.05 && sending !== undefined
        ? sending.byHandler
        : Effect.void
    }
    yield* Effect.sleep(Duration.millis(self.startAt))
    const closing = yield* Deferred.make<void>()
    const life = yield* Effect.forkDaemon(Effect.scoped(Effect.gen(function*() {
      yield* Effect.addFinalizer(() => Effect.sync(() => recorder.add({ _tag: "ProducerClosed", producer })))
      const made = yield* Effect.eventually(Producer.make<number>({
        acks: self.acks,
        ...(self.acks === "all" && { idempotent: habits.idempotent }),
        compression: self.compression,
        linger: self.linger,
        batchBytes: self.batchBytes,
        batchRecords: tuning.batchRecords,
        maxInFlight: tuning.maxInFlight,
        retries: tuning.retries,
        partitioner: Partitioner[tuning.partitioner],
        bufferBytes: self.bufferBytes,
        maxRecordBytes: self.maxRecordBytes,
        deliveryTimeout: self.deliveryTimeout,
        closeTimeout: self.closeTimeout,
        onDelivery: onDelivery === undefined
          ? undefined
          : { ...onDelivery, order: tuning.reportOrder, closeTimeout: habits.handlerCloseTimeout, handler }
      }))
      sending = new Sending(made, plan, index, recorder)
      yield* sending.all
      recorder.add({ _tag: "ProducerClosing", producer })
      yield* Deferred.succeed(closing, undefined)
    })))
    yield* Effect.raceFirst(Deferred.await(closing), Fiber.join(life)).pipe(
      Effect.onInterrupt(() => Fiber.interrupt(life))
    )
    for (const pause of habits.interruptions) {
      yield* Effect.sleep(Duration.millis(pause))
      yield* Fiber.interruptFork(life)
    }
    const exit = yield* Fiber.await(life)
    if (Exit.isFailure(exit) && !Cause.isInterruptedOnly(exit.cause)) return yield* Effect.failCause(exit.cause)
    yield* sending!.afterwards
    yield* sending!.told
  })
