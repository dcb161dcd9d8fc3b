import type { AnyApi, RequestOf, ResponseInput } from "@sluice/kafka/internal/protocol/field"

import type { ClusterConfig } from "./config.ts"
import type { Group } from "./group.ts"
import { Timers } from "./timers.ts"
import { type Partition, Topics } from "./topic.ts"

/** A broker, as the others know it. */
export interface Broker {
  readonly id: number
  readonly host: string
  readonly port: number
  alive: boolean
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
  private topicIds = 0
  private memberIds = 0
  private producerIds = 0

  constructor(config: ClusterConfig, brokers: ReadonlyArray<Broker>) {
    this.config = config
    this.brokers = brokers
  }

  /** The broker with an id, whether it runs or not. */
  broker(id: number): Broker | undefined {
    return this.brokers.find((broker) => broker.id === id)
  }

  readonly isAlive = (id: number): boolean => this.broker(id)?.alive === true

  aliveBrokers(): ReadonlyArray<Broker> {
    return this.brokers.filter((broker) => broker.alive)
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

  /** The partition whose leader coordinates a group: by Java's hash of the group's id. */
  offsetsPartition(groupId: string): Partition {
    const { partitions } = this.topics.get(offsetsTopicName)!
    return partitions[(javaHash(groupId) & 0x7fff_ffff) % partitions.length]!
  }
}

const javaHash = (text: string): number => {
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
