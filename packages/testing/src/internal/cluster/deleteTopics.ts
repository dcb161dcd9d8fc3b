import type { DeleteTopics } from "@sluice/kafka/internal/protocol/api/deleteTopics"

import { errorCode } from "./errorCode.ts"
import type { ClusterState, Handler } from "./state.ts"
import { noLeader, type Topic } from "./topic.ts"

const noTopicId = "AAAAAAAAAAAAAAAAAAAAAA"

/** Deletes a topic with all that is in it and what groups have stored for it; fetches that wait for it are answered. */
const deleteTopic = (state: ClusterState, topic: Topic): void => {
  state.topics.delete(topic)
  for (const group of state.groups.values()) group.offsets.delete(topic.name)
  for (const partition of topic.partitions) {
    partition.leader = noLeader
    partition.notify()
  }
}

/** Deletes topics: by name up to version 5, by name or id from 6. */
export const handleDeleteTopics: Handler<typeof DeleteTopics> = (state, context, request) => {
  const wanted = context.version < 6
    ? request.topicNames.map((name): { name: string | null; topicId: string } => ({ name, topicId: noTopicId }))
    : request.topics
  return {
    responses: wanted.map(({ name, topicId }) => {
      const byId = topicId !== noTopicId
      if (byId === (name !== null)) {
        return { name, topicId, errorCode: errorCode.InvalidRequest, errorMessage: "Name a topic by name or by id." }
      }
      const topic = name === null ? state.topics.getById(topicId) : state.topics.get(name)
      if (topic === undefined) {
        const code = byId ? errorCode.UnknownTopicId : errorCode.UnknownTopicOrPartition
        return { name, topicId, errorCode: code, errorMessage: "This server does not host this topic." }
      }
      if (topic.isInternal) {
        const errorMessage = "The brokers need this topic."
        return { name, topicId, errorCode: errorCode.InvalidTopicException, errorMessage }
      }
      deleteTopic(state, topic)
      return { name: topic.name, topicId: topic.id, errorCode: errorCode.None }
    })
  }
}
