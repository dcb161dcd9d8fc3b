import { assert, describe, it } from "@effect/vitest"
import { Heartbeat } from "@sluice/kafka/internal/protocol/api/heartbeat"

import { errorName, Model, text } from "../support/model.ts"

const names = { protocolType: "consumer", protocolName: "range" }

/** A group whose leader and follower have just joined. */
const completing = (model: Model, options = {}) => {
  const { memberId: leader } = model.stableGroup("g", options)
  const { id: follower } = model.joinNew("g", options)
  assert.deepInclude(model.join("g", leader, options).response(), { generationId: 2 })
  return { leader, follower }
}

describe("SyncGroup", () => {
  it("gives everyone its part when the leader has sent them", () => {
    const model = new Model()
    const { follower, leader } = completing(model)
    const early = model.sync("g", follower, 2, {}, names)
    assert.isTrue(early.isParked())
    const sent = model.sync("g", leader, 2, { [leader]: "one", [follower]: "two" }, names).response()
    assert.deepInclude(sent, { errorCode: 0, ...names })
    assert.strictEqual(text(sent.assignment), "one")
    assert.strictEqual(text(early.response().assignment), "two")
    assert.strictEqual(text(model.sync("g", follower, 2, {}, names).response().assignment), "two")
  })

  it("gives nothing to members that the leader forgot", () => {
    const model = new Model()
    const { follower, leader } = completing(model)
    model.sync("g", leader, 2, { [leader]: "all" })
    assert.lengthOf(model.sync("g", follower, 2).response().assignment, 0)
  })

  it.each<[string, string, number, NonNullable<Parameters<Model["sync"]>[4]>, string]>([
    ["another generation", "leader", 1, names, "IllegalGeneration"],
    ["a stranger", "ghost", 2, names, "UnknownMemberId"],
    ["another protocol type", "leader", 2, { ...names, protocolType: "connect" }, "InconsistentGroupProtocol"],
    ["another protocol", "leader", 2, { ...names, protocolName: "sticky" }, "InconsistentGroupProtocol"],
    ["no protocol from version 5 on", "leader", 2, { version: 5 }, "InconsistentGroupProtocol"],
    ["no static member of that name", "leader", 2, { ...names, groupInstanceId: "me" }, "UnknownMemberId"]
  ])("refuses %s", (_, who, generation, options, error) => {
    const model = new Model()
    const { leader } = completing(model)
    const response = model.sync("g", who === "leader" ? leader : who, generation, {}, { version: 5, ...options })
    assert.strictEqual(errorName(response.response().errorCode), error)
  })

  it("refuses groups that are not there, or have no name", () => {
    const model = new Model()
    const ask = (groupId: string) => errorName(model.sync(groupId, "x", 1, {}, names).response().errorCode)
    assert.deepStrictEqual([ask("nope"), ask("")], ["UnknownMemberId", "InvalidGroupId"])
  })

  it("is cut short by a rebalance, and refused during it", () => {
    const model = new Model()
    const { follower, leader } = completing(model)
    const parked = model.sync("g", follower, 2, {}, names)
    model.joinNew("g")
    assert.strictEqual(errorName(parked.response().errorCode), "RebalanceInProgress")
    assert.strictEqual(errorName(model.sync("g", leader, 2, {}, names).response().errorCode), "RebalanceInProgress")
  })

  it("takes out members that do not ask for their part", () => {
    const model = new Model()
    const times = { sessionTimeoutMs: 60_000, rebalanceTimeoutMs: 8000 }
    const { follower, leader } = completing(model, times)
    model.sync("g", leader, 2, {}, names)
    const beat = (memberId: string) =>
      errorName(model.ask(Heartbeat, { groupId: "g", generationId: 2, memberId }).errorCode)
    model.pass(7999)
    assert.deepStrictEqual([beat(leader), beat(follower)], ["None", "None"])
    model.pass(1)
    assert.deepStrictEqual([beat(leader), beat(follower)], ["RebalanceInProgress", "UnknownMemberId"])
  })
})

describe("Heartbeat", () => {
  it("checks the group, the member and its generation", () => {
    const model = new Model()
    const { leader } = completing(model)
    const beat = (groupId: string, memberId: string, generationId: number, groupInstanceId: string | null = null) =>
      errorName(model.ask(Heartbeat, { groupId, memberId, generationId, groupInstanceId }).errorCode)
    assert.strictEqual(beat("g", leader, 2), "None")
    assert.strictEqual(beat("g", leader, 1), "IllegalGeneration")
    assert.strictEqual(beat("g", "ghost", 2), "UnknownMemberId")
    assert.strictEqual(beat("g", leader, 2, "static"), "UnknownMemberId")
    assert.strictEqual(beat("nope", leader, 2), "UnknownMemberId")
    assert.strictEqual(beat("", leader, 2), "InvalidGroupId")
  })
})
