/** The 32-bit FNV-1a hash, as a signed integer. */
export const fnv1a = (bytes: Uint8Array): number => {
  let hash = 0x811c9dc5 | 0
  for (let position = 0; position < bytes.length; position++) {
    hash = Math.imul(hash ^ bytes[position]!, 0x01000193)
  }
  return hash
}
