import { assert, describe, it } from "@effect/vitest"
import { DescribeGroups } from "@sluice/kafka/internal/protocol/api/describeGroups"

import { errorName, Model, text } from "../support/model.ts"

const named = (model: Model, groupId: string, broker = 1) => {
  const { groups: [group] } = model.ask(DescribeGroups, { groups: [groupId] }, { broker })
  return { ...group!, error: errorName(group!.errorCode) }
}

describe("DescribeGroups", () => {
  it("tells of a stable group who is in it, what they said and what they were given", () => {
    const model = new Model()
    const options = { groupInstanceId: "first", clientId: "app", protocols: { range: "by range", sticky: "by sticky" } }
    const { memberId } = model.join("g", "", options).response()
    model.sync("g", memberId, 1, { [memberId]: "all" }, options)
    const { error, groupState, members: [member, ...more], protocolData, protocolType } = named(model, "g")
    assert.deepStrictEqual([error, groupState, protocolType, protocolData], ["None", "Stable", "consumer", "range"])
    assert.isEmpty(more)
    const { clientId, groupInstanceId, memberAssignment, memberMetadata } = member!
    assert.deepStrictEqual([member!.memberId, groupInstanceId, clientId], [memberId, "first", "app"])
    assert.deepStrictEqual([text(memberMetadata), text(memberAssignment)], ["by range", "all"])
  })

  it("tells of a group in a rebalance only who is in it", () => {
    const model = new Model()
    const { memberId } = model.stableGroup("g")
    const { join } = model.joinNew("g")
    const preparing = named(model, "g")
    assert.strictEqual(preparing.groupState, "PreparingRebalance")
    assert.lengthOf(preparing.members, 2)
    model.join("g", memberId)
    assert.strictEqual(join.response().generationId, 2)
    const completing = named(model, "g")
    assert.strictEqual(completing.groupState, "CompletingRebalance")
    for (const { members, protocolData, protocolType } of [preparing, completing]) {
      assert.deepStrictEqual([protocolType, protocolData], ["consumer", ""])
      for (const { memberAssignment, memberMetadata } of members) {
        assert.deepStrictEqual([text(memberMetadata), text(memberAssignment)], ["", ""])
      }
    }
  })

  it("knows groups that are not there, and which broker to ask", () => {
    const model = new Model({ brokers: 2 })
    const coordinator = [1, 2].find((broker) => named(model, "g", broker).error === "None")!
    assert.deepInclude(named(model, "g", coordinator), { groupState: "Dead", protocolType: "", members: [] })
    assert.deepInclude(named(model, "g", 3 - coordinator), { error: "NotCoordinator", groupState: "", members: [] })
    // Also without a name, unlike in other requests.
    const nameless = [1, 2].map((broker) => named(model, "", broker))
    assert.sameMembers(nameless.map(({ error, groupState }) => `${error} ${groupState}`), [
      "None Dead",
      "NotCoordinator "
    ])
  })
})
