import { assert, describe, it } from "@effect/vitest"
import { CreatePartitions } from "@sluice/kafka/internal/protocol/api/createPartitions"

import { batch, errorName, Model } from "../support/model.ts"

interface Wanted {
  readonly name?: string
  readonly count?: number
  readonly assignments?: ReadonlyArray<{ readonly brokerIds: ReadonlyArray<number> }> | null
}

const grow = (
  model: Model,
  topics: ReadonlyArray<Wanted>,
  options: { validateOnly?: boolean; version?: number } = {}
) =>
  model.ask(CreatePartitions, {
    timeoutMs: 1000,
    validateOnly: options.validateOnly ?? false,
    topics: topics.map((topic) => ({ name: "orders", count: 4, assignments: null, ...topic }))
  }, options).results.map(({ errorCode, errorMessage, name }) => {
    assert.strictEqual(errorMessage === null, errorCode === 0)
    return `${name}: ${errorName(errorCode)}`
  })

const replicasOf = (model: Model, name = "orders") =>
  model.cluster.requireTopic(name).partitions.map((partition) => partition.replicas)

describe("CreatePartitions", () => {
  it.each([0, 1, 2, 3])("adds partitions with as many replicas, in version %i", (version) => {
    const model = new Model({ brokers: 3, config: { defaultReplicationFactor: 2 }, topics: { orders: 2 } })
    model.produce("orders", 1, batch(["a"]), { broker: 2 })
    assert.deepStrictEqual(grow(model, [{}], { version }), ["orders: None"])
    assert.deepStrictEqual(replicasOf(model), [[1, 2], [2, 3], [3, 1], [1, 2]])
    assert.strictEqual(model.produce("orders", 1, batch(["b"]), { broker: 2 }).baseOffset, 1)
    assert.strictEqual(model.produce("orders", 3, batch(["c"])).baseOffset, 0)
  })

  it("places them as it is told", () => {
    const model = new Model({ brokers: 3, topics: { orders: 1 } })
    const assignments = [{ brokerIds: [3, 1, 2] }, { brokerIds: [2, 3, 1] }]
    assert.deepStrictEqual(grow(model, [{ count: 3, assignments }]), ["orders: None"])
    assert.deepStrictEqual(replicasOf(model), [[1, 2, 3], [3, 1, 2], [2, 3, 1]])
  })

  it("only validates, if it is asked to", () => {
    const model = new Model({ topics: { orders: 1 } })
    assert.deepStrictEqual(grow(model, [{}, { name: "nope" }], { validateOnly: true }), [
      "orders: None",
      "nope: UnknownTopicOrPartition"
    ])
    assert.lengthOf(replicasOf(model), 1)
  })

  it.each<[string, Wanted, string]>([
    ["a topic that is not there", { name: "nope" }, "UnknownTopicOrPartition"],
    ["as many partitions as there are", { count: 3 }, "InvalidPartitions"],
    ["fewer partitions", { count: 2 }, "InvalidPartitions"],
    ["another number of assignments", { assignments: [] }, "InvalidReplicaAssignment"],
    ["a broker that is not there", { assignments: [{ brokerIds: [1, 9] }] }, "InvalidReplicaAssignment"],
    ["a replica that comes twice", { assignments: [{ brokerIds: [1, 1] }] }, "InvalidReplicaAssignment"],
    ["another number of replicas", { assignments: [{ brokerIds: [1] }] }, "InvalidReplicaAssignment"],
    ["no replicas", { assignments: [{ brokerIds: [] }] }, "InvalidReplicaAssignment"]
  ])("refuses %s", (_, wanted, error) => {
    const model = new Model({ brokers: 2, topics: { orders: 3 } })
    assert.deepStrictEqual(grow(model, [wanted]), [`${wanted.name ?? "orders"}: ${error}`])
    assert.lengthOf(replicasOf(model), 3)
  })

  it("refuses a name that comes twice, and does the others", () => {
    const model = new Model({ topics: { orders: 1, payments: 1 } })
    assert.deepStrictEqual(grow(model, [{}, { name: "payments" }, { count: 5 }]), [
      "orders: InvalidRequest",
      "payments: None"
    ])
    assert.lengthOf(replicasOf(model), 1)
    assert.lengthOf(replicasOf(model, "payments"), 4)
  })

  it("is there for operators", () => {
    const model = new Model({ topics: { orders: 1 } })
    model.cluster.createPartitions("orders", 3)
    assert.lengthOf(replicasOf(model), 3)
    assert.throws(() => model.cluster.createPartitions("orders", 3), /already has 3 partition/)
    assert.throws(() => model.cluster.createPartitions("nope", 3), /does not host/)
    assert.deepStrictEqual(model.cluster.topicNames, ["orders"])
  })

  it("takes brokers that run before those that do not", () => {
    const model = new Model({ brokers: 3, config: { defaultReplicationFactor: 2 }, topics: { orders: 1 } })
    model.cluster.stopBroker(2, 0)
    model.cluster.createPartitions("orders", 4)
    assert.deepStrictEqual(replicasOf(model), [[1, 2], [3, 1], [3, 1], [1, 3]])
    model.cluster.createTopic("alone", 3)
    assert.deepStrictEqual(replicasOf(model, "alone"), [[1, 3], [3, 1], [3, 1]])
  })
})
