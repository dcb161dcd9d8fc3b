import { assert, describe, it } from "@effect/vitest"
import type { GroupMember } from "@sluice/kafka/internal/kernel/assignor"
import { rangeAssignor } from "@sluice/kafka/internal/kernel/assignorRange"
import { topicPartitionKey } from "@sluice/kafka/internal/kernel/topicPartition"
import { FastCheck } from "effect"

const member = (
  memberId: string,
  topics: ReadonlyArray<string>,
  groupInstanceId: string | null = null
): GroupMember => ({
  memberId,
  groupInstanceId,
  topics,
  ownedPartitions: [],
  generationId: -1
})

/** The assignment as in Java's own test: `{ member: "t1-0, t1-1" }`. */
const assign = (members: ReadonlyArray<GroupMember>, partitionCounts: Record<string, number>): Record<string, string> =>
  Object.fromEntries(
    Array.from(
      rangeAssignor.assign(members, new Map(Object.entries(partitionCounts))),
      ([memberId, partitions]) => [memberId, partitions.map(topicPartitionKey).join(", ")]
    )
  )

/** Members `c0`, `c1`, … with these topics. */
const consumers = (...topics: ReadonlyArray<ReadonlyArray<string>>): ReadonlyArray<GroupMember> =>
  topics.map((ofMember, index) => member(`c${index}`, ofMember))

describe("rangeAssignor", () => {
  it("negotiates as Java's does", () => {
    assert.strictEqual(rangeAssignor.name, "range")
    assert.strictEqual(rangeAssignor.protocol, "eager")
  })

  describe("gives what Java's RangeAssignor gives", () => {
    it("to a member without a topic, or with an unknown one", () => {
      assert.deepStrictEqual(assign(consumers([]), {}), { c0: "" })
      assert.deepStrictEqual(assign(consumers(["t1"]), {}), { c0: "" })
    })

    it("to one member", () => {
      assert.deepStrictEqual(assign(consumers(["t1"]), { t1: 3 }), { c0: "t1-0, t1-1, t1-2" })
      assert.deepStrictEqual(assign(consumers(["t1"]), { t1: 3, other: 3 }), { c0: "t1-0, t1-1, t1-2" })
      assert.deepStrictEqual(assign(consumers(["t1", "t2"]), { t1: 1, t2: 2 }), { c0: "t1-0, t2-0, t2-1" })
    })

    it("to two members", () => {
      assert.deepStrictEqual(assign(consumers(["t1"], ["t1"]), { t1: 1 }), { c0: "t1-0", c1: "" })
      assert.deepStrictEqual(assign(consumers(["t1"], ["t1"]), { t1: 2 }), { c0: "t1-0", c1: "t1-1" })
      assert.deepStrictEqual(assign(consumers(["t1", "t2"], ["t1", "t2"]), { t1: 3, t2: 3 }), {
        c0: "t1-0, t1-1, t2-0, t2-1",
        c1: "t1-2, t2-2"
      })
    })

    it("to members with different topics", () => {
      assert.deepStrictEqual(assign(consumers(["t1"], ["t1", "t2"], ["t1"]), { t1: 3, t2: 2 }), {
        c0: "t1-0",
        c1: "t1-1, t2-0, t2-1",
        c2: "t1-2"
      })
      assert.deepStrictEqual(
        assign(consumers(["t1", "t2", "t3"], ["t1", "t2", "t3"], ["t1", "t3"]), { t1: 6, t2: 7, t3: 2 }),
        {
          c0: "t1-0, t1-1, t2-0, t2-1, t2-2, t2-3, t3-0",
          c1: "t1-2, t1-3, t2-4, t2-5, t2-6, t3-1",
          c2: "t1-4, t1-5"
        }
      )
      assert.deepStrictEqual(
        assign(consumers(["t1", "t2", "t3"], ["t1", "t2", "t3"], ["t1", "t3"]), { t1: 5, t2: 5, t3: 5 }),
        {
          c0: "t1-0, t1-1, t2-0, t2-1, t2-2, t3-0, t3-1",
          c1: "t1-2, t1-3, t2-3, t2-4, t3-2, t3-3",
          c2: "t1-4, t3-4"
        }
      )
    })

    it("to three members with the same topics", () => {
      const topics = ["t1", "t2", "t3", "t4", "t5", "t6", "t7", "t8", "t9"]
      assert.deepStrictEqual(assign(consumers(topics, topics, topics), { t1: 6, t2: 7, t3: 2 }), {
        c0: "t1-0, t1-1, t2-0, t2-1, t2-2, t3-0",
        c1: "t1-2, t1-3, t2-3, t2-4, t3-1",
        c2: "t1-4, t1-5, t2-5, t2-6"
      })
      assert.deepStrictEqual(assign(consumers(topics, topics, topics), { t1: 6, t2: 6, t3: 2, t4: 2, t5: 4, t6: 4 }), {
        c0: "t1-0, t1-1, t2-0, t2-1, t3-0, t4-0, t5-0, t5-1, t6-0, t6-1",
        c1: "t1-2, t1-3, t2-2, t2-3, t3-1, t4-1, t5-2, t6-2",
        c2: "t1-4, t1-5, t2-4, t2-5, t5-3, t6-3"
      })
    })

    it("to four members, in pairs and together", () => {
      const counts = { t1: 6, t2: 6, t3: 2, t4: 2 }
      assert.deepStrictEqual(assign(consumers(["t1", "t2"], ["t1", "t2"], ["t3", "t4"], ["t3", "t4"]), counts), {
        c0: "t1-0, t1-1, t1-2, t2-0, t2-1, t2-2",
        c1: "t1-3, t1-4, t1-5, t2-3, t2-4, t2-5",
        c2: "t3-0, t4-0",
        c3: "t3-1, t4-1"
      })
      const all = Object.keys(counts)
      assert.deepStrictEqual(assign(consumers(all, all, all, all), counts), {
        c0: "t1-0, t1-1, t2-0, t2-1, t3-0, t4-0",
        c1: "t1-2, t1-3, t2-2, t2-3, t3-1, t4-1",
        c2: "t1-4, t2-4",
        c3: "t1-5, t2-5"
      })
    })

    it("to static members, by instance id and before dynamic ones", () => {
      const topics = ["t1", "t2"]
      assert.deepStrictEqual(
        assign([member("consumer-a", topics, "instance2"), member("consumer-b", topics, "instance1")], {
          t1: 3,
          t2: 3
        }),
        { "consumer-b": "t1-0, t1-1, t2-0, t2-1", "consumer-a": "t1-2, t2-2" }
      )
      assert.deepStrictEqual(
        assign([member("consumer-a", topics), member("consumer-b", topics, "instance1")], { t1: 3, t2: 3 }),
        { "consumer-b": "t1-0, t1-1, t2-0, t2-1", "consumer-a": "t1-2, t2-2" }
      )
      const statics = [1, 2, 3].map((n) => member(`consumer${n}`, topics, `instance${n}`))
      for (const dynamic of ["consumer4", "a-consumer"]) {
        assert.deepStrictEqual(assign([member(dynamic, topics), ...statics], { t1: 5, t2: 4 }), {
          consumer1: "t1-0, t1-1, t2-0",
          consumer2: "t1-2, t2-1",
          consumer3: "t1-3, t2-2",
          [dynamic]: "t1-4, t2-3"
        })
      }
    })

    it("to a static member that came back under another member id", () => {
      const topics = ["t1", "t2"]
      const returned = [
        member("consumer1", topics, "instance1"),
        member("consumer5", topics, "instance2"),
        member("consumer4", topics, "instance3")
      ]
      assert.deepStrictEqual(assign(returned, { t1: 5, t2: 5 }), {
        consumer1: "t1-0, t1-1, t2-0, t2-1",
        consumer5: "t1-2, t1-3, t2-2, t2-3",
        consumer4: "t1-4, t2-4"
      })
    })
  })

  it("splits every topic into consecutive ranges that differ by one at most, whatever the order of the members", () => {
    const topics = ["t0", "t1", "t2"]
    FastCheck.assert(
      FastCheck.property(
        FastCheck.array(FastCheck.subarray(topics), { minLength: 1, maxLength: 6 }),
        FastCheck.tuple(...topics.map(() => FastCheck.nat({ max: 9 }))),
        (subscriptions, counts) => {
          const members = consumers(...subscriptions)
          const partitionCounts = new Map(topics.map((topic, index) => [topic, counts[index]!]))
          const assignment = rangeAssignor.assign(members, partitionCounts)
          assert.deepStrictEqual(
            new Map(rangeAssignor.assign(Array.from(members).reverse(), partitionCounts)),
            new Map(assignment)
          )
          for (const [topic, count] of partitionCounts) {
            const ranges = members.filter((one) => one.topics.includes(topic)).map((one) =>
              assignment.get(one.memberId)!.filter((partition) => partition.topic === topic)
                .map(({ partition }) => partition)
            )
            if (ranges.length === 0) continue
            assert.deepStrictEqual(ranges.flat(), Array.from({ length: count }, (_, index) => index))
            const sizes = ranges.map((range) => range.length)
            assert.isAtMost(Math.max(...sizes) - Math.min(...sizes), 1)
          }
          const given = Array.from(assignment.entries())
          assert.isTrue(
            given.every(([memberId, partitions]) =>
              partitions.every(({ topic }) => members.find((one) => one.memberId === memberId)!.topics.includes(topic))
            )
          )
        }
      ),
      { seed: 1, numRuns: 500 }
    )
  })
})
