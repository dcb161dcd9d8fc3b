import { assert, describe, it } from "@effect/vitest"
import { Heartbeat } from "@sluice/kafka/internal/protocol/api/heartbeat"
import { LeaveGroup } from "@sluice/kafka/internal/protocol/api/leaveGroup"
import { OffsetCommit } from "@sluice/kafka/internal/protocol/api/offsetCommit"

import { errorName, Model, text } from "../support/model.ts"

const first = { groupInstanceId: "first" }
const second = { groupInstanceId: "second" }

/** A stable group of one static member. */
const started = (model: Model, options = first): string => {
  const joined = model.join("g", "", options).response()
  assert.deepInclude(joined, { errorCode: 0, generationId: 1 })
  model.sync("g", joined.memberId, 1, { [joined.memberId]: "all" }, options)
  return joined.memberId
}

const beat = (model: Model, memberId: string, generationId: number, groupInstanceId: string | null = "first") =>
  errorName(model.ask(Heartbeat, { groupId: "g", memberId, generationId, groupInstanceId }).errorCode)

describe("static members", () => {
  it("join at once, with an id that begins with their name", () => {
    const model = new Model()
    assert.match(started(model), /^first-/)
  })

  it("come back without a rebalance, and fence who had their name", () => {
    const model = new Model()
    const old = started(model)
    const back = model.join("g", "", first).response()
    assert.deepInclude(back, { errorCode: 0, generationId: 1, skipAssignment: true, leader: back.memberId })
    assert.lengthOf(back.members, 1)
    assert.strictEqual(text(model.sync("g", back.memberId, 1, {}, first).response().assignment), "all")
    assert.strictEqual(beat(model, back.memberId, 1), "None")
    assert.strictEqual(beat(model, old, 1), "FencedInstanceId")
    assert.strictEqual(beat(model, old, 1, null), "UnknownMemberId")
    assert.strictEqual(errorName(model.join("g", old, first).response().errorCode), "FencedInstanceId")
    assert.strictEqual(errorName(model.sync("g", old, 1, {}, first).response().errorCode), "FencedInstanceId")
    const { topics } = model.ask(OffsetCommit, {
      groupId: "g",
      memberId: old,
      generationIdOrMemberEpoch: 1,
      ...first,
      topics: [{
        name: "__consumer_offsets",
        partitions: [{ partitionIndex: 0, committedOffset: 1, committedMetadata: null }]
      }]
    })
    assert.strictEqual(errorName(topics[0]!.partitions[0]!.errorCode), "FencedInstanceId")
  })

  it("are not told that they lead, before version 9, lest they assign anew", () => {
    const model = new Model()
    const old = started(model)
    const back = model.join("g", "", { ...first, version: 8 }).response()
    assert.deepInclude(back, { leader: old, members: [], skipAssignment: false })
  })

  it("rebalance when they come back with other protocols", () => {
    const model = new Model()
    started(model)
    const back = model.join("g", "", { ...first, protocols: { sticky: "x", range: "v1" } })
    assert.deepInclude(back.response(), { errorCode: 0, generationId: 2, protocolName: "sticky" })
  })

  it("rebalance when they come back before the assignments are there", () => {
    const model = new Model()
    const one = started(model)
    const other = model.join("g", "", second)
    assert.deepInclude(model.join("g", one, first).response(), { generationId: 2 })
    const otherId = other.response().memberId
    const sync = model.sync("g", otherId, 2, {}, second)
    const back = model.join("g", "", first)
    assert.strictEqual(errorName(sync.response().errorCode), "RebalanceInProgress")
    assert.isTrue(back.isParked())
    assert.deepInclude(model.join("g", otherId, second).response(), { generationId: 3 })
    assert.deepInclude(back.response(), { errorCode: 0, generationId: 3, leader: back.response().memberId })
  })

  it("fence a join of their name that is still parked", () => {
    const model = new Model()
    const one = started(model)
    const parked = model.join("g", "", second)
    const back = model.join("g", "", second)
    assert.strictEqual(errorName(parked.response().errorCode), "FencedInstanceId")
    model.join("g", one, first)
    assert.deepInclude(back.response(), { errorCode: 0, generationId: 2 })
  })

  it("keep their place through a rebalance that they miss, until their session ends", () => {
    const model = new Model()
    const long = { ...first, sessionTimeoutMs: 60_000, rebalanceTimeoutMs: 8000 }
    const one = started(model, long)
    const other = model.join("g", "", { ...second, sessionTimeoutMs: 60_000, rebalanceTimeoutMs: 8000 })
    model.takeEvents()
    model.pass(8000)
    assert.deepStrictEqual(model.takeEvents("MemberAbsent"), [
      { _tag: "MemberAbsent", group: "g", member: one, now: 8000 }
    ])
    const { leader, memberId, members } = other.response()
    assert.strictEqual(leader, memberId)
    assert.deepStrictEqual(members.map((member) => member.groupInstanceId), ["first", "second"])
    assert.strictEqual(beat(model, one, 2), "None")
  })

  it("are taken out by their names", () => {
    const model = new Model()
    const one = started(model)
    const leave = (memberId: string, groupInstanceId: string) =>
      model.ask(LeaveGroup, { groupId: "g", members: [{ memberId, groupInstanceId }] }).members.map((member) =>
        errorName(member.errorCode)
      )
    assert.deepStrictEqual(leave("", "second"), ["UnknownMemberId"])
    assert.deepStrictEqual(leave("another", "first"), ["FencedInstanceId"])
    assert.deepStrictEqual(leave("", "first"), ["None"])
    assert.strictEqual(beat(model, one, 1), "UnknownMemberId")
  })
})
