/** What is asked of brokers, of which of them, and how much is held of what they give. */
import { assert, describe, it } from "@effect/vitest"
import * as Consumer from "@sluice/kafka/Consumer"
import { Fetch } from "@sluice/kafka/internal/protocol/api/fetch"
import type { RequestOf } from "@sluice/kafka/internal/protocol/field"
import * as Producer from "@sluice/kafka/Producer"
import * as Fault from "@sluice/testing/Fault"
import { MemoryCluster } from "@sluice/testing/MemoryCluster"
import { Chunk, Duration, Effect, Fiber, Stream } from "effect"

import { Wires } from "../producer/wire.ts"
import { committed, type Line, Lines, logged, member, named, next, range, until, write } from "./reading.ts"
import { play, playSeeds } from "./story.ts"

interface Sent extends RequestOf<typeof Fetch> {
  readonly broker: number
}

/** The Fetch requests that were sent so far. */
const fetches = Effect.map(
  Wires,
  ({ requests }): ReadonlyArray<Sent> =>
    requests.flatMap(({ address, api, body }) =>
      api === "Fetch" ? [{ ...body as RequestOf<typeof Fetch>, broker: Number(/broker-(\d+)/.exec(address)![1]) }] : []
    )
)

const partitionsOf = ({ topics }: Sent) => topics.flatMap(({ partitions }) => partitions.map((each) => each.partition))
const forgottenBy = ({ forgottenTopicsData }: Sent) => forgottenTopicsData.flatMap(({ partitions }) => partitions)

/** Handles records by writing them down. */
const noting = () => {
  const seen = new Map<number, Array<number>>()
  const handler = ({ partition, value }: Line) =>
    Effect.sync(() => {
      seen.set(partition, [...seen.get(partition) ?? [], Number(value)])
    })
  const count = () => Array.from(seen.values()).reduce((sum, values) => sum + values.length, 0)
  return { seen, handler, count, of: (partition: number) => seen.get(partition) ?? [] }
}

describe("a fetch session", () => {
  it("names each partition once, and then only what has changed", () =>
    play(
      Effect.gen(function*() {
        const { consumer } = yield* member()
        const { count, handler, of } = noting()
        yield* Effect.fork(consumer.run(handler))
        yield* Effect.sleep("10 seconds")
        const idle = yield* fetches
        const first = idle.findLast(({ sessionEpoch }) => sessionEpoch === 0)!
        assert.lengthOf(partitionsOf(first), 100)
        const later = idle.slice(-5)
        for (const request of later) assert.deepStrictEqual(partitionsOf(request), [])
        assert.deepStrictEqual(
          later.map(({ sessionEpoch }) => sessionEpoch),
          range(later[0]!.sessionEpoch, later[0]!.sessionEpoch + 5)
        )
        yield* write(7, [1, 2])
        yield* until("handled", () => count() === 2)
        yield* Effect.sleep("2 seconds")
        const after = (yield* fetches).slice(idle.length)
        assert.deepStrictEqual(Array.from(new Set(after.flatMap(partitionsOf))), [7])
        assert.deepStrictEqual(of(7), [1, 2])
        // What was not spoken of again is known all the same.
        const positions = yield* consumer.positions.get
        assert.deepStrictEqual(new Set(positions.map(({ lag }) => lag)), new Set([0n]))
      }),
      { cluster: { topics: { lines: 100 } } }
    ))

  it("has no partition whose records nobody takes, until they are taken", () =>
    play(
      Effect.gen(function*() {
        const { consumer } = yield* member({ fetch: { partitionBytes: 1000 } })
        const { count, handler } = noting()
        yield* write(0, range(0, 40))
        yield* Effect.fork(consumer.run(handler))
        yield* until("all", () => count() === 40)
        yield* consumer.pause([{ topic: "lines", partition: 0 }])
        yield* Effect.sleep("2 seconds")
        const before = (yield* fetches).length
        yield* write(0, range(40, 60))
        yield* write(1, range(0, 10))
        yield* until("the other", () => count() === 50)
        const paused = (yield* fetches).slice(before)
        assert.isEmpty(paused.flatMap(partitionsOf).filter((partition) => partition === 0))
        yield* consumer.resume()
        yield* until("the rest", () => count() === 70)
        assert.deepStrictEqual(
          (yield* fetches).flatMap(forgottenBy).filter((partition) => partition === 0),
          [0]
        )
      }),
      { cluster: { topics: { lines: 2 } } }
    ))

  const reading = (
    disturb: (round: number) => Effect.Effect<void, never, MemoryCluster>,
    check: (warnings: ReadonlyArray<string>, sent: ReadonlyArray<Sent>) => void
  ) => {
    const { warnings, within } = logged()
    playSeeds(
      within(Effect.gen(function*() {
        const { consumer } = yield* member()
        const { count, handler, of } = noting()
        yield* Effect.fork(consumer.run(handler))
        for (const round of range(0, 6)) {
          for (const partition of [0, 1, 2]) yield* write(partition, range(round * 5, round * 5 + 5))
          yield* disturb(round)
          yield* until("handled", () => count() === (round + 1) * 15)
          yield* Effect.sleep("1 second")
        }
        for (const partition of [0, 1, 2]) assert.deepStrictEqual(of(partition), range(0, 30))
        check(warnings(), yield* fetches)
      })),
      { cluster: { topics: { lines: 3 } } },
      2
    )
  }
  const inject = (fault: Fault.Fault) => Effect.flatMap(MemoryCluster, (cluster) => cluster.inject(fault))

  it("that a broker has forgotten is begun anew, at once: that is no trouble", () => {
    for (const error of ["FetchSessionIdNotFound", "InvalidFetchSessionEpoch"]) {
      reading(
        () => inject(Fault.refuse("Fetch", error)),
        (warnings, sent) => {
          assert.isEmpty(warnings)
          const anew = sent.filter(({ sessionEpoch }) => sessionEpoch === 0)
          assert.isAtLeast(anew.length, 6)
          for (const request of anew) assert.isNotEmpty(partitionsOf(request))
        }
      )
    }
  })

  it("whose answer was lost is begun anew, and the old one is given up", () =>
    reading(
      () => inject(Fault.reset("Fetch", "response")),
      (_, sent) => {
        const anew = sent.filter(({ sessionEpoch, sessionId }) => sessionEpoch === 0 && sessionId !== 0)
        assert.isAtLeast(anew.length, 4)
      }
    ))

  it("is not asked of a broker again and again that knows none, and has no room for one", () =>
    play(
      Effect.gen(function*() {
        const wire = yield* Wires
        wire.answer = ({ api }) =>
          api === "Fetch"
            ? { _tag: "Body", api: Fetch, body: { errorCode: 70, responses: [] } }
            : undefined
        const { consumer } = yield* member()
        const reader = yield* Effect.fork(Stream.runDrain(consumer.records))
        yield* Effect.sleep("20 seconds")
        assert.isBelow((yield* fetches).length, 60)
        assert.isNotEmpty((yield* consumer.health.get).troubles)
        yield* Fiber.interrupt(reader)
      })
    ))
})

describe("a consumer in a rack", () => {
  const racks = { cluster: { brokers: 3, racks: ["a", "b", "c"], topics: { lines: 1 } } } as const
  const inRack = (rack: string) => ({ fetch: { rack, maxWait: "200 millis" } }) as const
  /** The brokers that were asked since. */
  const brokersSince = (from: number) =>
    Effect.map(fetches, (sent) => Array.from(new Set(sent.slice(from).map(({ broker }) => broker))))

  it("reads from the replica there, as its leader says", () =>
    play(
      Effect.gen(function*() {
        const { consumer } = yield* member(inRack("b"))
        const { count, handler, of } = noting()
        yield* write(0, range(0, 10))
        yield* Effect.fork(consumer.run(handler))
        yield* until("handled", () => count() === 10)
        const from = (yield* fetches).length
        yield* write(0, range(10, 20))
        yield* until("handled", () => count() === 20)
        assert.deepStrictEqual(yield* brokersSince(from), [2])
        assert.deepStrictEqual(of(0), range(0, 20))
        assert.isTrue((yield* fetches).every(({ rackId }) => rackId === "b"))
      }),
      racks
    ))

  it("reads from the leader where there is none, or that is there itself", () => {
    for (const rack of ["a", "z"]) {
      play(
        Effect.gen(function*() {
          const { consumer } = yield* member(inRack(rack))
          yield* write(0, range(0, 10))
          assert.deepStrictEqual(yield* next(consumer.records, 10), range(0, 10))
          assert.deepStrictEqual(yield* brokersSince(0), [1])
        }),
        racks
      )
    }
  })

  it("SA-C20: falls back to the leader when the replica dies, and finds it again when it is back", () => {
    playSeeds(
      Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        const { consumer } = yield* member(inRack("b"))
        const { count, handler, of } = noting()
        yield* Effect.fork(consumer.run(handler))
        yield* write(0, range(0, 10))
        yield* until("handled", () => count() === 10)
        yield* cluster.stopBroker(2)
        yield* write(0, range(10, 20))
        yield* until("from the leader", () => count() === 20)
        const from = (yield* fetches).length
        yield* write(0, range(20, 30))
        yield* until("from the leader", () => count() === 30)
        assert.deepStrictEqual(yield* brokersSince(from), [1])
        yield* cluster.startBroker(2)
        yield* Effect.sleep("100 seconds")
        const back = (yield* fetches).length
        yield* write(0, range(30, 40))
        yield* until("from the replica", () => count() === 40)
        assert.deepStrictEqual(yield* brokersSince(back), [2])
        assert.deepStrictEqual(of(0), range(0, 40))
        assert.isEmpty((yield* consumer.health.get).troubles)
      }),
      racks
    )
  })

  it("SA-C20: falls back to the leader when the replica hangs", () =>
    play(
      Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        const { consumer } = yield* member(inRack("b"))
        const { count, handler, of } = noting()
        yield* Effect.fork(consumer.run(handler))
        yield* write(0, range(0, 10))
        yield* until("handled", () => count() === 10)
        yield* cluster.pauseBroker(2)
        yield* Effect.sleep("10 seconds")
        yield* write(0, range(10, 20))
        yield* until("from the leader", () => count() === 20)
        assert.deepStrictEqual(of(0), range(0, 20))
      }),
      racks
    ))

  it("SA-C20: falls back to the leader when the replica cannot be reached, though the leader goes on naming it", () =>
    playSeeds(
      Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        const { consumer } = yield* member(inRack("b"))
        const { count, handler, of } = noting()
        yield* Effect.fork(consumer.run(handler))
        yield* write(0, range(0, 10))
        yield* until("handled", () => count() === 10)
        yield* cluster.inject(Fault.partition({ clients: ["test"], brokers: [2] }, "5 minutes"))
        yield* write(0, range(10, 20))
        yield* until("from the leader", () => count() === 20)
        const from = (yield* fetches).length
        yield* write(0, range(20, 30))
        yield* until("from the leader", () => count() === 30)
        assert.deepStrictEqual(yield* brokersSince(from), [1])
        assert.deepStrictEqual(of(0), range(0, 30))
      }),
      { ...racks, client: { clientId: "test", connectTimeout: "2 seconds" } }
    ))

  it("asks the leader about an offset that the replica does not have, and resets nothing by itself", () => {
    for (
      const errorCode of [1, /* OFFSET_OUT_OF_RANGE */ 6, /* NOT_LEADER_OR_FOLLOWER */ 78 /* OFFSET_NOT_AVAILABLE */]
    ) {
      const { warnings, within } = logged()
      play(
        within(Effect.gen(function*() {
          const wire = yield* Wires
          const { consumer } = yield* member(inRack("b"))
          const { count, handler, of } = noting()
          yield* Effect.fork(consumer.run(handler))
          yield* write(0, range(0, 10))
          yield* until("handled", () => count() === 10)
          let refused = 0
          wire.answer = ({ address, api }) =>
            api !== "Fetch" || !address.startsWith("broker-2") || refused++ > 0 ? undefined : {
              _tag: "Body",
              api: Fetch,
              body: {
                errorCode: 0,
                responses: [{
                  topic: "lines",
                  partitions: [{
                    partitionIndex: 0,
                    errorCode,
                    highWatermark: -1,
                    abortedTransactions: null,
                    records: null
                  }]
                }]
              }
            }
          const from = (yield* fetches).length
          yield* write(0, range(10, 20))
          yield* until("refused", () => refused > 0)
          yield* until("asked", Effect.map(brokersSince(from), (brokers) => brokers.includes(1)))
          yield* until("handled", () => count() === 20)
          assert.deepStrictEqual(of(0), range(0, 20))
          assert.isEmpty(warnings())
        })),
        racks
      )
    }
  })

  it("asks a new leader where to read, after it has said what its log has", () =>
    playSeeds(
      Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        const { consumer } = yield* member(inRack("b"))
        const { count, handler, of } = noting()
        yield* Effect.fork(consumer.run(handler))
        for (const round of range(0, 4)) {
          yield* write(0, range(round * 5, round * 5 + 5))
          yield* until("handled", () => count() === round * 5 + 5)
          yield* cluster.setLeader("lines", 0, round % 2 === 0 ? 3 : 1)
          yield* Effect.sleep("1 second")
        }
        assert.deepStrictEqual(of(0), range(0, 20))
      }),
      racks
    ))

  it("asks the leader again once in metadataMaxAge: there may be a better one", () =>
    play(
      Effect.gen(function*() {
        const { consumer } = yield* member(inRack("b"))
        const reader = yield* Effect.fork(Stream.runDrain(consumer.records))
        yield* Effect.sleep("5 minutes")
        const asked = (yield* fetches).filter(({ broker }) => broker === 1).length
        assert.isAtLeast(asked, 4)
        assert.isAtMost(asked, 10)
        yield* Fiber.interrupt(reader)
      }),
      { ...racks, client: { metadataMaxAge: "1 minute" } }
    ))
})

describe("a slow reader", () => {
  it("SA-C8: holds up no other partition, is not put out of its group, and loses nothing", () =>
    playSeeds(
      Effect.gen(function*() {
        const { consumer } = yield* member({
          sessionTimeout: "6 seconds",
          heartbeatInterval: "1 second",
          rebalanceTimeout: "10 seconds",
          fetch: { partitionBytes: 1000 }
        })
        const { count, handler, of } = noting()
        const gate = Effect.unsafeMakeLatch(false)
        yield* Effect.fork(consumer.run((record) =>
          record.partition === 0 ? Effect.zipRight(gate.await, handler(record)) : handler(record)
        ))
        for (const partition of [0, 1, 2]) {
          yield* write(partition, range(0, 50))
        }
        for (const round of range(1, 10)) {
          for (const partition of [1, 2]) {
            yield* write(partition, range(round * 50, round * 50 + 50))
          }
          yield* until("the others", () =>
            count() === (round + 1) * 100)
          yield* Effect.sleep("10 seconds")
        }
        assert.deepStrictEqual(of(1), range(0, 500))
        assert.deepStrictEqual(of(2), range(0, 500))
        assert.strictEqual((yield* consumer.health.get).status, "stable")
        yield* gate.open
        yield* until("all", () => count() === 1050)
        assert.deepStrictEqual(of(0), range(0, 50))
      }),
      { cluster: { topics: { lines: 3 } } },
      2
    ))

  it("SA-C11: that does not pull for an hour stays a member, and goes on without a gap: there is no such timeout", () =>
    play(
      Effect.gen(function*() {
        const { consumer } = yield* member({ fetch: { partitionBytes: 1000, maxWait: "5 seconds" } })
        yield* write(0, range(0, 100))
        const seen: Array<number> = []
        yield* consumer.records.pipe(
          Stream.rechunk(10),
          Stream.tap(({ value }) =>
            Effect.zipRight(
              Effect.sync(() => seen.push(Number(value))),
              value === "5" ? Effect.sleep("1 hour") : Effect.void
            )
          ),
          Stream.take(100),
          Stream.run(consumer.commitSink)
        )
        assert.deepStrictEqual(seen, range(0, 100))
        assert.strictEqual((yield* consumer.health.get).status, "stable")
        assert.deepStrictEqual(yield* committed(), { 0: 100 })
      }),
      { cluster: { topics: { lines: 1 } } }
    ))

  it("FM-42: holds its bound of what is fetched, however much there is, and goes on without a skip", () =>
    play(
      Effect.gen(function*() {
        const wire = yield* Wires
        let bytes = 0
        wire.edit = ({ api }, response) => {
          if (api === "Fetch") bytes += response.length
          return response
        }
        yield* Effect.forEach(range(0, 40), (round) => write(0, range(round * 50, round * 50 + 50)), { discard: true })
        const { consumer } = yield* member({ fetch: { bufferBytes: 4000, maxWait: "5 seconds" } })
        const seen: Array<number> = []
        let isSlow = true
        const reading = yield* Effect.fork(
          consumer.records.pipe(
            Stream.runForEachChunk((chunk) =>
              Effect.zipRight(
                Effect.sync(() => Chunk.forEach(chunk, ({ value }) => seen.push(Number(value)))),
                isSlow ? Effect.sleep("1 minute") : Effect.void
              )
            )
          )
        )
        yield* Effect.sleep("30 seconds")
        // Its share, one batch, and what is around them.
        assert.isBelow(bytes, 4000 + 1000 + 2000)
        assert.isBelow(seen.length, 100)
        isSlow = false
        yield* until("all", () => seen.length === 2000)
        assert.deepStrictEqual(seen, range(0, 2000))
        yield* Fiber.interrupt(reading)
      }),
      { cluster: { topics: { lines: 1 } } }
    ))

  it("holds so many records of a partition as `partitionRecords` says, and what one fetch brings", () =>
    play(
      Effect.gen(function*() {
        const { consumer } = yield* member({ fetch: { partitionRecords: 10 } })
        const gate = Effect.unsafeMakeLatch(false)
        const { count, handler, of } = noting()
        yield* Effect.fork(consumer.run((record) => Effect.zipRight(gate.await, handler(record))))
        yield* Effect.sleep("1 second")
        // One fetch each: each is there when the next is written.
        for (const round of range(0, 20)) {
          yield* write(0, range(round * 4, round * 4 + 4))
          yield* Effect.sleep("1 second")
        }
        const offsets = (yield* fetches).flatMap(({ topics }) =>
          topics.flatMap(({ partitions }) => partitions.map(({ fetchOffset }) => fetchOffset))
        )
        // Four in the handler's hands, and four that are more than half of ten with them.
        assert.strictEqual(Math.max(...offsets), 4)
        yield* gate.open
        yield* until("all", () => count() === 80)
        assert.deepStrictEqual(of(0), range(0, 80))
      }),
      { cluster: { topics: { lines: 1 } } }
    ))
})

describe("a reader", () => {
  it("SA-C9: is given chunks as they were fetched, each of one partition; runBatch keeps to its maximum", () =>
    play(
      Effect.gen(function*() {
        const { close, consumer } = yield* member()
        for (const round of range(0, 3)) {
          for (const partition of [0, 1]) yield* write(partition, range(round * 7, round * 7 + 7))
        }
        const chunks: Array<ReadonlyArray<Line>> = []
        const reading = yield* Effect.fork(
          Stream.runForEachChunk(consumer.records, (chunk) =>
            Effect.sync(() => chunks.push(Chunk.toReadonlyArray(chunk))))
        )
        yield* until("all", () =>
          chunks.flat().length === 42)
        for (const chunk of chunks) {
          assert.lengthOf(new Set(chunk.map(({ partition }) => partition)), 1)
          assert.strictEqual(chunk.length % 7, 0, "a batch is not cut")
        }
        yield* Fiber.interrupt(reading)
        yield* close

        const batches: Array<ReadonlyArray<number>> = []
        const again = yield* member({ groupId: "again" })
        yield* Effect.fork(again.consumer.runBatch(({ records }) =>
          Effect.sync(() => {
            batches.push(records.map(({ value }) => Number(value)))
            return records
          }), { maxRecords: 3 }))
        yield* until("all", () => batches.flat().length === 42)
        assert.isTrue(batches.every((batch) => batch.length <= 3))
      }),
      { cluster: { topics: { lines: 2 } } }
    ))

  it("SA-C10: of a topic to which nothing comes for an hour is not interrupted, and gets what comes then", () =>
    play(
      Effect.gen(function*() {
        const { consumer } = yield* member({ fetch: { maxWait: "10 seconds" } })
        const reading = yield* Effect.fork(next(consumer.records, 5))
        yield* Effect.sleep("1 hour")
        assert.isNull(reading.unsafePoll())
        assert.isEmpty((yield* consumer.health.get).troubles)
        yield* write(0, range(0, 5))
        assert.deepStrictEqual(yield* Fiber.join(reading), range(0, 5))
      }),
      { cluster: { topics: { lines: 1 } } }
    ))

  it("SA-C22: gets a record that is larger than what is fetched at a time, and those after it", () => {
    const Large = named("lines")
    for (const fetch of [{ partitionBytes: 100 }, { maxBytes: 100 }, { bufferBytes: 100 }]) {
      play(
        Effect.gen(function*() {
          const { consumer } = yield* member({ fetch })
          const lengths: Array<number> = []
          yield* Effect.fork(
            Stream.runForEach(consumer.records, ({ value }) => Effect.sync(() => lengths.push(value.length)))
          )
          yield* Producer.make().pipe(
            Effect.flatMap((producer) =>
              Effect.forEach(
                [10, 5000, 20, 3000, 30],
                (length) =>
                  producer.sendAll(
                    [0, 1].map((partition) => Large.record({ key: null, partition, value: "x".repeat(length) }))
                  )
              )
            ),
            Effect.scoped
          )
          yield* until("all", () => lengths.length === 10)
          assert.deepStrictEqual(lengths.sort((a, b) => a - b), [10, 10, 20, 20, 30, 30, 3000, 3000, 5000, 5000])
          for (const { maxBytes } of yield* fetches) assert.isAtMost(maxBytes, 16 * 1024 * 1024)
        }),
        { cluster: { topics: { lines: 2 } } }
      )
    }
  })

  it("CL-22: that is idle asks each broker once in maxWait", () =>
    play(
      Effect.gen(function*() {
        const { consumer } = yield* member({ fetch: { maxWait: "500 millis" } })
        const reading = yield* Effect.fork(Stream.runDrain(consumer.records))
        yield* Effect.sleep("5 seconds")
        const before = yield* fetches
        yield* Effect.sleep("1 minute")
        const sent = (yield* fetches).slice(before.length)
        for (const broker of [1, 2, 3]) {
          const own = sent.filter((request) => request.broker === broker)
          assert.isAtMost(own.length, 121)
          assert.isAtLeast(own.length, 100)
          for (const { topics } of own) assert.isEmpty(topics)
        }
        yield* Fiber.interrupt(reading)
      }),
      { cluster: { brokers: 3, topics: { lines: 6 } } }
    ))

  it("waits for no more than one partition may bring, however many others have nothing", () =>
    play(
      Effect.gen(function*() {
        yield* write(0, range(0, 200))
        const { count, handler } = noting()
        const { consumer } = yield* member({
          // A partition asks for a thousand bytes at a time, and has them; the two together never have two thousand.
          fetch: { minBytes: 3000, maxWait: "10 seconds", bufferBytes: 4000, partitionBytes: 4000 }
        })
        yield* Effect.fork(consumer.run(handler))
        yield* until("all but the last ones", () => count() > 0)
        for (const value of range(200, 400)) yield* write(0, [value])
        const [elapsed] = yield* Effect.timed(until("all", () => count() >= 390))
        assert.isTrue(Duration.lessThan(elapsed, "5 seconds"), Duration.format(elapsed))
      }),
      { cluster: { topics: { lines: 2 } } }
    ))

  it("asks as it is told to: minBytes, maxWait, maxBytes, isolation, rack", () =>
    play(
      Effect.gen(function*() {
        const consumer = yield* Consumer.assign({
          topics: [Lines],
          isolation: "read_uncommitted",
          fetch: { minBytes: 17, maxWait: "3 seconds", maxBytes: 5000, partitionBytes: 8000, rack: "here" }
        })
        const reading = yield* Effect.fork(Stream.runDrain(consumer.records))
        yield* Effect.sleep("1 second")
        const [first] = yield* fetches
        assert.deepInclude(first, { minBytes: 17, maxWaitMs: 3000, maxBytes: 5000, isolationLevel: 0, rackId: "here" })
        assert.deepStrictEqual(
          first!.topics.flatMap(({ partitions }) => partitions.map(({ partitionMaxBytes }) => partitionMaxBytes)),
          [4000, 4000]
        )
        yield* Fiber.interrupt(reading)
      }),
      { cluster: { topics: { lines: 2 } } }
    ))
})
