import { validateTopicName } from "@sluice/kafka/internal/kernel/topicName"
import type { CreateTopics } from "@sluice/kafka/internal/protocol/api/createTopics"
import type { RequestInput, RequestOf } from "@sluice/kafka/internal/protocol/field"

import { errorCode } from "./errorCode.ts"
import { PartitionLog } from "./log.ts"
import type { ClusterState, Handler } from "./state.ts"
import { noTopicId, Partition, type Topic } from "./topic.ts"
import { topicConfigNames } from "./topicConfig.ts"

/** What a topic is to be, as CreateTopics says it: -1 takes the cluster's default. */
export type TopicSpec = RequestOf<typeof CreateTopics>["topics"][number]

/** Why a topic cannot be created. */
export class TopicRefused extends RangeError {
  override readonly name = "TopicRefused"
  readonly errorCode: number

  constructor(code: number, message: string) {
    super(message)
    this.errorCode = code
  }
}

/** Throws {@link TopicRefused}. */
export const refuse = (code: number, message: string): never => {
  throw new TopicRefused(code, message)
}

/** Names that metrics cannot tell apart: "a.b" and "a_b". */
const collides = (one: string, other: string): boolean => one.replaceAll(".", "_") === other.replaceAll(".", "_")

const checkName = (state: ClusterState, name: string): void => {
  const problem = validateTopicName(name)
  if (problem !== undefined) refuse(errorCode.InvalidTopicException, problem)
  if (state.topics.get(name) !== undefined) refuse(errorCode.TopicAlreadyExists, `Topic '${name}' already exists.`)
  for (const topic of state.topics.all()) {
    if (collides(topic.name, name)) {
      refuse(errorCode.InvalidTopicException, `Topic '${name}' collides with existing topic: ${topic.name}`)
    }
  }
}

const refusalOfName = (state: ClusterState, name: string): TopicRefused | undefined => {
  try {
    checkName(state, name)
    return undefined
  } catch (error) {
    if (error instanceof TopicRefused) return error
    throw error
  }
}

/** The replicas of each partition, as they were asked for. */
const manualReplicas = (state: ClusterState, spec: TopicSpec): ReadonlyArray<ReadonlyArray<number>> => {
  if (spec.replicationFactor !== -1 || spec.numPartitions !== -1) {
    refuse(errorCode.InvalidRequest, "A manual partition assignment leaves partitions and replication factor at -1.")
  }
  const replicas: Array<ReadonlyArray<number>> = []
  for (const { brokerIds, partitionIndex } of spec.assignments) {
    const isWrong = replicas[partitionIndex] !== undefined || brokerIds.length === 0 ||
      brokerIds.length !== spec.assignments[0]!.brokerIds.length || new Set(brokerIds).size !== brokerIds.length ||
      !brokerIds.every((id) => state.broker(id) !== undefined) || !brokerIds.some(state.isActive)
    if (isWrong) {
      refuse(errorCode.InvalidReplicaAssignment, `The assignment of partition ${partitionIndex} is not valid.`)
    }
    replicas[partitionIndex] = brokerIds
  }
  if (replicas.length !== spec.assignments.length) {
    refuse(errorCode.InvalidReplicaAssignment, "partitions should be a consecutive 0-based integer sequence")
  }
  return replicas
}

/** The replicas of each of `count` partitions, spread over the brokers: partition 0 is led by the first one that runs. */
export const placeReplicas = (
  { brokers }: ClusterState,
  firstPartition: number,
  count: number,
  factor: number
): ReadonlyArray<ReadonlyArray<number>> =>
  Array.from({ length: count }, (_, index) => {
    const first = (firstPartition + index) % brokers.length
    const inTurn = [...brokers.slice(first), ...brokers.slice(0, first)]
    const active = inTurn.filter((broker) => !broker.isFenced)
    const fenced = inTurn.filter((broker) => broker.isFenced)
    return [...active, ...fenced].slice(0, factor).map((broker) => broker.id)
  })

const defaultReplicas = (state: ClusterState, spec: TopicSpec): ReadonlyArray<ReadonlyArray<number>> => {
  const { brokers, config } = state
  const factor = spec.replicationFactor === -1 ? config.defaultReplicationFactor : spec.replicationFactor
  const count = spec.numPartitions === -1 ? config.numPartitions : spec.numPartitions
  if (factor <= 0) {
    refuse(
      errorCode.InvalidReplicationFactor,
      "Replication factor must be larger than 0, or -1 to use the default value."
    )
  }
  if (count <= 0) refuse(errorCode.InvalidPartitions, "Number of partitions was set to an invalid non-positive value.")
  if (factor > brokers.length || state.activeBrokers().length === 0) {
    refuse(
      errorCode.InvalidReplicationFactor,
      `Unable to replicate the partition ${factor} time(s): there are ${brokers.length} brokers.`
    )
  }
  return placeReplicas(state, 0, count, factor)
}

const readConfigs = (spec: TopicSpec): ReadonlyMap<string, string> => {
  const configs = new Map<string, string>()
  for (const { name, value } of spec.configs) {
    if (value === null) refuse(errorCode.InvalidConfig, `Null value not supported for topic configs: ${name}`)
    else if (!topicConfigNames.has(name)) refuse(errorCode.InvalidConfig, `Unknown topic config name: ${name}`)
    else configs.set(name, value)
  }
  return configs
}

const integer = (configs: ReadonlyMap<string, string>, name: string, fallback: number, minimum = 0): number => {
  const text = configs.get(name)
  if (text === undefined) return fallback
  return /^-?\d+$/.test(text.trim()) && Number(text) >= minimum
    ? Number(text)
    : refuse(errorCode.InvalidConfig, `Invalid value ${text} for configuration ${name}: Not a number`)
}

/** Makes the topic that a specification asks for, and adds it to the cluster; throws {@link TopicRefused}. */
export const createTopic = (
  state: ClusterState,
  spec: TopicSpec,
  options?: { readonly validateOnly?: boolean; readonly isInternal?: boolean; readonly isNameChecked?: boolean }
): Topic => {
  const { name } = spec
  if (options?.isNameChecked !== true) checkName(state, name)
  const configs = readConfigs(spec)
  const isDeleted = cleanupPolicies(configs).includes("delete")
  const settings = {
    maxMessageBytes: integer(configs, "max.message.bytes", state.config.messageMaxBytes),
    minInsyncReplicas: integer(configs, "min.insync.replicas", state.config.minInsyncReplicas, 1),
    electsUnclean: configs.get("unclean.leader.election.enable")?.toLowerCase() === "true",
    segmentBytes: integer(configs, "segment.bytes", state.config.logSegmentBytes),
    retentionMs: isDeleted ? integer(configs, "retention.ms", -1, -1) : -1,
    retentionBytes: isDeleted ? integer(configs, "retention.bytes", -1, -1) : -1
  }
  const replicas = spec.assignments.length > 0 ? manualReplicas(state, spec) : defaultReplicas(state, spec)
  const topic: Topic = {
    name,
    id: state.nextTopicId(),
    isInternal: options?.isInternal === true,
    ...settings,
    partitions: []
  }
  addPartitions(state, topic, replicas)
  if (options?.validateOnly !== true) state.topics.add(topic)
  return topic
}

/** Topics that are only compacted would be so here; until then they keep everything. */
const cleanupPolicies = (configs: ReadonlyMap<string, string>): ReadonlyArray<string> => {
  const policies = (configs.get("cleanup.policy") ?? "delete").split(",").map((policy) => policy.trim())
  const unknown = policies.find((policy) => policy !== "delete" && policy !== "compact")
  return unknown === undefined
    ? policies
    : refuse(errorCode.InvalidConfig, `Invalid value ${unknown} for configuration cleanup.policy`)
}

/** Gives a topic partitions with these replicas after those that it has. */
export const addPartitions = (
  state: ClusterState,
  topic: Topic,
  replicas: ReadonlyArray<ReadonlyArray<number>>
): void => {
  for (const brokerIds of replicas) {
    topic.partitions.push(
      new Partition({
        topicName: topic.name,
        index: topic.partitions.length,
        replicas: brokerIds,
        inSyncReplicas: brokerIds.filter(state.isActive),
        minInSyncReplicas: topic.minInsyncReplicas,
        electsUnclean: topic.electsUnclean,
        log: new PartitionLog(topic.segmentBytes, state.config.codecs)
      })
    )
  }
}

/** A specification with defaults for all that is not given. */
export const topicSpec = (
  spec: Pick<TopicSpec, "name"> & Partial<RequestInput<typeof CreateTopics>["topics"][number]>
): TopicSpec => ({ numPartitions: -1, replicationFactor: -1, assignments: [], configs: [], ...spec })

/** Creates topics. Each stands for itself, but a name that comes twice is refused both times. */
export const handleCreateTopics: Handler<typeof CreateTopics> = (state, _context, request) => {
  const { topics, validateOnly } = request
  const names = Array.from(new Set(topics.map((topic) => topic.name)))
  // All names are checked before the first topic is there: two that collide in one request do not hinder each other.
  const refusals = new Map(names.map((name) => [name, refusalOfName(state, name)]))
  return {
    topics: names.map((name) => {
      const [spec, duplicate] = topics.filter((topic) => topic.name === name)
      try {
        if (duplicate !== undefined) return refuse(errorCode.InvalidRequest, "Duplicate topic name.")
        const refusal = refusals.get(name)
        if (refusal !== undefined) throw refusal
        const topic = createTopic(state, spec!, { validateOnly, isNameChecked: true })
        return {
          name,
          topicId: topic.id,
          errorCode: errorCode.None,
          errorMessage: null,
          numPartitions: topic.partitions.length,
          replicationFactor: topic.partitions[0]!.replicas.length,
          configs: []
        }
      } catch (error) {
        if (!(error instanceof TopicRefused)) throw error
        return { name, topicId: noTopicId, errorCode: error.errorCode, errorMessage: error.message, configs: [] }
      }
    })
  }
}
