import { assert, describe, it } from "@effect/vitest"
import * as Serde from "@sluice/kafka/Serde"

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")
const unhex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, "hex"))

/** What Kafka's `ShortSerializer`, `IntegerSerializer`, `LongSerializer`, `FloatSerializer` and `DoubleSerializer` write. */
const vectors = {
  int16: [[0, "0000"], [1, "0001"], [-1, "ffff"], [32_767, "7fff"], [-32_768, "8000"]],
  int32: [[0, "00000000"], [258, "00000102"], [-2, "fffffffe"], [2_147_483_647, "7fffffff"], [
    -2_147_483_648,
    "80000000"
  ]],
  int64: [
    [0n, "0000000000000000"],
    [258n, "0000000000000102"],
    [-1n, "ffffffffffffffff"],
    [9_223_372_036_854_775_807n, "7fffffffffffffff"],
    [-9_223_372_036_854_775_808n, "8000000000000000"]
  ],
  float32: [[0, "00000000"], [1.5, "3fc00000"], [-0.25, "be800000"], [Infinity, "7f800000"], [NaN, "7fc00000"]],
  float64: [
    [0, "0000000000000000"],
    [1.5, "3ff8000000000000"],
    [-0, "8000000000000000"],
    [Number.MAX_VALUE, "7fefffffffffffff"],
    [NaN, "7ff8000000000000"]
  ]
} as const

const refused = {
  int16: [32_768, -32_769, 0.5, NaN, Infinity, "1", 1n, undefined],
  int32: [2 ** 31, -(2 ** 31) - 1, 0.5, NaN, "1", 1n],
  int64: [2n ** 63n, -(2n ** 63n) - 1n, 1, "1"],
  float32: [1e39, -3.5e38, "1", 1n],
  float64: ["1", 1n, null]
} as const

for (const name of ["int16", "int32", "int64", "float32", "float64"] as const) {
  const serde: Serde.Serde<any> = Serde[name]
  describe(`Serde.${name}`, () => {
    it("writes and reads what Kafka's Java classes do", () => {
      for (const [value, bytes] of vectors[name]) {
        assert.strictEqual(hex(serde.serialize(value, "t")), bytes)
        assert.deepStrictEqual(serde.deserialize(unhex(bytes), "t"), value)
        // A view in the middle of a response.
        assert.deepStrictEqual(serde.deserialize(unhex(`ff${bytes}ff`).subarray(1, 1 + bytes.length / 2), "t"), value)
      }
    })

    it("refuses what it cannot hold", () => {
      for (const value of refused[name]) assert.throws(() => serde.serialize(value, "t"))
    })

    it("refuses bytes of another length", () => {
      const [[, bytes]] = vectors[name]
      for (const wrong of ["", bytes.slice(2), `${bytes}00`]) {
        assert.throws(() => serde.deserialize(unhex(wrong), "t"), /bytes were expected/)
      }
    })
  })
}

describe("Serde.float32", () => {
  it("rounds to the nearest", () => {
    assert.strictEqual(Serde.float32.deserialize(Serde.float32.serialize(0.1, "t"), "t"), Math.fround(0.1))
  })
})
