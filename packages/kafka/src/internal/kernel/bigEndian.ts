/** Reads a signed 16-bit integer. */
export const readInt16 = (bytes: Uint8Array, position: number): number =>
  ((bytes[position]! << 24) >> 16) | bytes[position + 1]!

/** Reads a signed 32-bit integer. */
export const readInt32 = (bytes: Uint8Array, position: number): number =>
  (bytes[position]! << 24) | (bytes[position + 1]! << 16) | (bytes[position + 2]! << 8) | bytes[position + 3]!

/** Reads an unsigned 32-bit integer. */
export const readUint32 = (bytes: Uint8Array, position: number): number => readInt32(bytes, position) >>> 0

/** Reads a signed 64-bit integer: exact where it is a safe integer, else the nearest number. */
export const readInt64 = (bytes: Uint8Array, position: number): number =>
  readInt32(bytes, position) * 0x1_0000_0000 + readUint32(bytes, position + 4)

/** Writes the low 16 bits of an integer. */
export const writeInt16 = (bytes: Uint8Array, position: number, value: number): void => {
  bytes[position] = value >> 8
  bytes[position + 1] = value
}

/** Writes the low 32 bits of an integer. */
export const writeInt32 = (bytes: Uint8Array, position: number, value: number): void => {
  bytes[position] = value >> 24
  bytes[position + 1] = value >> 16
  bytes[position + 2] = value >> 8
  bytes[position + 3] = value
}

/** Writes a safe integer as a signed 64-bit integer. */
export const writeInt64 = (bytes: Uint8Array, position: number, value: number): void => {
  writeInt32(bytes, position, Math.floor(value / 0x1_0000_0000))
  writeInt32(bytes, position + 4, value)
}
