import { assert, describe, it } from "@effect/vitest"

import { Group, Member } from "../../src/internal/cluster/group.ts"
import { isComplete } from "../../src/internal/simulation/stored.ts"
import { history, synced } from "./checkers/histories.ts"

const settings = {
  sessionTimeoutMs: 6000,
  rebalanceTimeoutMs: 8000,
  protocols: []
}

/** A stable group in generation 3. */
const groupOf = (...ids: ReadonlyArray<string>): Group => {
  const group = new Group("readers")
  for (const id of ids) group.members.set(id, new Member(id, null, "test", settings))
  group.phase = "Stable"
  group.generation = 3
  return group
}

const isCompleteAfter = (group: Group | undefined, ...told: ReadonlyArray<readonly [id: string, generation: number]>) =>
  isComplete(group, ["a", "b"], history(told.map(([id, generation]) => synced(id, generation))).events)

describe("a group is complete", () => {
  it("when each of its members knows what it has", () => {
    assert.isTrue(isCompleteAfter(groupOf("a-1", "b-2"), ["a-1", 2], ["b-2", 3], ["a-1", 3]))
    assert.isTrue(isCompleteAfter(groupOf("a-4", "b-2"), ["a-1", 2], ["b-2", 3], ["a-4", 3]))
  })

  it("not while one has not come back", () => {
    assert.isFalse(isCompleteAfter(groupOf("a-1"), ["a-1", 3]))
    assert.isFalse(isCompleteAfter(groupOf("a-1"), ["a-1", 3], ["b-2", 3]))
    assert.isFalse(isCompleteAfter(undefined))
  })

  it("not while one is in an older generation, or by an id that it no longer has", () => {
    assert.isFalse(isCompleteAfter(groupOf("a-1", "b-2"), ["a-1", 3], ["b-2", 2]))
    assert.isFalse(isCompleteAfter(groupOf("a-1", "b-2"), ["a-1", 3], ["b-2", 2], ["b-5", 3]))
  })

  it("not while it rebalances", () => {
    const group = groupOf("a-1", "b-2")
    group.phase = "PreparingRebalance"
    assert.isFalse(isCompleteAfter(group, ["a-1", 3], ["b-2", 3]))
  })
})
