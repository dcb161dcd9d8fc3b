import { assert, describe, it } from "@effect/vitest"
import { balanceAssignment } from "@sluice/kafka/internal/kernel/assignmentBalance"
import { type GroupMember, subscribersByTopic } from "@sluice/kafka/internal/kernel/assignor"
import type { TopicPartition } from "@sluice/kafka/internal/kernel/topicPartition"
import { FastCheck } from "effect"

const member = (memberId: string, topics: ReadonlyArray<string>): GroupMember => ({
  memberId,
  groupInstanceId: null,
  topics,
  ownedPartitions: [],
  generationId: -1
})

/** The least sum of squares that any division of the partitions has: the best balance. */
const leastCost = (choices: ReadonlyArray<ReadonlyArray<GroupMember>>): number => {
  const counts = new Map<GroupMember, number>()
  const search = (index: number): number => {
    if (index === choices.length) return Array.from(counts.values()).reduce((sum, count) => sum + count * count, 0)
    let least = Infinity
    for (const candidate of choices[index]!) {
      const count = counts.get(candidate) ?? 0
      counts.set(candidate, count + 1)
      least = Math.min(least, search(index + 1))
      counts.set(candidate, count)
    }
    return least
  }
  return search(0)
}

describe("balanceAssignment", () => {
  const topics = ["t0", "t1", "t2", "t3"]
  const problem = FastCheck.record({
    subscriptions: FastCheck.array(FastCheck.subarray(topics), { minLength: 1, maxLength: 4 }),
    counts: FastCheck.tuple(...topics.map(() => FastCheck.nat({ max: 2 }))),
    owners: FastCheck.array(FastCheck.nat({ max: 5 }), { minLength: 8, maxLength: 8 })
  })

  it("finds the best balance that the subscriptions allow, whoever owned what", () => {
    FastCheck.assert(
      FastCheck.property(problem, ({ counts, owners, subscriptions }) => {
        const members = subscriptions.map((subscription, index) => member(`m${index}`, subscription))
        const partitionCounts = new Map(topics.map((topic, index) => [topic, counts[index]!]))
        const subscribers = subscribersByTopic(members, partitionCounts)
        const ownerOf = ({ partition, topic }: TopicPartition) =>
          members[owners[topics.indexOf(topic) * 2 + partition]!] ?? null
        const balanced = balanceAssignment(subscribers, partitionCounts, ownerOf)
        const cost = Array.from(balanced.values()).reduce((sum, given) => sum + given.length * given.length, 0)
        const choices = Array.from(subscribers).flatMap(([topic, candidates]) =>
          Array.from({ length: partitionCounts.get(topic)! }, () => candidates)
        )
        assert.strictEqual(Array.from(balanced.values()).flat().length, choices.length)
        assert.strictEqual(cost, leastCost(choices))
      }),
      { seed: 1, numRuns: 500 }
    )
  })

  it("leaves everything in place where the balance is good", () => {
    const members = [member("a", ["t"]), member("b", ["t"])]
    const partitionCounts = new Map([["t", 5]])
    const balanced = balanceAssignment(
      subscribersByTopic(members, partitionCounts),
      partitionCounts,
      ({ partition }) => members[partition < 2 ? 0 : 1]!
    )
    assert.deepStrictEqual(balanced.get(members[0]!)!.map(({ partition }) => partition), [0, 1])
    assert.deepStrictEqual(balanced.get(members[1]!)!.map(({ partition }) => partition), [2, 3, 4])
  })
})
