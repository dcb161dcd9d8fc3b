/** Records that are there for a group, and what its members have made of them in the end. */
import { assert } from "@effect/vitest"
import { Producer } from "@sluice/kafka"
import { commitNotBackwards } from "@sluice/testing/internal/simulation/checkers/commitNotBackwards"
import { commitNotPastProcessed } from "@sluice/testing/internal/simulation/checkers/commitNotPastProcessed"
import { nothingSkipped } from "@sluice/testing/internal/simulation/checkers/nothingSkipped"
import { processedIsLogged } from "@sluice/testing/internal/simulation/checkers/processedIsLogged"
import type { History, HistoryEvent, LoggedRecord } from "@sluice/testing/internal/simulation/history"
import { Effect, Fiber, type Scope } from "effect"

import { client } from "../../support/client.ts"
import type { MemberOptions, Told } from "../../support/member.ts"
import { makeMembers, type MemberProcess, type Members, poll, within } from "../../support/members.ts"
import { uniqueName } from "../../support/topics.ts"
import type { TextTopic, ThreeBrokers } from "./cluster.ts"
import { type GroupWatch, watchGroup } from "./watch.ts"

/** Records that are written, past the proxies. */
export interface Feed {
  /** What is in the log so far. */
  readonly log: ReadonlyArray<LoggedRecord>
  /** Waits until all are. */
  readonly done: Effect.Effect<void>
}

/** Writes records to all partitions in turn, their number in their value: so many a second. */
export const startFeed = (
  cluster: ThreeBrokers,
  topic: TextTopic,
  { count, partitions = 6, perSecond = Infinity, since = 0 }: {
    readonly count: number
    readonly partitions?: number
    readonly perSecond?: number
    /** The number of the first one. */
    readonly since?: number
  }
): Effect.Effect<Feed, never, Scope.Scope> =>
  Effect.gen(function*() {
    const log: Array<LoggedRecord> = []
    const most = Number.isFinite(perSecond) ? Math.max(1, Math.round(perSecond / 50)) : 10_000
    const feeding = yield* Effect.gen(function*() {
      const producer = yield* Producer.make()
      const start = performance.now()
      for (let sent = 0; sent < count;) {
        const size = Math.min(most, count - sent)
        const records = Array.from({ length: size }, (_, index) => {
          const record = since + sent + index
          return topic.record({ partition: record % partitions, value: `${record} `.padEnd(100, "x") })
        })
        const places = yield* producer.sendAll(records)
        for (const [index, { offset, partition }] of places.entries()) {
          log.push({ partition, offset: Number(offset), record: since + sent + index })
        }
        sent += size
        yield* Effect.sleep(Math.max(0, start + sent / perSecond * 1_000 - performance.now()))
      }
    }).pipe(Effect.scoped, Effect.provide(client(cluster.internal)), Effect.orDie, Effect.forkScoped)
    return { log, done: within("all records are written", Fiber.join(feeding)) }
  })

/** A group on three brokers that is watched. */
export interface Group {
  readonly topic: TextTopic
  readonly members: Members
  readonly watch: GroupWatch
  /** Records that were processed, each once. */
  readonly processed: () => number
  /** Waits until so many records more are processed. */
  readonly progress: (what: string, records: number) => Effect.Effect<void>
  /** Waits until the group is stable and has exactly these members, each with partitions. */
  readonly settled: (...members: ReadonlyArray<MemberProcess>) => Effect.Effect<void>
  /** Waits until all of these records are processed, has those members leave, and judges. */
  readonly finish: (
    log: ReadonlyArray<LoggedRecord>,
    members: ReadonlyArray<MemberProcess>,
    /** What a member began while it could not know that it was out of the group: others may have that, too. */
    isUnaware?: (event: Started) => boolean
  ) => Effect.Effect<Judgement>
}

/** What became of the records. */
export interface Judgement {
  /** Promises that were not kept, in words. */
  readonly violations: ReadonlyArray<string>
  /** Records that were given to handlers again, as `partition/offset`. */
  readonly again: ReadonlyArray<string>
  /** What each partition has committed in the end, and what the log has. */
  readonly committed: ReadonlyMap<number, number>
  readonly ends: ReadonlyMap<number, number>
}

/** Members that are fast to notice what happens; a commit every 200 ms. */
const quick: MemberOptions["consumer"] = {
  sessionTimeout: "6 seconds",
  heartbeatInterval: "200 millis",
  rebalanceTimeout: "20 seconds",
  commitInterval: "200 millis"
}

/** A group on a topic of its own. */
export const makeGroup = (
  cluster: ThreeBrokers,
  { consumer, partitions = 6, ...options }:
    & Partial<Omit<MemberOptions, "brokers" | "topic" | "name" | "file">>
    & { readonly partitions?: number } = {}
): Effect.Effect<Group, never, Scope.Scope> =>
  Effect.gen(function*() {
    const topic = yield* cluster.makeTopic({ partitions })
    const groupId = options.groupId ?? uniqueName("group")
    const watch = watchGroup(cluster, groupId)
    const members = yield* makeMembers({
      brokers: cluster.addresses,
      topic: topic.name,
      kafka: { requestTimeout: "3 seconds" },
      ...options,
      groupId,
      consumer: { ...quick, ...consumer }
    })
    const done = new Set<string>()
    let looked = 0
    const processed = (): number => {
      const told = members.told()
      for (; looked < told.length; looked++) {
        const event = told[looked]!
        if (event._tag === "Processed") done.add(`${event.partition}/${event.offset}`)
      }
      return done.size
    }
    const progress = (what: string, records: number) =>
      Effect.suspend(() => {
        const goal = processed() + records
        return poll(() => `${what} (${processed()} of ${goal} are processed)`, () => processed() >= goal)
      })
    return {
      topic,
      members,
      watch,
      processed,
      progress,
      settled: (...those) =>
        Effect.promise(() =>
          cluster.operator.group(
            `the group has ${those.map(({ name }) => name).join(", ")}`,
            groupId,
            ({ members, state }) =>
              state === "Stable" && members.size === those.length &&
              those.every(({ name }) => (members.get(name)?.length ?? 0) > 0) &&
              [...members.values()].flat().length === partitions
          )
        ),
      finish: (log, those, isUnaware = () => false) =>
        Effect.gen(function*() {
          yield* poll(
            () => `all are processed (${processed()} of ${log.length}, ${JSON.stringify(missing(log, done))})`,
            () => processed() >= log.length
          )
          for (const member of those) yield* member.leave
          const committed = yield* Effect.promise(() => cluster.operator.committed(groupId, topic.name, partitions))
          return judge(members, watch, log, committed, isUnaware)
        })
    }
  })

const missing = (log: ReadonlyArray<LoggedRecord>, done: ReadonlySet<string>) =>
  log.filter(({ offset, partition }) => !done.has(`${partition}/${offset}`)).slice(0, 5)

/** A record that is given to a handler. */
export type Started = Extract<Told, { readonly _tag: "Started" }>

/** As long as a member has a partition it is given its records one after the other; a log here has no gaps. */
const inOrder = (started: ReadonlyArray<Started>): ReadonlyArray<string> => {
  const last = new Map<string, number>()
  return started.flatMap(({ generation, member, offset, partition }) => {
    const assignment = `${member}, generation ${generation}, partition ${partition}`
    const before = last.get(assignment)
    last.set(assignment, offset)
    return before === undefined || offset === before + 1 ? [] : [`${assignment}: ${offset} after ${before}`]
  })
}

/** What a member begins is not taken from another one that has the partition since. */
const oneOwner = (started: ReadonlyArray<Started>): ReadonlyArray<string> => {
  const owners = new Map<number, Started>()
  return started.flatMap((event) => {
    const before = owners.get(event.partition)
    if (before === undefined || event.generation >= before.generation) {
      owners.set(event.partition, event)
      return []
    }
    return [
      `${event.member} was given ${event.partition}/${event.offset} in generation ${event.generation}, and ${before.member} has it since ${before.generation}`
    ]
  })
}

/** What is committed is not given to a handler any more. */
const committedNotAgain = (
  started: ReadonlyArray<Started>,
  commits: GroupWatch["commits"]
): ReadonlyArray<string> => {
  const committed = new Map<number, number>()
  const events = [...commits.filter(({ errorCode }) => errorCode === 0), ...started]
    .sort((one, other) => one.time - other.time)
  return events.flatMap((event) => {
    const upTo = committed.get(event.partition) ?? 0
    if (event._tag === "Committed") {
      committed.set(event.partition, Math.max(upTo, event.offset))
      return []
    }
    return event.offset >= upTo
      ? []
      : [`${event.member} was given ${event.partition}/${event.offset}, and ${upTo} was committed`]
  })
}

const judge = (
  members: Members,
  watch: GroupWatch,
  log: ReadonlyArray<LoggedRecord>,
  committed: ReadonlyMap<number, number>,
  isUnaware: (event: Started) => boolean
): Judgement => {
  const told = members.told()
  const started = told.filter((event): event is Started => event._tag === "Started")
  const aware = started.filter((event) => !isUnaware(event))
  const events = [...told, ...watch.commits]
    .sort((one, other) => one.time - other.time) as ReadonlyArray<unknown> as ReadonlyArray<HistoryEvent>
  const history: History = {
    events,
    producers: [],
    members: members.names,
    sessionTimeout: 0,
    log: [...log].sort((one, other) => one.partition - other.partition || one.offset - other.offset),
    committed,
    settledAt: undefined,
    settleWithin: 0,
    leftovers: []
  }
  const ends = new Map<number, number>()
  for (const { offset, partition } of log) ends.set(partition, Math.max(ends.get(partition) ?? 0, offset + 1))
  const seen = new Set<string>()
  const again = new Set<string>()
  for (const { offset, partition } of started) {
    const place = `${partition}/${offset}`
    if (seen.has(place)) again.add(place)
    seen.add(place)
  }
  return {
    violations: [
      ...[nothingSkipped, processedIsLogged, commitNotPastProcessed, commitNotBackwards].flatMap(({ check }) =>
        check(history).map(({ invariant, message }) => `${invariant}: ${message}`)
      ),
      ...inOrder(started),
      ...oneOwner(aware),
      ...committedNotAgain(aware, watch.commits)
    ],
    again: [...again],
    committed,
    ends
  }
}

/** Fails unless every promise was kept and all is committed. */
export const assertKept = ({ committed, ends, violations }: Judgement): void => {
  assert.deepStrictEqual(violations.slice(0, 10), [])
  assert.deepStrictEqual([...committed].sort(), [...ends].sort())
}

/** The same, and nothing was handled twice. */
export const assertOnce = (judgement: Judgement): void => {
  assertKept(judgement)
  assert.deepStrictEqual(judgement.again.slice(0, 10), [])
}
