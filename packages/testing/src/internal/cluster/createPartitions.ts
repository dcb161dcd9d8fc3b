import type { CreatePartitions } from "@sluice/kafka/internal/protocol/api/createPartitions"
import type { RequestOf } from "@sluice/kafka/internal/protocol/field"

import { addPartitions, placeReplicas, refuse, TopicRefused } from "./createTopics.ts"
import { errorCode } from "./errorCode.ts"
import type { ClusterState, Handler } from "./state.ts"

type Wanted = RequestOf<typeof CreatePartitions>["topics"][number]

/** Gives a topic more partitions, with as many replicas as its others; throws {@link TopicRefused}. */
export const createPartitions = (
  state: ClusterState,
  { assignments, count, name }: Pick<Wanted, "assignments" | "count" | "name">,
  options?: { readonly validateOnly?: boolean }
): void => {
  const topic = state.topics.get(name)
  if (topic === undefined) return refuse(errorCode.UnknownTopicOrPartition, "This server does not host this topic.")
  const present = topic.partitions.length
  if (count === present) return refuse(errorCode.InvalidPartitions, `Topic already has ${present} partition(s).`)
  if (count < present) {
    return refuse(
      errorCode.InvalidPartitions,
      `The topic ${name} currently has ${present} partition(s); ${count} would not be an increase.`
    )
  }
  const factor = topic.partitions[0]!.replicas.length
  const replicas = assignments === null
    ? placeReplicas(state, present, count - present, factor)
    : manualReplicas(state, assignments, count - present, factor)
  if (options?.validateOnly !== true) addPartitions(state, topic, replicas)
}

const manualReplicas = (
  state: ClusterState,
  assignments: NonNullable<Wanted["assignments"]>,
  additional: number,
  factor: number
): ReadonlyArray<ReadonlyArray<number>> => {
  if (assignments.length !== additional) {
    refuse(
      errorCode.InvalidReplicaAssignment,
      `Attempted to add ${additional} additional partition(s), but only ${assignments.length} assignment(s) were specified.`
    )
  }
  return assignments.map(({ brokerIds }) => {
    const isRight = brokerIds.length === factor && new Set(brokerIds).size === brokerIds.length &&
      brokerIds.every((id) => state.broker(id) !== undefined) && brokerIds.some(state.isActive)
    return isRight
      ? brokerIds
      : refuse(errorCode.InvalidReplicaAssignment, `The assignment [${brokerIds.join(", ")}] is not valid.`)
  })
}

/** Gives topics more partitions. Each stands for itself, but a name that comes twice is refused. */
export const handleCreatePartitions: Handler<typeof CreatePartitions> = (state, _context, request) => {
  const { topics, validateOnly } = request
  const names = Array.from(new Set(topics.map((topic) => topic.name)))
  return {
    results: names.map((name) => {
      const [wanted, duplicate] = topics.filter((topic) => topic.name === name)
      try {
        if (duplicate !== undefined) return refuse(errorCode.InvalidRequest, "Duplicate topic name.")
        createPartitions(state, wanted!, { validateOnly })
        return { name, errorCode: errorCode.None }
      } catch (error) {
        if (!(error instanceof TopicRefused)) throw error
        return { name, errorCode: error.errorCode, errorMessage: error.message }
      }
    })
  }
}
