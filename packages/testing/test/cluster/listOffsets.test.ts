import { assert, describe, it } from "@effect/vitest"
import { DeleteRecords } from "@sluice/kafka/internal/protocol/api/deleteRecords"
import { ListOffsets } from "@sluice/kafka/internal/protocol/api/listOffsets"

import { batch, errorName, Model } from "../support/model.ts"

const list = (
  model: Model,
  timestamp: number,
  options: { topic?: string; epoch?: number; version?: number; broker?: number } = {}
) => {
  const { epoch = -1, topic = "orders" } = options
  const response = model.ask(ListOffsets, {
    replicaId: -1,
    isolationLevel: 0,
    timeoutMs: 1000,
    topics: [{ name: topic, partitions: [{ partitionIndex: 0, timestamp, currentLeaderEpoch: epoch }] }]
  }, options)
  const { errorCode, leaderEpoch, offset, timestamp: found } = response.topics[0]!.partitions[0]!
  return { error: errorName(errorCode), offset, timestamp: found, leaderEpoch }
}

const nothing = { error: "None", offset: -1, timestamp: -1, leaderEpoch: -1 }

/** Timestamps 1000 to 1002, then 5000 under another leader, then 2000 and 2001. */
const filled = (): Model => {
  const model = new Model({ brokers: 2, topics: { orders: 1, empty: 1 } })
  model.produce("orders", 0, batch(["a", "b", "c"]))
  model.cluster.setLeader("orders", 0, 2, 0)
  model.produce("orders", 0, batch(["d"], { timestamp: 5000 }), { broker: 2 })
  model.produce("orders", 0, batch(["e", "f"], { timestamp: 2000 }), { broker: 2 })
  return model
}
const atLeader = { broker: 2 }

describe("ListOffsets", () => {
  it("finds the ends", () => {
    const model = filled()
    assert.deepStrictEqual(list(model, -1, atLeader), { error: "None", offset: 6, timestamp: -1, leaderEpoch: 1 })
    assert.deepStrictEqual(list(model, -2, atLeader), { error: "None", offset: 0, timestamp: -1, leaderEpoch: 0 })
    assert.deepStrictEqual(list(model, -4, atLeader), { error: "None", offset: 0, timestamp: -1, leaderEpoch: 0 })
    assert.deepStrictEqual(list(model, -5, atLeader), nothing)
    const empty = { topic: "empty" }
    assert.deepStrictEqual(list(model, -1, empty), { error: "None", offset: 0, timestamp: -1, leaderEpoch: 0 })
    assert.deepStrictEqual(list(model, -2, empty), { error: "None", offset: 0, timestamp: -1, leaderEpoch: 0 })
    assert.deepStrictEqual(list(model, -3, empty), nothing)
  })

  it("finds the first record that is not older, and the newest", () => {
    const model = filled()
    const find = (timestamp: number) => {
      const { leaderEpoch, offset, timestamp: found } = list(model, timestamp, atLeader)
      return [offset, found, leaderEpoch]
    }
    assert.deepStrictEqual([0, 1000, 1001].map(find), [[0, 1000, 0], [0, 1000, 0], [1, 1001, 0]])
    assert.deepStrictEqual([1500, 5000, 5001].map(find), [[3, 5000, 1], [3, 5000, 1], [-1, -1, -1]])
    assert.deepStrictEqual(find(-3), [3, 5000, 1])
  })

  it("does not find what was deleted", () => {
    const model = filled()
    model.ask(DeleteRecords, {
      timeoutMs: 1000,
      topics: [{ name: "orders", partitions: [{ partitionIndex: 0, offset: 2 }] }]
    }, atLeader)
    assert.strictEqual(list(model, -2, atLeader).offset, 2)
    assert.deepInclude(list(model, 0, atLeader), { offset: 2, timestamp: 1002 })
  })

  it("is answered by the leader, to clients that know it", () => {
    const model = filled()
    assert.strictEqual(list(model, -1, { broker: 1 }).error, "NotLeaderOrFollower")
    assert.strictEqual(list(model, -1, { ...atLeader, epoch: 0 }).error, "FencedLeaderEpoch")
    assert.strictEqual(list(model, -1, { ...atLeader, epoch: 1 }).error, "None")
    assert.strictEqual(list(model, -1, { ...atLeader, epoch: 2 }).error, "UnknownLeaderEpoch")
    assert.strictEqual(list(model, -1, { topic: "nope" }).error, "UnknownTopicOrPartition")
  })

  it("knows special timestamps from their version on", () => {
    const model = filled()
    assert.strictEqual(list(model, -3, { ...atLeader, version: 6 }).error, "UnsupportedVersion")
    assert.strictEqual(list(model, -3, { ...atLeader, version: 7 }).error, "None")
    assert.strictEqual(list(model, -7, atLeader).error, "UnsupportedVersion")
  })
})
