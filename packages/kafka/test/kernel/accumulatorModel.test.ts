import { assert, describe, it } from "@effect/vitest"
import { Accumulator, advanceSequence, type Batch } from "@sluice/kafka/internal/kernel/accumulator"
import { batchHeaderSize, readBatchHeader } from "@sluice/kafka/internal/kernel/batchHeader"
import { decodeRecords } from "@sluice/kafka/internal/kernel/records"
import { FastCheck } from "effect"

import { pendingRecord } from "./pending.ts"

const partitionCount = 4
const options = {
  batchBytes: 400,
  bufferBytes: 2000,
  maxUnreported: 40,
  linger: 5,
  deliveryTimeout: 100,
  codec: undefined,
  idempotent: true
}

type Step =
  | { readonly _tag: "Submit"; readonly partition: number; readonly valueSize: number; readonly exempt: boolean }
  | { readonly _tag: "Withdraw"; readonly pick: number }
  | { readonly _tag: "Lead"; readonly partition: number; readonly leader: number }
  | { readonly _tag: "Drain"; readonly leader: number; readonly maxBytes: number }
  | {
    readonly _tag: "Answer"
    readonly pick: number
    readonly outcome: "ack" | "retry" | "epoch" | "split" | "fail"
  }
  | { readonly _tag: "Report"; readonly count: number }
  | { readonly _tag: "Tick"; readonly millis: number }
  | { readonly _tag: "Flush" }

const step: FastCheck.Arbitrary<Step> = FastCheck.oneof(
  {
    weight: 8,
    arbitrary: FastCheck.record({
      _tag: FastCheck.constant("Submit" as const),
      partition: FastCheck.nat(partitionCount - 1),
      valueSize: FastCheck.oneof(FastCheck.nat(60), FastCheck.integer({ min: 300, max: 1900 })),
      exempt: FastCheck.integer({ min: 0, max: 9 }).map((n) => n === 0)
    })
  },
  FastCheck.record({ _tag: FastCheck.constant("Withdraw" as const), pick: FastCheck.nat() }),
  FastCheck.record({
    _tag: FastCheck.constant("Lead" as const),
    partition: FastCheck.nat(partitionCount - 1),
    leader: FastCheck.integer({ min: -1, max: 2 })
  }),
  {
    weight: 4,
    arbitrary: FastCheck.record({
      _tag: FastCheck.constant("Drain" as const),
      leader: FastCheck.integer({ min: 0, max: 2 }),
      maxBytes: FastCheck.constantFrom(1, 500, 5000)
    })
  },
  {
    weight: 4,
    arbitrary: FastCheck.record({
      _tag: FastCheck.constant("Answer" as const),
      pick: FastCheck.nat(),
      outcome: FastCheck.constantFrom<"ack" | "retry" | "epoch" | "split" | "fail">(
        "ack",
        "ack",
        "retry",
        "epoch",
        "split",
        "fail"
      )
    })
  },
  { weight: 2, arbitrary: FastCheck.record({ _tag: FastCheck.constant("Report" as const), count: FastCheck.nat(20) }) },
  { weight: 2, arbitrary: FastCheck.record({ _tag: FastCheck.constant("Tick" as const), millis: FastCheck.nat(30) }) },
  FastCheck.record({ _tag: FastCheck.constant("Flush" as const) })
)

interface Waiting {
  readonly id: number
  readonly partition: number
  readonly size: number
  readonly exempt: boolean
  withdraw: () => void
}

/** An accumulator, and what must be true of it, kept in plain lists. */
class Model {
  readonly accumulator = new Accumulator<number>(options)
  /** Accepted and without an outcome, by partition, in the order of acceptance. */
  readonly accepted: Array<Array<number>> = Array.from({ length: partitionCount }, () => [])
  /** In the order of arrival. */
  readonly waiting: Array<Waiting> = []
  readonly settled = new Set<number>()
  readonly admittedNow: Array<number> = []
  /** What each partition's broker has seen: the epoch, and the sequence that it expects next. */
  readonly written = new Map<number, { epoch: number; next: number }>()
  submitted = 0
  withdrawn = 0
  unreported = 0
  splits = 0
  now = 0
  endFlush: (() => void) | undefined

  constructor() {
    this.accumulator.identity = { producerId: 7, epoch: 0 }
  }

  buffer = (index: number) => this.accumulator.partition("topic", index)

  get inFlight(): ReadonlyArray<Batch<number>> {
    return Array.from({ length: partitionCount }, (_, i) => this.buffer(i).inFlight).filter((b) => b !== undefined)
  }

  submit(partition: number, valueSize: number, exempt: boolean): void {
    const id = this.submitted++
    const record = pendingRecord(valueSize)
    const turn = this.waitingForAll()
    const isFirst = this.waiting.every((other) => other.exempt || other.partition !== partition)
    // Before the call, which may admit others after it.
    this.accepted[partition]!.push(id)
    this.unreported++
    if (this.accumulator.append(this.buffer(partition), record, id, this.now, exempt)) {
      assert.isTrue(exempt || turn === undefined, "overtook who waits for room of any partition")
      assert.isTrue(exempt || isFirst, "overtook in its own partition")
      return
    }
    this.accepted[partition]!.pop()
    this.unreported--
    // It may be admitted before the call is over.
    const waiter: Waiting = { id, partition, size: record.size, exempt, withdraw: () => {} }
    this.waiting.push(waiter)
    waiter.withdraw = this.accumulator.wait(this.buffer(partition), record, id, exempt, () => this.now, () => {
      const index = this.waiting.indexOf(waiter)
      const first = this.waiting.findIndex((other) => other.exempt === exempt && other.partition === partition)
      assert.isAtLeast(index, 0, "admitted twice")
      if (!exempt) assert.strictEqual(index, first, "not admitted in order")
      this.waiting.splice(index, 1)
      this.accepted[partition]!.push(id)
      this.unreported++
    })
  }

  /** Why the first waiters wait; computed from nothing but the lists. */
  refusal(waiter: Waiting): "full" | "share" | undefined {
    const { batchBytes, bufferBytes, maxUnreported } = options
    if (this.unreported >= maxUnreported && !waiter.exempt) return "full"
    const batches = Array.from(this.accumulator.incomplete)
    const total = batches.reduce((sum, batch) => sum + batch.reserved, 0)
    if (total === 0) return undefined
    const buffer = this.buffer(waiter.partition)
    const own = batches.filter((batch) => batch.partition === buffer).reduce((sum, batch) => sum + batch.reserved, 0)
    const opens = buffer.open === undefined || buffer.open.builder.size + waiter.size > batchBytes
    const needed = waiter.size + (opens ? batchHeaderSize : 0)
    if (own > 0 && own + needed > Math.max(bufferBytes / 4, 2 * batchBytes)) return "share"
    return total + needed > bufferBytes ? "full" : undefined
  }

  /** The first waiters of each partition, and the exempt. */
  firstWaiters(): ReadonlyArray<Waiting> {
    return this.waiting.filter((waiter, i) =>
      waiter.exempt || this.waiting.findIndex((other) => !other.exempt && other.partition === waiter.partition) === i
    )
  }

  waitingForAll(): Waiting | undefined {
    return this.firstWaiters().find((waiter) => this.refusal(waiter) === "full")
  }

  drain(leader: number, maxBytes: number): void {
    const before = new Set(this.inFlight)
    const batches = this.accumulator.drain(leader, this.now, maxBytes)
    let total = 0
    for (const batch of batches) {
      assert.strictEqual(batch.partition.leader, leader)
      assert.isFalse(before.has(batch))
      assert.strictEqual(batch.partition.inFlight, batch)
      assert.isAtMost(batch.retryAt, this.now)
      total += batch.bytes!.length
      batch.onWire = true
      this.checkSequence(batch)
    }
    if (batches.length > 1) assert.isAtMost(total, maxBytes)
    if (this.accumulator.nextReady(leader, this.now) <= this.now) assert.isNotEmpty(batches)
  }

  /** As a broker does: the same epoch goes on, a newer one starts at 0. */
  checkSequence(batch: Batch<number>): void {
    const header = readBatchHeader(batch.bytes!, 0)
    assert.strictEqual(header.producerId, 7)
    assert.strictEqual(header.recordCount, batch.entries.length)
    assert.strictEqual(header.baseSequence, batch.baseSequence)
    const index = batch.partition.partition
    const known = this.written.get(index) ?? { epoch: 0, next: 0 }
    assert.isAtLeast(header.producerEpoch, known.epoch)
    assert.strictEqual(header.baseSequence, header.producerEpoch === known.epoch ? known.next : 0)
  }

  answer(batch: Batch<number>, outcome: "ack" | "retry" | "epoch" | "split" | "fail"): void {
    const { accumulator } = this
    if (!accumulator.landed(batch)) {
      assert.isUndefined(batch.partition.inFlight)
      return
    }
    const header = readBatchHeader(batch.bytes!, 0)
    const { partition } = batch.partition
    switch (outcome) {
      case "ack":
        this.written.set(partition, {
          epoch: header.producerEpoch,
          next: advanceSequence(header.baseSequence, header.recordCount)
        })
        return this.complete(batch)
      case "retry":
        return accumulator.retry(batch, this.now + 3)
      case "epoch":
        return accumulator.retryInNextEpoch(batch, this.now + 3)
      case "fail":
        accumulator.nextEpoch(batch.partition)
        return this.complete(batch)
      case "split": {
        if (batch.entries.length === 1) return accumulator.retry(batch, this.now)
        this.splits++
        const { chunks } = decodeRecords(batch.bytes!, { fetchOffset: 0 })
        return accumulator.split(batch, chunks.flatMap((chunk) => chunk.records), this.now)
      }
    }
  }

  complete(batch: Batch<number>): void {
    const { partition } = batch.partition
    for (const id of batch.entries) {
      assert.isFalse(this.settled.has(id))
      this.settled.add(id)
      this.accepted[partition]!.splice(this.accepted[partition]!.indexOf(id), 1)
    }
    this.accumulator.complete(batch)
  }

  report(count: number): void {
    const outstanding = this.unreported - this.accepted.reduce((sum, ids) => sum + ids.length, 0)
    const handled = Math.min(count, outstanding)
    this.unreported -= handled
    this.accumulator.reported(handled)
  }

  apply(step: Step): void {
    switch (step._tag) {
      case "Submit":
        return this.submit(step.partition, step.valueSize, step.exempt)
      case "Withdraw": {
        if (this.waiting.length === 0) return
        const [gone] = this.waiting.splice(step.pick % this.waiting.length, 1)
        this.withdrawn++
        return gone!.withdraw()
      }
      case "Lead":
        this.buffer(step.partition).leader = step.leader
        return
      case "Drain":
        return this.drain(step.leader, step.maxBytes)
      case "Answer": {
        const { inFlight } = this
        return inFlight.length === 0 ? undefined : this.answer(inFlight[step.pick % inFlight.length]!, step.outcome)
      }
      case "Report":
        return this.report(step.count)
      case "Tick":
        this.now += step.millis
        for (const batch of this.accumulator.expired(this.now)) {
          if (batch.baseSequence !== -1) this.accumulator.nextEpoch(batch.partition)
          this.complete(batch)
        }
        return
      case "Flush":
        this.endFlush = this.endFlush === undefined ? this.accumulator.startFlush() : void this.endFlush()
        return
    }
  }

  check(): void {
    const { accumulator } = this
    let reserved = 0
    const incomplete: Array<Batch<number>> = []
    for (let i = 0; i < partitionCount; i++) {
      const buffer = this.buffer(i)
      // What is past its deadline keeps its partition until it is answered.
      const hasFirst = buffer.inFlight !== undefined && accumulator.incomplete.has(buffer.inFlight)
      const batches = hasFirst ? [buffer.inFlight!, ...buffer.queue] : buffer.queue
      for (const batch of batches) incomplete.push(batch)
      assert.deepStrictEqual(batches.flatMap((batch) => batch.entries), this.accepted[i], "order of acceptance")
      assert.strictEqual(buffer.reserved, batches.reduce((sum, batch) => sum + batch.reserved, 0))
      assert.strictEqual(accumulator.active.has(buffer), buffer.queue.length > 0, "active")
      assert.isTrue(buffer.queue.slice(0, -1).every((batch) => batch.sealed), "only the last is open")
      for (const batch of batches) {
        assert.isTrue(batch.entries.length === 1 || batch.builder.size <= options.batchBytes, "batchBytes")
      }
      reserved += buffer.reserved
    }
    assert.sameMembers(Array.from(accumulator.incomplete), incomplete)
    assert.strictEqual(accumulator.reserved, reserved)
    // A record is let into an empty buffer whatever its size; a batch that is split needs one header more.
    const largest = Math.max(0, ...incomplete.map((batch) => batch.reserved))
    assert.isAtMost(reserved, Math.max(options.bufferBytes, largest) + this.splits * batchHeaderSize, "bufferBytes")
    const deadline = Math.min(Infinity, ...incomplete.map((batch) => batch.deadline))
    assert.strictEqual(accumulator.nextDeadline(), deadline)
    assert.isAbove(deadline, this.now)
    assert.strictEqual(accumulator.hasWaiters, this.waiting.length > 0)
    // Nobody waits without a reason: his own, or that of another whose turn it is.
    if (this.waitingForAll() === undefined) {
      for (const waiter of this.firstWaiters()) assert.strictEqual(this.refusal(waiter), "share", "waits for nothing")
    }
    const pending = this.accepted.reduce((sum, ids) => sum + ids.length, 0)
    assert.strictEqual(pending + this.waiting.length + this.settled.size + this.withdrawn, this.submitted)
  }

  /** Whatever has happened: once all partitions have leaders that answer, everything comes to its end. */
  finish(): void {
    for (let i = 0; i < partitionCount; i++) this.buffer(i).leader = 0
    this.endFlush?.()
    for (let round = 0; this.settled.size + this.withdrawn < this.submitted; round++) {
      assert.isBelow(round, 1000, "comes to no end")
      this.apply({ _tag: "Tick", millis: 5 })
      this.drain(0, 5000)
      for (const batch of this.inFlight) this.answer(batch, "ack")
      this.report(Infinity)
      this.check()
    }
    assert.strictEqual(this.accumulator.reserved, 0)
    assert.strictEqual(this.accumulator.active.size, 0)
    assert.strictEqual(this.accumulator.nextReady(0, this.now), Infinity)
    assert.strictEqual(this.unreported, 0)
  }
}

describe("Accumulator, against a model", () => {
  it("keeps every record in one batch, in order, within the bounds, to one outcome", () => {
    FastCheck.assert(
      FastCheck.property(FastCheck.array(step, { maxLength: 150, size: "max" }), (steps) => {
        const model = new Model()
        for (const step of steps) {
          model.apply(step)
          model.check()
        }
        model.finish()
      }),
      { numRuns: 100 }
    )
  })
})
