import type { DeleteTopics } from "@sluice/kafka/internal/protocol/api/deleteTopics"

import { errorCode } from "./errorCode.ts"
import type { ClusterState, Handler } from "./state.ts"
import { noLeader, noTopicId, type Topic } from "./topic.ts"

/** Deletes a topic with all that is in it and what groups have stored for it; what waits for it is answered. */
export const deleteTopic = (state: ClusterState, topic: Topic): void => {
  state.topics.delete(topic)
  for (const group of state.groups.values()) group.offsets.delete(topic.name)
  for (const partition of topic.partitions) {
    partition.leader = noLeader
    partition.replicationTimer?.cancel()
    partition.notify()
  }
}

interface WantedTopic {
  readonly name: string | null
  readonly topicId: string
}

const keyOf = ({ name, topicId }: WantedTopic): string => `${topicId} ${name}`

const refuse = ({ name, topicId }: WantedTopic, code: number, errorMessage: string) => ({
  name,
  topicId,
  errorCode: code,
  errorMessage
})

/** Deletes topics: by name up to version 5, by name or id from 6. One that is named twice stays. */
export const handleDeleteTopics: Handler<typeof DeleteTopics> = (state, context, request) => {
  const wanted: ReadonlyArray<WantedTopic> = context.version < 6
    ? request.topicNames.map((name) => ({ name, topicId: noTopicId }))
    : request.topics
  const find = ({ name, topicId }: WantedTopic) =>
    name === null ? state.topics.getById(topicId) : state.topics.get(name)
  const keys = wanted.map(keyOf)
  return {
    responses: wanted.flatMap((one, index) => {
      const byId = one.topicId !== noTopicId
      if (byId === (one.name !== null)) return refuse(one, errorCode.InvalidRequest, "Name a topic by name or by id.")
      const key = keys[index]!
      if (keys.indexOf(key) < index) return []
      if (keys.lastIndexOf(key) > index) return refuse(one, errorCode.InvalidRequest, "The topic is named twice.")
      const topic = find(one)
      if (topic === undefined) {
        const code = byId ? errorCode.UnknownTopicId : errorCode.UnknownTopicOrPartition
        return refuse(one, code, "This server does not host this topic.")
      }
      const isNamedBothWays = keys.includes(
        keyOf({ name: byId ? topic.name : null, topicId: byId ? noTopicId : topic.id })
      )
      if (isNamedBothWays) {
        // Once for both, in the place of the name.
        return byId
          ? []
          : refuse({ name: topic.name, topicId: topic.id }, errorCode.InvalidRequest, "The topic is named twice.")
      }
      if (topic.isInternal) return refuse(one, errorCode.InvalidTopicException, "The brokers need this topic.")
      deleteTopic(state, topic)
      return { name: topic.name, topicId: topic.id, errorCode: errorCode.None }
    })
  }
}
