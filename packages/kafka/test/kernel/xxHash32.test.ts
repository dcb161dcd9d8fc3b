import { assert, it } from "@effect/vitest"
import { xxHash32 } from "@sluice/kafka/internal/kernel/xxHash32"

// By the reference implementation.
const vectors: ReadonlyArray<readonly [name: string, bytes: Uint8Array, hash: number]> = [
  ["nothing", new Uint8Array(0), 0x02cc5d05],
  ["a", Buffer.from("a"), 0x550d7456],
  ["abc", Buffer.from("abc"), 0x32d153ff],
  ["abcd", Buffer.from("abcd"), 0xa3643705],
  ["0123456789abcdef", Buffer.from("0123456789abcdef"), 0xc2c45b69],
  ["0 to 99", Uint8Array.from({ length: 100 }, (_, index) => index), 0x7f89ba44]
]

for (const [name, bytes, hash] of vectors) {
  it(`xxHash32 of ${name}`, () => {
    assert.strictEqual(xxHash32(bytes), hash)
    assert.strictEqual(xxHash32(Buffer.concat([Buffer.from("x"), bytes, Buffer.from("y")]), 1, 1 + bytes.length), hash)
  })
}
