import * as Consumer from "@sluice/kafka/Consumer"
import type * as ConsumerRecord from "@sluice/kafka/ConsumerRecord"
import type { Kafka } from "@sluice/kafka/Kafka"
import type { KafkaError } from "@sluice/kafka/KafkaError"
import * as Serde from "@sluice/kafka/Serde"
import * as Topic from "@sluice/kafka/Topic"
import type { Transport } from "@sluice/kafka/Transport"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"

import { SeededRandom } from "../random.ts"
import type { PartitionIndex } from "./history.ts"
import { makeHost } from "./host.ts"
import {
  concern,
  groupId,
  heartbeatInterval,
  type MemberPlan,
  ownsHandlers,
  rebalanceTimeout,
  sessionTimeout,
  type Stay,
  topicName,
  type WorkloadPlan
} from "./plan.ts"
import { contentOf, recordId, Records } from "./producing.ts"
import type { Recorder } from "./recorder.ts"

/** The topic, or a pattern that finds it. */
const Matching = Topic.pattern(new RegExp(`^${topicName}$`), { key: Serde.string, value: Serde.string })
type Source = typeof Records | typeof Matching
type Line = ConsumerRecord.Of<Source>

type Received = { readonly partition: PartitionIndex; readonly offset: bigint; readonly value: string }

/** What is recorded of a record in the hands of a handler. */
class InHand {
  readonly #recorder: Recorder
  readonly #place: {
    readonly member: string
    readonly partition: PartitionIndex
    readonly offset: number
    readonly stream?: number
  }
  readonly #record: number

  constructor(recorder: Recorder, member: string, record: Received, content?: string, stream?: number) {
    this.#recorder = recorder
    this.#place = {
      member,
      partition: record.partition,
      offset: Number(record.offset),
      ...(stream !== undefined && { stream })
    }
    this.#record = recordId(record.value)
    recorder.add({
      _tag: "Started",
      ...this.#place,
      record: this.#record,
      ...(content !== undefined && { content })
    })
  }

  readonly done = Effect.sync(() => this.#recorder.add({ _tag: "Processed", ...this.#place, record: this.#record }))

  ended(how: "failed" | "interrupted"): void {
    this.#recorder.add({ _tag: "HandlerEnded", ...this.#place, how })
  }
}

/** Whether a handler that did not succeed has failed. */
const howOf = ({ _tag }: Cause.Cause<unknown>) => _tag === "Fail" ? "failed" : "interrupted"

/** Lets a handler do its work, and records it. */
export const handled = (
  recorder: Recorder,
  member: string,
  record: Received,
  work: Effect.Effect<void, "failed"> | undefined,
  content?: string,
  stream?: number
): Effect.Effect<void, "failed"> => {
  const inHand = new InHand(recorder, member, record, content, stream)
  return Effect.onExit(
    work === undefined ? inHand.done : Effect.zipRight(work, inHand.done),
    (exit) => Effect.sync(() => Exit.isFailure(exit) && inHand.ended(howOf(exit.cause)))
  )
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
  /** How many streams of partitions, or batches, there were. */
  #streams = 0
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
    return ownsHandlers(this.#plan.kind)
  }

  /** Whether what fails counts as done. */
  get #skips(): boolean {
    return ownsHandlers(this.#plan.kind) && this.#plan.run.onFailure === "skip"
  }

  /** How long the next handler takes, and whether it fails then. */
  #draw(): { readonly duration: number; readonly isFailing: boolean } {
    const { handling, slowHandling } = this.#plan
    const fate = this.#chance.between(0, 399)
    const duration = this.#hangs()
      ? this.#healAt - this.#recorder.now
      : fate === 0 || ++this.#handled === this.#slowAt
      ? slowHandling
      : fate < 100
      ? handling
      : 0
    const isFailing = fate >= 395 && this.#failures > 0
    if (isFailing) this.#failures--
    return { duration, isFailing }
  }

  #one(record: Line, stream?: number): Effect.Effect<void, "failed"> {
    return Effect.suspend(() => {
      const { duration, isFailing } = this.#draw()
      const pause = duration === 0 ? undefined : Effect.sleep(Duration.millis(duration))
      const fails = isFailing && !this.#skips
      const work = fails ? Effect.zipRight(pause ?? Effect.void, Effect.fail("failed" as const)) : pause
      const content = contentOf(record.key, record.value, record.headers)
      const whole = handled(this.#recorder, this.#member, record, work, content, stream)
      return isFailing && !fails ? Effect.zipRight(whole, Effect.fail("failed" as const)) : whole
    })
  }

  readonly one = (record: Line): Effect.Effect<void, "failed"> => this.#one(record)

  /** Handles a batch, or its beginning; gives back what is done. */
  readonly #batch = ({ records }: { readonly records: ReadonlyArray<Line> }): Effect.Effect<
    ReadonlyArray<Line>,
    "failed"
  > =>
    Effect.suspend(() => {
      const isPart = this.#plan.run.partly && records.length > 1 && this.#chance.between(0, 3) === 0
      const part = isPart ? records.slice(0, this.#chance.between(1, records.length - 1)) : records
      const batch = ++this.#streams
      const inHand = part.map((record) =>
        new InHand(
          this.#recorder,
          this.#member,
          record,
          contentOf(record.key, record.value, record.headers),
          batch
        )
      )
      const { duration, isFailing } = this.#draw()
      const done = Effect.forEach(inHand, (each) => each.done, { discard: true })
      const fails = isFailing && !this.#skips
      const work = Effect.zipRight(
        Effect.sleep(Duration.millis(duration)),
        fails ? Effect.fail("failed" as const) : done
      )
      const whole = Effect.onExit(
        duration === 0 && !fails ? done : work,
        (exit) =>
          Effect.sync(() => {
            if (Exit.isFailure(exit)) { for (const each of inHand) each.ended(howOf(exit.cause)) }
          })
      )
      // All of it is skipped then, so all must be done.
      return isFailing && !fails && !isPart
        ? Effect.zipRight(whole, Effect.fail("failed" as const))
        : Effect.as(whole, part)
    })

  readonly #chunk = (stream?: number) => (records: Chunk.Chunk<Line>): Effect.Effect<Chunk.Chunk<Line>, "failed"> =>
    Effect.as(Effect.forEach(records, (record) => this.#one(record, stream), { discard: true }), records)

  /** How this member runs handlers. */
  get runOptions(): Consumer.RunOptions {
    const { concurrency, maxAhead, onFailure, order } = this.#plan.run
    return { order, concurrency, maxAhead, onFailure }
  }

  /** Reads until the consumer closes; begins again when a handler has failed. */
  readonly read = (consumer: Consumer.Consumer<Source>): Effect.Effect<ReadingEnd> =>
    Effect.suspend((): Effect.Effect<void, "failed" | KafkaError> => {
      switch (this.#plan.kind) {
        case "run":
        case "layer":
          return consumer.run(this.one, this.runOptions)
        case "process":
          return Stream.runDrain(consumer.process(this.one, this.runOptions))
        case "batch": {
          const { concurrency, maxRecords, onFailure } = this.#plan.run
          return consumer.runBatch(this.#batch, { concurrency, maxRecords, onFailure })
        }
        case "sink":
          return consumer.records.pipe(Stream.mapChunksEffect(this.#chunk()), Stream.run(consumer.commitSink))
        case "partitions":
          return consumer.partitions.pipe(
            Stream.flatMap(
              ({ records }) => Stream.mapChunksEffect(records, this.#chunk(++this.#streams)),
              { concurrency: "unbounded" }
            ),
            Stream.run(consumer.commitSink)
          )
        case "commit":
          return Stream.runForEachChunk(
            consumer.records,
            (chunk) =>
              Effect.flatMap(this.#chunk()(chunk), (records) =>
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
          if (error === "failed" && !this.#skips) {
            this.#recorder.add({ _tag: "ReaderRestarted", member: this.#member })
          }
        })
      ),
      Effect.retry({ while: (error) => error === "failed" && !this.#skips }),
      Effect.as("closed" as const),
      Effect.catchAll((error) =>
        error === "failed"
          ? Effect.die(error)
          : error.reason._tag === "Closed"
          ? Effect.succeed("closed" as const)
          : error.reason._tag === "FencedInstanceId"
          ? Effect.sync(() => {
            this.#recorder.add({ _tag: "MemberFenced", member: this.#member })
            return "fenced" as const
          })
          : Effect.die(error)
      )
    )
}

/** Why a member reads no more: its consumer was closed, or its name was taken. */
type ReadingEnd = "closed" | "fenced"

/** Nobody else ends reading but by closing the consumer: whoever ends before has stopped for no reason. */
const endedByItself = (name: string, reader: Fiber.Fiber<ReadingEnd>): Effect.Effect<"fenced"> =>
  Effect.flatMap(
    Fiber.join(reader),
    (end) => end === "fenced" ? Effect.succeed(end) : Effect.dieMessage(`${name} stopped reading by itself`)
  )

/** How a member leaves: how often the fiber that closes is interrupted, and whether what reads is, too. */
export type Leaving = Pick<MemberPlan["habits"], "interruptions" | "interruptsReader">

/** Interrupts a fiber again and again. */
const interruptOften = (fiber: Fiber.Fiber<unknown>, pauses: ReadonlyArray<number>): Effect.Effect<void> =>
  Effect.forEach(
    pauses,
    (pause) => Effect.zipRight(Effect.sleep(Duration.millis(pause)), Fiber.interruptFork(fiber)),
    { discard: true }
  )

/** Dies of what a fiber died of; that it was interrupted is no trouble. */
const awaitEnd = (fiber: Fiber.Fiber<unknown>): Effect.Effect<void> =>
  Effect.flatMap(
    Fiber.await(fiber),
    (exit) => Exit.isSuccess(exit) || Cause.isInterruptedOnly(exit.cause) ? Effect.void : Effect.failCause(exit.cause)
  )

/** One stay of a member in its group; `until` ends it, once all is done that is done beside. */
export const stay = <T extends Topic.AnySource>(
  member: string,
  options: Consumer.ConsumerOptions<T>,
  read: (consumer: Consumer.Consumer<T>) => Effect.Effect<ReadingEnd>,
  recorder: Recorder,
  until: Effect.Effect<void>,
  { interruptions, interruptsReader }: Leaving = { interruptions: [], interruptsReader: "no" },
  beside: (consumer: Consumer.Consumer<T>) => Effect.Effect<void> = () => Effect.void
): Effect.Effect<ReadingEnd, never, Kafka> =>
  Effect.gen(function*() {
    const closing = yield* Deferred.make<void>()
    let reader: Fiber.Fiber<ReadingEnd> | undefined
    let why: ReadingEnd = "closed"
    const whole = yield* Effect.gen(function*() {
      yield* Effect.addFinalizer(() => Effect.sync(() => recorder.add({ _tag: "MemberClosed", member })))
      const consumer = yield* Effect.eventually(Consumer.make(options))
      recorder.add({ _tag: "MemberStarted", member })
      reader = yield* Effect.forkDaemon(read(consumer))
      const other = yield* Effect.fork(beside(consumer))
      const whole = Effect.as(Effect.zipRight(Fiber.join(other), until), "closed" as const)
      why = yield* Effect.raceFirst(whole, endedByItself(member, reader))
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
    return why
  })

/** The same by a layer: one whose handler fails leaves the group, and comes again. */
const stayAsWorker = (
  options: Consumer.ConsumerOptions<Source>,
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
          (record) =>
            self.run.onFailure === "skip"
              ? handling.one(record)
              : Effect.tapError(handling.one(record), (failed) => Deferred.succeed(stopped, failed)),
          handling.runOptions
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
  kind === "layer" || ownsHandlers(kind) && interruptsReader !== "no"

/** Members that go over to another assignor together: nobody is two steps ahead of another. */
export class Steps {
  readonly #begun: ReadonlyArray<{ readonly all: Deferred.Deferred<void>; readonly members: Set<string> }>
  readonly #members: number

  constructor({ members }: WorkloadPlan) {
    this.#members = members.length
    const count = Math.max(...members.flatMap(({ stays }) => stays.map(({ step }) => step))) + 1
    this.#begun = Array.from({ length: count }, () => ({
      all: Deferred.unsafeMake<void>(FiberId.none),
      members: new Set()
    }))
  }

  /** Waits until nobody is left in the group who is two steps behind, and begins a step. */
  begin(member: string, step: number): Effect.Effect<void> {
    return Effect.gen(this, function*() {
      if (step >= 2) {
        yield* Deferred.await(this.#begun[step - 1]!.all)
        // A member that could not take its leave is forgotten by then.
        yield* Effect.sleep(Duration.millis(sessionTimeout + rebalanceTimeout + 1000))
      }
      const { all, members } = this.#begun[step]!
      members.add(member)
      if (members.size === this.#members) yield* Deferred.succeed(all, undefined)
    })
  }
}

/** What members need of the simulation. */
export interface MemberContext {
  readonly plan: WorkloadPlan
  readonly recorder: Recorder
  readonly steps: Steps
  readonly transport: Transport["Type"]
  /** Gives a client of this name over that transport. */
  readonly as: (
    clientId: string,
    transport: Transport["Type"]
  ) => <A, E>(effect: Effect.Effect<A, E, Kafka>) => Effect.Effect<A, E>
  /** When those that stay leave. */
  readonly end: Effect.Effect<void>
}

/** Stays, the last of which may end with the death of their process. */
const incarnations = (stays: ReadonlyArray<Stay>): ReadonlyArray<ReadonlyArray<Stay>> => {
  const lives: Array<Array<Stay>> = [[]]
  stays.forEach((stay, index) => {
    lives.at(-1)!.push(stay)
    if (stay.isKilled === true && index < stays.length - 1) lives.push([])
  })
  return lives
}

const optionsOf = (plan: WorkloadPlan, self: MemberPlan, { assignor }: Stay): Consumer.ConsumerOptions<Source> => ({
  groupId,
  topics: [plan.byPattern ? Matching : Records],
  assignor,
  isolation: plan.isolation,
  groupInstanceId: self.isStatic ? self.name : undefined,
  sessionTimeout,
  heartbeatInterval,
  rebalanceTimeout,
  commitInterval: self.commitInterval,
  commitCount: self.commitCount,
  drainTimeout: self.drainTimeout,
  closeTimeout: self.closeTimeout,
  fetch: {
    maxWait: "1 second",
    minBytes: self.minBytes,
    bufferBytes: self.bufferBytes,
    partitionBytes: self.bufferBytes
  }
})

/** A member of the plan: comes and goes, stands still, is killed, and stays in the end until `end`. */
export const runMember = (index: number, context: MemberContext): Effect.Effect<void> =>
  Effect.gen(function*() {
    const { as, end, plan, recorder, steps, transport } = context
    const self = plan.members[index]!
    const { habits: { hangs, ...leaving }, kind, name } = self
    const handling = new Handling(plan, index, recorder)
    const sleepUntil = (time: number) =>
      Effect.suspend(() => Effect.sleep(Duration.millis(Math.max(0, time - recorder.now))))
    const one = (time: Stay) =>
      Effect.gen(function*() {
        const { from, isKilled, step, to } = time
        yield* sleepUntil(from)
        yield* steps.begin(name, step)
        if (to !== undefined && hangs !== undefined) handling.hangFrom(to - hangs)
        const options = optionsOf(plan, self, time)
        const until = isKilled === true ? Effect.never : to === undefined ? end : sleepUntil(to)
        yield* kind === "layer"
          ? stayAsWorker(options, self, handling, recorder, until)
          : Effect.repeat(
            stay(name, options, handling.read, recorder, until, {
              ...leaving,
              // A stream that is interrupted ends in the middle of a record: that is what it is for.
              interruptsReader: ownsHandlers(kind) ? leaving.interruptsReader : "no"
            }),
            { while: (why) => why === "fenced" }
          )
      })
    for (const life of incarnations(self.stays)) {
      const host = yield* makeHost(transport)
      const living = yield* host.fork(as(name, host.transport)(Effect.forEach(life, one, { discard: true })))
      const stalling = yield* Effect.fork(Effect.forEach(
        self.stalls,
        ({ at, until }) =>
          recorder.now >= at ? Effect.void : Effect.gen(function*() {
            yield* sleepUntil(at)
            recorder.add({ _tag: "Stalled", member: name })
            yield* host.hold
            yield* sleepUntil(until)
            recorder.add({ _tag: "Resumed", member: name })
            yield* host.release
          }),
        { discard: true }
      ))
      const { isKilled, to } = life.at(-1)!
      if (isKilled === true) {
        yield* Effect.raceFirst(sleepUntil(to!), Effect.zipRight(Fiber.join(living), Effect.never))
        yield* Fiber.interrupt(stalling)
        yield* host.kill
        recorder.add({ _tag: "MemberKilled", member: name })
      } else {
        yield* Fiber.join(living)
        yield* Fiber.interrupt(stalling)
      }
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
      Effect.as("closed" as const)(Effect.orDie(Stream.runForEachChunk(consumer.records, (chunk) =>
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
        }))))
    )
    yield* Effect.raceFirst(end, endedByItself(name, reader))
    return reader
  }).pipe(Effect.scoped, Effect.flatMap(Fiber.join), Effect.asVoid)
