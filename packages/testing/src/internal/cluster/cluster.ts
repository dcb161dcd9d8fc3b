import { ApiVersions } from "@sluice/kafka/internal/protocol/api/apiVersions"
import { CreatePartitions } from "@sluice/kafka/internal/protocol/api/createPartitions"
import { CreateTopics } from "@sluice/kafka/internal/protocol/api/createTopics"
import { DeleteRecords } from "@sluice/kafka/internal/protocol/api/deleteRecords"
import { DeleteTopics } from "@sluice/kafka/internal/protocol/api/deleteTopics"
import { DescribeGroups } from "@sluice/kafka/internal/protocol/api/describeGroups"
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
import { OffsetForLeaderEpoch } from "@sluice/kafka/internal/protocol/api/offsetForLeaderEpoch"
import { Produce } from "@sluice/kafka/internal/protocol/api/produce"
import { SyncGroup } from "@sluice/kafka/internal/protocol/api/syncGroup"
import type { AnyApi, RequestOf, ResponseInput } from "@sluice/kafka/internal/protocol/field"

import { handleApiVersions } from "./apiVersions.ts"
import { type ClusterConfig, defaultConfig } from "./config.ts"
import { createPartitions, handleCreatePartitions } from "./createPartitions.ts"
import { createTopic, handleCreateTopics, topicSpec } from "./createTopics.ts"
import { deleteBefore, handleDeleteRecords } from "./deleteRecords.ts"
import { deleteTopic, handleDeleteTopics } from "./deleteTopics.ts"
import { handleDescribeGroups } from "./describeGroups.ts"
import type { ClusterObserver } from "./event.ts"
import { handleFetch } from "./fetch.ts"
import { FetchSessions } from "./fetchSession.ts"
import { handleFindCoordinator } from "./findCoordinator.ts"
import type { CommittedOffset, Group } from "./group.ts"
import { handleInitProducerId } from "./initProducerId.ts"
import { handleJoinGroup } from "./joinGroup.ts"
import { afterBrokerFenced, afterBrokerUnfenced, changeLeader, nextLeader } from "./leadership.ts"
import { handleListOffsets } from "./listOffsets.ts"
import { handleHeartbeat, handleLeaveGroup, handleSyncGroup } from "./membership.ts"
import { handleMetadata } from "./metadata.ts"
import { handleOffsetForLeaderEpoch } from "./offsetForLeaderEpoch.ts"
import { handleOffsetCommit, handleOffsetFetch } from "./offsets.ts"
import { handleProduce } from "./produce.ts"
import { moveCoordinator } from "./rebalance.ts"
import { replicate } from "./replication.ts"
import { Reply } from "./reply.ts"
import {
  type Broker,
  type BrokerSpec,
  ClusterState,
  type Handler,
  offsetsTopicName,
  type RequestContext
} from "./state.ts"
import type { Timer } from "./timers.ts"
import { noLeader, type Partition, type Topic } from "./topic.ts"

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
  atOnce(OffsetForLeaderEpoch, handleOffsetForLeaderEpoch),
  atOnce(Metadata, handleMetadata),
  atOnce(OffsetCommit, handleOffsetCommit),
  atOnce(OffsetFetch, handleOffsetFetch),
  atOnce(FindCoordinator, handleFindCoordinator),
  parking(JoinGroup, handleJoinGroup),
  atOnce(Heartbeat, handleHeartbeat),
  atOnce(LeaveGroup, handleLeaveGroup),
  parking(SyncGroup, handleSyncGroup),
  atOnce(DescribeGroups, handleDescribeGroups),
  atOnce(ApiVersions, (_, { version }, request) => handleApiVersions(servedApis, version, request)),
  atOnce(CreateTopics, handleCreateTopics),
  atOnce(DeleteTopics, handleDeleteTopics),
  atOnce(DeleteRecords, handleDeleteRecords),
  atOnce(InitProducerId, handleInitProducerId),
  atOnce(CreatePartitions, handleCreatePartitions)
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

/** In a request -1 stands for the default; an operator has other ways to say that. */
const requireCount = (what: string, count: number): void => {
  if (!Number.isSafeInteger(count) || count < 1) throw new RangeError(`${what} is ${count}; it must be 1 or more`)
}

/**
 * A Kafka cluster as a state machine: requests and the passing of time go in, answers come out. It knows neither clock
 * nor chance nor bytes of the wire, and does the same each time.
 *
 * All brokers see each change of the metadata at once. Followers are never behind their leaders unless there is a
 * `replicationDelayMs`. What groups store is never behind.
 */
export class Cluster {
  private readonly state: ClusterState
  /** When brokers that hang will be fenced. */
  private readonly sessions = new Map<number, Timer>()

  /** `observe` is told of each event when it happens; it must do nothing to the cluster. */
  constructor(
    brokers: ReadonlyArray<BrokerSpec>,
    config: Partial<ClusterConfig> = {},
    observe: ClusterObserver = () => undefined
  ) {
    const replicas = Math.min(3, brokers.length)
    const settings = { ...defaultConfig, defaultReplicationFactor: replicas, ...config }
    this.state = new ClusterState(
      settings,
      brokers.map((broker) => ({
        ...broker,
        alive: true,
        isHung: false,
        isFenced: false,
        fetchSessions: new FetchSessions(settings.maxFetchSessions)
      })),
      observe
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

  /** A Fetch with all that it is for, which its broker knows from the session. */
  wholeFetch(request: RequestOf<typeof Fetch>, brokerId: number): RequestOf<typeof Fetch> {
    if (request.sessionEpoch <= 0) return request
    const fetched = this.requireBroker(brokerId).fetchSessions.peek(request)
    return {
      ...request,
      topics: fetched.map(({ topic, topicId, wanted }) => ({ topic, topicId, partitions: [wanted] }))
    }
  }

  /** When something happens by itself: a long poll ends, a member's session expires. */
  nextDeadline(): number | undefined {
    return this.state.timers.nextDeadline()
  }

  /** Does what is due. */
  advance(now: number): void {
    this.state.timers.runDue(now)
  }

  /** Adds a topic, with as many replicas as the cluster's topics have by default; throws `TopicRefused`. */
  createTopic(
    name: string,
    partitions: number,
    configs: Readonly<Record<string, string>> = {},
    replicas?: number
  ): void {
    requireCount(`Number of partitions of ${name}`, partitions)
    if (replicas !== undefined) requireCount(`Number of replicas of ${name}`, replicas)
    createTopic(
      this.state,
      topicSpec({
        name,
        numPartitions: partitions,
        replicationFactor: replicas ?? -1,
        configs: Object.entries(configs).map(([name, value]) => ({ name, value }))
      })
    )
  }

  /** Gives a topic more partitions, `count` in all; throws `TopicRefused`. */
  createPartitions(name: string, count: number): void {
    requireCount(`Number of partitions of ${name}`, count)
    createPartitions(this.state, { name, count, assignments: null })
  }

  /** Deletes a topic that is there, and not the brokers' own. */
  deleteTopic(name: string): void {
    const topic = this.requireTopic(name)
    if (topic.isInternal) throw new RangeError(`Topic ${name} is the brokers' own`)
    deleteTopic(this.state, topic)
  }

  /** Deletes what is before an offset of a partition, which must be committed; all that is, without an offset. */
  deleteRecords(topicName: string, index: number, offset: number | undefined, now: number): void {
    const partition = this.requirePartition(topicName, index)
    const { highWatermark } = partition
    if (offset !== undefined && (offset < 0 || offset > highWatermark)) {
      throw new RangeError(`Offset ${offset} of ${topicName}-${index} is not between 0 and ${highWatermark}`)
    }
    deleteBefore(this.state, partition, offset ?? highWatermark, now)
  }

  /** A broker dies: others take over what it led. Its connections and what it was asked are its caller's concern. */
  stopBroker(id: number, now: number): void {
    const broker = this.requireBroker(id)
    if (!broker.alive) return
    broker.alive = false
    broker.fetchSessions.clear()
    broker.isHung = false
    this.sessions.get(id)?.cancel()
    if (!broker.isFenced) this.fence(broker, now)
  }

  /** A broker that died runs again. */
  startBroker(id: number, now: number): void {
    const broker = this.requireBroker(id)
    if (broker.alive) return
    broker.alive = true
    this.unfence(broker, now)
  }

  /**
   * A broker hangs: it neither replicates nor lets anybody replicate from it if that takes time at all, and is fenced
   * when its session ends. That it is not asked anything is its caller's concern.
   */
  brokerHangs(id: number, now: number): void {
    const broker = this.requireBroker(id)
    if (!broker.alive || broker.isHung) return
    for (const partition of this.partitionsOf(id)) {
      const replica = partition.replicaStates.find(({ brokerId }) => brokerId === id)!
      if (replica.endOffset >= partition.log.endOffset) replica.caughtUpAt = now
    }
    broker.isHung = true
    for (const partition of this.partitionsOf(id)) replicate(this.state, partition, now)
    this.sessions.set(
      id,
      this.state.timers.schedule(now + this.state.config.brokerSessionTimeoutMs, (time) => this.fence(broker, time))
    )
  }

  /** A broker that hung goes on: it knows at once what has happened meanwhile. */
  brokerGoesOn(id: number, now: number): void {
    const broker = this.requireBroker(id)
    if (!broker.isHung) return
    broker.isHung = false
    this.sessions.get(id)?.cancel()
    if (broker.isFenced) this.unfence(broker, now)
    else for (const partition of this.partitionsOf(id)) replicate(this.state, partition, now)
  }

  /**
   * Moves a partition to another of its in-sync replicas, or to the next that runs; of the offsets topic, that moves the
   * coordination of groups. Says whether there was a change: without a broker there may be no other.
   */
  setLeader(topicName: string, index: number, brokerId: number | undefined, now: number): boolean {
    const partition = this.requirePartition(topicName, index)
    if (brokerId !== undefined && !this.requireBroker(brokerId).alive) {
      throw new RangeError(`Broker ${brokerId} does not run`)
    }
    const leader = brokerId ?? nextLeader(this.state, partition)
    if (leader === undefined) return false
    if (!this.state.isActive(leader) || !partition.inSyncReplicas.includes(leader)) {
      throw new RangeError(
        `Broker ${leader} is not an in-sync replica of ${topicName}-${index}: ${partition.inSyncReplicas.join(", ")}`
      )
    }
    if (!changeLeader(this.state, partition, leader, now)) return false
    this.afterLeaderChange(partition, now)
    return true
  }

  /** Lets another broker coordinate a group, as {@link setLeader} does: one that has the groups' offsets in sync. */
  moveCoordinator(groupId: string, brokerId: number | undefined, now: number): boolean {
    return this.setLeader(offsetsTopicName, this.state.offsetsPartition(groupId).index, brokerId, now)
  }

  /** The broker that leads a partition; `undefined` for none. */
  leaderOf(topicName: string, index: number): number | undefined {
    const { leader } = this.requirePartition(topicName, index)
    return leader === noLeader ? undefined : leader
  }

  /** The broker that coordinates a group; `undefined` for none. */
  coordinatorOf(groupId: string): number | undefined {
    return this.leaderOf(offsetsTopicName, this.state.offsetsPartition(groupId).index)
  }

  /** The broker that is named as the controller; `undefined` if none runs. Any broker does what only it could do. */
  get controller(): number | undefined {
    return this.state.activeBrokers()[0]?.id
  }

  /** The names of the topics, in the order of their creation, but for the brokers' own. */
  get topicNames(): ReadonlyArray<string> {
    return Array.from(this.state.topics.all()).filter((topic) => !topic.isInternal).map((topic) => topic.name)
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

  /** A group, if there is one. */
  group(groupId: string): Group | undefined {
    return this.state.groups.get(groupId)
  }

  /** The offsets that a group has stored, by topic and partition. */
  committed(groupId: string): ReadonlyMap<string, ReadonlyMap<number, CommittedOffset>> {
    return this.state.groups.get(groupId)?.offsets ?? new Map()
  }

  /** A partition that is there; throws if it is not. */
  requirePartition(topicName: string, index: number): Partition {
    const partition = this.requireTopic(topicName).partitions[index]
    if (partition === undefined) throw new RangeError(`Topic ${topicName} has no partition ${index}`)
    return partition
  }

  private fence(broker: Broker, now: number): void {
    broker.isFenced = true
    this.state.observe({ _tag: "BrokerFenced", broker: broker.id }, now)
    for (const partition of this.partitionsOf(broker.id)) {
      if (afterBrokerFenced(this.state, partition, broker.id, now)) this.afterLeaderChange(partition, now)
    }
  }

  private unfence(broker: Broker, now: number): void {
    broker.isFenced = false
    this.state.observe({ _tag: "BrokerUnfenced", broker: broker.id }, now)
    for (const partition of this.partitionsOf(broker.id)) {
      if (afterBrokerUnfenced(this.state, partition, broker.id, now)) this.afterLeaderChange(partition, now)
    }
  }

  private *partitionsOf(brokerId: number): Generator<Partition> {
    for (const topic of this.state.topics.all()) {
      for (const partition of topic.partitions) if (partition.replicas.includes(brokerId)) yield partition
    }
  }

  /** The groups whose offsets are in a partition have another coordinator. */
  private afterLeaderChange(partition: Partition, now: number): void {
    if (partition.topicName !== offsetsTopicName) return
    this.state.beginLoading(partition, now)
    for (const group of this.state.groups.values()) {
      if (this.state.offsetsPartition(group.id) === partition) moveCoordinator(this.state, group, now)
    }
  }
}
