/** Networks that cut, lose, hold, delay and damage what goes between a producer and its brokers. */
import { setTimeout as sleep } from "node:timers/promises"

import { assert } from "@effect/vitest"
import { Producer } from "@sluice/kafka"
import { Produce } from "@sluice/kafka/internal/protocol/api/produce"
import { byteLength, decodeResponse, encodeResponse } from "@sluice/kafka/internal/protocol/codec"
import { responseBody, responseHeader } from "@sluice/kafka/internal/protocol/header"
import type { HistoryEvent } from "@sluice/testing/internal/simulation/history"
import { Duration, Effect, Exit, Layer, Scope } from "effect"

import { client } from "../support/client.ts"
import { reportDuration } from "../support/duration.ts"
import { everyNth, type Fate, type Frame, hold, latency, passAll, type Rule, throttle } from "../support/proxy.ts"
import { silentServer, unusedAddress } from "../support/servers.ts"
import { type TextTopic, threeBrokers } from "./support/cluster.ts"
import { assertFlawless, type LoadOptions, startLoad } from "./support/load.ts"
import { test } from "./support/test.ts"

const cluster = threeBrokers()

reportDuration("Faults of networks")

const produceRequest = (frame: Frame): boolean => frame.direction === "request" && frame.apiKey === Produce.key

const produceResponse = (frame: Frame): boolean => frame.direction === "response" && frame.apiKey === Produce.key

/** From now on each proxy has a rule of its own. The result counts what they did not pass on as it was. */
const setRule = (makeRule: () => Rule) =>
  Effect.sync(() => {
    let count = 0
    for (const proxy of cluster.proxies) {
      const rule = makeRule()
      proxy.rule = (frame) => {
        const fate = rule(frame)
        if (fate !== "pass") count++
        return fate
      }
    }
    return () => count
  })

const healed = Effect.sync(() => {
  for (const proxy of cluster.proxies) proxy.rule = passAll
})

interface RuleOptions extends Omit<LoadOptions, "topic"> {
  /** How many of each partition go through; 300 by default. */
  readonly records?: number
  /** How often at least the rule has its way; 20 times by default. */
  readonly faults?: number
}

/** All is well, then a rule holds until some records have gone through all the same, then all is well again. */
const underRule = (makeRule: () => Rule, { faults = 20, records = 300, ...options }: RuleOptions = {}) =>
  Effect.gen(function*() {
    const load = yield* startLoad(cluster, { topic: yield* cluster.makeTopic(), ...options })
    yield* load.progress("all is well")
    const count = yield* setRule(makeRule)
    yield* load.progress("records go through", { records })
    while (count() < faults) yield* load.progress(`${count()} of ${faults} faults`, { records: 10 })
    yield* healed
    yield* load.progress("all is well again")
    return yield* load.finish
  })

test(
  "FM-4 the leader's connections are cut, with acks none: nobody is held up, and no offset is told",
  Effect.gen(function*() {
    const load = yield* startLoad(cluster, { topic: yield* cluster.makeTopic(), mode: "acks none" })
    yield* load.progress("all is well")
    yield* load.note({ _tag: "FaultBegan", time: performance.now(), id: 1, fault: "connections are cut" })
    for (let cut = 1; cut <= 5; cut++) {
      yield* Effect.sync(() => cluster.proxy(1).cut())
      yield* load.progress(`after cut ${cut}`)
    }
    const { failed, history, violations } = yield* load.finish
    assert.deepStrictEqual(violations, [])
    assert.strictEqual(failed.no, 0)
    for (const event of history.events) if (event._tag === "Acknowledged") assert.isUndefined(event.offset)
  })
)

/** The broker's answer, with another error code: what it says is not what it has done. */
const withErrorCode = ({ apiVersion, bytes }: Frame, errorCode: number): Buffer => {
  const { responses, ...rest } = decodeResponse(
    Produce,
    apiVersion,
    responseBody(Produce, apiVersion, bytes.subarray(8))
  )
  const parts = encodeResponse(Produce, apiVersion, {
    ...rest,
    responses: responses.map(({ name, partitionResponses }) => ({
      name,
      partitionResponses: partitionResponses.map((each) => ({ ...each, errorCode, baseOffset: -1 }))
    }))
  })
  return Buffer.concat([responseHeader(Produce, apiVersion, bytes.readInt32BE(4), byteLength(parts)), ...parts])
}

const notEnoughReplicasAfterAppend = 20

const shrunkAfterAppend = () =>
  everyNth(2, produceResponse, (frame) => withErrorCode(frame, notEnoughReplicasAfterAppend))

test(
  "FM-8 replicas fall behind after the append: sent again, and in the log once",
  Effect.map(underRule(shrunkAfterAppend, { faults: 100 }), assertFlawless)
)

test(
  "FM-8 replicas fall behind after the append, without idempotence: sent again, and in the log twice",
  Effect.gen(function*() {
    const { duplicated, failed, lost, violations } = yield* underRule(shrunkAfterAppend, { mode: "acks all" })
    assert.deepStrictEqual({ failed, lost, violations }, { failed: { no: 0, maybe: 0 }, lost: 0, violations: [] })
    assert.isAbove(duplicated, 0)
  })
)

for (const mode of ["idempotent", "acks all"] as const) {
  test(
    `FM-16 requests are lost before the broker has them: sent again, and in the log once (${mode})`,
    Effect.gen(function*() {
      // With one request on a connection at a time nothing but the lost one goes down with it. Beside others, their answers
      // would be lost, which without idempotence means copies.
      const producer = mode === "idempotent" ? {} : { maxInFlight: 1 }
      const result = yield* underRule(() => everyNth(5, produceRequest, "reset"), { mode, producer })
      assertFlawless(result)
    })
  )
}

/** Every fourth answer: its connection breaks, or goes on without it. */
const answersLost = (): Rule => {
  let count = 0
  return everyNth(4, produceResponse, () => ++count % 5 === 0 ? "lose" : "reset")
}

const soon = { requestTimeout: "1 second" } as const

test(
  "FM-17 answers are lost with many records in flight: nothing is lost, doubled or out of order",
  Effect.map(
    underRule(answersLost, { burst: 50, faults: 100, partitions: 3, kafka: soon }),
    assertFlawless
  )
)

test(
  "FM-18 answers are lost, without idempotence: records are doubled, and none is lost",
  Effect.gen(function*() {
    const { duplicated, failed, lost, violations } = yield* underRule(answersLost, { mode: "acks all", kafka: soon })
    assert.deepStrictEqual({ failed, lost, violations }, { failed: { no: 0, maybe: 0 }, lost: 0, violations: [] })
    assert.isAbove(duplicated, 0)
  })
)

/** Of a time, in slices of 250 ms: the part of them in which a partition has acknowledgements. */
const busySlices = (events: ReadonlyArray<HistoryEvent>, from: number, to: number) => {
  const slice = 250
  return (partition: number): number => {
    const busy = new Set<number>()
    for (const event of events) {
      if (event._tag !== "Reported" || event.outcome._tag !== "Acknowledged") continue
      if (event.outcome.partition !== partition || event.time < from || event.time > to) continue
      busy.add(Math.floor((event.time - from) / slice))
    }
    return busy.size / Math.ceil((to - from) / slice)
  }
}

test(
  "FM-19 one broker is in a black hole: its partitions wait, the others go on as if nothing were",
  Effect.gen(function*() {
    const others = [1, 2, 4, 5]
    const load = yield* startLoad(cluster, {
      topic: yield* cluster.makeTopic(),
      kafka: { connectTimeout: "2 seconds", requestTimeout: "2 seconds" }
    })
    yield* load.progress("all is well")
    const { held, release, rule } = hold()
    const from = performance.now()
    yield* Effect.sync(() => {
      cluster.proxy(1).rule = rule
    })
    // Several request timeouts, in each of which the others have a lot acknowledged.
    for (let timeouts = 1; timeouts <= 4; timeouts++) {
      yield* Effect.sleep("2 seconds")
      yield* load.progress(`others go on after ${timeouts} timeouts`, { partitions: others })
    }
    const to = performance.now()
    assert.isAbove(held(), 0)
    // What was held arrives now, long after its connection was given up.
    yield* healed
    release()
    yield* load.progress("the broker is back")
    const result = yield* load.finish
    assertFlawless(result)
    const busy = busySlices(result.history.events, from, to)
    // What was on its way when the hole came still arrives.
    for (const partition of [0, 3]) assert.isAtMost(busy(partition), 1 / 4, `partition ${partition}`)
    // If they waited for the broker too, they would have most of the time nothing. One pause is the machine's.
    for (const partition of others) assert.isAtLeast(busy(partition), 1 / 2, `partition ${partition}`)
  })
)

test(
  "FM-20 everything takes from 200 to 800 ms: nothing is lost or out of order, and batches grow instead of the queue",
  Effect.gen(function*() {
    let turn = 0
    let requests = 0
    const result = yield* underRule(() => (frame) => {
      if (produceRequest(frame)) requests++
      return sleep(200 + (turn += 277) % 600, "pass")
    }, { records: 4_000 })
    assertFlawless(result)
    assert.isAbove(result.acknowledged / requests, 20, "records in a request")
  })
)

test(
  "FM-21 a connection carries 10 KB a second: the buffer stays within its bound, and senders wait",
  Effect.gen(function*() {
    const bufferBytes = 64 * 1024
    const bytes = 1_000
    const partitions = 6
    const before = process.memoryUsage().arrayBuffers
    let most = 0
    const { history, ...result } = yield* underRule(() => throttle(10_000), {
      bytes,
      partitions,
      records: 30,
      producer: { bufferBytes, batchBytes: 8 * 1024, maxRecordBytes: 16 * 1024 },
      kafka: { requestTimeout: "30 seconds" }
    })
    assertFlawless({ history, ...result })
    let waiting = 0
    for (const event of history.events) {
      if (event._tag === "Invoked") waiting++
      else if (event._tag === "Reported") waiting--
      most = Math.max(most, waiting)
    }
    // Each sender has one more in its hands, which has no room; and room that answers have made is taken before their
    // reports are handled. Without a bound it would be thousands.
    assert.isAtMost(most, 2 * bufferBytes / bytes)
    assert.isAtLeast(most, bufferBytes / bytes / 2)
    assert.isBelow(process.memoryUsage().arrayBuffers - before, 64 * 1024 * 1024)
  })
)

const changed = (bytes: Buffer, change: (copy: Buffer) => unknown): Buffer => {
  const copy = Buffer.from(bytes)
  change(copy)
  return copy
}

const damage: Record<string, readonly [fits: (frame: Frame) => boolean, fate: Fate | ((frame: Frame) => Fate)]> = {
  "a connection that is half closed": [produceResponse, "end"],
  "half an answer": [produceResponse, "halve"],
  "half a request": [produceRequest, "halve"],
  "an answer to nobody": [produceResponse, ({ bytes }) => changed(bytes, (copy) => copy.writeInt32BE(0x7ffffff0, 4))],
  "an answer of negative size": [produceResponse, ({ bytes }) => changed(bytes, (copy) => copy.writeInt32BE(-1, 0))],
  "an answer of two gigabytes": [
    produceResponse,
    ({ bytes }) => changed(bytes, (copy) => copy.writeInt32BE(0x7fffffff, 0))
  ],
  "an answer of zeros": [produceResponse, ({ bytes }) => changed(bytes, (copy) => copy.fill(0, 9))],
  "records with a flipped bit": [
    produceRequest,
    ({ bytes }) => changed(bytes, (copy) => copy[copy.length - 20]! ^= 1)
  ]
}

for (const [what, [fits, fate]] of Object.entries(damage)) {
  test(
    `FM-23 ${what}: sent again, and in the log once`,
    Effect.map(underRule(() => everyNth(4, fits, fate), { records: 100 }), assertFlawless)
  )
}

test(
  "FM-24 of the bootstrap addresses one is dead, one is silent and one works: connects",
  Effect.gen(function*() {
    const topic = yield* cluster.makeTopic({ partitions: 3 })
    const dead = yield* unusedAddress
    const { address: silent } = yield* silentServer
    const brokers = [dead, silent, cluster.proxy(2).address].join(",")
    const sent = yield* Effect.gen(function*() {
      const producer = yield* Producer.make()
      return yield* producer.sendAll([0, 1, 2].map((partition) => topic.record({ partition, value: "v" })))
    }).pipe(Effect.scoped, Effect.provide(client(brokers, { connectTimeout: "500 millis", ...soon })))
    assert.deepStrictEqual(sent.map(({ offset, partition }) => [partition, offset]), [[0, 0n], [1, 0n], [2, 0n]])
  })
)

test(
  "FM-24 no bootstrap address works: fails within the time that there is",
  Effect.gen(function*() {
    const dead = yield* unusedAddress
    const { address: silent } = yield* silentServer
    const options = { apiTimeout: "2 seconds", connectTimeout: "500 millis" } as const
    const [duration, error] = yield* Producer.make().pipe(
      Effect.scoped,
      Effect.provide(client([dead, silent].join(","), options)),
      Effect.flip,
      Effect.timed
    )
    assert.deepStrictEqual([error._tag, error.reason._tag], ["RetriableError", "BrokersUnavailable"])
    // Without that bound it would be the default, a minute.
    assert.isBelow(Duration.toSeconds(duration), 20)
  })
)

/** A producer in a scope of its own, which the test closes; what is reported of each record, by its number. */
const makeProducer = (options: Producer.ProducerOptions<number>) =>
  Effect.gen(function*() {
    const reports = new Map<number, Array<Producer.Delivery<number>>>()
    const scope = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
    const context = yield* Layer.buildWithScope(client(cluster.addresses), scope)
    const producer = yield* Producer.make<number>({
      ...options,
      onDelivery: {
        handler: (delivery: Producer.Delivery<number>) =>
          Effect.sync(() => {
            const known = reports.get(delivery.correlation!)
            if (known === undefined) reports.set(delivery.correlation!, [delivery])
            else known.push(delivery)
          })
      }
    }).pipe(Effect.provide(context), Scope.extend(scope))
    const enqueue = (topic: TextTopic, partition: number, number: number) =>
      producer.enqueue(topic.record({ partition, value: `${number}` }), { correlation: number })
    return { enqueue, reports, close: Effect.timed(Scope.close(scope, Exit.void)) }
  })

test(
  "FM-52 a producer is closed with a thousand records in flight: each is reported, and then nothing connects any more",
  Effect.gen(function*() {
    const topic = yield* cluster.makeTopic()
    const { close, enqueue, reports } = yield* makeProducer({})
    yield* setRule(() => latency(() => 300))
    yield* Effect.forEach(Array(1_000).keys(), (number) => enqueue(topic, number % 6, number), { discard: true })
    yield* close
    assert.strictEqual(reports.size, 1_000)
    for (const [number, [report, second]] of reports) {
      assert.isUndefined(second, `record ${number} is reported twice`)
      assert.strictEqual(report!._tag, "Acknowledged", `record ${number}`)
    }
    const connections = cluster.proxies.map((proxy) => proxy.connections())
    yield* Effect.promise(() => cluster.operator.whole(topic.name))
    yield* Effect.sleep("1 second")
    assert.deepStrictEqual(cluster.proxies.map((proxy) => proxy.connections()), connections)
  })
)

test(
  "FM-53 a producer is closed while a broker hangs: within its bound, the others' records acknowledged, the rest maybe",
  Effect.gen(function*() {
    // The one that hangs is a replica of the first partition alone.
    const topic = yield* cluster.makeTopic({ replicas: [[1, 2], [2, 3], [3, 2]] })
    const { close, enqueue, reports } = yield* makeProducer({ closeTimeout: "2 seconds" })
    for (const partition of [0, 1, 2]) yield* Effect.flatten(enqueue(topic, partition, partition))
    yield* cluster.pause(1)
    yield* Effect.forEach(Array(597).keys(), (index) => enqueue(topic, index % 3, index + 3), { discard: true })
    const [duration] = yield* close
    // A request may take thirty seconds, and a delivery two minutes.
    assert.isAtLeast(Duration.toMillis(duration), 1_950)
    assert.isBelow(Duration.toSeconds(duration), 15)
    assert.strictEqual(reports.size, 600)
    const outcomes = new Map<string, number>()
    for (const [number, all] of reports) {
      assert.strictEqual(all.length, 1, `reports of record ${number}`)
      for (const report of all) {
        const outcome = report._tag === "Acknowledged"
          ? "acknowledged"
          : `${report.error.reason._tag} ${report.error.persisted}`
        const key = number < 3 ? "before" : `partition ${number % 3}: ${outcome}`
        outcomes.set(key, (outcomes.get(key) ?? 0) + 1)
      }
    }
    const hanging = ["Closed maybe", "Closed no"].map((outcome) => outcomes.get(`partition 0: ${outcome}`) ?? 0)
    assert.strictEqual(hanging[0]! + hanging[1]!, 199)
    assert.isAbove(hanging[0]!, 0)
    for (const partition of [1, 2]) assert.strictEqual(outcomes.get(`partition ${partition}: acknowledged`), 199)
    yield* cluster.resume(1)
  })
)
