import { assert, describe, it } from "@effect/vitest"
import * as Producer from "@sluice/kafka/Producer"
import { MemoryCluster, type Verdict } from "@sluice/testing/MemoryCluster"
import * as Simulation from "@sluice/testing/Simulation"
import { Cause, Effect, Exit, Fiber, Logger, LogLevel, Random } from "effect"

import { memory } from "../support/memory.ts"
import { line } from "./lines.ts"

const brokers = [1, 2, 3]
const partitions = 3
const decoder = new TextDecoder()

const pick = <A>(values: ReadonlyArray<A>) =>
  Effect.map(Random.nextIntBetween(0, values.length), (index) => values[index]!)

/** Breaks something, or mends it. */
const disturb = Effect.gen(function*() {
  const cluster = yield* MemoryCluster
  const id = yield* pick(brokers)
  const verdict = yield* pick<Verdict>(["dropRequest", "dropResponse", "disconnect"])
  const seed = yield* Random.nextInt
  let request = 0
  yield* pick([
    cluster.stopBroker(id),
    cluster.startBroker(id),
    cluster.startBroker(id),
    cluster.pauseBroker(id),
    cluster.resumeBroker(id),
    cluster.resumeBroker(id),
    Effect.flatMap(Random.nextIntBetween(0, partitions), (partition) => cluster.setLeader("lines", partition, id)),
    cluster.intercept(() => (seed + ++request * 7919) % 11 === 0 ? verdict : "deliver"),
    cluster.intercept(() => "deliver")
  ]).pipe(Effect.flatten, Effect.catchAllDefect(() => Effect.void))
  yield* Effect.sleep(yield* Random.nextIntBetween(50, 1500))
})

const mend = Effect.gen(function*() {
  const cluster = yield* MemoryCluster
  yield* cluster.intercept(() => "deliver")
  for (const id of brokers) {
    yield* Effect.catchAllDefect(cluster.resumeBroker(id), () => Effect.void)
    yield* Effect.catchAllDefect(cluster.startBroker(id), () => Effect.void)
  }
})

interface History {
  /** What became of each record, by its value; several if it was reported more than once. */
  readonly reports: Map<string, Array<Producer.Delivery<string>>>
  /** Those whose acceptance was seen. */
  readonly accepted: Set<string>
  /** What the caller itself was told. */
  readonly told: Map<string, Exit.Exit<Producer.RecordMetadata, unknown>>
}

/** Sends records by one fiber, each in one of the ways there are; gives up some of them half-way. */
const send = (producer: Producer.Producer<string>, name: string, partition: number, history: History) =>
  Effect.gen(function*() {
    for (let i = 0; i < 60; i++) {
      const value = `${name}:${partition}:${String(i).padStart(3, "0")}:`.padEnd(yield* pick([20, 100, 400]), "x")
      const record = line(value, { partition })
      switch (yield* pick(["enqueue", "enqueue", "send", "interrupt"])) {
        case "enqueue": {
          const ack = yield* producer.enqueue(record, { correlation: value })
          history.accepted.add(value)
          yield* Effect.forkDaemon(
            Effect.flatMap(Effect.exit(ack), (exit) => Effect.sync(() => history.told.set(value, exit)))
          )
          break
        }
        case "send":
          history.told.set(value, yield* Effect.exit(producer.send(record, { correlation: value })))
          history.accepted.add(value)
          break
        case "interrupt": {
          const fiber = yield* Effect.fork(producer.send(record, { correlation: value }))
          yield* Effect.sleep(yield* Random.nextIntBetween(0, 300))
          yield* Fiber.interrupt(fiber)
        }
      }
      yield* Effect.sleep(yield* Random.nextIntBetween(0, 400))
    }
  }).pipe(Effect.catchAll((error) => Effect.dieMessage(`not accepted: ${error.message}`)))

const run = (acks: "all" | "leader") =>
  Effect.gen(function*() {
    const cluster = yield* MemoryCluster
    const history: History = { reports: new Map(), accepted: new Set(), told: new Map() }
    yield* Effect.scoped(Effect.gen(function*() {
      const chaos = yield* Effect.fork(Effect.forever(disturb))
      const senders = yield* Effect.forEach(["a", "b"], (name) =>
        Effect.gen(function*() {
          const producer = yield* Effect.eventually(Producer.make<string>({
            acks,
            linger: yield* pick([0, 0, 30]),
            batchBytes: yield* pick([300, 1000]),
            bufferBytes: yield* pick([1000, 5000]),
            maxRecordBytes: 600,
            compression: yield* pick(["none", "gzip"] as const),
            deliveryTimeout: yield* pick(["3 seconds", "20 seconds"] as const),
            closeTimeout: yield* pick(["100 millis", "1 minute"] as const),
            onDelivery: {
              concurrency: 3,
              maxPending: 20,
              handler: (delivery) =>
                Effect.sync(() => {
                  const reports = history.reports.get(delivery.correlation!)
                  if (reports === undefined) history.reports.set(delivery.correlation!, [delivery])
                  else reports.push(delivery)
                })
            }
          }))
          return yield* Effect.forEach(
            [0, 1, 2],
            (partition) => Effect.fork(send(producer, name, partition, history))
          )
        }))
      yield* Effect.sleep("30 seconds")
      yield* Fiber.interrupt(chaos)
      if (yield* Random.nextBoolean) yield* mend
      for (const sender of senders.flat()) yield* Fiber.join(sender)
    }))
    yield* mend
    yield* Effect.sleep("1 minute")
    return { history, records: yield* cluster.records("lines") }
  }).pipe(
    Logger.withMinimumLogLevel(LogLevel.None),
    Effect.provide(memory({ brokers: 3, topics: { lines: partitions }, latency: 3 }, { requestTimeout: "2 seconds" }))
  )

const check = (
  { history, records }: Effect.Effect.Success<ReturnType<typeof run>>,
  isIdempotent: boolean
): void => {
  const stored = new Map<string, ReadonlyArray<bigint>>()
  for (const { offset, value } of records) {
    const key = decoder.decode(value!)
    stored.set(key, [...stored.get(key) ?? [], offset])
  }
  for (const [value, offsets] of stored) {
    if (isIdempotent) assert.lengthOf(offsets, 1, `${value} is there more than once`)
    assert.isTrue(history.reports.has(value), `${value} was written and never reported`)
  }
  for (const [value, reports] of history.reports) {
    assert.lengthOf(reports, 1, `${value} was reported more than once`)
    const [report] = reports
    if (report!._tag === "Acknowledged") {
      // What the leader alone has acknowledged is gone if the leader dies before others have it.
      if (isIdempotent) {
        assert.include(stored.get(value) ?? [], report!.metadata.offset, `${value} is not where it should be`)
      }
    } else if (report!.error.persisted === "no") {
      assert.isFalse(stored.has(value), `${value} was surely not written, and is there`)
    }
    const told = history.told.get(value)
    if (told !== undefined) assert.strictEqual(Exit.isSuccess(told), report!._tag === "Acknowledged", value)
  }
  for (const value of history.accepted) assert.isTrue(history.reports.has(value), `${value} has no outcome`)
  for (const value of history.accepted) assert.isTrue(history.told.has(value), `${value}'s caller was not told`)
  if (!isIdempotent) return
  for (const name of ["a", "b"]) {
    for (let partition = 0; partition < partitions; partition++) {
      const order = records.map(({ value }) => decoder.decode(value!)).filter((v) =>
        v.startsWith(`${name}:${partition}:`)
      )
      assert.deepStrictEqual(order, order.slice().sort(), "out of order")
    }
  }
}

describe("a producer in the midst of faults", () => {
  for (const acks of ["all", "leader"] as const) {
    it(`tells the truth about every record (acks ${acks})`, () => {
      let reports = 0
      for (let seed = 1; seed <= +(process.env.SEEDS ?? 4); seed++) {
        const { exit, leftovers } = Simulation.run(run(acks), {
          seed,
          interleaving: { extraYields: seed % 2 === 0 ? 0.05 : 0 }
        })
        if (Exit.isFailure(exit)) {
          throw new Error(`seed ${seed}: ${Cause.pretty(exit.cause, { renderErrorCause: true })}`)
        }
        try {
          check(exit.value, acks === "all")
        } catch (error) {
          throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error })
        }
        assert.deepStrictEqual(leftovers, [], `seed ${seed}`)
        reports += exit.value.history.reports.size
      }
      assert.isAbove(reports, 1000)
    })
  }
})
