/**
 * Changes to the cluster.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"

import { fromCode, invalidArgument } from "./internal/errors.ts"
import { validateTopicName } from "./internal/kernel/topicName.ts"
import { CreateTopics } from "./internal/protocol/api/createTopics.ts"
import { DeleteTopics } from "./internal/protocol/api/deleteTopics.ts"
import { Kafka } from "./Kafka.ts"
import { FatalError, type KafkaError } from "./KafkaError.ts"

/**
 * How a topic is to be made.
 *
 * @since 0.1.0
 * @category models
 */
export interface TopicOptions {
  /** Default: the cluster's `num.partitions`. */
  readonly partitions?: number | undefined
  /** Default: the cluster's `default.replication.factor`. */
  readonly replicationFactor?: number | undefined
  /** As Kafka's documentation of topic configuration names them, such as `cleanup.policy`. */
  readonly config?: Readonly<Record<string, string>> | undefined
}

const timeoutMs = 30_000

/**
 * Creates a topic, and waits until this client sees it. Fails with
 * `TopicAlreadyExists` if there is one: it may be this call's own, if the
 * controller made it and was lost before it answered, since such a call is
 * repeated.
 *
 * @since 0.1.0
 * @category topics
 */
export const createTopic: (name: string, options?: TopicOptions) => Effect.Effect<void, KafkaError, Kafka> = Effect
  .fnUntraced(function*(name: string, options: TopicOptions = {}) {
    const { cluster } = yield* Kafka
    const problem = validateTopicName(name)
    if (problem !== undefined) {
      return yield* Effect.fail(
        new FatalError({ reason: { _tag: "InvalidTopicException", topic: name }, scope: "topic", message: problem })
      )
    }
    for (
      const [option, value] of [["partitions", options.partitions], ["replicationFactor", options.replicationFactor]]
    ) {
      if (value !== undefined && (!Number.isInteger(value) || (value as number) < 1)) {
        return yield* Effect.fail(
          invalidArgument(`Admin.createTopic: ${option} must be a whole number from 1, got ${value}`)
        )
      }
    }
    yield* cluster.controller("CreateTopics", (connection) =>
      Effect.flatMap(
        connection.request(CreateTopics, {
          topics: [{
            name,
            numPartitions: options.partitions ?? -1,
            replicationFactor: options.replicationFactor ?? -1,
            assignments: [],
            configs: Object.entries(options.config ?? {}).map(([name, value]) => ({ name, value }))
          }],
          timeoutMs
        }),
        (response) => {
          const answer = response.topics[0]
          return answer !== undefined && answer.errorCode === 0 ? Effect.void : Effect.fail(fromCode(
            answer?.errorCode ?? -1,
            { operation: "CreateTopics", scope: "topic", topic: name, detail: answer?.errorMessage }
          ))
        }
      ))
    yield* cluster.topic(name)
  })

/**
 * Deletes a topic with all that is in it.
 *
 * @since 0.1.0
 * @category topics
 */
export const deleteTopic: (name: string) => Effect.Effect<void, KafkaError, Kafka> = Effect
  .fnUntraced(function*(name: string) {
    const { cluster } = yield* Kafka
    const missing = yield* cluster.controller("DeleteTopics", (connection) =>
      Effect.flatMap(
        connection.request(
          DeleteTopics,
          (connection.version(DeleteTopics) ?? 0) >= 6
            ? { topics: [{ name }], timeoutMs }
            : { topicNames: [name], timeoutMs }
        ),
        (response) => {
          const answer = response.responses[0]
          if (answer !== undefined && answer.errorCode === 0) return Effect.succeed(undefined)
          const error = fromCode(
            answer?.errorCode ?? -1,
            { operation: "DeleteTopics", scope: "topic", topic: name, detail: answer?.errorMessage }
          )
          // Where a topic is asked for it may be on its way; here it would be waited for in vain.
          return error.reason._tag === "UnknownTopicOrPartition" ? Effect.succeed(error) : Effect.fail(error)
        }
      ))
    if (missing !== undefined) yield* Effect.fail(missing)
  })
