/** Brokers that die, hang, restart and hand over their partitions, under a producer that goes on all the time. */
import { assert } from "@effect/vitest"
import { Admin, Producer } from "@sluice/kafka"
import { Effect } from "effect"

import { client } from "../support/client.ts"
import { reportDuration } from "../support/duration.ts"
import { uniqueName } from "../support/topics.ts"
import { type BrokerId, brokerIds, threeBrokers } from "./support/cluster.ts"
import { assertFlawless, readBack, startLoad, within } from "./support/load.ts"
import { test } from "./support/test.ts"

const cluster = threeBrokers()

reportDuration("Faults of brokers")

test(
  "FM-1 the leader is killed in a burst: nothing is lost, doubled, out of order or surfaced",
  Effect.gen(function*() {
    const load = yield* startLoad(cluster, { topic: yield* cluster.makeTopic(), burst: 20 })
    yield* load.progress("all is well")
    yield* cluster.kill(1)
    yield* load.progress("others lead")
    yield* cluster.start(1)
    yield* load.progress("the broker is back")
    assertFlawless(yield* load.finish)
  })
)

test(
  "FM-2 the leader is killed, without idempotence: nothing is lost",
  Effect.gen(function*() {
    const load = yield* startLoad(cluster, { topic: yield* cluster.makeTopic(), mode: "acks all" })
    yield* load.progress("all is well")
    yield* cluster.kill(2)
    yield* load.progress("others lead")
    yield* cluster.start(2)
    yield* load.progress("the broker is back")
    const { failed, lost, violations } = yield* load.finish
    assert.deepStrictEqual({ failed, lost, violations }, { failed: { no: 0, maybe: 0 }, lost: 0, violations: [] })
  })
)

test(
  "FM-3 the leader dies before its followers have the records: acks leader loses what it acknowledged, acks all does not",
  Effect.gen(function*() {
    const replicas = [[1, 2, 3]] as const
    const onlyLeader = yield* startLoad(cluster, {
      topic: yield* cluster.makeTopic({ replicas }),
      partitions: 1,
      mode: "acks leader"
    })
    const all = yield* startLoad(cluster, { topic: yield* cluster.makeTopic({ replicas }), partitions: 1 })
    yield* onlyLeader.progress("all is well")
    yield* all.progress("all is well")
    // Frozen for less than a broker's session: they stay in sync as far as anybody knows.
    yield* cluster.pause(2, 3)
    yield* onlyLeader.progress("the leader alone has records", { records: 200 })
    yield* cluster.kill(1)
    yield* cluster.resume(2, 3)
    yield* onlyLeader.progress("another one leads")
    yield* all.progress("another one leads")
    yield* cluster.start(1)

    const { failed, lost, violations } = yield* onlyLeader.finish
    assert.deepStrictEqual(failed, { no: 0, maybe: 0 })
    assert.isAbove(lost, 0)
    for (const violation of violations) assert.include(violation, "acknowledged-is-logged: ")
    assertFlawless(yield* all.finish)
  })
)

test(
  "FM-5 the leader hangs for ten seconds: records wait, and nothing is lost, doubled or out of order",
  Effect.gen(function*() {
    const load = yield* startLoad(cluster, { topic: yield* cluster.makeTopic() })
    yield* load.progress("all is well")
    yield* cluster.pause(1)
    yield* Effect.sleep("10 seconds")
    yield* cluster.resume(1)
    yield* load.progress("the broker goes on")
    assertFlawless(yield* load.finish)
  })
)

test(
  "FM-5 the leader hangs for less than its session: nothing is lost, doubled or out of order",
  Effect.gen(function*() {
    const load = yield* startLoad(cluster, { topic: yield* cluster.makeTopic() })
    yield* load.progress("all is well")
    for (const id of brokerIds) {
      yield* cluster.pause(id)
      yield* Effect.sleep("1500 millis")
      yield* cluster.resume(id)
      yield* load.progress(`broker ${id} goes on`)
    }
    assertFlawless(yield* load.finish)
  })
)

test(
  "FM-6 the leader hangs for longer than the delivery timeout: records end as maybe written, and later ones are all there",
  Effect.gen(function*() {
    const load = yield* startLoad(cluster, {
      topic: yield* cluster.makeTopic(),
      producer: { deliveryTimeout: "1500 millis" }
    })
    yield* load.progress("all is well")
    yield* cluster.pause(1)
    yield* load.until(
      "a record of it has failed",
      (event) => event._tag === "Reported" && event.outcome._tag === "Failed" && event.outcome.persisted === "maybe"
    )
    yield* cluster.resume(1)
    yield* load.progress("the broker goes on", { records: 200 })
    const { duplicated, failed, lost, reasons, violations } = yield* load.finish
    assert.deepStrictEqual(
      { duplicated, lost, reasons, violations },
      { duplicated: 0, lost: 0, reasons: ["DeliveryTimeout"], violations: [] }
    )
    assert.isAbove(failed.maybe, 0)
  })
)

test(
  "FM-7 fewer replicas are in sync than must be: retried, surely not written at the deadline, and taken when they are back",
  Effect.gen(function*() {
    // Broker 2 is a replica of the first partition, and not of the other one.
    const config = { "min.insync.replicas": "2" }
    const topic = yield* cluster.makeTopic({ replicas: [[1, 2], [3, 1]], config })
    const lacking = yield* cluster.makeTopic({ replicas: [[1, 2]], config })
    const load = yield* startLoad(cluster, { topic, partitions: 2 })
    yield* load.progress("all is well")
    yield* cluster.kill(2)
    for (const { name } of [topic, lacking]) {
      yield* Effect.promise(() =>
        cluster.operator.topic("one replica is left", name, ([first]) => first!.inSync.length === 1)
      )
    }
    // An attempt that is on its way at the deadline may be written: "maybe" is true then, and another record is tried.
    const refused = yield* Effect.gen(function*() {
      const impatient = yield* Producer.make({ deliveryTimeout: "1500 millis" })
      for (let number = 0;; number++) {
        const error = yield* Effect.flip(impatient.send(lacking.record({ partition: 0, value: `${number}` })))
        assert.deepStrictEqual([error._tag, error.reason._tag], ["RetriableError", "DeliveryTimeout"])
        if (error.persisted === "maybe") continue
        assert.include(error.message, "NOT_ENOUGH_REPLICAS")
        return number
      }
    }).pipe(Effect.scoped, Effect.provide(client(cluster.addresses)), (self) => within("a record is refused", self))
    yield* load.progress("the other partition goes on", { partitions: [1] })
    yield* cluster.start(2)
    yield* load.progress("the replica is back")
    assertFlawless(yield* load.finish)
    const log = yield* readBack(cluster, lacking, 1)
    assert.notInclude(log.map(({ value }) => value), `${refused}`)
  })
)

test(
  "FM-7 two of three brokers are down: records wait until they are back",
  Effect.gen(function*() {
    const load = yield* startLoad(cluster, { topic: yield* cluster.makeTopic() })
    yield* load.progress("all is well")
    yield* cluster.kill(2, 3)
    yield* Effect.sleep("5 seconds")
    yield* cluster.start(2, 3)
    yield* load.progress("they are back")
    assertFlawless(yield* load.finish)
  })
)

test(
  "FM-9 all brokers are restarted, one after the other, under load: nobody notices",
  Effect.gen(function*() {
    const topic = yield* cluster.makeTopic()
    const load = yield* startLoad(cluster, { topic })
    yield* load.progress("all is well")
    for (const id of brokerIds) {
      yield* cluster.shutdown(id)
      yield* cluster.start(id)
      // As an operator does: the next one when the replicas of this one are in sync.
      yield* Effect.promise(() => cluster.operator.whole(topic.name))
    }
    yield* load.progress("all are restarted")
    assertFlawless(yield* load.finish)
  })
)

test(
  "FM-10 all brokers are killed at once and start again: nothing that was acknowledged is lost",
  Effect.gen(function*() {
    const load = yield* startLoad(cluster, { topic: yield* cluster.makeTopic() })
    yield* load.progress("all is well")
    yield* cluster.kill(1, 2, 3)
    yield* cluster.start(1, 2, 3)
    yield* load.progress("they are back")
    const { duplicated, failed, lost, reasons, violations } = yield* load.finish
    assert.deepStrictEqual({ duplicated, lost, violations }, { duplicated: 0, lost: 0, violations: [] })
    // Of several batches in flight, all of them in the log, a broker that had to recover it may know only the last one for
    // a duplicate. The others are not sent under another sequence, which could double them: nobody knows.
    assert.strictEqual(failed.no, 0)
    assert.includeMembers(["OutOfOrderSequenceNumber"], [...reasons])
  })
)

test(
  "FM-11 the controller is killed: producing goes on, and a new topic is made in the end",
  Effect.gen(function*() {
    const load = yield* startLoad(cluster, { topic: yield* cluster.makeTopic() })
    yield* load.progress("all is well")
    const controller = (yield* Effect.promise(() => cluster.operator.controller())) as BrokerId
    yield* cluster.kill(controller)
    const made = uniqueName("faults")
    yield* Admin.createTopic(made, { partitions: 1, replicationFactor: 2 }).pipe(
      // The controller may have done it and died before it answered: then the next one says that it is there.
      Effect.catchIf(({ reason }) => reason._tag === "TopicAlreadyExists", () => Effect.void),
      Effect.provide(client(cluster.addresses, { requestTimeout: "3 seconds" }))
    )
    yield* Effect.promise(() => cluster.operator.topic("the new topic is there", made, ({ length }) => length === 1))
    yield* load.progress("there is another controller")
    yield* cluster.start(controller)
    yield* load.progress("the broker is back")
    assertFlawless(yield* load.finish)
  })
)

test(
  "FM-12 leaders move again and again: nothing is lost, and with idempotence nothing is doubled",
  Effect.gen(function*() {
    const topics = [yield* cluster.makeTopic(), yield* cluster.makeTopic()] as const
    const idempotent = yield* startLoad(cluster, { topic: topics[0] })
    const atLeastOnce = yield* startLoad(cluster, { topic: topics[1], mode: "acks all" })
    yield* idempotent.progress("all is well")
    for (let round = 1; round <= 6; round++) {
      for (const { name } of topics) yield* Effect.promise(() => cluster.operator.moveLeaders(name))
      yield* idempotent.progress(`after move ${round}`)
      yield* atLeastOnce.progress(`after move ${round}`)
    }
    assertFlawless(yield* idempotent.finish)
    const { failed, lost, violations } = yield* atLeastOnce.finish
    assert.deepStrictEqual({ failed, lost, violations }, { failed: { no: 0, maybe: 0 }, lost: 0, violations: [] })
  })
)
