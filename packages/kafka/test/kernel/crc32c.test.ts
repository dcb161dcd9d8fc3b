import { assert, describe, it } from "@effect/vitest"
import { crc32c, crc32cJs } from "@sluice/kafka/internal/kernel/crc32c"
import { FastCheck } from "effect"

const bytesOf = (length: number, byteAt: (index: number) => number): Uint8Array =>
  Uint8Array.from({ length }, (_, index) => byteAt(index))

// RFC 3720, B.4, as the numbers that the bytes there mean; then the check value of the CRC catalogue.
const vectors: ReadonlyArray<readonly [name: string, bytes: Uint8Array, crc: number]> = [
  ["32 zeros", new Uint8Array(32), 0x8a9136aa],
  ["32 ones", new Uint8Array(32).fill(0xff), 0x62a8ab43],
  ["32 incrementing", bytesOf(32, (index) => index), 0x46dd794e],
  ["32 decrementing", bytesOf(32, (index) => 31 - index), 0x113fdb5c],
  [
    "an iSCSI read command",
    Buffer.from(
      "01c000000000000000000000000000001400000000000400000000140000001828000000000000000200000000000000",
      "hex"
    ),
    0xd9963a56
  ],
  ["123456789", Buffer.from("123456789"), 0xe3069283],
  ["nothing", new Uint8Array(0), 0]
]

/** A bit at a time, as the polynomial is defined. */
const bitwise = (bytes: Uint8Array): number => {
  let crc = -1
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ ((crc & 1) * 0x82f63b78)
  }
  return ~crc >>> 0
}

// `crc32c` is the native one where that is installed.
describe("crc32c", () => {
  for (const [name, bytes, crc] of vectors) {
    it(`of ${name}`, () => {
      assert.strictEqual(crc32cJs(bytes), crc)
      assert.strictEqual(crc32c(bytes), crc)
    })
  }

  it.prop(
    "is what the definition gives, over any range",
    [FastCheck.uint8Array({ minLength: 0, maxLength: 700 }), FastCheck.nat(), FastCheck.nat()],
    ([bytes, first, second]) => {
      const start = Math.min(first % (bytes.length + 1), second % (bytes.length + 1))
      const end = Math.max(first % (bytes.length + 1), second % (bytes.length + 1))
      const expected = bitwise(bytes.slice(start, end))
      assert.strictEqual(crc32cJs(bytes, start, end), expected)
      assert.strictEqual(crc32c(bytes, start, end), expected)
    },
    { fastCheck: { seed: 1, numRuns: 300 } }
  )

  it("reads views that start anywhere in their memory", () => {
    const memory = bytesOf(600, (index) => index * 7)
    for (let start = 0; start < 9; start++) {
      const view = new Uint8Array(memory.buffer, start, 500)
      assert.strictEqual(crc32c(view, 3, 490), bitwise(memory.slice(start + 3, start + 490)))
      assert.strictEqual(crc32cJs(view, 3, 490), bitwise(memory.slice(start + 3, start + 490)))
    }
  })
})
