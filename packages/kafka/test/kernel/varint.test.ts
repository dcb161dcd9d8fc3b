import { assert, describe, it } from "@effect/vitest"
import {
  MalformedBytes,
  sizeOfVarint,
  sizeOfVarlong,
  VarintCursor,
  writeVarint,
  writeVarlong
} from "@sluice/kafka/internal/kernel/varint"
import { FastCheck } from "effect"

/** As the format is defined, on integers of any size. */
const encode = (value: bigint): Uint8Array => {
  const bytes: Array<number> = []
  let rest = value >= 0n ? value * 2n : -value * 2n - 1n
  for (; rest >= 0x80n; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80)
  bytes.push(Number(rest))
  return Uint8Array.from(bytes)
}

const written = (write: (bytes: Uint8Array, position: number) => number): Uint8Array => {
  const bytes = new Uint8Array(16)
  return bytes.slice(0, write(bytes, 0))
}

/** Both sides of every power of two up to 2^`bits`, in both signs. */
const edges = (bits: number): ReadonlyArray<number> => {
  const values = [0]
  for (let bit = 0; bit <= bits; bit++) {
    for (const value of [2 ** bit - 1, 2 ** bit, 2 ** bit + 1]) values.push(value, -value)
  }
  return values
}

const isInt32 = (value: number): boolean => value === (value | 0)

const largest = 2 ** 53

describe("varint", () => {
  it("is written, sized and read at every edge of 32 bits", () => {
    for (const value of edges(31).filter(isInt32)) {
      const expected = encode(BigInt(value))
      assert.deepStrictEqual(written((bytes, position) => writeVarint(bytes, position, value)), expected)
      assert.strictEqual(sizeOfVarint(value), expected.length)
      const cursor = new VarintCursor(expected, 0)
      assert.strictEqual(cursor.varint(), value)
      assert.strictEqual(cursor.position, expected.length)
    }
  })

  it("has the bytes that Kafka's documentation of zigzag gives", () => {
    for (const [value, hex] of [[0, "00"], [-1, "01"], [1, "02"], [-64, "7f"], [64, "8001"], [300, "d804"]] as const) {
      assert.strictEqual(
        Buffer.from(written((bytes, position) => writeVarint(bytes, position, value))).toString("hex"),
        hex
      )
    }
  })

  for (
    const [what, bytes] of [
      ["that ends too early", [0x80]],
      ["of no bytes", []],
      ["of six bytes", [0x80, 0x80, 0x80, 0x80, 0x80, 0x01]],
      ["of more than 32 bits", [0xff, 0xff, 0xff, 0xff, 0x10]]
    ] as const
  ) {
    it(`refuses one ${what}`, () => {
      assert.throws(() => new VarintCursor(Uint8Array.from(bytes), 0).varint(), MalformedBytes)
    })
  }
})

describe("varlong", () => {
  it("is written, sized and read at every edge of the safe integers", () => {
    for (const value of edges(53).filter((value) => Math.abs(value) <= largest)) {
      const expected = encode(BigInt(value))
      assert.deepStrictEqual(written((bytes, position) => writeVarlong(bytes, position, value)), expected, `${value}`)
      assert.strictEqual(sizeOfVarlong(value), expected.length, `${value}`)
      const cursor = new VarintCursor(expected, 0)
      // Not `strictEqual`: -0 is 0 here.
      assert.isTrue(cursor.varlong() === value, `${value}`)
      assert.strictEqual(cursor.position, expected.length)
    }
  })

  it.prop(
    "round-trips any safe integer",
    [FastCheck.maxSafeInteger()],
    ([value]) => {
      const bytes = written((target, position) => writeVarlong(target, position, value))
      assert.deepStrictEqual(bytes, encode(BigInt(value)))
      assert.strictEqual(bytes.length, sizeOfVarlong(value))
      assert.isTrue(new VarintCursor(bytes, 0).varlong() === value)
    },
    { fastCheck: { seed: 2, numRuns: 2_000 } }
  )

  it.prop(
    "reads any 64-bit integer as the nearest number",
    [FastCheck.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })],
    ([value]) => {
      assert.isTrue(new VarintCursor(encode(value), 0).varlong() === Number(value))
    },
    { fastCheck: { seed: 3, numRuns: 2_000 } }
  )

  for (
    const [what, bytes] of [
      ["that ends too early", [0xff, 0xff, 0xff]],
      ["of eleven bytes", [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01]],
      ["of more than 64 bits", [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]]
    ] as const
  ) {
    it(`refuses one ${what}`, () => {
      assert.throws(() => new VarintCursor(Uint8Array.from(bytes), 0).varlong(), MalformedBytes)
    })
  }
})
