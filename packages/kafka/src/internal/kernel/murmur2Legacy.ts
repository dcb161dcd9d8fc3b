const seed = 0x9747b28c
const multiplier = 0x5bd1e995

/**
 * What kafkajs' `LegacyPartitioner` (its default before 2.0) takes for murmur2,
 * as a signed integer. It differs in two ways: products are floating-point
 * numbers, which lose their low bits past 2^53, and the bytes of an unfinished
 * word are mixed in twice.
 */
export const murmur2Legacy = (bytes: Uint8Array): number => {
  const length = bytes.length
  let hash = seed ^ length
  for (let position = 0; position < length; position += 4) {
    // What is past the end counts as zeros.
    let word = bytes[position]! + ((bytes[position + 1] ?? 0) << 8) + ((bytes[position + 2] ?? 0) << 16) +
      ((bytes[position + 3] ?? 0) << 24)
    word *= multiplier
    word ^= word >>> 24
    word *= multiplier
    hash *= multiplier
    hash ^= word
  }
  const tail = length & ~3
  const left = length & 3
  if (left > 0) {
    if (left === 3) hash ^= bytes[tail + 2]! << 16
    if (left >= 2) hash ^= bytes[tail + 1]! << 8
    hash ^= bytes[tail]!
    hash *= multiplier
  }
  hash ^= hash >>> 13
  hash *= multiplier
  return hash ^ (hash >>> 15)
}
