/**
 * Which partition a produced record goes to, where it does not say so itself.
 *
 * Keys go where other clients send them, so that all that is known of a key
 * stays in one partition whoever writes it: {@link murmur2} is what Kafka's Java
 * client does, and the default. The partition is chosen once, when a record is
 * handed to the producer, by the number of partitions that the topic has then.
 * A record's own `partition` overrules every partitioner.
 *
 * @since 0.1.0
 */
import { dual } from "effect/Function"

import {
  crc32Partition,
  fnv1aPartition,
  fnv1aReferencePartition,
  murmur2LegacyPartition
} from "./internal/kernel/keyPartition.ts"
import { partitionForKey } from "./internal/kernel/murmur2.ts"
import { byFunction, byKey, isRouting, regardless, setWithoutKey } from "./internal/producer/partitioner.ts"
import { partitionerTypeId } from "./internal/typeIds.ts"
import type * as Topic from "./Topic.ts"

/**
 * Identifies a partitioner at run time.
 *
 * @since 0.1.0
 * @category type ids
 */
export const TypeId: TypeId = partitionerTypeId

/**
 * @since 0.1.0
 * @category type ids
 */
export type TypeId = "~@sluice/kafka/Partitioner"

/**
 * Chooses partitions: the option `partitioner` of a producer. It has no state,
 * and any number of producers may have the same.
 *
 * @since 0.1.0
 * @category models
 */
export interface Partitioner {
  readonly [TypeId]: TypeId
}

/**
 * A partitioner for which only the key counts.
 *
 * @since 0.1.0
 * @category models
 */
export interface KeyPartitioner extends Partitioner {
  /**
   * Where a key goes in a topic of `partitionCount` (1 or more) partitions;
   * undefined if this partitioner takes the key for none. To look for a key, or
   * to choose by a part of it.
   */
  readonly partitionForKey: (key: Uint8Array, partitionCount: number) => number | undefined
}

/**
 * What becomes of records without a key. All avoid partitions that have no
 * leader, as long as there are others.
 *
 * - `"sticky"`: one partition for the length of a batch, 64 KiB at most, then
 *   another, which makes few large batches (KIP-480); partitions for which more is
 *   waiting than for the others are avoided too, so a slow broker does not get
 *   most of the records (KIP-794);
 * - `"roundRobin"`: one after the other;
 * - `"random"`: any, for each record.
 *
 * @since 0.1.0
 * @category models
 */
export type WithoutKey = "sticky" | "roundRobin" | "random"

/**
 * What a partitioner of one's own knows of a record.
 *
 * @since 0.1.0
 * @category models
 */
export interface PartitionerInput {
  /** As it was given, with its topic. */
  readonly record: Topic.AnyRecord
  /** Serialized; not to be changed. */
  readonly key: Uint8Array | null
  /** Serialized; not to be changed. */
  readonly value: Uint8Array | null
  /** How many partitions the topic has now: 1 or more, and more later. */
  readonly partitionCount: number
  /** Whether a partition has a leader now: records for one that has none wait for it. */
  readonly isAvailable: (partition: number) => boolean
  /** Numbers between 0 (included) and 1, from Effect's `Random`: the same in each run of a simulation. */
  readonly random: () => number
}

/**
 * Whether a value is a {@link Partitioner}.
 *
 * @since 0.1.0
 * @category guards
 */
export const isPartitioner: (u: unknown) => u is Partitioner = isRouting

/**
 * The default partitioner of Kafka's Java client: murmur2 of the key, an empty
 * one too; sticky without.
 *
 * Keys go to the same partitions with kafkajs since 2.0 (`DefaultPartitioner`,
 * also `JavaCompatiblePartitioner`), librdkafka's `murmur2` and `murmur2_random`,
 * Sarama's `NewMurmur2Partitioner`, and franz-go's default.
 *
 * @since 0.1.0
 * @category partitioners
 */
export const murmur2: KeyPartitioner = byKey(partitionForKey, "sticky")

/**
 * Sarama's default, `NewHashPartitioner`: FNV-1a of the key, an empty one too,
 * as a signed number, of whose remainder the absolute value is taken; random
 * without.
 *
 * Keys go to the same partitions with librdkafka's `fnv1a` and `fnv1a_random`.
 *
 * @since 0.1.0
 * @category partitioners
 */
export const fnv1a: KeyPartitioner = byKey(fnv1aPartition, "random")

/**
 * Sarama's `NewReferenceHashPartitioner`: FNV-1a of the key, an empty one too,
 * without its sign bit; random without.
 *
 * @since 0.1.0
 * @category partitioners
 */
export const fnv1aReference: KeyPartitioner = byKey(fnv1aReferencePartition, "random")

/**
 * librdkafka's default, `consistent_random`: CRC-32 of the key; sticky without,
 * and an empty key counts as none. That is what the clients for Python, Go, .NET,
 * and the others over librdkafka do unless they are told otherwise.
 *
 * Keys go to the same partitions with Sarama's `NewConsistentCRCHashPartitioner`
 * and librdkafka's `consistent`, except that both send the empty key to
 * partition 0.
 *
 * @since 0.1.0
 * @category partitioners
 */
export const crc32: KeyPartitioner = byKey(crc32Partition, "sticky")

/**
 * kafkajs' `LegacyPartitioner`, its default before 2.0: a murmur2 that is not
 * quite Java's, of the key, an empty one too; round robin without.
 *
 * @since 0.1.0
 * @category partitioners
 */
export const kafkajsLegacy: KeyPartitioner = byKey(murmur2LegacyPartition, "roundRobin")

/**
 * One partition for the length of a batch, 64 KiB at most, then another, whatever
 * the keys.
 *
 * @since 0.1.0
 * @category partitioners
 */
export const sticky: Partitioner = regardless("sticky")

/**
 * One partition after the other, whatever the keys, as Java's
 * `RoundRobinPartitioner` and Sarama's `NewRoundRobinPartitioner`; it begins
 * anywhere. Small batches: {@link sticky} costs the brokers less.
 *
 * @since 0.1.0
 * @category partitioners
 */
export const roundRobin: Partitioner = regardless("roundRobin")

/**
 * Any partition for each record, whatever the keys, as librdkafka's `random` and
 * Sarama's `NewRandomPartitioner`. Small batches: {@link sticky} costs the
 * brokers less.
 *
 * @since 0.1.0
 * @category partitioners
 */
export const random: Partitioner = regardless("random")

/**
 * A partitioner of one's own. The function is called once for each record that
 * does not name its partition, with a key or without; what it gives undefined
 * for goes as a record without a key: sticky, unless {@link withoutKey} says
 * otherwise.
 *
 * It must be quick and not block. A record alone fails, with
 * `PartitionerFailed` and `persisted: "no"`, if the function throws or gives
 * something else than a partition that the topic has.
 *
 * @example
 * ```ts
 * import { Partitioner, Producer } from "@sluice/kafka"
 *
 * // All keys of a tenant ("acme/order-42") in one partition.
 * const slash = "/".charCodeAt(0)
 * const byTenant = Partitioner.make(({ key, partitionCount }) =>
 *   key === null
 *     ? undefined
 *     : Partitioner.murmur2.partitionForKey(key.subarray(0, key.indexOf(slash)), partitionCount)
 * )
 *
 * export const producer = Producer.make({ partitioner: byTenant })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make: (choose: (input: PartitionerInput) => number | undefined) => Partitioner = byFunction

/**
 * The same partitioner with something else for records without a key.
 *
 * @example
 * ```ts
 * import { Partitioner, Producer } from "@sluice/kafka"
 *
 * // As kafkajs does by default.
 * export const producer = Producer.make({
 *   partitioner: Partitioner.withoutKey(Partitioner.murmur2, "roundRobin")
 * })
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const withoutKey: {
  (choice: WithoutKey): <P extends Partitioner>(self: P) => P
  <P extends Partitioner>(self: P, choice: WithoutKey): P
} = dual(2, setWithoutKey)
