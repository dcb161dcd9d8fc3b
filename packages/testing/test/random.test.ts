import { assert, describe, it } from "@effect/vitest"

import { makeRandomStream, type RandomStream } from "../src/internal/random.ts"

const take = (stream: RandomStream, count: number) => Array.from({ length: count }, stream)

describe("a stream of random numbers", () => {
  it("is the same for the same seed and number", () => {
    assert.deepStrictEqual(take(makeRandomStream(7, 1), 100), take(makeRandomStream(7, 1), 100))
  })

  it("has nothing to do with the next seed's, nor with another of its own seed", () => {
    const first = new Set<number>()
    for (let seed = 0; seed < 500; seed++) {
      for (let stream = 1; stream <= 5; stream++) first.add(makeRandomStream(seed, stream)())
    }
    assert.strictEqual(first.size, 2500)
  })

  it("depends on all of a seed, beyond 32 bits too", () => {
    const seeds = [0, -1, 1, 2 ** 32, 2 ** 33, 2 ** 32 + 1, Number.MAX_SAFE_INTEGER]
    assert.strictEqual(new Set(seeds.map((seed) => makeRandomStream(seed, 1)())).size, seeds.length)
  })

  it("is spread evenly from 0 to 1", () => {
    const buckets = Array.from({ length: 10 }, () => 0)
    for (const number of take(makeRandomStream(1, 1), 100_000)) buckets[Math.floor(number * 10)]!++
    for (const bucket of buckets) assert.closeTo(bucket, 10_000, 500)
  })
})
