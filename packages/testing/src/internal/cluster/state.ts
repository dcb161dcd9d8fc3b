import type { AnyApi, RequestOf, ResponseInput } from "@sluice/kafka/internal/protocol/field"

import type { ClusterConfig } from "./config.ts"
import type { ClusterObserver } from "./event.ts"
import type { FetchSessions } from "./fetchSession.ts"
import type { Group } from "./group.ts"
import { type Timer, Timers } from "./timers.ts"
import { type Partition, Topics } from "./topic.ts"

/** What a broker is and where. */
export interface BrokerSpec {
  readonly id: number
  readonly host: string
  readonly port: number
  /** `broker.rack`; none by default. */
  readonly rack?: string | undefined
}

/** A broker and how it is. */
export interface Broker extends BrokerSpec {
  /** Its process is there. */
  alive: boolean
  /** Its process does nothing at the moment. */
  isHung: boolean
  /** It is out of the cluster: dead, or hung for too long. */
  isFenced: boolean
  readonly fetchSessions: FetchSessions
}

/** The topic whose partitions' leaders coordinate the groups. */
export const offsetsTopicName = "__consumer_offsets"

/** Everything that a cluster knows. The rules that change it are in the modules beside this one. */
export class ClusterState {
  readonly config: ClusterConfig
  readonly brokers: ReadonlyArray<Broker>
  readonly topics = new Topics()
  readonly groups = new Map<string, Group>()
  readonly timers = new Timers()
  /** The next look at what is too old. */
  retentionCheck: Timer | undefined
  /** Whoever changes something that has an event tells it, at once. */
  readonly observe: ClusterObserver
  private readonly loading = new Map<Partition, number>()
  private topicIds = 0
  private memberIds = 0
  private producerIds = 0

  constructor(config: ClusterConfig, brokers: ReadonlyArray<Broker>, observe: ClusterObserver) {
    this.config = config
    this.brokers = brokers
    this.observe = observe
  }

  /** The broker with an id, whether it runs or not. */
  broker(id: number): Broker | undefined {
    return this.brokers.find((broker) => broker.id === id)
  }

  /** Whether a broker is in the cluster, as far as the controller knows: it may hang. */
  readonly isActive = (id: number): boolean => this.broker(id)?.isFenced === false

  /** Whether a broker does its work. */
  isServing(id: number): boolean {
    const broker = this.broker(id)
    return broker !== undefined && broker.alive && !broker.isHung
  }

  /**
   * Whether a broker takes part in replication. Where followers are never behind, only a fenced one does not: without a
   * delay it takes no time, and a broker that hangs for a moment changes nothing for the others.
   */
  replicates(id: number): boolean {
    const broker = this.broker(id)
    if (broker === undefined || !broker.alive) return false
    return !broker.isHung || (this.config.replicationDelayMs === 0 && !broker.isFenced)
  }

  activeBrokers(): ReadonlyArray<Broker> {
    return this.brokers.filter((broker) => !broker.isFenced)
  }

  /** A topic's id: sixteen bytes that only this topic ever has. */
  nextTopicId(): string {
    const bytes = Buffer.from("memory-topic\0\0\0\0")
    bytes.writeInt32BE(++this.topicIds, 12)
    return bytes.toString("base64url")
  }

  /** A member's id, which begins as real ones do. */
  nextMemberId(prefix: string): string {
    return `${prefix}-${++this.memberIds}`
  }

  /** From 0, as in a new cluster. */
  nextProducerId(): number {
    return this.producerIds++
  }

  /** When the coordinator of the groups of a partition of the offsets topic knows them. */
  loadedAt(partition: Partition): number {
    return this.loading.get(partition) ?? 0
  }

  /** The coordinator of these groups is new, and must read them first. */
  beginLoading(partition: Partition, now: number): void {
    if (this.config.coordinatorLoadMs > 0) this.loading.set(partition, now + this.config.coordinatorLoadMs)
  }

  /** The partition whose leader coordinates a group: by Java's hash of the group's id. */
  offsetsPartition(groupId: string): Partition {
    const { partitions } = this.topics.get(offsetsTopicName)!
    return partitions[(javaHash(groupId) & 0x7fff_ffff) % partitions.length]!
  }
}

/** `String.hashCode` of Java. */
export const javaHash = (text: string): number => {
  let hash = 0
  for (let index = 0; index < text.length; index++) hash = (Math.imul(hash, 31) + text.charCodeAt(index)) | 0
  return hash
}

/** Who asks, whom and when. */
export interface RequestContext {
  readonly broker: Broker
  readonly version: number
  readonly clientId: string
  /** Milliseconds. */
  readonly now: number
}

/** Serves an API that is answered at once. */
export type Handler<A extends AnyApi> = (
  state: ClusterState,
  context: RequestContext,
  request: RequestOf<A>
) => ResponseInput<A>
