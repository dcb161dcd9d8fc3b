import { assert, describe, it } from "@effect/vitest"
import { DeleteTopics } from "@sluice/kafka/internal/protocol/api/deleteTopics"
import { LeaveGroup } from "@sluice/kafka/internal/protocol/api/leaveGroup"
import { OffsetCommit } from "@sluice/kafka/internal/protocol/api/offsetCommit"
import { OffsetFetch } from "@sluice/kafka/internal/protocol/api/offsetFetch"

import { type AskOptions, errorName, Model } from "../support/model.ts"

interface Commit extends AskOptions {
  readonly groupId?: string
  readonly memberId?: string
  readonly generation?: number
  readonly topic?: string
  readonly partition?: number
  readonly offset?: number
  readonly metadata?: string | null
}

const commit = (model: Model, options: Commit = {}): string => {
  const { topics } = model.ask(OffsetCommit, {
    groupId: options.groupId ?? "g",
    memberId: options.memberId ?? "",
    generationIdOrMemberEpoch: options.generation ?? -1,
    topics: [{
      name: options.topic ?? "orders",
      partitions: [{
        partitionIndex: options.partition ?? 0,
        committedOffset: options.offset ?? 5,
        committedLeaderEpoch: 3,
        committedMetadata: options.metadata === undefined ? "note" : options.metadata
      }]
    }]
  }, options)
  return errorName(topics[0]!.partitions[0]!.errorCode)
}

const fetch = (model: Model, groupId = "g", topics: ReadonlyArray<[string, ReadonlyArray<number>]> | null = null) => {
  const { groups } = model.ask(OffsetFetch, {
    groups: [{
      groupId,
      topics: topics === null ? null : topics.map(([name, partitionIndexes]) => ({ name, partitionIndexes }))
    }]
  })
  return groups[0]!.topics.flatMap((topic) =>
    topic.partitions.map((partition) => [topic.name, partition.partitionIndex, partition.committedOffset])
  )
}

const withTopics = (): Model => new Model({ topics: { orders: 2, payments: 1 } })

describe("OffsetCommit", () => {
  it("stores what a member has done", () => {
    const model = withTopics()
    const { generation, memberId } = model.stableGroup("g")
    assert.strictEqual(commit(model, { memberId, generation, offset: 7 }), "None")
    assert.strictEqual(commit(model, { memberId, generation, partition: 1, offset: 0 }), "None")
    assert.strictEqual(commit(model, { memberId, generation, offset: 8 }), "None")
    assert.deepStrictEqual(fetch(model), [["orders", 0, 8], ["orders", 1, 0]])
  })

  it("is for members of the current generation, once it is complete", () => {
    const model = withTopics()
    const { id: memberId } = model.joinNew("g")
    assert.strictEqual(commit(model, { memberId, generation: 1 }), "RebalanceInProgress")
    model.sync("g", memberId, 1)
    assert.strictEqual(commit(model, { memberId, generation: 1 }), "None")
    assert.strictEqual(commit(model, { memberId, generation: 0 }), "IllegalGeneration")
    assert.strictEqual(commit(model, { memberId, generation: -1 }), "IllegalGeneration")
    assert.strictEqual(commit(model, { memberId: "ghost", generation: 1 }), "UnknownMemberId")
    assert.strictEqual(commit(model), "UnknownMemberId")
    model.joinNew("g")
    assert.strictEqual(commit(model, { memberId, generation: 1, offset: 9 }), "None")
    assert.deepStrictEqual(fetch(model), [["orders", 0, 9]])
  })

  it("is for anybody while the group has no members", () => {
    const model = withTopics()
    assert.strictEqual(commit(model), "None")
    assert.strictEqual(commit(model, { groupId: "" }), "None")
    assert.strictEqual(commit(model, { generation: 0 }), "UnknownMemberId")
    const { memberId } = model.stableGroup("g")
    assert.strictEqual(commit(model), "UnknownMemberId")
    model.ask(LeaveGroup, { groupId: "g", members: [{ memberId }] })
    assert.strictEqual(commit(model, { offset: 11 }), "None")
    assert.deepStrictEqual(fetch(model), [["orders", 0, 11]])
  })

  it("does not know groups that are not there", () => {
    const model = withTopics()
    assert.strictEqual(commit(model, { memberId: "x", generation: 1 }), "GroupIdNotFound")
    assert.strictEqual(commit(model, { memberId: "x", generation: 1, version: 8 }), "IllegalGeneration")
  })

  it("checks topics, partitions and the length of the note", () => {
    const model = withTopics()
    assert.strictEqual(commit(model, { topic: "nope" }), "UnknownTopicOrPartition")
    assert.strictEqual(commit(model, { partition: 2 }), "UnknownTopicOrPartition")
    assert.strictEqual(commit(model, { metadata: "x".repeat(4097) }), "OffsetMetadataTooLarge")
    assert.strictEqual(commit(model, { metadata: "x".repeat(4096) }), "None")
    assert.strictEqual(commit(model, { metadata: null }), "None")
  })

  it("keeps a member alive", () => {
    const model = withTopics()
    const { generation, memberId } = model.stableGroup("g", { sessionTimeoutMs: 6000 })
    model.pass(5000)
    assert.strictEqual(commit(model, { memberId, generation }), "None")
    model.pass(5000)
    assert.strictEqual(commit(model, { memberId, generation }), "None")
    model.pass(6000)
    assert.strictEqual(commit(model, { memberId, generation }), "UnknownMemberId")
  })
})

describe("OffsetFetch", () => {
  it("gives -1 where nothing is stored, and all of a group if nothing is named", () => {
    const model = withTopics()
    commit(model, { partition: 1 })
    assert.deepStrictEqual(fetch(model, "g", [["orders", [0, 1]], ["nope", [0]]]), [
      ["orders", 0, -1],
      ["orders", 1, 5],
      ["nope", 0, -1]
    ])
    assert.deepStrictEqual(fetch(model), [["orders", 1, 5]])
    assert.deepStrictEqual(fetch(model, "other"), [])
    assert.deepStrictEqual(fetch(model, "other", [["orders", [0]]]), [["orders", 0, -1]])
  })

  it("gives epoch and note too, and one group only before version 8", () => {
    const model = withTopics()
    commit(model)
    const response = model.ask(OffsetFetch, { groupId: "g", topics: [{ name: "orders", partitionIndexes: [0, 1] }] }, {
      version: 7
    })
    assert.strictEqual(response.errorCode, 0)
    assert.deepStrictEqual(response.topics[0]!.partitions, [
      { partitionIndex: 0, committedOffset: 5, committedLeaderEpoch: 3, metadata: "note", errorCode: 0 },
      { partitionIndex: 1, committedOffset: -1, committedLeaderEpoch: -1, metadata: "", errorCode: 0 }
    ])
  })

  it("forgets topics that are deleted", () => {
    const model = withTopics()
    commit(model)
    commit(model, { topic: "payments" })
    model.ask(DeleteTopics, { topics: [{ name: "orders" }], timeoutMs: 1000 })
    assert.deepStrictEqual(fetch(model), [["payments", 0, 5]])
  })
})
