import { assert, describe, it } from "@effect/vitest"
import { Accumulator } from "@sluice/kafka/internal/kernel/accumulator"
import { batchHeaderSize } from "@sluice/kafka/internal/kernel/batchHeader"
import type { Batch } from "@sluice/kafka/internal/kernel/partitionBuffer"
import { produceOutcome } from "@sluice/kafka/internal/kernel/produceOutcome"
import { decodeRecords } from "@sluice/kafka/internal/kernel/records"
import { FastCheck } from "effect"

import { BrokerLog } from "./brokerLog.ts"
import { pendingRecord } from "./pending.ts"

const partitionCount = 2
const options = {
  batchBytes: 150,
  batchRecords: 6,
  bufferBytes: 4000,
  maxUnreported: 60,
  linger: 5,
  deliveryTimeout: 100,
  codec: undefined,
  idempotent: true,
  maxInFlight: 5
}

/** What becomes of a request; the broker has it, unless it is refused, unknown or unsent. */
const fates = ["answered", "refused", "too large", "invalid", "sequence lost", "unsent", "no answer", "late"] as const
type Fate = typeof fates[number]
const fate = FastCheck.oneof(
  { weight: 14, arbitrary: FastCheck.constant("answered" as const) },
  { weight: 1, arbitrary: FastCheck.constantFrom(...fates.slice(1, 5)) },
  { weight: 3, arbitrary: FastCheck.constantFrom(...fates.slice(5)) }
)

type Step =
  | { readonly _tag: "Submit"; readonly partition: number; readonly valueSize: number; readonly exempt: boolean }
  | { readonly _tag: "Withdraw"; readonly pick: number }
  | { readonly _tag: "Lead"; readonly partition: number; readonly leader: number }
  | { readonly _tag: "Drain"; readonly leader: number; readonly maxBytes: number }
  | { readonly _tag: "Answer"; readonly pick: number; readonly fate: Fate }
  | { readonly _tag: "Arrive"; readonly pick: number }
  | { readonly _tag: "Report"; readonly count: number }
  | { readonly _tag: "Tick"; readonly millis: number }
  | { readonly _tag: "Flush" }

const step: FastCheck.Arbitrary<Step> = FastCheck.oneof(
  {
    weight: 8,
    arbitrary: FastCheck.record({
      _tag: FastCheck.constant("Submit" as const),
      partition: FastCheck.nat(partitionCount - 1),
      valueSize: FastCheck.oneof(
        FastCheck.nat(60),
        FastCheck.nat(60),
        FastCheck.nat(60),
        FastCheck.integer({ min: 100, max: 900 })
      ),
      exempt: FastCheck.integer({ min: 0, max: 9 }).map((n) => n === 0)
    })
  },
  FastCheck.record({ _tag: FastCheck.constant("Withdraw" as const), pick: FastCheck.nat() }),
  FastCheck.record({
    _tag: FastCheck.constant("Lead" as const),
    partition: FastCheck.nat(partitionCount - 1),
    leader: FastCheck.integer({ min: -1, max: 1 })
  }),
  {
    weight: 8,
    arbitrary: FastCheck.record({
      _tag: FastCheck.constant("Drain" as const),
      leader: FastCheck.integer({ min: 0, max: 1 }),
      maxBytes: FastCheck.constantFrom(1, 500, 5000)
    })
  },
  {
    weight: 6,
    arbitrary: FastCheck.record({
      _tag: FastCheck.constant("Answer" as const),
      pick: FastCheck.nat(),
      fate
    })
  },
  FastCheck.record({ _tag: FastCheck.constant("Arrive" as const), pick: FastCheck.nat() }),
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
  /** Ever accepted, by partition, in that order. */
  readonly order: Array<Array<number>> = Array.from({ length: partitionCount }, () => [])
  /** In the order of arrival. */
  readonly waiting: Array<Waiting> = []
  readonly settled = new Set<number>()
  readonly admittedNow: Array<number> = []
  readonly acknowledged = new Set<number>()
  readonly failedForSure = new Set<number>()
  /** What brokers have, by partition. */
  readonly logs = Array.from({ length: partitionCount }, () => new BrokerLog())
  /** What is in flight, by partition, in the order in which it was sent. */
  readonly wires: ReadonlyArray<Array<Batch<number>>> = Array.from({ length: partitionCount }, () => [])
  /** What nobody waits for any more, and brokers will get. */
  readonly late: Array<
    { readonly partition: number; readonly bytes: Uint8Array; readonly ids: ReadonlyArray<number> }
  > = []
  submitted = 0
  withdrawn = 0
  unreported = 0
  splits = 0
  deepest = 0
  now = 0
  endFlush: (() => void) | undefined

  constructor() {
    this.accumulator.identity = { producerId: 7, epoch: 0 }
    for (let i = 0; i < partitionCount; i++) this.buffer(i).leader = i
  }

  buffer = (index: number) => this.accumulator.partition("topic", index)

  get busy(): ReadonlyArray<Array<Batch<number>>> {
    return this.wires.filter((wire) => wire.length > 0)
  }

  submit(partition: number, valueSize: number, exempt: boolean): void {
    const id = this.submitted++
    const record = pendingRecord(valueSize)
    const turn = this.waitingForAll()
    const isFirst = this.waiting.every((other) => other.exempt || other.partition !== partition)
    // Before the call, which may admit others after it.
    this.accepted[partition]!.push(id)
    this.order[partition]!.push(id)
    this.unreported++
    if (this.accumulator.append(this.buffer(partition), record, id, this.now, exempt)) {
      assert.isTrue(exempt || turn === undefined, "overtook who waits for room of any partition")
      assert.isTrue(exempt || isFirst, "overtook in its own partition")
      return
    }
    this.accepted[partition]!.pop()
    this.order[partition]!.pop()
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
      this.order[partition]!.push(id)
      this.unreported++
    })
  }

  /** Why the first waiters wait; computed from nothing but the lists. */
  refusal(waiter: Waiting): "full" | "share" | undefined {
    const { batchBytes, batchRecords, bufferBytes, maxUnreported } = options
    if (this.unreported >= maxUnreported && !waiter.exempt) return "full"
    const batches = Array.from(this.accumulator.incomplete)
    const total = batches.reduce((sum, batch) => sum + batch.reserved, 0)
    if (total === 0) return undefined
    const buffer = this.buffer(waiter.partition)
    const own = batches.filter((batch) => batch.partition === buffer).reduce((sum, batch) => sum + batch.reserved, 0)
    const { open } = buffer
    const opens = open === undefined || open.builder.size + waiter.size > batchBytes ||
      open.entries.length === batchRecords
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
    const isDue = this.accumulator.nextReady(leader, this.now) <= this.now
    const batches = this.accumulator.drain(leader, this.now, maxBytes)
    assert.strictEqual(batches.length > 0, isDue)
    let total = 0
    for (const batch of batches) {
      const wire = this.wires[batch.partition.partition]!
      assert.isTrue(batch.inFlight)
      assert.strictEqual(batch.sentTo, leader)
      assert.isAtMost(batch.retryAt, this.now)
      for (const before of wire) assert.strictEqual(before.sentTo, leader, "in flight at two brokers")
      wire.push(batch)
      this.deepest = Math.max(this.deepest, wire.length)
      assert.isAtMost(wire.length, options.maxInFlight)
      total += batch.bytes!.length
    }
    if (batches.length > 1) assert.isAtMost(total, maxBytes)
  }

  /** As the sender does with the answer for the oldest request of a partition. */
  answer(wire: Array<Batch<number>>, fate: Fate): void {
    const { accumulator, now } = this
    const batch = wire.shift()!
    const { partition } = batch
    const log = this.logs[partition.partition]!
    const ids = Array.from(batch.entries)
    const code = fate === "answered" || fate === "no answer"
      ? log.append(batch.bytes!, ids)
      : fate === "refused"
      ? 19
      : fate === "too large"
      ? 10
      : fate === "invalid"
      ? 87
      : 59
    if (fate === "late") this.late.push({ partition: partition.partition, bytes: Uint8Array.from(batch.bytes!), ids })
    if (!accumulator.landed(batch)) return
    if (fate === "unsent" || fate === "no answer" || fate === "late") {
      batch.maybeWritten ||= fate !== "unsent"
      return accumulator.retry(batch, now + 3)
    }
    const outcome = produceOutcome(code, {
      idempotent: true,
      isOldest: partition.isOldest(batch),
      maybeWritten: batch.maybeWritten,
      recordCount: ids.length
    })
    switch (outcome._tag) {
      case "Acknowledged":
        return this.complete(batch, "acknowledged")
      case "Retry":
        return accumulator.retry(batch, now + 3)
      case "RetryInTurn":
        return accumulator.retry(batch, now)
      case "RetryInNextEpoch":
        return accumulator.retryInNextEpoch(batch, now + 3)
      case "Failed":
        return this.complete(batch, outcome.persisted)
      case "Split": {
        this.splits++
        const { chunks } = decodeRecords(batch.bytes!, { fetchOffset: 0 })
        accumulator.split(batch, chunks.flatMap((chunk) => chunk.records), now)
      }
    }
  }

  complete(batch: Batch<number>, outcome: "acknowledged" | "no" | "maybe"): void {
    const { partition } = batch.partition
    for (const id of batch.entries) {
      assert.isFalse(this.settled.has(id))
      this.settled.add(id)
      if (outcome === "acknowledged") this.acknowledged.add(id)
      if (outcome === "no") this.failedForSure.add(id)
      this.accepted[partition]!.splice(this.accepted[partition]!.indexOf(id), 1)
    }
    this.accumulator.complete(batch, outcome === "acknowledged")
  }

  /** What was late comes to its broker after all. */
  arrive(pick: number): void {
    const [request] = this.late.splice(pick % this.late.length, 1)
    this.logs[request!.partition]!.append(request!.bytes, request!.ids)
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
        const { busy } = this
        return busy.length === 0 ? undefined : this.answer(busy[step.pick % busy.length]!, step.fate)
      }
      case "Arrive":
        return this.late.length === 0 ? undefined : this.arrive(step.pick)
      case "Report":
        return this.report(step.count)
      case "Tick":
        this.now += step.millis
        for (const batch of this.accumulator.expired(this.now)) {
          this.complete(batch, batch.maybeWritten || batch.inFlight ? "maybe" : "no")
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
      const { batches } = buffer
      for (const batch of batches) incomplete.push(batch)
      assert.deepStrictEqual(batches.flatMap((batch) => batch.entries), this.accepted[i], "order of acceptance")
      assert.strictEqual(buffer.reserved, batches.reduce((sum, batch) => sum + batch.reserved, 0))
      assert.strictEqual(buffer.hasQueued, batches.some((batch) => !batch.inFlight))
      assert.strictEqual(accumulator.active.has(buffer), buffer.hasQueued, "active")
      assert.strictEqual(buffer.isIdle, this.wires[i]!.length === 0)
      assert.isTrue(batches.slice(0, -1).every((batch) => batch.sealed), "only the last is open")
      for (const batch of batches) {
        assert.isTrue(batch.entries.length === 1 || batch.builder.size <= options.batchBytes, "batchBytes")
        assert.isAtMost(batch.entries.length, options.batchRecords)
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
    for (let round = 0; this.settled.size + this.withdrawn < this.submitted || this.busy.length > 0; round++) {
      assert.isBelow(round, 1000, "comes to no end")
      this.apply({ _tag: "Tick", millis: 5 })
      this.drain(0, 5000)
      for (const wire of this.busy) this.answer(wire, "answered")
      this.report(Infinity)
      this.check()
    }
    this.report(Infinity)
    assert.strictEqual(this.accumulator.reserved, 0)
    assert.strictEqual(this.accumulator.active.size, 0)
    assert.strictEqual(this.accumulator.nextReady(0, this.now), Infinity)
    assert.strictEqual(this.unreported, 0)
    while (this.late.length > 0) this.arrive(0)
    this.judgeLogs()
  }

  judgeLogs(): void {
    const logged = new Set<number>()
    this.logs.forEach(({ ids }, i) => {
      for (const id of ids) {
        assert.isFalse(logged.has(id), `${id} is written twice`)
        logged.add(id)
      }
      assert.deepStrictEqual(ids, this.order[i]!.filter((id) => logged.has(id)), "order in the log")
    })
    for (const id of this.acknowledged) assert.isTrue(logged.has(id), `${id} is acknowledged, and lost`)
    for (const id of this.failedForSure) assert.isFalse(logged.has(id), `${id} has failed for sure, and is there`)
  }
}

describe("Accumulator, against a model", () => {
  it("keeps every record in one batch, in order, within the bounds, to one outcome", () => {
    let deepest = 0
    FastCheck.assert(
      FastCheck.property(FastCheck.array(step, { maxLength: 200, size: "max" }), (steps) => {
        const model = new Model()
        for (const step of steps) {
          model.apply(step)
          model.check()
        }
        model.finish()
        deepest = Math.max(deepest, model.deepest)
      }),
      { numRuns: 100 }
    )
    assert.isAbove(deepest, 2, "several are in flight")
  })
})
