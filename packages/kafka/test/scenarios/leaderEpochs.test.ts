/** Logs that a new leader cuts off, and leaders that are not what they were (KIP-320). */
import { assert, describe, it } from "@effect/vitest"
import * as Consumer from "@sluice/kafka/Consumer"
import { OffsetForLeaderEpoch } from "@sluice/kafka/internal/protocol/api/offsetForLeaderEpoch"
import type { RequestOf } from "@sluice/kafka/internal/protocol/field"
import { MemoryCluster } from "@sluice/testing/MemoryCluster"
import { Chunk, Effect, Fiber, Stream } from "effect"

import { Wires } from "../producer/wire.ts"
import { committed, Lines, logged, member, next, range, until, write } from "./reading.ts"
import { play } from "./story.ts"

const first = { topic: "lines", partition: 0 }
const threeBrokers = { cluster: { brokers: 3, topics: { lines: 1 } } } as const

/** Moves the partition to the next broker. */
const moved = (to: number) => Effect.flatMap(MemoryCluster, (cluster) => cluster.setLeader("lines", 0, to))

/** Has every leader answer that the epoch ends there. */
const cutOff = (endOffset: number, leaderEpoch: number) =>
  Effect.map(Wires, (wire) => {
    wire.answer = ({ api }) =>
      api === "OffsetForLeaderEpoch"
        ? {
          _tag: "Body",
          api: OffsetForLeaderEpoch,
          body: {
            topics: [{ topic: "lines", partitions: [{ partition: 0, errorCode: 0, endOffset, leaderEpoch }] }]
          }
        }
        : undefined
  })

const asked = Effect.map(Wires, (wire) =>
  wire.requests.flatMap(({ api, body }) =>
    api === "OffsetForLeaderEpoch"
      ? (body as RequestOf<typeof OffsetForLeaderEpoch>).topics.flatMap(({ partitions }) => partitions)
      : []
  ))

describe("a new leader", () => {
  it("is asked once whether it has what was read, and nothing is skipped or repeated", () => {
    const { warnings, within } = logged()
    play(
      within(Effect.gen(function*() {
        const { consumer } = yield* member()
        const seen: Array<number> = []
        yield* Effect.fork(consumer.run(({ value }) =>
          Effect.sync(() => {
            seen.push(Number(value))
          })
        ))
        for (const round of range(0, 6)) {
          yield* write(0, range(round * 5, round * 5 + 5))
          yield* until("handled", () => seen.length === round * 5 + 5)
          yield* moved((round + 1) % 3 + 1)
        }
        yield* write(0, [30])
        yield* until("all", () => seen.length === 31)
        assert.deepStrictEqual(seen, range(0, 31))
        // The last epoch read, and the leader's own, which is always a newer one.
        const requests = yield* asked
        assert.isAtLeast(requests.length, 5)
        assert.isTrue(requests.every(({ currentLeaderEpoch, leaderEpoch }) => leaderEpoch < currentLeaderEpoch))
        const leaders = requests.map(({ currentLeaderEpoch }) => currentLeaderEpoch)
        assert.deepStrictEqual(leaders, Array.from(new Set(leaders)))
        assert.deepStrictEqual(warnings(), [])
        yield* until("committed", Effect.map(committed(), (offsets) => offsets[0] === 31))
        const cluster = yield* MemoryCluster
        assert.deepStrictEqual((yield* cluster.committed("group")).map(({ leaderEpoch }) => leaderEpoch), [
          leaders.at(-1)
        ])
      })),
      threeBrokers
    )
  })

  it("that has less than a group committed is noticed at the start", () => {
    const { warnings, within } = logged()
    play(
      within(Effect.gen(function*() {
        yield* write(0, range(0, 10))
        const before = yield* member()
        yield* before.consumer.commit(yield* before.consumer.records.pipe(Stream.take(10), Stream.runCollect))
        yield* before.close
        yield* moved(2)
        yield* cutOff(6, 0)
        const { consumer } = yield* member()
        assert.deepStrictEqual(yield* next(consumer.records, 4), range(6, 10))
        assert.lengthOf(warnings(), 1)
      })),
      threeBrokers
    )
  })
})

describe("a log that a new leader cut off", () => {
  it("is read on where the logs diverge: a warning, an event; what was delivered of it cannot be committed", () => {
    const { warnings, within } = logged()
    play(
      within(Effect.gen(function*() {
        yield* write(0, range(0, 10))
        const { consumer } = yield* member()
        const before = yield* consumer.records.pipe(Stream.take(10), Stream.runCollect)
        yield* consumer.commit(Chunk.unsafeGet(before, 7))
        const events = yield* consumer.events.pipe(
          Stream.filter(({ _tag }) => _tag === "PositionReset"),
          Stream.runHead,
          Effect.fork
        )
        yield* cutOff(6, 0)
        // A reader that stopped would begin again at what is not committed.
        const after = yield* Effect.fork(consumer.records.pipe(Stream.drop(2), Stream.take(4), Stream.runCollect))
        yield* Effect.sleep("2 seconds")
        yield* moved(2)
        assert.deepStrictEqual(yield* Effect.flatten(Fiber.join(events)), {
          _tag: "PositionReset",
          ...first,
          reason: "LogTruncated",
          from: 10n,
          to: 6n
        })
        const again = yield* Fiber.join(after)
        assert.deepStrictEqual(Array.from(again, ({ value }) => Number(value)), range(6, 10))
        const error = yield* Effect.flip(consumer.commit(Chunk.unsafeLast(before)))
        assert.strictEqual(error.reason._tag, "NotAssigned")
        yield* until("taken back", Effect.map(committed(), (offsets) => offsets[0] === 6))
        yield* consumer.commit(Chunk.unsafeGet(again, 0))
        assert.deepStrictEqual(yield* committed(), { 0: 7 })
        assert.deepStrictEqual(warnings(), [
          "WARN topic lines, partition 0: offset 10 is past 6, where a new leader cut the log off; " +
          "goes on at 6 (as far as all is processed)"
        ])
      })),
      threeBrokers
    )
  })

  for (const order of ["partition", "key", "none"] as const) {
    it(`is handled again from where all was done, and nothing before that place is left out: by ${order}`, () => {
      play(
        Effect.gen(function*() {
          yield* write(0, range(0, 10))
          const { consumer } = yield* member({ commitInterval: "100 millis" })
          const seen: Array<number> = []
          let isHeld = true
          const run = yield* Effect.fork(consumer.run(({ value }) =>
            Effect.gen(function*() {
              seen.push(Number(value))
              if (Number(value) >= 2 && isHeld) yield* Effect.sleep("20 seconds")
            }), { order, concurrency: 1 }))
          yield* until("in hand", Effect.map(committed(), (offsets) => offsets[0] === 2))
          const reset = yield* consumer.events.pipe(
            Stream.filter(({ _tag }) => _tag === "PositionReset"),
            Stream.runHead,
            Effect.fork
          )
          yield* cutOff(6, 0)
          yield* moved(2)
          assert.strictEqual((yield* Effect.flatten(Fiber.join(reset)))._tag, "PositionReset")
          isHeld = false
          yield* until("again", () => seen.length === 3 + 8)
          assert.deepStrictEqual(seen, [0, 1, 2, ...range(2, 10)])
          yield* until("committed", Effect.map(committed(), (offsets) => offsets[0] === 10))
          yield* Fiber.interrupt(run)
        }),
        threeBrokers
      )
    })
  }

  for (const reset of ["earliest", "latest"] as const) {
    it(`is reset by the policy where the leader knows no such epoch: ${reset}`, () => {
      play(
        Effect.gen(function*() {
          yield* write(0, range(0, 10))
          const { events, records } = yield* Consumer.assign({ topics: [Lines], reset })
          const told = yield* Effect.fork(Stream.runHead(events))
          const seen: Array<number> = []
          yield* Effect.fork(Stream.runForEach(records, ({ value }) =>
            Effect.sync(() => {
              seen.push(Number(value))
            })))
          yield* until("all", () => seen.length === 10)
          yield* cutOff(-1, -1)
          yield* moved(2)
          const to = reset === "earliest" ? 0 : 10
          assert.deepStrictEqual(yield* Effect.flatten(Fiber.join(told)), {
            _tag: "PositionReset",
            ...first,
            reason: "LogTruncated",
            from: 10n,
            to: BigInt(to)
          })
          yield* write(0, [10])
          yield* until("the rest", () => seen.length === 21 - to)
        }),
        threeBrokers
      )
    })
  }

  it("ends the stream with fail, which says where", () => {
    play(
      Effect.gen(function*() {
        yield* write(0, range(0, 10))
        const { records } = yield* Consumer.assign({ topics: [Lines], reset: "fail" })
        const seen: Array<number> = []
        const end = yield* Effect.fork(Effect.flip(Stream.runForEach(records, ({ value }) =>
          Effect.sync(() => {
            seen.push(Number(value))
          }))))
        yield* until("all", () => seen.length === 10)
        yield* cutOff(6, 0)
        yield* moved(2)
        const error = yield* Fiber.join(end)
        assert.deepStrictEqual([error._tag, error.reason._tag, error.reason.partition], [
          "FatalError",
          "LogTruncated",
          0
        ])
        assert.include(error.message, "cut the log off at 6 (epoch 0), before offset 10")
      }),
      threeBrokers
    )
  })

  it("after all that was delivered costs only what was fetched ahead, and nobody hears of it", () => {
    const { warnings, within } = logged()
    play(
      within(Effect.gen(function*() {
        yield* write(0, range(0, 10))
        const { pause, positions, records, resume } = yield* Consumer.assign({ topics: [Lines] })
        yield* until("fetched", Effect.map(positions.get, ([one]) => one?.end === 10n))
        yield* cutOff(6, 0)
        yield* moved(2)
        yield* Effect.sleep("5 seconds")
        yield* pause()
        yield* resume()
        assert.deepStrictEqual(yield* next(records, 10), range(0, 10))
        assert.deepStrictEqual(warnings(), [])
      })),
      threeBrokers
    )
  })
})
