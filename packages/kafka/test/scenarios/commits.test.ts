/** What is committed, when, and who hears of it. */
import { assert, describe, it } from "@effect/vitest"
import type { Committable } from "@sluice/kafka/ConsumerRecord"
import { OffsetCommit } from "@sluice/kafka/internal/protocol/api/offsetCommit"
import { OffsetFetch } from "@sluice/kafka/internal/protocol/api/offsetFetch"
import type { RequestOf } from "@sluice/kafka/internal/protocol/field"
import { Kafka } from "@sluice/kafka/Kafka"
import * as Fault from "@sluice/testing/Fault"
import { MemoryCluster } from "@sluice/testing/MemoryCluster"
import { Chunk, Clock, Deferred, Effect, Exit, Fiber, Option, Stream } from "effect"

import { Wires, type WrittenRequest } from "../producer/wire.ts"
import { client, share, spawn, writeRounds } from "./processes.ts"
import type { Lines } from "./reading.ts"
import { committed, type Line, logged, member, range, until, write } from "./reading.ts"
import { play, playSeeds } from "./story.ts"

const topic = (partitions: number) => ({ cluster: { topics: { lines: partitions } } }) as const

/** The next records of a member of one's own. */
const pull = (consumer: { readonly records: Stream.Stream<Line, unknown> }, count: number) =>
  Effect.map(consumer.records.pipe(Stream.take(count), Stream.runCollect, Effect.orDie), Chunk.toReadonlyArray)

/** Commits as an administrator's tool does, who is no member, or as somebody says that they are; the broker's code. */
const commitFromOutside = (offset: number, who: { readonly memberId?: string; readonly generation?: number } = {}) =>
  Effect.scoped(Effect.gen(function*() {
    const { cluster } = yield* Kafka
    const pool = yield* cluster.makePool
    const connection = yield* pool.get(yield* cluster.coordinator("group"))
    const response = yield* connection.request(OffsetCommit, {
      groupId: "group",
      groupInstanceId: null,
      generationIdOrMemberEpoch: who.generation ?? -1,
      memberId: who.memberId ?? "",
      topics: [{
        name: "lines",
        partitions: [{ partitionIndex: 0, committedOffset: offset, committedLeaderEpoch: -1, committedMetadata: "" }]
      }]
    })
    return response.topics[0]!.partitions[0]!.errorCode
  }))

const unknownMemberId = 25

/** What went out of partition 0, request by request. */
const offsetsSent = (requests: ReadonlyArray<WrittenRequest>): ReadonlyArray<number> =>
  requests.flatMap(({ api, body }) =>
    api === "OffsetCommit"
      ? (body as RequestOf<typeof OffsetCommit>).topics.flatMap(({ partitions }) =>
        partitions.filter(({ partitionIndex }) => partitionIndex === 0).map(({ committedOffset }) => committedOffset)
      )
      : []
  )

/** The group has no offsets (any more): they have expired, or somebody has deleted them. */
const withoutOffsets = ({ api, body, version }: WrittenRequest) => {
  if (api !== "OffsetFetch") return undefined
  const none = (topics: ReadonlyArray<{ readonly name: string; readonly partitionIndexes: ReadonlyArray<number> }>) =>
    topics.map(({ name, partitionIndexes }) => ({
      name,
      partitions: partitionIndexes.map((partitionIndex) => ({
        partitionIndex,
        committedOffset: -1,
        committedLeaderEpoch: -1,
        metadata: "",
        errorCode: 0
      }))
    }))
  const request = body as RequestOf<typeof OffsetFetch>
  const answer = version < 8
    ? { topics: none(request.topics as any), errorCode: 0 }
    : {
      groups: request.groups.map(({ groupId, topics }) => ({ groupId, topics: none(topics as any), errorCode: 0 }))
    }
  return { _tag: "Body", api: OffsetFetch, body: { throttleTimeMs: 0, ...answer } } as const
}

describe("what is committed", () => {
  type Reader = (
    consumer: Effect.Effect.Success<ReturnType<typeof member<typeof Lines>>>["consumer"],
    see: (line: Line) => Effect.Effect<void>
  ) => Effect.Effect<unknown, unknown>
  const readers: Readonly<Record<string, Reader>> = {
    run: (consumer, see) => consumer.run(see),
    "run by key": (consumer, see) => consumer.run(see, { order: "key" }),
    runBatch: (consumer, see) =>
      consumer.runBatch(({ records }) => Effect.as(Effect.forEach(records, see), records), { maxRecords: 3 }),
    process: (consumer, see) => Stream.runDrain(consumer.process(see)),
    commitSink: (consumer, see) => consumer.records.pipe(Stream.tap(see), Stream.run(consumer.commitSink)),
    commit: (consumer, see) =>
      Stream.runForEach(consumer.records, (line) => Effect.zipRight(see(line), consumer.commit(line)))
  }
  for (const [how, read] of Object.entries(readers)) {
    it(`SA-M1: is the offset after the last record that was processed, where the next member begins: ${how}`, () => {
      playSeeds(
        Effect.gen(function*() {
          yield* writeRounds(2, 0, 10)
          for (const round of [1, 2]) {
            const { close, consumer } = yield* member()
            const seen: Array<string> = []
            yield* Effect.fork(
              read(consumer, ({ partition, value }) => Effect.sync(() => seen.push(`${partition}/${value}`)))
            )
            yield* until("all", () => seen.length === 20)
            yield* until(
              "committed",
              Effect.map(committed(), (offsets) => offsets[0] === round * 10 && offsets[1] === round * 10)
            )
            yield* close
            assert.sameMembers(
              seen,
              [0, 1].flatMap((partition) => range(round * 10 - 10, round * 10).map((value) => `${partition}/${value}`))
            )
            assert.deepStrictEqual(yield* committed(), { 0: round * 10, 1: round * 10 })
            yield* writeRounds(2, round * 10, round * 10 + 10)
          }
        }),
        topic(2),
        2
      )
    })
  }

  it("SA-M14: is also what was left out, where it was handled", () => {
    const isEven = ({ value }: Line) => Number(value) % 2 === 0
    const filters: ReadonlyArray<Reader> = [
      (consumer, see) => consumer.run((line) => isEven(line) ? see(line) : Effect.void),
      (consumer, see) =>
        consumer.runBatch(({ records }) => Effect.as(Effect.forEach(records.filter(isEven), see), records)),
      (consumer, see) =>
        consumer.records.pipe(
          Stream.tap((line) => isEven(line) ? see(line) : Effect.void),
          Stream.run(consumer.commitSink)
        )
    ]
    for (const read of filters) {
      play(
        Effect.gen(function*() {
          yield* writeRounds(1, 0, 10)
          const { consumer } = yield* member()
          const seen: Array<string> = []
          yield* Effect.fork(read(consumer, ({ value }) => Effect.sync(() => seen.push(value))))
          yield* until("committed", Effect.map(committed(), (offsets) => offsets[0] === 10))
          assert.deepStrictEqual(seen, ["0", "2", "4", "6", "8"])
          // The last record is left out, too.
          yield* write(0, [11])
          yield* until("committed", Effect.map(committed(), (offsets) => offsets[0] === 11))
          assert.lengthOf(seen, 5)
        }),
        topic(1)
      )
    }
  })

  it("SA-M17: can be what is before the next record that was seen, as its application chooses", () => {
    play(
      Effect.gen(function*() {
        yield* writeRounds(1, 0, 5)
        const first = yield* member()
        const seen: Array<string> = []
        yield* Effect.fork(
          first.consumer.records.pipe(
            Stream.tap(({ value }) => Effect.sync(() => seen.push(value))),
            Stream.zipWithPrevious,
            Stream.runForEach(([previous]) =>
              Option.match(previous, { onNone: () => Effect.void, onSome: (line) => first.consumer.commit(line) })
            )
          )
        )
        yield* until("all", () => seen.length === 5)
        yield* Effect.sleep("1 second")
        assert.deepStrictEqual(yield* committed(), { 0: 4 })
        yield* write(0, [5])
        yield* until("the next", Effect.map(committed(), (offsets) => offsets[0] === 5))
        yield* first.close
        const second = yield* member()
        // The last one that was seen, and no more, comes again.
        assert.deepStrictEqual((yield* pull(second.consumer, 1)).map(({ value }) => value), ["5"])
      }),
      topic(1)
    )
  })

  it("SA-M8: is nothing of a partition that others own: it is refused, and their offset stays", () => {
    play(
      Effect.gen(function*() {
        const wire = yield* Wires
        yield* writeRounds(2, 0, 10)
        const first = yield* member()
        const pulled: Array<Line> = []
        yield* Effect.fork(Stream.runForEachChunk(first.consumer.records, (chunk) => {
          for (const line of chunk) pulled.push(line)
          return Effect.void
        }))
        yield* until("all", () => pulled.length === 20)
        const second = yield* spawn("second")
        yield* until("shared", share([first, second], 2))
        const { partition } = (yield* second.consumer.assignment.get)[0]!
        yield* until("committed", Effect.map(committed(), (offsets) => offsets[partition] === 10))
        const theirs = pulled.filter((line) => line.partition === partition)
        const own = pulled.filter((line) => line.partition !== partition)
        const before = wire.requests.length
        for (
          const foreign of [
            theirs.slice(0, 3),
            [{ topic: "lines", partition, offset: 2n, generation: own[0]!.generation }],
            [{ topic: "lines", partition: 7, offset: 2n, generation: own[0]!.generation }],
            [{ topic: "others", partition: 0, offset: 2n, generation: own[0]!.generation }]
          ] as ReadonlyArray<ReadonlyArray<Committable>>
        ) {
          const error = yield* Effect.flip(first.consumer.commit(foreign))
          assert.deepStrictEqual([error._tag, error.reason._tag], ["RetriableError", "NotAssigned"])
        }
        // One's own, among others', is committed all the same.
        assert.strictEqual(
          (yield* Effect.flip(first.consumer.commit([theirs[1]!, ...own]))).reason._tag,
          "NotAssigned"
        )
        assert.deepStrictEqual(yield* committed(), { 0: 10, 1: 10 })
        const sent = wire.requests.slice(before).filter(({ api }) => api === "OffsetCommit").flatMap(({ body }) =>
          (body as RequestOf<typeof OffsetCommit>).topics.flatMap(({ partitions }) =>
            partitions.map(({ partitionIndex }) => partitionIndex)
          )
        )
        assert.notInclude(sent, partition)
      }),
      topic(2)
    )
  })
})

describe("commits", () => {
  it("SA-M3: at the same time each wait for the result, and each hear of a failure", () => {
    play(
      Effect.gen(function*() {
        const wire = yield* Wires
        const cluster = yield* MemoryCluster
        yield* writeRounds(1, 0, 20)
        const { consumer } = yield* member()
        const pulled = yield* pull(consumer, 20)
        const gate = yield* Deferred.make<void>()
        wire.hold = ({ api }) => api === "OffsetCommit" ? Deferred.await(gate) : Effect.void
        const waiting = yield* Effect.forEach(pulled.slice(0, 10), (line) => Effect.fork(consumer.commit(line)))
        yield* Effect.sleep("1 second")
        for (const fiber of waiting) assert.isNull(fiber.unsafePoll())
        yield* Deferred.succeed(gate, undefined)
        for (const fiber of waiting) assert.deepStrictEqual(yield* Fiber.await(fiber), Exit.void)
        assert.deepStrictEqual(yield* committed(), { 0: 10 })
        yield* cluster.inject(Fault.refuse({ api: "OffsetCommit", times: 1 }, "GroupAuthorizationFailed"))
        const refused = yield* Effect.forEach(
          pulled.slice(10),
          (line) => Effect.flip(consumer.commit(line)),
          { concurrency: "unbounded" }
        )
        for (const error of refused) {
          assert.deepStrictEqual([error._tag, error.reason._tag], ["FatalError", "GroupAuthorizationFailed"])
        }
        // It is no reason to skip anything: what was settled goes along with the next one.
        yield* consumer.commit(pulled[19]!)
        assert.deepStrictEqual(yield* committed(), { 0: 20 })
      }),
      topic(1)
    )
  })

  it("SA-M4: that nobody answers fail with a typed error, in the time that they are given", () => {
    play(
      Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        yield* writeRounds(1, 0, 2)
        const { consumer } = yield* member({ commitRetry: { times: 2, backoff: 100, maxBackoff: 100 } })
        const pulled = yield* pull(consumer, 2)
        yield* cluster.intercept(({ apiName }) => apiName === "OffsetCommit" ? "dropRequest" : "deliver")
        const before = yield* Clock.currentTimeMillis
        const error = yield* Effect.flip(consumer.commit(pulled[0]!))
        const took = (yield* Clock.currentTimeMillis) - before
        assert.deepStrictEqual([error._tag, error.reason._tag], ["RetriableError", "RequestTimeout"])
        // Three attempts of `requestTimeout`, and two pauses.
        assert.isAtLeast(took, 6000)
        assert.isAtMost(took, 6500)
        // Or as its caller says: what is settled stays so.
        assert.isTrue(Option.isNone(yield* Effect.timeoutOption(consumer.commit(pulled[1]!), "1 second")))
        yield* cluster.intercept(() => "deliver")
        yield* until("committed", Effect.map(committed(), (offsets) => offsets[0] === 2))
      }),
      topic(1)
    )
  })

  it("SA-M7: run on while nobody pulls: after a stream, and beside one that is held up", () => {
    play(
      Effect.gen(function*() {
        yield* writeRounds(1, 0, 10)
        const { consumer } = yield* member()
        const pulled = yield* pull(consumer, 4)
        yield* consumer.commit(pulled)
        assert.deepStrictEqual(yield* committed(), { 0: 4 })
        const held: Array<Line> = []
        yield* Effect.fork(Stream.runForEachChunk(consumer.records, (chunk) => {
          for (const line of chunk) held.push(line)
          return Effect.never
        }))
        yield* until("held up", () => held.length > 0)
        yield* Effect.sleep("20 seconds")
        yield* consumer.commit(held.slice(0, 1))
        assert.deepStrictEqual(yield* committed(), { 0: 5 })
      }),
      topic(1)
    )
  })

  it("SA-M13: that overlap keep their order: one is under way, and none goes back", () => {
    playSeeds(
      Effect.gen(function*() {
        const wire = yield* Wires
        const cluster = yield* MemoryCluster
        yield* writeRounds(1, 0, 40)
        const { consumer } = yield* member()
        const pulled = yield* pull(consumer, 40)
        let underWay = 0
        let most = 0
        wire.hold = ({ api }) =>
          api !== "OffsetCommit" ? Effect.void : Effect.suspend(() => {
            most = Math.max(most, ++underWay)
            return Effect.map(Effect.sleep("200 millis"), () => {
              underWay--
            })
          })
        const seen: Array<number> = []
        const watching = yield* Effect.fork(Effect.forever(Effect.zipRight(
          Effect.map(committed(), (offsets) => seen.push(offsets[0] ?? 0)),
          Effect.sleep("20 millis")
        )))
        // Neither in their order nor one after the other; and one of them is lost on its way back.
        yield* Effect.forEach(
          range(0, 40),
          (i) => Effect.zipRight(Effect.sleep(`${i * 37 % 40 * 25} millis`), consumer.commit(pulled[i]!)),
          {
            concurrency: "unbounded",
            discard: true
          }
        ).pipe(
          Effect.zipLeft(cluster.inject(Fault.loseResponse({ api: "OffsetCommit", nth: 3 })), { concurrent: true })
        )
        yield* Fiber.interrupt(watching)
        assert.strictEqual(most, 1)
        assert.deepStrictEqual(yield* committed(), { 0: 40 })
        const sent = offsetsSent(wire.requests)
        assert.isBelow(sent.length, 20)
        assert.deepStrictEqual(sent, [...sent].sort((a, b) => a - b))
        assert.deepStrictEqual(seen, [...seen].sort((a, b) => a - b))
      }),
      topic(1)
    )
  })

  it("FM-33: whose answers are lost are sent again; nothing goes back, and nothing comes twice", () => {
    for (const order of ["partition", "key"] as const) {
      playSeeds(
        Effect.gen(function*() {
          const wire = yield* Wires
          const cluster = yield* MemoryCluster
          for (const nth of [1, 2, 4]) yield* cluster.inject(Fault.loseResponse({ api: "OffsetCommit", nth }))
          const writing = yield* Effect.fork(writeRounds(1, 0, 60, "100 millis"))
          const first = yield* spawn("first", { run: { order }, options: { sessionTimeout: "30 seconds" } })
          const seen: Array<number> = []
          const watching = yield* Effect.fork(Effect.forever(Effect.zipRight(
            Effect.map(committed(), (offsets) => seen.push(offsets[0] ?? 0)),
            Effect.sleep("20 millis")
          )))
          yield* Fiber.join(writing)
          yield* until("committed", Effect.map(committed(), (offsets) => offsets[0] === 60))
          yield* Fiber.interrupt(watching)
          const sent = offsetsSent(wire.requests)
          assert.deepStrictEqual(sent, [...sent].sort((a, b) => a - b))
          assert.deepStrictEqual(seen, [...seen].sort((a, b) => a - b))
          yield* first.close
          const second = yield* spawn("second")
          yield* write(0, [60])
          yield* until("the next", () => second.handled.length === 1)
          assert.sameMembers([...first.handled, ...second.handled], range(0, 61).map((value) => `0/${value}`))
        }),
        topic(1),
        2
      )
    }
  })
})

describe("the metadata of offsets", () => {
  it("SA-M10: holds nothing of what is done out of order: that is bounded by `maxAhead` instead, and its partition waits", () => {
    playSeeds(
      Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        yield* writeRounds(1, 0, 300)
        const gate = yield* Deferred.make<void>()
        const done: Array<number> = []
        const { consumer } = yield* member()
        // Every second record waits: as many gaps as there can be.
        yield* Effect.fork(
          consumer.run(
            ({ value }) =>
              Effect.map(Number(value) % 2 === 1 ? Effect.void : Deferred.await(gate), () => {
                done.push(Number(value))
              }),
            { order: "none", concurrency: 1000, maxAhead: 100 }
          )
        )
        yield* Effect.sleep("10 seconds")
        assert.deepStrictEqual(done, range(0, 100).filter((value) => value % 2 === 1))
        assert.deepStrictEqual(yield* committed(), {})
        yield* Deferred.succeed(gate, undefined)
        yield* until("committed", Effect.map(committed(), (offsets) => offsets[0] === 300))
        assert.deepStrictEqual((yield* cluster.committed("group")).map(({ metadata }) => metadata), [""])
      }),
      topic(1)
    )
  })

  it("SA-M10: is the application's: what another client has left there is no trouble, nor is what it cannot read", () => {
    play(
      Effect.gen(function*() {
        yield* writeRounds(1, 0, 10)
        // As Confluent's parallel consumer leaves there which records after the offset are done; and bytes that are nothing.
        for (const [round, metadata] of ["bAAUAgMAAg==", "\u0000\uffff{not json", "x".repeat(4096)].entries()) {
          const { close, consumer } = yield* member()
          const [line] = yield* pull(consumer, 1)
          assert.strictEqual(line!.value, String(round))
          yield* consumer.commit(line!, { metadata })
          yield* close
        }
        assert.deepStrictEqual(yield* committed(), { 0: 3 })
      }),
      topic(1)
    )
  })

  it("SA-M10: that is too long is a typed error; commits go on with the next one", () => {
    play(
      Effect.gen(function*() {
        yield* writeRounds(1, 0, 3)
        const { close, consumer } = yield* member()
        const pulled = yield* pull(consumer, 3)
        const error = yield* Effect.flip(consumer.commit(pulled[0]!, { metadata: "x".repeat(4097) }))
        assert.deepStrictEqual([error._tag, error.reason._tag], ["FatalError", "OffsetMetadataTooLarge"])
        assert.deepStrictEqual(yield* committed(), {})
        yield* consumer.commit(pulled[1]!)
        assert.deepStrictEqual(yield* committed(), { 0: 2 })
        yield* close
        const again = yield* member()
        assert.deepStrictEqual((yield* pull(again.consumer, 1)).map(({ value }) => value), ["2"])
      }),
      topic(1)
    )
  })
})

describe("offsets that somebody else changes", () => {
  it("SA-M11: while the group has no members, to lower, to higher, to none: the next member begins there", () => {
    for (
      const [what, expected] of [["lower", 3], ["higher", 8], ["deleted", 0]] as const
    ) {
      play(
        Effect.gen(function*() {
          const wire = yield* Wires
          yield* writeRounds(1, 0, 10)
          const first = yield* member()
          const pulled = yield* pull(first.consumer, 5)
          yield* first.consumer.commit(pulled)
          yield* first.close
          if (what === "deleted") wire.answer = withoutOffsets
          else assert.strictEqual(yield* commitFromOutside(expected), 0)
          const second = yield* member()
          const events = yield* Effect.fork(
            second.consumer.events.pipe(Stream.filter(({ _tag }) => _tag === "PositionReset"), Stream.runHead)
          )
          const again = yield* pull(second.consumer, 10 - expected)
          assert.deepStrictEqual(again.map(({ value }) => Number(value)), range(expected, 10))
          if (what === "deleted") {
            const reset = Option.getOrThrow(yield* Fiber.join(events))
            assert.deepInclude(reset, { reason: "NoOffset", from: undefined, to: 0n })
          }
          yield* second.consumer.commit(again)
          assert.deepStrictEqual(yield* committed(), { 0: 10 })
        }),
        topic(1)
      )
    }
  })

  it("SA-M15: is refused to who is no member while there are some, and to who was; a group that emptied takes it", () => {
    play(
      Effect.gen(function*() {
        const wire = yield* Wires
        yield* writeRounds(1, 0, 10)
        const first = yield* member()
        const pulled = yield* pull(first.consumer, 5)
        yield* first.consumer.commit(pulled.slice(0, 4))
        const { generationIdOrMemberEpoch: generation, memberId } = wire.requests.findLast(({ api }) =>
          api === "OffsetCommit"
        )!.body as RequestOf<typeof OffsetCommit>
        assert.strictEqual(yield* commitFromOutside(1), unknownMemberId)
        assert.deepStrictEqual(yield* committed(), { 0: 4 })
        yield* first.close
        assert.strictEqual(yield* commitFromOutside(1, { memberId, generation }), unknownMemberId)
        // The one that left says so by itself, and asks nobody.
        const before = wire.requests.length
        const error = yield* Effect.flip(first.consumer.commit(pulled))
        assert.deepStrictEqual([error._tag, error.reason._tag], ["FatalError", "Closed"])
        assert.lengthOf(wire.requests, before)
        assert.deepStrictEqual(yield* committed(), { 0: 4 })
        assert.strictEqual(yield* commitFromOutside(7), 0)
        assert.deepStrictEqual(yield* committed(), { 0: 7 })
        const second = yield* member()
        assert.deepStrictEqual((yield* pull(second.consumer, 1)).map(({ value }) => value), ["7"])
      }),
      topic(1)
    )
  })

  it("SA-M16: and that expire while the group is at work: members go on, and the next commit brings them back", () => {
    const { lines, within } = logged()
    play(
      within(Effect.gen(function*() {
        const wire = yield* Wires
        yield* writeRounds(2, 0, 5)
        const first = yield* spawn("first")
        yield* until("handled", () => first.handled.length === 10)
        yield* until("committed", Effect.map(committed(), (offsets) => offsets[0] === 5 && offsets[1] === 5))
        wire.answer = withoutOffsets
        yield* writeRounds(2, 5, 8)
        yield* until("committed", Effect.map(committed(), (offsets) => offsets[0] === 8 && offsets[1] === 8))
        assert.sameMembers(
          [...first.handled],
          [0, 1].flatMap((partition) => range(0, 8).map((value) => `${partition}/${value}`))
        )
        // A new owner has nothing to go by but the policy: it begins anew, says so, and skips nothing.
        const { provide } = yield* client("second")
        const second = yield* provide(member())
        const events = yield* Effect.fork(
          second.consumer.events.pipe(Stream.filter(({ _tag }) => _tag === "PositionReset"), Stream.runHead)
        )
        const again = yield* pull(second.consumer, 8)
        assert.deepStrictEqual(again.map(({ value }) => Number(value)), range(0, 8))
        assert.deepInclude(Option.getOrThrow(yield* Fiber.join(events)), { reason: "NoOffset", to: 0n })
        assert.isTrue(lines.some((line) => line.includes("group group has no offset; begins at 0")))
      })),
      topic(2)
    )
  })
})
