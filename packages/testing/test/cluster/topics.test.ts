import { assert, describe, it } from "@effect/vitest"
import { CreateTopics } from "@sluice/kafka/internal/protocol/api/createTopics"
import { DeleteRecords } from "@sluice/kafka/internal/protocol/api/deleteRecords"
import { DeleteTopics } from "@sluice/kafka/internal/protocol/api/deleteTopics"
import type { RequestInput } from "@sluice/kafka/internal/protocol/field"

import { batch, errorName, Model } from "../support/model.ts"

type TopicInput = RequestInput<typeof CreateTopics>["topics"][number]

const create = (model: Model, topics: ReadonlyArray<Partial<TopicInput>>, validateOnly = false) =>
  model.ask(CreateTopics, {
    timeoutMs: 1000,
    validateOnly,
    topics: topics.map((topic) => ({ name: "orders", numPartitions: 1, replicationFactor: 1, ...topic }))
  }).topics.map((topic) => ({ ...topic, error: errorName(topic.errorCode) }))

const exists = (model: Model, name: string): boolean => {
  try {
    model.cluster.requireTopic(name)
    return true
  } catch {
    return false
  }
}

describe("CreateTopics", () => {
  it("creates topics, each with an id", () => {
    const model = new Model({ brokers: 3 })
    const [one, other] = create(model, [{ numPartitions: 4, replicationFactor: 2 }, { name: "payments" }])
    assert.deepInclude(one, { error: "None", errorMessage: null, numPartitions: 4, replicationFactor: 2 })
    assert.notStrictEqual(one!.topicId, other!.topicId)
    const { partitions } = model.cluster.requireTopic("orders")
    assert.deepStrictEqual(partitions.map((partition) => partition.replicas), [[1, 2], [2, 3], [3, 1], [1, 2]])
    assert.deepStrictEqual(partitions.map((partition) => partition.leader), [1, 2, 3, 1])
  })

  it("takes defaults for -1, and assignments as they are given", () => {
    const model = new Model({ brokers: 3 })
    const assignments = [{ partitionIndex: 0, brokerIds: [3, 1] }, { partitionIndex: 1, brokerIds: [2, 3] }]
    const [defaults, manual] = create(model, [
      { numPartitions: -1, replicationFactor: -1 },
      { name: "manual", numPartitions: -1, replicationFactor: -1, assignments }
    ])
    assert.deepInclude(defaults, { error: "None", numPartitions: 1, replicationFactor: 3 })
    assert.deepInclude(manual, { error: "None", numPartitions: 2, replicationFactor: 2 })
    assert.deepStrictEqual(model.cluster.requireTopic("manual").partitions.map(({ leader }) => leader), [3, 2])
  })

  it("only validates, if it is asked to", () => {
    const model = new Model()
    assert.strictEqual(create(model, [{}], true)[0]!.error, "None")
    assert.isFalse(exists(model, "orders"))
  })

  const manual = (...brokerIds: ReadonlyArray<ReadonlyArray<number>>): Partial<TopicInput> => ({
    numPartitions: -1,
    replicationFactor: -1,
    assignments: brokerIds.map((ids, partitionIndex) => ({ partitionIndex, brokerIds: ids }))
  })

  it.each<[string, Partial<TopicInput>, string]>([
    ["a topic that exists", { name: "old" }, "TopicAlreadyExists"],
    ["no name", { name: "" }, "InvalidTopicException"],
    ["a name with a slash", { name: "a/b" }, "InvalidTopicException"],
    ["the name of a directory", { name: ".." }, "InvalidTopicException"],
    ["a name that is too long", { name: "x".repeat(250) }, "InvalidTopicException"],
    ["a name that metrics cannot tell from another", { name: "with_dot" }, "InvalidTopicException"],
    ["no partitions", { numPartitions: 0 }, "InvalidPartitions"],
    ["-2 partitions", { numPartitions: -2 }, "InvalidPartitions"],
    ["no replicas", { replicationFactor: 0, numPartitions: 0 }, "InvalidReplicationFactor"],
    ["more replicas than brokers", { replicationFactor: 2 }, "InvalidReplicationFactor"],
    ["assignments beside a number of partitions", { ...manual([1]), numPartitions: 1 }, "InvalidRequest"],
    ["a broker that is not there", manual([1], [9]), "InvalidReplicaAssignment"],
    ["a partition without replicas", manual([]), "InvalidReplicaAssignment"],
    ["a replica that comes twice", manual([1, 1]), "InvalidReplicaAssignment"],
    ["a partition left out", {
      ...manual(),
      assignments: [{ partitionIndex: 1, brokerIds: [1] }]
    }, "InvalidReplicaAssignment"],
    ["an unknown setting", { configs: [{ name: "nope", value: "1" }] }, "InvalidConfig"],
    ["a setting without a value", { configs: [{ name: "retention.ms", value: null }] }, "InvalidConfig"],
    ["a setting of another type", { configs: [{ name: "max.message.bytes", value: "abc" }] }, "InvalidConfig"],
    ["a negative size", { configs: [{ name: "max.message.bytes", value: "-1" }] }, "InvalidConfig"]
  ])("refuses %s", (_, topic, error) => {
    const model = new Model({ topics: { old: 1, "with.dot": 1 } })
    const [refused] = create(model, [topic])
    assert.deepInclude(refused, { error, numPartitions: -1 })
    assert.isString(refused!.errorMessage)
    assert.isFalse(exists(model, "orders"))
  })

  it("refuses a name that comes twice, and creates the others", () => {
    const model = new Model()
    const results = create(model, [{}, { name: "payments" }, {}])
    assert.deepStrictEqual(results.map(({ error, name }) => [name, error]), [
      ["orders", "InvalidRequest"],
      ["payments", "None"]
    ])
    assert.isFalse(exists(model, "orders"))
  })
})

describe("DeleteTopics", () => {
  const remove = (model: Model, topics: ReadonlyArray<{ name?: string; topicId?: string }>) =>
    model.ask(DeleteTopics, { topics, timeoutMs: 1000 }).responses.map(({ errorCode }) => errorName(errorCode))

  it("deletes by name and by id, with the groups' offsets", () => {
    const model = new Model({ topics: { orders: 1, payments: 1 } })
    assert.deepStrictEqual(
      remove(model, [{ name: "orders" }, { topicId: model.cluster.requireTopic("payments").id }]),
      ["None", "None"]
    )
    assert.isFalse(exists(model, "orders"))
    assert.isFalse(exists(model, "payments"))
    assert.strictEqual(model.produce("orders", 0, batch(["a"])).error, "UnknownTopicOrPartition")
  })

  it("gives a topic of the same name another id, and an empty log", () => {
    const model = new Model({ topics: { orders: 1 } })
    const { id } = model.cluster.requireTopic("orders")
    model.produce("orders", 0, batch(["a"]))
    remove(model, [{ name: "orders" }])
    model.cluster.createTopic("orders", 1)
    assert.notStrictEqual(model.cluster.requireTopic("orders").id, id)
    assert.strictEqual(model.produce("orders", 0, batch(["a"])).baseOffset, 0)
  })

  it("knows names only up to version 5", () => {
    const model = new Model({ topics: { orders: 1 } })
    const { responses } = model.ask(DeleteTopics, { topicNames: ["orders", "nope"], timeoutMs: 1000 }, { version: 5 })
    assert.deepStrictEqual(
      responses.map(({ errorCode, name }) => [name, errorName(errorCode)]),
      [["orders", "None"], ["nope", "UnknownTopicOrPartition"]]
    )
  })

  it("refuses what it cannot tell", () => {
    const model = new Model({ topics: { orders: 1 } })
    const { id } = model.cluster.requireTopic("orders")
    assert.deepStrictEqual(remove(model, [{ name: "orders", topicId: id }]), ["InvalidRequest"])
    assert.deepStrictEqual(remove(model, [{}]), ["InvalidRequest"])
    assert.deepStrictEqual(remove(model, [{ name: "orders" }, { name: "orders" }]), ["InvalidRequest"])
    assert.deepStrictEqual(remove(model, [{ topicId: "AAAAAAAAAAAAAAAAAAAAAQ" }]), ["UnknownTopicId"])
    assert.deepStrictEqual(remove(model, [{ name: "__consumer_offsets" }]), ["InvalidTopicException"])
    assert.isTrue(exists(model, "orders"))
  })
})

describe("DeleteRecords", () => {
  const remove = (model: Model, offset: number, options: { topic?: string; broker?: number } = {}) => {
    const { topics } = model.ask(DeleteRecords, {
      timeoutMs: 1000,
      topics: [{ name: options.topic ?? "orders", partitions: [{ partitionIndex: 0, offset }] }]
    }, options)
    const { errorCode, lowWatermark } = topics[0]!.partitions[0]!
    return [errorName(errorCode), lowWatermark]
  }

  const filled = (): Model => {
    const model = new Model({ brokers: 2, topics: { orders: 1 } })
    for (let index = 0; index < 5; index++) model.produce("orders", 0, batch(["a", "b"]))
    return model
  }

  it("moves the start of the log, in a batch too, and never back", () => {
    const model = filled()
    assert.deepStrictEqual(remove(model, 3), ["None", 3])
    assert.deepStrictEqual(remove(model, 1), ["None", 3])
    const { logStartOffset } = model.produce("orders", 0, batch(["c"]))
    assert.strictEqual(logStartOffset, 3)
    assert.deepStrictEqual(remove(model, -1), ["None", 11])
    assert.strictEqual(model.produce("orders", 0, batch(["d"])).baseOffset, 11)
  })

  it("refuses what is not in the log, not here, or not its own", () => {
    const model = filled()
    assert.deepStrictEqual(remove(model, 11), ["OffsetOutOfRange", -1])
    assert.deepStrictEqual(remove(model, -2), ["OffsetOutOfRange", -1])
    assert.deepStrictEqual(remove(model, 1, { topic: "nope" }), ["UnknownTopicOrPartition", -1])
    assert.deepStrictEqual(remove(model, 1, { broker: 2 }), ["NotLeaderOrFollower", -1])
    assert.deepStrictEqual(remove(model, 1, { topic: "__consumer_offsets" }), ["InvalidTopicException", -1])
  })
})
