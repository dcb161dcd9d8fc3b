import { assert, describe, it } from "@effect/vitest"
import {
  builtInCodecs,
  type Codec,
  codecLookup,
  compressionLevels,
  compressionTypes,
  gzip,
  gzipAt,
  missingCodec,
  zstdAt
} from "@sluice/kafka/internal/kernel/compression"
import { ExpandedTooLarge } from "@sluice/kafka/internal/kernel/expandedTooLarge"
import { FastCheck } from "effect"

import { noise, repetitive, text } from "./compressed.ts"

const codecs = ([1, 2, 3, 4] as const).map((type) => builtInCodecs(type)!)

const equal = (one: Uint8Array, other: Uint8Array): boolean => Buffer.compare(one, other) === 0

for (const codec of codecs) {
  const { compress, decompress } = codec

  describe(codec.type, () => {
    it.prop(
      "gives back what it took",
      [FastCheck.oneof(FastCheck.uint8Array({ maxLength: 2_000 }), repetitive)],
      ([bytes]) => assert.isTrue(equal(decompress(compress(bytes), bytes.length), bytes)),
      { fastCheck: { seed: 4, numRuns: 300 } }
    )

    it("gives back what it took, of every length around the blocks", () => {
      for (const length of [0, 1, 4, 5, 11, 12, 13, 14, 65_535, 65_536, 65_537, 131_072, 200_000]) {
        for (
          const bytes of [
            new Uint8Array(length),
            noise(length),
            new Uint8Array(length).map((_, index) => index / 7)
          ]
        ) {
          assert.isTrue(equal(decompress(compress(bytes), length), bytes), `${length}`)
        }
      }
    })

    it("takes a part of a larger buffer", () => {
      const part = new Uint8Array(Buffer.concat([noise(100), text, noise(100)]).buffer.slice(0)).subarray(100, 5_000)
      const packed = compress(part)
      const inside = Buffer.concat([noise(33), packed, noise(33)]).subarray(33, 33 + packed.length)
      assert.isTrue(equal(decompress(inside, part.length), part))
    })

    it("makes text smaller, and what cannot be made smaller hardly larger", () => {
      assert.isBelow(compress(text).length, text.length / 10)
      assert.isBelow(compress(noise(100_000)).length, 100_200)
    })

    it("stops at the bound", () => {
      for (const length of [1, 1_000, 65_536, 100_000]) {
        const packed = compress(new Uint8Array(length))
        assert.strictEqual(decompress(packed, length).length, length)
        if (length > 1) assert.throws(() => decompress(packed, length - 1), ExpandedTooLarge)
      }
      const incompressible = compress(noise(70_000))
      assert.throws(() => decompress(incompressible, 69_999), ExpandedTooLarge)
      assert.throws(() => decompress(incompressible, 10), ExpandedTooLarge)
    })

    it("a bomb takes neither memory nor time", () => {
      const bomb = compress(new Uint8Array(100_000_000))
      const before = process.memoryUsage().arrayBuffers
      assert.throws(() => decompress(bomb, 1_000_000), ExpandedTooLarge)
      assert.isBelow(process.memoryUsage().arrayBuffers - before, 10_000_000)
    })

    it("what is cut off is an error, or the beginning of what it was", () => {
      const bytes = text.subarray(0, 70_000)
      const packed = compress(bytes)
      for (let length = 0; length < packed.length; length++) {
        let result
        try {
          result = decompress(packed.subarray(0, length), 100_000)
        } catch (error) {
          assert.instanceOf(error, Error)
          assert.notInstanceOf(error, ExpandedTooLarge)
          continue
        }
        // A stream of Java's Snappy does not say where it ends.
        assert.strictEqual(codec.type, "snappy")
        assert.isTrue(equal(result, bytes.subarray(0, result.length)))
        assert.strictEqual(result.length % 65_536, 0)
      }
    })

    it("a changed byte is an error, or a result within the bound", () => {
      const packed = compress(text.subarray(0, 3_000))
      for (let position = 0; position < packed.length; position++) {
        for (const byte of [0, 1, 0x0f, 0x40, 0x7f, 0x80, 0xf0, 0xff]) {
          const copy = new Uint8Array(packed)
          copy[position] = byte
          try {
            assert.isAtMost(decompress(copy, 5_000).length, 5_000)
          } catch (error) {
            assert.instanceOf(error, Error)
          }
        }
      }
    })

    it.prop(
      "random bytes are an error, or a result within the bound",
      [FastCheck.uint8Array({ maxLength: 400 }), FastCheck.nat({ max: 60 })],
      ([bytes, kept]) => {
        const packed = new Uint8Array(compress(text.subarray(0, 500)))
        packed.set(bytes.subarray(0, Math.max(0, packed.length - kept)), Math.min(kept, packed.length))
        for (const input of [bytes, packed]) {
          try {
            assert.isAtMost(decompress(input, 2_000).length, 2_000)
          } catch (error) {
            assert.instanceOf(error, Error)
          }
        }
      },
      { fastCheck: { seed: 5, numRuns: 1_000 } }
    )
  })
}

describe("gzip", () => {
  it("refuses what is not gzip, and what is cut off", () => {
    const compressed = gzip.compress(Buffer.from("some text, some text"))
    assert.throws(() => gzip.decompress(Buffer.from("not gzip"), 1_000), /header/)
    assert.throws(() => gzip.decompress(compressed.subarray(0, compressed.length - 1), 1_000), /end of file/)
    assert.throws(() => gzip.decompress(new Uint8Array(0), 1_000), /end of file/)
  })
})

describe("zstd", () => {
  it("refuses a window of more than 128 MiB", () => {
    // A frame of one empty block, whose header asks for 256 MiB.
    const frame = Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x90, 0x01, 0x00, 0x00)
    assert.throws(() => builtInCodecs(4)!.decompress(frame, 1_000), /memory/)
  })

  it("is not there where Node lacks it", () => {
    assert.isUndefined(zstdAt(3, {}))
    assert.match(missingCodec(4), /^zstd needs Node 22\.15 or 23\.8, or newer: this is Node \d+\./)
  })
})

describe("levels", () => {
  const sizeAt = (codec: Codec | undefined): number => codec!.compress(text).length

  it("gzip: the default is 6, and higher ones make it smaller", () => {
    const { gzip: { default: standard, max, min } } = compressionLevels
    assert.strictEqual(sizeAt(gzip), sizeAt(gzipAt(standard)))
    assert.isAbove(sizeAt(gzipAt(min)), sizeAt(gzipAt(max)))
    assert.isTrue(equal(gzip.decompress(gzipAt(max).compress(text), text.length), text))
  })

  it("zstd: the default is 3, and higher ones make it smaller", () => {
    const { zstd: { default: standard, max, min } } = compressionLevels
    assert.strictEqual(sizeAt(builtInCodecs(4)), sizeAt(zstdAt(standard)))
    assert.isAbove(sizeAt(zstdAt(min)), sizeAt(zstdAt(max)))
    assert.isTrue(equal(builtInCodecs(4)!.decompress(zstdAt(max)!.compress(text), text.length), text))
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

  it("knows all of Kafka's by default", () => {
    for (const [name, number] of Object.entries(compressionTypes)) {
      assert.strictEqual(builtInCodecs(number)?.type, name === "none" ? undefined : name as Codec["type"])
    }
    assert.isUndefined(builtInCodecs(5))
    assert.strictEqual(missingCodec(5), "there is no codec for compression type 5")
  })
})
