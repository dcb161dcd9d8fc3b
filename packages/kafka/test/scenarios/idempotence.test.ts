/** Idempotence: nothing twice, no gap in the sequence, whatever becomes of brokers, answers and epochs. */
import { assert, describe, it } from "@effect/vitest"
import * as Producer from "@sluice/kafka/Producer"
import * as Fault from "@sluice/testing/Fault"
import { MemoryCluster } from "@sluice/testing/MemoryCluster"
import { Effect } from "effect"

import { count, line, values } from "../producer/lines.ts"
import { answerFirst, encodeAnswer, InitProducerId, produceAnswer, Wires, written } from "../producer/wire.ts"
import { assertNoGap, outcome, play, playSeeds, threeBrokers } from "./story.ts"

/** When a broker dies, followers have records that their leader has not acknowledged yet, and answers are on their way. */
const place = { cluster: { ...threeBrokers, latency: 5, jitter: 3, replicationDelay: 15 } } as const

/** Each has its own time for the death. */
const seeds = [1, 2, 3, 4, 5, 6]

/** Records of three partitions, 900 in about 300 ms, while a fault comes: all are acknowledged, once, in order. */
const burst = (fault: Fault.Fault) =>
  Effect.gen(function*() {
    const cluster = yield* MemoryCluster
    const producer = yield* Producer.make({ batchBytes: 300 })
    yield* cluster.setLeader("lines", 0, 1)
    yield* producer.sendAll([0, 1, 2].map((partition) => line("first", { partition })))
    yield* cluster.inject(fault)
    const acks = yield* Effect.forEach(count(300), (value) =>
      Effect.zipLeft(
        Effect.forEach([0, 1, 2], (partition) => producer.enqueue(line(value, { partition }))),
        Effect.sleep("1 millis")
      ))
    yield* Effect.all(acks.flat())
    const batches = written(yield* Wires)
    for (const partition of [0, 1, 2]) {
      assert.deepStrictEqual(yield* values(partition), ["first", ...count(300)])
      assertNoGap(batches, partition)
    }
  })

describe("a broker that dies in a burst", () => {
  it("SA-P10, FM-1: costs no record, doubles none, leaves no gap, and nobody hears of it", () => {
    for (const seed of seeds) {
      // Its last answers do not arrive.
      const dies = Fault.all(
        Fault.after(10 + 4 * seed, Fault.loseResponse({ api: "Produce", broker: 1 })),
        Fault.after(60 + 4 * seed, Fault.crash(1, "5 seconds"))
      )
      play(burst(dies), { ...place, seed })
    }
  })

  it("FM-5: that hangs for ten seconds holds its records up, and no more", () => {
    playSeeds(burst(Fault.after("50 millis", Fault.pause(1, "10 seconds"))), place)
  })

  it("FM-9: one after the other, as in a rolling restart, is not heard of", () => {
    const restart = (id: number, at: number) => Fault.after(at, Fault.crash(id, 60))
    playSeeds(burst(Fault.all(restart(1, 20), restart(2, 120), restart(3, 220))), place)
  })

  it("FM-10: all at once, and come back: what was acknowledged is there, and the rest follows", () => {
    for (const seed of seeds) {
      const all = [1, 2, 3].map((id) => Fault.after(40 + 4 * seed, Fault.crash(id, "10 seconds")))
      play(burst(Fault.all(...all)), { ...place, seed })
    }
  })
})

describe("an answer that is lost", () => {
  /** Fifty send at the same time to each partition, while answers are lost. */
  const fiftyAtATime = (idempotent: boolean) =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const producer = yield* Producer.make({ idempotent, batchBytes: 200 })
      yield* producer.sendAll([0, 1].map((partition) => line("first", { partition })))
      yield* cluster.inject(Fault.all(
        Fault.loseResponse({ api: "Produce", nth: 3 }),
        Fault.reset({ api: "Produce", nth: 20 }, "response")
      ))
      const places = yield* Effect.forEach(
        count(100),
        (value) => producer.send(line(value, { partition: Number(value) % 2 })),
        { concurrency: "unbounded" }
      )
      return { places, stored: [yield* values(0), yield* values(1)].map((stored) => stored.slice(1)) }
    })
  const sent = [0, 1].map((partition) => count(100).filter((value) => Number(value) % 2 === partition))
  const twoPartitions = { cluster: { topics: { lines: 2 } } }

  it("FM-17: costs no record and doubles none, with fifty senders a partition", () => {
    for (let seed = 1; seed <= 4; seed++) {
      const { places, stored } = play(fiftyAtATime(true), { ...twoPartitions, seed })
      assert.deepStrictEqual(stored, sent.map((values) => [...values]))
      for (const [i, { offset, partition }] of places.entries()) {
        assert.strictEqual(stored[partition]![Number(offset) - 1], String(i), "its own place")
      }
    }
  })

  it("FM-18: without idempotence costs no record, and doubles some, which their ids tell", () => {
    const { stored } = play(fiftyAtATime(false), twoPartitions)
    assert.deepStrictEqual(stored.map((values) => [...new Set(values)]), sent.map((values) => [...values]))
    assert.isAbove(stored.flat().length, 100)
  })
})

describe("an error after the append", () => {
  for (const idempotent of [true, false]) {
    const what = idempotent ? "is not written again" : "is written again without idempotence, which its id tells"
    it(`FM-8: NOT_ENOUGH_REPLICAS_AFTER_APPEND: the record ${what}`, () => {
      play(Effect.gen(function*() {
        const wire = yield* Wires
        const producer = yield* Producer.make({ idempotent })
        yield* producer.send(line("0"))
        let isFirst = true
        // The broker has appended it.
        wire.edit = (request, response) => {
          if (request.api !== "Produce" || !isFirst) return response
          isFirst = false
          return encodeAnswer(request.version, produceAnswer(request, () => 20))
        }
        assert.strictEqual((yield* producer.send(line("1"))).offset, idempotent ? 1n : 2n)
        assert.deepStrictEqual(yield* values(), idempotent ? ["0", "1"] : ["0", "1", "1"])
      }))
    })
  }
})

describe("an error about the sequence", () => {
  for (
    const [name, code, expected] of [
      ["DUPLICATE_SEQUENCE_NUMBER is an acknowledgement", 46, "no offset"],
      ["OUT_OF_ORDER_SEQUENCE_NUMBER goes on in the next epoch", 45, "next epoch"],
      ["UNKNOWN_PRODUCER_ID goes on in the next epoch", 59, "next epoch"],
      ["INVALID_PRODUCER_EPOCH goes on in the next epoch", 47, "next epoch"],
      ["PRODUCER_FENCED fails for good", 90, "ProducerFenced no"],
      ["an error that nobody knows fails for good, and may be written", -99, "Unknown maybe"]
    ] as const
  ) {
    it(`FM-29: ${name}, and the next record is sent (${code})`, () => {
      play(Effect.gen(function*() {
        const wire = yield* Wires
        const producer = yield* Producer.make()
        yield* producer.send(line("0"))
        answerFirst(wire, "Produce", (request) => produceAnswer(request, () => code))
        const sent = yield* Effect.either(producer.send(line("1")))
        const isWritten = expected === "next epoch"
        if (sent._tag === "Left") assert.strictEqual(outcome(sent.left), expected)
        else assert.strictEqual(sent.right.offset, isWritten ? 1n : undefined)
        const numbers = written(wire).map(({ epoch, sequence }) => [epoch, sequence])
        assert.deepStrictEqual(numbers, isWritten ? [[0, 0], [0, 1], [1, 0]] : [[0, 0], [0, 1]])
        if (code === 46) return
        yield* producer.send(line("2"))
        assert.deepStrictEqual(yield* values(), isWritten ? count(3) : ["0", "2"])
      }))
    })
  }
})

describe("epochs", () => {
  it("SA-P12: after the last epoch of a producer id comes another id, and order and records stay", () => {
    play(Effect.gen(function*() {
      const wire = yield* Wires
      answerFirst(wire, "InitProducerId", () => ({
        _tag: "Body",
        api: InitProducerId,
        body: { errorCode: 0, producerId: 4000, producerEpoch: 32_766 }
      }))
      const producer = yield* Producer.make()
      yield* producer.send(line("0"))
      const lost = (request: Parameters<typeof produceAnswer>[0]) => produceAnswer(request, () => 45)
      answerFirst(wire, "Produce", lost, lost, lost, lost)
      for (const value of ["1", "2"]) yield* producer.send(line(value))
      const identities = written(wire).map(({ epoch, producerId }) => `${producerId === 4000 ? "old" : "new"} ${epoch}`)
      assert.deepStrictEqual([...new Set(identities)].slice(0, 3), ["old 32766", "old 32767", "new 0"])
      assert.deepStrictEqual(yield* values(), count(3))
    }))
  })
})
