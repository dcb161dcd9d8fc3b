import { assert, describe, it } from "@effect/vitest"
import { Heartbeat } from "@sluice/kafka/internal/protocol/api/heartbeat"
import { LeaveGroup } from "@sluice/kafka/internal/protocol/api/leaveGroup"

import { errorName, Model, text } from "../support/model.ts"

const heartbeat = (model: Model, memberId: string, generationId: number, groupId = "g") =>
  errorName(model.ask(Heartbeat, { groupId, generationId, memberId }).errorCode)

const leave = (model: Model, ...memberIds: ReadonlyArray<string>) => {
  const { errorCode, members } = model.ask(LeaveGroup, {
    groupId: "g",
    members: memberIds.map((memberId) => ({ memberId }))
  })
  return [errorName(errorCode), ...members.map((member) => errorName(member.errorCode))]
}

describe("JoinGroup", () => {
  it("first gives a new member its id, which begins with the client's", () => {
    const model = new Model()
    const refused = model.join("g", "", { clientId: "billing" }).response()
    assert.strictEqual(errorName(refused.errorCode), "MemberIdRequired")
    assert.match(refused.memberId, /^billing-/)
    const { error, ...joined } = { error: 0, ...model.join("g", refused.memberId).response() }
    assert.strictEqual(error, 0)
    assert.deepInclude(joined, {
      errorCode: 0,
      generationId: 1,
      protocolType: "consumer",
      protocolName: "range",
      leader: refused.memberId,
      memberId: refused.memberId,
      skipAssignment: false
    })
    assert.deepStrictEqual(
      joined.members.map((member) => [member.memberId, member.groupInstanceId, text(member.metadata)]),
      [[refused.memberId, null, "v1"]]
    )
  })

  it.each<[string, Parameters<Model["join"]>, string]>([
    ["no group id", ["", ""], "InvalidGroupId"],
    ["a session that is too short", ["g", "", { sessionTimeoutMs: 5999 }], "InvalidSessionTimeout"],
    ["a session that is too long", ["g", "", { sessionTimeoutMs: 1_800_001 }], "InvalidSessionTimeout"],
    ["no protocol", ["g", "", { protocols: {} }], "InconsistentGroupProtocol"],
    ["no protocol type", ["g", "", { protocolType: "" }], "InconsistentGroupProtocol"],
    ["an id that nobody gave", ["g", "made-up"], "UnknownMemberId"],
    ["no common protocol", ["full", "", { protocols: { sticky: "x" } }], "InconsistentGroupProtocol"],
    ["another protocol type", ["full", "", { protocolType: "connect" }], "InconsistentGroupProtocol"],
    ["an id that is not of this group", ["full", "made-up"], "UnknownMemberId"]
  ])("refuses %s", (_, join, error) => {
    const model = new Model()
    model.stableGroup("full")
    const response = model.join(...join).response()
    assert.strictEqual(errorName(response.errorCode), error)
    assert.deepInclude(response, { generationId: -1, memberId: join[1]!, members: [] })
  })

  it("waits for all members, and tells the leader alone who they are", () => {
    const model = new Model()
    const { memberId: one } = model.stableGroup("g")
    const { id: other, join } = model.joinNew("g", { protocols: { range: "v2" } })
    assert.isTrue(join.isParked())
    assert.strictEqual(heartbeat(model, one, 1), "RebalanceInProgress")
    const leader = model.join("g", one).response()
    assert.deepInclude(leader, { errorCode: 0, generationId: 2, leader: one, memberId: one })
    assert.deepStrictEqual(leader.members.map((member) => [member.memberId, text(member.metadata)]), [
      [one, "v1"],
      [other, "v2"]
    ])
    assert.deepInclude(join.response(), { errorCode: 0, generationId: 2, leader: one, memberId: other })
    assert.deepStrictEqual(join.response().members, [])
  })

  it("lets the members choose: of the protocols that all know, the one that most prefer", () => {
    const model = new Model()
    const protocols = { a: "1", b: "1", c: "1" }
    const { memberId } = model.stableGroup("g", { protocols })
    const second = model.joinNew("g", { protocols: { c: "2", b: "2" } })
    const third = model.joinNew("g", { protocols: { c: "3", b: "3", d: "3" } })
    const leader = model.join("g", memberId, { protocols }).response()
    assert.strictEqual(leader.protocolName, "c")
    assert.deepStrictEqual(leader.members.map((member) => text(member.metadata)), ["1", "2", "3"])
    assert.deepStrictEqual([second, third].map(({ join }) => join.response().protocolName), ["c", "c"])
  })

  it("begins the next generation without who has not come in time", () => {
    const model = new Model()
    const { memberId: late } = model.stableGroup("g", { rebalanceTimeoutMs: 8000, sessionTimeoutMs: 20_000 })
    const { id, join } = model.joinNew("g", { rebalanceTimeoutMs: 5000 })
    model.pass(7999)
    assert.isTrue(join.isParked())
    model.pass(1)
    assert.deepInclude(join.response(), { generationId: 2, leader: id })
    assert.lengthOf(join.response().members, 1)
    assert.strictEqual(heartbeat(model, late, 1), "UnknownMemberId")
  })

  it("waits for ids that were given out, until they join, leave or their session ends", () => {
    const model = new Model()
    const { memberId } = model.stableGroup("g", { sessionTimeoutMs: 60_000 })
    const pending = model.join("g", "", { sessionTimeoutMs: 6000 }).response().memberId
    const again = model.join("g", memberId, { sessionTimeoutMs: 60_000 })
    assert.isTrue(again.isParked())
    model.pass(6000)
    assert.deepInclude(again.response(), { generationId: 2 })
    assert.strictEqual(errorName(model.join("g", pending).response().errorCode), "UnknownMemberId")

    model.sync("g", memberId, 2)
    const other = model.join("g", "").response().memberId
    const third = model.join("g", memberId, { sessionTimeoutMs: 60_000 })
    assert.isTrue(third.isParked())
    assert.deepStrictEqual(leave(model, other), ["None", "None"])
    assert.deepInclude(third.response(), { generationId: 3 })
  })

  it("gives a member that asks again what it may have missed", () => {
    const model = new Model()
    const { id, join } = model.joinNew("g")
    assert.deepStrictEqual(model.join("g", id).response(), join.response())
  })

  it("rebalances when a member changes, or the leader wants to", () => {
    const model = new Model()
    const { memberId: leader } = model.stableGroup("g")
    const { id: follower } = model.joinNew("g")
    model.join("g", leader)
    model.sync("g", leader, 2)
    const unchanged = model.join("g", follower).response()
    assert.deepInclude(unchanged, { errorCode: 0, generationId: 2, members: [] })
    const changed = model.join("g", follower, { protocols: { range: "v2" } })
    assert.isTrue(changed.isParked())
    assert.isFalse(model.join("g", leader).isParked())
    assert.deepInclude(changed.response(), { generationId: 3 })
    model.sync("g", leader, 3)
    const wanted = model.join("g", leader)
    assert.isTrue(wanted.isParked())
    assert.strictEqual(heartbeat(model, follower, 3), "RebalanceInProgress")
    assert.deepInclude(model.join("g", follower, { protocols: { range: "v2" } }).response(), { generationId: 4 })
    assert.deepInclude(wanted.response(), { generationId: 4, leader })
  })

  it("ends a new member's wait after five minutes: its client may be gone", () => {
    const model = new Model()
    const long = { sessionTimeoutMs: 1_000_000, rebalanceTimeoutMs: 1_000_000 }
    model.stableGroup("g", long)
    const { join } = model.joinNew("g", { rebalanceTimeoutMs: 1000 })
    model.pass(299_999)
    assert.isTrue(join.isParked())
    model.pass(1)
    assert.deepInclude(join.response(), { errorCode: 25, memberId: "" })
  })

  it("delays the first generation of a group, if it is told to, as long as members come", () => {
    const model = new Model({ config: { groupInitialRebalanceDelayMs: 3000 } })
    const first = model.joinNew("g", { rebalanceTimeoutMs: 7000 })
    model.pass(2000)
    const second = model.joinNew("g", { rebalanceTimeoutMs: 7000 })
    model.pass(1000)
    assert.isTrue(first.join.isParked())
    model.pass(3000)
    assert.lengthOf(first.join.response().members, 2)
    assert.deepInclude(second.join.response(), { generationId: 1, leader: first.id })
  })
})

describe("a member's session", () => {
  it("ends without heartbeats", () => {
    const model = new Model()
    const { memberId } = model.stableGroup("g", { sessionTimeoutMs: 6000 })
    model.pass(5999)
    assert.strictEqual(heartbeat(model, memberId, 1), "None")
    model.pass(5999)
    assert.strictEqual(heartbeat(model, memberId, 1), "None")
    model.pass(6000)
    assert.strictEqual(heartbeat(model, memberId, 1), "UnknownMemberId")
    assert.isUndefined(model.cluster.nextDeadline())
  })

  it("does not end while it waits for an answer", () => {
    const model = new Model()
    const slow = { sessionTimeoutMs: 20_000, rebalanceTimeoutMs: 20_000 }
    const { memberId: leader } = model.stableGroup("g", slow)
    const { id, join } = model.joinNew("g", { sessionTimeoutMs: 6000 })
    model.pass(10_000)
    assert.isTrue(join.isParked())
    model.join("g", leader, slow)
    const sync = model.sync("g", id, 2)
    model.pass(10_000)
    assert.isTrue(sync.isParked())
    model.sync("g", leader, 2, { [id]: "mine" })
    assert.strictEqual(text(sync.response().assignment), "mine")
    model.pass(6000)
    assert.strictEqual(heartbeat(model, id, 2), "UnknownMemberId")
  })

  it("lets the others rebalance when it ends", () => {
    const model = new Model()
    const { memberId: one } = model.stableGroup("g", { sessionTimeoutMs: 6000 })
    const { id: other, join } = model.joinNew("g", { sessionTimeoutMs: 30_000 })
    model.join("g", one, { sessionTimeoutMs: 6000 })
    model.sync("g", one, join.response().generationId)
    model.sync("g", other, 2)
    model.pass(6000)
    assert.strictEqual(heartbeat(model, other, 2), "RebalanceInProgress")
    assert.deepInclude(model.join("g", other, { sessionTimeoutMs: 30_000 }).response(), {
      generationId: 3,
      leader: other
    })
  })
})

describe("LeaveGroup", () => {
  it("takes members out, and the others rebalance", () => {
    const model = new Model()
    const { memberId: one } = model.stableGroup("g")
    const { id: other } = model.joinNew("g")
    model.join("g", one)
    assert.deepStrictEqual(leave(model, one, "ghost"), ["None", "None", "UnknownMemberId"])
    assert.strictEqual(heartbeat(model, one, 2), "UnknownMemberId")
    assert.strictEqual(heartbeat(model, other, 2), "RebalanceInProgress")
    assert.deepInclude(model.join("g", other).response(), { generationId: 3, leader: other })
  })

  it("answers what the member still waits for", () => {
    const model = new Model()
    model.stableGroup("g")
    const { id, join } = model.joinNew("g")
    leave(model, id)
    assert.strictEqual(errorName(join.response().errorCode), "UnknownMemberId")
  })

  it("leaves an empty group in its next generation", () => {
    const model = new Model()
    const { memberId } = model.stableGroup("g")
    leave(model, memberId)
    assert.isUndefined(model.cluster.nextDeadline())
    assert.strictEqual(errorName(model.join("g", memberId).response().errorCode), "UnknownMemberId")
    const { join } = model.joinNew("g", { protocolType: "connect", protocols: { other: "x" } })
    assert.deepInclude(join.response(), { generationId: 3, protocolType: "connect", protocolName: "other" })
  })

  it("knows no groups that are not there", () => {
    const model = new Model()
    assert.deepStrictEqual(leave(model, "ghost"), ["None", "UnknownMemberId"])
    const { errorCode } = model.ask(LeaveGroup, { groupId: "", members: [] })
    assert.strictEqual(errorName(errorCode), "InvalidGroupId")
  })
})
