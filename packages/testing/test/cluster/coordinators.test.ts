import { assert, describe, it } from "@effect/vitest"
import { FindCoordinator } from "@sluice/kafka/internal/protocol/api/findCoordinator"
import { Heartbeat } from "@sluice/kafka/internal/protocol/api/heartbeat"
import { LeaveGroup } from "@sluice/kafka/internal/protocol/api/leaveGroup"
import { OffsetCommit } from "@sluice/kafka/internal/protocol/api/offsetCommit"
import { OffsetFetch } from "@sluice/kafka/internal/protocol/api/offsetFetch"

import { errorName, Model } from "../support/model.ts"

const commit = (model: Model, broker: number, memberId: string) =>
  model.ask(OffsetCommit, {
    groupId: "g",
    memberId,
    generationIdOrMemberEpoch: 1,
    topics: [{ name: "orders", partitions: [{ partitionIndex: 0, committedOffset: 4, committedMetadata: null }] }]
  }, { broker }).topics[0]!.partitions[0]!.errorCode

const beat = (model: Model, broker: number, memberId: string) =>
  model.ask(Heartbeat, { groupId: "g", generationId: 1, memberId }, { broker }).errorCode

const fetchOffsets = (model: Model, broker: number) =>
  model.ask(OffsetFetch, { groups: [{ groupId: "g", topics: null }] }, { broker }).groups[0]!

describe("moving a coordinator", () => {
  it("goes to a broker, or to the next that runs", () => {
    const model = new Model({ brokers: 3, topics: { orders: 1 } })
    model.stableGroup("g", { broker: 1 })
    model.takeEvents()
    assert.isTrue(model.cluster.moveCoordinator("g", 3, 5))
    assert.isFalse(model.cluster.moveCoordinator("g", 3, 5))
    assert.strictEqual(model.cluster.coordinatorOf("g"), 3)
    model.cluster.stopBroker(1, 6)
    assert.isTrue(model.cluster.moveCoordinator("g", undefined, 7))
    assert.strictEqual(model.cluster.coordinatorOf("g"), 2)
    assert.deepStrictEqual(model.takeEvents("CoordinatorMoved"), [
      { _tag: "CoordinatorMoved", group: "g", broker: 3, now: 5 },
      { _tag: "CoordinatorMoved", group: "g", broker: 2, now: 7 }
    ])
  })

  it("does nothing where there is no other", () => {
    const model = new Model({ brokers: 2 })
    const coordinator = model.cluster.coordinatorOf("g")!
    model.cluster.stopBroker(3 - coordinator, 0)
    assert.isFalse(model.cluster.moveCoordinator("g", undefined, 0))
    assert.throws(() => model.cluster.moveCoordinator("g", 3 - coordinator, 0), /does not run/)
    model.cluster.stopBroker(coordinator, 0)
    assert.isUndefined(model.cluster.coordinatorOf("g"))
    const { coordinators } = model.ask(FindCoordinator, { keyType: 0, coordinatorKeys: ["g"] })
    assert.strictEqual(errorName(coordinators[0]!.errorCode), "CoordinatorNotAvailable")
  })

  it("leaves the members alone while there is none", () => {
    const model = new Model()
    const { memberId } = model.stableGroup("g", { sessionTimeoutMs: 10_000 })
    model.cluster.stopBroker(1, 0)
    assert.isUndefined(model.cluster.nextDeadline())
    model.pass(60_000)
    model.cluster.startBroker(1, model.now)
    model.pass(9999)
    assert.strictEqual(beat(model, 1, memberId), 0)
    assert.deepStrictEqual(model.takeEvents("CoordinatorMoved", "MemberExpelled").map((event) => event.now), [
      0,
      60_000
    ])
  })

  it("is not sent to a broker that hangs", () => {
    const model = new Model({ brokers: 3 })
    model.cluster.brokerHangs(2, 0)
    assert.isTrue(model.cluster.moveCoordinator("g", undefined, 0))
    assert.strictEqual(model.cluster.coordinatorOf("g"), 3)
  })
})

describe("a coordinator that is still loading", () => {
  const loading = () => {
    const model = new Model({ brokers: 2, topics: { orders: 1 }, config: { coordinatorLoadMs: 2000 } })
    const from = model.cluster.coordinatorOf("g")!
    const { memberId } = model.stableGroup("g", { broker: from, sessionTimeoutMs: 10_000 })
    assert.strictEqual(commit(model, from, memberId), 0)
    model.pass(9000)
    const broker = 3 - from
    model.cluster.moveCoordinator("g", broker, model.now)
    return { broker, memberId, model }
  }

  it("says so, but for a heartbeat, which it takes blindly", () => {
    const { broker, memberId, model } = loading()
    const errors = () =>
      [
        model.join("g", memberId, { broker }).response().errorCode,
        model.sync("g", memberId, 1, {}, { broker, protocolType: "consumer", protocolName: "range" }).response()
          .errorCode,
        model.ask(LeaveGroup, { groupId: "g", members: [] }, { broker }).errorCode,
        commit(model, broker, memberId),
        fetchOffsets(model, broker).errorCode
      ].map(errorName)
    assert.deepStrictEqual(errors(), Array.from({ length: 5 }, () => "CoordinatorLoadInProgress"))
    assert.strictEqual(beat(model, broker, memberId), 0)
    model.pass(1999)
    assert.strictEqual(errorName(commit(model, broker, memberId)), "CoordinatorLoadInProgress")
    model.pass(1)
    assert.strictEqual(commit(model, broker, memberId), 0)
    assert.strictEqual(fetchOffsets(model, broker).topics[0]!.partitions[0]!.committedOffset, 4)
  })

  it("gives the members their whole session from then on", () => {
    const { broker, memberId, model } = loading()
    model.pass(2000 + 9999)
    assert.strictEqual(beat(model, broker, memberId), 0)
    model.pass(10_000)
    assert.strictEqual(errorName(beat(model, broker, memberId)), "UnknownMemberId")
    assert.deepStrictEqual(model.takeEvents("MemberExpelled").map((event) => event.now), [9000 + 2000 + 9999 + 10_000])
  })
})

describe("what a group goes through", () => {
  it("is told: generations, and who was put out why", () => {
    const model = new Model()
    const first = model.stableGroup("g", { sessionTimeoutMs: 10_000, rebalanceTimeoutMs: 20_000 }).memberId
    const second = model.joinNew("g", { sessionTimeoutMs: 60_000, rebalanceTimeoutMs: 20_000 }).id
    // The first does not join again: its session ends.
    model.pass(10_000)
    assert.deepStrictEqual(model.takeEvents("GenerationBegan", "MemberExpelled"), [
      { _tag: "GenerationBegan", group: "g", generation: 1, members: [first], now: 0 },
      { _tag: "MemberExpelled", group: "g", member: first, why: "session", now: 10_000 },
      { _tag: "GenerationBegan", group: "g", generation: 2, members: [second], now: 10_000 }
    ])
    // The second does not sync.
    model.pass(20_000)
    assert.deepStrictEqual(model.takeEvents("GenerationBegan", "MemberExpelled"), [
      { _tag: "MemberExpelled", group: "g", member: second, why: "sync", now: 30_000 },
      { _tag: "GenerationBegan", group: "g", generation: 3, members: [], now: 30_000 }
    ])
    // One that sends heartbeats and does not join is waited for as long as a rebalance may take.
    const third = model.stableGroup("g", { sessionTimeoutMs: 60_000, rebalanceTimeoutMs: 20_000 }).memberId
    const fourth = model.joinNew("g", { sessionTimeoutMs: 60_000, rebalanceTimeoutMs: 20_000 }).id
    model.takeEvents()
    model.pass(20_000)
    assert.deepStrictEqual(model.takeEvents("GenerationBegan", "MemberExpelled"), [
      { _tag: "MemberExpelled", group: "g", member: third, why: "join", now: 50_000 },
      { _tag: "GenerationBegan", group: "g", generation: 5, members: [fourth], now: 50_000 }
    ])
  })
})
