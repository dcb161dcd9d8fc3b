/** Members of a group that come, go, die and hang on three real brokers that fail: each a process of its own. */
import { assert } from "@effect/vitest"
import { OffsetCommit } from "@sluice/kafka/internal/protocol/api/offsetCommit"
import { Effect } from "effect"

import { reportDuration } from "../support/duration.ts"
import { monotonicTime, type Told } from "../support/member.ts"
import { type MemberProcess, poll } from "../support/members.ts"
import { everyNth, type Frame } from "../support/proxy.ts"
import { type BrokerId, brokerIds, threeBrokers } from "./support/cluster.ts"
import { assertKept, assertOnce, type Group, makeGroup, type Started, startFeed } from "./support/group.ts"
import { test } from "./support/test.ts"
import type { GroupRequest } from "./support/watch.ts"

const cluster = threeBrokers()

reportDuration("Faults of members")

/** So many records, and so many a second while members come and go. */
const many = { count: 100_000, perSecond: 5_000 }

const requestsOf = (group: Group, api: GroupRequest["api"], clientId?: string) =>
  group.watch.requests.filter((request) =>
    request.api === api && (clientId === undefined || request.clientId === clientId)
  )

test(
  "FM-36 three members join and leave every two seconds over 100,000 records: nothing is skipped, and nothing comes twice",
  Effect.gen(function*() {
    const group = yield* makeGroup(cluster, { works: { every: 100, millis: 5 } })
    const members = yield* Effect.forEach(
      ["a", "b", "c"],
      (name) => group.members.start(name, { joins: false }),
      { concurrency: 3 }
    )
    const feed = yield* startFeed(cluster, group.topic, many)
    const isIn = new Set<MemberProcess>()
    let turns = 0
    while (feed.log.length < many.count) {
      const member = members[turns++ % members.length]!
      if (isIn.delete(member)) yield* member.leave
      else {
        isIn.add(member)
        yield* member.join
      }
      // Three members, each in its turn.
      yield* Effect.sleep(2_000 / members.length)
    }
    yield* feed.done
    for (const member of members) if (!isIn.has(member)) yield* member.join
    assertOnce(yield* group.finish(feed.log, members))
    assert.isAtLeast(turns, 20)
  })
)

test(
  "FM-36 some members are killed and all are cut off on the way: nothing is skipped, and only what was not committed comes again",
  Effect.gen(function*() {
    const group = yield* makeGroup(cluster, {
      works: { every: 100, millis: 5 },
      consumer: { sessionTimeout: "2 seconds" }
    })
    const steady = yield* group.members.start("a")
    const leaving = yield* group.members.start("b")
    const feed = yield* startFeed(cluster, group.topic, many)
    let processes = 0
    let cuts = 0
    while (feed.log.length < many.count) {
      const dying = yield* group.members.start(`c${++processes}`)
      yield* leaving.leave
      yield* Effect.sleep("1 second")
      yield* leaving.join
      yield* dying.kill
      yield* Effect.sleep("500 millis")
      for (const proxy of cluster.proxies) proxy.cut()
      cuts++
      yield* Effect.sleep("500 millis")
    }
    yield* feed.done
    const judgement = yield* group.finish(feed.log, [steady, leaving])
    assertKept(judgement)
    assert.isAtLeast(Math.min(processes, cuts), 3)
  })
)

test(
  "FM-39 the group's coordinator is killed: the next one is found, nobody has to join again, and nothing comes twice",
  Effect.gen(function*() {
    const group = yield* makeGroup(cluster)
    const members = yield* Effect.forEach(["a", "b", "c"], (name) => group.members.start(name), { concurrency: 3 })
    yield* group.settled(...members)
    const feed = yield* startFeed(cluster, group.topic, { count: 20_000, perSecond: 3_000 })
    yield* group.progress("all is well", 3_000)
    const joins = requestsOf(group, "JoinGroup").length
    const coordinator = (yield* Effect.promise(() => cluster.operator.coordinator(group.members.groupId))) as BrokerId
    yield* cluster.kill(coordinator)
    yield* group.progress("another one coordinates", 6_000)
    const commits = group.watch.commits.length
    yield* poll("commits go on", () => group.watch.commits.length >= commits + 18)
    yield* cluster.start(coordinator)
    yield* feed.done
    assertOnce(yield* group.finish(feed.log, members))
    // As they leave, the others join for what is left.
    const leave = requestsOf(group, "LeaveGroup")[0]!.time
    assert.lengthOf(requestsOf(group, "JoinGroup").filter(({ time }) => time < leave), joins)
  })
)

test(
  "FM-39 a leader of partitions is killed under a group: the others go on, its partitions too, and nothing comes twice",
  Effect.gen(function*() {
    const group = yield* makeGroup(cluster)
    const members = yield* Effect.forEach(["a", "b", "c"], (name) => group.members.start(name), { concurrency: 3 })
    yield* group.settled(...members)
    const feed = yield* startFeed(cluster, group.topic, { count: 20_000, perSecond: 3_000 })
    yield* group.progress("all is well", 3_000)
    const coordinator = yield* Effect.promise(() => cluster.operator.coordinator(group.members.groupId))
    const leader = brokerIds.find((id) => id !== coordinator)!
    yield* cluster.kill(leader)
    yield* group.progress("others lead", 9_000)
    yield* cluster.start(leader)
    yield* feed.done
    assertOnce(yield* group.finish(feed.log, members))
  })
)

test(
  "FM-38 a handler takes three times the session timeout: its member stays in the group, and nothing comes twice",
  Effect.gen(function*() {
    const session = 2_000
    const group = yield* makeGroup(cluster, {
      consumer: { sessionTimeout: session },
      works: { on: { 100: 3 * session } }
    })
    const members = [yield* group.members.start("a"), yield* group.members.start("b")]
    yield* group.settled(...members)
    const joins = requestsOf(group, "JoinGroup").length
    const feed = yield* startFeed(cluster, group.topic, { count: 3_000 })
    yield* feed.done
    yield* group.members.until(
      "the slow one is done",
      (told) => told.some((event) => event._tag === "Processed" && event.record === 100)
    )
    const [began, ended] = ["Started", "Processed"].map((tag) =>
      group.members.told().find((event) => event._tag === tag && "record" in event && event.record === 100)!
    )
    const [slow] = members.filter(({ name }) => name === began!.member)
    const beats = requestsOf(group, "Heartbeat", slow!.name)
      .filter(({ time }) => time > began!.time && time < ended!.time)
    // One every 200 ms; a machine that is short of time has fewer.
    assert.isAtLeast(beats.length, 10)
    for (const { errorCode } of beats) assert.oneOf(errorCode, [0, undefined])
    assert.lengthOf(requestsOf(group, "JoinGroup"), joins)
    assertOnce(yield* group.finish(feed.log, members))
  })
)

test(
  "FM-37 a member is frozen past its session: what it commits then is refused and not sent again, its handlers end, and it joins again",
  Effect.gen(function*() {
    const forEver = 3_600_000
    const group = yield* makeGroup(cluster, {
      consumer: { sessionTimeout: "2 seconds", heartbeatInterval: "500 millis", commitInterval: "20 millis" },
      works: { every: 1, millis: 2 }
    })
    // The first record of one of its partitions is in hand, and never done: its place is given up in the end.
    const frozen = yield* group.members.start("frozen", { works: { every: 1, millis: 2, on: { 0: forEver } } })
    yield* group.settled(frozen)
    const feed = yield* startFeed(cluster, group.topic, { count: 6_000, perSecond: 1_000 })
    yield* group.progress("it works", 200)
    const other = yield* group.members.start("other")
    yield* group.progress("two work", 200)
    const beats = requestsOf(group, "Heartbeat", "frozen").length
    yield* poll("a heartbeat", () => requestsOf(group, "Heartbeat", "frozen").length > beats)
    yield* frozen.pause
    const pausedAt = monotonicTime()
    yield* group.members.until(
      "the other one has all",
      (told) => told.some((event) => event._tag === "Processed" && event.record === 0)
    )
    yield* frozen.resume
    const later = (tag: Told["_tag"], than = pausedAt) =>
      frozen.told.find(({ _tag, time }) => _tag === tag && time > than)
    yield* group.members.until(
      "it joins again",
      () => later("MemberAssigned", later("MemberLost")?.time ?? Infinity) !== undefined
    )
    yield* feed.done
    const lostAt = later("MemberLost")!.time
    const assignedAt = later("MemberAssigned", lostAt)!.time
    const isUnaware = ({ member, time }: Started) => member === "frozen" && time > pausedAt && time < lostAt
    const judgement = yield* group.finish(feed.log, [frozen, other], isUnaware)
    assertKept(judgement)
    // Of what it had: what was in its hands, and what it had not committed in the last 20 ms and by its last answers.
    assert.isAtLeast(judgement.again.length, 1)
    assert.isAtMost(judgement.again.length, 200)

    const inHand = frozen.told.find((event) => event._tag === "Started" && event.record === 0) as Started
    const ended = frozen.told.find((event) => event._tag === "HandlerEnded" && event.partition === inHand.partition)
    assert.deepInclude(ended, { offset: inHand.offset, how: "interrupted" })
    assert.isBelow(ended!.time, assignedAt)
    const between = frozen.told.filter(({ _tag, time }) => _tag === "Started" && time > lostAt && time < assignedAt)
    assert.deepStrictEqual(between, [])

    // What it commits when it runs again, and when the group rebalanced for the other one is not of interest.
    const commits = requestsOf(group, "OffsetCommit", "frozen").filter(({ time }) => time > pausedAt)
    const refused = commits.filter(({ errorCode }) => errorCode === 25 || errorCode === 22)
    assert.lengthOf(refused, 1)
    const [{ generation, time }] = refused as [GroupRequest]
    assert.deepStrictEqual(commits.filter((each) => each.generation === generation && each.time > time), [])
  })
)

test(
  "FM-30 killed in a handler, committed before: no record is handled twice, and no more are lost than were committed ahead",
  Effect.gen(function*() {
    const group = yield* makeGroup(cluster, {
      partitions: 1,
      run: { commit: "before" },
      consumer: { sessionTimeout: "2 seconds" }
    })
    const { log } = yield* Effect.tap(
      startFeed(cluster, group.topic, { count: 1_000, partitions: 1 }),
      ({ done }) => done
    )
    const first = yield* group.members.start("first", { works: { on: { 500: 3_600_000 } } })
    const isIn = (record: number) => (told: ReadonlyArray<Told>) =>
      told.some((event) => event._tag === "Started" && event.record === record)
    yield* group.members.until("it is in a handler", isIn(500))
    yield* first.kill
    const second = yield* group.members.start("second")
    yield* group.members.until("the next one is at the end", isIn(999))
    yield* second.leave
    const started = group.members.told().flatMap((event) => event._tag === "Started" ? [event.record] : [])
    const lost = log.flatMap(({ record }) => started.includes(record) ? [] : [record])
    assert.lengthOf(new Set(started), started.length)
    // As far ahead as it commits, without a gap, after the one that was in hand.
    assert.isAtMost(lost.length, 100)
    assert.deepStrictEqual(lost, lost.map((_, index) => 501 + index))
  })
)

/** What was committed of the one partition, as the coordinator has said. */
const lastCommitted = (group: Group): number =>
  Math.max(0, ...group.watch.commits.flatMap(({ errorCode, offset }) => errorCode === 0 ? [offset] : []))

test(
  "FM-31 killed between handling and commit: nothing is lost, and what was not committed comes again",
  Effect.gen(function*() {
    const group = yield* makeGroup(cluster, {
      partitions: 1,
      consumer: { sessionTimeout: "2 seconds", commitInterval: "1 hour", commitCount: 100 }
    })
    const feed = yield* startFeed(cluster, group.topic, { count: 500, partitions: 1 })
    const first = yield* group.members.start("first", { works: { every: 1, millis: 1, on: { 250: 3_600_000 } } })
    yield* group.members.until(
      "it is in a handler",
      (told) => told.some((event) => event._tag === "Started" && event.record === 250)
    )
    // Two hundred were due, and fifty are not.
    yield* poll("two hundred are committed", () => lastCommitted(group) >= 200)
    yield* first.kill
    const committed = lastCommitted(group)
    const second = yield* group.members.start("second")
    yield* feed.done
    const judgement = yield* group.finish(feed.log, [second])
    assertKept(judgement)
    assert.isBelow(committed, 250)
    assert.deepStrictEqual(
      judgement.again,
      Array.from({ length: 251 - committed }, (_, index) => `0/${committed + index}`)
    )
  })
)

test(
  "FM-32 killed after the commit: nothing is lost, and nothing comes again",
  Effect.gen(function*() {
    const group = yield* makeGroup(cluster, {
      partitions: 1,
      consumer: { sessionTimeout: "2 seconds", commitInterval: "20 millis" }
    })
    const before = yield* startFeed(cluster, group.topic, { count: 300, partitions: 1 })
    const first = yield* group.members.start("first")
    yield* poll("all is committed", () => lastCommitted(group) === 300)
    yield* first.kill
    const after = yield* startFeed(cluster, group.topic, { count: 300, partitions: 1, since: 300 })
    yield* after.done
    const second = yield* group.members.start("second")
    assertOnce(yield* group.finish([...before.log, ...after.log], [second]))
    assert.lengthOf(second.told.filter(({ _tag }) => _tag === "Started"), 300)
  })
)

test(
  "FM-33 answers to commits are lost: committed again, never backwards, and nothing comes again",
  Effect.gen(function*() {
    const group = yield* makeGroup(cluster, { consumer: { commitInterval: "20 millis" } })
    let lost = 0
    const isCommitAnswer = ({ apiKey, direction }: Frame) => direction === "response" && apiKey === OffsetCommit.key
    group.watch.rule = everyNth(2, isCommitAnswer, () => {
      lost++
      return "reset"
    })
    const members = yield* Effect.forEach(["a", "b"], (name) => group.members.start(name), { concurrency: 2 })
    const feed = yield* startFeed(cluster, group.topic, { count: 10_000, perSecond: 2_500 })
    yield* feed.done
    assertOnce(yield* group.finish(feed.log, members))
    assert.isAtLeast(lost, 20)
  })
)

test(
  "FM-43 all brokers are killed and start again under a group: its members go on by themselves, and nothing is lost",
  Effect.gen(function*() {
    const group = yield* makeGroup(cluster)
    const members = yield* Effect.forEach(["a", "b"], (name) => group.members.start(name), { concurrency: 2 })
    yield* group.settled(...members)
    const feed = yield* startFeed(cluster, group.topic, { count: 9_000, perSecond: 1_500 })
    yield* group.progress("all is well", 1_500)
    yield* cluster.kill(...brokerIds)
    yield* cluster.start(...brokerIds)
    yield* group.progress("they go on", 1_500)
    yield* feed.done
    assertKept(yield* group.finish(feed.log, members))
    for (const { told } of members) assert.notInclude(told.map(({ _tag }) => _tag), "RunFailed")
  })
)

test(
  "FM-43 another member takes the name of a static one: its run fails and says why, and the other one goes on",
  Effect.gen(function*() {
    const group = yield* makeGroup(cluster, { consumer: { groupInstanceId: "one" } })
    const first = yield* group.members.start("first")
    const feed = yield* startFeed(cluster, group.topic, { count: 6_000, perSecond: 1_500 })
    yield* group.progress("all is well", 1_500)
    const second = yield* group.members.start("second")
    yield* group.members.until("it hears of it", () => first.told.some(({ _tag }) => _tag === "MemberClosed"))
    assert.deepInclude(first.told.find(({ _tag }) => _tag === "RunFailed"), {
      error: "FatalError",
      reason: "FencedInstanceId"
    })
    yield* feed.done
    // What the first one did last it may not have committed: what comes behind that only the other one can do.
    const rest = yield* startFeed(cluster, group.topic, { count: 600, perSecond: 1_500, since: 6_000 })
    yield* rest.done
    const fencedAt = group.watch.requests.find(({ api, clientId }) =>
      api === "JoinGroup" && clientId === "second"
    )!.time
    const judgement = yield* group.finish(
      [...feed.log, ...rest.log],
      [second],
      ({ member, time }) => member === "first" && time > fencedAt
    )
    assertKept(judgement)
  })
)
