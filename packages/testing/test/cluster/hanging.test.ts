import { assert, describe, it } from "@effect/vitest"
import { Metadata } from "@sluice/kafka/internal/protocol/api/metadata"

import { batch, Model } from "../support/model.ts"

const leaderAndIsr = (model: Model) => {
  const { inSyncReplicas, leader, leaderEpoch } = model.cluster.requirePartition("orders", 0)
  return { leader, leaderEpoch, isr: inSyncReplicas }
}

const listed = (model: Model): ReadonlyArray<number> =>
  model.ask(Metadata, { topics: [] }, { broker: 2 }).brokers.map((broker) => broker.nodeId)

/** Three brokers with one partition that broker 1 leads, and followers that are behind. */
const delayed = () => new Model({ brokers: 3, topics: { orders: 1 }, config: { replicationDelayMs: 10 } })

const send = (model: Model, value: string, options: { readonly timeoutMs?: number; readonly acks?: number } = {}) =>
  model.sendBatch("orders", 0, batch([value]), { timeoutMs: 30_000, ...options })

describe("a broker that hangs", () => {
  it("is fenced after its session, and hands over what it leads", () => {
    const model = new Model({ brokers: 3, topics: { orders: 1 } })
    model.cluster.brokerHangs(1, 0)
    model.pass(8999)
    assert.deepStrictEqual(leaderAndIsr(model), { leader: 1, leaderEpoch: 0, isr: [1, 2, 3] })
    assert.deepStrictEqual(listed(model), [1, 2, 3])
    model.pass(1)
    assert.deepStrictEqual(leaderAndIsr(model), { leader: 2, leaderEpoch: 1, isr: [2, 3] })
    assert.deepStrictEqual(listed(model), [2, 3])
    assert.strictEqual(model.cluster.controller, 2)
    assert.strictEqual(send(model, "a").outcome(), 0)
    assert.deepStrictEqual(model.takeEvents("BrokerFenced"), [{ _tag: "BrokerFenced", broker: 1, now: 9000 }])
    assert.isUndefined(model.cluster.nextDeadline())
  })

  it("is in the cluster again when it goes on, knows that it leads nothing, and is in sync when it has caught up", () => {
    const model = delayed()
    model.cluster.brokerHangs(1, 0)
    model.pass(9000)
    send(model, "a")
    model.pass(20)
    model.takeEvents()
    model.cluster.brokerGoesOn(1, model.now)
    assert.deepStrictEqual(listed(model), [1, 2, 3])
    assert.deepStrictEqual(leaderAndIsr(model), { leader: 2, leaderEpoch: 1, isr: [2, 3] })
    assert.strictEqual(model.produce("orders", 0, batch(["b"]), { broker: 1 }).error, "NotLeaderOrFollower")
    model.pass(10)
    assert.deepStrictEqual(leaderAndIsr(model), { leader: 2, leaderEpoch: 1, isr: [2, 3, 1] })
    assert.deepStrictEqual(model.takeEvents("BrokerUnfenced", "InSyncReplicasChanged"), [
      { _tag: "BrokerUnfenced", broker: 1, now: 9020 },
      { _tag: "InSyncReplicasChanged", topic: "orders", partition: 0, inSyncReplicas: [2, 3, 1], now: 9030 }
    ])
    assert.isUndefined(model.cluster.nextDeadline())
  })

  it("keeps nobody waiting where followers are never behind", () => {
    const model = new Model({ brokers: 3, topics: { orders: 1 } })
    model.cluster.brokerHangs(3, 0)
    assert.strictEqual(send(model, "a").outcome(), 0)
    model.pass(9000)
    assert.strictEqual(send(model, "b").outcome(), 1)
    model.cluster.brokerGoesOn(3, model.now)
    assert.deepStrictEqual(leaderAndIsr(model), { leader: 1, leaderEpoch: 0, isr: [1, 2, 3] })
    assert.isUndefined(model.cluster.nextDeadline())
  })

  it("for a short time changes nothing, but keeps those waiting who need it", () => {
    const model = delayed()
    model.cluster.brokerHangs(3, 0)
    const produced = send(model, "a")
    assert.strictEqual(send(model, "b", { acks: 1 }).outcome(), 1)
    model.pass(5000)
    assert.isTrue(produced.isParked())
    model.cluster.brokerGoesOn(3, model.now)
    model.pass(40)
    assert.strictEqual(produced.outcome(), 0)
    assert.deepStrictEqual(model.takeEvents("BrokerFenced", "InSyncReplicasChanged", "LeaderChanged"), [])
    assert.isUndefined(model.cluster.nextDeadline())
  })

  it("as a follower leaves the in-sync replicas when it is fenced, and nobody waits for it then", () => {
    const model = delayed()
    model.cluster.brokerHangs(3, 0)
    const produced = send(model, "a")
    model.pass(9000)
    assert.strictEqual(produced.outcome(), 0)
    assert.deepStrictEqual(leaderAndIsr(model), { leader: 1, leaderEpoch: 0, isr: [1, 2] })
  })

  it("as the leader does not replicate, and has what it took alone cut off when it is fenced", () => {
    const model = delayed()
    const produced = send(model, "a")
    model.cluster.brokerHangs(1, 0)
    model.pass(8999)
    assert.isTrue(produced.isParked())
    model.pass(1)
    assert.strictEqual(produced.outcome(), "NotLeaderOrFollower")
    assert.strictEqual(model.cluster.requirePartition("orders", 0).log.endOffset, 0)
  })

  it("as the only one in sync leaves nobody to lead, and leads again", () => {
    const model = new Model({ topics: { orders: 1 } })
    model.cluster.brokerHangs(1, 0)
    model.pass(9000)
    assert.isUndefined(model.cluster.leaderOf("orders", 0))
    assert.isUndefined(model.cluster.controller)
    model.cluster.brokerGoesOn(1, model.now)
    assert.deepStrictEqual(leaderAndIsr(model), { leader: 1, leaderEpoch: 2, isr: [1] })
  })

  it("may die, and starts without a memory of it", () => {
    const model = new Model({ brokers: 2, topics: { orders: 1 } })
    model.cluster.brokerHangs(1, 0)
    model.cluster.stopBroker(1, 0)
    assert.isUndefined(model.cluster.nextDeadline())
    model.cluster.brokerGoesOn(1, 0)
    assert.strictEqual(model.cluster.leaderOf("orders", 0), 2)
    model.cluster.startBroker(1, 0)
    assert.deepStrictEqual(leaderAndIsr(model), { leader: 2, leaderEpoch: 1, isr: [2, 1] })

    model.cluster.brokerHangs(1, 0)
    model.pass(9000)
    model.takeEvents()
    model.cluster.stopBroker(1, model.now)
    model.cluster.startBroker(1, model.now)
    assert.deepStrictEqual(model.takeEvents("BrokerFenced", "BrokerUnfenced").map((event) => event._tag), [
      "BrokerUnfenced"
    ])
  })

  it("hangs and goes on once", () => {
    const model = new Model({ brokers: 2, topics: { orders: 1 } })
    model.cluster.brokerGoesOn(1, 0)
    model.cluster.brokerHangs(1, 0)
    model.pass(5000)
    model.cluster.brokerHangs(1, model.now)
    model.pass(4000)
    assert.strictEqual(model.cluster.leaderOf("orders", 0), 2)
    model.cluster.stopBroker(2, model.now)
    model.cluster.brokerHangs(2, model.now)
    model.cluster.brokerGoesOn(1, model.now)
    model.cluster.brokerGoesOn(1, model.now)
    assert.isUndefined(model.cluster.nextDeadline())
    assert.throws(() => model.cluster.brokerHangs(9, 0), /no broker 9/)
    assert.throws(() => model.cluster.brokerGoesOn(9, 0), /no broker 9/)
  })

  it("coordinates its groups no more", () => {
    const model = new Model({ brokers: 2, topics: { orders: 1 } })
    const broker = model.cluster.coordinatorOf("g")!
    const { memberId } = model.stableGroup("g", { broker })
    model.cluster.brokerHangs(broker, 0)
    model.pass(9000)
    assert.strictEqual(model.cluster.coordinatorOf("g"), 3 - broker)
    assert.deepStrictEqual(model.takeEvents("CoordinatorMoved", "GenerationBegan", "MemberExpelled"), [
      { _tag: "GenerationBegan", group: "g", generation: 1, members: [memberId], now: 0 },
      { _tag: "CoordinatorMoved", group: "g", broker: 3 - broker, now: 9000 }
    ])
  })
})
