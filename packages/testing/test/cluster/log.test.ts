import { assert, describe, it } from "@effect/vitest"
import { builtInCodecs } from "@sluice/kafka/internal/kernel/compression"
import { decodeRecords } from "@sluice/kafka/internal/kernel/records"
import { FastCheck } from "effect"

import { PartitionLog } from "../../src/internal/cluster/log.ts"
import { Timers } from "../../src/internal/cluster/timers.ts"
import { batch, text } from "../support/model.ts"

const sizes = FastCheck.array(FastCheck.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 40 })

describe("PartitionLog", () => {
  it.prop("reads what was appended, from any offset, within the bounds", {
    batchSizes: sizes,
    segmentBytes: FastCheck.integer({ min: 1, max: 2000 }),
    maxBytes: FastCheck.integer({ min: 0, max: 1500 }),
    deleted: FastCheck.nat(200)
  }, ({ batchSizes, deleted, maxBytes, segmentBytes }) => {
    const log = new PartitionLog(segmentBytes, builtInCodecs)
    const expected: Array<string> = []
    for (const size of batchSizes) {
      const values = Array.from({ length: size }, (_, index) => `value ${expected.length + index}`)
      assert.strictEqual(log.append(batch(values), 3), expected.length)
      for (const value of values) expected.push(value)
    }
    assert.strictEqual(log.endOffset, expected.length)
    log.deleteBefore(Math.min(deleted, expected.length))
    assert.strictEqual(log.startOffset, Math.min(deleted, expected.length))

    const all = Array.from(log.chunks()).flatMap((chunk) => chunk.records)
    assert.deepStrictEqual(all.map((record) => text(record.value)), expected.slice(log.startOffset))
    assert.deepStrictEqual(
      all.map((record) => record.offset),
      expected.map((_, offset) => offset).slice(log.startOffset)
    )

    for (let offset = log.startOffset; offset < expected.length;) {
      const bytes = log.read(offset, maxBytes, true)
      const { chunks, nextOffset } = decodeRecords(bytes, { fetchOffset: offset })
      const values = chunks.flatMap((chunk) => chunk.records.map((record) => text(record.value)))
      assert.isAbove(values.length, 0)
      assert.deepStrictEqual(values, expected.slice(offset, nextOffset))
      const isOneBatch = chunks.length === 1
      assert.isTrue(bytes.length <= maxBytes || isOneBatch)
      assert.isAtLeast(log.bytesFrom(offset), isOneBatch ? 1 : bytes.length)
      assert.strictEqual(log.leaderEpochAt(offset), 3)
      offset = nextOffset
    }
    assert.lengthOf(log.read(log.endOffset, maxBytes, true), 0)
    assert.strictEqual(log.bytesFrom(log.endOffset), 0)
    assert.isUndefined(log.leaderEpochAt(log.endOffset))
  })

  it.prop("is after a truncation as if what came after had never been, and reads no further than it is told", {
    kept: FastCheck.array(FastCheck.nat(3), { maxLength: 15 }),
    lost: FastCheck.array(FastCheck.nat(3), { maxLength: 15 }),
    added: FastCheck.array(FastCheck.nat(3), { maxLength: 5 }),
    segmentBytes: FastCheck.integer({ min: 1, max: 1000 })
  }, ({ added, kept, lost, segmentBytes }) => {
    const append = (log: PartitionLog, what: string, timestamps: ReadonlyArray<number>) => {
      for (const timestamp of timestamps) log.append(batch([what, what], { timestamp }), 3)
    }
    const describeLog = (log: PartitionLog) => ({
      segments: log.segmentInfos(),
      end: log.endOffset,
      values: Array.from(log.chunks()).flatMap((chunk) => chunk.records.map((record) => text(record.value)))
    })
    const log = new PartitionLog(segmentBytes, builtInCodecs)
    const expected = new PartitionLog(segmentBytes, builtInCodecs)
    append(log, "kept", kept)
    append(expected, "kept", kept)
    const { endOffset } = expected
    append(log, "lost", lost)
    for (let offset = 0; offset < endOffset; offset++) {
      assert.strictEqual(log.read(offset, 500, true, endOffset).length, expected.read(offset, 500, true).length)
    }
    assert.lengthOf(log.read(endOffset, 500, true, endOffset), 0)
    assert.strictEqual(log.bytesFrom(endOffset, endOffset), 0)
    log.truncateTo(endOffset)
    assert.deepStrictEqual(describeLog(log), describeLog(expected))
    append(log, "added", added)
    append(expected, "added", added)
    assert.deepStrictEqual(describeLog(log), describeLog(expected))
  })

  it("leaves views that it has given as they are", () => {
    const log = new PartitionLog(1_000_000, builtInCodecs)
    log.append(batch(["first"]), 0)
    const view = log.read(0, 1000, true)
    const before = Array.from(view)
    for (let index = 0; index < 500; index++) log.append(batch(["later"]), 0)
    assert.deepStrictEqual(Array.from(view), before)
  })
})

describe("Timers", () => {
  it.prop("run in the order of time, then of scheduling, unless cancelled", {
    times: FastCheck.array(FastCheck.tuple(FastCheck.nat(20), FastCheck.boolean())),
    steps: FastCheck.array(FastCheck.nat(5))
  }, ({ steps, times }) => {
    const timers = new Timers()
    const ran: Array<number> = []
    const scheduled = times.map(([at], index) => timers.schedule(at, () => ran.push(index)))
    times.forEach(([, isCancelled], index) => {
      if (isCancelled) scheduled[index]!.cancel()
    })
    const expected = times.map(([at, isCancelled], index) => ({ at, index, isCancelled }))
      .filter((timer) => !timer.isCancelled)
      .sort((one, other) => one.at - other.at || one.index - other.index)
    let now = 0
    for (const step of steps) {
      now += step
      timers.runDue(now)
      assert.deepStrictEqual(ran, expected.filter((timer) => timer.at <= now).map((timer) => timer.index))
      assert.strictEqual(timers.nextDeadline(), expected.find((timer) => timer.at > now)?.at)
    }
    assert.strictEqual(timers.size, expected.length - ran.length)
  })

  it("run what is scheduled for now while they run", () => {
    const timers = new Timers()
    const ran: Array<string> = []
    timers.schedule(5, (now) => {
      ran.push("first")
      timers.schedule(now, () => ran.push("at once"))
      timers.schedule(now + 1, () => ran.push("later"))
    })
    timers.runDue(5)
    assert.deepStrictEqual(ran, ["first", "at once"])
  })

  it("forget a timer that has run or was cancelled before", () => {
    const timers = new Timers()
    const one = timers.schedule(1, () => undefined)
    const other = timers.schedule(1, () => undefined)
    timers.runDue(1)
    one.cancel()
    other.cancel()
    assert.strictEqual(timers.size, 0)
  })
})
