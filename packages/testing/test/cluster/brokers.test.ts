import { assert, describe, it } from "@effect/vitest"
import { ApiVersions } from "@sluice/kafka/internal/protocol/api/apiVersions"
import { FindCoordinator } from "@sluice/kafka/internal/protocol/api/findCoordinator"
import { Heartbeat } from "@sluice/kafka/internal/protocol/api/heartbeat"
import { LeaveGroup } from "@sluice/kafka/internal/protocol/api/leaveGroup"
import { Metadata } from "@sluice/kafka/internal/protocol/api/metadata"
import { OffsetCommit } from "@sluice/kafka/internal/protocol/api/offsetCommit"
import { OffsetFetch } from "@sluice/kafka/internal/protocol/api/offsetFetch"

import { batch, errorName, Model } from "../support/model.ts"

const describeTopic = (model: Model, name = "orders") => {
  const { topics } = model.ask(Metadata, { topics: [{ name }] })
  return topics[0]!.partitions.map((partition) => ({
    leader: partition.leaderId,
    epoch: partition.leaderEpoch,
    isr: partition.isrNodes,
    offline: partition.offlineReplicas
  }))
}

const coordinatorOf = (model: Model, groupId: string): number =>
  model.ask(FindCoordinator, { keyType: 0, coordinatorKeys: [groupId] }).coordinators[0]!.nodeId

describe("ApiVersions", () => {
  const ask = (version: number, name = "sluice-kafka") =>
    new Model().ask(ApiVersions, { clientSoftwareName: name, clientSoftwareVersion: "0.1.0" }, { version })

  it("lists what the brokers have", () => {
    const { apiKeys, errorCode } = ask(3)
    assert.strictEqual(errorCode, 0)
    assert.deepInclude(apiKeys, { apiKey: 18, minVersion: 0, maxVersion: 3 })
    assert.deepInclude(apiKeys, { apiKey: 0, minVersion: 8, maxVersion: 12 })
    assert.strictEqual(ask(0).apiKeys.length, apiKeys.length)
  })

  it("refuses names that are none", () => {
    assert.strictEqual(errorName(ask(3, "@sluice/kafka").errorCode), "InvalidRequest")
  })
})

describe("Metadata", () => {
  it("describes brokers and topics", () => {
    const model = new Model({ brokers: 3, topics: { orders: 2 } })
    const { brokers, clusterId, controllerId, topics } = model.ask(Metadata, { topics: [{ name: "orders" }] })
    assert.deepStrictEqual(brokers.map((broker) => `${broker.nodeId} ${broker.host}:${broker.port}`), [
      "1 b1:9092",
      "2 b2:9092",
      "3 b3:9092"
    ])
    assert.isString(clusterId)
    assert.strictEqual(controllerId, 1)
    assert.deepStrictEqual(
      topics[0]!.partitions.map((partition) => [partition.partitionIndex, partition.replicaNodes]),
      [
        [0, [1, 2, 3]],
        [1, [2, 3, 1]]
      ]
    )
  })

  it("gives all topics, none, or those that are named", () => {
    const model = new Model({ topics: { orders: 1, payments: 1 } })
    const names = (topics: ReadonlyArray<{ name: string }> | null) =>
      model.ask(Metadata, { topics }).topics.map((topic) => [topic.name, errorName(topic.errorCode), topic.isInternal])
    assert.deepStrictEqual(names(null), [
      ["__consumer_offsets", "None", true],
      ["orders", "None", false],
      ["payments", "None", false]
    ])
    assert.deepStrictEqual(names([]), [])
    assert.deepStrictEqual(names([{ name: "nope" }, { name: "a/b" }, { name: "orders" }]), [
      ["nope", "UnknownTopicOrPartition", false],
      ["a/b", "InvalidTopicException", false],
      ["orders", "None", false]
    ])
    assert.deepStrictEqual(names([{ name: "nope" }])[0], ["nope", "UnknownTopicOrPartition", false])
  })

  it("finds topics by id from version 12 on", () => {
    const model = new Model({ topics: { orders: 1 } })
    const find = (topicId: string) => model.ask(Metadata, { topics: [{ topicId, name: null }] }).topics[0]!
    assert.strictEqual(find(model.cluster.requireTopic("orders").id).name, "orders")
    assert.deepInclude(find("AAAAAAAAAAAAAAAAAAAAAQ"), { errorCode: 100, name: null })
  })
})

describe("a broker that stops", () => {
  it("hands over to in-sync replicas, in new epochs", () => {
    const model = new Model({ brokers: 3, topics: { orders: 2 } })
    model.cluster.stopBroker(1, 0)
    assert.deepStrictEqual(describeTopic(model), [
      { leader: 2, epoch: 1, isr: [2, 3], offline: [1] },
      { leader: 2, epoch: 0, isr: [2, 3], offline: [1] }
    ])
    assert.deepStrictEqual(model.ask(Metadata, { topics: [] }).brokers.map((broker) => broker.nodeId), [2, 3])
    assert.strictEqual(model.produce("orders", 0, batch(["a"]), { broker: 2 }).error, "None")
  })

  it("leaves a partition without a leader if it was the last in sync, until it comes back", () => {
    const model = new Model({ brokers: 2, topics: { orders: 1 } })
    model.cluster.stopBroker(2, 0)
    model.cluster.stopBroker(1, 0)
    model.cluster.startBroker(2, 0)
    assert.deepStrictEqual(describeTopic(model), [{ leader: -1, epoch: 1, isr: [1], offline: [1] }])
    const { topics } = model.ask(Metadata, { topics: [{ name: "orders" }] })
    assert.strictEqual(errorName(topics[0]!.partitions[0]!.errorCode), "LeaderNotAvailable")
    assert.strictEqual(model.produce("orders", 0, batch(["a"]), { broker: 2 }).error, "NotLeaderOrFollower")
    model.cluster.startBroker(1, 0)
    assert.deepStrictEqual(describeTopic(model), [{ leader: 1, epoch: 2, isr: [1, 2], offline: [] }])
  })

  it("is a replica again when it comes back, and does not take its leaderships back", () => {
    const model = new Model({ brokers: 3, topics: { orders: 1 } })
    model.cluster.stopBroker(1, 0)
    model.cluster.startBroker(1, 0)
    assert.deepStrictEqual(describeTopic(model), [{ leader: 2, epoch: 1, isr: [2, 3, 1], offline: [] }])
  })

  it("is stopped and started once", () => {
    const model = new Model({ brokers: 2, topics: { orders: 1 } })
    model.cluster.stopBroker(1, 0)
    model.cluster.stopBroker(1, 0)
    assert.strictEqual(describeTopic(model)[0]!.epoch, 1)
    model.cluster.startBroker(1, 0)
    model.cluster.startBroker(1, 0)
    assert.deepStrictEqual(describeTopic(model)[0]!.isr, [2, 1])
  })
})

describe("an operator", () => {
  it("moves a leader, in a new epoch", () => {
    const model = new Model({ brokers: 3, topics: { orders: 1 } })
    model.cluster.setLeader("orders", 0, 3, 0)
    model.cluster.setLeader("orders", 0, 3, 0)
    assert.deepStrictEqual(describeTopic(model), [{ leader: 3, epoch: 1, isr: [1, 2, 3], offline: [] }])
  })

  it("is told of mistakes", () => {
    const model = new Model({ brokers: 4, topics: { orders: 1 } })
    assert.throws(() => model.cluster.setLeader("nope", 0, 1, 0), /no topic nope/)
    assert.throws(() => model.cluster.setLeader("orders", 1, 1, 0), /no partition 1/)
    assert.throws(() => model.cluster.setLeader("orders", 0, 9, 0), /no broker 9/)
    assert.throws(() => model.cluster.setLeader("orders", 0, 4, 0), /not an in-sync replica of orders-0: 1, 2, 3/)
    assert.throws(() => model.cluster.stopBroker(9, 0), /no broker 9/)
    assert.throws(() => model.cluster.createTopic("orders", 1), /already exists/)
  })
})

describe("the coordinator of a group", () => {
  it("is found by the hash of the group's id, as Kafka finds it", () => {
    const model = new Model({ brokers: 3 })
    // Java: "payments-worker".hashCode() is -1805209058, which is 40 of 50 partitions; of "g" it is 103, which is 3.
    const { coordinators } = model.ask(FindCoordinator, { keyType: 0, coordinatorKeys: ["payments-worker", "g"] })
    assert.deepStrictEqual(coordinators.map(({ errorCode, host, key, port }) => [key, errorCode, host, port]), [
      ["payments-worker", 0, "b2", 9092],
      ["g", 0, "b1", 9092]
    ])
    assert.deepInclude(model.ask(FindCoordinator, { keyType: 0, key: "g" }, { version: 3 }), {
      errorCode: 0,
      nodeId: 1,
      host: "b1",
      port: 9092
    })
  })

  it("is not found for other things than groups and transactions", () => {
    const { coordinators } = new Model().ask(FindCoordinator, { keyType: 7, coordinatorKeys: ["g"] })
    assert.deepInclude(coordinators[0], { errorCode: 42, nodeId: -1, host: "", port: -1 })
  })

  it("alone answers for the group", () => {
    const model = new Model({ brokers: 2, topics: { orders: 1 } })
    const coordinator = coordinatorOf(model, "g")
    const broker = 3 - coordinator
    const commit = model.ask(OffsetCommit, {
      groupId: "g",
      memberId: "",
      topics: [{ name: "orders", partitions: [{ partitionIndex: 0, committedOffset: 1, committedMetadata: null }] }]
    }, { broker })
    const errors = [
      model.join("g", "", { broker }).response().errorCode,
      model.sync("g", "x", 1, {}, { broker, protocolType: "consumer", protocolName: "range" }).response().errorCode,
      model.ask(Heartbeat, { groupId: "g", generationId: 1, memberId: "x" }, { broker }).errorCode,
      model.ask(LeaveGroup, { groupId: "g", members: [] }, { broker }).errorCode,
      commit.topics[0]!.partitions[0]!.errorCode,
      model.ask(OffsetFetch, { groups: [{ groupId: "g", topics: null }] }, { broker }).groups[0]!.errorCode
    ]
    assert.deepStrictEqual(errors.map(errorName), Array.from({ length: 6 }, () => "NotCoordinator"))
  })

  it("takes over the last complete generation and the offsets when the one before stops", () => {
    const model = new Model({ brokers: 2, topics: { orders: 1 } })
    const broker = coordinatorOf(model, "g")
    const { memberId } = model.stableGroup("g", { broker, sessionTimeoutMs: 10_000 })
    model.ask(OffsetCommit, {
      groupId: "g",
      memberId,
      generationIdOrMemberEpoch: 1,
      topics: [{ name: "orders", partitions: [{ partitionIndex: 0, committedOffset: 4, committedMetadata: null }] }]
    }, { broker })
    const parked = model.joinNew("g", { broker }).join
    model.pass(9000)
    model.cluster.stopBroker(broker, model.now)
    assert.strictEqual(errorName(parked.response().errorCode), "NotCoordinator")

    const next = { broker: 3 - broker }
    assert.strictEqual(
      model.ask(FindCoordinator, { keyType: 0, coordinatorKeys: ["g"] }, next).coordinators[0]!.nodeId,
      next.broker
    )
    const beat = () => errorName(model.ask(Heartbeat, { groupId: "g", generationId: 1, memberId }, next).errorCode)
    model.pass(9000)
    assert.strictEqual(beat(), "None")
    const { groups } = model.ask(OffsetFetch, { groups: [{ groupId: "g", topics: null }] }, next)
    assert.strictEqual(groups[0]!.topics[0]!.partitions[0]!.committedOffset, 4)
    model.pass(10_000)
    assert.strictEqual(beat(), "UnknownMemberId")
  })

  it("knows nothing of a generation that was not complete", () => {
    const model = new Model({ brokers: 2 })
    const broker = coordinatorOf(model, "g")
    const { id: memberId } = model.joinNew("g", { broker })
    model.cluster.setLeader("__consumer_offsets", 3, 3 - broker, model.now)
    const next = { broker: 3 - broker }
    const sync = model.sync("g", memberId, 1, {}, { ...next, protocolType: "consumer", protocolName: "range" })
    assert.strictEqual(errorName(sync.response().errorCode), "UnknownMemberId")
    assert.isUndefined(model.cluster.nextDeadline())
  })
})
