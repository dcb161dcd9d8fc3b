/** Members that are killed, frozen or slow, and what ends a consumer. */
import { assert, describe, it } from "@effect/vitest"
import * as Consumer from "@sluice/kafka/Consumer"
import type { KafkaError } from "@sluice/kafka/KafkaError"
import * as Fault from "@sluice/testing/Fault"
import { MemoryCluster } from "@sluice/testing/MemoryCluster"
import { Cause, Deferred, Effect, Exit, Fiber, Layer, Metric, MetricState, Option, Stream } from "effect"

import { assertOnce, duplicates, everything, share, spawn, writeRounds } from "./processes.ts"
import { committed, Lines, logged, member, range, until, write } from "./reading.ts"
import { play, playSeeds } from "./story.ts"

const topic = (partitions: number, brokers = 1) => ({ cluster: { brokers, topics: { lines: partitions } } }) as const

const orders = ["partition", "key"] as const

describe("a process that is killed", () => {
  it("FM-30, CL-16: in a handler, committed before: nothing comes twice, and no more is lost than was committed ahead", () => {
    for (const order of orders) {
      playSeeds(
        Effect.gen(function*() {
          yield* writeRounds(2, 0, 300)
          const first = yield* spawn("first", {
            run: { commit: "before", order, concurrency: 2 },
            work: () => Effect.sleep("20 millis")
          })
          yield* until("at work", () => first.handled.length >= 40 && first.begun.length > first.handled.length)
          yield* first.kill
          const offsets = yield* committed()
          const second = yield* spawn("second", { run: { commit: "before", order } })
          const rest = 600 - (offsets[0] ?? 0) - (offsets[1] ?? 0)
          yield* until("the rest", () => second.handled.length >= rest)
          yield* Effect.sleep("5 seconds")
          const all = [...first.begun, ...second.begun]
          assert.deepStrictEqual(duplicates(all), [])
          const lost = everything(2, 300).filter((each) =>
            !first.handled.includes(each) && !second.handled.includes(each)
          )
          assert.isAbove(lost.length, 0)
          for (const partition of [0, 1]) {
            assert.isAtMost(lost.filter((each) => each.startsWith(`${partition}/`)).length, 100)
          }
          for (const each of lost) {
            const [partition, value] = each.split("/").map(Number) as [number, number]
            assert.isBelow(value, offsets[partition]!)
          }
        }),
        topic(2),
        2
      )
    }
  })

  it("FM-31: between a handler and its commit: nothing is lost, and only what was not committed comes twice", () => {
    for (const order of orders) {
      playSeeds(
        Effect.gen(function*() {
          const writing = yield* Effect.fork(writeRounds(2, 0, 100, "50 millis"))
          const first = yield* spawn("first", { run: { order }, options: { commitInterval: "1 second" } })
          yield* until("handled", () => first.handled.length >= 85)
          yield* first.kill
          const offsets = yield* committed()
          const second = yield* spawn("second", { run: { order } })
          yield* Fiber.join(writing)
          const all = () => [...first.handled, ...second.handled]
          yield* until("all", () => new Set(all()).size === 200)
          const twice = duplicates(all())
          assert.isAbove(twice.length, 0)
          // Those of an interval.
          assert.isAtMost(twice.length, 2 * 22)
          for (const each of twice) {
            const [partition, value] = each.split("/").map(Number) as [number, number]
            assert.isAtLeast(value, offsets[partition] ?? 0)
          }
        }),
        topic(2),
        2
      )
    }
  })

  it("FM-32: after its commit: nothing is lost, and nothing comes twice", () => {
    for (const order of orders) {
      playSeeds(
        Effect.gen(function*() {
          yield* writeRounds(2, 0, 50)
          const first = yield* spawn("first", { run: { order } })
          yield* until("committed", Effect.map(committed(), (offsets) => offsets[0] === 50 && offsets[1] === 50))
          yield* first.kill
          yield* writeRounds(2, 50, 60)
          const second = yield* spawn("second", { run: { order } })
          yield* until("the rest", () => second.handled.length === 20)
          yield* Effect.sleep("5 seconds")
          assertOnce([...first.handled, ...second.handled], 2, 60)
        }),
        topic(2),
        2
      )
    }
  })

  it("CL-18: that commits after every third record leaves two of them, and the one in hand, to come again", () => {
    for (const at of range(4, 10)) {
      play(
        Effect.gen(function*() {
          yield* writeRounds(1, 0, 20)
          const hold = yield* Deferred.make<void>()
          const first = yield* spawn("first", {
            options: { commitCount: 3, commitInterval: "1 hour" },
            work: ({ value }) => value === String(at) ? Deferred.await(hold) : Effect.sleep("100 millis")
          })
          yield* until("at work", () => first.begun.length === at + 1)
          yield* Effect.sleep("1 second")
          yield* first.kill
          const second = yield* spawn("second")
          yield* until("the rest", () => second.handled.includes("0/19"))
          const again = first.begun.filter((each) => second.handled.includes(each))
          assert.deepStrictEqual(again, range(at - at % 3, at + 1).map((value) => `0/${value}`))
          assert.sameMembers(Array.from(new Set([...first.handled, ...second.handled])), [...everything(1, 20)])
        }),
        topic(1)
      )
    }
  })
})

describe("a process that is frozen", () => {
  it("FM-37: for longer than its session is put out: what it sends then is refused, and its work is interrupted", () => {
    for (const order of orders) {
      playSeeds(
        Effect.gen(function*() {
          const cluster = yield* MemoryCluster
          yield* writeRounds(2, 0, 5)
          const cut: Array<string> = []
          let held = false
          const first = yield* spawn("zombie", {
            run: { order, concurrency: 2 },
            options: { commitInterval: "200 millis" },
            work: ({ partition, value }) =>
              held || value !== "5"
                ? Effect.void
                : Effect.onInterrupt(Effect.never, () => Effect.sync(() => cut.push(`${partition}/${value}`)))
          })
          yield* until("committed", Effect.map(committed(), (offsets) => offsets[0] === 5 && offsets[1] === 5))
          yield* writeRounds(2, 5, 10)
          // By key one after the other: they have the same one.
          const busy = order === "partition" ? 2 : 1
          yield* until("at work", () => first.begun.filter((each) => each.endsWith("/5")).length === busy)
          yield* first.cutOff("20 seconds")
          const second = yield* spawn("second", { options: { commitInterval: "200 millis" } })
          yield* until("taken over", () => second.handled.length === 10)
          yield* until("committed", Effect.map(committed(), (offsets) => offsets[0] === 10 && offsets[1] === 10))
          // By key the zombie has handled others meanwhile: it does not know yet. Nothing of that is committed over these.
          assert.deepStrictEqual(cut, [])
          held = true
          const commits: Array<string> = []
          let rejoined = false
          yield* cluster.intercept(({ apiName, clientId }) => {
            rejoined ||= clientId === "zombie" && apiName === "JoinGroup"
            if (clientId === "zombie" && !rejoined) commits.push(apiName)
            return "deliver"
          })
          yield* until("interrupted", () => cut.length === busy)
          assert.isAtMost(commits.filter((api) => api === "OffsetCommit").length, 1)
          yield* until("back", share([first, second], 2))
          assert.deepStrictEqual(yield* committed(), { 0: 10, 1: 10 })
          yield* writeRounds(2, 10, 15)
          yield* until("all", () => new Set([...first.handled, ...second.handled]).size === 30)
          assert.isNull(first.fiber.unsafePoll())
          yield* until("committed", Effect.map(committed(), (offsets) => offsets[0] === 15 && offsets[1] === 15))
        }),
        topic(2),
        2
      )
    }
  })

  it("FM-38: is another thing than one whose handler is slower than its session: that goes on with its heartbeats", () => {
    playSeeds(
      Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        const joins: Array<string> = []
        yield* writeRounds(2, 0, 3)
        const slow = yield* spawn("slow", { work: () => Effect.sleep("25 seconds") })
        const other = yield* spawn("other", { work: () => Effect.sleep("25 seconds") })
        yield* until("shared", share([slow, other], 2))
        yield* cluster.intercept(({ apiName }) => {
          if (apiName === "JoinGroup") joins.push(apiName)
          return "deliver"
        })
        yield* until("one each", () => slow.handled.length > 0 && other.handled.length > 0)
        yield* Effect.sleep("50 seconds")
        yield* until("all", () => new Set([...slow.handled, ...other.handled]).size === 6)
        assert.deepStrictEqual(joins, [])
        assertOnce([...slow.handled, ...other.handled], 2, 3)
      }),
      topic(2),
      2
    )
  })
})

describe("a coordinator that is killed", () => {
  it("FM-39: is found again elsewhere: nothing is lost, nothing comes twice, and nobody joins again for it", () => {
    for (const order of orders) {
      playSeeds(
        Effect.gen(function*() {
          const cluster = yield* MemoryCluster
          const joins: Array<string> = []
          let coordinator = 0
          yield* cluster.intercept(({ apiName, brokerId }) => {
            if (apiName === "JoinGroup") joins.push(apiName)
            if (apiName === "Heartbeat") coordinator = brokerId
            return "deliver"
          })
          const options = { sessionTimeout: "30 seconds" } as const
          const members = [
            yield* spawn("a", { options, run: { order } }),
            yield* spawn("b", { options, run: { order } })
          ]
          yield* until("shared", share(members, 6))
          const writing = yield* Effect.fork(writeRounds(6, 0, 100, "200 millis"))
          yield* Effect.sleep("4 seconds")
          joins.length = 0
          const killed = coordinator
          yield* cluster.stopBroker(killed)
          yield* Effect.sleep("6 seconds")
          assert.notStrictEqual(coordinator, killed)
          yield* cluster.startBroker(killed)
          // And one that only moves, and answers that it is no coordinator any more.
          const next = coordinator
          yield* cluster.moveCoordinator("group")
          yield* Effect.sleep("4 seconds")
          assert.notStrictEqual(coordinator, next)
          yield* Fiber.join(writing)
          const all = () => members.flatMap(({ handled }) => handled)
          yield* until("all", () => new Set(all()).size === 600)
          yield* Effect.sleep("3 seconds")
          assertOnce(all(), 6, 100)
          assert.deepStrictEqual(joins, [])
          assert.deepStrictEqual(yield* committed(), Object.fromEntries(range(0, 6).map((each) => [each, 100])))
        }),
        topic(6, 3),
        2
      )
    }
  })
})

describe("a consumer whose trouble", () => {
  it("FM-43: passes goes on by itself, and shows it meanwhile", () => {
    play(
      Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        const process = yield* spawn("a", { options: { sessionTimeout: "1 minute" } })
        yield* writeRounds(1, 0, 5)
        yield* until("handled", () => process.handled.length === 5)
        yield* until("committed", Effect.map(committed(), (offsets) => offsets[0] === 5))
        yield* cluster.stopBroker(1)
        yield* until(
          "seen",
          Effect.map(process.consumer.health.get, ({ troubles }) => troubles.some(({ what }) => what === "heartbeat"))
        )
        yield* Effect.sleep("30 seconds")
        assert.isNull(process.fiber.unsafePoll())
        yield* cluster.startBroker(1)
        yield* writeRounds(1, 5, 10)
        yield* until("all", () => process.handled.length === 10)
        yield* until(
          "well",
          Effect.map(
            process.consumer.health.get,
            ({ status, troubles }) => status === "stable" && troubles.length === 0
          )
        )
        assertOnce(process.handled, 1, 10)
      }),
      topic(1)
    )
  })

  const ways: Readonly<
    Record<
      string,
      (consumer: Consumer.Consumer<typeof Lines>) => Effect.Effect<unknown, KafkaError>
    >
  > = {
    run: (consumer) => consumer.run(() => Effect.void),
    runBatch: (consumer) => consumer.runBatch(({ records }) => Effect.succeed(records)),
    process: (consumer) => Stream.runDrain(consumer.process(() => Effect.void)),
    records: (consumer) => Stream.runDrain(consumer.records),
    partitions: (consumer) =>
      Stream.runDrain(Stream.flatMap(consumer.partitions, ({ records }) => records, { concurrency: "unbounded" }))
  }
  for (
    const [api, reason] of [["JoinGroup", "GroupAuthorizationFailed"], ["Fetch", "TopicAuthorizationFailed"]] as const
  ) {
    it(`FM-43: does not pass fails what reads, by its name, and is never silent: ${reason}`, () => {
      for (const [how, read] of Object.entries(ways)) {
        const { lines, within } = logged()
        play(
          within(Effect.gen(function*() {
            const cluster = yield* MemoryCluster
            yield* writeRounds(1, 0, 5)
            yield* cluster.inject(Fault.refuse({ api, times: 100 }, reason))
            const { consumer } = yield* member()
            const exit = yield* Effect.exit(read(consumer))
            const error = Exit.isFailure(exit) ? Option.getOrUndefined(Cause.failureOption(exit.cause)) : undefined
            assert.deepStrictEqual([how, error?._tag, error?.reason._tag], [how, "FatalError", reason])
            if (api === "JoinGroup") {
              assert.strictEqual((yield* consumer.health.get).status, "failed")
              assert.isTrue(lines.some((line) => line.startsWith("ERROR group group:")), lines.join("\n"))
            }
            // Who reads later is told the same.
            const again = yield* Effect.exit(Stream.runDrain(consumer.records))
            if (api === "JoinGroup") assert.isTrue(Exit.isFailure(again))
          })),
          topic(1)
        )
      }
    })
  }

  it("FM-43: ends a worker that is a layer: it says why, leaves the group, and its program goes on", () => {
    const { lines, within } = logged()
    play(
      within(Effect.gen(function*() {
        yield* writeRounds(1, 0, 5)
        yield* Layer.build(
          Consumer.layer(
            { groupId: "group", topics: [Lines] },
            ({ value }) => value === "3" ? Effect.fail("no luck") : Effect.void
          )
        )
        yield* until(
          "said",
          () =>
            lines.includes("ERROR the worker of group group stopped") ||
            lines.some((line) => line.startsWith("ERROR the worker of group group stopped"))
        )
        assert.deepStrictEqual(yield* committed(), { 0: 3 })
        const next = yield* spawn("next")
        yield* until("taken over", () => next.handled.length === 2)
        assert.deepStrictEqual(next.handled, ["0/3", "0/4"])
      })),
      topic(1)
    )
  })
})

describe("what is watched", () => {
  /** How many records of this group were skipped. */
  const skipped = Effect.map(Metric.snapshot, (pairs) => {
    let count = 0
    for (const { metricKey, metricState } of pairs) {
      const ofGroup = Array.from(metricKey.tags).some(({ value }) => value === "watched")
      if (ofGroup && metricKey.name === "sluice.consumer.skipped" && MetricState.isCounterState(metricState)) {
        count += Number(metricState.count)
      }
    }
    return count
  })

  it("CL-23: lag, work in hand and failures move as they should under load, at a stop, and afterwards", () => {
    play(
      Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        const gate = yield* Deferred.make<void>()
        const { consumer } = yield* member({ groupId: "watched", commitInterval: "200 millis" })
        let failing = false
        yield* Effect.fork(
          consumer.run(
            () => Effect.zipRight(Deferred.await(gate), failing ? Effect.fail("no luck") : Effect.void),
            { onFailure: "skip" }
          )
        )
        yield* until("stable", Effect.map(consumer.health.get, ({ status }) => status === "stable"))
        assert.strictEqual(yield* consumer.lag.get, 0n)
        // Held up: the lag grows, and so does the distance to what is committed.
        yield* writeRounds(1, 0, 200)
        yield* Effect.sleep("3 seconds")
        const behind = (yield* consumer.positions.get)[0]!
        assert.strictEqual(behind.end, 200n)
        assert.isUndefined(behind.committed)
        assert.strictEqual(yield* consumer.lag.get, behind.lag)
        // It goes on: both shrink to nothing.
        yield* Deferred.succeed(gate, undefined)
        yield* until("caught up", Effect.map(committed("watched"), (offsets) => offsets[0] === 200))
        assert.strictEqual(yield* consumer.lag.get, 0n)
        assert.deepInclude((yield* consumer.positions.get)[0], { position: 200n, committed: 200n, end: 200n, lag: 0n })
        // Handlers fail: they are counted.
        const before = yield* skipped
        failing = true
        yield* writeRounds(1, 200, 210)
        yield* until("skipped", Effect.map(committed("watched"), (offsets) => offsets[0] === 210))
        assert.strictEqual((yield* skipped) - before, 10)
        // The broker fails: it is among the troubles, with the number of times, and no longer when it is back.
        yield* cluster.stopBroker(1)
        yield* until(
          "trouble",
          Effect.map(consumer.health.get, ({ troubles }) => troubles.some(({ failures }) => failures > 1))
        )
        yield* cluster.startBroker(1)
        yield* until("well", Effect.map(consumer.health.get, ({ troubles }) => troubles.length === 0))
        failing = false
        yield* write(0, [210])
        yield* until("the next", Effect.map(committed("watched"), (offsets) => offsets[0] === 211))
      }),
      topic(1)
    )
  })
})
