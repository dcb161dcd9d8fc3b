import { assert, describe, it } from "@effect/vitest"
import { compareTopicPartitions, topicPartitionKey } from "@sluice/kafka/internal/kernel/topicPartition"
import { FastCheck } from "effect"

describe("topicPartition", () => {
  const topicPartition = FastCheck.record({
    topic: FastCheck.string({ unit: FastCheck.constantFrom("a", "b", "-", "1", "."), minLength: 1, maxLength: 4 }),
    partition: FastCheck.nat({ max: 20 })
  })

  it("a key names one partition, also where topics look like keys", () => {
    assert.strictEqual(topicPartitionKey({ topic: "orders", partition: 7 }), "orders-7")
    FastCheck.assert(
      FastCheck.property(topicPartition, topicPartition, (left, right) => {
        const same = left.topic === right.topic && left.partition === right.partition
        assert.strictEqual(topicPartitionKey(left) === topicPartitionKey(right), same)
      }),
      { seed: 1, numRuns: 2000 }
    )
  })

  it("orders by topic, then by number", () => {
    const unordered = [["b", 0], ["a", 10], ["a", 9], ["B", 1]] as const
    const sorted = unordered.map(([topic, partition]) => ({ topic, partition })).sort(compareTopicPartitions)
    assert.deepStrictEqual(sorted.map(topicPartitionKey), ["B-1", "a-9", "a-10", "b-0"])
  })
})
