import * as Consumer from "@sluice/kafka/Consumer"
import type { Kafka } from "@sluice/kafka/Kafka"
import * as Producer from "@sluice/kafka/Producer"
import * as Serde from "@sluice/kafka/Serde"
import * as Topic from "@sluice/kafka/Topic"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"

import type { MemoryCluster } from "../../MemoryCluster.ts"
import { SeededRandom } from "../random.ts"
import { closingTime, handled, stay } from "./consuming.ts"
import type { HandlingFacts, History, LoggedRecord, PartitionIndex } from "./history.ts"
import {
  concern,
  heartbeatInterval,
  rebalanceTimeout,
  sessionTimeout,
  type SideKind,
  type WorkloadPlan
} from "./plan.ts"
import { recordId } from "./producing.ts"
import type { Recorder } from "./recorder.ts"
import { readCommitted, readLog } from "./stored.ts"
import type { Subject } from "./watch.ts"

/** What is beside: a small topic, and a small group that reads it. */
export const sideSubject: Subject = { topic: "side", group: "side-readers" }

const writerName = "side-writer"
const memberName = "side-member"
/** Comes and goes, where partitions are to move. */
const guestName = "side-guest"
/** Who is in its group. */
export const sideMembers: ReadonlyArray<string> = [memberName, guestName]
const readerName = "side-reader"
const partitions = 3
const firstId = 90_000
const drainTimeout = 500
const closeTimeout = 1000
/** For more than is ever fetched at once but where partitions are not read. */
const fetchBuffer = 1500
/** What records have as keys where they are handled by key. */
const keys = ["one", "two", null, "three"]
/** In the value of a record that does not decode. */
const flaw = "undecodable"

const Lines = Topic.make(sideSubject.topic, { key: Serde.string, value: Serde.string })
const Matching = Topic.pattern(/^side/, { key: Serde.string, value: Serde.string })
const FlawedLines = Topic.make(sideSubject.topic, {
  key: Serde.string,
  value: Serde.make({
    serialize: Serde.string.serialize,
    deserialize: (bytes, topic) => {
      const value = Serde.string.deserialize(bytes, topic)
      if (value.includes(flaw)) throw new Error(value)
      return value
    }
  })
})

type Line = { readonly partition: PartitionIndex; readonly offset: bigint; readonly value: string }
/** What a handler does with a record; nothing is done at once. */
type Work = (record: Line) => Effect.Effect<void> | undefined

/**
 * Something that happens beside the rest of the workload, mostly while nothing is broken: where it is known what comes when,
 * more can be expected. It is judged by itself, by the same checkers.
 */
export class Side {
  readonly #plan: WorkloadPlan
  readonly #cluster: MemoryCluster["Type"]
  readonly #as: (clientId: string) => <A, E>(effect: Effect.Effect<A, E, Kafka>) => Effect.Effect<A, E>
  readonly #recorder: Recorder
  readonly #chance: SeededRandom
  /** Records that were. */
  readonly #deleted: Array<LoggedRecord> = []
  /** Those that do not decode. */
  readonly #undecodableRecords: Array<number> = []
  #written = 0
  /** How its members run handlers: in most kinds by partition. */
  readonly #runPlan: HandlingFacts & { readonly order: "partition" | "key" | "none" }

  constructor(
    plan: WorkloadPlan,
    cluster: MemoryCluster["Type"],
    as: (clientId: string) => <A, E>(effect: Effect.Effect<A, E, Kafka>) => Effect.Effect<A, E>,
    recorder: Recorder
  ) {
    this.#plan = plan
    this.#cluster = cluster
    this.#as = as
    this.#recorder = recorder
    this.#chance = new SeededRandom(plan.seed, concern.side + 1)
    const running = new SeededRandom(plan.seed, concern.side + 2)
    const order = running.pick(["partition", "key", "none"] as const)
    const inTurn = order === "partition" || plan.side.kind !== "moved" && plan.side.kind !== "once"
    this.#runPlan = inTurn
      ? { order: "partition" }
      : { order, concurrency: running.pick([1, 2, 16]), maxAhead: running.pick([1, 3, 10_000]) }
  }

  /** From beginning to end. */
  readonly run: Effect.Effect<void> = Effect.suspend(() => {
    const { kind, startAt } = this.#plan.side
    const kinds: Readonly<Record<SideKind, Effect.Effect<void>>> = {
      latest: this.#latest,
      deleted: this.#deletes,
      undecodable: this.#undecodable,
      stuck: this.#stuck,
      moved: this.#moves,
      once: this.#once,
      appears: this.#appears
    }
    const topic = kind === "appears" ? Effect.void : this.#create
    return topic.pipe(
      Effect.zipRight(Effect.sleep(Duration.millis(startAt))),
      Effect.zipRight(kinds[kind])
    )
  })

  /** What happened. `settledAt` is when all of the workload was done, `endedAt` when all was over. */
  history(settledAt: number | undefined, endedAt: number): Effect.Effect<History> {
    const { kind } = this.#plan.side
    return Effect.all({ log: this.#log, committed: this.#committed }).pipe(Effect.map(({ committed, log }) => ({
      events: this.#recorder.events,
      producers: [{
        name: writerName,
        acks: "all",
        bufferBytes: Number.MAX_SAFE_INTEGER,
        deliveryTimeout: 300_000,
        hasReports: false
      }],
      members: kind === "undecodable" ? [] : sideMembers,
      sessionTimeout,
      rebalanceTimeout,
      log: [...log, ...this.#deleted],
      committed,
      settledAt,
      settleWithin: this.#plan.settleWithin,
      timersOvertake: (this.#plan.interleaving.earlyTimers ?? 0) > 0,
      runs: sideMembers,
      handling: new Map(sideMembers.map((name) => [name, this.#runPlan])),
      atMostOnce: kind === "once",
      reset: kind === "latest" ? "latest" : "earliest",
      cooperative: true,
      drainTimeout,
      drainTimeouts: new Map(sideMembers.map((name) => [name, drainTimeout])),
      // See `heldAtMost`.
      fetchBuffers: new Map(
        sideMembers.map((
          name
        ) => [name, this.#runPlan.order === "partition" ? fetchBuffer : 3 * fetchBuffer + 300 * partitions])
      ),
      closingTimes: new Map(
        sideMembers.map((name) => [name, closingTime({ drainTimeout, closeTimeout }, "commits once")])
      ),
      undecodable: new Set(this.#undecodableRecords),
      endedAt,
      leftovers: []
    })))
  }

  /** A group that begins at the end, whose first member stops before it has handled anything much. */
  readonly #latest = Effect.gen(this, function*() {
    const counts = this.#perPartition(() => this.#chance.between(8, 12))
    const writer = yield* Effect.forkDaemon(this.#write(counts, () => this.#chance.between(60, 240)))
    const hung = yield* Deferred.make<void>()
    const before = this.#chance.pick([0, 0, 0, 2])
    yield* this.#sleep(100, 1200)
    const begun = new Map<PartitionIndex, number>()
    yield* this.#stay(
      ({ partition }) => {
        const count = begun.get(partition) ?? 0
        begun.set(partition, count + 1)
        return count < before ? undefined : Effect.zipRight(Deferred.succeed(hung, undefined), Effect.never)
      },
      Effect.raceFirst(Deferred.await(hung), Fiber.join(writer)).pipe(Effect.zipRight(this.#sleep(50, 600)))
    )
    yield* this.#sleep(0, 800)
    yield* this.#stay(() => undefined, Effect.zipRight(Fiber.join(writer), this.#settled))
  })

  /** The log's beginning moves past what the group has committed, and past where its member is. */
  readonly #deletes = Effect.gen(this, function*() {
    const counts = this.#perPartition(() => this.#chance.between(8, 12))
    // Something is committed before: a group without an offset begins at what is left.
    const hungAt = this.#perPartition(() => this.#chance.between(1, 5))
    const goesOn = this.#chance.next() < 0.5
    yield* this.#write(counts, () => 0)
    const hung = yield* Effect.makeSemaphore(partitions)
    yield* hung.take(partitions)
    const again = yield* Deferred.make<void>()
    const member = yield* Effect.forkDaemon(this.#stay(
      ({ offset, partition }) =>
        Number(offset) === hungAt[partition]
          ? Effect.zipRight(hung.release(1), goesOn ? Deferred.await(again) : Effect.never)
          : undefined,
      goesOn ? Effect.zipRight(Deferred.await(again), this.#settled) : hung.take(partitions)
    ))
    yield* goesOn ? hung.take(partitions) : Fiber.join(member)
    // Of the first partition all, so that nothing follows; of the second a part.
    yield* this.#delete(0, counts[0]!)
    yield* this.#delete(1, this.#chance.between(hungAt[1]! + 1, counts[1]! - 1))
    if (goesOn) {
      yield* this.#sleep(0, 1500)
      yield* Deferred.succeed(again, undefined)
      yield* Fiber.join(member)
    } else yield* this.#stay(() => undefined, this.#settled)
  })

  /** A record that does not decode is where the stream of a reader without a group ends. */
  readonly #undecodable = Effect.gen(this, function*() {
    const counts = this.#perPartition(() => this.#chance.between(6, 10))
    const partition = this.#chance.between(0, partitions - 1)
    yield* this.#write(counts, () => 0, { partition, index: this.#chance.between(0, counts[partition]! - 2) })
    const whole = Effect.gen(this, function*() {
      const consumer = yield* Effect.eventually(
        Consumer.assign({ topics: [FlawedLines], fetch: { maxWait: "1 second" } })
      )
      yield* Stream.runForEachChunk(consumer.records, (chunk) =>
        Effect.sync(() => {
          for (const { offset, partition, value } of chunk) {
            const place = { partition, offset: Number(offset) }
            this.#recorder.add({ _tag: "Read", reader: readerName, ...place, record: recordId(value) })
          }
        }))
    })
    yield* Effect.scoped(whole).pipe(
      Effect.catchAll((error) =>
        Effect.suspend(() => {
          if (error.reason._tag !== "DeserializationFailed") return Effect.die(error)
          const { partition } = error.reason
          const offset = /at offset (\d+)/.exec(error.message)?.[1]
          if (partition === undefined || offset === undefined) {
            return Effect.dieMessage(`an undecodable record without its place: ${error.message}`)
          }
          this.#recorder.add({ _tag: "ReadFailed", reader: readerName, partition, offset: Number(offset) })
          return Effect.void
        })
      ),
      this.#as(readerName)
    )
  })

  /** Partitions of which nothing is taken until the last one is done, though there is more of them than room. */
  readonly #stuck = Effect.gen(this, function*() {
    const counts = this.#perPartition(() => this.#chance.between(14, 18))
    const read = this.#chance.between(0, partitions - 1)
    const done = yield* Deferred.make<void>()
    let left = counts[read]!
    yield* this.#write(counts, () => 0)
    yield* this.#stay(
      ({ partition }) => {
        if (partition !== read) return Deferred.await(done)
        return --left === 0 ? Effect.asVoid(Deferred.succeed(done, undefined)) : undefined
      },
      this.#settled
    )
  })

  /** Partitions are paused, and moved to and fro, while they are written and read; some go to another member and come back. */
  readonly #moves = Effect.gen(this, function*() {
    const counts = this.#perPartition(() => this.#chance.between(12, 20))
    const writer = yield* Effect.forkDaemon(this.#write(counts, () => this.#chance.between(20, 160)))
    const working = this.#chance.pick([0, 20, 90])
    const work: Work = () => working === 0 || this.#chance.next() < 0.5 ? undefined : Effect.sleep(working)
    const guest = yield* Effect.forkDaemon(
      this.#chance.next() < 0.5
        ? Effect.void
        : Effect.zipRight(this.#sleep(300, 1200), this.#stay(work, this.#sleep(300, 2000), { member: guestName }))
    )
    const done = Effect.all([Fiber.join(writer), Fiber.join(guest)], { discard: true })
    yield* this.#stay(work, Effect.zipRight(done, this.#settled), {
      beside: (consumer) =>
        Effect.zipRight(
          this.#sleep(200, 800),
          Effect.forEach(counts, (_, partition) => this.#move(consumer, partition), {
            concurrency: "unbounded",
            discard: true
          })
        )
    })
  })

  /** Moves and pauses one partition some times, and lets it go on in the end. */
  #move(consumer: Consumer.Sight, partition: PartitionIndex): Effect.Effect<void> {
    const place = { topic: sideSubject.topic, partition }
    const member = memberName
    const seek = Effect.gen(this, function*() {
      const { length } = (yield* this.#log).filter((record) => record.partition === partition)
      // Something comes after it, so that all is committed in the end.
      const offset = this.#chance.between(0, Math.max(0, length - 1))
      this.#recorder.add({ _tag: "Seeking", member, partition, offset })
      yield* consumer.seek(place, { offset })
      this.#recorder.add({ _tag: "Sought", member, partition, offset })
    })
    const pause = Effect.gen(this, function*() {
      yield* consumer.pause([place])
      this.#recorder.add({ _tag: "Paused", member, partition })
      yield* this.#sleep(50, 900)
      if (this.#chance.next() < 0.4) yield* seek
      yield* this.#sleep(0, 200)
    }).pipe(Effect.ensuring(Effect.suspend(() => {
      this.#recorder.add({ _tag: "Continued", member, partition })
      return Effect.ignore(consumer.resume([place]))
    })))
    return Effect.gen(this, function*() {
      const times = this.#chance.between(1, 4)
      for (let time = 0; time < times; time++) {
        yield* Effect.suspend(() => this.#chance.next() < 0.5 ? seek : pause).pipe(
          // It may be another's just now.
          Effect.catchAll((error) => error.reason._tag === "NotAssigned" ? Effect.void : Effect.die(error))
        )
        yield* this.#sleep(0, 400)
      }
    })
  }

  /** Records are committed before they are handled: the first member stops in the middle. */
  readonly #once = Effect.gen(this, function*() {
    const counts = this.#perPartition(() => this.#chance.between(8, 16))
    const writer = yield* Effect.forkDaemon(this.#write(counts, () => this.#chance.between(0, 80)))
    const stop = yield* Deferred.make<void>()
    const stopsAt = this.#chance.between(1, 15)
    const working = this.#chance.pick([0, 5, 60])
    let begun = 0
    yield* this.#stay(
      () => {
        if (++begun < stopsAt) return working === 0 ? undefined : Effect.sleep(working)
        return Effect.zipRight(Deferred.succeed(stop, undefined), Effect.never)
      },
      Effect.zipRight(Deferred.await(stop), this.#sleep(0, 600)),
      { commit: "before" }
    )
    yield* this.#stay(() => undefined, Effect.zipRight(Fiber.join(writer), this.#settled), { commit: "before" })
  })

  /** A topic that is there only when its group has begun. */
  readonly #appears = Effect.gen(this, function*() {
    const counts = this.#perPartition(() => this.#chance.between(4, 8))
    const writer = yield* Effect.forkDaemon(
      Effect.zipRight(this.#sleep(0, 4000), Effect.zipRight(this.#create, this.#write(counts, () => 0)))
    )
    yield* this.#stay(() => undefined, Effect.zipRight(Fiber.join(writer), this.#settled), { topics: Matching })
  })

  readonly #create = Effect.suspend(() => this.#cluster.createTopic(sideSubject.topic, { partitions }))

  #perPartition<A>(make: () => A): ReadonlyArray<A> {
    return Array.from({ length: partitions }, make)
  }

  #sleep(least: number, most: number): Effect.Effect<void> {
    return Effect.suspend(() => Effect.sleep(Duration.millis(this.#chance.between(least, most))))
  }

  /** Writes so many records to each partition, one a batch; the one at an index may be one that does not decode. */
  #write(
    counts: ReadonlyArray<number>,
    pause: () => number,
    flawed?: { readonly partition: PartitionIndex; readonly index: number }
  ): Effect.Effect<void> {
    const producer = writerName
    return Effect.gen(this, function*() {
      yield* Effect.addFinalizer(() => Effect.sync(() => this.#recorder.add({ _tag: "ProducerClosed", producer })))
      const made = yield* Effect.eventually(Producer.make({ batchBytes: 100, deliveryTimeout: "5 minutes" }))
      yield* Effect.forEach(
        counts,
        (count, partition) =>
          Effect.forEach(Array.from({ length: count }, (_, index) => index), (index) =>
            Effect.gen(this, function*() {
              const record = firstId + this.#written++
              const isFlawed = partition === flawed?.partition && index === flawed.index
              if (isFlawed) this.#undecodableRecords.push(record)
              const key = this.#runPlan.order === "key" ? keys[index % keys.length]! : null
              const value = `${record}:${isFlawed ? flaw : ""}`.padEnd(90, "x")
              this.#recorder.add({
                _tag: "Invoked",
                producer,
                record,
                size: value.length + (key?.length ?? 0),
                partition
              })
              const { offset } = yield* Effect.orDie(made.send(Lines.record({ key, value, partition })))
              this.#recorder.add({ _tag: "Acknowledged", producer, record, partition, offset: Number(offset) })
              const time = pause()
              if (time > 0) yield* Effect.sleep(Duration.millis(time))
            }), { discard: true }),
        { concurrency: "unbounded", discard: true }
      )
      this.#recorder.add({ _tag: "ProducerClosing", producer })
    }).pipe(Effect.scoped, Effect.orDie, this.#as(producer))
  }

  #stay(
    work: Work,
    until: Effect.Effect<void>,
    { beside, commit, member = memberName, topics = Lines }: {
      readonly member?: string
      readonly topics?: typeof Lines | typeof Matching
      readonly commit?: "before"
      /** What is done with the consumer while it runs. */
      readonly beside?: (consumer: Consumer.Sight) => Effect.Effect<void>
    } = {}
  ): Effect.Effect<void> {
    const handler = (record: Line) => Effect.suspend(() => handled(this.#recorder, member, record, work(record)))
    return stay(
      member,
      {
        groupId: sideSubject.group,
        topics: [topics],
        reset: this.#plan.side.kind === "latest" ? "latest" : "earliest",
        sessionTimeout,
        heartbeatInterval,
        rebalanceTimeout,
        commitInterval: 200,
        drainTimeout,
        closeTimeout,
        fetch: { maxWait: "1 second", bufferBytes: fetchBuffer, partitionBytes: fetchBuffer }
      },
      (consumer) =>
        consumer.run(handler, { ...this.#runPlan, commit }).pipe(
          Effect.catchAll((error) =>
            // Its end may come before the run has begun.
            error !== "failed" && error.reason._tag === "Closed" ? Effect.void : Effect.die(error)
          ),
          Effect.as("closed" as const)
        ),
      this.#recorder,
      until,
      undefined,
      beside
    ).pipe(Effect.asVoid, this.#as(member))
  }

  /** What is deleted was there. */
  #delete(partition: PartitionIndex, before: number): Effect.Effect<void> {
    return Effect.gen(this, function*() {
      for (const record of yield* this.#log) {
        if (record.partition === partition && record.offset < before) this.#deleted.push(record)
      }
      yield* this.#cluster.deleteRecords(sideSubject.topic, partition, BigInt(before))
    })
  }

  /** The group has committed everything. */
  readonly #settled = Effect.gen(this, function*() {
    const ends = this.#perPartition(() => 0).slice()
    for (const { offset, partition } of [...(yield* this.#log), ...this.#deleted]) {
      ends[partition] = Math.max(ends[partition]!, offset + 1)
    }
    while (true) {
      const committed = yield* this.#committed
      if (ends.every((end, partition) => end === 0 || committed.get(partition) === end)) return
      yield* Effect.sleep("200 millis")
    }
  })

  readonly #log = Effect.suspend(() => readLog(this.#cluster, sideSubject.topic))

  readonly #committed = Effect.suspend(() => readCommitted(this.#cluster, sideSubject.group))
}
