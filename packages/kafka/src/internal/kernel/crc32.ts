const reversedPolynomial = 0xedb88320

/** The CRC of each byte. */
const table = Int32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 0 ? crc >>> 1 : (crc >>> 1) ^ reversedPolynomial
  return crc
})

/** CRC-32 (IEEE 802.3, as in zlib) as an unsigned 32-bit integer. A byte a step: meant for keys. */
export const crc32 = (bytes: Uint8Array): number => {
  let crc = -1
  for (let position = 0; position < bytes.length; position++) {
    crc = table[(crc ^ bytes[position]!) & 0xff]! ^ (crc >>> 8)
  }
  return ~crc >>> 0
}
