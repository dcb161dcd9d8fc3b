import { crc32 as zlibCrc32 } from "node:zlib"

import { assert, describe, it } from "@effect/vitest"
import { crc32 } from "@sluice/kafka/internal/kernel/crc32"
import { fnv1a } from "@sluice/kafka/internal/kernel/fnv1a"
import { FastCheck } from "effect"

describe("crc32", () => {
  it("has the check value of its catalogue", () => {
    assert.strictEqual(crc32(Buffer.from("123456789")), 0xcbf43926)
    assert.strictEqual(crc32(new Uint8Array(0)), 0)
  })

  it("is zlib's", () => {
    FastCheck.assert(
      FastCheck.property(FastCheck.uint8Array({ maxLength: 300 }), (bytes) => {
        assert.strictEqual(crc32(bytes), zlibCrc32(bytes))
      })
    )
  })
})

describe("fnv1a", () => {
  // From the reference code of Fowler, Noll and Vo.
  for (
    const [text, hash] of [
      ["", 0x811c9dc5],
      ["a", 0xe40c292c],
      ["b", 0xe70c2de5],
      ["foo", 0xa9f37ed7],
      ["foobar", 0xbf9cf968],
      ["chongo was here!\n", 0xd49930d5]
    ] as const
  ) {
    it(`of ${JSON.stringify(text)}`, () => {
      assert.strictEqual(fnv1a(Buffer.from(text)), hash | 0)
    })
  }
})
