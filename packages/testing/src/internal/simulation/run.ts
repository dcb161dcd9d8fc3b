import { layer as kafkaLayer } from "@sluice/kafka/Kafka"
import { Transport } from "@sluice/kafka/Transport"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Option from "effect/Option"

import type { Fault } from "../../Fault.ts"
import type { MemoryCluster } from "../../MemoryCluster.ts"
import * as Simulation from "../../Simulation.ts"
import type { NetworkEvent } from "../network/event.ts"
import type { Network } from "../network/network.ts"
import * as World from "../network/world.ts"
import { checkers } from "./checkers/index.ts"
import { progress } from "./checkers/progress.ts"
import { closingTime, readerEndsFirst, runMember, runReader, Steps } from "./consuming.ts"
import { Disturbances } from "./disturbances.ts"
import type { HandlingFacts, History, LoggedRecord, PartitionIndex, Violation } from "./history.ts"
import {
  brokerCount,
  deletedTopic,
  groupId,
  heartbeatInterval,
  largestRecord,
  lookupTimeout,
  type MemberPlan,
  ownsHandlers,
  readerName,
  rebalanceTimeout,
  sessionTimeout,
  topicName,
  type WorkloadPlan
} from "./plan.ts"
import { runProducer } from "./producing.ts"
import { makeRecorder, type Recorder } from "./recorder.ts"
import { Side, sideMembers, sideSubject } from "./side.ts"
import { isComplete, readCommitted, readLog } from "./stored.ts"
import { type PlacedEvent, timeline } from "./timeline.ts"
import type { Outcome } from "./trial.ts"
import { historyOf, type Subject } from "./watch.ts"

/** Whether the group has committed everything that is in the log, and the reader has read it. */
const isAllRead = (
  { cluster }: Network,
  { partitions }: WorkloadPlan,
  read: ReadonlyMap<PartitionIndex, number>
): boolean => {
  const committed = cluster.committed(groupId).get(topicName)
  return cluster.requireTopic(topicName).partitions.every(({ index, log: { endOffset } }) =>
    endOffset === 0 || (committed?.get(index)?.offset === endOffset &&
      // The reader was given the partitions that were there.
      (index >= partitions || read.get(index) === endOffset))
  )
}

/** Everything that a run knows of itself. */
interface Ran {
  readonly log: ReadonlyArray<LoggedRecord>
  readonly logAside: ReadonlyArray<LoggedRecord>
  readonly committed: ReadonlyMap<PartitionIndex, number>
  readonly settledAt: number | undefined
  readonly endedAt: number
  readonly connections: number
  readonly beside: History
}

/** Gives the topic its further partitions. */
const grow = ({ growth }: WorkloadPlan, cluster: MemoryCluster["Type"], recorder: Recorder): Effect.Effect<void> =>
  growth === undefined
    ? Effect.void
    : Effect.sleep(Duration.millis(growth.at)).pipe(
      Effect.zipRight(Effect.sync(() => recorder.add({ _tag: "PartitionsAdded", count: growth.partitions }))),
      Effect.zipRight(cluster.createPartitions(topicName, growth.partitions))
    )

/** Deletes the other topic and makes it again. Gives what was in it. */
const deleteOther = (
  { deletion }: WorkloadPlan,
  cluster: MemoryCluster["Type"],
  recorder: Recorder
): Effect.Effect<ReadonlyArray<LoggedRecord>> =>
  Effect.gen(function*() {
    if (deletion === undefined) return []
    yield* Effect.sleep(Duration.millis(deletion.at))
    const log = yield* readLog(cluster, deletedTopic)
    recorder.add({ _tag: "TopicDeleted" })
    yield* cluster.deleteTopic(deletedTopic)
    yield* Effect.sleep(Duration.millis(deletion.until - deletion.at))
    yield* cluster.createTopic(deletedTopic, { partitions: 2 })
    recorder.add({ _tag: "TopicMade" })
    return log
  })

/** Longer than any member may take to close. */
const closesWithin = Duration.seconds(60)

/** Interrupts fibers, and waits for their end, but not for ever: what is left is told. */
const endAll = (fibers: ReadonlyArray<Fiber.Fiber<unknown>>): Effect.Effect<void> =>
  Effect.asVoid(
    Effect.timeoutOption(Effect.disconnect(Effect.interruptible(Fiber.interruptAll(fibers))), closesWithin)
  )

const program = (
  plan: WorkloadPlan,
  { cluster, network, transport }: World.World,
  recorder: Recorder,
  besideRecorder: Recorder
) =>
  Effect.gen(function*() {
    const read = new Map<PartitionIndex, number>()
    yield* cluster.createTopic(topicName, {
      partitions: plan.partitions,
      config: {
        "min.insync.replicas": String(plan.minInsyncReplicas),
        ...(plan.maxMessageBytes !== undefined && { "max.message.bytes": String(plan.maxMessageBytes) })
      }
    })
    /** Everybody is a client of their own, so that faults can tell them apart. */
    const as = (clientId: string, over = transport) =>
      Effect.provide(
        Layer.orDie(kafkaLayer({
          brokers: cluster.bootstrap,
          clientId,
          requestTimeout: plan.requestTimeout,
          connectTimeout: 1000,
          apiTimeout: lookupTimeout,
          metadataMaxAge: plan.metadataMaxAge
        })).pipe(Layer.provide(Layer.succeed(Transport, over)))
      )
    const end = yield* Deferred.make<void>()
    const faults = yield* Effect.fork(
      Effect.forEach(
        plan.faults,
        ({ at, fault }) =>
          Effect.zipRight(Effect.sleep(Duration.millis(Math.max(0, at - recorder.now))), cluster.inject(fault)),
        {
          concurrency: "unbounded",
          discard: true
        }
      )
    )
    yield* cluster.createTopic(deletedTopic, { partitions: 2 })
    const growth = yield* Effect.fork(grow(plan, cluster, recorder))
    const deletion = yield* Effect.fork(deleteOther(plan, cluster, recorder))
    const group = { plan, recorder, steps: new Steps(plan), transport, as, end: Deferred.await(end) }
    const members = yield* Effect.forEach(
      plan.members,
      (_, index) => Effect.forkDaemon(runMember(index, group))
    )
    const reader = yield* Effect.forkDaemon(as(readerName)(runReader(readerName, recorder, read, Deferred.await(end))))
    const producers = yield* Effect.forEach(
      plan.producers,
      ({ name }, index) => Effect.forkDaemon(as(name)(runProducer(plan, index, recorder)))
    )
    const side = new Side(plan, cluster, as, besideRecorder)
    const beside = yield* Effect.forkDaemon(side.run)

    yield* Effect.sleep(Duration.millis(plan.healAt))
    yield* Fiber.join(growth)
    const deleted = yield* Fiber.join(deletion)
    yield* Fiber.interrupt(faults)
    yield* cluster.heal
    recorder.add({ _tag: "Healed" })
    besideRecorder.events.push({ _tag: "Healed", time: recorder.now })
    const settled = Effect.gen(function*() {
      yield* Fiber.joinAll([...producers, beside])
      // What a producer left on its way when it closed may still be written.
      yield* Effect.sleep("1 second")
      const names = plan.members.map(({ name }) => name)
      const isSettled = () =>
        isAllRead(network, plan, read) && isComplete(network.cluster.group(groupId), names, recorder.events)
      while (!isSettled()) yield* Effect.sleep("250 millis")
      return recorder.now
    })
    // Whoever stops before the end stops for a reason that is worth to be told.
    const settledAt = yield* Effect.raceFirst(
      Effect.timeoutOption(settled, Duration.millis(plan.settleWithin)),
      Fiber.joinAll([...members, reader]) as Effect.Effect<never>
    )
    yield* Deferred.succeed(end, undefined)
    if (Option.isNone(settledAt)) yield* endAll([...producers, beside])
    const ended = yield* Effect.timeoutOption(Fiber.joinAll([...members, reader]), closesWithin)
    const endedAt = recorder.now
    if (Option.isNone(ended)) yield* endAll([...members, reader])
    return {
      log: yield* readLog(cluster, topicName),
      logAside: [...deleted, ...yield* readLog(cluster, deletedTopic)],
      committed: yield* readCommitted(cluster, groupId),
      settledAt: Option.getOrUndefined(settledAt),
      endedAt,
      connections: yield* cluster.connections,
      beside: yield* side.history(Option.getOrUndefined(settledAt), endedAt)
    } satisfies Ran
  }).pipe(Logger.withMinimumLogLevel(LogLevel.None))

/** Which records a member handles at a time. */
const handlingOf = ({ kind, run: { concurrency, maxAhead, order } }: MemberPlan): HandlingFacts => {
  if (!ownsHandlers(kind)) return { order: "partition" }
  if (kind === "batch") return { order: "batch", concurrency }
  return order === "partition"
    ? { order, concurrency }
    : { order, concurrency: concurrency ?? 16, maxAhead: maxAhead ?? 10_000 }
}

/**
 * How many bytes a member may hold: out of order as much again may wait for handlers, and a record of each partition; and
 * of what waits, a fetched part counts as long as its last record does.
 */
const heldAtMost = ({ growth, partitions }: WorkloadPlan, member: MemberPlan): number =>
  handlingOf(member).maxAhead === undefined
    ? member.bufferBytes
    : 3 * member.bufferBytes + largestRecord * (growth?.partitions ?? partitions)

const historyFrom = (
  plan: WorkloadPlan,
  events: History["events"],
  { committed, connections, endedAt, log, logAside, settledAt }: Ran,
  leftovers: ReadonlyArray<string>
): History => ({
  events,
  producers: plan.producers.map(({ acks, bufferBytes, deliveryTimeout, habits, name, onDelivery, tuning }) => ({
    name,
    acks,
    idempotent: habits.idempotent,
    bufferBytes,
    deliveryTimeout,
    hasReports: onDelivery !== undefined,
    reportsInTurn: tuning.reportOrder === "partition",
    retries: tuning.retries,
    maxInFlight: tuning.maxInFlight
  })),
  members: plan.members.map(({ name }) => name),
  sessionTimeout,
  rebalanceTimeout,
  fetchBuffers: new Map(plan.members.map((member) => [member.name, heldAtMost(plan, member)])),
  log,
  logAside,
  committed,
  settledAt,
  settleWithin: plan.settleWithin,
  partitions: plan.partitions,
  metadataMaxAge: plan.metadataMaxAge,
  lookupTimeout,
  maxMessageBytes: plan.maxMessageBytes,
  inUsualOrder: Object.keys(plan.interleaving).length === 0,
  timersOvertake: (plan.interleaving.earlyTimers ?? 0) > 0,
  runs: plan.members.filter(({ kind }) => ownsHandlers(kind)).map(({ name }) => name),
  handling: new Map(plan.members.map((member) => [member.name, handlingOf(member)])),
  cooperative: plan.cooperative,
  // A member that is to join again in time has half of that for its handlers.
  drainTimeout: Math.min(rebalanceTimeout / 2, ...plan.members.map(({ drainTimeout }) => drainTimeout)),
  drainTimeouts: new Map(
    plan.members.map(({ drainTimeout, name }) => [name, Math.min(rebalanceTimeout / 2, drainTimeout)])
  ),
  closingTimes: new Map(
    plan.members.map((member) => [
      member.name,
      closingTime(member, readerEndsFirst(member) ? "commits twice" : "commits once")
    ])
  ),
  endedAt,
  leftovers: [...leftovers, ...Array.from({ length: connections }, () => "a connection")]
})

const judge = (history: History): ReadonlyArray<Violation> => checkers.flatMap(({ check }) => check(history))

/** Many times what any seed takes: what takes more goes round and round. */
const maxSteps = 1_000_000

/** A run, or that it has no end, which is a promise broken as others are. */
const orEndless = <A>(run: () => A): A | Violation => {
  try {
    return run()
  } catch (error) {
    if (!(error instanceof Simulation.SimulationError) || error.reason !== "NoEnd") throw error
    return { invariant: progress.name, message: error.message, time: error.time }
  }
}

/** Runs a plan and judges it: the same plan comes to the same outcome, to the step. */
export const runPlan = (plan: WorkloadPlan, options: { readonly timeline: boolean }): Outcome => {
  let recorder: Recorder | undefined
  const histories: Array<[subject: Subject, recorder: Recorder, disturbances: Disturbances]> = []
  // One that is felt by several requests begins with each, and is one all the same.
  const faults = new Set<Fault>()
  const placed: Array<PlacedEvent> = []
  const observe = (event: NetworkEvent): void => {
    if (event._tag === "FaultBegan") faults.add(event.fault)
    if (options.timeline) placed.push({ event, position: recorder!.everything.length })
    for (const [subject, { events }, disturbances] of histories) {
      for (const each of historyOf(event, subject)) events.push(each)
      for (const each of disturbances.observe(event)) events.push(each)
    }
  }
  const whole = Effect.scoped(Effect.gen(function*() {
    recorder = yield* makeRecorder
    const beside = recorder.beside()
    const timeouts = {
      join: rebalanceTimeout + 5000,
      heartbeat: (sessionTimeout - 2 * heartbeatInterval) / 2,
      other: plan.requestTimeout
    }
    histories.push(
      [
        { topic: topicName, group: groupId },
        recorder,
        new Disturbances(plan.members.map(({ name }) => name), timeouts)
      ],
      [sideSubject, beside, new Disturbances(sideMembers, timeouts)]
    )
    const world = yield* World.make({
      brokers: brokerCount,
      latency: plan.latency,
      jitter: plan.jitter,
      seed: plan.seed,
      observer: observe,
      config: { replicationDelayMs: plan.replicationDelay, brokerSessionTimeoutMs: plan.brokerSessionTimeout }
    })
    return yield* program(plan, world, recorder, beside)
  }))
  const ran = orEndless(() =>
    Simulation.run(whole, {
      seed: plan.seed,
      interleaving: plan.interleaving,
      maxSteps,
      // The check costs a twentieth; who wants to see what happened gets it too.
      escapes: options.timeline ? "fail" : "allow"
    })
  )
  const events = recorder!.events
  const violations = "invariant" in ran
    ? [ran]
    : Exit.isFailure(ran.exit)
    ? [{
      invariant: "no-defect",
      message: Cause.pretty(ran.exit.cause, { renderErrorCause: true }),
      time: ran.time
    }]
    : [...judge(historyFrom(plan, events, ran.exit.value, ran.leftovers)), ...judge(ran.exit.value.beside)]
  return {
    plan,
    violations,
    records: plan.producers.reduce((sum, { records }) => sum + records, 0),
    faults: faults.size,
    faultKinds: Array.from(new Set(Array.from(faults, ({ _tag }) => _tag))).sort(),
    time: ran.time ?? 0,
    steps: "steps" in ran ? ran.steps : maxSteps,
    timeline: options.timeline ? timeline(placed, recorder!.everything, violations) : []
  }
}
