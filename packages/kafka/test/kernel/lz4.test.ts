import { assert, describe, it } from "@effect/vitest"
import { ExpandedTooLarge } from "@sluice/kafka/internal/kernel/expandedTooLarge"
import { lz4 } from "@sluice/kafka/internal/kernel/lz4"
import { MalformedBytes } from "@sluice/kafka/internal/kernel/varint"
import { xxHash32 } from "@sluice/kafka/internal/kernel/xxHash32"

import { compressed, noise, text } from "./compressed.ts"

/** A frame of these flags and largest block, with the checksum that fits its header. */
const frame = (flags: number, blockSize: number, ...rest: ReadonlyArray<ReadonlyArray<number>>): Uint8Array => {
  const checksum = (xxHash32(Uint8Array.of(flags, blockSize)) >> 8) & 0xff
  return Uint8Array.from([0x04, 0x22, 0x4d, 0x18, flags, blockSize, checksum, ...rest.flat()])
}

const littleEndian = (value: number): ReadonlyArray<number> => [
  value & 0xff,
  (value >>> 8) & 0xff,
  (value >>> 16) & 0xff,
  value >>> 24
]

const block = (...bytes: ReadonlyArray<number>): ReadonlyArray<number> => [...littleEndian(bytes.length), ...bytes]
const endMark = littleEndian(0)

/** A frame of one block, as Java's clients write it. */
const ofBlock = (...bytes: ReadonlyArray<number>): Uint8Array => frame(0x60, 0x40, block(...bytes), endMark)

const expand = (bytes: Uint8Array, maxSize = 1_000): ReadonlyArray<number> => [...lz4.decompress(bytes, maxSize)]

describe("an LZ4 frame", () => {
  it("is written as Java writes it: independent blocks of 64 KiB, and no checksum but the header's", () => {
    assert.deepStrictEqual([...lz4.compress(new Uint8Array(0))], [
      ...[0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82],
      ...endMark
    ])
    assert.deepStrictEqual(
      [...lz4.compress(Uint8Array.of(1, 2, 3))],
      [...frame(0x60, 0x40), ...littleEndian(0x8000_0003), 1, 2, 3, ...endMark]
    )
  })

  for (const name of ["linked", "checksums", "large"]) {
    it(`of other libraries is read: ${name}`, () => {
      const bytes = compressed(`${name}.lz4`)
      assert.strictEqual(Buffer.compare(lz4.decompress(bytes, text.length), text), 0)
      assert.throws(() => lz4.decompress(bytes, text.length - 1), ExpandedTooLarge)
    })
  }

  it("may be followed by anything", () => {
    assert.deepStrictEqual(expand(Uint8Array.from([...ofBlock(0x10, 7), 1, 2, 3])), [7])
  })

  it("takes no more memory than it needs", () => {
    for (const bytes of [text, noise(300_000), new Uint8Array(1_000_000)]) {
      const expanded = lz4.decompress(lz4.compress(bytes), 128 * 1024 * 1024)
      assert.strictEqual(expanded.buffer.byteLength, bytes.length)
    }
  })

  const broken: ReadonlyArray<readonly [what: string, bytes: Uint8Array, message: RegExp]> = [
    ["no magic number", Uint8Array.of(0x05, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82), /no LZ4 frame/],
    ["nothing", new Uint8Array(0), /no LZ4 frame/],
    ["version 2", frame(0xa0, 0x40, endMark), /flags 160/],
    ["a dictionary", frame(0x61, 0x40, endMark), /flags 97/],
    ["a reserved bit", frame(0x62, 0x40, endMark), /flags 98/],
    ["blocks of 16 KiB", frame(0x60, 0x30, endMark), /flags 96 and 48/],
    ["a wrong header checksum", Uint8Array.of(0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x83, 0, 0, 0, 0), /header/],
    ["no end mark", frame(0x60, 0x40, block(0x10, 7)), /cut off/],
    ["a block beyond its end", frame(0x60, 0x40, littleEndian(9), [0x10, 7], endMark), /cut off/],
    ["a content checksum that is cut off", frame(0x64, 0x40, endMark, [1]), /cut off/],
    ["a wrong content checksum", frame(0x64, 0x40, endMark, [1, 2, 3, 4]), /content/],
    ["a wrong block checksum", frame(0x70, 0x40, block(0x10, 7), [1, 2, 3, 4], endMark), /block/],
    ["literals beyond the block", ofBlock(0x50, 1, 2), /cut off/],
    ["a length without an end", ofBlock(0xf0, 255, 255), /cut off/],
    ["half a distance", ofBlock(0x10, 7, 1), /cut off/],
    ["nothing after a match", ofBlock(0x10, 7, 1, 0), /cut off/],
    ["a match without a length", ofBlock(0x1f, 7, 1, 0), /cut off/],
    ["a distance of 0", ofBlock(0x10, 7, 0, 0, 0), /0 bytes before 1/],
    ["a distance before the beginning", ofBlock(0x10, 7, 2, 0, 0), /2 bytes before 1/]
  ]
  for (const [what, bytes, message] of broken) {
    it(`is refused with ${what}`, () => {
      assert.throws(() => lz4.decompress(bytes, 1_000), message)
      assert.throws(() => lz4.decompress(bytes, 1_000), MalformedBytes)
    })
  }

  it("has no block larger than its header says", () => {
    const zeros = ofBlock(0x1f, 0, 1, 0, ...new Array<number>(300).fill(255), 0, 0)
    assert.throws(() => lz4.decompress(zeros, 1_000_000), MalformedBytes, "more than 65536 bytes")
    assert.throws(() => lz4.decompress(zeros, 60_000), ExpandedTooLarge)
  })
})

describe("a sequence of LZ4", () => {
  it("copies literals", () => {
    const long = [...noise(300)]
    assert.deepStrictEqual(expand(ofBlock(0x30, 1, 2, 3)), [1, 2, 3])
    assert.deepStrictEqual(expand(ofBlock(0xf0, 255, 30, ...long)), long)
    assert.deepStrictEqual(expand(ofBlock(0xf0, 0, ...long.slice(0, 15))), long.slice(0, 15))
  })

  it("repeats what was before, at every distance, and what it has just written", () => {
    for (let distance = 1; distance <= 15; distance++) {
      for (const extra of [0, 1, 2, 3, 4, 5, 10, 14]) {
        const literals = Array.from({ length: 15 }, (_, index) => index + 1)
        const expected = [...literals]
        for (let index = 0; index < extra + 4; index++) expected.push(expected[expected.length - distance]!)
        assert.deepStrictEqual(expand(ofBlock(0xf0 | extra, 0, ...literals, distance, 0, 0x10, 99)), [...expected, 99])
      }
    }
    assert.deepStrictEqual(
      expand(ofBlock(0x2f, 1, 2, 2, 0, 255, 0, 0)),
      Array.from({ length: 276 }, (_, i) => 1 + i % 2)
    )
  })
})
