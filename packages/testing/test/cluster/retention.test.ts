import { assert, describe, it } from "@effect/vitest"

import type { ClusterConfig } from "../../src/internal/cluster/config.ts"
import { batch, Model } from "../support/model.ts"

const interval = 1000

const withTopic = (topicConfig: Record<string, string>, config: Partial<ClusterConfig> = {}) => {
  const model = new Model({ brokers: 3, config: { logRetentionCheckIntervalMs: interval, ...config } })
  // A segment a batch.
  model.cluster.createTopic("orders", 1, { "segment.bytes": "1", ...topicConfig })
  return model
}

const size = batch(["a"]).length

const send = (model: Model, timestamp = model.now) =>
  model.sendBatch("orders", 0, batch(["a"], { timestamp }), { acks: 1 }).outcome()

const startOf = (model: Model): number => model.cluster.requirePartition("orders", 0).log.startOffset

const deletedBy = (offset: number, now: number) => ({
  _tag: "Deleted" as const,
  topic: "orders",
  partition: 0,
  offset,
  now
})

describe("retention", () => {
  it("takes no time where there is none", () => {
    const model = withTopic({ "retention.ms": "-1", "retention.bytes": "-1" })
    send(model)
    assert.isUndefined(model.cluster.nextDeadline())
  })

  it("deletes segments that are too old, at the next look", () => {
    const model = withTopic({ "retention.ms": "500" })
    assert.isUndefined(model.cluster.nextDeadline())
    send(model, 0)
    send(model, 499)
    send(model, 500)
    model.takeEvents()
    model.pass(interval - 1)
    assert.strictEqual(startOf(model), 0)
    model.pass(1)
    assert.strictEqual(startOf(model), 2)
    assert.deepStrictEqual(model.takeEvents("Deleted"), [deletedBy(2, 1000)])
    assert.strictEqual(
      model.fetch("orders", 0, 1, { version: 12 }).response().responses[0]!.partitions[0]!.errorCode,
      1
    )
  })

  it("tells the age of records by the brokers' wall clock, not by the time that has passed", () => {
    const wallStartMs = 1_767_225_600_000
    const model = withTopic({ "retention.ms": "500" }, { wallStartMs })
    send(model, wallStartMs)
    send(model, wallStartMs + 500)
    model.pass(interval)
    assert.strictEqual(startOf(model), 1)
    model.pass(interval)
    assert.strictEqual(startOf(model), 2)
  })

  it("deletes the newest one too, goes on at the same offset, and sleeps while there is nothing", () => {
    const model = withTopic({ "retention.ms": "500" })
    send(model)
    model.pass(interval)
    assert.strictEqual(startOf(model), 1)
    assert.isUndefined(model.cluster.nextDeadline())
    model.pass(interval / 2)
    assert.strictEqual(send(model), 1)
    assert.strictEqual(model.cluster.nextDeadline(), 2 * interval)
    model.pass(interval * 2)
    assert.deepStrictEqual(model.takeEvents("Deleted"), [deletedBy(1, 1000), deletedBy(2, 3000)])
  })

  it("deletes whole segments only, from the oldest on", () => {
    const model = withTopic({ "retention.ms": "500", "segment.bytes": `${2 * size}` })
    for (const timestamp of [0, 0, 0, 900, 0, 0]) send(model, timestamp)
    model.pass(interval)
    assert.strictEqual(startOf(model), 2)
  })

  it("deletes what is more than the topic may have", () => {
    const model = withTopic({ "retention.bytes": `${2 * size}` })
    for (let count = 0; count < 5; count++) send(model)
    model.pass(interval)
    assert.strictEqual(startOf(model), 3)
    const almost = withTopic({ "retention.bytes": `${2 * size + 1}` })
    for (let count = 0; count < 5; count++) send(almost)
    almost.pass(interval)
    assert.strictEqual(startOf(almost), 2)
  })

  it("leaves what is not committed", () => {
    const model = withTopic({ "retention.ms": "0" }, { replicationDelayMs: 10 })
    send(model, 0)
    model.pass(interval - 5)
    send(model, 0)
    model.pass(5)
    assert.strictEqual(startOf(model), 1)
    model.pass(interval)
    assert.strictEqual(startOf(model), 2)
  })

  it("does not touch topics that are only compacted", () => {
    const model = withTopic({ "retention.ms": "0", "cleanup.policy": "compact" })
    send(model, 0)
    assert.isUndefined(model.cluster.nextDeadline())
    const both = withTopic({ "retention.ms": "0", "cleanup.policy": "compact, delete" })
    send(both, 0)
    both.pass(interval)
    assert.strictEqual(startOf(both), 1)
  })

  it("forgets topics that are deleted", () => {
    const model = withTopic({ "retention.ms": "100000" })
    send(model)
    model.cluster.deleteTopic("orders")
    model.pass(interval)
    assert.isUndefined(model.cluster.nextDeadline())
  })
})

describe("an operator", () => {
  it("deletes records up to the high watermark", () => {
    const model = withTopic({}, { replicationDelayMs: 10 })
    send(model)
    send(model)
    model.pass(40)
    send(model)
    assert.throws(() => model.cluster.deleteRecords("orders", 0, 3, model.now), /Offset 3 of orders-0 is not between/)
    assert.throws(() => model.cluster.deleteRecords("orders", 1, 0, model.now), /no partition 1/)
    model.cluster.deleteRecords("orders", 0, 1, model.now)
    model.cluster.deleteRecords("orders", 0, 0, model.now)
    model.cluster.deleteRecords("orders", 0, undefined, model.now)
    assert.deepStrictEqual(model.takeEvents("Deleted"), [deletedBy(1, 40), deletedBy(2, 40)])
    assert.strictEqual(startOf(model), 2)
  })
})
