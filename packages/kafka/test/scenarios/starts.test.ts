/** Where consumers start, and where they go on when the log no longer has their position. */
import { assert, describe, it } from "@effect/vitest"
import * as Consumer from "@sluice/kafka/Consumer"
import { MemoryCluster } from "@sluice/testing/MemoryCluster"
import { Context, Effect, Fiber, Stream } from "effect"

import { committed, Lines, logged, member, next, range, until, write } from "./reading.ts"
import { play } from "./story.ts"

const one = { cluster: { topics: { lines: 1 } } } as const
const first = { topic: "lines", partition: 0 }

/** Ten records, one each second from 1,000,000. */
const tenWritten = Effect.forEach(
  range(0, 10),
  (value) => write(0, [value], { timestamp: () => 1_000_000 + value * 1000 }),
  { discard: true }
)

const starts: ReadonlyArray<readonly [string, Consumer.StartPosition, ReadonlyArray<number>]> = [
  ["the beginning", "earliest", range(0, 10)],
  ["the end", "latest", []],
  ["an offset", { offset: 7 }, range(7, 10)],
  ["an offset as a bigint", { offset: 7n }, range(7, 10)],
  ["a timestamp", { timestamp: 1_003_001 }, range(4, 10)],
  ["a date", { timestamp: new Date(1_003_000) }, range(3, 10)],
  ["a timestamp that is older than all", { timestamp: 0 }, range(0, 10)],
  ["a timestamp that is newer than all, which is the end", { timestamp: 2_000_000 }, []]
]

describe("a start", () => {
  for (const [what, from, expected] of starts) {
    it(`SA-C3, CL-26: at ${what}, with a group and without one`, () => {
      play(
        Effect.gen(function*() {
          yield* tenWritten
          const assigned = yield* Consumer.assign({ topics: [Lines], from })
          const { consumer } = yield* member({ from })
          const fibers = [
            yield* Effect.fork(next(assigned.records, expected.length + 1)),
            yield* Effect.fork(next(consumer.records, expected.length + 1))
          ]
          yield* until(
            "started",
            Effect.map(consumer.position(first).pipe(Effect.option), ({ _tag }) => _tag === "Some")
          )
          yield* write(0, [10])
          for (const fiber of fibers) assert.deepStrictEqual(yield* Fiber.join(fiber), [...expected, 10])
        }),
        one
      )
    })
  }

  it("SA-C3: a restart goes on at what was committed, whatever `from` says", () => {
    play(
      Effect.gen(function*() {
        yield* tenWritten
        const before = yield* member({ from: { offset: 2 } })
        const [record] = yield* before.consumer.records.pipe(Stream.take(1), Stream.runCollect)
        yield* before.consumer.commit(record!)
        yield* before.close
        const { consumer } = yield* member({ from: { offset: 8 } })
        assert.deepStrictEqual(yield* next(consumer.records, 3), [3, 4, 5])
      }),
      one
    )
  })

  it("at the end of a log is committed at once, by timestamp too: a restart skips nothing", () => {
    play(
      Effect.gen(function*() {
        yield* tenWritten
        const before = yield* member({ from: { timestamp: 2_000_000 } })
        yield* until("committed", Effect.map(committed(), (offsets) => offsets[0] === 10))
        yield* before.close
        yield* write(0, [10, 11])
        const { consumer } = yield* member({ from: { timestamp: 2_000_000 } })
        assert.deepStrictEqual(yield* next(consumer.records, 2), [10, 11])
      }),
      one
    )
  })

  it("SA-C2: without a group of partitions of several topics, each by itself", () => {
    play(
      Effect.gen(function*() {
        yield* write(1, [1])
        yield* write(0, [2])
        const { assignment, records } = yield* Consumer.assign({
          topics: [Lines],
          partitions: [{ topic: "lines", partition: 1 }]
        })
        assert.deepStrictEqual(yield* assignment.get, [{ topic: "lines", partition: 1 }])
        assert.deepStrictEqual(yield* next(records, 1), [1])
        const error = yield* Effect.flip(
          Consumer.assign({ topics: [Lines], partitions: [{ topic: "lines", partition: 2 }] })
        )
        assert.strictEqual(error.reason._tag, "UnknownTopicOrPartition")
      }),
      { cluster: { topics: { lines: 2 } } }
    )
  })
})

class Table extends Context.Tag("test/Table")<Table, Map<number, bigint>>() {}

/** Offsets that a table has, as in a database. */
const stored = (partitions: ReadonlyArray<Consumer.TopicPartition>) =>
  Effect.map(Table, (table) =>
    partitions.flatMap(({ partition, topic }) => {
      const offset = table.get(partition)
      return offset === undefined ? [] : [{ topic, partition, offset }]
    }))

describe("a seek in onAssigned", () => {
  /** A member that begins each partition at an offset of its own choice. */
  const seeking = (to: number, options: Partial<Consumer.ConsumerOptions<typeof Lines>> = {}) =>
    Effect.gen(function*() {
      const made: { consumer?: Consumer.Consumer<typeof Lines> } = {}
      const { close, consumer } = yield* member<typeof Lines>({
        ...options,
        onAssigned: (partitions) =>
          Effect.forEach(partitions, (each) => Effect.suspend(() => made.consumer!.seek(each, { offset: to })))
      })
      made.consumer = consumer
      return { close, consumer }
    })

  it("SA-C16: to what is committed already is read and committed again, as a seek at any other time", () => {
    play(
      Effect.gen(function*() {
        yield* tenWritten
        const before = yield* member()
        yield* before.consumer.records.pipe(Stream.take(10), Stream.run(before.consumer.commitSink))
        yield* before.close
        assert.deepStrictEqual(yield* committed(), { 0: 10 })
        const { close, consumer } = yield* seeking(2)
        const again = yield* consumer.records.pipe(
          Stream.take(3),
          Stream.tap((record) => consumer.commit(record)),
          Stream.runCollect
        )
        assert.deepStrictEqual(Array.from(again, ({ value }) => Number(value)), [2, 3, 4])
        assert.deepStrictEqual(yield* committed(), { 0: 5 })
        yield* close
      }),
      one
    )
  })

  it("SA-C16: takes the place of the policy: nothing is looked up for that, and nothing told of it", () => {
    for (const reset of ["fail", "latest"] as const) {
      play(
        Effect.gen(function*() {
          yield* tenWritten
          const { consumer } = yield* seeking(7, { reset })
          const events: Array<string> = []
          yield* Effect.fork(Stream.runForEach(consumer.events, ({ _tag }) => Effect.sync(() => events.push(_tag))))
          assert.deepStrictEqual(yield* next(consumer.records, 3), [7, 8, 9])
          assert.notInclude(events, "PositionReset")
        }),
        one
      )
    }
  })
})

describe("a store of offsets", () => {
  it("SA-C3: says where partitions without a group start, and goes on from there exactly once", () => {
    play(
      Effect.gen(function*() {
        const table = yield* Table
        const processed: Array<string> = []
        for (const partition of [0, 1]) yield* write(partition, range(0, 20))
        // Each life takes some records of whatever partition comes, and stores them with the next offset.
        for (let life = 0; life < 10; life++) {
          yield* Effect.scoped(Effect.gen(function*() {
            const { records } = yield* Consumer.assign({ topics: [Lines], from: { store: stored } })
            yield* records.pipe(
              Stream.take(4),
              Stream.runForEach(({ offset, partition, value }) =>
                Effect.sync(() => {
                  processed.push(`${partition}/${value}`)
                  table.set(partition, offset + 1n)
                })
              )
            )
          }))
        }
        assert.sameMembers(
          processed,
          [0, 1].flatMap((partition) => range(0, 20).map((value) => `${partition}/${value}`))
        )
      }).pipe(Effect.provideService(Table, new Map())),
      { cluster: { topics: { lines: 2 } } }
    )
  })

  it("SA-C3: takes the place of a group's offsets, also where a partition goes to another member", () => {
    play(
      Effect.gen(function*() {
        const table = yield* Table
        for (const partition of [0, 1]) yield* write(partition, range(0, 20))
        const other = yield* member({})
        const last = yield* other.consumer.records.pipe(Stream.take(40), Stream.runCollect)
        yield* other.consumer.commit(last)
        yield* other.close
        table.set(0, 15n)
        const seen: Array<string> = []
        const take = (options: Partial<Consumer.ConsumerOptions<typeof Lines, Table>>) =>
          Effect.gen(function*() {
            const { consumer } = yield* member({ from: { store: stored }, ...options } as object)
            yield* Effect.fork(consumer.run(({ offset, partition, value }) =>
              Effect.sync(() => {
                seen.push(`${partition}/${value}`)
                table.set(partition, offset + 1n)
              })
            ))
          })
        yield* take({})
        yield* until("what is stored", () => seen.length === 25)
        yield* take({})
        yield* Effect.sleep("30 seconds")
        for (const partition of [0, 1]) yield* write(partition, [20])
        yield* until("more", () => seen.length === 27)
        yield* Effect.sleep("10 seconds")
        assert.sameMembers(seen, [
          ...range(15, 21).map((value) => `0/${value}`),
          ...range(0, 21).map((value) => `1/${value}`)
        ])
      }).pipe(Effect.provideService(Table, new Map())),
      { cluster: { topics: { lines: 2 } } }
    )
  })

  it("that fails, throws, or gives what is no offset fails the consumer with that", () => {
    play(
      Effect.gen(function*() {
        const stores: ReadonlyArray<() => any> = [
          () => Effect.fail("the database is away"),
          () => {
            throw new Error("the database is away")
          },
          () => Effect.succeed([{ ...first, offset: -1n }]),
          () => Effect.succeed([{ ...first, offset: "next" }]),
          () => Effect.succeed(7)
        ]
        for (const store of stores) {
          const alone = yield* Effect.flip(Consumer.assign({ topics: [Lines], from: { store } }))
          const { close, consumer } = yield* member({ from: { store } })
          const inGroup = yield* Effect.flip(Stream.runDrain(consumer.records))
          for (const error of [alone, inGroup]) {
            assert.deepStrictEqual([error._tag, error.reason._tag], ["FatalError", "OffsetStoreFailed"])
          }
          assert.strictEqual((yield* consumer.health.get).status, "failed")
          yield* close
        }
      }),
      one
    )
  })
})

describe("a partition without an offset", () => {
  for (const what of ["a group", "a store"]) {
    it(`SA-C4: of ${what} ends the stream with a typed error where \`reset\` is fail`, () => {
      play(
        Effect.gen(function*() {
          yield* write(0, range(0, 3))
          const error = what === "a group"
            ? yield* Effect.flatMap(
              member({ reset: "fail" }),
              ({ consumer }) => Effect.flip(Stream.runDrain(consumer.records))
            )
            : yield* Effect.flip(
              Consumer.assign({ topics: [Lines], from: { store: () => Effect.succeed([]) }, reset: "fail" })
            )
          assert.deepStrictEqual([error._tag, error.scope, error.reason._tag, error.reason.partition], [
            "FatalError",
            "partition",
            "NoOffset",
            0
          ])
          assert.include(error.message, what === "a group" ? "group group has no offset" : "the store has no offset")
        }),
        one
      )
    })
  }

  it("begins where `reset` says, with an event", () => {
    const { lines, within } = logged()
    play(
      within(Effect.gen(function*() {
        yield* write(0, range(0, 3))
        const { consumer } = yield* member({ reset: "latest" })
        const events = yield* consumer.events.pipe(
          Stream.filter(({ _tag }) => _tag === "PositionReset"),
          Stream.runHead,
          Effect.fork
        )
        const event = yield* Effect.flatten(Fiber.join(events))
        assert.deepStrictEqual(event, { _tag: "PositionReset", ...first, reason: "NoOffset", from: undefined, to: 3n })
        assert.include(lines, "INFO topic lines, partition 0: group group has no offset; begins at 3")
      })),
      one
    )
  })

  it("begins where `reset` says without a group, too: that is in the log, since nobody can hear of it yet", () => {
    const { lines, within } = logged()
    play(
      within(Effect.gen(function*() {
        yield* write(0, range(0, 3))
        const { position } = yield* Consumer.assign({
          topics: [Lines],
          from: { store: () => Effect.succeed([]) },
          reset: "latest"
        })
        assert.strictEqual(yield* position(first), 3n)
        assert.include(lines, "INFO topic lines, partition 0: the store has no offset; begins at 3")
      })),
      one
    )
  })
})

describe("an offset that the log no longer has", () => {
  const resets = [["earliest", 7, range(7, 10)], ["latest", 10, []]] as const
  for (const [reset, to, rest] of resets) {
    it(`SA-C19, FM-40: goes on at ${reset}: a warning, an event, and what was skipped`, () => {
      const { warnings, within } = logged()
      play(
        within(Effect.gen(function*() {
          const cluster = yield* MemoryCluster
          yield* write(0, range(0, 10))
          yield* cluster.deleteRecords("lines", 0, 7n)
          const consumer = yield* Consumer.assign({ topics: [Lines], from: { offset: 4 }, reset })
          const events = yield* Effect.fork(Stream.runHead(consumer.events))
          const records = yield* Effect.fork(next(consumer.records, rest.length + 1))
          const event = yield* Effect.flatten(Fiber.join(events))
          assert.deepStrictEqual(event, {
            _tag: "PositionReset",
            ...first,
            reason: "OffsetOutOfRange",
            from: 4n,
            to: BigInt(to)
          })
          yield* write(0, [10])
          assert.deepStrictEqual(yield* Fiber.join(records), [...rest, 10])
          assert.deepStrictEqual(warnings(), [
            `WARN topic lines, partition 0: offset 4 is out of range; goes on at ${to} (${reset}); offsets 4 to ${
              to - 1
            } are skipped`
          ])
        })),
        one
      )
    })
  }

  it("SA-C19, FM-40: ends the stream with fail, and says which offset it was", () => {
    play(
      Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        yield* write(0, range(0, 10))
        yield* cluster.deleteRecords("lines", 0, 7n)
        const { health, records } = yield* Consumer.assign({ topics: [Lines], from: { offset: 4 }, reset: "fail" })
        const error = yield* Effect.flip(Stream.runDrain(records))
        assert.deepStrictEqual([error._tag, error.reason._tag], ["FatalError", "OffsetOutOfRange"])
        assert.include(error.message, "offset 4")
        assert.strictEqual((yield* health.get).status, "failed")
      }),
      one
    )
  })
})
