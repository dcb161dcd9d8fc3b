import { assert } from "@effect/vitest"
import { BatchBuilder, type CloseOptions } from "@sluice/kafka/internal/kernel/recordBatch"
import { Fetch } from "@sluice/kafka/internal/protocol/api/fetch"
import { JoinGroup } from "@sluice/kafka/internal/protocol/api/joinGroup"
import { Produce } from "@sluice/kafka/internal/protocol/api/produce"
import { SyncGroup } from "@sluice/kafka/internal/protocol/api/syncGroup"
import {
  concat,
  decodeRequest,
  decodeResponse,
  encodeRequest,
  encodeResponse
} from "@sluice/kafka/internal/protocol/codec"
import type { AnyApi, RequestInput, ResponseOf } from "@sluice/kafka/internal/protocol/field"

import { Cluster } from "../../src/internal/cluster/cluster.ts"
import type { ClusterConfig } from "../../src/internal/cluster/config.ts"
import { errorCode } from "../../src/internal/cluster/errorCode.ts"
import type { ClusterEvent } from "../../src/internal/cluster/event.ts"
import type { Answer } from "../../src/internal/cluster/reply.ts"

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** UTF-8. */
export const bytes = (text: string): Uint8Array => encoder.encode(text)

/** UTF-8. */
export const text = (value: Uint8Array | null | undefined): string | null =>
  value == null ? null : decoder.decode(value)

/** A batch of records with these values, at timestamps 1000, 1001, … unless told otherwise. */
export const batch = (
  values: ReadonlyArray<string>,
  options: CloseOptions & { timestamp?: number } = {}
): Uint8Array => {
  const builder = new BatchBuilder()
  values.forEach((value, index) => builder.append((options.timestamp ?? 1000) + index, null, bytes(value), []))
  return builder.close(options)
}

/** The name of an error code, for assertions that can be read. */
export const errorName = (code: number | undefined): string =>
  Object.entries(errorCode).find(([, known]) => known === code)?.[0] ?? String(code)

/** A request that may still be parked. Its response has been through the bytes of its version. */
export interface Pending<A extends AnyApi> {
  readonly answer: () => Answer<ResponseOf<A>> | undefined
  readonly response: () => ResponseOf<A>
  readonly isParked: () => boolean
  readonly abandon: () => void
}

/** Who asks whom. */
export interface AskOptions {
  readonly broker?: number
  /** The highest that is declared, by default. */
  readonly version?: number
  readonly clientId?: string | null
}

/** The model of a cluster, with a clock that tests set. */
export class Model {
  readonly cluster: Cluster
  /** What the cluster has told, with the time. */
  readonly events: Array<ClusterEvent & { readonly now: number }> = []
  now = 0

  constructor(
    options: {
      brokers?: number
      racks?: ReadonlyArray<string>
      topics?: Record<string, number>
      config?: Partial<ClusterConfig>
    } = {}
  ) {
    this.cluster = new Cluster(
      Array.from(
        { length: options.brokers ?? options.racks?.length ?? 1 },
        (_, index) => ({ id: index + 1, host: `b${index + 1}`, port: 9092, rack: options.racks?.[index] })
      ),
      options.config,
      (event, now) => this.events.push({ ...event, now })
    )
    for (const [name, partitions] of Object.entries(options.topics ?? {})) this.cluster.createTopic(name, partitions)
  }

  send<A extends AnyApi>(api: A, body: RequestInput<A>, options: AskOptions = {}): Pending<A> {
    const { broker = 1, clientId = "test", version = api.versions[1] } = options
    const decoded = decodeRequest(api, version, concat(encodeRequest(api, version, body)))
    const reply = this.cluster.handle({ api, version, brokerId: broker, clientId, body: decoded }, this.now)
    const answer = (): Answer<ResponseOf<A>> | undefined => {
      const given = reply.answer
      return given?._tag === "Response"
        ? { _tag: "Response", body: decodeResponse(api, version, concat(encodeResponse(api, version, given.body))) }
        : given
    }
    return {
      answer,
      response: () => {
        const given = answer()
        assert(given?._tag === "Response", `${api.name} was not answered: ${given?._tag ?? "parked"}`)
        return given.body
      },
      isParked: () => reply.answer === undefined,
      abandon: () => reply.abandon()
    }
  }

  ask<A extends AnyApi>(api: A, body: RequestInput<A>, options?: AskOptions): ResponseOf<A> {
    return this.send(api, body, options).response()
  }

  /** Time passes, and what is due is done at its time. */
  pass(ms: number): void {
    const end = this.now + ms
    for (
      let next = this.cluster.nextDeadline();
      next !== undefined && next <= end;
      next = this.cluster.nextDeadline()
    ) {
      this.now = Math.max(this.now, next)
      this.cluster.advance(this.now)
    }
    this.now = end
  }

  /** The events of these kinds that came since it was last asked for any, but for those of the brokers' own topic. */
  takeEvents(...kinds: ReadonlyArray<ClusterEvent["_tag"]>): Array<ClusterEvent & { readonly now: number }> {
    return this.events.splice(0).filter((event) =>
      kinds.includes(event._tag) && !("topic" in event && event.topic.startsWith("__"))
    )
  }

  /** Sends a batch to the leader, unless told otherwise; it may stay parked. */
  sendBatch(topic: string, partition: number, records: Uint8Array, options: ProduceOptions = {}): Produced {
    const broker = options.broker ?? this.cluster.leaderOf(topic, partition) ?? 1
    const request = { ...produceRequest(topic, partition, records, options.acks), timeoutMs: options.timeoutMs ?? 1000 }
    const pending = this.send(Produce, request, { ...options, broker })
    return {
      isParked: pending.isParked,
      abandon: pending.abandon,
      response: () => pending.response().responses[0]!.partitionResponses[0]!,
      outcome: () => {
        if (pending.isParked()) return "parked"
        const { baseOffset, errorCode } = pending.response().responses[0]!.partitionResponses[0]!
        return errorCode === 0 ? baseOffset : errorName(errorCode)
      }
    }
  }

  produce(topic: string, partition: number, records: Uint8Array | null, options: AskOptions & { acks?: number } = {}) {
    const response = this.ask(Produce, produceRequest(topic, partition, records, options.acks), options)
    const result = response.responses[0]!.partitionResponses[0]!
    return { ...result, error: errorName(result.errorCode) }
  }

  fetch(topic: string, partition: number, fetchOffset: number, options: FetchOptions = {}): Pending<typeof Fetch> {
    return this.send(Fetch, fetchRequest([{ topic, partition, fetchOffset, ...options }], options), options)
  }

  join(groupId: string, memberId = "", options: JoinOptions = {}): Pending<typeof JoinGroup> {
    return this.send(JoinGroup, joinRequest(groupId, memberId, options), options)
  }

  /** Joins as clients do: first for an id, then with it. */
  joinNew(groupId: string, options: JoinOptions = {}): Member {
    const refused = this.join(groupId, "", options).response()
    assert.strictEqual(errorName(refused.errorCode), "MemberIdRequired")
    return { id: refused.memberId, join: this.join(groupId, refused.memberId, options) }
  }

  sync(
    groupId: string,
    memberId: string,
    generationId: number,
    assignments: Record<string, string> = {},
    options: AskOptions & { groupInstanceId?: string; protocolName?: string; protocolType?: string } = {}
  ): Pending<typeof SyncGroup> {
    const { groupInstanceId = null, protocolName = null, protocolType = null } = options
    // Version 5 must name the protocol, which most tests are not about.
    const version = options.version ?? (protocolName === null && protocolType === null ? 4 : 5)
    return this.send(SyncGroup, {
      groupId,
      generationId,
      memberId,
      groupInstanceId,
      protocolName,
      protocolType,
      assignments: Object.entries(assignments).map(([id, assignment]) => ({
        memberId: id,
        assignment: bytes(assignment)
      }))
    }, { ...options, version })
  }

  /** A group of one member, who leads and has its assignment. */
  stableGroup(groupId: string, options: JoinOptions = {}): { readonly memberId: string; readonly generation: number } {
    const { id, join } = this.joinNew(groupId, options)
    const { generationId } = join.response()
    const synced = this.sync(groupId, id, generationId, { [id]: `all of ${groupId}` }, options).response()
    assert.strictEqual(errorName(synced.errorCode), "None")
    return { memberId: id, generation: generationId }
  }
}

/** How to send a batch. */
export interface ProduceOptions extends AskOptions {
  /** All, by default. */
  readonly acks?: number
  readonly timeoutMs?: number
}

/** A Produce of one batch. */
export interface Produced {
  readonly isParked: () => boolean
  readonly abandon: () => void
  readonly response: () => ResponseOf<typeof Produce>["responses"][number]["partitionResponses"][number]
  /** Its offset, or what went wrong, or that it is parked. */
  readonly outcome: () => number | string
}

/** A member that is joining. */
export interface Member {
  readonly id: string
  readonly join: Pending<typeof JoinGroup>
}

/** How to join. */
export interface JoinOptions extends AskOptions {
  readonly sessionTimeoutMs?: number
  readonly rebalanceTimeoutMs?: number
  readonly groupInstanceId?: string
  readonly protocolType?: string
  /** Names and metadata; default `{ range: "v1" }`. */
  readonly protocols?: Record<string, string>
}

/** A JoinGroup of a consumer. */
export const joinRequest = (
  groupId: string,
  memberId: string,
  options: JoinOptions = {}
): RequestInput<typeof JoinGroup> => ({
  groupId,
  memberId,
  groupInstanceId: options.groupInstanceId ?? null,
  sessionTimeoutMs: options.sessionTimeoutMs ?? 10_000,
  rebalanceTimeoutMs: options.rebalanceTimeoutMs ?? 30_000,
  protocolType: options.protocolType ?? "consumer",
  protocols: Object.entries(options.protocols ?? { range: "v1" }).map(([name, metadata]) => ({
    name,
    metadata: bytes(metadata)
  }))
})

/** A Produce of one batch. */
export const produceRequest = (
  topic: string,
  partition: number,
  records: Uint8Array | null,
  acks = -1
): RequestInput<typeof Produce> => ({
  acks,
  timeoutMs: 1000,
  topicData: [{ name: topic, partitionData: [{ index: partition, records }] }]
})

/** How to fetch. */
export interface FetchOptions extends AskOptions {
  readonly maxWaitMs?: number
  readonly minBytes?: number
  readonly maxBytes?: number
  readonly partitionMaxBytes?: number
  readonly isolationLevel?: number
  readonly currentLeaderEpoch?: number
}

/** A Fetch of partitions by the names of their topics: for versions up to 12. */
export const fetchRequest = (
  partitions: ReadonlyArray<{
    readonly topic: string
    readonly partition: number
    readonly fetchOffset: number
    readonly partitionMaxBytes?: number
    readonly currentLeaderEpoch?: number
  }>,
  options: FetchOptions = {}
): RequestInput<typeof Fetch> => ({
  maxWaitMs: options.maxWaitMs ?? 0,
  minBytes: options.minBytes ?? 1,
  maxBytes: options.maxBytes ?? 1_000_000,
  isolationLevel: options.isolationLevel ?? 0,
  topics: partitions.map(({ currentLeaderEpoch, fetchOffset, partition, partitionMaxBytes, topic }) => ({
    topic,
    partitions: [{
      partition,
      fetchOffset,
      partitionMaxBytes: partitionMaxBytes ?? 1_000_000,
      currentLeaderEpoch: currentLeaderEpoch ?? -1
    }]
  }))
})
