import { assert, describe, it } from "@effect/vitest"
import { decodeRecords } from "@sluice/kafka/internal/kernel/records"
import { DeleteTopics } from "@sluice/kafka/internal/protocol/api/deleteTopics"
import { Fetch } from "@sluice/kafka/internal/protocol/api/fetch"
import type { ResponseOf } from "@sluice/kafka/internal/protocol/field"

import { batch, errorName, fetchRequest, Model, text } from "../support/model.ts"

type Response = ResponseOf<typeof Fetch>
const byName = { version: 12 }

const partitionOf = (response: Response, topic = 0, partition = 0) => {
  const result = response.responses[topic]!.partitions[partition]!
  return { ...result, error: errorName(result.errorCode) }
}

const values = (response: Response, fetchOffset: number, topic = 0): Array<string | null> =>
  decodeRecords(partitionOf(response, topic).records!, { fetchOffset }).chunks.flatMap((chunk) =>
    chunk.records.map((record) => text(record.value))
  )

/** Three batches: offsets 0 to 2, 3, and 4 to 5. */
const filled = (): Model => {
  const model = new Model({ topics: { orders: 2 } })
  for (const records of [batch(["a", "b", "c"]), batch(["d".repeat(200)]), batch(["e", "f"])]) {
    model.produce("orders", 0, records)
  }
  return model
}

const sizes = [batch(["a", "b", "c"]), batch(["d".repeat(200)]), batch(["e", "f"])].map((bytes) => bytes.length)

describe("Fetch", () => {
  it("gives the batch that holds the offset and what follows", () => {
    const model = filled()
    for (let offset = 0; offset <= 6; offset++) {
      const response = model.fetch("orders", 0, offset, byName).response()
      assert.deepStrictEqual(values(response, offset), ["a", "b", "c", "d".repeat(200), "e", "f"].slice(offset))
      assert.deepInclude(partitionOf(response), {
        error: "None",
        highWatermark: 6,
        lastStableOffset: 6,
        logStartOffset: 0,
        abortedTransactions: null
      })
    }
    const [first, second, third] = sizes
    const { records } = partitionOf(model.fetch("orders", 0, 1, byName).response())
    assert.strictEqual(records!.length, first! + second! + third!)
  })

  it("names topics by id from version 13 on", () => {
    const model = filled()
    const topicId = model.cluster.requireTopic("orders").id
    const ask = (id: string) =>
      model.ask(Fetch, {
        ...fetchRequest([]),
        topics: [{ topicId: id, partitions: [{ partition: 0, fetchOffset: 4, partitionMaxBytes: 1000 }] }]
      }, { version: 16 })
    assert.deepStrictEqual(values(ask(topicId), 4), ["e", "f"])
    assert.strictEqual(ask(topicId).responses[0]!.topicId, topicId)
    assert.strictEqual(partitionOf(ask("AAAAAAAAAAAAAAAAAAAAAQ")).error, "UnknownTopicId")
  })

  it("cuts off the last batch at the bounds, but gives the first batch whole", () => {
    const model = filled()
    const length = (options: { partitionMaxBytes?: number; maxBytes?: number }, offset = 0) =>
      partitionOf(model.fetch("orders", 0, offset, { ...byName, ...options }).response()).records!.length
    for (const bound of ["partitionMaxBytes", "maxBytes"]) {
      assert.strictEqual(length({ [bound]: 0 }), sizes[0])
      assert.strictEqual(length({ [bound]: 1 }), sizes[0])
      assert.strictEqual(length({ [bound]: sizes[0]! + 10 }), sizes[0]! + 10)
      assert.strictEqual(length({ [bound]: 10 }, 3), sizes[1])
    }
    const cut = model.fetch("orders", 0, 0, { ...byName, maxBytes: sizes[0]! + 10 }).response()
    assert.deepStrictEqual(values(cut, 0), ["a", "b", "c"])
  })

  it("shares maxBytes among the partitions in their order; an oversized batch is given to the first only", () => {
    const model = filled()
    model.produce("orders", 1, batch(["x"]))
    const request = (partitions: ReadonlyArray<number>, maxBytes: number) =>
      model.ask(
        Fetch,
        fetchRequest(partitions.map((partition) => ({ topic: "orders", partition, fetchOffset: 0 })), { maxBytes }),
        byName
      ).responses.flatMap((topic) => topic.partitions.map(({ records }) => records!.length))
    assert.deepStrictEqual(request([0, 1], 10), [sizes[0], 0])
    assert.deepStrictEqual(request([1, 0], 10), [69, 0])
    assert.deepStrictEqual(request([1, 0], 69 + sizes[0]!), [69, sizes[0]])
  })

  it("never goes past the end of a segment", () => {
    const model = new Model({ topics: { orders: 1 }, config: { logSegmentBytes: 150 } })
    for (const value of ["a", "b", "c"]) model.produce("orders", 0, batch([value]))
    assert.deepStrictEqual(values(model.fetch("orders", 0, 0, byName).response(), 0), ["a", "b"])
    assert.deepStrictEqual(values(model.fetch("orders", 0, 2, byName).response(), 2), ["c"])
  })

  it.each([
    ["before the log", "orders", 0, -1, {}, "OffsetOutOfRange"],
    ["past the end", "orders", 0, 7, {}, "OffsetOutOfRange"],
    ["an unknown topic", "nope", 0, 0, {}, "UnknownTopicOrPartition"],
    ["an unknown partition", "orders", 9, 0, {}, "UnknownTopicOrPartition"],
    ["an older leader's epoch", "orders", 0, 0, { currentLeaderEpoch: 0 }, "FencedLeaderEpoch"],
    ["a newer leader's epoch", "orders", 0, 0, { currentLeaderEpoch: 2 }, "UnknownLeaderEpoch"],
    ["the leader's epoch", "orders", 0, 0, { currentLeaderEpoch: 1 }, "None"]
  ])("answers for %s", (_, topic, partition, offset, options, error) => {
    const model = new Model({ brokers: 2, topics: { orders: 1 } })
    for (let index = 0; index < 6; index++) model.produce("orders", 0, batch(["a"]))
    model.cluster.setLeader("orders", 0, 2, 0)
    const response = model.fetch(topic, partition, offset, { ...byName, ...options, broker: 2 }).response()
    assert.strictEqual(partitionOf(response).error, error)
    if (error !== "None") assert.deepInclude(partitionOf(response), { highWatermark: -1, logStartOffset: -1 })
  })

  it("is served by every replica, and by no other broker", () => {
    const model = new Model({ brokers: 4, topics: { orders: 1 } })
    model.produce("orders", 0, batch(["a"]))
    const errors = [1, 2, 3, 4].map((broker) =>
      partitionOf(model.fetch("orders", 0, 0, { ...byName, broker }).response()).error
    )
    assert.deepStrictEqual(errors, ["None", "None", "None", "NotLeaderOrFollower"])
  })

  it("names the leader from version 16 on", () => {
    const model = new Model({ brokers: 4, topics: { orders: 1 } })
    const topicId = model.cluster.requireTopic("orders").id
    const response = model.ask(Fetch, {
      ...fetchRequest([]),
      topics: [{ topicId, partitions: [{ partition: 0, fetchOffset: 0, partitionMaxBytes: 1000 }] }]
    }, { version: 16, broker: 4 })
    assert.deepStrictEqual(partitionOf(response).currentLeader, { leaderId: 1, leaderEpoch: 0 })
    assert.deepStrictEqual(response.nodeEndpoints, [{ nodeId: 1, host: "b1", port: 9092, rack: null }])
  })

  it("lists no aborted transactions to readers of committed records", () => {
    const response = filled().fetch("orders", 0, 0, { ...byName, isolationLevel: 1 }).response()
    assert.deepStrictEqual(partitionOf(response).abortedTransactions, [])
  })
})

describe("a fetch session", () => {
  interface Wanted {
    readonly partition: number
    readonly fetchOffset: number
  }
  const fetch = (
    model: Model,
    sessionId: number,
    sessionEpoch: number,
    wanted: ReadonlyArray<Wanted> = [],
    forgotten: ReadonlyArray<number> = [],
    broker = 1
  ) =>
    model.ask(Fetch, {
      ...fetchRequest(wanted.map((each) => ({ topic: "orders", ...each }))),
      forgottenTopicsData: forgotten.length === 0 ? [] : [{ topic: "orders", partitions: [...forgotten] }],
      sessionId,
      sessionEpoch
    }, { ...byName, broker })
  const answered = ({ responses }: Response) =>
    responses.flatMap(({ partitions }) =>
      partitions.map(({ errorCode, highWatermark, partitionIndex, records }) =>
        `${partitionIndex}: ${errorName(errorCode)} ${records!.length > 0 ? "records" : "nothing"} of ${highWatermark}`
      )
    )
  const twoPartitions = [{ partition: 0, fetchOffset: 6 }, { partition: 1, fetchOffset: 0 }]

  it("begins by naming all, and tells what has changed from then on", () => {
    const model = filled()
    const first = fetch(model, 0, 0, twoPartitions)
    assert.isAbove(first.sessionId, 0)
    assert.deepStrictEqual(answered(first), ["0: None nothing of 6", "1: None nothing of 0"])
    const nothing = fetch(model, first.sessionId, 1)
    assert.deepStrictEqual([nothing.sessionId, answered(nothing)], [first.sessionId, []])
    model.produce("orders", 1, batch(["x"]))
    assert.deepStrictEqual(answered(fetch(model, first.sessionId, 2)), ["1: None records of 1"])
    // Of the old offset there is still something, of the new one not.
    assert.deepStrictEqual(answered(fetch(model, first.sessionId, 3)), ["1: None records of 1"])
    assert.deepStrictEqual(answered(fetch(model, first.sessionId, 4, [{ partition: 1, fetchOffset: 1 }])), [])
  })

  it("fetches nothing of what is forgotten, and ends when all is", () => {
    const model = filled()
    const { sessionId } = fetch(model, 0, 0, twoPartitions)
    model.produce("orders", 1, batch(["x"]))
    assert.deepStrictEqual(answered(fetch(model, sessionId, 1, [], [1])), [])
    assert.deepStrictEqual(
      answered(fetch(model, sessionId, 2, [{ partition: 1, fetchOffset: 1 }])),
      ["1: None nothing of 1"]
    )
    assert.strictEqual(fetch(model, sessionId, 3, [], [0, 1]).sessionId, 0)
    assert.strictEqual(errorName(fetch(model, sessionId, 4).errorCode), "FetchSessionIdNotFound")
  })

  it("is refused in another epoch, and where it is not known", () => {
    const model = new Model({ brokers: 2, topics: { orders: 2 } })
    const { sessionId } = fetch(model, 0, 0, [{ partition: 0, fetchOffset: 0 }])
    for (const epoch of [2, 5]) {
      assert.strictEqual(errorName(fetch(model, sessionId, epoch).errorCode), "InvalidFetchSessionEpoch")
    }
    assert.strictEqual(fetch(model, sessionId, 1).errorCode, 0)
    assert.strictEqual(errorName(fetch(model, sessionId, 1).errorCode), "InvalidFetchSessionEpoch")
    assert.strictEqual(errorName(fetch(model, sessionId + 1, 1).errorCode), "FetchSessionIdNotFound")
    model.cluster.stopBroker(1, 0)
    model.cluster.startBroker(1, 0)
    assert.strictEqual(errorName(fetch(model, sessionId, 2).errorCode), "FetchSessionIdNotFound")
  })

  it("is replaced by one that begins with its id, and ends with the last epoch", () => {
    const model = filled()
    const first = fetch(model, 0, 0, twoPartitions).sessionId
    const second = fetch(model, first, 0, twoPartitions).sessionId
    assert.notStrictEqual(second, first)
    assert.strictEqual(errorName(fetch(model, first, 1).errorCode), "FetchSessionIdNotFound")
    assert.strictEqual(fetch(model, second, -1, twoPartitions).sessionId, 0)
    assert.strictEqual(errorName(fetch(model, second, 1).errorCode), "FetchSessionIdNotFound")
  })

  it("tells again of a partition that had an error", () => {
    const model = new Model({ brokers: 2, topics: { orders: 1 } })
    const { sessionId } = fetch(model, 0, 0, [{ partition: 0, fetchOffset: 3 }])
    assert.deepStrictEqual(answered(fetch(model, sessionId, 1)), ["0: OffsetOutOfRange nothing of -1"])
    assert.deepStrictEqual(
      answered(fetch(model, sessionId, 2, [{ partition: 0, fetchOffset: 0 }])),
      ["0: None nothing of 0"]
    )
    assert.deepStrictEqual(answered(fetch(model, sessionId, 3)), [])
  })

  it("serves who had records last the next time", () => {
    const model = new Model({ topics: { orders: 3 } })
    for (const partition of [0, 1, 2]) model.produce("orders", partition, batch(["x"]))
    const all = [0, 1, 2].map((partition) => ({ partition, fetchOffset: 0 }))
    const { sessionId } = fetch(model, 0, 0, all)
    const one = () => {
      const { sessionEpoch, ...rest } = { sessionEpoch: ++epoch, ...fetchRequest([], { maxBytes: 1 }) }
      const response = model.ask(Fetch, { ...rest, sessionId, sessionEpoch }, byName)
      return answered(response).filter((line) => line.includes("records"))
    }
    let epoch = 0
    assert.deepStrictEqual(Array.from({ length: 4 }, one).flat().map((line) => line[0]), ["0", "1", "2", "0"])
  })

  it("is not to be had where a broker has no room for another, until one was not used for two minutes", () => {
    const model = new Model({ topics: { orders: 1 }, config: { maxFetchSessions: 1 } })
    const wanted = [{ partition: 0, fetchOffset: 0 }]
    const first = fetch(model, 0, 0, wanted).sessionId
    assert.strictEqual(fetch(model, 0, 0, wanted).sessionId, 0)
    model.pass(120_001)
    assert.isAbove(fetch(model, 0, 0, wanted).sessionId, first)
    assert.strictEqual(errorName(fetch(model, first, 1).errorCode), "FetchSessionIdNotFound")
  })
})

describe("a rack", () => {
  const racks = ["a", "b", "b"]
  const fetch = (model: Model, broker: number, fetchOffset = 0, rackId = "b") =>
    partitionOf(model.ask(
      Fetch,
      { ...fetchRequest([{ topic: "orders", partition: 0, fetchOffset }], { maxWaitMs: 1000 }), rackId },
      { ...byName, broker }
    ))

  it("is read in: the leader names the replica there that has most, and gives no records", () => {
    const model = new Model({ racks, topics: { orders: 1 }, config: { replicationDelayMs: 100 } })
    void model.sendBatch("orders", 0, batch(["x"]))
    model.pass(110)
    assert.deepInclude(fetch(model, 1), { error: "None", preferredReadReplica: 2, highWatermark: 0 })
    assert.strictEqual(fetch(model, 1).records!.length, 0)
    model.pass(500)
    const there = fetch(model, 2)
    assert.deepInclude(there, { error: "None", preferredReadReplica: -1, highWatermark: 1 })
    assert.isAbove(there.records!.length, 0)
  })

  it("is left where no replica there is in sync, or there is none", () => {
    const model = new Model({ racks, topics: { orders: 1 } })
    model.produce("orders", 0, batch(["x"]))
    assert.strictEqual(fetch(model, 1, 0, "c").preferredReadReplica, -1)
    assert.strictEqual(fetch(model, 1, 0, "a").preferredReadReplica, -1)
    model.cluster.stopBroker(2, 0)
    assert.strictEqual(fetch(model, 1).preferredReadReplica, 3)
    model.cluster.stopBroker(3, 0)
    assert.strictEqual(fetch(model, 1).preferredReadReplica, -1)
  })
})

describe("a long poll", () => {
  const waiting = { ...byName, maxWaitMs: 500 }

  it("ends when there is enough", () => {
    const model = new Model({ topics: { orders: 2 } })
    const fetch = model.fetch("orders", 0, 0, { ...waiting, minBytes: 100 })
    model.produce("orders", 1, batch(["elsewhere".repeat(20)]))
    assert.isTrue(fetch.isParked())
    model.produce("orders", 0, batch(["a"]))
    assert.isTrue(fetch.isParked())
    model.produce("orders", 0, batch(["b"]))
    assert.deepStrictEqual(values(fetch.response(), 0), ["a", "b"])
    assert.isUndefined(model.cluster.nextDeadline())
  })

  it("ends when its time is over, with what there is", () => {
    const model = new Model({ topics: { orders: 1 } })
    model.produce("orders", 0, batch(["a"]))
    const fetch = model.fetch("orders", 0, 0, { ...waiting, minBytes: 1000 })
    assert.strictEqual(model.cluster.nextDeadline(), 500)
    model.pass(499)
    assert.isTrue(fetch.isParked())
    model.pass(1)
    assert.deepStrictEqual(values(fetch.response(), 0), ["a"])
  })

  it("is not begun where there is enough, an error to tell, nothing to wait for or no time", () => {
    const model = filled()
    assert.isFalse(model.fetch("orders", 0, 0, waiting).isParked())
    assert.isFalse(model.fetch("orders", 0, 99, waiting).isParked())
    assert.isFalse(model.fetch("orders", 0, 6, { ...byName, maxWaitMs: 0 }).isParked())
    assert.isFalse(model.fetch("orders", 0, 6, { ...waiting, minBytes: 0 }).isParked())
    assert.isFalse(model.send(Fetch, fetchRequest([], waiting), byName).isParked())
  })

  it("does not wait for a segment that will not grow", () => {
    const model = new Model({ topics: { orders: 1 }, config: { logSegmentBytes: 100 } })
    model.produce("orders", 0, batch(["a"]))
    model.produce("orders", 0, batch(["b"]))
    const fetch = model.fetch("orders", 0, 0, { ...waiting, minBytes: 1000 })
    assert.deepStrictEqual(values(fetch.response(), 0), ["a"])
    assert.isUndefined(model.cluster.nextDeadline())
    assert.isTrue(model.fetch("orders", 0, 1, { ...waiting, minBytes: 1000 }).isParked())
  })

  it("ends when the leader changes, if that is an error to its client", () => {
    const model = new Model({ brokers: 2, topics: { orders: 1 } })
    const unaware = model.fetch("orders", 0, 0, waiting)
    const aware = model.fetch("orders", 0, 0, { ...waiting, currentLeaderEpoch: 0 })
    model.cluster.setLeader("orders", 0, 2, 0)
    assert.strictEqual(partitionOf(aware.response()).error, "FencedLeaderEpoch")
    assert.isTrue(unaware.isParked())
  })

  it("ends when the topic is deleted", () => {
    const model = new Model({ topics: { orders: 1 } })
    const fetch = model.fetch("orders", 0, 0, waiting)
    model.ask(DeleteTopics, { topics: [{ name: "orders" }], timeoutMs: 1000 })
    assert.strictEqual(partitionOf(fetch.response()).error, "UnknownTopicOrPartition")
  })

  it("leaves nothing behind when its client goes", () => {
    const model = new Model({ topics: { orders: 1 } })
    const fetch = model.fetch("orders", 0, 0, waiting)
    fetch.abandon()
    assert.isUndefined(model.cluster.nextDeadline())
    model.produce("orders", 0, batch(["a"]))
    assert.isTrue(fetch.isParked())
  })
})
