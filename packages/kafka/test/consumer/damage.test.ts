/** Batches that are damaged, records that cannot be decoded, and logs with gaps. */
import { assert, describe, it } from "@effect/vitest"
import { Consumer, type KafkaError, Serde, Topic } from "@sluice/kafka"
import {
  batchField,
  batchHeaderSize,
  batchLengthEnd,
  computeBatchCrc,
  readBatchHeader
} from "@sluice/kafka/internal/kernel/batchHeader"
import { writeInt32 } from "@sluice/kafka/internal/kernel/bigEndian"
import { MemoryCluster } from "@sluice/testing/MemoryCluster"
import { Chunk, Effect, Exit, Fiber, Stream, TestClock } from "effect"

import { batchAt, concat, markerAt, tampered, textRecord } from "../kernel/batches.ts"
import { fetchAnswer, type Rewrite } from "./rewrite.ts"
import {
  committed,
  inWorld,
  member,
  type NumberRecord,
  passing,
  passUntil,
  range,
  Seen,
  write,
  writeTo
} from "./world.ts"

const values = (records: Iterable<NumberRecord>) => Array.from(records, ({ value }) => Number(value))

/** Changes the records of so many Fetch answers that have any, and counts all that have. */
const damaging = (times: number, change: (bytes: Uint8Array) => Uint8Array | void) => {
  const state = { answers: 0, left: times }
  const rewrite: Rewrite = (answer) =>
    fetchAnswer(answer, (partition) => {
      if (partition.records.length === 0) return undefined
      state.answers++
      if (state.left-- <= 0) return undefined
      const copy = new Uint8Array(partition.records)
      return { ...partition, records: change(copy) ?? copy }
    })
  return { rewrite, state }
}

const kinds: Record<string, (bytes: Uint8Array) => Uint8Array | void> = {
  "a flipped bit in a record": (bytes) => {
    bytes[bytes.length - 3]! ^= 0x10
  },
  "a flipped bit in the checksum": (bytes) => {
    bytes[batchField.crc]! ^= 1
  },
  "an offset past the log's end": (bytes) => {
    bytes[batchField.baseOffset + 3]! ^= 1
  },
  "a length that is larger than what there is": (bytes) => {
    bytes[batchField.batchLength]! ^= 0x40
  },
  "a length that is too small": (bytes) => {
    writeInt32(bytes, batchField.batchLength, 3)
  },
  "half a batch": (bytes) => bytes.slice(0, bytes.length >> 1)
}

describe.each(Object.entries(kinds))("a batch with %s", (_, change) => {
  it.effect("is fetched again: nothing is lost, and nothing comes twice", () => {
    const { rewrite, state } = damaging(2, change)
    return Effect.gen(function*() {
      yield* write(0, range(0, 20))
      const { consumer } = yield* member()
      const seen = new Seen()
      yield* Effect.fork(consumer.run(seen.handler))
      yield* passUntil("all", () => seen.count >= 20)
      yield* write(0, range(20, 30))
      yield* passUntil("more", () => seen.count >= 30)
      assert.deepStrictEqual(seen.of(0), range(0, 30))
      assert.strictEqual(state.answers, 4)
    }).pipe(inWorld({ topics: { numbers: 1 } }, {}, rewrite))
  })

  it.effect("that stays so ends the stream, in a few attempts", () => {
    const { rewrite, state } = damaging(Infinity, change)
    return Effect.gen(function*() {
      yield* write(0, range(0, 20))
      const { consumer } = yield* member()
      const error = yield* passing(Effect.flip(Stream.runDrain(consumer.records)))
      assert.deepStrictEqual(
        [error._tag, error.scope, error.reason._tag, error.reason.topic, error.reason.partition],
        ["FatalError", "partition", "CorruptRecords", "numbers", 0]
      )
      const { answers } = state
      assert.isAtMost(answers, 4)
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(state.answers, answers)
      assert.deepStrictEqual(yield* committed(), {})
      // It is not passed over later, and a new reader tries anew.
      const again = yield* passing(Effect.flip(Stream.runDrain(consumer.records)))
      assert.strictEqual(again.reason._tag, "CorruptRecords")
      state.left = 0
      const all = yield* passing(consumer.records.pipe(Stream.take(20), Stream.runCollect))
      assert.deepStrictEqual(values(all), range(0, 20))
    }).pipe(inWorld({ topics: { numbers: 1 } }, {}, rewrite))
  })
})

describe("a damaged batch", () => {
  it.effect("after good ones costs none of them", () => {
    const { rewrite } = damaging(Infinity, (bytes) => {
      bytes[bytes.length - 3]! ^= 1
    })
    return Effect.gen(function*() {
      yield* write(0, range(0, 10))
      yield* write(0, range(10, 20))
      const { consumer } = yield* member()
      const seen = new Seen()
      const exit = yield* passing(Effect.exit(consumer.run(seen.handler)))
      assert.isTrue(Exit.isFailure(exit))
      assert.deepStrictEqual(seen.of(0), range(0, 10))
      assert.deepStrictEqual(yield* committed(), { 0: 10 })
    }).pipe(inWorld({ topics: { numbers: 1 } }, {}, rewrite))
  })

  it.effect("whose checksum alone is wrong is read with `checkCrcs: false`", () => {
    const { rewrite } = damaging(Infinity, (bytes) => {
      bytes[batchField.crc]! ^= 1
    })
    return Effect.gen(function*() {
      yield* write(0, range(0, 10))
      const { consumer } = yield* member({ fetch: { checkCrcs: false } })
      const seen = new Seen()
      yield* Effect.fork(consumer.run(seen.handler))
      yield* passUntil("all", () => seen.count === 10)
      assert.deepStrictEqual(seen.of(0), range(0, 10))
    }).pipe(inWorld({ topics: { numbers: 1 } }, {}, rewrite))
  })
})

describe("a batch in a compression that there is no codec for", () => {
  it.effect("ends the stream at once, which says so, and costs none of those before it", () => {
    const { rewrite, state } = damaging(Infinity, (bytes) => {
      const { size } = readBatchHeader(bytes, 0)
      bytes[size + batchField.attributes + 1] = 5
      writeInt32(bytes, size + batchField.crc, computeBatchCrc(bytes, size, bytes.length - size))
    })
    return Effect.gen(function*() {
      yield* write(0, range(0, 10))
      yield* write(0, range(10, 20))
      const { consumer } = yield* member()
      const seen = new Seen()
      const error = yield* passing(Effect.flip(consumer.run(seen.handler)))
      assert.deepStrictEqual(
        [error._tag, error.scope, error.reason],
        ["FatalError", "partition", { _tag: "CorruptRecords", topic: "numbers", partition: 0 }]
      )
      assert.match(error.message, /at offset 10: there is no codec for compression type 5$/)
      assert.deepStrictEqual(seen.of(0), range(0, 10))
      assert.deepStrictEqual(yield* committed(), { 0: 10 })
      assert.strictEqual(state.answers, 1)
    }).pipe(inWorld({ topics: { numbers: 1 } }, {}, rewrite))
  })
})

describe("a record that cannot be decoded", () => {
  const Whole = Topic.make("numbers", {
    key: Serde.string,
    value: Serde.make({
      serialize: (value: number) => new TextEncoder().encode(String(value)),
      deserialize: (bytes) => {
        const number = Number(new TextDecoder().decode(bytes))
        if (!Number.isInteger(number)) throw new Error("no whole number")
        return number
      }
    })
  })
  const make = Consumer.make({ groupId: "group", topics: [Whole] })

  const isUndecodable = (error: KafkaError.KafkaError, offset: number) => {
    assert.deepStrictEqual(
      [error._tag, error.scope, error.reason._tag, error.reason.topic, error.reason.partition],
      ["FatalError", "record", "DeserializationFailed", "numbers", 0]
    )
    assert.match(error.message, new RegExp(`offset ${offset} of topic numbers, partition 0: .*no whole number`))
  }

  it.effect("ends the stream after those before it, which can be committed; it is never passed over", () =>
    Effect.gen(function*() {
      yield* write(0, [0, 1, 2, "three", 4, 5])
      yield* write(0, [6, 7])
      const consumer = yield* make
      const seen: Array<number> = []
      const collect = consumer.records.pipe(
        Stream.tap((record) => Effect.sync(() => seen.push(record.value))),
        Stream.runForEach((record) => consumer.commit(record))
      )
      for (let i = 0; i < 3; i++) isUndecodable(yield* passing(Effect.flip(collect)), 3)
      assert.deepStrictEqual(seen, [0, 1, 2])
      assert.deepStrictEqual(yield* committed(), { 0: 3 })
    }).pipe(inWorld({ topics: { numbers: 1 } })))

  it.effect("ends it at once where it is the first", () =>
    Effect.gen(function*() {
      yield* write(0, ["zero", 1, 2])
      yield* write(0, [3])
      const consumer = yield* make
      for (let i = 0; i < 3; i++) isUndecodable(yield* passing(Effect.flip(Stream.runDrain(consumer.records))), 0)
      const again = yield* passing(Effect.exit(Effect.retry(Stream.runDrain(consumer.records), { times: 3 })))
      assert.isTrue(Exit.isFailure(again))
      assert.deepStrictEqual(yield* committed(), {})
    }).pipe(inWorld({ topics: { numbers: 1 } })))

  it.effect("ends a run, with all before it committed; the other partitions finish what they have", () =>
    Effect.gen(function*() {
      yield* write(0, [0, 1, 2, "three", 4])
      yield* write(1, [0, 1, 2])
      const consumer = yield* make
      const seen: Array<string> = []
      const run = consumer.run((record) =>
        Effect.zipRight(
          Effect.sleep("1 second"),
          Effect.sync(() => seen.push(`${record.partition}/${record.value}`))
        )
      )
      isUndecodable(yield* passing(Effect.flip(run)), 3)
      assert.deepStrictEqual(seen.filter((each) => each.startsWith("0")), ["0/0", "0/1", "0/2"])
      const offsets = yield* committed()
      assert.strictEqual(offsets[0], 3)
      assert.strictEqual(offsets[1], seen.filter((each) => each.startsWith("1")).length)
    }).pipe(inWorld({ topics: { numbers: 2 } })))
})

describe("a null value", () => {
  const Notes = { key: Serde.string, value: Serde.string }
  const Tombstones = Topic.make("numbers", { ...Notes, tombstones: true })

  it.effect("comes as null where the topic has tombstones", () =>
    Effect.gen(function*() {
      yield* writeTo(Tombstones, 0, ["one", null, "three"])
      const consumer = yield* Consumer.make({ groupId: "group", topics: [Tombstones] })
      const all = yield* passing(consumer.records.pipe(Stream.take(3), Stream.runCollect))
      assert.deepStrictEqual(Array.from(all, ({ value }) => value), ["one", null, "three"])
    }).pipe(inWorld({ topics: { numbers: 1 } })))

  it.effect("cannot be decoded elsewhere", () =>
    Effect.gen(function*() {
      yield* writeTo(Tombstones, 0, ["one", null, "three"])
      const { consumer } = yield* member()
      const error = yield* passing(Effect.flip(Stream.runDrain(consumer.records)))
      assert.strictEqual(error.reason._tag, "DeserializationFailed")
      assert.match(error.message, /offset 1 of topic numbers, partition 0: the value is null/)
    }).pipe(inWorld({ topics: { numbers: 1 } })))
})

describe("a log with gaps", () => {
  /** Answers fetches from a log of our own, of which a batch may be an aborted transaction's. */
  const serving = (
    batches: ReadonlyArray<{ readonly last: number; readonly bytes: Uint8Array }>,
    aborted: ReadonlyArray<{ readonly producerId: number; readonly firstOffset: number }> = []
  ): Rewrite =>
  (answer) => {
    if (answer.api !== "Fetch") return undefined
    const end = batches[batches.length - 1]!.last + 1
    // A session names a partition again where something of it has changed.
    const fetchOffset = answer.request.topics[0]?.partitions[0]?.fetchOffset
    if (fetchOffset === undefined) return { ...answer.response, responses: [] }
    const found = batches.filter(({ last }) => last >= fetchOffset)
    const served = fetchAnswer(answer, (partition) => ({
      ...partition,
      errorCode: 0,
      highWatermark: end,
      lastStableOffset: end,
      abortedTransactions: aborted,
      records: concat(...found.map(({ bytes }) => bytes))
    }))
    return found.length > 0 ? served : Effect.as(Effect.sleep("500 millis"), served)
  }

  const text = (from: number, to: number) => range(from, to).map((n) => textRecord(String(n)))
  const transactional = { producerId: 7, producerEpoch: 0, isTransactional: true }

  /** What a consumer sees of it, and where it is committed at the end. */
  const readAll = (count: number) =>
    Effect.gen(function*() {
      const { close, consumer } = yield* member()
      const seen: Array<number> = []
      const run = yield* Effect.fork(consumer.run((record) => Effect.sync(() => seen.push(Number(record.offset)))))
      yield* passUntil("all", () => seen.length >= count)
      yield* TestClock.adjust("3 seconds")
      yield* passing(close)
      yield* Fiber.join(run)
      return { seen, committed: yield* committed() }
    })

  it.effect("that compaction left: what is there comes once, and is committed past the gaps", () => {
    const rewrite = serving([
      // Emptied batches keep their place.
      { last: 3, bytes: batchAt(2, text(0, 2)) },
      { last: 9, bytes: emptied(batchAt(4, text(0, 6))) },
      { last: 21, bytes: batchAt(20, text(0, 2)) },
      { last: 29, bytes: emptied(batchAt(22, text(0, 8))) }
    ])
    return Effect.gen(function*() {
      assert.deepStrictEqual(yield* readAll(4), { seen: [2, 3, 20, 21], committed: { 0: 30 } })
    }).pipe(inWorld({ topics: { numbers: 1 } }, {}, rewrite))
  })

  it.effect("of transactions: markers and what was aborted are passed over, and committed past", () => {
    const rewrite = serving([
      { last: 1, bytes: batchAt(0, text(0, 2), transactional) },
      { last: 2, bytes: markerAt(2, 7, 1) },
      { last: 5, bytes: batchAt(3, text(0, 3), transactional) },
      { last: 6, bytes: markerAt(6, 7, 0) },
      { last: 8, bytes: batchAt(7, text(0, 2)) },
      { last: 10, bytes: batchAt(9, text(0, 2), transactional) },
      { last: 11, bytes: markerAt(11, 7, 1) }
    ], [{ producerId: 7, firstOffset: 3 }])
    return Effect.gen(function*() {
      assert.deepStrictEqual(yield* readAll(6), { seen: [0, 1, 7, 8, 9, 10], committed: { 0: 12 } })
    }).pipe(inWorld({ topics: { numbers: 1 } }, {}, rewrite))
  })

  it.effect("is settled by hand when its last record is: a rebalance does not wait for a marker", () => {
    const rewrite = serving([
      { last: 1, bytes: batchAt(0, text(0, 2), transactional) },
      { last: 2, bytes: markerAt(2, 7, 1) }
    ])
    return Effect.gen(function*() {
      const first = yield* member({ assignor: "range" })
      const taken: Array<NumberRecord> = []
      yield* Effect.fork(Stream.runForEach(first.consumer.records, (record) => Effect.sync(() => taken.push(record))))
      yield* passUntil("all", () => taken.length === 2)
      yield* TestClock.adjust("1 second")
      yield* first.consumer.commit(taken)
      const joined: Array<string> = []
      yield* Effect.flatMap(MemoryCluster, (cluster) =>
        cluster.intercept(({ apiName }) => {
          if (apiName === "SyncGroup") joined.push(apiName)
          return "deliver"
        }))
      yield* member({ assignor: "range" })
      yield* TestClock.adjust("4 seconds")
      assert.lengthOf(joined, 2)
    }).pipe(inWorld({ topics: { numbers: 1 } }, {}, rewrite))
  })

  it.effect("whose batch begins before the position gives nothing twice", () => {
    const rewrite = serving([{ last: 9, bytes: batchAt(0, text(0, 10)) }, { last: 12, bytes: batchAt(10, text(0, 3)) }])
    return Effect.gen(function*() {
      const first = yield* member()
      const some = yield* passing(first.consumer.records.pipe(Stream.take(5), Stream.runCollect))
      yield* first.consumer.commit(some)
      yield* first.close
      const second = yield* member()
      const rest = yield* passing(second.consumer.records.pipe(Stream.take(8), Stream.runCollect))
      assert.deepStrictEqual(Chunk.toReadonlyArray(rest).map(({ offset }) => Number(offset)), range(5, 13))
    }).pipe(inWorld({ topics: { numbers: 1 } }, {}, rewrite))
  })
})

/** A batch of which compaction left the header alone. */
const emptied = (batch: Uint8Array): Uint8Array =>
  tampered(batch.subarray(0, batchHeaderSize), (header) => {
    writeInt32(header, batchField.batchLength, batchHeaderSize - batchLengthEnd)
    writeInt32(header, batchField.recordCount, 0)
  })
