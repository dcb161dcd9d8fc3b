/** Where the examples run: on a cluster in memory, or on a real one. */
import { parseArgs } from "node:util"

import { NodeContext, NodeRuntime } from "@effect/platform-node"
import { Admin, type Kafka, type KafkaError, type Topic } from "@sluice/kafka"
import { KafkaJs } from "@sluice/kafkajs"
import { MemoryCluster } from "@sluice/testing"
import { Effect, Layer } from "effect"

/** A client of the cluster that `brokers` are part of; of one in memory if there are none. */
export const cluster = (brokers: string | undefined): Layer.Layer<Kafka.Kafka, KafkaError.FatalError> =>
  brokers === undefined
    ? MemoryCluster.layer({ brokers: 3 })
    : KafkaJs.layer({ brokers, apiTimeout: "15 seconds" })

/** Creates the topic of an example, with three partitions; one that is there already is taken as it is. */
export const createTopic = (topic: Topic.Any): Effect.Effect<void, KafkaError.KafkaError, Kafka.Kafka> =>
  Effect.catchIf(
    Admin.createTopic(topic.name, { partitions: 3 }),
    (error) => error.reason._tag === "TopicAlreadyExists",
    () => Effect.void
  )

/** Runs an example: in memory, or on a real cluster with `--brokers host:port`. */
export const runExample = <E>(program: Effect.Effect<void, E, Kafka.Kafka | NodeContext.NodeContext>): void => {
  const { values } = parseArgs({ options: { brokers: { type: "string" } } })
  NodeRuntime.runMain(program.pipe(Effect.provide(Layer.merge(cluster(values.brokers), NodeContext.layer))))
}
