import { createRequire } from "node:module"

type NativeCrc32c = (bytes: Uint8Array) => number

/** Sixteen tables of 256 entries: table `k` holds the CRC of a byte that `k` zero bytes follow. */
const makeTables = (): Int32Array => {
  const reversedPolynomial = 0x82f63b78
  const tables = new Int32Array(16 * 256)
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 0 ? crc >>> 1 : (crc >>> 1) ^ reversedPolynomial
    tables[byte] = crc
  }
  for (let index = 256; index < tables.length; index++) {
    const shorter = tables[index - 256]!
    tables[index] = tables[shorter & 0xff]! ^ (shorter >>> 8)
  }
  return tables
}

const tables = makeTables()

/** CRC-32C in JavaScript, sixteen bytes a step: what `crc32c` uses where the native module is missing. */
export const crc32cJs = (bytes: Uint8Array, start = 0, end = bytes.length): number => {
  const table = tables
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const lastStep = end - 16
  let crc = -1
  let position = start
  for (; position <= lastStep; position += 16) {
    const first = crc ^ view.getInt32(position, true)
    const second = view.getInt32(position + 4, true)
    const third = view.getInt32(position + 8, true)
    const fourth = view.getInt32(position + 12, true)
    crc = table[3840 + (first & 0xff)]! ^ table[3584 + ((first >>> 8) & 0xff)]! ^
      table[3328 + ((first >>> 16) & 0xff)]! ^ table[3072 + (first >>> 24)]! ^
      table[2816 + (second & 0xff)]! ^ table[2560 + ((second >>> 8) & 0xff)]! ^
      table[2304 + ((second >>> 16) & 0xff)]! ^ table[2048 + (second >>> 24)]! ^
      table[1792 + (third & 0xff)]! ^ table[1536 + ((third >>> 8) & 0xff)]! ^
      table[1280 + ((third >>> 16) & 0xff)]! ^ table[1024 + (third >>> 24)]! ^
      table[768 + (fourth & 0xff)]! ^ table[512 + ((fourth >>> 8) & 0xff)]! ^
      table[256 + ((fourth >>> 16) & 0xff)]! ^ table[fourth >>> 24]!
  }
  for (; position < end; position++) crc = table[(crc ^ bytes[position]!) & 0xff]! ^ (crc >>> 8)
  return ~crc >>> 0
}

/** The optional dependency `@node-rs/crc32`, if it is installed, loads on this platform and computes what it should. */
const loadNative = (): NativeCrc32c | undefined => {
  try {
    const native = createRequire(import.meta.url)("@node-rs/crc32").crc32c as NativeCrc32c
    return native(new Uint8Array([0x31, 0x32, 0x33])) === crc32cJs(new Uint8Array([0x31, 0x32, 0x33]))
      ? native
      : undefined
  } catch {
    return undefined
  }
}

/** `@node-rs/crc32`'s function, or `undefined` where it cannot be used. */
export const crc32cNative: NativeCrc32c | undefined = loadNative()

/** Up to this many bytes a call into the native module costs more than the JavaScript loop. */
const nativeCallWorth = 160

/** CRC-32C (Castagnoli) of `bytes[start, end)` as an unsigned 32-bit integer: the checksum of a v2 record batch. */
export const crc32c = (bytes: Uint8Array, start = 0, end = bytes.length): number =>
  crc32cNative === undefined || end - start <= nativeCallWorth
    ? crc32cJs(bytes, start, end)
    : crc32cNative(bytes.subarray(start, end))
