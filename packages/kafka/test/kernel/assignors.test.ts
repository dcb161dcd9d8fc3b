/** Assignors beside Java's: what they say when they join, and what they give to whom. */
import { readFileSync } from "node:fs"

import { assert, describe, it } from "@effect/vitest"
import type { Assignor, GroupMember } from "@sluice/kafka/internal/kernel/assignor"
import { assignors, protocolOf } from "@sluice/kafka/internal/kernel/assignors"
import { topicPartitionKey } from "@sluice/kafka/internal/kernel/topicPartition"
import {
  ConsumerProtocolSubscription,
  CooperativeStickyAssignorUserData,
  decodeStickyUserData,
  decodeVersioned,
  encodeVersioned,
  StickyAssignorUserData
} from "@sluice/kafka/internal/protocol/api/consumerProtocol"
import { encodeMessage } from "@sluice/kafka/internal/protocol/codec"
import { FastCheck } from "effect"

import { afterRound, anyGroup, assignable, keysByMember, uniformGroup } from "./groups.ts"

type Divided = Readonly<Record<string, string>>

const java: {
  readonly userData: Readonly<Record<"sticky" | "cooperative-sticky", readonly [string | null, string]>>
  readonly subscription: ReadonlyArray<string>
  readonly groups: ReadonlyArray<{
    readonly counts: ReadonlyArray<number>
    readonly members: ReadonlyArray<readonly [string, string | null, string]>
    readonly roundrobin: Divided
    readonly range: Divided
  }>
} = JSON.parse(readFileSync(new URL("../fixtures/assignors/java.json", import.meta.url), "utf8"))

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex")
const owned = [{ topic: "a", partitions: [0, 2] }, { topic: "b.c", partitions: [1] }]

describe("what a member says when it joins", () => {
  it("is what Java writes, in each version", () => {
    java.subscription.forEach((expected, version) => {
      const value = { topics: ["a", "b.c"], userData: Uint8Array.of(1, 2), ownedPartitions: owned, generationId: 7 }
      assert.strictEqual(hex(encodeVersioned(ConsumerProtocolSubscription, version, value)), expected)
      const read = decodeVersioned(ConsumerProtocolSubscription, Buffer.from(expected, "hex")).value
      assert.deepStrictEqual(read.ownedPartitions, version >= 1 ? owned : [])
      assert.strictEqual(read.generationId, version >= 2 ? 7 : -1)
    })
  })

  it("has the user data of Java's sticky assignor", () => {
    const [before, after] = java.userData.sticky
    assert.isNull(before)
    const value = { previousAssignment: owned, generation: 7 }
    assert.strictEqual(hex(encodeMessage(StickyAssignorUserData, 1, value)), after)
    assert.deepStrictEqual(decodeStickyUserData(Buffer.from(after, "hex")), value)
  })

  it("has the user data of Java's cooperative-sticky assignor", () => {
    for (const [i, generation] of [-1, 7].entries()) {
      assert.strictEqual(
        hex(encodeMessage(CooperativeStickyAssignorUserData, 0, { generation })),
        java.userData["cooperative-sticky"][i]
      )
    }
  })

  it("is read from a sticky member that is too old to have a generation", () => {
    const bytes = encodeMessage(StickyAssignorUserData, 0, { previousAssignment: owned })
    assert.deepStrictEqual(decodeStickyUserData(bytes), { previousAssignment: owned, generation: -1 })
    assert.throws(() => decodeStickyUserData(Uint8Array.of(0, 0, 0, 9)))
  })
})

describe.each(["roundrobin", "range"] as const)("the %s assignor", (name) => {
  it("gives to each member what Java's gives", () => {
    assert.isAtLeast(java.groups.length, 100)
    for (const group of java.groups) {
      const members = group.members.map(([memberId, groupInstanceId, topics]): GroupMember => ({
        memberId,
        groupInstanceId,
        topics: topics.split(" ").filter((topic) => topic !== ""),
        ownedPartitions: [],
        generationId: -1
      }))
      const counts = new Map(group.counts.map((count, i) => [`t${i}`, count]))
      const given = keysByMember(assignors[name].assign(members, counts))
      const divided = Object.fromEntries(Object.entries(given).map(([id, keys]) => [id, [...keys].sort().join(" ")]))
      assert.deepStrictEqual(divided, group[name])
    }
  })
})

describe("the sticky assignor", () => {
  const { assign } = assignors.sticky

  it("gives every partition to one that subscribes to it, whoever claims what", () => {
    FastCheck.assert(
      FastCheck.property(anyGroup, (group) => {
        const assignment = assign(group.members, group.partitionCounts)
        const given = Array.from(assignment).flatMap(([memberId, partitions]) =>
          partitions.map((partition) => {
            assert.include(group.members.find((one) => one.memberId === memberId)!.topics, partition.topic)
            return topicPartitionKey(partition)
          })
        )
        assert.strictEqual(new Set(given).size, given.length)
        assert.sameMembers(given, assignable(group).map(topicPartitionKey))
      }),
      { seed: 1, numRuns: 500 }
    )
  })

  it("settles in one round, and gives the same again", () => {
    FastCheck.assert(
      FastCheck.property(anyGroup, (group) => {
        const first = assign(group.members, group.partitionCounts)
        const again = assign(afterRound(group, first).members, group.partitionCounts)
        assert.deepStrictEqual(keysByMember(again), keysByMember(first))
      }),
      { seed: 1, numRuns: 500 }
    )
  })

  it("leaves to the others what they had when a member leaves, and divides by one at most", () => {
    FastCheck.assert(
      FastCheck.property(uniformGroup, FastCheck.nat(), (group, choice) => {
        const before = afterRound(group, assign(group.members, group.partitionCounts))
        const members = before.members.filter((_, i) => i !== choice % before.members.length)
        if (members.length === 0) return
        const after = keysByMember(assign(members, group.partitionCounts))
        for (const one of members) {
          assert.includeMembers([...after[one.memberId]!], one.ownedPartitions.map(topicPartitionKey))
        }
        const counts = Object.values(after).map((keys) => keys.length)
        assert.isAtMost(Math.max(...counts) - Math.min(...counts), 1)
      }),
      { seed: 1, numRuns: 500 }
    )
  })
})

describe("a member that offers several assignors", () => {
  const offer = (...names: ReadonlyArray<Assignor["name"]>) => protocolOf(names.map((name) => assignors[name]))

  it("rebalances cooperatively only if all of them can", () => {
    assert.strictEqual(offer("cooperative-sticky"), "cooperative")
    assert.strictEqual(offer("cooperative-sticky", "range"), "eager")
    assert.strictEqual(offer("range", "cooperative-sticky"), "eager")
    for (const name of ["range", "roundrobin", "sticky"] as const) assert.strictEqual(offer(name), "eager")
  })
})
