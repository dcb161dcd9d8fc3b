import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

import type { AssignedConsumer, AssignOptions } from "../../Consumer.ts"
import { Kafka } from "../../Kafka.ts"
import type { KafkaError } from "../../KafkaError.ts"
import type * as Topic from "../../Topic.ts"
import { retrying } from "../cluster/retry.ts"
import { fromCode } from "../errors.ts"
import { inContext } from "../fiber.ts"
import type { LogPosition } from "../kernel/endPosition.ts"
import { parseAssign } from "./options.ts"
import { AssignedPartition, noGeneration } from "./partition.ts"
import { Sight } from "./sight.ts"
import { makeSource, partitionStream, recordStream } from "./source.ts"
import { logNoOffset, startOtherwise, storedOffsets } from "./start.ts"

const unknownTopicOrPartition = 3

/** See `Consumer.assign`. */
export const assign = <const T extends Topic.Any, R = never>(
  options: AssignOptions<T, R>
): Effect.Effect<AssignedConsumer<T>, KafkaError, Kafka | Scope.Scope | R> =>
  Effect.gen(function*() {
    const fetch = yield* parseAssign(options, inContext(yield* Effect.context<R>()))
    const { cluster } = yield* Kafka
    const partitions: Array<AssignedPartition> = []
    const sight = new Sight(cluster, fetch, () => partitions)
    const source = yield* makeSource(cluster, fetch, sight)
    sight.source = source
    const { delivery, fetcher, lookups } = source
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        sight.status = "closing"
        delivery.stop()
      }).pipe(
        Effect.zipRight(fetcher.stop),
        Effect.zipRight(Effect.sync(() => {
          sight.status = "closed"
          sight.end()
        }))
      )
    )
    delivery.onStop(() => {
      if (delivery.failure !== undefined) sight.status = "failed"
    })
    for (const name of fetch.subscription.explicit) {
      const topic = fetch.subscription.definition(name)
      const count = (yield* cluster.topic(name)).partitions.length
      for (const partition of numbersOf(options.partitions, name, count)) {
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
    const { load, otherwise } = fetch.start
    const whose = "the store"
    const stored: ReadonlyMap<string, LogPosition> = load === undefined
      ? new Map()
      : yield* storedOffsets(load, partitions)
    const positions = yield* retrying(
      cluster.settings,
      { operation: "Consumer.assign", deadline: cluster.settings.apiTimeout },
      () =>
        Effect.forEach(partitions, (each) => {
          const position = stored.get(each.key)
          return position !== undefined
            ? Effect.succeed(position)
            : startOtherwise(cluster, lookups, each, fetch, otherwise, whose)
        }, { concurrency: 16 })
    )
    for (const [i, partition] of partitions.entries()) {
      const position = positions[i]!
      partition.start(position, null)
      if (load !== undefined && !stored.has(partition.key)) {
        // Nobody can listen to events yet.
        yield* logNoOffset(partition, position, otherwise, whose)
      }
      delivery.add(partition)
      fetcher.add(partition)
    }
    sight.assigned()
    sight.status = "stable"
    yield* fetcher.start
    const identity = { clientId: cluster.settings.clientId, groupId: undefined }
    return {
      ...sight.face,
      records: recordStream(source, identity),
      partitions: partitionStream(source, identity)
    } as unknown as AssignedConsumer<T>
  })

/** The partitions of one topic that are asked for. */
const numbersOf = (
  partitions: AssignOptions<any, any>["partitions"],
  topic: string,
  count: number
): ReadonlyArray<number> =>
  partitions === undefined
    ? Array.from({ length: count }, (_, i) => i)
    : partitions.flatMap((each) => typeof each === "number" ? each : each.topic === topic ? each.partition : [])
