/** Which handlers run beside one another, and what is committed meanwhile. */
import { assert, describe, it } from "@effect/vitest"
import * as Serde from "@sluice/kafka/Serde"
import * as Topic from "@sluice/kafka/Topic"
import * as Fault from "@sluice/testing/Fault"
import { MemoryCluster } from "@sluice/testing/MemoryCluster"
import { Effect, Exit, Fiber, Logger, LogLevel, Ref } from "effect"

import { line, Lines } from "../producer/lines.ts"
import { awhile, committed, fill, Hands, join, type Line, moment } from "./hands.ts"
import { play, playSeeds } from "./story.ts"

const keyed = (...values: ReadonlyArray<string>) => values.map((value) => line(value, { key: value[0]! }))

describe("order by key", () => {
  it("SA-C24: records of a key follow one another; other keys, and records without one, go on beside them", () => {
    playSeeds(Effect.gen(function*() {
      yield* fill([...keyed("a1", "a2", "b1", "a3", "b2"), line("none 1"), line("none 2"), ...keyed("c1")])
      const { consumer } = yield* join()
      const hands = new Hands()
      yield* Effect.forkScoped(consumer.run(hands.handler, { order: "key", concurrency: 16 }))
      yield* awhile
      assert.sameMembers([...hands.busy], ["a1", "b1", "none 1", "none 2", "c1"])
      yield* hands.finish("b1")
      assert.include(hands.busy, "b2")
      yield* hands.finish("b2", "none 2", "c1")
      assert.sameMembers([...hands.busy], ["a1", "none 1"])
      yield* hands.finish("a1")
      assert.sameMembers([...hands.busy], ["none 1", "a2"])
      yield* hands.finish("a2")
      yield* hands.finish("a3", "none 1")
      assert.lengthOf(hands.finished, 8)
      yield* Effect.sleep("2 seconds")
      assert.deepStrictEqual(yield* committed(), { 0: 8 })
    }))
  })

  it("SA-C24: equal keys of two topics have nothing to do with each other; those of two partitions of a topic do", () => {
    const Others = Topic.make("others", { key: Serde.string, value: Serde.string })
    playSeeds(
      Effect.gen(function*() {
        yield* fill([
          line("lines 0", { key: "a", partition: 0 }),
          line("lines 1", { key: "a", partition: 1 }),
          Others.record({ key: "a", value: "others" })
        ])
        const { consumer } = yield* join({ topics: [Lines, Others] })
        const hands = new Hands()
        yield* Effect.forkScoped(
          consumer.run((record) => hands.handler(record as Line), { order: "key", concurrency: 16 })
        )
        yield* awhile
        assert.lengthOf(hands.busy, 2)
        assert.include(hands.busy, "others")
        yield* hands.finishAll
        assert.sameMembers(hands.finished, ["lines 0", "lines 1", "others"])
      }),
      { cluster: { topics: { lines: 2, others: 1 } } }
    )
  })

  it("runs no more handlers than it is told to", () => {
    playSeeds(Effect.gen(function*() {
      const values = Array.from({ length: 50 }, (_, i) => `${String.fromCharCode(97 + i % 25)}${i}`)
      yield* fill(keyed(...values))
      const { consumer } = yield* join()
      const hands = new Hands()
      yield* Effect.forkScoped(consumer.run(hands.handler, { order: "key", concurrency: 3 }))
      yield* awhile
      assert.lengthOf(hands.busy, 3)
      yield* hands.finishAll
      assert.strictEqual(hands.most, 3)
      assert.sameMembers(hands.finished, values)
    }))
  })

  it("CL-19, SA-M9: nothing is committed past a gap; two gaps close one after the other", () => {
    playSeeds(Effect.gen(function*() {
      yield* fill(keyed("a", "b", "c", "d", "e", "f"))
      const { consumer } = yield* join({ commitInterval: "1 second" })
      const hands = new Hands()
      yield* Effect.forkScoped(consumer.run(hands.handler, { order: "none" }))
      yield* awhile
      yield* hands.finish("b", "c", "e")
      yield* awhile
      assert.deepStrictEqual(yield* committed(), {})
      yield* hands.finish("a")
      yield* awhile
      assert.deepStrictEqual(yield* committed(), { 0: 3 })
      yield* hands.finish("f")
      yield* awhile
      assert.deepStrictEqual(yield* committed(), { 0: 3 })
      yield* hands.finish("d")
      yield* awhile
      assert.deepStrictEqual(yield* committed(), { 0: 6 })
    }))
  })

  it("SA-M9: a record that is not done stops its partition at `maxAhead`, and no other partition", () => {
    playSeeds(
      Effect.gen(function*() {
        const values = Array.from({ length: 100 }, (_, i) => String(i))
        yield* fill([
          ...values.map((value) => line(value, { key: value, partition: 0 })),
          ...values.map((value) => line(`other ${value}`, { key: `other ${value}`, partition: 1 }))
        ])
        const { consumer } = yield* join()
        const hands = new Hands(({ value }) => value === "0")
        yield* Effect.forkScoped(consumer.run(hands.handler, { order: "key", concurrency: 4, maxAhead: 10 }))
        yield* awhile
        assert.lengthOf(hands.finished, 9 + 100)
        yield* hands.finishAll
        yield* awhile
        assert.lengthOf(hands.finished, 200)
        assert.deepStrictEqual(yield* committed(), { 0: 100, 1: 100 })
      }),
      { cluster: { topics: { lines: 2 } } }
    )
  })

  it("goes no further ahead than `fetch.partitionBytes`", () => {
    play(Effect.gen(function*() {
      const big = "x".repeat(1000)
      yield* fill(Array.from({ length: 50 }, (_, i) => line(`${i} ${big}`, { key: String(i) })))
      const { consumer } = yield* join({ fetch: { partitionBytes: 10_000 } })
      const hands = new Hands(({ value }) => value.startsWith("0 "))
      yield* Effect.forkScoped(consumer.run(hands.handler, { order: "key" }))
      yield* awhile
      assert.isAtLeast(hands.finished.length, 5)
      assert.isAtMost(hands.finished.length, 10)
      yield* hands.finishAll
      yield* awhile
      assert.lengthOf(hands.finished, 50)
    }))
  })

  it("goes no further ahead than an equal part of `fetch.bufferBytes`, also when more partitions came", () => {
    play(
      Effect.gen(function*() {
        const fetch = { partitionBytes: 20_000, bufferBytes: 20_000 }
        const other = yield* join()
        yield* Effect.forkScoped(other.consumer.run(() => Effect.void))
        const { consumer } = yield* join({ fetch })
        const hands = new Hands(({ value }) => value !== "first")
        yield* Effect.forkScoped(consumer.run(hands.handler, { order: "none", concurrency: 100 }))
        yield* awhile
        const [kept] = yield* consumer.assignment.get
        yield* fill([line("first", { partition: kept!.partition })])
        yield* awhile
        yield* other.close
        yield* awhile
        yield* awhile
        assert.lengthOf(yield* consumer.assignment.get, 2)
        const { partition } = kept!
        yield* fill(Array.from({ length: 40 }, (_, i) => line(`${i} ${"x".repeat(1000)}`, { partition })))
        yield* awhile
        assert.isAtLeast(hands.busy.length, 5)
        assert.isAtMost(hands.busy.length, 10)
      }),
      { cluster: { topics: { lines: 2 } } }
    )
  })

  it("SA-C25, FM-34: a handler that fails ends the run: of its key nothing more is handled, and its record is not committed", () => {
    playSeeds(Effect.gen(function*() {
      yield* fill(keyed("a1", "b1", "b2", "a2", "b3"))
      const { consumer } = yield* join()
      const hands = new Hands()
      const run = yield* Effect.fork(consumer.run(hands.handler, { order: "key", concurrency: 16 }))
      yield* awhile
      yield* hands.finish("a1")
      yield* hands.fail("b1", "no luck")
      assert.deepStrictEqual(hands.busy, ["a2"])
      yield* hands.finish("a2")
      assert.deepStrictEqual(yield* Fiber.await(run), Exit.fail("no luck"))
      assert.sameMembers(hands.started, ["a1", "b1", "a2"])
      assert.deepStrictEqual(yield* committed(), { 0: 1 })
      // What was not committed comes again: also a2, which was done.
      const again = new Hands(() => false)
      yield* Effect.forkScoped(consumer.run(again.handler, { order: "key", concurrency: 16 }))
      yield* awhile
      assert.deepStrictEqual(again.finished.filter((value) => value.startsWith("b")), ["b1", "b2", "b3"])
      assert.sameMembers(again.finished, ["b1", "b2", "a2", "b3"])
    }))
  })

  it("when it ends, handles what is older than anything that was begun: what is done can be committed", () => {
    playSeeds(Effect.gen(function*() {
      yield* fill(keyed("a1", "a2", "b1", "a3", "b2"))
      const { close, consumer } = yield* join({ commitInterval: "1 hour" })
      const hands = new Hands()
      const run = yield* Effect.fork(consumer.run(hands.handler, { order: "key", concurrency: 16 }))
      yield* awhile
      assert.sameMembers([...hands.busy], ["a1", "b1"])
      yield* hands.finish("b1")
      // The newest that was begun.
      assert.include(hands.busy, "b2")
      const closing = yield* Effect.fork(close)
      yield* moment
      yield* hands.finish("a1", "b2")
      yield* hands.finish("a2")
      yield* hands.finish("a3")
      yield* Fiber.join(closing)
      assert.deepStrictEqual(yield* Fiber.await(run), Exit.void)
      assert.deepStrictEqual(yield* committed(), { 0: 5 })
    }))
  })

  it("when it ends, begins nothing that is newer than what was begun", () => {
    playSeeds(Effect.gen(function*() {
      yield* fill(keyed("a1", "a2", "b1", "b2", "b3"))
      const { close, consumer } = yield* join({ commitInterval: "1 hour" })
      const hands = new Hands()
      yield* Effect.fork(consumer.run(hands.handler, { order: "key", concurrency: 16 }))
      yield* awhile
      const closing = yield* Effect.fork(close)
      yield* moment
      yield* hands.finish("b1")
      yield* hands.finish("a1")
      yield* hands.finish("a2")
      yield* Fiber.join(closing)
      assert.sameMembers(hands.started, ["a1", "b1", "a2"])
      assert.deepStrictEqual(yield* committed(), { 0: 3 })
    }))
  })

  it("a partition that is revoked is drained alone; a partition that is kept goes on", () => {
    playSeeds(
      Effect.gen(function*() {
        for (const partition of [0, 1]) {
          yield* fill(["1", "2", "3"].map((n) => line(`${partition}/${n}`, { key: `${partition}`, partition })))
        }
        const first = yield* join({ commitInterval: "1 hour" })
        const hands = new Hands()
        yield* Effect.forkScoped(first.consumer.run(hands.handler, { order: "key", concurrency: 4 }))
        yield* awhile
        assert.sameMembers([...hands.busy], ["0/1", "1/1"])
        const second = yield* join()
        const others = new Hands(() => false)
        yield* Effect.forkScoped(second.consumer.run(others.handler, { order: "key", concurrency: 4 }))
        yield* awhile
        // It waits for the handler of the partition that moves.
        assert.deepStrictEqual(others.started, [])
        yield* hands.finish("0/1", "1/1")
        yield* awhile
        const moved = others.finished[0]![0]!
        const kept = moved === "0" ? "1" : "0"
        assert.deepStrictEqual(others.finished, [`${moved}/2`, `${moved}/3`])
        assert.deepStrictEqual(hands.busy, [`${kept}/2`])
        yield* hands.finishAll
        assert.deepStrictEqual(
          hands.finished.filter((value) => value.startsWith(kept)),
          [1, 2, 3].map((n) => `${kept}/${n}`)
        )
        assert.deepStrictEqual(hands.cut, [])
      }),
      { cluster: { topics: { lines: 2 } } }
    )
  })
})

describe("a partition that is lost", () => {
  it("interrupts its handlers alone; what they fail with then is said, and ends nothing", () => {
    for (const order of ["partition", "key"] as const) {
      const said: Array<string> = []
      const logger = Logger.make(({ logLevel, message }) => {
        if (logLevel === LogLevel.Warning) said.push(String(message))
      })
      play(
        Effect.gen(function*() {
          said.length = 0
          const cluster = yield* MemoryCluster
          yield* fill([line("a"), line("b")])
          const { consumer } = yield* join({ sessionTimeout: "6 seconds", heartbeatInterval: "1 second" })
          const seen: Array<string> = []
          let cut = 0
          /** Makes of its interruption what is none. */
          const stubborn = Effect.uninterruptibleMask((restore) =>
            Effect.flatMap(Effect.exit(restore(Effect.never)), () => {
              cut++
              return Effect.die("cut off")
            })
          )
          const run = yield* consumer.run(({ value }) =>
            Effect.suspend(() => {
              seen.push(value)
              return cut === 0 && value === "a" ? stubborn : Effect.void
            }), { order, concurrency: 2 }).pipe(
              Effect.provide(Logger.replace(Logger.defaultLogger, logger)),
              Logger.withMinimumLogLevel(LogLevel.Info),
              Effect.fork
            )
          yield* awhile
          // The group waits for the session of the member that is gone, as it seems.
          yield* cluster.inject(Fault.refuse({ api: "Heartbeat", times: 1 }, "UnknownMemberId"))
          yield* Effect.sleep("12 seconds")
          assert.strictEqual(cut, 1)
          assert.isNull(run.unsafePoll())
          assert.deepStrictEqual(seen.filter((value) => value === "a"), ["a", "a"])
          assert.deepStrictEqual(
            said.filter((each) => each.startsWith("a handler")),
            ["a handler failed after topic lines, partition 0 was lost to this member"]
          )
          yield* awhile
          assert.deepStrictEqual(yield* committed(), { 0: 2 })
          yield* Fiber.interrupt(run)
        })
      )
    }
  })
})

describe("order by partition", () => {
  it("can be limited to so many handlers at a time", () => {
    playSeeds(
      Effect.gen(function*() {
        yield* fill(
          [0, 1, 2, 3].flatMap((partition) => ["1", "2"].map((n) => line(`${partition}/${n}`, { partition })))
        )
        const { consumer } = yield* join()
        const hands = new Hands()
        yield* Effect.forkScoped(consumer.run(hands.handler, { concurrency: 2 }))
        yield* awhile
        assert.lengthOf(hands.busy, 2)
        yield* hands.finishAll
        yield* awhile
        assert.strictEqual(hands.most, 2)
        for (const partition of [0, 1, 2, 3]) {
          assert.deepStrictEqual(
            hands.finished.filter((value) => value.startsWith(String(partition))),
            [`${partition}/1`, `${partition}/2`]
          )
        }
        assert.deepStrictEqual(yield* committed(), { 0: 2, 1: 2, 2: 2, 3: 2 })
      }),
      { cluster: { topics: { lines: 4 } } }
    )
  })

  it("limited, drains those at work and begins none of those that wait for their turn", () => {
    playSeeds(
      Effect.gen(function*() {
        yield* fill([0, 1, 2].flatMap((partition) => ["1", "2"].map((n) => line(`${partition}/${n}`, { partition }))))
        const { close, consumer } = yield* join({ commitInterval: "1 hour" })
        const hands = new Hands()
        yield* Effect.forkScoped(consumer.run(hands.handler, { concurrency: 1 }))
        yield* awhile
        const closing = yield* Effect.fork(close)
        yield* moment
        const [busy] = hands.busy
        yield* hands.finishAll
        yield* Fiber.join(closing)
        assert.deepStrictEqual(hands.started, [busy])
        assert.deepStrictEqual(yield* committed(), { [busy![0]!]: 1 })
      }),
      { cluster: { topics: { lines: 3 } } }
    )
  })
})

describe("commits", () => {
  it("CL-16: before handling, each record is handled at most once, whatever happens", () => {
    playSeeds(Effect.gen(function*() {
      yield* fill(Array.from({ length: 250 }, (_, i) => line(String(i))))
      const seen: Array<string> = []
      const crash = (options: { readonly order: "partition" | "key" }) =>
        Effect.gen(function*() {
          const { consumer } = yield* join()
          let count = 0
          const run = consumer.run(({ value }) =>
            Effect.suspend(() => {
              seen.push(value)
              return ++count === 30 ? Effect.fail("crash") : Effect.void
            }), { ...options, commit: "before" })
          assert.deepStrictEqual(yield* Effect.exit(run), Exit.fail("crash"))
        }).pipe(Effect.scoped)
      yield* crash({ order: "partition" })
      assert.deepStrictEqual(yield* committed(), { 0: 50 })
      yield* crash({ order: "key" })
      assert.isAtLeast(seen.length, 60)
      assert.strictEqual(new Set(seen).size, seen.length)
      const { consumer } = yield* join()
      const rest = new Hands(() => false)
      yield* Effect.forkScoped(consumer.run(rest.handler, { commit: "before" }))
      yield* awhile
      assert.isTrue(rest.finished.every((value) => !seen.includes(value)))
      assert.deepStrictEqual(yield* committed(), { 0: 250 })
    }))
  })

  it("CL-16: before handling, none is handled while its commit is not acknowledged", () => {
    for (const order of ["partition", "key"] as const) {
      playSeeds(
        Effect.gen(function*() {
          const cluster = yield* MemoryCluster
          yield* fill(Array.from({ length: 10 }, (_, i) => line(String(i))))
          yield* cluster.inject(Fault.refuse({ api: "OffsetCommit", times: 1000 }, "CoordinatorLoadInProgress"))
          const { consumer } = yield* join()
          const hands = new Hands(() => false)
          yield* Effect.forkScoped(consumer.run(hands.handler, { order, commit: "before" }))
          yield* awhile
          assert.deepStrictEqual(hands.started, [])
          yield* cluster.heal
          yield* awhile
          assert.lengthOf(hands.finished, 10)
          assert.deepStrictEqual(yield* committed(), { 0: 10 })
        }),
        {},
        2
      )
    }
  })

  it("before handling: what is committed is handled before the run ends", () => {
    for (const order of ["partition", "key"] as const) {
      playSeeds(
        Effect.gen(function*() {
          yield* fill(Array.from({ length: 300 }, (_, i) => line(String(i), { key: "same" })))
          const { close, consumer } = yield* join()
          const seen = yield* Ref.make(0)
          yield* Effect.forkScoped(
            consumer.run(() => Effect.zipRight(Effect.sleep("10 millis"), Ref.update(seen, (n) => n + 1)), {
              order,
              commit: "before"
            })
          )
          yield* Effect.sleep("600 millis")
          yield* close
          const offset = (yield* committed())[0]!
          assert.isAbove(offset, 0)
          assert.isBelow(offset, 300)
          assert.strictEqual(yield* Ref.get(seen), offset)
        }),
        {},
        2
      )
    }
  })

  it("before handling: no more than `maxAhead` are committed and not handled", () => {
    for (const order of ["partition", "key"] as const) {
      for (const maxAhead of [2, 7]) {
        playSeeds(
          Effect.gen(function*() {
            yield* fill(Array.from({ length: 40 }, (_, i) => line(String(i), { key: String(i) })))
            const { consumer } = yield* join()
            let handled = 0
            let most = 0
            yield* Effect.forkScoped(
              consumer.run(() =>
                Effect.gen(function*() {
                  yield* Effect.sleep("10 millis")
                  most = Math.max(most, (yield* committed())[0]! - handled)
                  handled++
                }), { order, concurrency: 3, commit: "before", maxAhead })
            )
            yield* awhile
            assert.strictEqual(handled, 40)
            assert.isAtMost(most, maxAhead)
          }),
          {},
          2
        )
      }
    }
  })

  it("CL-18: are due after `commitCount` records, without waiting for the interval", () => {
    for (const order of ["partition", "key"] as const) {
      playSeeds(
        Effect.gen(function*() {
          yield* fill(Array.from({ length: 10 }, (_, i) => line(String(i), { key: String(i) })))
          const { consumer } = yield* join({ commitCount: 3, commitInterval: "1 hour" })
          const hands = new Hands()
          yield* Effect.forkScoped(consumer.run(hands.handler, { order, concurrency: 1 }))
          yield* awhile
          for (const value of ["0", "1"]) yield* hands.finish(value)
          assert.deepStrictEqual(yield* committed(), {})
          yield* hands.finish("2")
          assert.deepStrictEqual(yield* committed(), { 0: 3 })
          for (const value of ["3", "4", "5", "6"]) yield* hands.finish(value)
          assert.deepStrictEqual(yield* committed(), { 0: 6 })
        }),
        {},
        2
      )
    }
  })
})
