/** What an operator does to a cluster, and sees of it: by requests to any broker that answers, past our own client. */
import { connect } from "node:net"
import { setTimeout as sleep } from "node:timers/promises"

import { ConsumerProtocolAssignment, decodeVersioned } from "@sluice/kafka/internal/protocol/api/consumerProtocol"
import { CreatePartitions } from "@sluice/kafka/internal/protocol/api/createPartitions"
import { CreateTopics } from "@sluice/kafka/internal/protocol/api/createTopics"
import { DeleteRecords } from "@sluice/kafka/internal/protocol/api/deleteRecords"
import { DeleteTopics } from "@sluice/kafka/internal/protocol/api/deleteTopics"
import { FindCoordinator } from "@sluice/kafka/internal/protocol/api/findCoordinator"
import { Metadata } from "@sluice/kafka/internal/protocol/api/metadata"
import { OffsetFetch } from "@sluice/kafka/internal/protocol/api/offsetFetch"
import { byteLength, decodeResponse, encodeRequest } from "@sluice/kafka/internal/protocol/codec"
import {
  type AnyApi,
  api,
  array,
  arrayOf,
  bool,
  bytes,
  int8,
  int16,
  int32,
  int64,
  type RequestInput,
  type ResponseOf,
  string
} from "@sluice/kafka/internal/protocol/field"
import { requestHeader, requestHeaderVersion, responseBody } from "@sluice/kafka/internal/protocol/header"

const DescribeQuorum = api({
  key: 55,
  name: "DescribeQuorum",
  versions: [0, 0],
  flexible: 0,
  request: { topics: arrayOf({ topicName: string, partitions: arrayOf({ partitionIndex: int32 }) }) },
  response: {
    errorCode: int16,
    topics: arrayOf({
      topicName: string,
      partitions: arrayOf({
        partitionIndex: int32,
        errorCode: int16,
        leaderId: int32,
        leaderEpoch: int32,
        highWatermark: int64,
        currentVoters: arrayOf({ replicaId: int32, logEndOffset: int64 }),
        observers: arrayOf({ replicaId: int32, logEndOffset: int64 })
      })
    })
  }
})

const ElectLeaders = api({
  key: 43,
  name: "ElectLeaders",
  versions: [2, 2],
  flexible: 2,
  request: {
    electionType: int8,
    topicPartitions: arrayOf({ topic: string, partitions: array(int32) }).nullable(),
    timeoutMs: int32
  },
  response: {
    throttleTimeMs: int32,
    errorCode: int16,
    replicaElectionResults: arrayOf({
      topic: string,
      partitionResult: arrayOf({ partitionId: int32, errorCode: int16, errorMessage: string.nullable() })
    })
  }
})

const AlterPartitionReassignments = api({
  key: 45,
  name: "AlterPartitionReassignments",
  versions: [0, 0],
  flexible: 0,
  request: {
    timeoutMs: int32,
    topics: arrayOf({
      name: string,
      partitions: arrayOf({ partitionIndex: int32, replicas: array(int32).nullable() })
    })
  },
  response: {
    throttleTimeMs: int32,
    errorCode: int16,
    errorMessage: string.nullable(),
    responses: arrayOf({
      name: string,
      partitions: arrayOf({ partitionIndex: int32, errorCode: int16, errorMessage: string.nullable() })
    })
  }
})

const DescribeGroups = api({
  key: 15,
  name: "DescribeGroups",
  versions: [5, 5],
  flexible: 5,
  request: { groups: array(string), includeAuthorizedOperations: bool },
  response: {
    throttleTimeMs: int32,
    groups: arrayOf({
      errorCode: int16,
      groupId: string,
      groupState: string,
      protocolType: string,
      protocolData: string,
      members: arrayOf({
        memberId: string,
        groupInstanceId: string.nullable(),
        clientId: string,
        clientHost: string,
        memberMetadata: bytes,
        memberAssignment: bytes
      }),
      authorizedOperations: int32
    })
  }
})

const patience = 60_000
const timeoutMs = 5_000

/** Looks again and again until there is something; fails with what was missing, and the last error, after a minute. */
export const until = async <A>(what: string, look: () => Promise<A | undefined> | A | undefined): Promise<A> => {
  const deadline = performance.now() + patience
  let last: unknown
  while (performance.now() < deadline) {
    try {
      const found = await look()
      if (found !== undefined) return found
      last = undefined
    } catch (error) {
      last = error
    }
    await sleep(50)
  }
  throw new Error(`${what}: not within ${patience / 1_000} s`, { cause: last })
}

/** One request over a connection of its own. */
const ask = <A extends AnyApi>(
  address: string,
  api: A,
  version: number,
  body: RequestInput<A>
): Promise<ResponseOf<A>> =>
  new Promise((resolve, reject) => {
    const [host, port] = address.split(":") as [string, string]
    const socket = connect({ host, port: Number(port) })
    const parts = encodeRequest(api, version, body)
    const header = requestHeader({
      apiKey: api.key,
      apiVersion: version,
      headerVersion: requestHeaderVersion(api, version),
      correlationId: 1,
      clientId: "sluice-operator"
    }, byteLength(parts))
    let received = Buffer.alloc(0)
    const fail = (reason: string) => () => {
      socket.destroy()
      reject(new Error(`${api.name}: ${address} ${reason}`))
    }
    socket.setTimeout(timeoutMs, fail("did not answer"))
    socket.once("error", (error) => fail(String(error))())
    socket.once("close", fail("closed the connection"))
    socket.once("connect", () => socket.write(Buffer.concat([header, ...parts])))
    socket.on("data", (bytes) => {
      received = Buffer.concat([received, bytes])
      if (received.length < 4 || received.length < 4 + received.readInt32BE(0)) return
      socket.destroy()
      try {
        resolve(decodeResponse(api, version, responseBody(api, version, received.subarray(8))))
      } catch (error) {
        reject(error)
      }
    })
  })

/** A partition, as the cluster's metadata has it. */
export interface PartitionState {
  readonly partition: number
  /** -1 while there is none. */
  readonly leader: number
  readonly replicas: ReadonlyArray<number>
  readonly inSync: ReadonlyArray<number>
}

/** A consumer group, as its coordinator has it. */
export interface GroupState {
  /** Such as `Stable`, `PreparingRebalance` and `Empty`. */
  readonly state: string
  /** The assignor that its members agreed on; empty while there is none. */
  readonly assignor: string
  /** What each member has, by its client id. */
  readonly members: ReadonlyMap<string, ReadonlyArray<{ readonly topic: string; readonly partition: number }>>
}

/** How a topic is to be made: with its replicas, of which the first is to lead. */
export interface TopicPlan {
  readonly replicas: ReadonlyArray<ReadonlyArray<number>>
  readonly config?: Readonly<Record<string, string>>
}

const check = (what: string, errorCode: number, accepted: ReadonlyArray<number> = [0]): void => {
  if (!accepted.includes(errorCode)) throw new Error(`${what}: error ${errorCode}`)
}

const electionNotNeeded = 84
const topicAlreadyExists = 36

/** Operates the cluster whose brokers listen there. Every call is repeated until it succeeds, for a minute. */
export const operator = (addresses: ReadonlyArray<string>) => {
  let turn = 0
  /** Another broker each time: some may be down. */
  const askAny = <A extends AnyApi>(api: A, version: number, body: RequestInput<A>): Promise<ResponseOf<A>> =>
    ask(addresses[turn++ % addresses.length]!, api, version, body)

  const partitionsOf = async (address: string, topic: string): Promise<ReadonlyArray<PartitionState> | undefined> => {
    const { topics: [found] } = await ask(address, Metadata, 9, {
      topics: [{ name: topic }],
      allowAutoTopicCreation: false
    })
    if (found === undefined || found.errorCode !== 0) return undefined
    return found.partitions.map(({ isrNodes, leaderId, partitionIndex, replicaNodes }) => ({
      partition: partitionIndex,
      leader: leaderId,
      replicas: replicaNodes,
      inSync: isrNodes
    })).sort((one, other) => one.partition - other.partition)
  }

  const addressOf = async (id: number): Promise<string> => {
    const { brokers } = await askAny(Metadata, 9, { topics: [], allowAutoTopicCreation: false })
    const found = brokers.find(({ nodeId }) => nodeId === id)
    if (found === undefined) throw new Error(`There is no broker ${id}`)
    return `${found.host}:${found.port}`
  }

  /** Waits until each of these brokers sees the topic as it should be. */
  const everywhere = async (
    what: string,
    topic: string,
    isThere: (partitions: ReadonlyArray<PartitionState>) => boolean,
    at: ReadonlyArray<string> = addresses
  ): Promise<void> => {
    for (const address of at) {
      await until(`${what}, to ${address}`, async () => {
        const partitions = await partitionsOf(address, topic)
        return partitions !== undefined && isThere(partitions) ? true : undefined
      })
    }
  }

  const coordinatorOf = (groupId: string): Promise<{ readonly id: number; readonly address: string }> =>
    until(`group ${groupId} has a coordinator`, async () => {
      const { coordinators: [found] } = await askAny(FindCoordinator, 4, { keyType: 0, coordinatorKeys: [groupId] })
      check("FindCoordinator", found!.errorCode)
      return { id: found!.nodeId, address: `${found!.host}:${found!.port}` }
    })

  const isWhole = ({ inSync, leader, replicas }: PartitionState): boolean =>
    leader !== -1 && inSync.length === replicas.length

  return {
    /** Waits until one broker sees the topic as it should be. */
    topic: (
      what: string,
      topic: string,
      isThere: (partitions: ReadonlyArray<PartitionState>) => boolean
    ): Promise<void> =>
      until(what, async () => {
        const partitions = await partitionsOf(addresses[turn++ % addresses.length]!, topic)
        return partitions !== undefined && isThere(partitions) ? true : undefined
      }).then(() => {}),

    /** Waits until each broker sees a leader and every replica in sync. */
    whole: (topic: string): Promise<void> =>
      everywhere("every replica is in sync", topic, (partitions) => partitions.every(isWhole)),

    /** Waits until each broker knows that they are all alive. */
    allAlive: async (): Promise<void> => {
      for (const address of addresses) {
        await until(`${address} knows all brokers`, async () => {
          const { brokers } = await ask(address, Metadata, 9, { topics: [], allowAutoTopicCreation: false })
          return brokers.length === addresses.length ? true : undefined
        })
      }
    },

    /** Creates a topic, and waits until each broker sees the leaders that were asked for, and every replica in sync. */
    createTopic: async (name: string, { config = {}, replicas }: TopicPlan): Promise<void> => {
      await until(`topic ${name} is created`, async () => {
        const { topics: [answer] } = await askAny(CreateTopics, 5, {
          topics: [{
            name,
            numPartitions: -1,
            replicationFactor: -1,
            assignments: replicas.map((brokerIds, partitionIndex) => ({ partitionIndex, brokerIds })),
            configs: Object.entries(config).map(([name, value]) => ({ name, value }))
          }],
          timeoutMs
        })
        // A call whose answer was lost may have been done.
        check(`CreateTopics: ${answer!.errorMessage}`, answer!.errorCode, [0, topicAlreadyExists])
        return true
      })
      await everywhere("the topic is there", name, (partitions) =>
        partitions.length === replicas.length &&
        partitions.every((each, index) => isWhole(each) && each.leader === replicas[index]![0]))
    },

    /** Deletes a topic, and waits until no broker knows it. */
    deleteTopic: async (name: string): Promise<void> => {
      await askAny(DeleteTopics, 5, { topicNames: [name], timeoutMs })
      for (const address of addresses) {
        await until(
          `topic ${name} is gone`,
          async () => await partitionsOf(address, name) === undefined ? true : undefined
        )
      }
    },

    /** Gives a topic more partitions. */
    addPartitions: async (name: string, count: number): Promise<void> => {
      const { results: [answer] } = await askAny(CreatePartitions, 2, {
        topics: [{ name, count, assignments: null }],
        timeoutMs,
        validateOnly: false
      })
      check(`CreatePartitions: ${answer!.errorMessage}`, answer!.errorCode)
      await everywhere(
        "the new partitions are there",
        name,
        (partitions) => partitions.length === count && partitions.every(isWhole)
      )
    },

    /** Makes the second replica of each partition its leader, and the first one the last. */
    moveLeaders: async (name: string): Promise<void> => {
      const before = await until(`topic ${name}`, () => partitionsOf(addresses[turn++ % addresses.length]!, name))
      const moved = before.map(({ partition, replicas: [first, ...others] }) => ({
        partitionIndex: partition,
        replicas: [...others, first!]
      }))
      await until("the replicas are in their new order", async () => {
        const { errorCode } = await askAny(AlterPartitionReassignments, 0, {
          timeoutMs,
          topics: [{ name, partitions: moved }]
        })
        check("AlterPartitionReassignments", errorCode)
        return true
      })
      await until("the preferred replicas lead", async () => {
        const { errorCode, replicaElectionResults } = await askAny(ElectLeaders, 2, {
          electionType: 0,
          topicPartitions: [{ topic: name, partitions: before.map(({ partition }) => partition) }],
          timeoutMs
        })
        check("ElectLeaders", errorCode)
        for (const { partitionResult } of replicaElectionResults) {
          for (const { errorCode } of partitionResult) check("ElectLeaders", errorCode, [0, electionNotNeeded])
        }
        return true
      })
    },

    /** Deletes the records of a partition that are before an offset. */
    deleteRecords: (topic: string, partition: number, offset: number): Promise<void> =>
      until(`the records before ${topic}-${partition}/${offset} are deleted`, async () => {
        const state = await until(`topic ${topic}`, () => partitionsOf(addresses[turn++ % addresses.length]!, topic))
        const leader = state.find((each) => each.partition === partition)!.leader
        const { topics: [answer] } = await ask(await addressOf(leader), DeleteRecords, 2, {
          topics: [{ name: topic, partitions: [{ partitionIndex: partition, offset }] }],
          timeoutMs
        })
        check("DeleteRecords", answer!.partitions[0]!.errorCode)
        return true
      }).then(() => {}),

    /** The broker that coordinates a group. */
    coordinator: async (groupId: string): Promise<number> => (await coordinatorOf(groupId)).id,

    /** What a group has committed of a topic, by partition. */
    committed: (groupId: string, topic: string, partitions: number): Promise<ReadonlyMap<number, number>> =>
      until(`the offsets of group ${groupId}`, async () => {
        const { groups: [answer] } = await ask((await coordinatorOf(groupId)).address, OffsetFetch, 8, {
          groups: [{ groupId, topics: [{ name: topic, partitionIndexes: [...Array(partitions).keys()] }] }],
          requireStable: false
        })
        check("OffsetFetch", answer!.errorCode)
        const found = answer!.topics[0]!.partitions.filter(({ committedOffset }) => Number(committedOffset) >= 0)
        return new Map(found.map(({ committedOffset, partitionIndex }) => [partitionIndex, Number(committedOffset)]))
      }),

    /** Waits until a group is as it should be. */
    group: (what: string, groupId: string, isSo: (group: GroupState) => boolean): Promise<GroupState> => {
      let seen: GroupState | undefined
      return until(what, async () => {
        const { groups: [answer] } = await ask((await coordinatorOf(groupId)).address, DescribeGroups, 5, {
          groups: [groupId],
          includeAuthorizedOperations: false
        })
        check("DescribeGroups", answer!.errorCode)
        seen = {
          state: answer!.groupState,
          assignor: answer!.protocolData,
          members: new Map(answer!.members.map(({ clientId, memberAssignment }) => [
            clientId,
            memberAssignment.length === 0
              ? []
              : decodeVersioned(ConsumerProtocolAssignment, memberAssignment).value.assignedPartitions.flatMap((
                { partitions, topic }
              ) => partitions.map((partition) => ({ topic, partition })))
          ]))
        }
        return isSo(seen) ? seen : undefined
      }).catch((error: unknown) => {
        throw new Error(`${what}: ${JSON.stringify({ ...seen, members: [...seen?.members ?? []] })}`, { cause: error })
      })
    },

    /** The broker that is the active controller. */
    controller: (): Promise<number> =>
      until("there is a controller", async () => {
        const { topics: [quorum] } = await askAny(DescribeQuorum, 0, {
          topics: [{ topicName: "__cluster_metadata", partitions: [{ partitionIndex: 0 }] }]
        })
        const leader = quorum?.partitions[0]?.leaderId ?? -1
        return leader === -1 ? undefined : leader
      })
  }
}

/** See {@link operator}. */
export type Operator = ReturnType<typeof operator>
