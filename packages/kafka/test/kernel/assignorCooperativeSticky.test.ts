import { assert, describe, it } from "@effect/vitest"
import type { GroupAssignment, GroupMember } from "@sluice/kafka/internal/kernel/assignor"
import { cooperativeStickyAssignor } from "@sluice/kafka/internal/kernel/assignorCooperativeSticky"
import { topicPartitionKey } from "@sluice/kafka/internal/kernel/topicPartition"
import { FastCheck } from "effect"

import { afterRound, anyGroup, assignable, type Group, keysByMember, uniformGroup } from "./groups.ts"

const assign = (group: Group): GroupAssignment => cooperativeStickyAssignor.assign(group.members, group.partitionCounts)

const partitions = (...keys: ReadonlyArray<string>) =>
  keys.map((key) => ({
    topic: key.slice(0, key.lastIndexOf("-")),
    partition: Number(key.slice(key.lastIndexOf("-") + 1))
  }))

const member = (
  memberId: string,
  owned: ReadonlyArray<string> = [],
  generationId = 1,
  topics = ["t"]
): GroupMember => ({
  memberId,
  groupInstanceId: null,
  topics,
  ownedPartitions: partitions(...owned),
  generationId
})

/** Two rounds, as a change takes. */
const settled = (group: Group): Group => {
  const once = afterRound(group, assign(group))
  return afterRound(once, assign(once))
}

const owners = (group: Group): Map<string, string> =>
  new Map(group.members.flatMap((one) => one.ownedPartitions.map((owned) => [topicPartitionKey(owned), one.memberId])))

/** How many partitions have another owner in `after`, of those that had one in `before`. */
const movedCount = (before: Group, after: Group): number => {
  const ownersAfter = owners(after)
  return Array.from(owners(before)).filter(([key, owner]) => ownersAfter.get(key) !== owner).length
}

const counts = (group: Group): ReadonlyArray<number> => group.members.map((one) => one.ownedPartitions.length)

const check = <A>(arbitrary: FastCheck.Arbitrary<A>, property: (value: A) => void, numRuns = 1000) =>
  FastCheck.assert(FastCheck.property(arbitrary, property), { seed: 1, numRuns })

describe("cooperativeStickyAssignor", () => {
  it("negotiates as Java's does", () => {
    assert.strictEqual(cooperativeStickyAssignor.name, "cooperative-sticky")
    assert.strictEqual(cooperativeStickyAssignor.protocol, "cooperative")
  })

  describe("one step at a time", () => {
    const counts4 = new Map([["t", 4]])

    it("deals out what nobody owns", () => {
      const assignment = assign({ members: [member("b"), member("a")], partitionCounts: counts4 })
      assert.deepStrictEqual(keysByMember(assignment), { a: ["t-0", "t-2"], b: ["t-1", "t-3"] })
    })

    it("spreads each topic over the members", () => {
      const members = ["a", "b"].map((memberId) => member(memberId, [], -1, ["x", "y"]))
      const assignment = assign({ members, partitionCounts: new Map([["x", 3], ["y", 3]]) })
      assert.deepStrictEqual(keysByMember(assignment), { a: ["x-0", "x-2", "y-1"], b: ["x-1", "y-0", "y-2"] })
    })

    it("gives a new partition to the one of two equals that has fewer of its topic", () => {
      const members = [member("a", ["x-0"], 1, ["x", "y"]), member("b", ["y-0"], 1, ["x", "y"])]
      const assignment = assign({ members, partitionCounts: new Map([["x", 2], ["y", 2]]) })
      assert.deepStrictEqual(keysByMember(assignment), { a: ["x-0", "y-1"], b: ["x-1", "y-0"] })
    })

    it("takes a claim made twice by one member for one claim", () => {
      const group = { members: [member("a", ["t-0", "t-0"]), member("b")], partitionCounts: counts4 }
      assert.deepStrictEqual(keysByMember(assign(group)), { a: ["t-0", "t-2"], b: ["t-1", "t-3"] })
    })

    it("first takes a partition away, and gives it in the next round", () => {
      const group = {
        members: [member("a", ["t-0", "t-1", "t-2", "t-3"]), member("b", [], -1)],
        partitionCounts: counts4
      }
      const first = assign(group)
      assert.deepStrictEqual(keysByMember(first), { a: ["t-0", "t-1"], b: [] })
      assert.deepStrictEqual(keysByMember(assign(afterRound(group, first))), { a: ["t-0", "t-1"], b: ["t-2", "t-3"] })
    })

    it("takes from every topic, when a member joins", () => {
      const topics = ["x", "y"]
      const group = {
        members: [
          member("a", ["x-0", "x-1", "x-2", "x-3", "y-0", "y-1", "y-2", "y-3"], 1, topics),
          member("b", [], -1, topics)
        ],
        partitionCounts: new Map([["x", 4], ["y", 4]])
      }
      assert.deepStrictEqual(keysByMember(assign(group)), { a: ["x-0", "x-1", "y-0", "y-1"], b: [] })
    })

    it("believes the newer of two claims", () => {
      const members = [member("a", ["t-0", "t-1"], 4), member("b", ["t-1", "t-2"], 5), member("c", ["t-3"], 3)]
      assert.deepStrictEqual(keysByMember(assign({ members, partitionCounts: counts4 })), {
        a: ["t-0"],
        b: ["t-1", "t-2"],
        c: ["t-3"]
      })
    })

    it("gives a partition to none of those that claim it in the same generation, until they have let go", () => {
      const group = {
        members: [member("a", ["t-0", "t-1"], 5), member("b", ["t-1", "t-2", "t-3"], 5)],
        partitionCounts: counts4
      }
      const first = assign(group)
      assert.deepStrictEqual(keysByMember(first), { a: ["t-0"], b: ["t-2", "t-3"] })
      assert.deepStrictEqual(keysByMember(assign(afterRound(group, first))), { a: ["t-0", "t-1"], b: ["t-2", "t-3"] })
    })

    it("holds back what its owner has unsubscribed from", () => {
      const group = {
        members: [member("a", ["t-0"], 1, ["u"]), member("b", ["t-1"], 1, ["t"])],
        partitionCounts: new Map([["t", 2], ["u", 1]])
      }
      const first = assign(group)
      assert.deepStrictEqual(keysByMember(first), { a: ["u-0"], b: ["t-1"] })
      assert.deepStrictEqual(keysByMember(assign(afterRound(group, first))), { a: ["u-0"], b: ["t-0", "t-1"] })
    })

    it("moves partitions through a member between two that share no topic", () => {
      const group = {
        members: [
          member("a", ["x-0", "x-1", "x-2"], 1, ["x"]),
          member("b", ["y-0", "y-1"], 1, ["x", "y"]),
          member("c", [], -1, ["y"])
        ],
        partitionCounts: new Map([["x", 3], ["y", 2]])
      }
      assert.deepStrictEqual(counts(settled(group)), [2, 2, 1])
    })
  })

  it("gives every subscribed partition to one subscriber, except what another member still holds", () => {
    check(anyGroup, (group) => {
      const assignment = assign(group)
      assert.sameMembers(Array.from(assignment.keys()), group.members.map((one) => one.memberId))
      const given = new Map<string, string>()
      for (const one of group.members) {
        for (const topicPartition of assignment.get(one.memberId)!) {
          const key = topicPartitionKey(topicPartition)
          assert.isFalse(given.has(key), `${key} is given twice`)
          assert.include(one.topics, topicPartition.topic)
          given.set(key, one.memberId)
        }
      }
      const all = assignable(group).map(topicPartitionKey)
      assert.includeMembers(all, Array.from(given.keys()))
      for (const key of all) {
        const claims = group.members.filter((one) =>
          one.ownedPartitions.some((owned) => topicPartitionKey(owned) === key)
        )
        const newest = Math.max(...claims.map((one) => one.generationId))
        const newestClaims = claims.filter((one) => one.generationId === newest)
        const owner = given.get(key)
        if (owner === undefined) assert.isNotEmpty(claims, `${key} is held back though nobody holds it`)
        else if (claims.length > 0) assert.deepStrictEqual(newestClaims.map((one) => one.memberId), [owner])
      }
    })
  })

  it("depends on the order of nothing", () => {
    check(anyGroup, (group) => {
      const reversed = {
        members: group.members.map((one) => ({
          ...one,
          topics: Array.from(one.topics).reverse(),
          ownedPartitions: Array.from(one.ownedPartitions).reverse()
        })).reverse(),
        partitionCounts: new Map(Array.from(group.partitionCounts).reverse())
      }
      assert.deepStrictEqual(keysByMember(assign(reversed)), keysByMember(assign(group)))
    }, 500)
  })

  it("settles in two rounds and then stays", () => {
    check(anyGroup, (group) => {
      const second = settled(group)
      assert.strictEqual(owners(second).size, assignable(group).length)
      const third = afterRound(second, assign(second))
      assert.deepStrictEqual(owners(third), owners(second))
    }, 2000)
  })

  it("lets members with the same topics differ by one at most", () => {
    check(uniformGroup, (group) => {
      const after = counts(settled(group))
      assert.isAtMost(Math.max(...after) - Math.min(...after), 1)
    })
    check(anyGroup, (group) => {
      const bySubscription = new Map<string, Array<number>>()
      for (const one of settled(group).members) {
        const known = one.topics.filter((topic) => group.partitionCounts.has(topic)).join()
        bySubscription.set(known, [...bySubscription.get(known) ?? [], one.ownedPartitions.length])
      }
      for (const ofSame of bySubscription.values()) assert.isAtMost(Math.max(...ofSame) - Math.min(...ofSame), 1)
    })
  })

  it("takes no more from anybody than a member that joins needs", () => {
    check(uniformGroup, (group) => {
      const before = settled(group)
      const joined = {
        ...before.members[0]!,
        memberId: "joined",
        groupInstanceId: null,
        ownedPartitions: [],
        generationId: -1
      }
      const after = settled({ ...before, members: [...before.members, joined] })
      const share = Math.ceil(assignable(group).length / after.members.length)
      assert.strictEqual(movedCount(before, after), after.members.at(-1)!.ownedPartitions.length)
      assert.isAtMost(movedCount(before, after), share)
    })
  })

  it("moves only the partitions of a member that leaves", () => {
    check(FastCheck.tuple(uniformGroup, FastCheck.nat()), ([group, choice]) => {
      const before = settled(group)
      const left = before.members[choice % before.members.length]!
      const members = before.members.filter((one) => one !== left)
      if (members.length === 0) return
      const assignment = assign({ ...before, members })
      for (const one of members) {
        assert.includeMembers(
          keysByMember(assignment)[one.memberId]! as Array<string>,
          one.ownedPartitions.map(topicPartitionKey)
        )
      }
      assert.strictEqual(Array.from(assignment.values()).flat().length, assignable(group).length)
    })
  })

  it("moves as few partitions as balance allows, whatever the members of one subscription held", () => {
    check(uniformGroup, (group) => {
      const before = { ...group, members: afterRound(group, assign(group)).members }
      const lopsided: Group = {
        ...before,
        members: before.members.map((one, index) => ({
          ...one,
          ownedPartitions: index === 0
            ? before.members.filter((_, other) => other % 3 !== 1).flatMap((other) => other.ownedPartitions)
            : index % 3 === 1
            ? one.ownedPartitions
            : []
        }))
      }
      const total = assignable(group).length
      const share = Math.floor(total / group.members.length)
      const heldTooMany = counts(lopsided).reduce((sum, count) => sum + Math.max(0, count - share - 1), 0)
      const unowned = total - owners(lopsided).size
      const missing = counts(lopsided).reduce((sum, count) => sum + Math.max(0, share - count), 0)
      assert.isAtMost(movedCount(lopsided, settled(lopsided)), Math.max(heldTooMany, missing - unowned, 0))
    })
  })

  describe("through a group's life", () => {
    const topics = ["t0", "t1", "t2"]
    const change = FastCheck.oneof(
      FastCheck.record({ kind: FastCheck.constant("join"), topics: FastCheck.subarray(topics) }),
      FastCheck.record({ kind: FastCheck.constant("leave"), member: FastCheck.nat() }),
      FastCheck.record({
        kind: FastCheck.constant("subscribe"),
        member: FastCheck.nat(),
        topics: FastCheck.subarray(topics)
      }),
      FastCheck.record({ kind: FastCheck.constant("grow"), topic: FastCheck.constantFrom(...topics) }),
      FastCheck.record({ kind: FastCheck.constant("miss"), member: FastCheck.nat() })
    )
    type Change = typeof change extends FastCheck.Arbitrary<infer A> ? A : never

    /** `miss`: the member's partitions were lost, and it comes back with nothing. */
    const apply = (group: Group, next: Change, sequence: number): Group => {
      const nth = (index: number) => group.members[index % group.members.length]
      const replace = (index: number, by: Partial<GroupMember>) => ({
        ...group,
        members: group.members.map((one) => one === nth(index) ? { ...one, ...by } : one)
      })
      if ("topic" in next) {
        const grown = (group.partitionCounts.get(next.topic) ?? 0) + 2
        return { ...group, partitionCounts: new Map([...group.partitionCounts, [next.topic, grown]]) }
      }
      if (!("member" in next)) {
        const joined = { ...member(`m${(sequence * 7) % 10}${sequence}`, [], -1), topics: next.topics }
        return { ...group, members: [...group.members, joined] }
      }
      if ("topics" in next) return replace(next.member, { topics: next.topics })
      if (next.kind === "leave") return { ...group, members: group.members.filter((one) => one !== nth(next.member)) }
      return replace(next.member, { ownedPartitions: [], generationId: -1 })
    }

    it("never gives to one member what another holds, and settles whenever the changes pause", () => {
      check(
        FastCheck.array(FastCheck.record({ change, rounds: FastCheck.integer({ min: 1, max: 3 }) }), { maxLength: 20 }),
        (steps) => {
          let group: Group = { members: [], partitionCounts: new Map(topics.map((topic) => [topic, 4])) }
          steps.forEach((step, sequence) => {
            group = apply(group, step.change, sequence)
            if (group.members.length === 0) return
            for (let round = 1; round <= step.rounds; round++) {
              const held = owners(group)
              const assignment = assign(group)
              for (const [memberId, given] of assignment) {
                for (const topicPartition of given) {
                  const holder = held.get(topicPartitionKey(topicPartition))
                  assert.isTrue(holder === undefined || holder === memberId)
                }
              }
              if (round === 3) assert.deepStrictEqual(owners(afterRound(group, assignment)), held)
              group = afterRound(group, assignment)
              if (round >= 2) assert.strictEqual(owners(group).size, assignable(group).length)
            }
          })
        },
        500
      )
    })
  })
})
