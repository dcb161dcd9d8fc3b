/**
 * A process of its own with one member of a group, under `NodeRuntime.runMain`: what is done to it (SIGKILL, SIGSTOP,
 * SIGTERM) is done to nothing else. It tells what it does in a file, one line at a time, each written before it goes on: what
 * it told is known whatever becomes of it.
 *
 * Arguments: its {@link MemberOptions}, as JSON. Messages of its parent: `"join"` and `"leave"`.
 */
import { openSync, writeSync } from "node:fs"

import { NodeRuntime } from "@effect/platform-node"
import { Consumer, type ConsumerRecord, Producer, Serde, Topic } from "@sluice/kafka"
import type { KafkaJs } from "@sluice/kafkajs"
import type { ConsumerEvent, HistoryEvent } from "@sluice/testing/internal/simulation/history"
import { Cause, Deferred, Effect, Exit, Fiber, Stream } from "effect"

import { client } from "./client.ts"

/** How the member works. Values of records begin with a number, which is the record's name. */
export interface MemberOptions {
  readonly brokers: string
  readonly topic: string
  readonly groupId: string
  /** Its client id, too. */
  readonly name: string
  /** Where it tells what it does. */
  readonly file: string
  readonly consumer?: Partial<Omit<Consumer.ConsumerOptions<any>, "topics" | "groupId" | "onAssigned">>
  readonly run?: Consumer.RunOptions
  readonly kafka?: Partial<KafkaJs.KafkaJsOptions>
  /** How long handlers take, in milliseconds: of one record, and of every so-many-th. Others take no time. */
  readonly works?: { readonly on?: Readonly<Record<number, number>>; readonly every?: number; readonly millis?: number }
  /** A topic that each handler sends its value to, and waits for that. */
  readonly results?: string
}

/** A place in the log, as it was delivered. */
interface Place {
  readonly time: number
  readonly member: string
}

/** What a member tells of itself. Times are milliseconds of the system's monotonic clock, which all processes share. */
export type Told =
  | Exclude<ConsumerEvent, { readonly _tag: "Started" | "Read" | "ReadFailed" }>
  /** With the generation in which it was delivered. */
  | (Extract<HistoryEvent, { readonly _tag: "Started" }> & { readonly generation: number })
  | (Place & {
    readonly _tag: "MemberAssigned"
    readonly partitions: ReadonlyArray<number>
    readonly generation: number
  })
  | (Place & { readonly _tag: "MemberRevoked"; readonly partitions: ReadonlyArray<number> })
  | (Place & { readonly _tag: "MemberLost"; readonly partitions: ReadonlyArray<number> })
  | (Place & { readonly _tag: "MemberRebalancing" })
  | (Place & {
    readonly _tag: "MemberReset"
    readonly partition: number
    readonly reason: Consumer.PositionReset["reason"]
    readonly from: number | undefined
    readonly to: number
  })
  /** Its run ended by itself, with this. */
  | (Place & { readonly _tag: "RunFailed"; readonly error: string; readonly reason: string })

/** What it tells, without the time and its name. */
type Untimed<E> = E extends { readonly time: number } ? Omit<E, "time" | "member"> : never

/** Milliseconds of the clock in which members tell what they do. */
export const monotonicTime = (): number => Number(process.hrtime.bigint()) / 1e6

const numbersOf = (partitions: ReadonlyArray<Consumer.TopicPartition>): ReadonlyArray<number> =>
  partitions.map(({ partition }) => partition)

const heard = (event: Consumer.ConsumerEvent): Untimed<Told> => {
  switch (event._tag) {
    case "Rebalancing":
      return { _tag: "MemberRebalancing" }
    case "Assigned":
      return { _tag: "MemberAssigned", partitions: numbersOf(event.partitions), generation: event.generation }
    case "Revoked":
      return { _tag: "MemberRevoked", partitions: numbersOf(event.partitions) }
    case "Lost":
      return { _tag: "MemberLost", partitions: numbersOf(event.partitions) }
    case "PositionReset": {
      const { partition, reason } = event
      const from = event.from === undefined ? undefined : Number(event.from)
      return { _tag: "MemberReset", partition, reason, from, to: Number(event.to) }
    }
  }
}

const member = (options: MemberOptions) => {
  const { consumer: consumerOptions, groupId, name, results, run, works = {} } = options
  const file = openSync(options.file, "a")
  const tell = (event: Untimed<Told>): void => {
    writeSync(file, `${JSON.stringify({ ...event, time: monotonicTime(), member: name })}\n`)
  }
  const topic = Topic.make(options.topic, { key: Serde.string, value: Serde.string })
  const resultTopic = Topic.make(results ?? "none", { key: Serde.string, value: Serde.string })

  let count = 0
  const workOn = (record: number): number => {
    const { every = 0, millis = 0, on = {} } = works
    return on[record] ?? (every > 0 && ++count % every === 0 ? millis : 0)
  }
  const handler = (producer: Producer.Producer | undefined) => (line: ConsumerRecord.Of<typeof topic>) =>
    Effect.suspend(() => {
      const record = parseInt(line.value)
      const place = { partition: line.partition, offset: Number(line.offset) }
      tell({ _tag: "Started", ...place, record, generation: line.generation })
      const millis = workOn(record)
      const done = Effect.sync(() => tell({ _tag: "Processed", ...place, record }))
      const worked = millis === 0 ? done : Effect.zipRight(Effect.sleep(millis), done)
      return Effect.onExit(
        producer === undefined
          ? worked
          : Effect.zipLeft(producer.send(resultTopic.record({ key: null, value: line.value })), worked),
        (exit) =>
          Effect.sync(() => {
            if (Exit.isSuccess(exit)) return
            tell({ _tag: "HandlerEnded", ...place, how: Cause.isInterrupted(exit.cause) ? "interrupted" : "failed" })
          })
      )
    })

  /** Is in the group until `leaving`, or until its run ends. */
  const stay = (leaving: Effect.Effect<void>) =>
    Effect.gen(function*() {
      const producer = results === undefined ? undefined : yield* Producer.make()
      yield* Effect.addFinalizer(() => Effect.sync(() => tell({ _tag: "MemberClosed" })))
      const consumer = yield* Consumer.make({ ...consumerOptions, groupId, topics: [topic] })
      yield* Effect.forkScoped(Stream.runForEach(consumer.events, (event) => Effect.sync(() => tell(heard(event)))))
      tell({ _tag: "MemberStarted" })
      const running = yield* Effect.fork(consumer.run(handler(producer), run))
      yield* Effect.addFinalizer(() => Effect.sync(() => tell({ _tag: "MemberClosing" })))
      const failed = Effect.flatMap(Effect.flip(Fiber.join(running)), (error) =>
        Effect.sync(() => {
          const isReason = typeof error === "object" && "reason" in error
          tell({ _tag: "RunFailed", error: error._tag, reason: isReason ? error.reason._tag : "" })
        }))
      yield* Effect.raceFirst(leaving, Effect.ignore(failed))
    }).pipe(Effect.scoped, Effect.provide(client(options.brokers, { clientId: name, ...options.kafka })))

  return Effect.gen(function*() {
    let joining = yield* Deferred.make<void>()
    let leaving = yield* Deferred.make<void>()
    process.on("message", (message) => {
      if (message === "join") Deferred.unsafeDone(joining, Exit.void)
      else if (message === "leave") Deferred.unsafeDone(leaving, Exit.void)
    })
    while (true) {
      yield* Deferred.await(joining)
      joining = yield* Deferred.make<void>()
      yield* stay(Deferred.await(leaving))
      leaving = yield* Deferred.make<void>()
    }
  })
}

if (process.send !== undefined && import.meta.filename === process.argv[1]) {
  process.once("disconnect", () => process.exit(1))
  NodeRuntime.runMain(member(JSON.parse(process.argv[2]!) as MemberOptions))
}
