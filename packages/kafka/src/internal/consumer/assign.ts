import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

import type { AssignedConsumer, AssignOptions } from "../../Consumer.ts"
import { Kafka } from "../../Kafka.ts"
import type { KafkaError } from "../../KafkaError.ts"
import type * as Topic from "../../Topic.ts"
import { retrying } from "../cluster/retry.ts"
import { fromCode } from "../errors.ts"
import { parseAssign } from "./options.ts"
import { AssignedPartition } from "./partition.ts"
import { listOffset } from "./positions.ts"
import { makeSource, recordStream } from "./source.ts"

/** The generation of partitions that are read without a group. */
const noGeneration = -1
const unknownTopicOrPartition = 3

/** See `Consumer.assign`. */
export const assign = <const T extends Topic.Any>(
  options: AssignOptions<T>
): Effect.Effect<AssignedConsumer<T>, KafkaError, Kafka | Scope.Scope> =>
  Effect.gen(function*() {
    const fetch = yield* parseAssign(options)
    const { cluster } = yield* Kafka
    const source = yield* makeSource(cluster, fetch, () => {})
    const { delivery, fetcher, lookups } = source
    yield* Effect.addFinalizer(() => Effect.zipRight(Effect.sync(() => delivery.stop()), fetcher.stop))
    const partitions: Array<AssignedPartition> = []
    for (const name of fetch.subscription.explicit) {
      const topic = fetch.subscription.definition(name)
      const count = (yield* cluster.topic(name)).partitions.length
      for (const partition of options.partitions ?? Array.from({ length: count }, (_, i) => i)) {
        if (partition >= count) {
          return yield* Effect.fail(fromCode(unknownTopicOrPartition, {
            operation: "Consumer.assign",
            scope: "partition",
            topic: topic.name,
            partition,
            detail: `the topic has ${count} partitions`
          }))
        }
        partitions.push(new AssignedPartition(topic, partition, noGeneration))
      }
    }
    const offsets = yield* retrying(
      cluster.settings,
      { operation: "Consumer.assign", deadline: cluster.settings.apiTimeout },
      () => Effect.forEach(partitions, (each) => listOffset(cluster, lookups, each, fetch), { concurrency: 16 })
    )
    partitions.forEach((partition, i) => {
      partition.start(offsets[i]!, null)
      delivery.add(partition)
      fetcher.add(partition)
    })
    yield* fetcher.start
    return {
      records: recordStream(source, { clientId: cluster.settings.clientId, groupId: undefined })
    } as unknown as AssignedConsumer<T>
  })
