import { assert, describe, it } from "@effect/vitest"
import { Accumulator, type AccumulatorOptions } from "@sluice/kafka/internal/kernel/accumulator"
import { batchHeaderSize, readBatchHeader } from "@sluice/kafka/internal/kernel/batchHeader"
import { gzip } from "@sluice/kafka/internal/kernel/compression"
import { advanceSequence, type Batch, type PartitionBuffer } from "@sluice/kafka/internal/kernel/partitionBuffer"
import { decodeRecords } from "@sluice/kafka/internal/kernel/records"
import { FastCheck } from "effect"

import { pendingRecord } from "./pending.ts"

const make = (options: Partial<AccumulatorOptions> = {}): Accumulator<string> => {
  const accumulator = new Accumulator<string>({
    batchBytes: 1000,
    batchRecords: Infinity,
    bufferBytes: 8000,
    maxUnreported: Infinity,
    linger: 0,
    deliveryTimeout: 60_000,
    codec: undefined,
    idempotent: true,
    maxInFlight: 5,
    ...options
  })
  accumulator.identity = { producerId: 9, epoch: 0 }
  return accumulator
}

/** A partition of topic "t" whose leader is broker 1. */
const led = (accumulator: Accumulator<string>, index: number): PartitionBuffer<string> => {
  const partition = accumulator.partition("t", index)
  partition.leader = 1
  return partition
}

const append = (
  accumulator: Accumulator<string>,
  partition: PartitionBuffer<string>,
  entry: string,
  size = 10,
  options: { readonly now?: number; readonly exempt?: boolean } = {}
): boolean => accumulator.append(partition, pendingRecord(size), entry, options.now ?? 0, options.exempt ?? false)

const acknowledge = (accumulator: Accumulator<string>, batch: Batch<string>): void => {
  assert.isTrue(accumulator.landed(batch))
  accumulator.complete(batch, true)
}

const retry = (accumulator: Accumulator<string>, batch: Batch<string>, retryAt: number): void => {
  assert.isTrue(accumulator.landed(batch))
  accumulator.retry(batch, retryAt)
}

/** Accepts it now or later; what was accepted is in `admitted`. */
const submit = (
  accumulator: Accumulator<string>,
  partition: PartitionBuffer<string>,
  entry: string,
  size: number,
  admitted: Array<string>,
  exempt = false
): () => void => {
  if (append(accumulator, partition, entry, size, { exempt })) {
    admitted.push(entry)
    return () => {}
  }
  return accumulator.wait(partition, pendingRecord(size), entry, exempt, () => 0, () => admitted.push(entry))
}

describe("Accumulator", () => {
  it("takes no more memory for full batches than their bytes, however they grew, and fills it again", () => {
    const batchBytes = 100_000
    const accumulator = make({ batchBytes, bufferBytes: 16 * batchBytes })
    const partition = led(accumulator, 0)
    const used = new Set<ArrayBufferLike>()
    for (let round = 0; round < 6; round++) {
      for (let i = 0; accumulator.reserved < 4 * batchBytes - 1_100; i++) append(accumulator, partition, `${i}`, 1_000)
      for (;;) {
        const batches = accumulator.drain(1, 0, Infinity)
        if (batches.length === 0) break
        for (const batch of batches) {
          const { buffer } = batch.bytes!
          assert.isAtMost(buffer.byteLength, batchBytes)
          used.add(buffer)
          accumulator.recycle(batch)
          acknowledge(accumulator, batch)
        }
      }
      assert.strictEqual(accumulator.reserved, 0)
    }
    assert.isAtMost(used.size, 5)
  })

  it("sends the batches that wait longest first, and one of each partition at a time", () => {
    const accumulator = make()
    const [a, b, c] = [led(accumulator, 0), led(accumulator, 1), led(accumulator, 2)]
    for (const partition of [b, a, c, b]) append(accumulator, partition, `p${partition.partition}`)
    const first = accumulator.drain(1, 0, 100)
    assert.deepStrictEqual(first.map(({ entries }) => entries), [["p1", "p1"]])
    append(accumulator, b, "later")
    const second = accumulator.drain(1, 0, 10_000)
    assert.deepStrictEqual(second.map(({ entries }) => entries), [["p0"], ["p2"]])
    acknowledge(accumulator, first[0]!)
    assert.deepStrictEqual(accumulator.drain(1, 0, 10_000).map(({ entries }) => entries), [["later"]])
  })

  it("gives nothing to a broker that leads nothing", () => {
    const accumulator = make()
    append(accumulator, led(accumulator, 0), "a")
    assert.deepStrictEqual(accumulator.drain(2, 0, 1000), [])
    assert.strictEqual(accumulator.nextReady(2, 0), Infinity)
    assert.strictEqual(accumulator.nextReady(1, 0), 0)
  })

  it("waits for linger, unless a batch is full, flushed, retried, or somebody waits for room", () => {
    const accumulator = make({ linger: 50, bufferBytes: 3000 })
    const [a, b] = [led(accumulator, 0), led(accumulator, 1)]
    append(accumulator, a, "a", 10, { now: 100 })
    assert.strictEqual(accumulator.nextReady(1, 100), 150)
    assert.deepStrictEqual(accumulator.drain(1, 149, 1000), [])
    const endFlush = accumulator.startFlush()
    assert.strictEqual(accumulator.nextReady(1, 101), 101)
    endFlush()
    assert.strictEqual(accumulator.nextReady(1, 101), 150)
    const withdraw = accumulator.wait(b, pendingRecord(4000), "b", false, () => 101, () => {})
    assert.strictEqual(accumulator.nextReady(1, 101), 101)
    withdraw()
    append(accumulator, a, "full", 950, { now: 101 })
    const [batch] = accumulator.drain(1, 101, 10_000)
    assert.deepStrictEqual(batch!.entries, ["a"])
    retry(accumulator, batch!, 120)
    assert.strictEqual(accumulator.nextReady(1, 101), 120)
    assert.strictEqual(accumulator.drain(1, 120, 10_000)[0], batch)
  })

  it("keeps bytes, sequence and deadline when a batch is sent again", () => {
    const accumulator = make()
    const partition = led(accumulator, 0)
    append(accumulator, partition, "a", 10, { now: 5 })
    const [batch] = accumulator.drain(1, 5, 1000)
    const bytes = Buffer.from(batch!.bytes!)
    append(accumulator, partition, "b", 10, { now: 6 })
    retry(accumulator, batch!, 10)
    const [again] = accumulator.drain(1, 10, 1000)
    assert.strictEqual(again, batch)
    assert.isTrue(bytes.equals(again!.bytes!))
    assert.strictEqual(again!.deadline, 60_005)
    assert.strictEqual(again!.attempts, 2)
    assert.deepStrictEqual(accumulator.expired(60_004), [])
    assert.deepStrictEqual(accumulator.expired(60_005), [batch])
    assert.strictEqual(accumulator.nextDeadline(), 60_005)
  })

  it("numbers records on across the wrap of sequence numbers", () => {
    const accumulator = make()
    const partition = led(accumulator, 0)
    append(accumulator, partition, "first")
    // As if it had so many records.
    partition.open!.entries.length = 0x7fff_fffe
    acknowledge(accumulator, accumulator.drain(1, 0, 1000)[0]!)
    const sequences: Array<number> = []
    for (let i = 0; i < 3; i++) {
      for (let j = 0; j < 2; j++) append(accumulator, partition, "x")
      const [batch] = accumulator.drain(1, 0, 1000)
      sequences.push(readBatchHeader(batch!.bytes!, 0).baseSequence)
      acknowledge(accumulator, batch!)
    }
    assert.deepStrictEqual(sequences, [0x7fff_fffe, 0, 2])
  })

  it("wraps from 2^31-1 to 0, wherever it starts", () => {
    FastCheck.assert(FastCheck.property(FastCheck.nat(0x7fff_ffff), FastCheck.nat(1_000_000), (start, count) => {
      const expected = Number((BigInt(start) + BigInt(count)) % 2n ** 31n)
      assert.strictEqual(advanceSequence(start, count), expected)
    }))
    assert.strictEqual(advanceSequence(0x7fff_ffff, 1), 0)
    assert.strictEqual(advanceSequence(0x7fff_ffff, 2), 1)
  })

  it("needs a producer id before an idempotent batch goes, and after the last epoch", () => {
    const accumulator = make()
    accumulator.identity = undefined
    const partition = led(accumulator, 0)
    append(accumulator, partition, "a")
    assert.deepStrictEqual(accumulator.drain(1, 0, 1000), [])
    accumulator.identity = { producerId: 1, epoch: 0 }
    const [batch] = accumulator.drain(1, 0, 1000)
    for (let epoch = 0; epoch < 0x7fff; epoch++) partition.nextEpoch()
    batch!.identity = partition.identity
    accumulator.landed(batch!)
    accumulator.retryInNextEpoch(batch!, 0)
    assert.isUndefined(accumulator.identity)
    assert.deepStrictEqual(accumulator.drain(1, 0, 1000), [])
    accumulator.identity = { producerId: 2, epoch: 0 }
    const header = readBatchHeader(accumulator.drain(1, 0, 1000)[0]!.bytes!, 0)
    assert.deepInclude(header, { producerId: 2, producerEpoch: 0, baseSequence: 0 })
  })

  it("raises the epoch of one partition alone", () => {
    const accumulator = make()
    const [a, b] = [led(accumulator, 0), led(accumulator, 1)]
    for (const partition of [a, b]) append(accumulator, partition, "1")
    const [first, other] = accumulator.drain(1, 0, 1000)
    accumulator.landed(first!)
    accumulator.retryInNextEpoch(first!, 0)
    acknowledge(accumulator, other!)
    append(accumulator, b, "2")
    const [again, next] = accumulator.drain(1, 0, 1000)
    assert.deepInclude(readBatchHeader(again!.bytes!, 0), { producerEpoch: 1, baseSequence: 0, recordCount: 1 })
    assert.deepInclude(readBatchHeader(next!.bytes!, 0), { producerEpoch: 0, baseSequence: 1 })
    assert.isUndefined(decodeRecords(again!.bytes!, { fetchOffset: 0 }).error, "its checksum is right")
  })

  it.each([undefined, gzip])("splits into halves, of the same records, in the same order (codec %#)", (codec) => {
    const accumulator = make({ codec })
    const partition = led(accumulator, 0)
    const values = ["a", "b", "c", "d", "e"]
    values.forEach((value, i) => append(accumulator, partition, value, 100 + i))
    const [batch] = accumulator.drain(1, 0, 10_000)
    append(accumulator, partition, "later")
    const { chunks } = decodeRecords(batch!.bytes!, { fetchOffset: 0 })
    assert.isTrue(accumulator.landed(batch!))
    accumulator.split(batch!, chunks.flatMap(({ records }) => records), 0)
    const sent: Array<string> = []
    const headers: Array<readonly [epoch: number, sequence: number, count: number]> = []
    for (let [next] = accumulator.drain(1, 0, 10_000); next !== undefined; [next] = accumulator.drain(1, 0, 10_000)) {
      const { baseSequence, producerEpoch, recordCount } = readBatchHeader(next.bytes!, 0)
      headers.push([producerEpoch, baseSequence, recordCount])
      const read = decodeRecords(next.bytes!, { fetchOffset: 0 }).chunks.flatMap(({ records }) => records)
      assert.strictEqual(read.length, next.entries.length)
      for (const entry of next.entries) sent.push(entry)
      assert.strictEqual(next.deadline, 60_000)
      acknowledge(accumulator, next)
    }
    assert.deepStrictEqual(sent, [...values, "later"])
    assert.deepStrictEqual(headers, [[0, 0, 3], [0, 3, 2], [0, 5, 1]])
    assert.strictEqual(accumulator.reserved, 0)
    assert.strictEqual(accumulator.incomplete.size, 0)
  })

  it("leaves room for the others when one partition cannot send", () => {
    const accumulator = make({ bufferBytes: 8000, batchBytes: 1000 })
    const stuck = accumulator.partition("t", 0)
    const admitted: Array<string> = []
    for (let i = 0; i < 50; i++) submit(accumulator, stuck, `stuck${i}`, 400, admitted)
    assert.isAtMost(accumulator.reserved, 2000)
    const other = led(accumulator, 1)
    for (let i = 0; i < 10; i++) assert.isTrue(append(accumulator, other, `other${i}`, 100))
    assert.strictEqual(accumulator.drain(1, 0, 100_000).length, 1)
  })

  it("lets nobody overtake a large record that waits for room of any partition", () => {
    const accumulator = make({ bufferBytes: 4000, batchBytes: 500 })
    const small = Array.from({ length: 4 }, (_, i) => led(accumulator, i))
    const admitted: Array<string> = []
    for (const partition of small) for (let i = 0; i < 3; i++) submit(accumulator, partition, "small", 200, admitted)
    submit(accumulator, led(accumulator, 9), "large", 3500, admitted)
    // A steady stream of small ones takes each byte that is freed, if it may.
    for (let round = 0; round < 20 && !admitted.includes("large"); round++) {
      for (const batch of accumulator.drain(1, 0, 500)) acknowledge(accumulator, batch)
      for (const partition of small) submit(accumulator, partition, "small", 200, admitted)
    }
    assert.include(admitted, "large")
    assert.isAtMost(accumulator.reserved, 4000)
  })

  it("admits those who wait in turn by partition, in order in each", () => {
    const accumulator = make({ bufferBytes: 1000, batchBytes: 1000 })
    const [a, b] = [led(accumulator, 0), led(accumulator, 1)]
    const admitted: Array<string> = []
    submit(accumulator, led(accumulator, 2), "fills", 900, admitted)
    for (const name of ["a1", "a2", "a3"]) submit(accumulator, a, name, 50, admitted)
    const withdraw = submit(accumulator, b, "gone", 50, admitted)
    for (const name of ["b1", "b2"]) submit(accumulator, b, name, 50, admitted)
    withdraw()
    withdraw()
    assert.deepStrictEqual(admitted, ["fills"])
    for (const batch of accumulator.drain(1, 0, 10_000)) acknowledge(accumulator, batch)
    assert.deepStrictEqual(admitted, ["fills", "a1", "b1", "a2", "b2", "a3"])
    assert.isFalse(accumulator.hasWaiters)
  })

  it("admits at once who comes to wait when there is room again", () => {
    const accumulator = make({ bufferBytes: 2000, batchBytes: 1000 })
    const partition = led(accumulator, 0)
    const admitted: Array<string> = []
    while (append(accumulator, partition, "first", 400));
    // Room is made between a caller's look and its wait: nobody else would ever admit it.
    for (const batch of accumulator.expired(60_000)) accumulator.complete(batch, true)
    accumulator.wait(partition, pendingRecord(400), "late", false, () => 60_000, () => admitted.push("late"))
    assert.deepStrictEqual(admitted, ["late"])
    assert.isFalse(accumulator.hasWaiters)
  })

  it("bounds what is not reported, but for those who report", () => {
    const accumulator = make({ maxUnreported: 2 })
    const partition = led(accumulator, 0)
    const admitted: Array<string> = []
    for (const name of ["1", "2", "3", "4"]) submit(accumulator, partition, name, 10, admitted)
    submit(accumulator, partition, "handler's", 10, admitted, true)
    assert.deepStrictEqual(admitted, ["1", "2", "handler's"])
    for (const batch of accumulator.drain(1, 0, 1000)) acknowledge(accumulator, batch)
    assert.strictEqual(admitted.length, 3, "an outcome is no report")
    accumulator.reported(1)
    assert.strictEqual(admitted.length, 3)
    accumulator.reported(1)
    assert.deepStrictEqual(admitted.slice(3), ["3"])
    accumulator.reported(1)
    assert.deepStrictEqual(admitted.slice(3), ["3", "4"])
  })

  it("keeps the exempt when it sends the others away", () => {
    const accumulator = make({ bufferBytes: 500, batchBytes: 100 })
    const partition = led(accumulator, 0)
    const admitted: Array<string> = []
    submit(accumulator, partition, "fills", 400, admitted)
    submit(accumulator, partition, "dismissed", 400, admitted)
    submit(accumulator, partition, "exempt", 400, admitted, true)
    accumulator.dismissWaiters(false)
    for (const batch of accumulator.drain(1, 0, 1000)) acknowledge(accumulator, batch)
    assert.deepStrictEqual(admitted, ["fills", "exempt"])
    submit(accumulator, partition, "dismissed too", 400, admitted, true)
    accumulator.dismissWaiters(true)
    for (const batch of accumulator.drain(1, 0, 1000)) acknowledge(accumulator, batch)
    assert.strictEqual(admitted.length, 2)
    assert.strictEqual(accumulator.reserved, 0)
  })

  it("takes a record that is larger than the buffer when it is empty, and no other beside it", () => {
    const accumulator = make({ bufferBytes: 100, batchBytes: 50 })
    const partition = led(accumulator, 0)
    assert.isTrue(append(accumulator, partition, "huge", 500))
    assert.isFalse(append(accumulator, led(accumulator, 1), "tiny", 0))
    assert.isAbove(accumulator.reserved, 500 + batchHeaderSize)
  })

  it("sends away thousands who wait in little time", () => {
    const accumulator = make({ bufferBytes: 2000, maxUnreported: 1 })
    const withdraws: Array<() => void> = []
    for (let i = 0; i < 20_000; i++) {
      withdraws.push(submit(accumulator, led(accumulator, i % 50), `${i}`, 100, []))
    }
    const start = performance.now()
    for (const withdraw of withdraws) withdraw()
    assert.isFalse(accumulator.hasWaiters)
    assert.isBelow(performance.now() - start, 2000)
  })

  it("admits others when a split has used up the share of whose turn it was", () => {
    const accumulator = make()
    const admitted: Array<string> = []
    const [large, other] = [led(accumulator, 0), led(accumulator, 1)]
    for (const entry of ["a", "b"]) append(accumulator, large, entry, 400)
    for (const index of [2, 3, 4]) {
      const partition = led(accumulator, index)
      partition.leader = 2
      for (const entry of ["c", "d"]) append(accumulator, partition, entry, 900)
    }
    const [batch] = accumulator.drain(1, 0, 10_000)
    append(accumulator, other, "e", 350)
    submit(accumulator, large, "for all", 1030, admitted)
    submit(accumulator, other, "behind", 50, admitted)
    assert.deepStrictEqual(admitted, [])
    const { chunks } = decodeRecords(batch!.bytes!, { fetchOffset: 0 })
    assert.isTrue(accumulator.landed(batch!))
    accumulator.split(batch!, chunks.flatMap((chunk) => chunk.records), 0)
    assert.deepStrictEqual(admitted, ["behind"])
  })

  describe("several in flight", () => {
    /** A partition whose leader has acknowledged a batch, and batches of one record each. */
    const established = (...entries: ReadonlyArray<string>) => {
      const accumulator = make({ batchRecords: 1 })
      const partition = led(accumulator, 0)
      append(accumulator, partition, "first")
      acknowledge(accumulator, accumulator.drain(1, 0, 1000)[0]!)
      for (const entry of entries) append(accumulator, partition, entry)
      const drainAll = () => {
        const batches: Array<Batch<string>> = []
        for (
          let [batch] = accumulator.drain(1, 0, 1000);
          batch !== undefined;
          [batch] = accumulator.drain(1, 0, 1000)
        ) {
          batches.push(batch)
        }
        return batches
      }
      return { accumulator, partition, drainAll }
    }
    const entriesOf = (batches: ReadonlyArray<Batch<string>>) => batches.map(({ entries }) => entries.join())

    it("are up to five, once one is acknowledged", () => {
      const { drainAll } = established("a", "b", "c", "d", "e", "f")
      assert.deepStrictEqual(entriesOf(drainAll()), ["a", "b", "c", "d", "e"])
    })

    it("fill beside those in flight for a moment, unless they are full", () => {
      const accumulator = make({ batchRecords: 2 })
      const partition = led(accumulator, 0)
      append(accumulator, partition, "first")
      acknowledge(accumulator, accumulator.drain(1, 0, 1000)[0]!)
      append(accumulator, partition, "a", 10, { now: 100 })
      assert.deepStrictEqual(entriesOf(accumulator.drain(1, 100, 1000)), ["a"])
      append(accumulator, partition, "b", 10, { now: 100 })
      assert.deepStrictEqual(accumulator.drain(1, 104, 1000), [])
      assert.strictEqual(accumulator.nextReady(1, 104), 105)
      append(accumulator, partition, "c", 10, { now: 104 })
      assert.deepStrictEqual(entriesOf(accumulator.drain(1, 104, 1000)), ["b,c"])
    })

    it("is one, before the leader has acknowledged any of the epoch, and when another broker leads", () => {
      const { accumulator, drainAll, partition } = established("a", "b", "c")
      partition.leader = 2
      partition.leader = 1
      const [a, ...others] = drainAll()
      assert.deepStrictEqual(entriesOf([a!, ...others]), ["a"])
      acknowledge(accumulator, a!)
      assert.deepStrictEqual(entriesOf(drainAll()), ["b", "c"])
    })

    it("wait for each other when one of them goes again, and go in their order", () => {
      const { accumulator, drainAll } = established("a", "b", "c", "d")
      const [a, b, c, d] = drainAll()
      retry(accumulator, b!, 0)
      retry(accumulator, d!, 0)
      acknowledge(accumulator, a!)
      assert.deepStrictEqual(drainAll(), [])
      retry(accumulator, c!, 0)
      assert.deepStrictEqual(entriesOf(drainAll()), ["b"])
      acknowledge(accumulator, b!)
      assert.deepStrictEqual(entriesOf(drainAll()), ["c", "d"])
    })

    it("keep their numbers if they may be written, and get new ones if they are surely not, behind one that failed", () => {
      const { accumulator, drainAll } = established("failed", "maybe", "no")
      const [failed, maybe, no] = drainAll()
      maybe!.maybeWritten = true
      for (const batch of [maybe!, no!]) retry(accumulator, batch, 0)
      assert.isTrue(accumulator.landed(failed!))
      accumulator.complete(failed!, false)
      const numbers = []
      for (let i = 0; i < 2; i++) {
        const [batch] = drainAll()
        const { baseSequence, producerEpoch } = readBatchHeader(batch!.bytes!, 0)
        numbers.push([batch!.entries.join(), producerEpoch, baseSequence])
        acknowledge(accumulator, batch!)
      }
      assert.deepStrictEqual(numbers, [["maybe", 0, 2], ["no", 1, 0]])
    })

    it("let nothing follow one that is past its deadline and not answered", () => {
      const { accumulator, drainAll } = established("a", "b")
      const [a, b] = drainAll()
      append(accumulator, a!.partition, "c")
      accumulator.complete(a!, false)
      acknowledge(accumulator, b!)
      assert.deepStrictEqual(drainAll(), [])
      assert.isFalse(accumulator.landed(a!))
      assert.deepStrictEqual(entriesOf(drainAll()), ["c"])
    })

    it("have nothing new beside one that is sent again: a broker knows the last five, and would not know it", () => {
      const { accumulator, drainAll } = established("a", "b", "c", "d", "e", "f", "g")
      const [a, ...others] = drainAll()
      // It is in the log, and its answer says that it may not be; the others are acknowledged.
      a!.maybeWritten = true
      retry(accumulator, a!, 0)
      for (const batch of others) acknowledge(accumulator, batch)
      assert.deepStrictEqual(entriesOf(drainAll()), ["a"])
      retry(accumulator, a!, 0)
      assert.deepStrictEqual(entriesOf(drainAll()), ["a"])
      acknowledge(accumulator, a!)
      assert.deepStrictEqual(entriesOf(drainAll()), ["f", "g"])
    })
  })
})
