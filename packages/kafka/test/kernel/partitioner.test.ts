import { assert, describe, it } from "@effect/vitest"
import { keyedPartition, nextSticky } from "@sluice/kafka/internal/kernel/partitioner"
import { FastCheck } from "effect"

interface Partition {
  readonly leader: number
  readonly crowded: boolean
}

const partition = FastCheck.record<Partition>({
  leader: FastCheck.integer({ min: -1, max: 2 }),
  crowded: FastCheck.boolean()
})
const random = FastCheck.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
const choose = (current: number, partitions: ReadonlyArray<Partition>, random: number): number =>
  nextSticky(current, partitions, ({ crowded }) => crowded, random)

describe("nextSticky", () => {
  it("takes the best there is: led and with room, else led, else any", () => {
    FastCheck.assert(FastCheck.property(
      FastCheck.array(partition, { minLength: 1, maxLength: 8 }),
      FastCheck.integer({ min: -1, max: 8 }),
      random,
      (partitions, current, random) => {
        const choice = choose(current, partitions, random)
        const chosen = partitions[choice]!
        assert.isDefined(chosen)
        const led = partitions.filter(({ leader }) => leader !== -1)
        if (led.length > 0) assert.notStrictEqual(chosen.leader, -1)
        if (partitions.some(({ crowded, leader }, i) => leader !== -1 && !crowded && i !== current)) {
          assert.isFalse(chosen.crowded)
          assert.notStrictEqual(choice, current)
        }
      }
    ))
  })

  it("comes to every partition, and as often to one as to another", () => {
    const partitions = Array.from({ length: 5 }, () => ({ leader: 1, crowded: false }))
    const counts = new Map<number, number>()
    for (let i = 0; i < 400; i++) {
      const choice = choose(2, partitions, i / 400)
      counts.set(choice, (counts.get(choice) ?? 0) + 1)
    }
    assert.deepStrictEqual(Array.from(counts), [[0, 100], [1, 100], [3, 100], [4, 100]])
  })

  it("stays where there is no other", () => {
    assert.strictEqual(choose(0, [{ leader: 1, crowded: true }], 0.9), 0)
    assert.strictEqual(choose(1, [{ leader: -1, crowded: false }, { leader: 2, crowded: true }], 0.1), 1)
    assert.strictEqual(choose(-1, [{ leader: -1, crowded: false }, { leader: -1, crowded: false }], 0.9), 1)
  })

  it("has nothing to give for a topic without partitions", () => {
    assert.isUndefined([][choose(-1, [], 0.5)])
  })
})

describe("keyedPartition", () => {
  it("is always one of the partitions, and the same for the same key", () => {
    FastCheck.assert(
      FastCheck.property(FastCheck.uint8Array(), FastCheck.integer({ min: 1, max: 1000 }), (key, count) => {
        const choice = keyedPartition(key, count)
        assert.isTrue(Number.isInteger(choice) && choice >= 0 && choice < count)
        assert.strictEqual(keyedPartition(Uint8Array.from(key), count), choice)
      })
    )
  })
})
