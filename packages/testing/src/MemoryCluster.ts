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
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"

import { Cluster } from "./internal/cluster/cluster.ts"
import * as Driver from "./internal/network/driver.ts"
import { Network } from "./internal/network/network.ts"
import * as MemoryTransport from "./internal/network/transport.ts"

/**
 * What a cluster is made of.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** How many brokers, with ids from 1; default 1. Topics have as many replicas, three at most. */
  readonly brokers?: number
  /** Topics that are there from the start, and how many partitions they have. */
  readonly topics?: Readonly<Record<string, number>>
  /** How long anything is on its way between client and broker, in each direction; default 0. */
  readonly latency?: Duration.DurationInput
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
  /** Settings by their names in Kafka. Those with an effect here: `max.message.bytes`, `min.insync.replicas`, `segment.bytes`. */
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
  /** Counts the connections from 1, in the order in which they were opened. */
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
  /** What is in a topic, by partition and offset. */
  readonly records: (topic: string) => Effect.Effect<ReadonlyArray<StoredRecord>>
  /** What a group has stored, by topic and partition; nothing for a group that is not there. */
  readonly committed: (groupId: string) => Effect.Effect<ReadonlyArray<StoredOffset>>
  /** How many connections are open now. */
  readonly connections: Effect.Effect<number>
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
> =>
  Effect.gen(function*() {
    const { brokers = 1, latency = 0, topics = {} } = options
    // A negative duration would be taken for zero in silence.
    const latencyMs = typeof latency === "number" ? latency : Duration.toMillis(latency)
    if (!Number.isSafeInteger(brokers) || brokers < 1) throw new RangeError(`A cluster of ${brokers} brokers`)
    if (!Number.isFinite(latencyMs) || latencyMs < 0) throw new RangeError(`A latency of ${latencyMs} ms`)
    const model = new Cluster(Array.from({ length: brokers }, (_, index) => ({
      id: index + 1,
      host: `broker-${index + 1}.memory`,
      port: 9092
    })))
    for (const [name, partitions] of Object.entries(topics)) model.createTopic(name, partitions)
    const network = new Network(model, latencyMs)
    const driver = yield* Driver.make(network)
    return { cluster: operator(network, driver), transport: MemoryTransport.make(network, driver) }
  })

const operator = ({ cluster }: Network, { operate }: Driver.Driver): MemoryCluster["Type"] => ({
  bootstrap: cluster.brokers.map(({ host, port }) => `${host}:${port}`),
  createTopic: (name, { config = {}, partitions = 1 } = {}) =>
    operate(() => cluster.createTopic(name, partitions, config)),
  records: (topic) => operate(() => storedRecords(cluster, topic)),
  committed: (groupId) => operate(() => storedOffsets(cluster, groupId)),
  connections: operate((network) => network.openConnections),
  stopBroker: (id) => operate((network) => network.stopBroker(id)),
  startBroker: (id) => operate((network) => network.startBroker(id)),
  pauseBroker: (id) => operate((network) => network.pauseBroker(id)),
  resumeBroker: (id) => operate((network) => network.resumeBroker(id)),
  setLeader: (topic, partition, brokerId) => operate((network) => network.setLeader(topic, partition, brokerId)),
  intercept: (decide) => operate((network) => network.setInterceptor(decide))
})

const copy = (bytes: Uint8Array | null): Uint8Array | null => bytes === null ? null : new Uint8Array(bytes)

const storedRecords = (cluster: Cluster, topic: string): ReadonlyArray<StoredRecord> => {
  const stored: Array<StoredRecord> = []
  for (const { index, log } of cluster.requireTopic(topic).partitions) {
    for (const { records } of log.chunks()) {
      for (const { headers, key, offset, timestamp, value } of records) {
        stored.push({
          partition: index,
          offset: BigInt(offset),
          timestamp,
          key: copy(key),
          value: copy(value),
          headers: headers.map((header) => ({ key: header.key, value: copy(header.value) }))
        })
      }
    }
  }
  return stored
}

const storedOffsets = (cluster: Cluster, groupId: string): ReadonlyArray<StoredOffset> => {
  const stored: Array<StoredOffset> = []
  for (const [topic, partitions] of cluster.committed(groupId)) {
    for (const [partition, { leaderEpoch, metadata, offset }] of partitions) {
      stored.push({ topic, partition, offset: BigInt(offset), leaderEpoch, metadata })
    }
  }
  return stored.sort((one, other) =>
    one.topic === other.topic ? one.partition - other.partition : one.topic < other.topic ? -1 : 1
  )
}
