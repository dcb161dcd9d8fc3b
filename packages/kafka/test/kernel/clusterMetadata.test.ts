import { assert, describe, it } from "@effect/vitest"
import {
  type ClusterMetadata,
  empty,
  type PartitionMetadata,
  type TopicMetadata,
  update
} from "@sluice/kafka/internal/kernel/clusterMetadata"
import { FastCheck } from "effect"

const broker = (id: number) => ({ id, host: `b${id}`, port: 9092 })
const topic = (
  partitions: ReadonlyArray<readonly [leader: number, leaderEpoch: number]>,
  fields: Partial<TopicMetadata> = {}
): TopicMetadata => ({
  name: "t",
  errorCode: 0,
  partitions: partitions.map(([leader, leaderEpoch], partition) => ({ partition, leader, leaderEpoch })),
  ...fields
})
const after = (...answers: ReadonlyArray<TopicMetadata>): ClusterMetadata =>
  answers.reduce((view, answer) => update(view, 1, [broker(1)], [answer]), empty)
const partitions = (view: ClusterMetadata): ReadonlyArray<PartitionMetadata> => view.topics.get("t")!.partitions

describe("update", () => {
  it("takes over what is answered, and keeps the topics that are not named", () => {
    const first = update(empty, 1, [broker(1), broker(2)], [topic([[1, 0]])])
    const second = update(first, 2, [broker(2)], [topic([[2, 0]], { name: "u" })])
    assert.deepStrictEqual(Array.from(second.topics.keys()), ["t", "u"])
    assert.deepStrictEqual(Array.from(second.brokers.keys()), [2])
    assert.strictEqual(second.controller, 2)
    assert.strictEqual(second.version, 2)
    assert.deepStrictEqual(Array.from(first.brokers.keys()), [1, 2], "the view before is not changed")
  })

  it("never goes back to an older leader of the same topic", () => {
    const answer = FastCheck.array(
      FastCheck.tuple(FastCheck.integer({ min: -1, max: 3 }), FastCheck.integer({ min: 0, max: 9 })),
      { minLength: 2, maxLength: 2 }
    )
    FastCheck.assert(FastCheck.property(
      FastCheck.array(answer, { minLength: 1 }),
      FastCheck.boolean(),
      (answers, hasIds) => {
        const highest = [-1, -1]
        let view = empty
        for (const leaders of answers) {
          view = update(view, 1, [], [topic(leaders, hasIds ? { topicId: "id" } : {})])
          partitions(view).forEach(({ leader, leaderEpoch }, i) => {
            const [freshLeader, freshEpoch] = leaders[i]!
            if (freshEpoch >= highest[i]!) assert.deepStrictEqual([leader, leaderEpoch], [freshLeader, freshEpoch])
            else assert.strictEqual(leaderEpoch, highest[i])
            highest[i] = leaderEpoch
          })
        }
      }
    ))
  })

  it("takes a partition without an epoch as it comes", () => {
    assert.deepInclude(partitions(after(topic([[1, 5]]), topic([[2, -1]])))[0], { leader: 2, leaderEpoch: -1 })
  })

  it("starts over with another topic of the same name", () => {
    const old = topic([[1, 7]], { topicId: "old" })
    assert.deepInclude(partitions(after(old, topic([[2, 0]], { topicId: "new" })))[0], { leader: 2, leaderEpoch: 0 })
    assert.deepInclude(partitions(after(old, topic([[2, 0]], { topicId: "old" })))[0], { leader: 1, leaderEpoch: 7 })
    const shrunk = after(topic([[1, 7], [1, 7]]), topic([[2, 0]]))
    assert.deepInclude(partitions(shrunk)[0], { leader: 2, leaderEpoch: 0 })
    assert.strictEqual(partitions(shrunk).length, 1)
  })

  it("keeps the epochs of partitions when others are added", () => {
    const grown = partitions(after(topic([[1, 7]]), topic([[2, 6], [2, 0]])))
    assert.deepStrictEqual(grown.map(({ leader, leaderEpoch }) => [leader, leaderEpoch]), [[1, 7], [2, 0]])
  })

  it("says what the cluster said of a topic that is gone, and takes it when it is back", () => {
    const gone = topic([], { errorCode: 3 })
    assert.deepInclude(after(topic([[1, 7]]), gone).topics.get("t"), { errorCode: 3, partitions: [] })
    assert.deepInclude(partitions(after(topic([[1, 7]]), gone, topic([[2, 0]])))[0], { leader: 2, leaderEpoch: 0 })
  })
})
