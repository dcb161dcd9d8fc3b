import { crc32 } from "./crc32.ts"
import { fnv1a } from "./fnv1a.ts"
import { toPositive } from "./murmur2.ts"
import { murmur2Legacy } from "./murmur2Legacy.ts"

/**
 * The partition of a key in a topic of `partitionCount` (1 or more) partitions;
 * undefined where a client takes the key for none. Kafka's own is
 * `partitionForKey`.
 */
export type KeyPartition = (key: Uint8Array, partitionCount: number) => number | undefined

/** Sarama's `NewHashPartitioner`, librdkafka's `fnv1a_random`: the absolute value of the remainder of a signed hash. */
export const fnv1aPartition = (key: Uint8Array, partitionCount: number): number => Math.abs(fnv1a(key) % partitionCount)

/** Sarama's `NewReferenceHashPartitioner`: the sign bit is dropped first, as in Java. */
export const fnv1aReferencePartition = (key: Uint8Array, partitionCount: number): number =>
  toPositive(fnv1a(key)) % partitionCount

/** librdkafka's `consistent_random`: the hash is unsigned, and an empty key counts as none. */
export const crc32Partition = (key: Uint8Array, partitionCount: number): number | undefined =>
  key.length === 0 ? undefined : crc32(key) % partitionCount

/** kafkajs' `LegacyPartitioner`. */
export const murmur2LegacyPartition = (key: Uint8Array, partitionCount: number): number =>
  toPositive(murmur2Legacy(key)) % partitionCount
