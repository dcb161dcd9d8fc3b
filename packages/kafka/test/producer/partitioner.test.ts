import { assert, describe, it } from "@effect/vitest"
import * as Partitioner from "@sluice/kafka/Partitioner"
import * as Producer from "@sluice/kafka/Producer"
import * as Serde from "@sluice/kafka/Serde"
import * as Topic from "@sluice/kafka/Topic"
import * as Fault from "@sluice/testing/Fault"
import { MemoryCluster } from "@sluice/testing/MemoryCluster"
import * as Simulation from "@sluice/testing/Simulation"
import { Effect, Exit, Fiber, TestClock } from "effect"

import { memory } from "../support/memory.ts"
import { allValues, count, line, values } from "./lines.ts"
import { wired, Wires, written } from "./wire.ts"

const bytes = (text: string) => new TextEncoder().encode(text)
const partitions = (count: number) => ({ topics: { lines: count } })

/** The partitions of so many records without a key, one after the other. */
const unkeyed = (producer: Producer.Producer, times: number) =>
  Effect.map(
    producer.sendAll(count(times).map((value) => line(value))),
    (places) => places.map(({ partition }) => partition)
  )

const byKey: Record<string, Partitioner.KeyPartitioner> = {
  murmur2: Partitioner.murmur2,
  fnv1a: Partitioner.fnv1a,
  fnv1aReference: Partitioner.fnv1aReference,
  crc32: Partitioner.crc32,
  kafkajsLegacy: Partitioner.kafkajsLegacy
}

describe("a record with a key", () => {
  const keys = ["", "a", "key", "ключ", "x".repeat(300), ...count(100)]

  for (const [name, partitioner] of Object.entries(byKey)) {
    it.effect(`goes where ${name} says`, () =>
      Effect.gen(function*() {
        const producer = yield* Producer.make({ partitioner })
        const places = yield* producer.sendAll(keys.map((key) => line(key, { key })))
        for (const [i, key] of keys.entries()) {
          const partition = partitioner.partitionForKey(bytes(key), 12)
          if (name === "crc32" && key === "") assert.isUndefined(partition)
          else assert.strictEqual(places[i]!.partition, partition)
        }
      }).pipe(Effect.scoped, Effect.provide(memory(partitions(12)))))
  }

  it.effect("goes by murmur2 unless the producer is told otherwise", () =>
    Effect.gen(function*() {
      const producer = yield* Producer.make({ partitioner: undefined })
      const places = yield* producer.sendAll(keys.map((key) => line(key, { key })))
      assert.deepStrictEqual(
        places.map(({ partition }) => partition),
        keys.map((key) => Partitioner.murmur2.partitionForKey(bytes(key), 12))
      )
    }).pipe(Effect.scoped, Effect.provide(memory(partitions(12)))))

  it.effect("goes as one without if only others count", () =>
    Effect.gen(function*() {
      const producer = yield* Producer.make({ partitioner: Partitioner.roundRobin })
      const places = yield* producer.sendAll(count(6).map((value) => line(value, { key: "the same" })))
      assert.sameMembers(places.map(({ partition }) => partition), [0, 1, 2, 3, 4, 5])
    }).pipe(Effect.scoped, Effect.provide(memory(partitions(6)))))

  it.effect("waits for its partition, also where that has no leader", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      yield* cluster.createTopic("lines", { partitions: 6, replicas: 1 })
      yield* cluster.stopBroker(2)
      const producer = yield* Producer.make()
      const fiber = yield* Effect.fork(producer.sendAll(keys.map((key) => line(key, { key }))))
      yield* TestClock.adjust("5 seconds")
      yield* cluster.startBroker(2)
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(
        (yield* Fiber.join(fiber)).map(({ partition }) => partition),
        keys.map((key) => Partitioner.murmur2.partitionForKey(bytes(key), 6))
      )
    }).pipe(Effect.scoped, Effect.provide(memory({ brokers: 3 }))))

  it.effect("goes by the number of partitions that is known when it is handed over", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      const wire = yield* Wires
      const producer = yield* Producer.make({ bufferBytes: 1000, maxRecordBytes: 300, batchBytes: 1000 })
      const key = count(100).find((key) =>
        Partitioner.murmur2.partitionForKey(bytes(key), 1) !== Partitioner.murmur2.partitionForKey(bytes(key), 50)
      )!
      yield* producer.send(line("first", { key }))
      yield* cluster.pauseBroker(1)
      const fiber = yield* Effect.fork(
        producer.sendAll(count(10).map((value) => line(value.padStart(200), { key })))
      )
      yield* TestClock.adjust(0)
      // Some of them wait for room while the topic grows: that changes nothing for them.
      yield* cluster.resumeBroker(1)
      yield* cluster.createPartitions("lines", 50)
      yield* TestClock.adjust("1 second")
      const places = yield* Fiber.join(fiber)
      assert.deepStrictEqual(new Set(places.map(({ partition }) => partition)), new Set([0]))
      assert.deepStrictEqual((yield* values()).slice(1), count(10).map((value) => value.padStart(200)))
      // The producer learns of the growth with the next view of the cluster.
      yield* TestClock.adjust("10 minutes")
      const before = written(wire).length
      const { partition } = yield* producer.send(line("later", { key }))
      assert.strictEqual(partition, Partitioner.murmur2.partitionForKey(bytes(key), 50))
      assert.notStrictEqual(partition, 0)
      assert.deepStrictEqual(written(wire).slice(before).map(({ partition }) => partition), [partition])
    }).pipe(Effect.scoped, Effect.provide(wired(partitions(1)))))
})

describe("a record that names its partition", () => {
  const every: Record<string, Partitioner.Partitioner> = {
    ...byKey,
    roundRobin: Partitioner.roundRobin,
    random: Partitioner.random,
    sticky: Partitioner.sticky,
    "a function": Partitioner.make(() => {
      throw new Error("not to be called")
    })
  }

  for (const [name, partitioner] of Object.entries(every)) {
    it.effect(`goes there, whatever ${name} would say`, () =>
      Effect.gen(function*() {
        const producer = yield* Producer.make({ partitioner })
        for (const partition of [0, 1, 2, 3]) {
          assert.strictEqual((yield* producer.send(line("v", { key: "key", partition }))).partition, partition)
          assert.strictEqual((yield* producer.send(line("v", { partition }))).partition, partition)
        }
      }).pipe(Effect.scoped, Effect.provide(memory(partitions(4)))))
  }
})

describe("records without a key", () => {
  it.effect("go round with roundRobin", () =>
    Effect.gen(function*() {
      const producer = yield* Producer.make({ partitioner: Partitioner.roundRobin })
      const places = yield* unkeyed(producer, 13)
      for (let i = 1; i < places.length; i++) assert.strictEqual(places[i], (places[i - 1]! + 1) % 5)
    }).pipe(Effect.scoped, Effect.provide(memory(partitions(5)))))

  it.effect("go round in each topic by itself", () =>
    Effect.gen(function*() {
      const Others = Topic.make("others", { key: Serde.string, value: Serde.string })
      const producer = yield* Producer.make({ partitioner: Partitioner.roundRobin })
      const places = yield* producer.sendAll(
        count(12).flatMap((value) => [line(value), Others.record({ value }), line(value)])
      )
      for (const topic of ["lines", "others"]) {
        const seen = places.filter((place) => place.topic === topic).map(({ partition }) => partition)
        for (let i = 1; i < seen.length; i++) assert.strictEqual(seen[i], (seen[i - 1]! + 1) % 4)
      }
    }).pipe(Effect.scoped, Effect.provide(memory({ topics: { lines: 4, others: 4 } }))))

  it.effect("go anywhere with random, each place as likely as another", () =>
    Effect.gen(function*() {
      const producer = yield* Producer.make({ partitioner: Partitioner.random })
      const counts = new Array<number>(5).fill(0)
      for (const partition of yield* unkeyed(producer, 5000)) counts[partition]!++
      for (const n of counts) assert.isAtMost(Math.abs(n - 1000), 150)
    }).pipe(Effect.scoped, Effect.provide(memory(partitions(5)))))

  it.effect("stick to one for the length of a batch with murmur2, crc32 and sticky", () =>
    Effect.gen(function*() {
      for (const partitioner of [Partitioner.murmur2, Partitioner.crc32, Partitioner.sticky]) {
        const producer = yield* Producer.make({ partitioner })
        assert.strictEqual(new Set(yield* unkeyed(producer, 100)).size, 1)
      }
    }).pipe(Effect.scoped, Effect.provide(memory(partitions(5)))))

  it.effect("go as the client does that the partitioner copies, or as one says", () =>
    Effect.gen(function*() {
      const spread = (partitioner: Partitioner.Partitioner) =>
        Effect.gen(function*() {
          const producer = yield* Producer.make({ partitioner })
          const places = yield* unkeyed(producer, 100)
          const inTurn = places.slice(1).every((place, i) => place === (places[i]! + 1) % 5)
          return new Set(places).size === 1 ? "sticky" : inTurn ? "roundRobin" : "random"
        })
      assert.strictEqual(yield* spread(Partitioner.fnv1a), "random")
      assert.strictEqual(yield* spread(Partitioner.fnv1aReference), "random")
      assert.strictEqual(yield* spread(Partitioner.kafkajsLegacy), "roundRobin")
      assert.strictEqual(yield* spread(Partitioner.make(() => undefined)), "sticky")
      for (const choice of ["sticky", "roundRobin", "random"] as const) {
        assert.strictEqual(yield* spread(Partitioner.withoutKey(Partitioner.murmur2, choice)), choice)
        assert.strictEqual(yield* spread(Partitioner.withoutKey(choice)(Partitioner.make(() => undefined))), choice)
      }
      const both = Partitioner.withoutKey(Partitioner.fnv1a, "sticky")
      assert.strictEqual(both.partitionForKey(bytes("a"), 7), Partitioner.fnv1a.partitionForKey(bytes("a"), 7))
    }).pipe(Effect.scoped, Effect.provide(memory(partitions(5)))))

  it.effect("are those with an empty key too, with crc32", () =>
    Effect.gen(function*() {
      const producer = yield* Producer.make({ partitioner: Partitioner.withoutKey(Partitioner.crc32, "roundRobin") })
      const places = yield* producer.sendAll(count(5).map((value) => line(value, { key: "" })))
      assert.sameMembers(places.map(({ partition }) => partition), [0, 1, 2, 3, 4])
    }).pipe(Effect.scoped, Effect.provide(memory(partitions(5)))))

  for (const choice of ["sticky", "roundRobin", "random"] as const) {
    it.effect(`avoid partitions without a leader: ${choice}`, () =>
      Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        yield* cluster.createTopic("lines", { partitions: 6, replicas: 1 })
        yield* cluster.stopBroker(2)
        const producer = yield* Producer.make({
          partitioner: Partitioner.withoutKey(Partitioner.murmur2, choice),
          batchBytes: 200
        })
        const fiber = yield* Effect.fork(unkeyed(producer, 300))
        yield* TestClock.adjust(0)
        const used = new Set(yield* Fiber.join(fiber))
        // Two of six were its own.
        assert.strictEqual(used.size, 4)
        yield* cluster.startBroker(2)
        yield* TestClock.adjust("10 minutes")
        const again = yield* Effect.fork(unkeyed(producer, 300))
        yield* TestClock.adjust("1 second")
        assert.strictEqual(new Set(yield* Fiber.join(again)).size, 6)
      }).pipe(Effect.scoped, Effect.provide(memory({ brokers: 3 }))))

    it.effect(`wait for any where no partition has a leader: ${choice}`, () =>
      Effect.gen(function*() {
        const cluster = yield* MemoryCluster
        yield* cluster.createTopic("lines", { partitions: 2, replicas: 1 })
        // The first two of three brokers have a partition each.
        yield* Effect.all([cluster.stopBroker(1), cluster.stopBroker(2)])
        const producer = yield* Producer.make({ partitioner: Partitioner.withoutKey(Partitioner.murmur2, choice) })
        const fiber = yield* Effect.fork(producer.send(line("v")))
        yield* TestClock.adjust("5 seconds")
        assert.strictEqual((yield* fiber.poll)._tag, "None")
        yield* Effect.all([cluster.startBroker(1), cluster.startBroker(2)])
        yield* TestClock.adjust("5 seconds")
        assert.strictEqual((yield* Fiber.join(fiber)).offset, 0n)
      }).pipe(Effect.scoped, Effect.provide(memory({ brokers: 3 }))))
  }
})

describe("sticky", () => {
  /** How many of 15,000 records each of six partitions gets, two of them from a broker that may be slow. */
  const spread = (slow: Effect.Effect<void, never, MemoryCluster>) => {
    const program = Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      yield* cluster.createTopic("lines", { partitions: 6, replicas: 1 })
      const producer = yield* Producer.make()
      yield* producer.send(line("first", { partition: 0 }))
      yield* slow
      const waits: Array<Effect.Effect<Producer.RecordMetadata, unknown>> = []
      for (let millis = 0; millis < 1500; millis++) {
        for (let i = 0; i < 10; i++) waits.push(yield* producer.enqueue(line("v".repeat(200))))
        yield* Effect.sleep("1 millis")
      }
      const counts = new Array<number>(6).fill(0)
      for (const { partition } of yield* Effect.all(waits)) counts[partition]!++
      return counts
    })
    const { exit } = Simulation.run(
      program.pipe(Effect.scoped, Effect.provide(memory({ brokers: 3, latency: "1 millis" }))),
      { seed: 1 }
    )
    assert.isTrue(Exit.isSuccess(exit))
    return Exit.isSuccess(exit) ? exit.value : []
  }

  it("leaves a partition after 64 KiB, though its batch takes more", () => {
    const program = Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      yield* cluster.createTopic("lines", { partitions: 6, replicas: 1 })
      const producer = yield* Producer.make({ linger: "1 second" })
      const places = yield* producer.sendAll(Array.from({ length: 150 }, () => line("v".repeat(1000))))
      return places.map(({ partition }) => partition)
    })
    const { exit } = Simulation.run(program.pipe(Effect.scoped, Effect.provide(memory({ brokers: 3 }))), { seed: 1 })
    const partitions = Exit.isSuccess(exit) ? exit.value : []
    const moves = partitions.filter((partition, i) => i > 0 && partition !== partitions[i - 1])
    assert.lengthOf(moves, 2)
  })

  it("gives each partition about as much where none is slower than another", () => {
    for (const n of spread(Effect.void)) assert.isAtMost(Math.abs(n - 2500), 500)
  })

  for (const latency of [4, 50]) {
    it(`gives less to those whose broker is slow, by ${latency} ms, and not most`, () => {
      const slow = Fault.slow({ brokers: [2] }, { latency, duration: "1 hour" })
      const counts = spread(Effect.flatMap(MemoryCluster, (cluster) => cluster.inject(slow)))
      for (const partition of [1, 4]) assert.isBelow(counts[partition]!, 1500)
      for (const partition of [0, 2, 3, 5]) assert.isAbove(counts[partition]!, 2500)
    })
  }
})

describe("a partitioner of one's own", () => {
  it.effect("is asked once for each record, with all that is known of it", () =>
    Effect.gen(function*() {
      const inputs: Array<Partitioner.PartitionerInput> = []
      const producer = yield* Producer.make({
        bufferBytes: 1000,
        maxRecordBytes: 600,
        partitioner: Partitioner.make((input) => {
          inputs.push(input)
          return inputs.length % 3
        })
      })
      const records = [
        line("a", { key: "k", headers: [{ key: "h", value: "v" }] }),
        line("b"),
        // Waits for room.
        ...count(10).map((value) => line(value.padStart(500)))
      ]
      const places = yield* producer.sendAll(records)
      assert.deepStrictEqual(places.map(({ partition }) => partition), records.map((_, i) => (i + 1) % 3))
      assert.lengthOf(inputs, records.length)
      const [first, second] = inputs as [Partitioner.PartitionerInput, Partitioner.PartitionerInput]
      assert.strictEqual(first.record, records[0])
      assert.deepStrictEqual([first.key, first.value], [bytes("k"), bytes("a")])
      assert.deepStrictEqual([second.key, second.value], [null, bytes("b")])
      assert.strictEqual(first.partitionCount, 3)
      assert.deepStrictEqual([-1, 0, 2, 3].map(first.isAvailable), [false, true, true, false])
      const chance = first.random()
      assert.isTrue(chance >= 0 && chance < 1)
    }).pipe(Effect.scoped, Effect.provide(memory(partitions(3)))))

  it.effect("may tell partitions without a leader", () =>
    Effect.gen(function*() {
      const cluster = yield* MemoryCluster
      yield* cluster.createTopic("lines", { partitions: 6, replicas: 1 })
      yield* cluster.stopBroker(2)
      const seen: Array<boolean> = []
      const producer = yield* Producer.make({
        partitioner: Partitioner.make(({ isAvailable, partitionCount }) => {
          for (let i = 0; i < partitionCount; i++) seen.push(isAvailable(i))
          return seen.indexOf(true)
        })
      })
      yield* producer.send(line("v"))
      assert.strictEqual(seen.filter((available) => available).length, 4)
      assert.lengthOf(seen, 6)
    }).pipe(Effect.scoped, Effect.provide(memory({ brokers: 3 }))))

  const bad: ReadonlyArray<readonly [string, () => unknown]> = [
    ["gives -1", () => -1],
    ["gives one more than there are", () => 3],
    ["gives a fraction", () => 0.5],
    ["gives NaN", () => NaN],
    ["gives Infinity", () => Infinity],
    ["gives a string", () => "0"],
    ["gives a bigint", () => 0n],
    ["gives null", () => null],
    ["gives an object", () => Object.create(null)],
    ["gives a promise", () => Promise.resolve(0)],
    ["throws", () => {
      throw new Error("no")
    }],
    ["throws null", () => {
      throw null
    }],
    ["throws what has no text", () => {
      throw Object.create(null)
    }]
  ]

  for (const [problem, f] of bad) {
    it.effect(`fails a record by itself if it ${problem}`, () =>
      Effect.gen(function*() {
        const wire = yield* Wires
        const reports: Array<string> = []
        const producer = yield* Producer.make({
          partitioner: Partitioner.make(({ record }) => (record.value === "bad" ? f() : 1) as number),
          onDelivery: { handler: ({ _tag, record }) => Effect.sync(() => reports.push(`${_tag} ${record.value}`)) }
        })
        yield* producer.send(line("0"))
        const requests = wire.requests.length
        const { results } = yield* Effect.flip(producer.sendAll([line("1"), line("bad"), line("2", { partition: 1 })]))
        assert.deepStrictEqual(results.map(({ _tag }) => _tag), ["Acknowledged", "Failed", "Acknowledged"])
        const errors = [
          yield* Effect.flip(producer.send(line("bad"))),
          yield* Effect.flip(producer.enqueue(line("bad"))),
          ...results.flatMap((result) => result._tag === "Failed" ? [result.error] : [])
        ]
        for (const error of errors) {
          assert.deepInclude(error, { _tag: "FatalError", scope: "record", persisted: "no" })
          assert.deepInclude(error.reason, { _tag: "PartitionerFailed", topic: "lines" })
          assert.include(error.message, "the partitioner")
        }
        assert.isAtMost(wire.requests.length, requests + 2)
        yield* producer.flush
        assert.deepStrictEqual(yield* allValues(), ["0", "1", "2"])
        yield* TestClock.adjust(0)
        assert.deepStrictEqual(reports, ["Acknowledged 0", "Acknowledged 1", "Acknowledged 2"])
      }).pipe(Effect.scoped, Effect.provide(wired(partitions(3)))))
  }

  it.effect("says what it threw, and what it gave", () =>
    Effect.gen(function*() {
      const thrown = new RangeError("no tenant")
      const producer = yield* Producer.make({
        partitioner: Partitioner.make(({ key }) => {
          if (key === null) throw thrown
          return 7
        })
      })
      const threw = yield* Effect.flip(producer.send(line("v")))
      assert.strictEqual(threw.cause, thrown)
      assert.include(threw.message, "the partitioner threw: no tenant")
      const gave = yield* Effect.flip(producer.send(line("v", { key: "k" })))
      assert.include(gave.message, "the partitioner gave 7, and the topic has the partitions 0 to 2")
    }).pipe(Effect.scoped, Effect.provide(memory(partitions(3)))))
})

describe("the option", () => {
  for (
    const value of [null, "murmur2", {}, () => 0, Partitioner, { partitionForKey: () => 0 }] as ReadonlyArray<unknown>
  ) {
    it.effect(`may not be ${typeof value === "object" ? Object.keys(value ?? { null: 1 })[0] : String(value)}`, () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(Producer.make({ partitioner: value as Partitioner.Partitioner }))
        assert.deepInclude(error, { _tag: "FatalError", scope: "client" })
        assert.strictEqual(error.reason._tag, "InvalidArgument")
        assert.include(error.message, "Producer: partitioner must be")
        assert.isFalse(Partitioner.isPartitioner(value))
      }).pipe(Effect.scoped, Effect.provide(memory())))
  }

  it("is any of the partitioners", () => {
    for (const partitioner of [...Object.values(byKey), Partitioner.random, Partitioner.make(() => 0)]) {
      assert.isTrue(Partitioner.isPartitioner(partitioner))
    }
  })
})
