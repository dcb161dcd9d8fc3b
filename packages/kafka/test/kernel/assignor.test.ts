import { assert, describe, it } from "@effect/vitest"
import { compareMembers, type GroupMember, subscribersByTopic } from "@sluice/kafka/internal/kernel/assignor"

const member = (memberId: string, groupInstanceId: string | null, topics: ReadonlyArray<string> = []): GroupMember => ({
  memberId,
  groupInstanceId,
  topics,
  ownedPartitions: [],
  generationId: -1
})

describe("assignor", () => {
  it("orders static members by instance id, before dynamic ones by member id", () => {
    const members = [member("d", null), member("a", "y"), member("c", null), member("b", "x"), member("C", null)]
    assert.deepStrictEqual(members.sort(compareMembers).map(({ memberId }) => memberId), ["b", "a", "C", "c", "d"])
  })

  it("lists the subscribers of known topics alone, each once", () => {
    const members = [member("a", null, ["t2", "t1", "t2"]), member("b", null, ["t1", "unknown"])]
    const subscribers = subscribersByTopic(members, new Map([["t2", 1], ["t1", 1], ["nobody's", 1]]))
    assert.deepStrictEqual(
      Array.from(subscribers, ([topic, ofTopic]) => [topic, ofTopic.map(({ memberId }) => memberId)]),
      [["t1", ["a", "b"]], ["t2", ["a"]]]
    )
  })
})
