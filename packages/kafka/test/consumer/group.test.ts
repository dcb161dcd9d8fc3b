/** Several members: how partitions move between them. */
import { assert, describe, it } from "@effect/vitest"
import * as Fault from "@sluice/testing/Fault"
import { MemoryCluster } from "@sluice/testing/MemoryCluster"
import { Deferred, Effect, Fiber, Stream, TestClock } from "effect"

import { partitionsOf, type Running, running, together, total, writeAll } from "./members.ts"
import type { Rewrite } from "./rewrite.ts"
import {
  client,
  committed,
  inWorld,
  isDone,
  logged,
  member,
  type NumberRecord,
  passing,
  passUntil,
  quiet,
  range,
  type Seen,
  write
} from "./world.ts"

describe.each(["cooperative-sticky", "range"] as const)("members with the %s assignor", (assignor) => {
  it.effect("share the partitions as they come and go, and no record is left out or comes twice", () => {
    let seenOf: (partition: number) => number = () => 0
    const commits = new Map<number, number>()
    const wrong: Array<string> = []
    // Never past what is unprocessed, and never back.
    const watchCommits: Rewrite = ({ api, request, response }) => {
      if (api !== "OffsetCommit" || response.topics[0].partitions[0].errorCode !== 0) return
      for (const { committedOffset, partitionIndex } of request.topics[0].partitions) {
        if (committedOffset > seenOf(partitionIndex)) wrong.push(`${partitionIndex} at ${committedOffset}: unprocessed`)
        if (committedOffset < (commits.get(partitionIndex) ?? 0)) {
          wrong.push(`${partitionIndex} at ${committedOffset}: back`)
        }
        commits.set(partitionIndex, committedOffset)
      }
    }
    return Effect.gen(function*() {
      const all = range(0, 6)
      const { layer, lines } = logged()
      const members: Array<Running> = []
      seenOf = (partition) => new Set(together(members, partition)).size
      let written = 0
      const writeMore = Effect.suspend(() => writeAll(all, written, written += 20))
      const caughtUp = Effect.suspend(() => passUntil(`${written} of each`, () => total(members) === written * 6))
      yield* Effect.gen(function*() {
        for (let i = 0; i < 3; i++) {
          yield* writeMore
          members.push(yield* running({ assignor }))
          // While it joins.
          yield* writeMore
          yield* caughtUp
          yield* TestClock.adjust("8 seconds")
        }
        yield* writeMore
        yield* caughtUp
        const owned = members.map(({ seen }) => partitionsOf(seen, written - 1))
        assert.deepStrictEqual(owned.map(({ length }) => length), [2, 2, 2])
        assert.deepStrictEqual(owned.flat().sort(), all)
        for (const leaving of [members[0]!, members[2]!]) {
          yield* passing(leaving.close)
          yield* Fiber.join(leaving.run)
          yield* writeMore
          // The others learn of it with their next heartbeat.
          yield* TestClock.adjust("3 seconds")
          yield* caughtUp
        }
      }).pipe(Effect.provide(layer))
      assert.deepStrictEqual(partitionsOf(members[1]!.seen, written - 1), all)
      for (const partition of all) assert.deepStrictEqual(together(members, partition), range(0, written))
      yield* passing(members[1]!.close)
      assert.deepStrictEqual(yield* committed(), Object.fromEntries(all.map((partition) => [partition, written])))
      assert.deepStrictEqual(lines.filter((line) => !line.startsWith("DEBUG")), [])
      assert.deepStrictEqual(wrong, [])
      assert.isAbove(commits.size, 0)
    }).pipe(inWorld({ brokers: 3, topics: { numbers: 6 } }, {}, watchCommits))
  })
})

describe("a rebalance", () => {
  /** The first member has all partitions when the second one joins; a record of one may hold the first one up. */
  const joinedBySecond = (held: number | undefined, assignor: "cooperative-sticky" | "range" = "cooperative-sticky") =>
    Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      let isHeld = false
      const holding = (seen: Seen) => (record: NumberRecord) => {
        if (record.partition !== held || record.value !== "100") return seen.handler(record)
        isHeld = true
        return Effect.zipRight(Deferred.await(gate), seen.handler(record))
      }
      yield* writeAll(range(0, 4), 0, 100)
      const first = yield* running({ assignor }, holding)
      yield* passUntil("all", () => first.seen.count === 400)
      if (held !== undefined) {
        yield* write(held, [100, 101])
        yield* passUntil("held", () => isHeld)
      }
      const second = yield* running({ assignor })
      yield* TestClock.adjust("7 seconds")
      return { first, second, gate }
    })

  const moved = Effect.gen(function*() {
    const { second } = yield* joinedBySecond(undefined)
    yield* writeAll(range(0, 4), 100, 101)
    yield* passUntil("written", () => second.seen.count === 2)
    return partitionsOf(second.seen, 100)
  }).pipe(inWorld({ topics: { numbers: 4 } }))

  it.effect("stops only what moves: kept partitions go on while a revoked one waits for its handler", () =>
    Effect.gen(function*() {
      const [held] = yield* moved
      yield* Effect.gen(function*() {
        const { first, gate, second } = yield* joinedBySecond(held)
        const { seen } = first
        yield* writeAll(range(0, 4).filter((partition) => partition !== held), 100, 120)
        yield* passUntil(
          "the kept ones",
          () => seen.of(0).length + seen.of(1).length + seen.of(2).length + seen.of(3).length >= 440
        )
        assert.strictEqual(second.seen.count, 0)
        const kept = range(0, 4).filter((partition) => seen.of(partition).length === 120)
        assert.lengthOf(kept, 2)
        // The other one that moves is drained already: nothing of it is delivered any more.
        for (const partition of range(0, 4)) {
          if (!kept.includes(partition)) assert.deepStrictEqual(seen.of(partition), range(0, 100))
        }
        yield* Deferred.succeed(gate, undefined)
        yield* passUntil("the moved ones", () => second.seen.count === 21)
        // The record in hand was processed and committed, the one after it went to the new owner.
        assert.deepStrictEqual(seen.of(held!), range(0, 101))
        assert.deepStrictEqual(second.seen.of(held!), [101])
        for (const partition of range(0, 4)) {
          assert.deepStrictEqual(together([first, second], partition), range(0, partition === held ? 102 : 120))
        }
      }).pipe(inWorld({ topics: { numbers: 4 } }))
    }))

  it.effect("waits for a handler no longer than the bound: its record comes again at the new owner", () =>
    Effect.gen(function*() {
      const [held] = yield* moved
      yield* Effect.gen(function*() {
        const { layer, lines } = logged()
        const { first, second } = yield* joinedBySecond(held).pipe(Effect.provide(layer))
        yield* passUntil("taken over", () => second.seen.count === 2, { step: "1 second" })
        assert.deepStrictEqual(second.seen.of(held!), [100, 101])
        assert.deepStrictEqual(first.seen.of(held!), range(0, 100))
        assert.isTrue(lines.some((line) => line.startsWith("WARN") && line.includes("not drained within 20s")))
      }).pipe(inWorld({ topics: { numbers: 4 } }))
    }))

  it.effect("waits until what a stream was given is committed", () =>
    Effect.gen(function*() {
      yield* writeAll([0, 1], 0, 10)
      const first = yield* member()
      const taken: Array<NumberRecord> = []
      yield* Effect.fork(
        Stream.runForEach(first.consumer.records, (record) => Effect.sync(() => taken.push(record)))
      )
      yield* passUntil("all", () => taken.length === 20)
      const done = (n: number) => taken.filter(({ offset }) => offset < n)
      yield* first.consumer.commit(done(5))
      const second = yield* running()
      yield* TestClock.adjust("8 seconds")
      // Nobody has the partition that moves before the rest of it is settled.
      assert.strictEqual(second.seen.count, 0)
      assert.deepStrictEqual(yield* committed(), { 0: 5, 1: 5 })
      const before = yield* TestClock.currentTimeMillis
      yield* first.consumer.commit(done(10))
      yield* writeAll([0, 1], 10, 11)
      yield* passUntil("taken over", () => second.seen.count > 0)
      assert.isBelow((yield* TestClock.currentTimeMillis) - before, 5000)
      assert.lengthOf(second.seen.values, 1)
      assert.match(second.seen.values[0]!, /^[01]\/10$/)
    }).pipe(inWorld({ topics: { numbers: 2 } })))

  for (const way of ["commitSink", "commit"] as const) {
    it.effect(`waits for the first chunk that a stream was given, before anything was settled by ${way}`, () =>
      Effect.gen(function*() {
        const [held] = yield* moved
        yield* Effect.gen(function*() {
          yield* writeAll([held!], 0, 10)
          const { consumer } = yield* member()
          const handled: Array<string> = []
          let begun = false
          const gate = yield* Deferred.make<void>()
          const handle = (record: NumberRecord) =>
            Effect.sync(() => begun = true).pipe(
              Effect.zipRight(Deferred.await(gate)),
              Effect.zipRight(Effect.sync(() => handled.push(`${record.partition}/${record.value}`)))
            )
          const chunks = Stream.mapChunksEffect(
            consumer.records,
            (chunk) => Effect.as(Effect.forEach(chunk, handle, { discard: true }), chunk)
          )
          yield* Effect.fork(
            way === "commitSink"
              ? Stream.run(chunks, consumer.commitSink)
              : Stream.runForEachChunk(chunks, (chunk) => consumer.commit(chunk))
          )
          yield* passUntil("begun", () => begun)
          const second = yield* running()
          yield* TestClock.adjust("10 seconds")
          assert.strictEqual(second.seen.count, 0)
          yield* Deferred.succeed(gate, undefined)
          yield* passUntil("committed", Effect.map(committed(), (offsets) => offsets[held!] === 10))
          yield* writeAll([held!], 10, 11)
          yield* passUntil("taken over", () => second.seen.count > 0)
          assert.deepStrictEqual(second.seen.values, [`${held}/10`])
          assert.lengthOf(handled, 10)
        }).pipe(inWorld({ topics: { numbers: 4 } }))
      }))
  }

  it.effect("does not wait for a stream that has done with its chunk and commits nothing", () =>
    Effect.gen(function*() {
      yield* writeAll([0, 1], 0, 10)
      const { consumer } = yield* member()
      let pulled = 0
      yield* Effect.fork(Stream.runForEach(consumer.records, () => Effect.sync(() => pulled++)))
      yield* passUntil("all", () => pulled === 20)
      const second = yield* running()
      yield* passUntil("taken over", () => second.seen.count === 10)
      assert.isBelow(yield* TestClock.currentTimeMillis, 10_000)
    }).pipe(inWorld({ topics: { numbers: 2 } })))

  it.effect("does not take a commit that crosses the next generation for the end of its membership", () => {
    const joined = Effect.unsafeMakeLatch(true)
    return Effect.gen(function*() {
      const { layer, lines } = logged()
      yield* writeAll([0, 1], 0, 10)
      const first = yield* Effect.provide(member(), yield* client("held")).pipe(Effect.provide(layer))
      const pulled = yield* passing(first.consumer.records.pipe(Stream.take(20), Stream.runCollect))
      joined.unsafeClose()
      yield* running()
      // The next generation has begun; the first member, which leads it, does not know yet.
      yield* TestClock.adjust("4 seconds")
      const commit = yield* Effect.fork(first.consumer.commit(pulled))
      yield* TestClock.adjust("4 seconds")
      assert.isFalse(isDone(commit))
      joined.unsafeOpen()
      yield* passing(Fiber.join(commit))
      assert.deepStrictEqual(yield* committed(), { 0: 10, 1: 10 })
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(lines.filter((line) => !line.startsWith("DEBUG")), [])
    }).pipe(
      inWorld(
        { topics: { numbers: 2 } },
        {},
        ({ api, clientId }) =>
          api === "JoinGroup" && clientId === "held" ? Effect.as(joined.await, undefined) : undefined
      )
    )
  })
})

describe("the coordinator", () => {
  const coordinatorOf = Effect.gen(function*() {
    const cluster = yield* MemoryCluster
    let id = 0
    const apis: Array<string> = []
    yield* cluster.intercept(({ apiName, brokerId }) => {
      if (apiName === "Heartbeat") id = brokerId
      apis.push(apiName)
      return "deliver"
    })
    yield* passUntil("a heartbeat", () => id !== 0)
    return { id, apis }
  })

  it.effect("may stop and start: members stay in the group, and commits go on", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      yield* writeAll(range(0, 3), 0, 10)
      const { run, seen } = yield* running()
      yield* passUntil("all", () => seen.count === 30)
      const { apis, id } = yield* coordinatorOf
      yield* cluster.stopBroker(id)
      yield* writeAll(range(0, 3), 10, 20)
      yield* passUntil("all", () => seen.count === 60)
      yield* passUntil("committed", Effect.map(committed(), (offsets) => offsets[0] === 20 && offsets[2] === 20))
      yield* cluster.startBroker(id)
      yield* TestClock.adjust("20 seconds")
      for (const partition of range(0, 3)) assert.deepStrictEqual(seen.of(partition), range(0, 20))
      assert.isFalse(apis.includes("JoinGroup"))
      assert.isFalse(isDone(run))
    }).pipe(inWorld({ brokers: 3, topics: { numbers: 3 } })))

  it.effect("may lose a connection that nobody hears of: a member beats on another one within its session", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      yield* writeAll(range(0, 3), 0, 10)
      const { seen } = yield* running({ sessionTimeout: "10 seconds", heartbeatInterval: "3 seconds" })
      yield* passUntil("all", () => seen.count === 30)
      const { apis, id } = yield* coordinatorOf
      yield* cluster.inject(Fault.halfOpen({ brokers: [id] }))
      const beats = () => apis.filter((api) => api === "Heartbeat").length
      const before = beats()
      yield* passUntil("heartbeats", () => beats() > before + 5, { step: "1 second", steps: 60 })
      assert.isFalse(apis.includes("JoinGroup"))
    }).pipe(inWorld({ brokers: 3, topics: { numbers: 3 } }, { requestTimeout: "2 seconds" })))

  it.effect("may hang: records flow on, and members find another one", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      yield* writeAll(range(0, 3), 0, 10)
      const { seen } = yield* running({ sessionTimeout: "30 seconds" })
      yield* passUntil("all", () => seen.count === 30)
      const { id } = yield* coordinatorOf
      yield* cluster.pauseBroker(id)
      const others = range(0, 3).filter((partition) => partition + 1 !== id)
      yield* writeAll(others, 10, 20)
      yield* passUntil("the other brokers' partitions", () => seen.count === 50)
      yield* cluster.stopBroker(id)
      yield* writeAll(range(0, 3), 20, 21)
      yield* passUntil("all", () => seen.count === 53, { step: "1 second" })
      yield* passUntil("committed", Effect.map(committed(), (offsets) => offsets[others[0]!] === 21), {
        step: "1 second"
      })
      assert.deepStrictEqual(seen.of(others[0]!), range(0, 21))
    }).pipe(inWorld({ brokers: 3, topics: { numbers: 3 } }, { requestTimeout: "2 seconds" })))
})

describe("a group", () => {
  it.effect("keeps a member whose handler takes longer than its session", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      yield* write(0, [0, 1])
      const { seen } = yield* running(
        { sessionTimeout: "6 seconds", heartbeatInterval: "2 seconds" },
        (seen) => (record) => Effect.zipRight(Effect.sleep("20 seconds"), seen.handler(record))
      )
      yield* TestClock.adjust("1 second")
      const apis: Array<string> = []
      yield* cluster.intercept(({ apiName }) => {
        apis.push(apiName)
        return "deliver"
      })
      yield* TestClock.adjust("40 seconds")
      yield* passUntil("both", () => seen.count === 2)
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(seen.of(0), [0, 1])
      assert.isFalse(apis.includes("JoinGroup"))
      assert.isAtLeast(apis.filter((name) => name === "Heartbeat").length, 18)
      assert.deepStrictEqual(yield* committed(), { 0: 2 })
    }).pipe(inWorld({ topics: { numbers: 1 } })))

  it.effect("takes in partitions that are added, within metadataMaxAge", () => {
    let visible = 2
    return Effect.gen(function*() {
      yield* writeAll(range(0, 4), 0, 5)
      const members = yield* client("members", { metadataMaxAge: "30 seconds" })
      const first = yield* Effect.provide(running(), members)
      const second = yield* Effect.provide(running(), members)
      yield* passUntil("the first two", () => total([first, second]) === 10)
      yield* TestClock.adjust("20 seconds")
      assert.strictEqual(total([first, second]), 10)
      visible = 4
      yield* TestClock.adjust("30 seconds")
      // Metadata, and a heartbeat or two.
      yield* passUntil("all", () => total([first, second]) === 20, { steps: 80 })
      for (const partition of range(0, 4)) assert.deepStrictEqual(together([first, second], partition), range(0, 5))
    }).pipe(
      inWorld(
        { topics: { numbers: 4 } },
        {},
        ({ api, clientId, response }) =>
          api !== "Metadata" || clientId !== "members" ? undefined : {
            ...response,
            topics: response.topics.map((topic: any) => ({
              ...topic,
              partitions: topic.partitions.filter(({ partitionIndex }: any) => partitionIndex < visible)
            }))
          }
      )
    )
  })

  it.effect("is refused where the members' assignors differ: a typed error ends the run", () =>
    Effect.gen(function*() {
      yield* running({ assignor: "range" })
      yield* TestClock.adjust("1 second")
      const { run } = yield* running({ assignor: "cooperative-sticky" })
      const error = yield* passing(Effect.flip(Fiber.join(run)))
      assert.deepInclude(error, { _tag: "FatalError" })
      assert.strictEqual((error as any).reason._tag, "InconsistentGroupProtocol")
      yield* quiet
    }).pipe(inWorld({ topics: { numbers: 1 } })))
})
