import { assert, describe, it } from "@effect/vitest"
import { decodeRecords } from "@sluice/kafka/internal/kernel/records"
import { ListOffsets } from "@sluice/kafka/internal/protocol/api/listOffsets"
import { Produce } from "@sluice/kafka/internal/protocol/api/produce"
import { FastCheck } from "effect"

import type { ClusterConfig } from "../../src/internal/cluster/config.ts"
import { batch, errorName, Model, text } from "../support/model.ts"

const delay = 10

/** Three brokers with one partition that broker 1 leads; broker 2 is one delay behind it, broker 3 two. */
const replicated = (config: Partial<ClusterConfig> = {}, topicConfig: Record<string, string> = {}): Model => {
  const model = new Model({ brokers: 3, config: { replicationDelayMs: delay, ...config } })
  model.cluster.createTopic("orders", 1, topicConfig)
  return model
}

const partitionOf = (model: Model) => model.cluster.requirePartition("orders", 0)

const valuesIn = (model: Model): Array<string | null> =>
  Array.from(partitionOf(model).log.chunks()).flatMap((chunk) => chunk.records.map((record) => text(record.value)))

const send = (model: Model, value: string, options: Parameters<Model["sendBatch"]>[3] = {}) =>
  model.sendBatch("orders", 0, batch([value]), options)

/** One record of an idempotent producer. */
const sendInSequence = (model: Model, baseSequence: number, acks = -1) =>
  model.sendBatch("orders", 0, batch([`${baseSequence}`], { producerId: 7, producerEpoch: 0, baseSequence }), { acks })

const latest = (model: Model, broker = 1, timestamp = -1) => {
  const { errorCode, offset } = model.ask(ListOffsets, {
    replicaId: -1,
    isolationLevel: 0,
    timeoutMs: 1000,
    topics: [{ name: "orders", partitions: [{ partitionIndex: 0, timestamp }] }]
  }, { broker }).topics[0]!.partitions[0]!
  return errorCode === 0 ? offset : errorName(errorCode)
}

const fetchAt = (model: Model, offset: number, broker = 1, currentLeaderEpoch = -1) => {
  const response = model.fetch("orders", 0, offset, { broker, version: 12, currentLeaderEpoch }).response()
  const { errorCode, highWatermark, records } = response.responses[0]!.partitions[0]!
  const { chunks } = decodeRecords(records ?? new Uint8Array(0), { fetchOffset: offset })
  return {
    error: errorName(errorCode),
    highWatermark,
    values: chunks.flatMap((chunk) => chunk.records.map((record) => text(record.value)))
  }
}

describe("with fewer in-sync replicas than the topic wants", () => {
  it("nothing is committed, whatever the acks: consumers see it when there are enough again", () => {
    for (const replicationDelayMs of [0, delay]) {
      const model = replicated({ replicationDelayMs }, { "min.insync.replicas": "2" })
      model.cluster.stopBroker(2, model.now)
      model.cluster.stopBroker(3, model.now)
      assert.strictEqual(send(model, "a", { acks: 1 }).outcome(), 0)
      model.pass(delay)
      assert.deepStrictEqual(fetchAt(model, 0), { error: "None", highWatermark: 0, values: [] })
      model.cluster.startBroker(3, model.now)
      model.pass(2 * delay)
      assert.deepStrictEqual(fetchAt(model, 0), { error: "None", highWatermark: 1, values: ["a"] })
    }
  })

  it("followers that come back are in sync with what is committed, and have time to fetch the rest", () => {
    const model = replicated({}, { "min.insync.replicas": "2" })
    for (const broker of [1, 2]) model.cluster.brokerHangs(broker, model.now)
    model.pass(9000)
    assert.strictEqual(send(model, "a", { acks: 1 }).outcome(), 0)
    model.takeEvents()
    for (const broker of [1, 2]) model.cluster.brokerGoesOn(broker, model.now)
    model.pass(2 * delay)
    assert.deepStrictEqual(partitionOf(model).inSyncReplicas, [3, 1, 2])
    assert.lengthOf(model.takeEvents("InSyncReplicasChanged"), 2)
    assert.deepStrictEqual(fetchAt(model, 0, 3), { error: "None", highWatermark: 1, values: ["a"] })
  })
})

describe("a Produce with acks all", () => {
  it("is answered at once where followers are never behind", () => {
    const model = new Model({ brokers: 3, topics: { orders: 1 } })
    assert.strictEqual(send(model, "a").outcome(), 0)
    assert.strictEqual(partitionOf(model).highWatermark, 1)
    assert.isUndefined(model.cluster.nextDeadline())
  })

  it("waits for all in-sync replicas, and nothing is left then", () => {
    const model = replicated()
    const produced = send(model, "a")
    model.pass(2 * delay - 1)
    assert.isTrue(produced.isParked())
    model.pass(1)
    assert.deepInclude(produced.response(), { errorCode: 0, baseOffset: 0, logStartOffset: 0 })
    assert.isUndefined(model.cluster.nextDeadline())
  })

  it("takes as long for what comes while a fetch is under way: the next fetch brings it", () => {
    const model = replicated()
    const first = send(model, "a")
    model.pass(1)
    const second = send(model, "b")
    model.pass(2 * delay - 1)
    assert.deepStrictEqual([first.outcome(), second.outcome()], [0, "parked"])
    model.pass(2 * delay)
    assert.strictEqual(second.outcome(), 1)
  })

  it("does not hold up others: of the same producer neither", () => {
    const model = replicated()
    const produced = [0, 1, 2, 3, 4].map((sequence) => sendInSequence(model, sequence))
    assert.deepStrictEqual(produced.map((one) => one.outcome()), Array.from({ length: 5 }, () => "parked"))
    model.pass(4 * delay)
    assert.deepStrictEqual(produced.map((one) => one.outcome()), [0, 1, 2, 3, 4])
  })

  it("waits with a duplicate of a batch that is not committed yet, too", () => {
    const model = replicated()
    sendInSequence(model, 0)
    const duplicate = sendInSequence(model, 0)
    assert.isTrue(duplicate.isParked())
    model.pass(2 * delay)
    assert.strictEqual(duplicate.outcome(), 0)
    assert.deepStrictEqual(valuesIn(model), ["0"])
  })

  it("times out, and the record stays", () => {
    const model = replicated()
    const produced = send(model, "a", { timeoutMs: delay })
    model.pass(delay)
    assert.deepInclude(produced.response(), { errorCode: 7, baseOffset: 0 })
    model.pass(delay)
    assert.deepStrictEqual(fetchAt(model, 0), { error: "None", highWatermark: 1, values: ["a"] })
  })

  it("is not needed for acks 1 and 0", () => {
    const model = replicated()
    assert.strictEqual(send(model, "a", { acks: 1 }).outcome(), 0)
    assert.strictEqual(partitionOf(model).highWatermark, 0)
  })

  it("is refused when another broker leads: the record may be gone", () => {
    const model = replicated()
    const produced = send(model, "a")
    model.cluster.setLeader("orders", 0, 2, model.now)
    assert.deepInclude(produced.response(), { errorCode: 6, currentLeader: { leaderId: 2, leaderEpoch: 1 } })
    assert.deepStrictEqual(valuesIn(model), [])
  })

  it("is refused when its topic is deleted", () => {
    const model = replicated()
    const produced = send(model, "a")
    model.cluster.deleteTopic("orders")
    assert.strictEqual(produced.outcome(), "UnknownTopicOrPartition")
    assert.isUndefined(model.cluster.nextDeadline())
  })

  it("waits where too few replicas are in sync afterwards, until it times out or there are enough", () => {
    for (const isBackInTime of [true, false]) {
      const model = replicated({}, { "min.insync.replicas": "2" })
      const produced = send(model, "a")
      model.cluster.stopBroker(2, model.now)
      model.cluster.stopBroker(3, model.now)
      assert.strictEqual(send(model, "b").outcome(), "NotEnoughReplicas")
      model.pass(999)
      assert.isTrue(produced.isParked())
      if (isBackInTime) model.cluster.startBroker(2, model.now - delay)
      model.pass(1)
      assert.strictEqual(produced.outcome(), isBackInTime ? 0 : "RequestTimedOut")
      assert.deepStrictEqual(valuesIn(model), ["a"])
    }
  })

  it("does not need more in-sync replicas than there are replicas", () => {
    const model = new Model()
    model.cluster.createTopic("orders", 1, { "min.insync.replicas": "2" })
    assert.strictEqual(send(model, "a").outcome(), 0)
  })

  it("answers for all of its partitions together", () => {
    const model = new Model({ brokers: 1, topics: { orders: 1 }, config: { replicationDelayMs: delay } })
    model.cluster.createTopic("alone", 1)
    const three = new Model({ brokers: 3, config: { replicationDelayMs: delay } })
    three.cluster.createTopic("orders", 4)
    const body = (partitions: ReadonlyArray<number>) => ({
      acks: -1,
      timeoutMs: 1000,
      topicData: [{
        name: "orders",
        partitionData: partitions.map((index) => ({ index, records: batch(["a"]) }))
      }]
    })
    assert.isFalse(model.send(Produce, body([0])).isParked())
    const both = three.send(Produce, body([0, 1, 3]))
    three.pass(delay)
    three.cluster.setLeader("orders", 3, 2, three.now)
    assert.isTrue(both.isParked())
    three.pass(delay)
    const { partitionResponses } = both.response().responses[0]!
    assert.deepStrictEqual(partitionResponses.map(({ errorCode }) => errorName(errorCode)), [
      "None",
      "NotLeaderOrFollower",
      "NotLeaderOrFollower"
    ])
  })

  it("leaves nothing when its client goes", () => {
    const model = replicated()
    send(model, "a", { timeoutMs: 60_000 }).abandon()
    model.pass(2 * delay)
    assert.isUndefined(model.cluster.nextDeadline())
  })
})

describe("consumers", () => {
  it("see what is committed only", () => {
    const model = replicated()
    send(model, "a")
    model.pass(2 * delay)
    send(model, "b", { acks: 1 })
    assert.deepStrictEqual(fetchAt(model, 0), { error: "None", highWatermark: 1, values: ["a"] })
    assert.deepStrictEqual(fetchAt(model, 1), { error: "None", highWatermark: 1, values: [] })
    assert.deepStrictEqual(fetchAt(model, 2), { error: "None", highWatermark: 1, values: [] })
    assert.strictEqual(fetchAt(model, 3).error, "OffsetOutOfRange")
    assert.strictEqual(latest(model), 1)
    assert.strictEqual(latest(model, 1, 1000), 0)
    model.pass(2 * delay)
    assert.deepStrictEqual(fetchAt(model, 1), { error: "None", highWatermark: 2, values: ["b"] })
    assert.strictEqual(latest(model), 2)
  })

  it("that wait for more get it when it is committed", () => {
    const model = replicated()
    const parked = model.fetch("orders", 0, 0, { version: 12, maxWaitMs: 1000 })
    send(model, "a", { acks: 1 })
    model.pass(2 * delay - 1)
    assert.isTrue(parked.isParked())
    model.pass(1)
    assert.strictEqual(parked.response().responses[0]!.partitions[0]!.highWatermark, 1)
  })

  it("of a follower see what it has", () => {
    const model = replicated()
    model.cluster.brokerHangs(3, 0)
    send(model, "a", { acks: 1 })
    model.pass(10_000)
    model.cluster.brokerGoesOn(3, model.now)
    assert.strictEqual(fetchAt(model, 0, 2).highWatermark, 1)
    assert.deepStrictEqual(fetchAt(model, 0, 3), { error: "None", highWatermark: 0, values: [] })
    assert.strictEqual(fetchAt(model, 1, 3).error, "OffsetOutOfRange")
  })

  it("do not learn the end from a new leader before it has committed what it began with", () => {
    const model = replicated()
    send(model, "a", { acks: 1 })
    model.pass(delay)
    model.cluster.setLeader("orders", 0, 2, model.now)
    assert.deepStrictEqual(valuesIn(model), ["a"])
    assert.strictEqual(latest(model, 2), "OffsetNotAvailable")
    assert.strictEqual(latest(model, 2, 1000), "OffsetNotAvailable")
    assert.strictEqual(latest(model, 2, -2), 0)
    model.pass(2 * delay)
    assert.strictEqual(latest(model, 2), 1)
  })
})

describe("a new leader", () => {
  it("cuts the log down to what it has", () => {
    const model = replicated()
    send(model, "a")
    model.pass(delay)
    send(model, "b", { acks: 1 })
    model.takeEvents()
    model.cluster.stopBroker(1, model.now)
    assert.deepStrictEqual(valuesIn(model), ["a"])
    assert.deepStrictEqual(model.takeEvents("Truncated", "LeaderChanged", "InSyncReplicasChanged", "BrokerFenced"), [
      { _tag: "BrokerFenced", broker: 1, now: delay },
      { _tag: "InSyncReplicasChanged", topic: "orders", partition: 0, inSyncReplicas: [2, 3], now: delay },
      { _tag: "LeaderChanged", topic: "orders", partition: 0, leader: 2, leaderEpoch: 1, now: delay },
      { _tag: "Truncated", topic: "orders", partition: 0, offset: 1, now: delay }
    ])
    assert.strictEqual(partitionOf(model).endOffsetOf(1), 1)
    assert.strictEqual(fetchAt(model, 2, 2).error, "OffsetOutOfRange")
    assert.strictEqual(fetchAt(model, 0, 2, 0).error, "FencedLeaderEpoch")
    const next = send(model, "c")
    model.pass(4 * delay)
    assert.strictEqual(next.outcome(), 1)
    assert.deepStrictEqual(fetchAt(model, 0, 2).values, ["a", "c"])
  })

  it("keeps what it has, though it was not committed", () => {
    const model = replicated()
    const produced = send(model, "a")
    model.pass(delay)
    model.cluster.stopBroker(1, model.now)
    assert.strictEqual(produced.outcome(), "NotLeaderOrFollower")
    assert.deepStrictEqual(model.takeEvents("Truncated"), [])
    model.pass(2 * delay)
    assert.deepStrictEqual(fetchAt(model, 0, 2).values, ["a"])
  })

  it("takes a batch again that is gone, and knows one that is not", () => {
    const model = replicated()
    sendInSequence(model, 0)
    model.pass(delay)
    const lost = sendInSequence(model, 1)
    model.cluster.setLeader("orders", 0, 2, model.now)
    assert.strictEqual(lost.outcome(), "NotLeaderOrFollower")
    assert.deepStrictEqual(valuesIn(model), ["0"])
    const [again, retried] = [sendInSequence(model, 0), sendInSequence(model, 1)]
    model.pass(4 * delay)
    assert.deepStrictEqual([again.outcome(), retried.outcome()], [0, 1])
    assert.deepStrictEqual(valuesIn(model), ["0", "1"])
  })

  it("knows the five batches before those that are gone", () => {
    const model = replicated()
    for (let sequence = 0; sequence < 6; sequence++) sendInSequence(model, sequence, 1)
    model.pass(2 * delay)
    for (let sequence = 6; sequence < 12; sequence++) sendInSequence(model, sequence, 1)
    model.cluster.setLeader("orders", 0, 2, model.now)
    assert.strictEqual(partitionOf(model).log.endOffset, 6)
    assert.deepStrictEqual([0, 1, 2, 3, 4, 5, 7, 6].map((sequence) => sendInSequence(model, sequence, 1).outcome()), [
      "OutOfOrderSequenceNumber",
      1,
      2,
      3,
      4,
      5,
      "OutOfOrderSequenceNumber",
      6
    ])
  })

  it("knows nothing of a producer whose batches are all gone", () => {
    const model = replicated()
    sendInSequence(model, 0, 1)
    model.cluster.setLeader("orders", 0, 2, model.now)
    assert.deepStrictEqual(valuesIn(model), [])
    assert.strictEqual(sendInSequence(model, 0, 1).outcome(), 0)
  })

  it("goes on in the epoch of a producer that was the last before", () => {
    const model = replicated()
    sendInSequence(model, 0, 1)
    model.pass(delay)
    const raised = batch(["new epoch"], { producerId: 7, producerEpoch: 1, baseSequence: 0 })
    model.sendBatch("orders", 0, raised, { acks: 1 })
    assert.strictEqual(sendInSequence(model, 1, 1).outcome(), "InvalidProducerEpoch")
    model.cluster.setLeader("orders", 0, 2, model.now)
    assert.strictEqual(sendInSequence(model, 1, 1).outcome(), 1)
  })
})

describe("in sync", () => {
  it("is not who lags, and again who has caught up while the log grows", () => {
    const model = replicated({ brokerSessionTimeoutMs: 1_000_000 })
    model.cluster.brokerHangs(3, 0)
    const produced = send(model, "a", { timeoutMs: 100_000 })
    model.pass(30_000)
    assert.isTrue(produced.isParked())
    assert.deepStrictEqual(model.takeEvents("InSyncReplicasChanged"), [])
    model.pass(1)
    assert.strictEqual(produced.outcome(), 0)
    assert.deepStrictEqual(model.takeEvents("InSyncReplicasChanged"), [
      { _tag: "InSyncReplicasChanged", topic: "orders", partition: 0, inSyncReplicas: [1, 2], now: 30_001 }
    ])
    model.cluster.brokerGoesOn(3, model.now)
    for (let time = 0; time < 10 * delay; time++) {
      send(model, `${time}`, { acks: 1 })
      model.pass(1)
    }
    assert.deepStrictEqual(partitionOf(model).inSyncReplicas, [1, 2, 3])
    model.pass(4 * delay)
    assert.strictEqual(partitionOf(model).highWatermark, partitionOf(model).log.endOffset)
    assert.isUndefined(model.takeEvents("InSyncReplicasChanged")[1])
  })

  it("stays who hangs while nothing is written, and not for long when something is", () => {
    const model = replicated({ brokerSessionTimeoutMs: 1_000_000 })
    model.cluster.brokerHangs(3, 0)
    model.pass(100_000)
    assert.deepStrictEqual(partitionOf(model).inSyncReplicas, [1, 2, 3])
    const produced = send(model, "a")
    assert.deepStrictEqual(partitionOf(model).inSyncReplicas, [1, 2])
    model.pass(delay)
    assert.strictEqual(produced.outcome(), 0)
  })

  it("is who has caught up, though no other follower holds the high watermark back", () => {
    const model = new Model({ brokers: 2, config: { replicationDelayMs: delay }, topics: { orders: 1 } })
    model.cluster.stopBroker(2, 0)
    send(model, "a")
    model.cluster.startBroker(2, 0)
    for (let time = 0; time < 3 * delay; time++) {
      send(model, `${time}`, { acks: 1 })
      model.pass(1)
    }
    assert.deepStrictEqual(partitionOf(model).inSyncReplicas, [1, 2])
  })

  it("stays a follower of a new leader for the whole time that it may lag", () => {
    const model = replicated({ brokerSessionTimeoutMs: 1_000_000 })
    model.cluster.brokerHangs(3, 0)
    send(model, "a")
    model.pass(29_000)
    model.cluster.setLeader("orders", 0, 2, model.now)
    model.pass(30_000)
    assert.deepStrictEqual(partitionOf(model).inSyncReplicas, [1, 2, 3])
    model.pass(1)
    assert.deepStrictEqual(partitionOf(model).inSyncReplicas, [1, 2])
  })

  it("is not who lacks what a new leader began with", () => {
    const model = new Model({ brokers: 4, config: { replicationDelayMs: delay, defaultReplicationFactor: 4 } })
    model.cluster.createTopic("orders", 1)
    model.cluster.stopBroker(4, 0)
    send(model, "a", { acks: 1 })
    model.pass(delay)
    model.cluster.setLeader("orders", 0, 2, model.now)
    model.cluster.startBroker(4, model.now)
    assert.strictEqual(partitionOf(model).highWatermark, 0)
    assert.deepStrictEqual(partitionOf(model).inSyncReplicas, [1, 2, 3])
    model.pass(3 * delay)
    assert.deepStrictEqual(partitionOf(model).inSyncReplicas, [1, 2, 3, 4])
  })

  it("stays who hangs for as long as it may lag from then on", () => {
    const model = replicated({ brokerSessionTimeoutMs: 1_000_000 })
    model.pass(100_000)
    model.cluster.brokerHangs(3, model.now)
    model.pass(10_000)
    send(model, "a")
    model.pass(20_000)
    assert.deepStrictEqual(partitionOf(model).inSyncReplicas, [1, 2, 3])
    model.pass(1)
    assert.deepStrictEqual(partitionOf(model).inSyncReplicas, [1, 2])
  })

  it("is a broker that comes back when it has all that is committed", () => {
    const model = replicated()
    model.cluster.stopBroker(3, 0)
    send(model, "a")
    model.pass(delay)
    model.cluster.startBroker(3, model.now)
    assert.deepStrictEqual(partitionOf(model).inSyncReplicas, [1, 2])
    model.pass(2 * delay)
    assert.deepStrictEqual(partitionOf(model).inSyncReplicas, [1, 2, 3])
  })
})

interface Step {
  readonly kind: "all" | "leader" | "again" | "pass" | "stop" | "start" | "hang" | "goOn" | "move"
  readonly broker: number
  readonly ms: number
}

const steps = FastCheck.array(
  FastCheck.record<Step>({
    kind: FastCheck.constantFrom<Step["kind"]>(
      "all",
      "all",
      "all",
      "leader",
      "again",
      "pass",
      "pass",
      "pass",
      "stop",
      "start",
      "hang",
      "goOn",
      "move"
    ),
    broker: FastCheck.integer({ min: 1, max: 3 }),
    ms: FastCheck.oneof(FastCheck.integer({ min: 1, max: 40 }), FastCheck.constant(5000))
  }),
  { maxLength: 80 }
)

describe("whatever happens", () => {
  it.prop("what is acknowledged to acks all stays, nothing is there twice, and the high watermark never goes back", {
    script: steps,
    replicationDelayMs: FastCheck.constantFrom(0, 3, 10),
    minInsyncReplicas: FastCheck.integer({ min: 1, max: 3 })
  }, ({ minInsyncReplicas, replicationDelayMs, script }) => {
    const model = replicated(
      { replicationDelayMs, brokerSessionTimeoutMs: 4000, replicaLagTimeMaxMs: 3000 },
      { "min.insync.replicas": `${minInsyncReplicas}` }
    )
    const partition = partitionOf(model)
    // As an idempotent producer with one batch at a time: the next when this one is acknowledged.
    let sequence = 0
    let pending: ReturnType<typeof sendInSequence> | undefined
    const acknowledged = new Map<number, string>()
    const settle = () => {
      const outcome = pending?.outcome()
      if (outcome === undefined || outcome === "parked") return
      pending = undefined
      if (typeof outcome !== "number") return
      acknowledged.set(outcome, `${sequence}`)
      sequence++
    }
    const hung = new Set<number>()
    const sendNext = () => {
      settle()
      const leader = model.cluster.leaderOf("orders", 0)
      if (pending === undefined && leader !== undefined && !hung.has(leader)) pending = sendInSequence(model, sequence)
    }
    let highWatermark = 0
    const check = () => {
      settle()
      assert.isAtLeast(partition.highWatermark, highWatermark)
      highWatermark = partition.highWatermark
      assert.isAtMost(highWatermark, partition.log.endOffset)
      for (const id of partition.replicas) assert.isAtMost(partition.endOffsetOf(id), partition.log.endOffset)
      for (const id of partition.inSyncReplicas) assert.isAtLeast(partition.endOffsetOf(id), highWatermark)
      const values = valuesIn(model)
      for (const [offset, value] of acknowledged) {
        assert.strictEqual(values[offset], value)
        assert.isBelow(offset, highWatermark)
      }
      const ofProducer = values.filter((value) => value !== "other")
      assert.deepStrictEqual(ofProducer, ofProducer.map((_, index) => `${index}`))
    }
    const run = ({ broker, kind, ms }: Step) => {
      switch (kind) {
        case "all":
          return sendNext()
        case "again":
          pending?.abandon()
          pending = undefined
          return sendNext()
        case "leader": {
          const leader = model.cluster.leaderOf("orders", 0)
          if (leader !== undefined && !hung.has(leader)) send(model, "other", { acks: 1 })
          return
        }
        case "pass":
          return model.pass(ms)
        case "stop":
          hung.delete(broker)
          return model.cluster.stopBroker(broker, model.now)
        case "start":
          return model.cluster.startBroker(broker, model.now)
        case "hang":
          if (model.cluster.requireBroker(broker).alive) hung.add(broker)
          return model.cluster.brokerHangs(broker, model.now)
        case "goOn":
          hung.delete(broker)
          return model.cluster.brokerGoesOn(broker, model.now)
        case "move":
          model.cluster.setLeader("orders", 0, undefined, model.now)
      }
    }
    for (const step of script) {
      run(step)
      check()
    }
    for (const broker of [1, 2, 3]) {
      model.cluster.startBroker(broker, model.now)
      model.cluster.brokerGoesOn(broker, model.now)
    }
    hung.clear()
    model.pass(20_000)
    sendNext()
    model.pass(20_000)
    sendNext()
    model.pass(20_000)
    check()
    assert.sameMembers([...partition.inSyncReplicas], [1, 2, 3])
    assert.strictEqual(partition.highWatermark, partition.log.endOffset)
    assert.isUndefined(model.cluster.nextDeadline())
  }, { fastCheck: { numRuns: 300 } })
})
