import { assert, describe, it } from "@effect/vitest"
import { type Keyed, KeyedQueue } from "@sluice/kafka/internal/kernel/keyedQueue"
import { FastCheck } from "effect"

class Item implements Keyed<Item> {
  nextReady: Item | undefined
  nextOfKey: Item | undefined
  readonly key: number | undefined
  readonly index: number

  constructor(key: number | undefined, index: number) {
    this.key = key
    this.index = index
  }
}

const filled = (keys: ReadonlyArray<number | undefined>) => {
  const queue = new KeyedQueue<Item>()
  keys.forEach((key, index) => queue.offer(new Item(key, index)))
  return queue
}

const takeAll = (queue: KeyedQueue<Item>) => {
  const taken: Array<Item> = []
  for (let item = queue.take(); item !== undefined; item = queue.take()) taken.push(item)
  return taken
}

const indexes = (items: ReadonlyArray<Item>) => items.map(({ index }) => index)

describe("KeyedQueue", () => {
  it("gives one item of each key at a time, and those without a key at once", () => {
    const queue = filled([1, 1, 2, undefined, undefined, 1])
    const taken = takeAll(queue)
    assert.deepStrictEqual(indexes(taken), [0, 2, 3, 4])
    for (const item of taken) queue.release(item)
    const [second] = takeAll(queue)
    assert.strictEqual(second!.index, 1)
    queue.release(second!)
    assert.deepStrictEqual(indexes(takeAll(queue)), [5])
  })

  it("abandons a key together with what waits for it", () => {
    const queue = filled([1, 1, 2, 1])
    const first = queue.take()!
    assert.deepStrictEqual(indexes(queue.abandon(first)), [1, 3])
    assert.deepStrictEqual(indexes(takeAll(queue)), [2])
    queue.offer(new Item(1, 4))
    assert.deepStrictEqual(indexes(takeAll(queue)), [4])
  })

  it("drops what is not to be taken any more, also behind others that are dropped", () => {
    const queue = filled([1, 1, 1, 2, undefined, 2])
    queue.drop(({ index }) => index < 2 || index === 3 || index === 4)
    assert.strictEqual(queue.ready, 2)
    assert.deepStrictEqual(indexes(takeAll(queue)), [2, 5])
  })

  it("is what a list with the keys in hand would give", () => {
    const step = FastCheck.oneof(
      { weight: 4, arbitrary: FastCheck.record({ offer: FastCheck.option(FastCheck.nat(4), { nil: undefined }) }) },
      { weight: 3, arbitrary: FastCheck.constant("take" as const) },
      { weight: 3, arbitrary: FastCheck.nat(10) },
      { weight: 1, arbitrary: FastCheck.record({ abandon: FastCheck.nat(10) }) },
      { weight: 1, arbitrary: FastCheck.record({ drop: FastCheck.nat(6) }) }
    )
    FastCheck.assert(
      FastCheck.property(FastCheck.array(step, { maxLength: 300 }), (steps) => {
        const queue = new KeyedQueue<Item>()
        /** Those that wait in each key's line, the one in hand aside. */
        let waiting: Array<Item> = []
        let inHand: Array<Item> = []
        const isFree = (item: Item) =>
          item.key === undefined ||
          (!inHand.some(({ key }) => key === item.key) && waiting.find(({ key }) => key === item.key) === item)
        let offered = 0
        const taken = new Map<number | undefined, Array<number>>()
        for (const each of steps) {
          if (each === "take") {
            const item = queue.take()
            if (item === undefined) {
              assert.isFalse(waiting.some(isFree), "an item that waits for none was not given")
              continue
            }
            assert.isTrue(waiting.includes(item) && isFree(item), `item ${item.index} was given too early, or twice`)
            waiting = waiting.filter((other) => other !== item)
            inHand.push(item)
            if (item.key === undefined) continue
            const before = taken.get(item.key) ?? []
            assert.isTrue(before.every((index) => index < item.index), "out of the order of its key")
            taken.set(item.key, [...before, item.index])
          } else if (typeof each === "number") {
            const item = inHand[each % Math.max(1, inHand.length)]
            if (item === undefined) continue
            inHand = inHand.filter((other) => other !== item)
            queue.release(item)
          } else if ("offer" in each) {
            const item = new Item(each.offer, offered++)
            waiting.push(item)
            queue.offer(item)
          } else if ("abandon" in each) {
            const item = inHand[each.abandon % Math.max(1, inHand.length)]
            if (item === undefined) continue
            inHand = inHand.filter((other) => other !== item)
            const behind = item.key === undefined ? [] : waiting.filter(({ key }) => key === item.key)
            assert.deepStrictEqual(indexes(queue.abandon(item)), indexes(behind))
            waiting = waiting.filter((other) => !behind.includes(other))
          } else {
            const isDropped = ({ index }: Item) => index % 7 === each.drop
            queue.drop(isDropped)
            // Those at the head of a line that is free, again and again.
            for (let found = waiting.find((item) => isFree(item) && isDropped(item)); found !== undefined;) {
              const gone = found
              waiting = waiting.filter((other) => other !== gone)
              found = waiting.find((item) => isFree(item) && isDropped(item))
            }
          }
          assert.strictEqual(queue.ready, waiting.filter(isFree).length)
        }
      }),
      { numRuns: 300 }
    )
  })
})
