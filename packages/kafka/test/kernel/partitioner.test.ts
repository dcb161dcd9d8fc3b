import { assert, describe, it } from "@effect/vitest"
import { anyPartition, nextInTurn, nextSticky } from "@sluice/kafka/internal/kernel/partitioner"
import { FastCheck } from "effect"

interface Partition {
  readonly leader: number
  readonly crowded: boolean
  readonly reserved: number
}

const partition = FastCheck.record<Partition>({
  leader: FastCheck.integer({ min: -1, max: 2 }),
  crowded: FastCheck.boolean(),
  reserved: FastCheck.nat(10)
})
const random = FastCheck.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
const choose = (current: number, partitions: ReadonlyArray<Partition>, random: number): number =>
  nextSticky(current, partitions, ({ crowded }) => crowded, () => random)

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
        const free = partitions.filter(({ crowded, leader }, i) => leader !== -1 && !crowded && i !== current)
        if (free.length > 0) {
          assert.isFalse(chosen.crowded)
          assert.notStrictEqual(choice, current)
          const average = free.reduce((sum, { reserved }) => sum + reserved, 0) / free.length
          assert.isAtMost(chosen.reserved, average + 1e-9)
        }
      }
    ))
  })

  it("comes to every partition, and as often to one as to another", () => {
    const partitions = Array.from({ length: 5 }, () => ({ leader: 1, crowded: false, reserved: 7 }))
    const counts = new Map<number, number>()
    for (let i = 0; i < 400; i++) {
      const choice = choose(2, partitions, i / 400)
      counts.set(choice, (counts.get(choice) ?? 0) + 1)
    }
    assert.deepStrictEqual(Array.from(counts), [[0, 100], [1, 100], [3, 100], [4, 100]])
  })

  it("leaves out those that hold more than the others", () => {
    const partitions = [0, 100, 100, 1000, 200].map((reserved) => ({ leader: 1, crowded: false, reserved }))
    const chosen = new Set(Array.from({ length: 100 }, (_, i) => choose(0, partitions, i / 100)))
    assert.deepStrictEqual(Array.from(chosen), [1, 2, 4])
  })

  it("stays where there is no other", () => {
    assert.strictEqual(choose(0, [{ leader: 1, crowded: true, reserved: 0 }], 0.9), 0)
    assert.strictEqual(
      choose(1, [{ leader: -1, crowded: false, reserved: 0 }, { leader: 2, crowded: true, reserved: 0 }], 0.1),
      1
    )
    assert.strictEqual(
      choose(-1, [{ leader: -1, crowded: false, reserved: 0 }, { leader: -1, crowded: false, reserved: 0 }], 0.9),
      1
    )
  })

  it("has nothing to give for a topic without partitions", () => {
    assert.isUndefined([][choose(-1, [], 0.5)])
  })
})

const leaders = (...leaders: ReadonlyArray<number>) => leaders.map((leader) => ({ leader }))

/** Gives these numbers, one after the other. */
const given = (...numbers: ReadonlyArray<number>) => {
  let next = 0
  return () => numbers[next++]!
}

/** The partitions that are chosen one after the other. */
const inTurn = (start: number, partitions: ReadonlyArray<{ readonly leader: number }>, times: number) => {
  let current = start
  return Array.from({ length: times }, () => current = nextInTurn(current, partitions, () => 0.5))
}

describe("nextInTurn", () => {
  it("goes round", () => {
    assert.deepStrictEqual(inTurn(2, leaders(1, 1, 1, 1), 6), [3, 0, 1, 2, 3, 0])
  })

  it("begins anywhere", () => {
    const starts = [0, 0.3, 0.6, 0.99].map((random) => nextInTurn(-1, leaders(1, 1, 1, 1), () => random))
    assert.deepStrictEqual(starts, [0, 1, 2, 3])
  })

  it("leaves out partitions without a leader, as long as there are others", () => {
    assert.deepStrictEqual(inTurn(0, leaders(1, -1, -1, 1), 4), [3, 0, 3, 0])
    assert.deepStrictEqual(inTurn(0, leaders(-1, -1, -1), 4), [1, 2, 0, 1])
  })

  it("goes on where there are more partitions, or fewer, than before", () => {
    assert.deepStrictEqual(inTurn(1, leaders(1, 1, 1), 2), [2, 0])
    assert.deepStrictEqual(inTurn(7, leaders(1, 1, 1), 2), [2, 0])
  })

  it("recovers from a topic that had no partitions", () => {
    const none = nextInTurn(0, [], () => 0.5)
    assert.isUndefined([][none])
    assert.strictEqual(nextInTurn(none, leaders(1, 1), () => 0.5), 1)
  })
})

describe("anyPartition", () => {
  it("takes each as often as another", () => {
    const counts = new Array<number>(5).fill(0)
    for (let i = 0; i < 500; i++) counts[anyPartition(leaders(1, 1, 1, 1, 1), () => i / 500)]!++
    assert.deepStrictEqual(counts, [100, 100, 100, 100, 100])
  })

  it("takes each that has a leader as often as another, and no others", () => {
    const counts = new Array<number>(4).fill(0)
    for (let i = 0; i < 100; i++) {
      for (let j = 0; j < 100; j++) counts[anyPartition(leaders(1, -1, 1, -1), given(i / 100, j / 100))]!++
    }
    assert.deepStrictEqual(counts, [5000, 0, 5000, 0])
  })

  it("takes any where none has a leader", () => {
    assert.strictEqual(anyPartition(leaders(-1, -1, -1), () => 0.5), 1)
    assert.isUndefined([][anyPartition([], () => 0.5)])
  })
})
