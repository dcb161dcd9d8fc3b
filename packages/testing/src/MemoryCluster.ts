/**
 * A Kafka cluster in memory: the same client runs against it as against a real one, in whatever time its `Clock` says,
 * without a broker, a network or a wait.
 *
 * @since 0.1.0
 */
import { type Kafka, type KafkaOptions, layer as kafkaLayer } from "@sluice/kafka/Kafka"
import type { FatalError } from "@sluice/kafka/KafkaError"
import { Transport } from "@sluice/kafka/Transport"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"

import type { Fault } from "./Fault.ts"
import * as world from "./internal/network/world.ts"

/**
 * What a cluster is made of.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** How many brokers, with ids from 1; default 1. Topics have as many replicas, three at most. */
  readonly brokers?: number
  /** The racks that they are in, in their order; default: none. A consumer in a rack reads from a replica there (KIP-392). */
  readonly racks?: ReadonlyArray<string>
  /** Topics that are there from the start, and how many partitions they have. */
  readonly topics?: Readonly<Record<string, number>>
  /** How long anything is on its way between client and broker, in each direction; default 0. */
  readonly latency?: Duration.DurationInput
  /** How much longer it may be on its way, by chance; default 0. */
  readonly jitter?: Duration.DurationInput
  /** How long a follower takes to fetch what its leader has; default 0: followers are never behind. */
  readonly replicationDelay?: Duration.DurationInput
  /** Decides about the network's chance, and nothing else; default 0. */
  readonly seed?: number
}

/**
 * What a topic is made of.
 *
 * @since 0.1.0
 * @category models
 */
export interface TopicOptions {
  /** Default 1. */
  readonly partitions?: number
  /** How many brokers have each partition. Default: all, but three at most. */
  readonly replicas?: number
  /**
   * Settings by their names in Kafka; others are a mistake. Those with an effect here: `max.message.bytes`,
   * `min.insync.replicas`, `segment.bytes` (default 1 MiB), `retention.ms` and `retention.bytes`, whose default is no
   * retention, and `cleanup.policy`, without `delete` in which there is none; nothing is compacted. What is too old goes
   * by whole segments, and the brokers look every five minutes.
   */
  readonly config?: Readonly<Record<string, string>>
}

/**
 * A record in a topic. Its bytes are copies.
 *
 * @since 0.1.0
 * @category models
 */
export interface StoredRecord {
  readonly partition: number
  readonly offset: bigint
  /** Milliseconds; -1 for none. */
  readonly timestamp: number
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  /** In their order, duplicates too. */
  readonly headers: ReadonlyArray<{ readonly key: string; readonly value: Uint8Array | null }>
}

/**
 * An offset that a group has stored: that of the record to go on with.
 *
 * @since 0.1.0
 * @category models
 */
export interface StoredOffset {
  readonly topic: string
  readonly partition: number
  readonly offset: bigint
  /** -1 for none. */
  readonly leaderEpoch: number
  readonly metadata: string
}

/**
 * A request that is about to be served.
 *
 * @since 0.1.0
 * @category models
 */
export interface InterceptedRequest {
  readonly brokerId: number
  readonly apiKey: number
  /** In the protocol's own words: `"Produce"`. */
  readonly apiName: string
  readonly apiVersion: number
  readonly clientId: string | null
  /** Counts the connections from 1, in the order in which clients asked for them. */
  readonly connectionId: number
}

/**
 * What becomes of a request, and of its connection.
 *
 * @since 0.1.0
 * @category models
 */
export type Verdict =
  | "deliver"
  /** The broker never sees it, nor anything that comes later on this connection. */
  | "dropRequest"
  /** The broker does it and what comes later, but nothing that it answers on this connection arrives any more. */
  | "dropResponse"
  /** The connection breaks before the broker has seen it. */
  | "disconnect"

/**
 * A cluster in memory, from the side of whoever operates it. Wrong use, such as a topic or broker that is not there, is a
 * defect.
 *
 * @since 0.1.0
 * @category tags
 */
export class MemoryCluster extends Context.Tag("@sluice/testing/MemoryCluster")<MemoryCluster, {
  /** Addresses of all brokers, as `host:port`. */
  readonly bootstrap: ReadonlyArray<string>
  readonly createTopic: (name: string, options?: TopicOptions) => Effect.Effect<void>
  /** Gives a topic more partitions: so many in all. */
  readonly createPartitions: (topic: string, count: number) => Effect.Effect<void>
  readonly deleteTopic: (topic: string) => Effect.Effect<void>
  /** Deletes what is before an offset; without one, all that is committed. */
  readonly deleteRecords: (topic: string, partition: number, before?: bigint) => Effect.Effect<void>
  /** What is in a topic, by partition and offset; also what is not committed yet, so that no consumer sees it. */
  readonly records: (topic: string) => Effect.Effect<ReadonlyArray<StoredRecord>>
  /** What a group has stored, by topic and partition; nothing for a group that is not there. */
  readonly committed: (groupId: string) => Effect.Effect<ReadonlyArray<StoredOffset>>
  /** How many connections are open now. */
  readonly connections: Effect.Effect<number>
  /**
   * Has something go wrong, now or when its time or its request has come. What is injected adds up. A fault that cannot
   * be, such as one of a topic that is not there, is a defect (`RangeError`) at once.
   */
  readonly inject: (fault: Fault) => Effect.Effect<void>
  /**
   * Ends every fault that lasts and disarms those that wait: brokers run, everything gets through. What was lost stays
   * lost, connections that went silent stay silent, leaders stay where they are, and `intercept` still decides.
   */
  readonly heal: Effect.Effect<void>
  /** Ends a broker: its connections break, new ones are refused, and other brokers take over what it led. */
  readonly stopBroker: (id: number) => Effect.Effect<void>
  /** Starts a broker that was stopped, with its data. */
  readonly startBroker: (id: number) => Effect.Effect<void>
  /** Makes a broker hang: it takes connections and bytes, and answers nothing. */
  readonly pauseBroker: (id: number) => Effect.Effect<void>
  /** Lets a broker that hung go on, with what came meanwhile. */
  readonly resumeBroker: (id: number) => Effect.Effect<void>
  /** Makes an in-sync replica of a partition its leader. */
  readonly setLeader: (topic: string, partition: number, brokerId: number) => Effect.Effect<void>
  /** Lets another broker coordinate a group: this one, which must have the groups' offsets in sync, or the next that can. */
  readonly moveCoordinator: (groupId: string, brokerId?: number) => Effect.Effect<void>
  /** Lets a function decide over each request before its broker sees it; it replaces the one before. */
  readonly intercept: (decide: (request: InterceptedRequest) => Verdict) => Effect.Effect<void>
}>() {
  /**
   * A cluster, and a client of it, for as long as the layer lives. It lives in the time of the `Clock` that it is built
   * with. `client` sets what a client's options set elsewhere. The transport comes along, for clients of one's own.
   */
  static readonly layer = (
    options: Options & { readonly client?: Partial<KafkaOptions> | undefined } = {}
  ): Layer.Layer<MemoryCluster | Kafka | Transport, FatalError> =>
    Layer.unwrapScoped(Effect.map(make(options), ({ cluster, transport }) =>
      Layer.provideMerge(
        kafkaLayer({ brokers: cluster.bootstrap, ...options.client }),
        Layer.succeedContext(Context.make(MemoryCluster, cluster).pipe(Context.add(Transport, transport)))
      )))
}

/**
 * Makes a cluster and the transport to it. It stops with the scope.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  options: Options = {}
): Effect.Effect<
  { readonly cluster: MemoryCluster["Type"]; readonly transport: Transport["Type"] },
  never,
  Scope.Scope
> => Effect.map(world.make(options), ({ cluster, transport }) => ({ cluster, transport }))
