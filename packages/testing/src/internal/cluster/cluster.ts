import { ApiVersions } from "@sluice/kafka/internal/protocol/api/apiVersions"
import { CreateTopics } from "@sluice/kafka/internal/protocol/api/createTopics"
import { DeleteRecords } from "@sluice/kafka/internal/protocol/api/deleteRecords"
import { DeleteTopics } from "@sluice/kafka/internal/protocol/api/deleteTopics"
import { Fetch } from "@sluice/kafka/internal/protocol/api/fetch"
import { FindCoordinator } from "@sluice/kafka/internal/protocol/api/findCoordinator"
import { Heartbeat } from "@sluice/kafka/internal/protocol/api/heartbeat"
import { InitProducerId } from "@sluice/kafka/internal/protocol/api/initProducerId"
import { JoinGroup } from "@sluice/kafka/internal/protocol/api/joinGroup"
import { LeaveGroup } from "@sluice/kafka/internal/protocol/api/leaveGroup"
import { ListOffsets } from "@sluice/kafka/internal/protocol/api/listOffsets"
import { Metadata } from "@sluice/kafka/internal/protocol/api/metadata"
import { OffsetCommit } from "@sluice/kafka/internal/protocol/api/offsetCommit"
import { OffsetFetch } from "@sluice/kafka/internal/protocol/api/offsetFetch"
import { Produce } from "@sluice/kafka/internal/protocol/api/produce"
import { SyncGroup } from "@sluice/kafka/internal/protocol/api/syncGroup"
import type { AnyApi, RequestOf, ResponseInput } from "@sluice/kafka/internal/protocol/field"

import { handleApiVersions } from "./apiVersions.ts"
import { type ClusterConfig, defaultConfig } from "./config.ts"
import { createTopic, handleCreateTopics, topicSpec } from "./createTopics.ts"
import { handleDeleteRecords } from "./deleteRecords.ts"
import { handleDeleteTopics } from "./deleteTopics.ts"
import { handleFetch } from "./fetch.ts"
import { handleFindCoordinator } from "./findCoordinator.ts"
import type { CommittedOffset } from "./group.ts"
import { handleInitProducerId } from "./initProducerId.ts"
import { handleJoinGroup } from "./joinGroup.ts"
import { afterBrokerStarted, afterBrokerStopped, changeLeader } from "./leadership.ts"
import { handleListOffsets } from "./listOffsets.ts"
import { handleHeartbeat, handleLeaveGroup, handleSyncGroup } from "./membership.ts"
import { handleMetadata } from "./metadata.ts"
import { handleOffsetCommit, handleOffsetFetch } from "./offsets.ts"
import { handleProduce } from "./produce.ts"
import { moveCoordinator } from "./rebalance.ts"
import { Reply } from "./reply.ts"
import { type Broker, ClusterState, type Handler, offsetsTopicName, type RequestContext } from "./state.ts"
import type { Partition, Topic } from "./topic.ts"

type ParkingHandler<A extends AnyApi> = (
  state: ClusterState,
  context: RequestContext,
  request: RequestOf<A>
) => Reply<ResponseInput<A>>

/** An API that the brokers have. */
interface ServedApi {
  readonly api: AnyApi
  readonly handle: ParkingHandler<AnyApi>
}

const parking = <A extends AnyApi>(api: A, handle: ParkingHandler<A>): ServedApi => ({
  api,
  handle: handle as ParkingHandler<any>
})

const atOnce = <A extends AnyApi>(api: A, handle: Handler<A>): ServedApi =>
  parking(api, (state, context, request: RequestOf<A>) => Reply.respond(handle(state, context, request)))

const served: ReadonlyArray<ServedApi> = [
  parking(Produce, handleProduce),
  parking(Fetch, handleFetch),
  atOnce(ListOffsets, handleListOffsets),
  atOnce(Metadata, handleMetadata),
  atOnce(OffsetCommit, handleOffsetCommit),
  atOnce(OffsetFetch, handleOffsetFetch),
  atOnce(FindCoordinator, handleFindCoordinator),
  parking(JoinGroup, handleJoinGroup),
  atOnce(Heartbeat, handleHeartbeat),
  atOnce(LeaveGroup, handleLeaveGroup),
  parking(SyncGroup, handleSyncGroup),
  atOnce(ApiVersions, (_, { version }, request) => handleApiVersions(servedApis, version, request)),
  atOnce(CreateTopics, handleCreateTopics),
  atOnce(DeleteTopics, handleDeleteTopics),
  atOnce(DeleteRecords, handleDeleteRecords),
  atOnce(InitProducerId, handleInitProducerId)
]

const byKey: ReadonlyMap<number, ServedApi> = new Map(served.map((entry) => [entry.api.key, entry]))

/** The APIs that every broker has, in all the versions that are declared. */
export const servedApis: ReadonlyArray<AnyApi> = served.map((entry) => entry.api)

/** The API that a request is for, if the brokers have it in this version. */
export const servedApi = (apiKey: number, version: number): AnyApi | undefined => {
  const api = byKey.get(apiKey)?.api
  return api !== undefined && version >= api.versions[0] && version <= api.versions[1] ? api : undefined
}

/** A request that came to a broker. */
export interface BrokerRequest<A extends AnyApi = AnyApi> {
  readonly api: A
  readonly version: number
  readonly brokerId: number
  readonly clientId: string | null
  readonly body: RequestOf<A>
}

const offsetsPartitions = 50

/**
 * A Kafka cluster as a state machine: requests and the passing of time go in, answers come out. It knows neither clock
 * nor chance nor bytes of the wire, and does the same each time.
 *
 * All brokers see each change at once, and followers are never behind their leaders.
 */
export class Cluster {
  private readonly state: ClusterState

  constructor(brokers: ReadonlyArray<Omit<Broker, "alive">>, config: Partial<ClusterConfig> = {}) {
    const replicas = Math.min(3, brokers.length)
    this.state = new ClusterState(
      { ...defaultConfig, defaultReplicationFactor: replicas, ...config },
      brokers.map((broker) => ({ ...broker, alive: true }))
    )
    createTopic(
      this.state,
      topicSpec({ name: offsetsTopicName, numPartitions: offsetsPartitions, replicationFactor: replicas }),
      { isInternal: true }
    )
  }

  get brokers(): ReadonlyArray<Broker> {
    return this.state.brokers
  }

  /** Serves a request. The broker must run. */
  handle<A extends AnyApi>(request: BrokerRequest<A>, now: number): Reply<ResponseInput<A>> {
    const broker = this.requireBroker(request.brokerId)
    const handle = byKey.get(request.api.key)!.handle as unknown as ParkingHandler<A>
    const context: RequestContext = { broker, version: request.version, clientId: request.clientId ?? "", now }
    return handle(this.state, context, request.body)
  }

  /** When something happens by itself: a long poll ends, a member's session expires. */
  nextDeadline(): number | undefined {
    return this.state.timers.nextDeadline()
  }

  /** Does what is due. */
  advance(now: number): void {
    this.state.timers.runDue(now)
  }

  /** Adds a topic; throws `TopicRefused`. */
  createTopic(name: string, partitions: number, configs: Readonly<Record<string, string>> = {}): void {
    createTopic(
      this.state,
      topicSpec({
        name,
        numPartitions: partitions,
        configs: Object.entries(configs).map(([name, value]) => ({ name, value }))
      })
    )
  }

  /** A broker stops: others take over what it led. Its connections and what it was asked are its caller's concern. */
  stopBroker(id: number, now: number): void {
    const broker = this.requireBroker(id)
    if (!broker.alive) return
    broker.alive = false
    this.eachPartition(now, (partition) => afterBrokerStopped(partition, id, this.state.isAlive))
  }

  /** A broker runs again. */
  startBroker(id: number, now: number): void {
    const broker = this.requireBroker(id)
    if (broker.alive) return
    broker.alive = true
    this.eachPartition(now, (partition) => afterBrokerStarted(partition, id, this.state.isAlive))
  }

  /** Moves a partition to another of its in-sync replicas; of the offsets topic, that moves the coordination of groups. */
  setLeader(topicName: string, index: number, brokerId: number, now: number): void {
    const topic = this.requireTopic(topicName)
    const partition = topic.partitions[index]
    if (partition === undefined) throw new RangeError(`Topic ${topicName} has no partition ${index}`)
    if (!this.requireBroker(brokerId).alive || !partition.inSyncReplicas.includes(brokerId)) {
      throw new RangeError(
        `Broker ${brokerId} is not an in-sync replica of ${topicName}-${index}: ${partition.inSyncReplicas.join(", ")}`
      )
    }
    if (changeLeader(partition, brokerId) && topic.isInternal) this.moveGroups(partition, now)
  }

  /** A topic that is there; throws if it is not. */
  requireTopic(name: string): Topic {
    const topic = this.state.topics.get(name)
    if (topic === undefined) throw new RangeError(`There is no topic ${name}`)
    return topic
  }

  /** A broker of this cluster; throws if there is none with this id. */
  requireBroker(id: number): Broker {
    const broker = this.state.broker(id)
    if (broker === undefined) throw new RangeError(`There is no broker ${id}`)
    return broker
  }

  /** The offsets that a group has stored, by topic and partition. */
  committed(groupId: string): ReadonlyMap<string, ReadonlyMap<number, CommittedOffset>> {
    return this.state.groups.get(groupId)?.offsets ?? new Map()
  }

  private eachPartition(now: number, change: (partition: Partition) => boolean): void {
    for (const topic of this.state.topics.all()) {
      for (const partition of topic.partitions) {
        if (change(partition) && topic.isInternal) this.moveGroups(partition, now)
      }
    }
  }

  private moveGroups(partition: Partition, now: number): void {
    for (const group of this.state.groups.values()) {
      if (this.state.offsetsPartition(group.id) === partition) moveCoordinator(this.state, group, now)
    }
  }
}
