import { assert, describe, it } from "@effect/vitest"
import { batchField, computeBatchCrc } from "@sluice/kafka/internal/kernel/batchHeader"
import { writeInt16, writeInt32, writeInt64 } from "@sluice/kafka/internal/kernel/bigEndian"
import { gzip } from "@sluice/kafka/internal/kernel/compression"
import { RecordsReader } from "@sluice/kafka/internal/kernel/records"
import { Produce } from "@sluice/kafka/internal/protocol/api/produce"

import { batch, errorName, Model, produceRequest, text } from "../support/model.ts"

/** A batch that a change makes wrong, with a checksum that is right. */
const altered = (values: ReadonlyArray<string>, alter: (bytes: Uint8Array) => void): Uint8Array => {
  const bytes = batch(values)
  alter(bytes)
  writeInt32(bytes, batchField.crc, computeBatchCrc(bytes, 0, bytes.length))
  return bytes
}

const valuesOf = (model: Model, topic: string, partition = 0): Array<string | null> =>
  Array.from(model.cluster.requireTopic(topic).partitions[partition]!.log.chunks()).flatMap((chunk) =>
    chunk.records.map((record) => text(record.value))
  )

describe("Produce", () => {
  it("appends with the next offset of each partition", () => {
    const model = new Model({ topics: { orders: 2 } })
    assert.deepInclude(model.produce("orders", 0, batch(["a", "b"])), {
      error: "None",
      baseOffset: 0,
      logStartOffset: 0
    })
    assert.deepInclude(model.produce("orders", 0, batch(["c"])), { error: "None", baseOffset: 2 })
    assert.deepInclude(model.produce("orders", 1, batch(["d"])), { error: "None", baseOffset: 0 })
    assert.deepStrictEqual(valuesOf(model, "orders"), ["a", "b", "c"])
    assert.deepStrictEqual(valuesOf(model, "orders", 1), ["d"])
  })

  it("writes the batch's place into its head, which the checksum does not cover", () => {
    const model = new Model({ brokers: 2, topics: { orders: 1 } })
    model.produce("orders", 0, batch(["a", "b"]))
    model.cluster.setLeader("orders", 0, 2, 0)
    model.produce("orders", 0, batch(["c"]), { broker: 2 })
    const { log } = model.cluster.requireTopic("orders").partitions[0]!
    const reader = new RecordsReader(log.read(0, 10_000, true), { fetchOffset: 0 })
    const chunks = [reader.next()!, reader.next()!]
    assert.deepStrictEqual(chunks.map((chunk) => chunk.leaderEpoch), [0, 1])
    assert.deepStrictEqual(chunks.map((chunk) => chunk.nextOffset), [2, 3])
    assert.isUndefined(reader.error)
  })

  it("keeps a copy: the caller may reuse its buffer", () => {
    const model = new Model({ topics: { orders: 1 } })
    const bytes = batch(["a"])
    model.produce("orders", 0, bytes)
    bytes.fill(0)
    assert.deepStrictEqual(valuesOf(model, "orders"), ["a"])
  })

  it.each([
    ["no bytes", new Uint8Array(0), "InvalidRecord"],
    ["null", null, "InvalidRecord"],
    ["less than a head", batch(["a"]).subarray(0, 10), "InvalidRecord"],
    ["a batch cut off", batch(["a"]).subarray(0, 65), "InvalidRecord"],
    ["two batches", Buffer.concat([batch(["a"]), batch(["b"])]), "InvalidRecord"],
    ["format 1", batch(["a"]).fill(1, batchField.magic, batchField.magic + 1), "InvalidRecord"],
    ["format 3", batch(["a"]).fill(3, batchField.magic, batchField.magic + 1), "CorruptMessage"],
    ["a wrong checksum", batch(["a"]).fill(9, batchField.crc, batchField.crc + 4), "CorruptMessage"],
    ["another base offset than 0", altered(["a"], (b) => writeInt64(b, batchField.baseOffset, 5)), "InvalidRecord"],
    [
      "no records",
      altered(["a"], (b) => {
        writeInt32(b, batchField.recordCount, 0)
        writeInt32(b, batchField.lastOffsetDelta, -1)
      }),
      "InvalidRecord"
    ],
    [
      "a count that is not that of the offsets",
      altered(["a", "b"], (b) => {
        writeInt32(b, batchField.recordCount, 3)
      }),
      "InvalidRecord"
    ],
    [
      "fewer records than the count",
      altered(["a"], (b) => {
        writeInt32(b, batchField.recordCount, 2)
        writeInt32(b, batchField.lastOffsetDelta, 1)
      }),
      "InvalidRecord"
    ],
    [
      "more records than the count",
      altered(["a", "b"], (b) => {
        writeInt32(b, batchField.recordCount, 1)
        writeInt32(b, batchField.lastOffsetDelta, 0)
      }),
      "InvalidRecord"
    ],
    ["offset deltas that do not count up", altered(["a"], (b) => b.fill(2, 64, 65)), "InvalidRecord"],
    ["a control batch", altered(["a"], (b) => writeInt16(b, batchField.attributes, 0x20)), "InvalidRecord"],
    ["a producer id without a sequence", batch(["a"], { producerId: 5, producerEpoch: 0 }), "InvalidRecord"]
  ])("refuses %s", (_, records, error) => {
    const model = new Model({ topics: { orders: 1 } })
    assert.deepInclude(model.produce("orders", 0, records), { error, baseOffset: -1 })
    assert.deepStrictEqual(valuesOf(model, "orders"), [])
  })

  it("ignores bytes after the batch that are no whole batch", () => {
    const model = new Model({ topics: { orders: 1 } })
    assert.strictEqual(model.produce("orders", 0, Buffer.concat([batch(["a"]), Buffer.alloc(20, 1)])).error, "None")
    assert.deepStrictEqual(valuesOf(model, "orders"), ["a"])
  })

  it("takes compressed batches without looking inside", () => {
    const model = new Model({ topics: { orders: 1 } })
    const values = Array.from({ length: 50 }, () => "the same again")
    assert.strictEqual(model.produce("orders", 0, batch(values, { codec: gzip })).error, "None")
    assert.deepStrictEqual(valuesOf(model, "orders"), values)
  })

  it("bounds a batch by message.max.bytes, and by the topic's max.message.bytes", () => {
    const model = new Model({ topics: { orders: 1 } })
    model.cluster.createTopic("small", 1, { "max.message.bytes": "200" })
    const fits = batch(["x".repeat(1_048_588 - 61 - 11)])
    assert.strictEqual(fits.length, 1_048_588)
    assert.strictEqual(model.produce("orders", 0, fits).error, "None")
    assert.strictEqual(model.produce("orders", 0, batch(["x".repeat(1_048_588 - 61 - 10)])).error, "MessageTooLarge")
    assert.strictEqual(model.produce("small", 0, batch(["x".repeat(150)])).error, "MessageTooLarge")
    assert.strictEqual(model.produce("small", 0, batch(["x".repeat(100)])).error, "None")
  })

  it("knows only its topics and partitions", () => {
    const model = new Model({ topics: { orders: 1 } })
    const errors = [["nope", 0], ["orders", 1], ["orders", -1], ["__consumer_offsets", 0]] as const
    assert.deepStrictEqual(
      errors.map(([topic, partition]) => model.produce(topic, partition, batch(["a"])).error),
      ["UnknownTopicOrPartition", "UnknownTopicOrPartition", "UnknownTopicOrPartition", "InvalidTopicException"]
    )
  })

  it("answers for each partition by itself", () => {
    const model = new Model({ topics: { orders: 2 } })
    const { responses } = model.ask(Produce, {
      acks: -1,
      timeoutMs: 1000,
      topicData: [
        { name: "orders", partitionData: [{ index: 1, records: batch(["a"]) }, { index: 0, records: null }] },
        { name: "nope", partitionData: [{ index: 0, records: batch(["a"]) }] }
      ]
    })
    const errors = responses.map((topic) => topic.partitionResponses.map((partition) => errorName(partition.errorCode)))
    assert.deepStrictEqual(errors, [["None", "InvalidRecord"], ["UnknownTopicOrPartition"]])
  })

  it("refuses at another broker than the leader, and says who leads from version 10 on", () => {
    const model = new Model({ brokers: 3, topics: { orders: 1 } })
    const ask = (version: number) =>
      model.ask(Produce, produceRequest("orders", 0, batch(["a"])), { broker: 2, version })
    assert.strictEqual(errorName(ask(9).responses[0]!.partitionResponses[0]!.errorCode), "NotLeaderOrFollower")
    const response = ask(10)
    assert.deepStrictEqual(response.responses[0]!.partitionResponses[0]!.currentLeader, { leaderId: 1, leaderEpoch: 0 })
    assert.deepStrictEqual(response.nodeEndpoints, [{ nodeId: 1, host: "b1", port: 9092, rack: null }])
  })

  it("needs enough in-sync replicas for acks all only", () => {
    const model = new Model({ brokers: 3 })
    model.cluster.createTopic("safe", 1, { "min.insync.replicas": "2" })
    model.cluster.stopBroker(2, 0)
    assert.strictEqual(model.produce("safe", 0, batch(["a"])).error, "None")
    model.cluster.stopBroker(3, 0)
    assert.strictEqual(model.produce("safe", 0, batch(["b"])).error, "NotEnoughReplicas")
    assert.strictEqual(model.produce("safe", 0, batch(["c"]), { acks: 1 }).error, "None")
    model.cluster.startBroker(3, 0)
    assert.strictEqual(model.produce("safe", 0, batch(["d"])).error, "None")
    assert.deepStrictEqual(valuesOf(model, "safe"), ["a", "c", "d"])
  })

  it("knows acks 0, 1 and all", () => {
    const model = new Model({ topics: { orders: 1 } })
    for (const acks of [2, -2]) {
      assert.strictEqual(model.produce("orders", 0, batch(["a"]), { acks }).error, "InvalidRequiredAcks")
    }
    assert.strictEqual(model.produce("orders", 0, batch(["a"]), { acks: 1 }).error, "None")
    const silent = model.send(Produce, produceRequest("orders", 0, batch(["b"]), 0))
    assert.deepStrictEqual(silent.answer(), { _tag: "NoResponse" })
    assert.deepStrictEqual(valuesOf(model, "orders"), ["a", "b"])
  })

  it("closes the connection where it cannot tell an error: with acks 0", () => {
    const model = new Model({ topics: { orders: 1 } })
    const failed = model.send(Produce, produceRequest("nope", 0, batch(["a"]), 0))
    assert.deepStrictEqual(failed.answer(), { _tag: "Disconnect" })
  })

  it("refuses transactional batches", () => {
    const model = new Model({ topics: { orders: 1 } })
    const records = batch(["a"], { producerId: 1, producerEpoch: 0, baseSequence: 0, isTransactional: true })
    assert.strictEqual(model.produce("orders", 0, records).error, "TransactionalIdAuthorizationFailed")
    const { responses } = model.ask(Produce, { ...produceRequest("orders", 0, records), transactionalId: "mine" })
    assert.strictEqual(errorName(responses[0]!.partitionResponses[0]!.errorCode), "InvalidTxnState")
  })
})
