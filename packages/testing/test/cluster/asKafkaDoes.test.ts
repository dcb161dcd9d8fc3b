/** Corners in which the model was once unlike Apache Kafka: what random scripts, run on both, have found. */
import { assert, describe, it } from "@effect/vitest"
import { batchField } from "@sluice/kafka/internal/kernel/batchHeader"
import { CreateTopics } from "@sluice/kafka/internal/protocol/api/createTopics"
import { DeleteRecords } from "@sluice/kafka/internal/protocol/api/deleteRecords"
import { DeleteTopics } from "@sluice/kafka/internal/protocol/api/deleteTopics"
import { Fetch } from "@sluice/kafka/internal/protocol/api/fetch"
import { LeaveGroup } from "@sluice/kafka/internal/protocol/api/leaveGroup"
import { ListOffsets } from "@sluice/kafka/internal/protocol/api/listOffsets"
import { Metadata } from "@sluice/kafka/internal/protocol/api/metadata"
import { Produce } from "@sluice/kafka/internal/protocol/api/produce"
import { zeroUuid } from "@sluice/kafka/internal/protocol/field"

import { batch, errorName, fetchRequest, Model } from "../support/model.ts"

const parkedFetch = { version: 12, maxWaitMs: 10_000 }

describe("JoinGroup", () => {
  it("refuses in version 6 with an empty protocol name, which cannot be null there", () => {
    const refused = new Model().join("billing", "", { version: 6 }).response()
    assert.deepInclude(refused, { errorCode: 79, protocolName: "" })
    assert.isNull(new Model().join("billing", "", { version: 7 }).response().protocolName)
  })

  it("chooses of two protocols with as many votes the first in Kafka's hash table", () => {
    const model = new Model()
    const one = { protocols: { roundrobin: "", range: "" }, groupInstanceId: "a" }
    const first = model.join("billing", "", one).response()
    const second = model.join("billing", "", { protocols: { range: "", roundrobin: "" }, groupInstanceId: "b" })
    const again = model.join("billing", first.memberId, one).response()
    assert.strictEqual(again.protocolName, "range")
    assert.strictEqual(second.response().protocolName, "range")
  })
})

describe("LeaveGroup", () => {
  it("leaves the parked SyncGroup of a member that is taken out without an answer", () => {
    const model = new Model()
    const leader = model.join("billing", "", { groupInstanceId: "a" }).response()
    const follower = model.join("billing", "", { groupInstanceId: "b" })
    model.join("billing", leader.memberId, { groupInstanceId: "a" })
    const { generationId, memberId } = follower.response()
    const sync = model.sync("billing", memberId, generationId, {}, { groupInstanceId: "b" })
    model.ask(LeaveGroup, { groupId: "billing", members: [{ memberId: "", groupInstanceId: "b" }] })
    assert.isTrue(sync.isParked())
  })
})

describe("CreateTopics", () => {
  const create = (model: Model, topics: ReadonlyArray<{ name: string; numPartitions?: number; config?: string }>) =>
    model.ask(CreateTopics, {
      topics: topics.map(({ config, name, numPartitions = 1 }) => ({
        name,
        numPartitions,
        replicationFactor: 1,
        configs: config === undefined ? [] : [{ name: config.split("=")[0]!, value: config.split("=")[1]! }]
      }))
    }).topics.map((topic) => errorName(topic.errorCode))

  it("checks settings before partitions", () => {
    for (const config of ["max.message.bytes=-1", "min.insync.replicas=0", "cleanup.policy=nothing"]) {
      assert.deepStrictEqual(create(new Model(), [{ name: "a", numPartitions: 0, config }]), ["InvalidConfig"])
    }
  })

  it("lets two names of one request collide, and not one with a topic that is there", () => {
    const model = new Model()
    assert.deepStrictEqual(create(model, [{ name: "a.b" }, { name: "a_b" }]), ["None", "None"])
    assert.deepStrictEqual(create(model, [{ name: "a.b" }]), ["TopicAlreadyExists"])
  })
})

describe("DeleteTopics", () => {
  it("refuses a topic that is named by name and by id: once, in the place of its name", () => {
    for (const order of [[0, 1], [1, 0]]) {
      const model = new Model({ topics: { orders: 1 } })
      const { id } = model.cluster.requireTopic("orders")
      const ways = [{ name: "orders" }, { name: null, topicId: id }]
      const { responses } = model.ask(DeleteTopics, { topics: order.map((index) => ways[index]!), timeoutMs: 1000 })
      assert.deepStrictEqual(responses.map(({ errorCode, name, topicId }) => [name, topicId, errorName(errorCode)]), [
        ["orders", id, "InvalidRequest"]
      ])
      assert.strictEqual(model.cluster.requireTopic("orders").id, id)
    }
  })

  it("answers each nameless entry", () => {
    const nameless = { name: null, topicId: zeroUuid }
    const { responses } = new Model().ask(DeleteTopics, { topics: [nameless, nameless], timeoutMs: 1000 })
    assert.deepStrictEqual(responses.map(({ errorCode }) => errorName(errorCode)), ["InvalidRequest", "InvalidRequest"])
  })
})

describe("Metadata and ListOffsets", () => {
  it("answer once what is asked for twice", () => {
    const model = new Model({ topics: { orders: 1 } })
    const { topics } = model.ask(Metadata, { topics: [{ name: "orders" }, { name: "orders" }] })
    assert.deepStrictEqual(topics.map(({ name }) => name), ["orders"])
    const twice = { partitionIndex: 0, timestamp: -1 }
    const listed = model.ask(ListOffsets, {
      replicaId: -1,
      isolationLevel: 0,
      timeoutMs: 1000,
      topics: [{ name: "orders", partitions: [twice, twice] }]
    })
    assert.deepStrictEqual(listed.topics[0]!.partitions.map(({ errorCode }) => errorName(errorCode)), [
      "InvalidRequest"
    ])
  })
})

describe("Produce", () => {
  it("refuses the whole request when one of its batches cannot be read at all", () => {
    const model = new Model({ topics: { orders: 2 } })
    const unreadable = batch(["a"])
    unreadable[batchField.magic] = 3
    const { responses } = model.ask(Produce, {
      acks: 1,
      timeoutMs: 1000,
      topicData: [{
        name: "orders",
        partitionData: [{ index: 0, records: batch(["b"]) }, { index: 1, records: unreadable }]
      }]
    })
    const codes = responses[0]!.partitionResponses.map(({ errorCode }) => errorName(errorCode))
    assert.deepStrictEqual(codes, ["CorruptMessage", "CorruptMessage"])
  })

  it("wakes a fetch of two partitions with what both have got", () => {
    const model = new Model({ topics: { orders: 2 } })
    const both = [0, 1].map((partition) => ({ topic: "orders", partition, fetchOffset: 0 }))
    const waiting = model.send(Fetch, fetchRequest(both, parkedFetch), parkedFetch)
    model.ask(Produce, {
      acks: 1,
      timeoutMs: 1000,
      topicData: [{
        name: "orders",
        partitionData: [{ index: 0, records: batch(["a"]) }, { index: 1, records: batch(["b"]) }]
      }]
    })
    const marks = waiting.response().responses.flatMap(({ partitions }) => partitions.map((one) => one.highWatermark))
    assert.deepStrictEqual(marks, [1, 1])
  })
})

describe("Fetch", () => {
  const filled = (): Model => {
    const model = new Model({ topics: { orders: 1 } })
    model.produce("orders", 0, batch(["a", "b"]))
    return model
  }

  it("waits although one of its partitions is not there, unless none is", () => {
    const model = filled()
    const missing = { topic: "orders", partition: 17, fetchOffset: 0 }
    const present = { topic: "orders", partition: 0, fetchOffset: 2 }
    assert.isTrue(model.send(Fetch, fetchRequest([present, missing], parkedFetch), parkedFetch).isParked())
    assert.isFalse(model.send(Fetch, fetchRequest([missing], parkedFetch), parkedFetch).isParked())
  })

  it("names a missing partition of a topic id that is there by another error than a missing topic id", () => {
    const model = filled()
    const { id } = model.cluster.requireTopic("orders")
    const codes = [id, zeroUuid].map((topicId) =>
      model.ask(Fetch, {
        maxWaitMs: 0,
        minBytes: 1,
        topics: [{ topicId, partitions: [{ partition: 9, fetchOffset: 0, partitionMaxBytes: 1000 }] }]
      }).responses[0]!.partitions[0]!.errorCode
    )
    assert.deepStrictEqual(codes.map(errorName), ["UnknownTopicOrPartition", "UnknownTopicId"])
  })

  it("never waits for more bytes than it takes", () => {
    const waiting = filled().fetch("orders", 0, 0, { ...parkedFetch, minBytes: 10_000, maxBytes: 1 })
    assert.isFalse(waiting.isParked())
  })

  it("goes on waiting when its offset is deleted, until something is written", () => {
    const model = filled()
    const waiting = model.fetch("orders", 0, 1, { ...parkedFetch, minBytes: 100 })
    assert.isTrue(waiting.isParked())
    model.ask(DeleteRecords, {
      timeoutMs: 1000,
      topics: [{ name: "orders", partitions: [{ partitionIndex: 0, offset: 2 }] }]
    })
    assert.isTrue(waiting.isParked())
    model.produce("orders", 0, batch(["c"]))
    assert.strictEqual(errorName(waiting.response().responses[0]!.partitions[0]!.errorCode), "OffsetOutOfRange")
  })

  it("misses the partition, not the topic id, when the topic is deleted while it waits", () => {
    const model = filled()
    const { id } = model.cluster.requireTopic("orders")
    const waiting = model.send(Fetch, {
      maxWaitMs: 10_000,
      minBytes: 1,
      topics: [{ topicId: id, partitions: [{ partition: 0, fetchOffset: 2, partitionMaxBytes: 1000 }] }]
    })
    model.ask(DeleteTopics, { topics: [{ name: "orders" }], timeoutMs: 1000 })
    const code = waiting.response().responses[0]!.partitions[0]!.errorCode
    assert.strictEqual(errorName(code), "UnknownTopicOrPartition")
  })

  it("leaves out the aborted transactions of a partition whose next batch does not fit", () => {
    const model = new Model({ topics: { orders: 2 } })
    for (const partition of [0, 1]) model.produce("orders", partition, batch(["a"]))
    const both = [0, 1].map((partition) => ({ topic: "orders", partition, fetchOffset: 0 }))
    const options = { version: 12, maxBytes: batch(["a"]).length + 1, isolationLevel: 1 }
    const { responses } = model.ask(Fetch, fetchRequest(both, options), options)
    assert.deepStrictEqual(
      responses.flatMap(({ partitions }) => partitions.map(({ abortedTransactions }) => abortedTransactions)),
      [[], null]
    )
  })
})
