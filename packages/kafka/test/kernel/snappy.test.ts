import { assert, describe, it } from "@effect/vitest"
import { ExpandedTooLarge } from "@sluice/kafka/internal/kernel/expandedTooLarge"
import { snappy } from "@sluice/kafka/internal/kernel/snappy"
import { MalformedBytes } from "@sluice/kafka/internal/kernel/varint"

import { compressed, noise, text } from "./compressed.ts"

const streamHeader = [0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0, 0, 0, 0, 1, 0, 0, 0, 1]

const stream = (...blocks: ReadonlyArray<ReadonlyArray<number>>): Uint8Array =>
  Uint8Array.from([...streamHeader, ...blocks.flatMap((block) => [0, 0, 0, block.length, ...block])])

const expand = (bytes: Iterable<number>): ReadonlyArray<number> => [...snappy.decompress(Uint8Array.from(bytes), 1_000)]

const literal = (...bytes: ReadonlyArray<number>): ReadonlyArray<number> => [(bytes.length - 1) << 2, ...bytes]

describe("Snappy", () => {
  it("is written as Java writes it: a stream of blocks", () => {
    assert.deepStrictEqual(snappy.compress(new Uint8Array(0)), Uint8Array.from(streamHeader))
    assert.deepStrictEqual([...snappy.compress(Uint8Array.of(1, 2, 3))], [...stream([3, ...literal(1, 2, 3)])])
  })

  it("is read as a stream of blocks", () => {
    assert.deepStrictEqual(expand(stream([2, ...literal(1, 2)], [0], [3, ...literal(3, 4, 5)])), [1, 2, 3, 4, 5])
    assert.deepStrictEqual(expand(stream()), [])
  })

  it("is read as one block, as other clients write it", () => {
    const bytes = compressed("block.snappy")
    assert.strictEqual(Buffer.compare(snappy.decompress(bytes, text.length), text), 0)
    assert.throws(() => snappy.decompress(bytes, text.length - 1), ExpandedTooLarge)
    assert.deepStrictEqual(expand([0]), [])
  })

  it("copies literals whose length takes 1 to 4 bytes", () => {
    const bytes = [...noise(300)]
    const size = [300 % 128 | 0x80, 300 >> 7]
    assert.deepStrictEqual(expand([...size, 61 << 2, 299 & 0xff, 299 >> 8, ...bytes]), bytes)
    assert.deepStrictEqual(expand([...size, 62 << 2, 299 & 0xff, 299 >> 8, 0, ...bytes]), bytes)
    assert.deepStrictEqual(expand([...size, 63 << 2, 299 & 0xff, 299 >> 8, 0, 0, ...bytes]), bytes)
    assert.deepStrictEqual(expand([61, 60 << 2, 60, ...bytes.slice(0, 61)]), bytes.slice(0, 61))
  })

  it("repeats what was before, by distances of 1, 2 and 4 bytes", () => {
    const start = Array.from({ length: 15 }, (_, index) => index + 1)
    for (let distance = 1; distance <= 15; distance++) {
      for (const length of [4, 5, 7, 8, 11]) {
        const expected = [...start]
        for (let index = 0; index < length; index++) expected.push(expected[expected.length - distance]!)
        const copies = [
          [(length - 4) << 2 | 1, distance],
          [(length - 1) << 2 | 2, distance, 0],
          [(length - 1) << 2 | 3, distance, 0, 0, 0]
        ]
        for (const copy of copies) {
          assert.deepStrictEqual(expand([16 + length, ...literal(...start), ...copy, ...literal(99)]), [
            ...expected,
            99
          ])
        }
      }
    }
  })

  it("writes copies of every length so that they can be read", () => {
    for (let length = 1; length < 300; length++) {
      for (const distance of [1, 3, 50, 3_000]) {
        const bytes = new Uint8Array(distance + length + 20)
        const fresh = noise(distance)
        for (let index = 0; index < distance + length; index++) bytes[index] = fresh[index % distance]!
        assert.strictEqual(Buffer.compare(snappy.decompress(snappy.compress(bytes), bytes.length), bytes), 0)
      }
    }
  })

  const broken: ReadonlyArray<readonly [what: string, bytes: Iterable<number>, message: RegExp]> = [
    ["nothing", [], /cut off/],
    ["a size without an end", [0x80, 0x80], /cut off/],
    ["a size of six bytes", [0x80, 0x80, 0x80, 0x80, 0x80, 0x01], /does not end/],
    ["a size that its bytes cannot have", [0xff, 0xff, 0xff, 0xff, 0x0f, ...literal(1)], /says it has 4294967295/],
    ["a smaller size than it has", [1, ...literal(1, 2)], /another size/],
    ["a larger size than it has", [3, ...literal(1, 2)], /another size/],
    ["a copy beyond its size", [5, ...literal(1, 2), 1, 1], /another size/],
    ["a literal that is cut off", [3, 2 << 2, 1, 2], /cut off/],
    ["a literal's length that is cut off", [3, 63 << 2, 1, 2], /cut off/],
    ["a distance that is cut off", [5, ...literal(1), 2, 1], /cut off/],
    ["a distance of 0", [5, ...literal(1), 1, 0], /0 bytes before 1/],
    ["a distance before the beginning", [5, ...literal(1), 1, 2], /2 bytes before 1/],
    ["a distance into the block before", stream([1, ...literal(1)], [5, ...literal(1), 1, 2]), /2 bytes before 1/],
    ["half a header", streamHeader.slice(0, 12), /cut off/],
    ["half a block's length", [...streamHeader, 0, 0], /cut off/],
    ["a block beyond its end", [...streamHeader, 0, 0, 0, 9, 1, ...literal(1)], /cut off/],
    ["a negative length", [...streamHeader, 0xff, 0xff, 0xff, 0xff, 1, ...literal(1)], /cut off/]
  ]
  for (const [what, bytes, message] of broken) {
    it(`is refused with ${what}`, () => {
      assert.throws(() => expand(bytes), message)
      assert.throws(() => expand(bytes), MalformedBytes)
    })
  }
})
