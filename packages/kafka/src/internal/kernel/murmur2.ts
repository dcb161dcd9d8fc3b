const seed = 0x9747b28c
const multiplier = 0x5bd1e995

/** The 32-bit murmur2 hash of Kafka's Java client (`Utils.murmur2`), as a signed integer. */
export const murmur2 = (bytes: Uint8Array): number => {
  const length = bytes.length
  const tail = length & ~3
  let hash = seed ^ length
  for (let position = 0; position < tail; position += 4) {
    let word = bytes[position]! | (bytes[position + 1]! << 8) | (bytes[position + 2]! << 16) |
      (bytes[position + 3]! << 24)
    word = Math.imul(word, multiplier)
    word ^= word >>> 24
    hash = Math.imul(hash, multiplier) ^ Math.imul(word, multiplier)
  }
  const left = length & 3
  if (left > 0) {
    if (left === 3) hash ^= bytes[tail + 2]! << 16
    if (left >= 2) hash ^= bytes[tail + 1]! << 8
    hash = Math.imul(hash ^ bytes[tail]!, multiplier)
  }
  hash ^= hash >>> 13
  hash = Math.imul(hash, multiplier)
  return hash ^ (hash >>> 15)
}

/** Drops the sign bit, as Java's `Utils.toPositive` does; not the absolute value. */
export const toPositive = (hash: number): number => hash & 0x7fffffff

/** The partition that Kafka's default partitioner gives a key in a topic of `partitionCount` (1 or more) partitions. */
export const partitionForKey = (key: Uint8Array, partitionCount: number): number =>
  toPositive(murmur2(key)) % partitionCount
