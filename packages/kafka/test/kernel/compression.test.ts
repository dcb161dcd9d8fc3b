import { assert, describe, it } from "@effect/vitest"
import { builtInCodecs, codecLookup, ExpandedTooLarge, gzip } from "@sluice/kafka/internal/kernel/compression"
import { FastCheck } from "effect"

describe("gzip", () => {
  it.prop(
    "gives back what it took",
    [FastCheck.uint8Array({ maxLength: 2_000 })],
    ([bytes]) => {
      const expanded = gzip.decompress(gzip.compress(bytes), bytes.length)
      assert.deepStrictEqual(new Uint8Array(expanded), bytes)
    },
    { fastCheck: { seed: 4, numRuns: 100 } }
  )

  it("stops at the bound", () => {
    const bomb = gzip.compress(new Uint8Array(50_000_000))
    assert.isBelow(bomb.length, 60_000)
    assert.throws(() => gzip.decompress(bomb, 1_000_000), ExpandedTooLarge)
    assert.throws(() => gzip.decompress(gzip.compress(new Uint8Array(1_001)), 1_000), ExpandedTooLarge)
    assert.strictEqual(gzip.decompress(gzip.compress(new Uint8Array(1_000)), 1_000).length, 1_000)
  })

  it("refuses what is not gzip, and what is cut off", () => {
    const compressed = gzip.compress(Buffer.from("some text, some text"))
    assert.throws(() => gzip.decompress(Buffer.from("not gzip"), 1_000), /header/)
    assert.throws(() => gzip.decompress(compressed.subarray(0, compressed.length - 1), 1_000), /end of file/)
    assert.throws(() => gzip.decompress(new Uint8Array(0), 1_000), /end of file/)
  })
})

describe("codecLookup", () => {
  it("finds codecs by their number", () => {
    const lz4 = {
      type: "lz4",
      compress: (bytes: Uint8Array) => bytes,
      decompress: (bytes: Uint8Array) => bytes
    } as const
    const lookup = codecLookup([gzip, lz4])
    assert.strictEqual(lookup(1), gzip)
    assert.strictEqual(lookup(3), lz4)
    assert.isUndefined(lookup(0))
    assert.isUndefined(lookup(4))
  })

  it("knows gzip alone by default", () => {
    assert.deepStrictEqual([0, 1, 2, 3, 4, 5, 6, 7].map((type) => builtInCodecs(type)?.type), [
      undefined,
      "gzip",
      undefined,
      undefined,
      undefined,
      undefined,
      undefined,
      undefined
    ])
  })
})
