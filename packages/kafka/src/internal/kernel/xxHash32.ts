const prime1 = 0x9e3779b1
const prime2 = 0x85ebca77
const prime3 = 0xc2b2ae3d
const prime4 = 0x27d4eb2f
const prime5 = 0x165667b1

const rotate = (value: number, bits: number): number => (value << bits) | (value >>> (32 - bits))

const round = (lane: number, input: number): number =>
  Math.imul(rotate((lane + Math.imul(input, prime2)) | 0, 13), prime1)

/** The xxHash of the bytes from `start` to `end`, of 32 bits, with seed 0: LZ4's checksum. */
export const xxHash32 = (bytes: Uint8Array, start = 0, end = bytes.length): number => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let position = start
  let hash: number = prime5
  if (end - start >= 16) {
    let lane1 = (prime1 + prime2) | 0
    let lane2 = prime2 | 0
    let lane3 = 0
    let lane4 = -prime1 | 0
    for (; position <= end - 16; position += 16) {
      lane1 = round(lane1, view.getInt32(position, true))
      lane2 = round(lane2, view.getInt32(position + 4, true))
      lane3 = round(lane3, view.getInt32(position + 8, true))
      lane4 = round(lane4, view.getInt32(position + 12, true))
    }
    hash = rotate(lane1, 1) + rotate(lane2, 7) + rotate(lane3, 12) + rotate(lane4, 18)
  }
  hash = (hash + end - start) | 0
  for (; position <= end - 4; position += 4) {
    hash = Math.imul(rotate((hash + Math.imul(view.getInt32(position, true), prime3)) | 0, 17), prime4)
  }
  for (; position < end; position++) {
    hash = Math.imul(rotate((hash + Math.imul(bytes[position]!, prime5)) | 0, 11), prime1)
  }
  hash = Math.imul(hash ^ (hash >>> 15), prime2)
  hash = Math.imul(hash ^ (hash >>> 13), prime3)
  return (hash ^ (hash >>> 16)) >>> 0
}
