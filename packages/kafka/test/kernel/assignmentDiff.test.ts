import { assert, describe, it } from "@effect/vitest"
import {
  diffAssignment,
  losesAssignment,
  missedGenerations,
  ownershipOf,
  rejoinsAfterSync,
  revokedBeforeJoin
} from "@sluice/kafka/internal/kernel/assignmentDiff"
import { topicPartitionKey } from "@sluice/kafka/internal/kernel/topicPartition"
import { FastCheck } from "effect"

const tp = (topic: string, partition: number) => ({ topic, partition })

describe("assignmentDiff", () => {
  it("tells what is added, kept and revoked", () => {
    assert.deepStrictEqual(diffAssignment([tp("a", 0), tp("a", 1)], [tp("a", 1), tp("b", 0)]), {
      added: [tp("b", 0)],
      kept: [tp("a", 1)],
      revoked: [tp("a", 0)]
    })
    assert.deepStrictEqual(diffAssignment([], []), { added: [], kept: [], revoked: [] })
  })

  it("accounts for every partition once", () => {
    const partitions = FastCheck.uniqueArray(
      FastCheck.record({ topic: FastCheck.constantFrom("a", "b"), partition: FastCheck.nat({ max: 6 }) }),
      { selector: topicPartitionKey }
    )
    FastCheck.assert(
      FastCheck.property(partitions, partitions, (owned, assigned) => {
        const { added, kept, revoked } = diffAssignment(owned, assigned)
        assert.sameDeepMembers([...kept, ...revoked], owned)
        assert.sameDeepMembers([...kept, ...added], assigned)
        assert.strictEqual(
          new Set([...added, ...kept, ...revoked].map(topicPartitionKey)).size,
          [
            ...added,
            ...kept,
            ...revoked
          ].length
        )
      }),
      { seed: 1, numRuns: 300 }
    )
  })

  it("knows partitions that nobody in a group knows of", () => {
    const topics = FastCheck.dictionary(FastCheck.constantFrom("a", "b", "c"), FastCheck.nat({ max: 4 }))
    FastCheck.assert(
      FastCheck.property(topics, FastCheck.nat(), FastCheck.nat(), (counts, at, by) => {
        const partitionCounts = new Map(Object.entries(counts))
        const all = Object.entries(counts).flatMap(([topic, count]) =>
          Array.from({ length: count }, (_, partition) => tp(topic, partition))
        )
        const missing = all.slice(at % (all.length + 1)).slice(0, 1)
        const given = all.filter((each) => !missing.includes(each))
        const names = ["a", "b", "c"]
        const half = by % (given.length + 1)
        const shares = (
          more: ReadonlyArray<{ topic: string; partition: number }>,
          ofSecond: typeof more,
          topics = names
        ) => [
          { topics: names, claimed: given.slice(half), assigned: given.slice(0, half) },
          { topics, claimed: ofSecond, assigned: [...given.slice(half), ...more, tp("other", 0)] }
        ]
        assert.strictEqual(ownershipOf(partitionCounts, shares(missing, [])), "owned")
        if (missing.length === 0) return
        assert.strictEqual(ownershipOf(partitionCounts, shares([], missing)), "claimed")
        assert.strictEqual(ownershipOf(partitionCounts, shares([], [])), "unowned")
        const others = names.filter((name) => name !== missing[0]!.topic)
        assert.strictEqual(ownershipOf(partitionCounts, shares(missing, [], others)), "unowned")
      })
    )
  })

  it("an eager member gives up everything before it joins, and does not join again after the sync", () => {
    const owned = [tp("a", 0), tp("b", 0)]
    assert.deepStrictEqual(revokedBeforeJoin("eager", owned, new Set(["a"])), owned)
    assert.isFalse(rejoinsAfterSync("eager", diffAssignment(owned, [])))
  })

  it("a cooperative member gives up unsubscribed topics before it joins, and joins again after it revoked something", () => {
    const owned = [tp("a", 0), tp("b", 0)]
    assert.deepStrictEqual(revokedBeforeJoin("cooperative", owned, new Set(["a"])), [tp("b", 0)])
    assert.isTrue(rejoinsAfterSync("cooperative", diffAssignment(owned, [tp("a", 0)])))
    assert.isFalse(rejoinsAfterSync("cooperative", diffAssignment(owned, [...owned, tp("a", 1)])))
  })

  describe("losesAssignment", () => {
    const current = { memberId: "m", generationId: 5 }

    it("when the coordinator knows this membership no more", () => {
      for (const errorCode of [22, 25, 82]) assert.isTrue(losesAssignment(errorCode, current, current))
    })

    it("not when the group rebalances, the coordinator moves or all is well", () => {
      for (const errorCode of [0, 14, 15, 16, 27]) assert.isFalse(losesAssignment(errorCode, current, current))
    })

    it("not by an answer that is late, unless another process has the instance id", () => {
      for (const sent of [{ memberId: "m", generationId: 4 }, { memberId: "former", generationId: 5 }]) {
        assert.isFalse(losesAssignment(22, sent, current))
        assert.isFalse(losesAssignment(25, sent, current))
      }
      assert.isTrue(losesAssignment(82, { memberId: "m", generationId: 4 }, current))
    })

    it("not because a static member that joined anew has taken its own place", () => {
      assert.isFalse(losesAssignment(82, { memberId: "former", generationId: 5 }, current))
    })
  })

  it("knows a member that missed generations", () => {
    assert.isTrue(missedGenerations(4, 6))
    for (const [before, joined] of [[4, 5], [4, 4], [-1, 6]] as const) assert.isFalse(missedGenerations(before, joined))
  })
})
