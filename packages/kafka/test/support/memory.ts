import { Kafka } from "@sluice/kafka"
import { MemoryCluster } from "@sluice/testing/MemoryCluster"
import { Layer } from "effect"

/** A cluster in memory and a client of it, with short pauses between retries. */
export const memory = (
  cluster: Parameters<typeof MemoryCluster.layer>[0] = {},
  client: Partial<Kafka.KafkaOptions> = {}
) =>
  Kafka.layer({
    brokers: "broker-1.memory:9092,broker-2.memory:9092,broker-3.memory:9092".split(",").slice(
      0,
      cluster?.brokers ?? 1
    ),
    clientId: "test",
    ...client
  }).pipe(Layer.provideMerge(MemoryCluster.layer(cluster)))
