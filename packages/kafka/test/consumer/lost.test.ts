/** Members that fall out of their group: what they lose, and what they must not do. */
import { assert, describe, it } from "@effect/vitest"
import { MemoryCluster } from "@sluice/testing/MemoryCluster"
import { Deferred, Effect, Fiber, Stream, TestClock } from "effect"

import { partitionsOf, running, total, writeAll } from "./members.ts"
import type { Answer, Rewrite } from "./rewrite.ts"
import { client, committed, inWorld, isDone, logged, member, passing, passUntil, range, write } from "./world.ts"

describe("a member that is gone", () => {
  const twoClients = Effect.gen(function*() {
    const a = yield* Effect.provide(running({ sessionTimeout: "10 seconds" }), yield* client("a"))
    const b = yield* Effect.provide(
      running(
        { sessionTimeout: "10 seconds" },
        (seen) => (record) =>
          record.value === "held"
            ? Effect.never.pipe(Effect.onInterrupt(() => seen.handler(record)))
            : seen.handler(record)
      ),
      yield* client("b")
    )
    yield* TestClock.adjust("8 seconds")
    yield* writeAll(range(0, 4), 0, 10)
    yield* passUntil("all", () => total([a, b]) === 40)
    yield* TestClock.adjust("2 seconds")
    assert.lengthOf(partitionsOf(b.seen, 9), 2)
    return { a, b }
  })

  it.effect("without a word, loses its partitions when its session ends; the others go on from its commits", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const { a, b } = yield* twoClients
      yield* cluster.intercept(({ clientId }) => clientId === "b" ? "dropRequest" : "deliver")
      yield* writeAll(range(0, 4), 10, 20)
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(a.seen.count, 40)
      yield* passUntil("taken over", () => a.seen.count === 60, { step: "1 second", steps: 12 })
      for (const partition of partitionsOf(b.seen, 9)) {
        assert.deepStrictEqual(b.seen.of(partition).slice(0, 10), range(0, 10))
        // From its last commit on: what it processed after that comes again.
        assert.deepStrictEqual(a.seen.of(partition), range(10, 20))
      }
    }).pipe(inWorld({ topics: { numbers: 4 } })))

  it.effect("and comes back, interrupts what it had in hand, commits nothing of it, and joins again", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const { layer, lines } = logged()
      const { a, b } = yield* Effect.provide(twoClients, layer)
      const [held] = partitionsOf(b.seen, 9)
      yield* write(held!, ["held"])
      yield* TestClock.adjust("1 second")
      yield* cluster.intercept(({ apiName, clientId }) =>
        clientId === "b" && apiName !== "Fetch" && apiName !== "Metadata" ? "dropRequest" : "deliver"
      )
      yield* passUntil("taken over", () => a.seen.values.includes(`${held}/held`), { step: "1 second", steps: 30 })
      assert.isFalse(b.seen.values.includes(`${held}/held`))
      yield* passing(write(held!, range(10, 20)))
      yield* passUntil("processed", () => a.seen.of(held!).includes(19))
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual((yield* committed())[held!], 21)
      yield* cluster.intercept(() => "deliver")
      yield* passUntil("lost", () => b.seen.values.includes(`${held}/held`), { step: "1 second", steps: 60 })
      assert.isTrue(lines.some((line) => line.startsWith("WARN") && line.includes("2 partitions are lost")))
      yield* TestClock.adjust("10 seconds")
      yield* writeAll(range(0, 4), 30, 31)
      yield* passUntil("both again", () => partitionsOf(a.seen, 30).length + partitionsOf(b.seen, 30).length === 4)
      assert.lengthOf(partitionsOf(b.seen, 30), 2)
      assert.isAtLeast((yield* committed())[held!]!, 21)
      assert.isFalse(isDone(b.run))
    }).pipe(inWorld({ topics: { numbers: 4 } })))
})

/** Answers one API with an error so many times, from when it is told to. */
const failing = (
  api: string,
  code: number,
  fail: (answer: Answer) => unknown = ({ response }) => ({ ...response, errorCode: code })
) => {
  const state = { left: 0, failed: 0 }
  const rewrite: Rewrite = (answer) => {
    if (answer.api !== api || state.left <= 0) return undefined
    state.left--
    state.failed++
    return fail(answer)
  }
  return { rewrite, state }
}

const illegalGeneration = 22

describe("a member that is told that its generation is over", () => {
  it.effect("interrupts its handlers, commits nothing of them, joins again, and goes on from the group's offsets", () => {
    const { rewrite, state } = failing("Heartbeat", illegalGeneration)
    return Effect.gen(function*() {
      const { layer, lines } = logged()
      const interrupted: Array<string> = []
      const hold = yield* Deferred.make<void>()
      const { seen } = yield* running(
        {},
        (seen) => (record) =>
          record.value !== "5" ? seen.handler(record) : Deferred.await(hold).pipe(
            Effect.zipRight(seen.handler(record)),
            Effect.onInterrupt(() => Effect.sync(() => interrupted.push(`${record.partition}/${record.value}`)))
          )
      ).pipe(Effect.provide(layer))
      yield* writeAll([0, 1], 0, 10)
      yield* passUntil("held", () => seen.count === 10)
      yield* passUntil("committed", Effect.map(committed(), (offsets) => offsets[1] === 5))
      state.left = 1
      yield* passUntil("interrupted", () => interrupted.length === 2)
      assert.sameMembers(interrupted, ["0/5", "1/5"])
      yield* Deferred.succeed(hold, undefined)
      yield* passUntil("all", () => seen.count === 20)
      for (const partition of [0, 1]) assert.deepStrictEqual(seen.of(partition), range(0, 10))
      assert.deepStrictEqual(lines.filter((line) => !line.startsWith("DEBUG")), [
        "WARN group group: this member is no longer in it; 2 partitions are lost"
      ])
      yield* passUntil("committed", Effect.map(committed(), (offsets) => offsets[0] === 10 && offsets[1] === 10))
    }).pipe(inWorld({ topics: { numbers: 2 } }, {}, rewrite))
  })

  it.effect("while it drains a partition, does not wait for that", () => {
    const { rewrite, state } = failing(
      "Heartbeat",
      illegalGeneration,
      (answer) => answer.clientId === "first" ? { ...answer.response, errorCode: illegalGeneration } : undefined
    )
    return Effect.gen(function*() {
      yield* writeAll([0, 1], 0, 1)
      const interrupted: Array<number> = []
      const first = yield* client("first")
      const { run } = yield* Effect.provide(
        running(
          { drainTimeout: "50 seconds" },
          () => ({ partition }) =>
            Effect.onInterrupt(Effect.never, () => Effect.sync(() => interrupted.push(partition)))
        ),
        first
      )
      yield* TestClock.adjust("1 second")
      // One of the partitions is to go to this one, as soon as it is drained.
      const second = yield* running()
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual([interrupted, second.seen.count], [[], 0])
      state.left = 1
      yield* passUntil("interrupted", () => interrupted.length > 0, { steps: 35 })
      assert.sameMembers(interrupted, [0, 1])
      assert.isFalse(isDone(run))
      yield* passUntil("taken over", () => second.seen.count > 0, { step: "1 second" })
    }).pipe(
      inWorld({ topics: { numbers: 2 } }, {}, (answer) => answer.clientId === "first" ? rewrite(answer) : undefined)
    )
  })

  it.effect("fails the commits that wait, and passes over them in a sink", () => {
    const { rewrite, state } = failing("OffsetCommit", illegalGeneration, ({ response }) => ({
      ...response,
      topics: response.topics.map((topic: any) => ({
        ...topic,
        partitions: topic.partitions.map((partition: any) => ({ ...partition, errorCode: illegalGeneration }))
      }))
    }))
    return Effect.gen(function*() {
      yield* write(0, range(0, 10))
      const { consumer } = yield* member()
      const pulled = yield* consumer.records.pipe(Stream.take(10), Stream.runCollect)
      state.left = 2
      const byHand = yield* Effect.fork(consumer.commit(pulled))
      const bySink = yield* Effect.fork(Stream.run(Stream.fromChunk(pulled), consumer.commitSink))
      const error = yield* passing(Effect.flip(Fiber.join(byHand)))
      assert.deepStrictEqual([error._tag, error.reason._tag], ["RetriableError", "NotAssigned"])
      yield* passing(Fiber.join(bySink))
      // It has joined again, and starts where the group is: the commit was done, whatever was answered.
      state.left = 0
      yield* write(0, range(10, 15))
      const again = yield* passing(consumer.records.pipe(Stream.take(5), Stream.runCollect))
      assert.deepStrictEqual(Array.from(again, ({ value }) => Number(value)), range(10, 15))
      yield* consumer.commit(again)
      assert.isAbove(Array.from(again)[0]!.generation, Array.from(pulled)[0]!.generation)
      const stale = yield* Effect.flip(consumer.commit(pulled))
      assert.strictEqual(stale.reason._tag, "NotAssigned")
    }).pipe(inWorld({ topics: { numbers: 1 } }, {}, rewrite))
  })
})

describe("a commit that is refused", () => {
  const groupAuthorizationFailed = 30
  const refusing = () =>
    failing("OffsetCommit", groupAuthorizationFailed, ({ response }) => ({
      ...response,
      topics: response.topics.map((topic: any) => ({
        ...topic,
        partitions: topic.partitions.map((partition: any) => ({ ...partition, errorCode: groupAuthorizationFailed }))
      }))
    }))

  it.effect("for good, fails who waits for it", () => {
    const { rewrite, state } = refusing()
    return Effect.gen(function*() {
      yield* write(0, range(0, 10))
      const { consumer } = yield* member()
      const pulled = yield* consumer.records.pipe(Stream.take(10), Stream.runCollect)
      state.left = Infinity
      const error = yield* passing(Effect.flip(consumer.commit(pulled)))
      assert.deepStrictEqual([error._tag, error.reason._tag], ["FatalError", "GroupAuthorizationFailed"])
      const fromSink = yield* passing(Effect.flip(Stream.run(Stream.fromChunk(pulled), consumer.commitSink)))
      assert.strictEqual(fromSink.reason._tag, "GroupAuthorizationFailed")
      yield* TestClock.adjust("5 seconds")
      assert.isAtMost(state.failed, 4)
      state.left = 0
    }).pipe(inWorld({ topics: { numbers: 1 } }, {}, rewrite))
  })

  it.effect("for good, is said where nobody waits, and not tried all the time", () => {
    const { rewrite, state } = refusing()
    return Effect.gen(function*() {
      const { layer, lines } = logged()
      yield* write(0, range(0, 10))
      state.left = Infinity
      const { seen } = yield* Effect.provide(running({ commitInterval: "1 second" }), layer)
      yield* passUntil("all", () => seen.count === 10)
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(state.failed, 1)
      assert.isTrue(lines.some((line) => line.startsWith("ERROR group group: not committed: OffsetCommit: GROUP_AUTH")))
      state.left = 0
    }).pipe(inWorld({ topics: { numbers: 1 } }, {}, rewrite))
  })
})

describe("a coordinator that keeps asking to join again", () => {
  it.effect.each(["JoinGroup", "SyncGroup"])("is not asked in a loop: %s", (api) => {
    const { rewrite, state } = failing(api, 27)
    return Effect.gen(function*() {
      state.left = Infinity
      yield* write(0, range(0, 10))
      const { seen } = yield* running()
      yield* TestClock.adjust("20 seconds")
      assert.isAbove(state.failed, 3)
      assert.isBelow(state.failed, 60)
      state.left = 0
      yield* passUntil("all", () => seen.count === 10)
    }).pipe(inWorld({ topics: { numbers: 1 } }, {}, rewrite))
  })
})
