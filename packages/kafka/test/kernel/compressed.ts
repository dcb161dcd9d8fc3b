import { readFileSync } from "node:fs"

import { FastCheck } from "effect"

/** The text that all files of `fixtures/compressed` hold. */
export const text: Uint8Array = new TextEncoder().encode(
  Array.from({ length: 3_000 }, (_, index) => `${index % 100} of one hundred lines\n`).join("")
)

/** A file of `fixtures/compressed`. */
export const compressed = (name: string): Uint8Array =>
  new Uint8Array(readFileSync(new URL(`../fixtures/compressed/${name}`, import.meta.url)))

/** New bytes, or bytes that were there before: how many, and how far back. */
type Part = { readonly bytes: Uint8Array } | { readonly distance: number; readonly length: number }

const length = FastCheck.oneof(
  { weight: 20, arbitrary: FastCheck.integer({ min: 1, max: 80 }) },
  { weight: 1, arbitrary: FastCheck.constantFrom(255, 256, 270, 600, 70_000) }
)

const part: FastCheck.Arbitrary<Part> = FastCheck.oneof(
  FastCheck.record({
    bytes: FastCheck.oneof(
      { weight: 10, arbitrary: FastCheck.uint8Array({ minLength: 1, maxLength: 100 }) },
      { weight: 1, arbitrary: FastCheck.uint8Array({ minLength: 250, maxLength: 1_000, size: "max" }) }
    )
  }),
  FastCheck.record({
    distance: FastCheck.oneof(FastCheck.integer({ min: 1, max: 12 }), FastCheck.integer({ min: 1, max: 70_000 })),
    length
  })
)

/** Bytes with repetitions in them, near and far. */
export const repetitive: FastCheck.Arbitrary<Uint8Array> = FastCheck.array(part, { maxLength: 60 }).map((parts) => {
  const all: Array<number> = []
  for (const each of parts) {
    if ("bytes" in each) {
      for (const byte of each.bytes) all.push(byte)
    } else {
      const distance = Math.min(each.distance, all.length)
      for (let index = 0; distance > 0 && index < each.length; index++) all.push(all[all.length - distance]!)
    }
  }
  return Uint8Array.from(all)
})

/** Bytes that do not get smaller, the same ones each time. */
export const noise = (length: number): Uint8Array => {
  const bytes = new Uint8Array(length)
  let state = 0x2545_f491
  for (let index = 0; index < length; index++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    bytes[index] = state
  }
  return bytes
}
