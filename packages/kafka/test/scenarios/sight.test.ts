/** What can be seen of a consumer, and how it is moved: pause, resume, seek, positions, health. */
import { assert, describe, it } from "@effect/vitest"
import * as Consumer from "@sluice/kafka/Consumer"
import * as Fault from "@sluice/testing/Fault"
import { MemoryCluster } from "@sluice/testing/MemoryCluster"
import { Chunk, Effect, Fiber, Stream } from "effect"

import { committed, type Line, Lines, logged, member, next, range, until, write } from "./reading.ts"
import { play } from "./story.ts"

const at = (partition: number) => ({ topic: "lines", partition })
const one = { cluster: { topics: { lines: 1 } } } as const
const two = { cluster: { topics: { lines: 2 } } } as const

/** A member that runs a handler, and what it saw. */
const running = (options: Partial<Consumer.ConsumerOptions<typeof Lines>> = {}) =>
  Effect.gen(function*() {
    const { close, consumer } = yield* member(options)
    const seen: Array<string> = []
    yield* Effect.fork(consumer.run(({ partition, value }) =>
      Effect.sync(() => {
        seen.push(`${partition}/${value}`)
      })
    ))
    yield* until(
      "started",
      Effect.map(consumer.positions.get, (all) => all.some(({ position }) => position !== undefined))
    )
    return { close, consumer, seen }
  })

describe("pause and resume", () => {
  for (const how of ["run", "records"] as const) {
    it(`hold up one partition alone, which loses nothing: ${how}`, () => {
      play(
        Effect.gen(function*() {
          const { consumer } = yield* member()
          const seen: Array<string> = []
          const see = ({ partition, value }: Line) =>
            Effect.sync(() => {
              seen.push(`${partition}/${value}`)
            })
          yield* Effect.fork(how === "run" ? consumer.run(see) : Stream.runForEach(consumer.records, see))
          yield* consumer.pause([at(0)])
          for (const partition of [0, 1]) yield* write(partition, range(0, 3))
          yield* until("the other", () => seen.length === 3)
          yield* Effect.sleep("20 seconds")
          assert.deepStrictEqual(seen, ["1/0", "1/1", "1/2"])
          assert.deepStrictEqual(
            (yield* consumer.positions.get).map(({ paused }) => paused),
            [true, false]
          )
          yield* consumer.resume()
          yield* until("all", () => seen.length === 6)
          assert.deepStrictEqual(seen.slice(3), ["0/0", "0/1", "0/2"])
        }),
        two
      )
    })
  }

  it("hold back what was fetched already, and do not fetch meanwhile", () => {
    play(
      Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        yield* write(0, range(0, 3))
        const { pause, positions, records, resume } = yield* Consumer.assign({ topics: [Lines] })
        yield* until("fetched", Effect.map(positions.get, ([first]) => first?.end === 3n))
        yield* pause()
        const pulled = yield* Effect.fork(next(records, 4))
        yield* Effect.sleep("5 seconds")
        yield* write(0, [3])
        let fetches = 0
        yield* cluster.intercept(({ apiName }) => {
          if (apiName === "Fetch") fetches++
          return "deliver"
        })
        yield* Effect.sleep("10 seconds")
        assert.isNull(pulled.unsafePoll())
        assert.strictEqual(fetches, 0)
        yield* resume([at(0)])
        assert.deepStrictEqual(yield* Fiber.join(pulled), range(0, 4))
      }),
      one
    )
  })

  it("SA-C15: a paused partition that goes to another member and comes back is still paused", () => {
    play(
      Effect.gen(function*() {
        const first = yield* running()
        yield* first.consumer.pause()
        const second = yield* running()
        yield* until("shared", Effect.map(second.consumer.assignment.get, ({ length }) => length === 1))
        yield* second.close
        yield* until("back", Effect.map(first.consumer.assignment.get, ({ length }) => length === 2))
        for (const partition of [0, 1]) yield* write(partition, [partition])
        yield* Effect.sleep("20 seconds")
        assert.deepStrictEqual(first.seen, [])
        yield* first.consumer.resume()
        yield* until("all", () => first.seen.length === 2)
      }),
      two
    )
  })
})

describe("seek", () => {
  it("goes back, forward, to an end and to a time; what was delivered before cannot be committed after it", () => {
    play(
      Effect.gen(function*() {
        yield* Effect.forEach(range(0, 10), (value) => write(0, [value], { timestamp: () => 1_000_000 + value }))
        const { consumer } = yield* member()
        const pull = (count: number) => consumer.records.pipe(Stream.take(count), Stream.runCollect)
        const values = (records: Iterable<Line>) => Array.from(records, ({ value }) => Number(value))
        const before = yield* pull(6)
        yield* consumer.commit(Chunk.unsafeGet(before, 3))
        yield* consumer.seek(at(0), { offset: 1n })
        assert.strictEqual(yield* consumer.position(at(0)), 1n)
        const error = yield* Effect.flip(consumer.commit(Chunk.unsafeLast(before)))
        assert.strictEqual(error.reason._tag, "NotAssigned")
        const again = yield* pull(2)
        assert.deepStrictEqual(values(again), [1, 2])
        // It is committed as it is processed, also where that is before the last commit.
        yield* consumer.commit(Chunk.unsafeGet(again, 0))
        assert.deepStrictEqual(yield* committed(), { 0: 2 })
        for (
          const [to, expected] of [
            [{ offset: 8 }, [8, 9]],
            ["earliest", [0, 1]],
            [{ timestamp: 1_000_007 }, [7, 8]]
          ] as const
        ) {
          yield* consumer.seek(at(0), to)
          assert.deepStrictEqual(values(yield* pull(2)), [...expected])
        }
        yield* consumer.seek(at(0), "latest")
        yield* write(0, [10])
        assert.deepStrictEqual(values(yield* pull(1)), [10])
      }),
      one
    )
  })

  it("in the middle of a run goes on there at once, and settles nothing of what was in hand", () => {
    play(
      Effect.gen(function*() {
        yield* write(0, range(0, 10))
        const { consumer } = yield* member()
        const seen: Array<number> = []
        yield* Effect.fork(consumer.run(({ value }) =>
          Effect.gen(function*() {
            seen.push(Number(value))
            if (value === "7" && seen.length < 10) yield* Effect.orDie(consumer.seek(at(0), { offset: 2 }))
            if (value === "3" && seen.length > 8) yield* Effect.sleep("10 seconds")
          })
        ))
        yield* until("again", () => seen.length === 10)
        // One in hand does not count; what was settled before the seek neither.
        yield* Effect.sleep("5 seconds")
        assert.deepStrictEqual(yield* committed(), { 0: 3 })
        yield* until("all", () => seen.length === 16)
        assert.deepStrictEqual(seen, [...range(0, 8), ...range(2, 10)])
        yield* until("committed", Effect.map(committed(), (offsets) => offsets[0] === 10))
      }),
      one
    )
  })

  for (const order of ["key", "none"] as const) {
    it(`in the middle of a run by ${order} leaves what is queued, and is not held up by it`, () => {
      play(
        Effect.gen(function*() {
          yield* write(0, range(0, 20))
          const { consumer } = yield* member({ commitInterval: "100 millis" })
          const seen: Array<number> = []
          // Full, and with handlers that take long.
          const run = yield* Effect.fork(consumer.run(({ value }) =>
            Effect.gen(function*() {
              seen.push(Number(value))
              if (seen.length <= 2) yield* Effect.sleep("10 seconds")
            }), { order, concurrency: 2, maxAhead: 4 }))
          yield* until("in hand", () => seen.length === 2)
          yield* consumer.seek(at(0), { offset: 15 })
          yield* until("all", () => seen.length === 7)
          assert.deepStrictEqual(seen, [0, 1, ...range(15, 20)])
          yield* until("committed", Effect.map(committed(), (offsets) => offsets[0] === 20))
          yield* consumer.seek(at(0), { offset: 18 })
          yield* until("again", () => seen.length === 9)
          assert.deepStrictEqual(seen.slice(7), [18, 19])
          yield* Fiber.interrupt(run)
        }),
        one
      )
    })
  }

  it("in the middle of a batch hands out none of what is left of it", () => {
    play(
      Effect.gen(function*() {
        yield* write(0, range(0, 10))
        const { consumer } = yield* member({ commitInterval: "100 millis" })
        const seen: Array<ReadonlyArray<number>> = []
        yield* Effect.fork(consumer.runBatch(({ records }) =>
          Effect.gen(function*() {
            seen.push(records.map(({ value }) => Number(value)))
            if (seen.length === 2) yield* Effect.orDie(consumer.seek(at(0), { offset: 7 }))
            return records
          }), { maxRecords: 2 }))
        yield* until("all", Effect.map(committed(), (offsets) => offsets[0] === 10))
        assert.deepStrictEqual(seen, [[0, 1], [2, 3], [7, 8], [9]])
      }),
      one
    )
  })

  it("with commits before handling waits for none that is given up, and handles what was committed", () => {
    play(
      Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        yield* write(0, range(0, 10))
        const { consumer } = yield* member({ commitInterval: "100 millis" })
        const seen: Array<number> = []
        let isHeld = true
        yield* cluster.intercept(({ apiName }) => apiName === "OffsetCommit" && isHeld ? "disconnect" : "deliver")
        yield* Effect.fork(consumer.run(({ value }) =>
          Effect.sync(() => {
            seen.push(Number(value))
          }), { commit: "before" }))
        yield* until("pulled", Effect.map(consumer.positions.get, ([one]) => one?.position === 10n))
        yield* consumer.seek(at(0), { offset: 10 })
        yield* write(0, [10])
        isHeld = false
        yield* until("handled", () => seen.length === 1)
        assert.deepStrictEqual(seen, [10])
        assert.deepStrictEqual(yield* committed(), { 0: 11 })
      }),
      one
    )
  })

  it("fails a commit that waits, wherever it goes", () => {
    play(
      Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        yield* write(0, range(0, 10))
        const { consumer } = yield* member()
        const before = yield* consumer.records.pipe(Stream.take(3), Stream.runCollect)
        yield* cluster.intercept(({ apiName }) => apiName === "OffsetCommit" ? "disconnect" : "deliver")
        const waiting = yield* Effect.fork(Effect.flip(consumer.commit(before)))
        yield* until("in trouble", Effect.map(consumer.health.get, ({ troubles }) => troubles[0]?.what === "commit"))
        yield* consumer.seek(at(0), { offset: 8 })
        assert.strictEqual((yield* Fiber.join(waiting)).reason._tag, "NotAssigned")
        yield* until("over", Effect.map(consumer.health.get, ({ troubles }) => troubles.length === 0))
      }),
      one
    )
  })

  it("SA-C16: before the start is known is not overwritten by it", () => {
    play(
      Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        yield* write(0, range(0, 10))
        const { consumer } = yield* member()
        let isLost = true
        yield* cluster.intercept(({ apiName }) => apiName === "OffsetFetch" && isLost ? "disconnect" : "deliver")
        yield* until("assigned", Effect.map(consumer.assignment.get, ({ length }) => length === 1))
        yield* consumer.seek(at(0), { offset: 7 })
        isLost = false
        assert.deepStrictEqual(yield* next(consumer.records, 3), [7, 8, 9])
      }),
      one
    )
  })

  it("SA-B6: refuses what is no partition, no position, or not assigned, and sends nothing for it", () => {
    play(
      Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        const { consumer } = yield* running()
        yield* consumer.pause()
        yield* Effect.sleep("5 seconds")
        let lookups = 0
        yield* cluster.intercept(({ apiName }) => {
          if (apiName === "ListOffsets") lookups++
          return "deliver"
        })
        for (
          const partition of [{ topic: "lines", partition: -1 }, { topic: "lines", partition: 0.5 }, undefined, {}]
        ) {
          for (const wrong of [consumer.seek(partition as any, "latest"), consumer.pause([partition as any])]) {
            assert.strictEqual((yield* Effect.flip(wrong)).reason._tag, "InvalidArgument")
          }
        }
        for (const to of ["end", { offset: -1 }, { offset: 2n ** 60n }, { timestamp: -5 }, undefined, 3]) {
          const error = yield* Effect.flip(consumer.seek(at(0), to as any))
          assert.strictEqual(error.reason._tag, "InvalidArgument")
          assert.include(error.message, "Consumer.seek: to ")
        }
        for (const elsewhere of [{ topic: "lines", partition: 7 }, { topic: "others", partition: 0 }]) {
          assert.strictEqual((yield* Effect.flip(consumer.seek(elsewhere, "latest"))).reason._tag, "NotAssigned")
          assert.strictEqual((yield* Effect.flip(consumer.position(elsewhere))).reason._tag, "NotAssigned")
        }
        assert.strictEqual(lookups, 0)
      }),
      one
    )
  })
})

describe("what can be seen", () => {
  it("is where each partition is, and how far behind", () => {
    play(
      Effect.gen(function*() {
        yield* write(0, range(0, 10))
        const { consumer } = yield* member()
        const pulled = yield* consumer.records.pipe(Stream.take(4), Stream.runCollect)
        yield* consumer.commit(pulled)
        yield* consumer.seek(at(0), { offset: 4 })
        yield* until("fetched", Effect.map(consumer.lag.get, (lag) => lag === 6n))
        assert.deepStrictEqual(yield* consumer.positions.get, [
          { ...at(0), position: 4n, committed: undefined, end: 10n, lag: 6n, paused: false }
        ])
        yield* Effect.fork(consumer.run(() => Effect.void))
        const lags = yield* consumer.lag.changes.pipe(Stream.takeUntil((lag) => lag === 0n), Stream.runCollect)
        assert.strictEqual(Chunk.unsafeLast(lags), 0n)
        yield* until(
          "committed",
          Effect.map(consumer.positions.get, ([first]) => first?.committed === 10n && first.position === 10n)
        )
      }),
      one
    )
  })

  it("is told as it changes, also while nothing is fetched", () => {
    play(
      Effect.gen(function*() {
        yield* write(0, range(0, 10))
        const { consumer } = yield* member({ fetch: { maxWait: "1 minute" } })
        const soon = <A, E, R>(self: Effect.Effect<A, E, R>) =>
          Effect.timeoutFail(self, {
            duration: "5 seconds",
            onTimeout: () => new Error("not told in time")
          })
        const caughtUp = yield* consumer.lag.changes.pipe(
          Stream.dropUntil((lag) => lag === 10n),
          Stream.filter((lag) => lag === 0n),
          Stream.runHead,
          Effect.fork
        )
        const isCommitted = yield* consumer.positions.changes.pipe(
          Stream.filter(([first]) => first?.committed === 10n),
          Stream.runHead,
          Effect.fork
        )
        yield* until("fetched", Effect.map(consumer.lag.get, (lag) => lag === 10n))
        yield* Effect.fork(consumer.run(() => Effect.void))
        yield* soon(Fiber.join(caughtUp))
        yield* soon(Fiber.join(isCommitted))
      }),
      one
    )
  })

  it("is the assignment as it changes, and events in their order; streams end with the consumer", () => {
    play(
      Effect.gen(function*() {
        const first = yield* member()
        const events = yield* Effect.fork(Stream.runCollect(first.consumer.events))
        const assignments = yield* Effect.fork(
          first.consumer.assignment.changes.pipe(Stream.map((all) => all.length), Stream.runCollect)
        )
        yield* until("assigned", Effect.map(first.consumer.assignment.get, ({ length }) => length === 2))
        const second = yield* member()
        yield* until("shared", Effect.map(second.consumer.assignment.get, ({ length }) => length === 1))
        const kept = yield* first.consumer.assignment.get
        yield* Effect.sleep("10 seconds")
        yield* first.close
        assert.deepStrictEqual(Chunk.toReadonlyArray(yield* Fiber.join(assignments)), [0, 2, 1, 0])
        const named = Chunk.toReadonlyArray(yield* Fiber.join(events)).flatMap((event) =>
          event._tag === "Assigned" || event._tag === "Revoked" ? [[event._tag, event.partitions.length] as const] : []
        )
        assert.deepStrictEqual(named, [["Assigned", 2], ["Revoked", 1], ["Revoked", 1]])
        assert.lengthOf(kept, 1)
        assert.strictEqual((yield* first.consumer.health.get).status, "closed")
      }),
      two
    )
  })

  it("has the commits that fail among its troubles, until one is accepted", () => {
    play(
      Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        yield* write(0, range(0, 10))
        const { consumer } = yield* member({ commitInterval: "100 millis", commitRetry: { times: 1 } })
        let isLost = true
        yield* cluster.intercept(({ apiName }) => apiName === "OffsetCommit" && isLost ? "disconnect" : "deliver")
        yield* Effect.fork(consumer.run(() => Effect.void))
        const { troubles } = yield* consumer.health.changes.pipe(
          // Also past the attempts after which those that wait are told.
          Stream.filter(({ troubles }) => troubles.some(({ failures, what }) => what === "commit" && failures > 3)),
          Stream.runHead,
          Effect.flatten
        )
        assert.deepStrictEqual(troubles.map(({ what }) => what), ["commit"])
        isLost = false
        yield* until("over", Effect.map(consumer.health.get, ({ troubles }) => troubles.length === 0))
        assert.deepStrictEqual(yield* committed(), { 0: 10 })
      }),
      one
    )
  })

  it("is a group without a coordinator, from the first time that it is not found", () => {
    const { warnings, within } = logged()
    play(
      within(Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        yield* cluster.inject(Fault.refuse({ api: "FindCoordinator", times: 1000 }, "CoordinatorNotAvailable"))
        const { consumer } = yield* member()
        const seen: Array<string> = []
        yield* Effect.fork(consumer.run(({ value }) => Effect.sync(() => seen.push(value))))
        yield* Effect.sleep("3 seconds")
        const { status, troubles } = yield* consumer.health.get
        assert.strictEqual(status, "joining")
        assert.deepStrictEqual(troubles.map(({ what }) => what), ["join"])
        yield* Effect.sleep("5 seconds")
        assert.isTrue(warnings().some((line) => line.includes("joining group group failed")), warnings().join())
        yield* cluster.heal
        yield* write(0, [1])
        yield* until("handled", () => seen.length === 1)
        yield* until("well", Effect.map(consumer.health.get, ({ troubles }) => troubles.length === 0))
      })),
      one
    )
  })

  it("is what fails and is tried again, until it works", () => {
    play(
      Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        const { consumer, seen } = yield* running()
        assert.deepStrictEqual(yield* consumer.health.get, { status: "stable", troubles: [] })
        yield* cluster.stopBroker(1)
        yield* until(
          "trouble",
          Effect.map(
            consumer.health.get,
            ({ troubles }) =>
              ["fetch from broker 1", "heartbeat", "metadata"].every((what) =>
                troubles.some((one) => one.what === what)
              )
          )
        )
        const { troubles } = yield* consumer.health.get
        assert.isTrue(troubles.every(({ failures, message }) => failures > 0 && message !== ""))
        yield* cluster.startBroker(1)
        yield* write(0, [1])
        yield* until("handled", () => seen.length === 1)
        yield* until("well", Effect.map(consumer.health.get, ({ troubles }) => troubles.length === 0))
      }),
      { ...one, client: { apiTimeout: "2 seconds" } }
    )
  })
})
