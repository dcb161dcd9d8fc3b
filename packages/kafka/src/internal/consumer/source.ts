import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { PCGRandom } from "effect/Utils"

import type { FatalError, KafkaError } from "../../KafkaError.ts"
import type { Cluster } from "../cluster/cluster.ts"
import type { ConnectionPool } from "../cluster/pool.ts"
import { invalidArgument } from "../errors.ts"
import { tracedPoll } from "../telemetry/poll.ts"
import { monotonicMillis } from "../time.ts"
import { Delivery } from "./delivery.ts"
import { Fetcher, type FetcherEvents } from "./fetcher.ts"
import type { FetchSettings } from "./options.ts"
import type { AssignedPartition } from "./partition.ts"
import type { FetchedRecord } from "./record.ts"

/** Where records come from: what consumers with and without a group have in common. */
export interface Source {
  readonly fetcher: Fetcher
  readonly delivery: Delivery
  /** For requests that must not wait behind a fetch. */
  readonly lookups: ConnectionPool
}

/** A source that fetches nothing yet. */
export const makeSource = (
  cluster: Cluster,
  settings: FetchSettings,
  events: Omit<FetcherEvents, "onFatal">
): Effect.Effect<Source, never, Scope.Scope> =>
  Effect.gen(function*() {
    const pool = yield* cluster.makePool
    const lookups = yield* cluster.makePool
    const clock = yield* Effect.clock
    const random = new PCGRandom(yield* Random.nextIntBetween(0, 0x7fffffff))
    const delivery: Delivery = new Delivery(
      (partition, bytes) => fetcher.consumed(partition, bytes),
      events.onProgress
    )
    const fetcher: Fetcher = new Fetcher(
      cluster,
      pool,
      lookups,
      settings,
      { ...events, onFatal: (error) => delivery.stop(error) },
      () => monotonicMillis(clock),
      () => random.number()
    )
    delivery.onStop(() => fetcher.halt())
    return { delivery, fetcher, lookups }
  })

/** Whose records they are. */
interface Reading {
  readonly clientId: string
  readonly groupId: string | undefined
}

/** A partition as long as it is assigned, and its records. */
export interface PartitionRecords {
  readonly topic: string
  readonly partition: number
  readonly records: Stream.Stream<FetchedRecord, KafkaError>
}

/** Somebody reads already. */
export const secondReader = (): FatalError =>
  invalidArgument(
    "Consumer: it is read already; `records`, `partitions` and runs can be used one after the other, not at the same time"
  )

/** Who reads, for as long as the scope. */
const reader = (claim: () => boolean, release: () => void): Effect.Effect<void, FatalError, Scope.Scope> =>
  Effect.asVoid(Effect.acquireRelease(
    Effect.suspend(() => claim() ? Effect.void : Effect.fail(secondReader())),
    () => Effect.sync(release)
  ))

/** All records, as a stream. */
export const recordStream = (
  { delivery }: Source,
  consumer: Reading
): Stream.Stream<FetchedRecord, KafkaError> =>
  Stream.unwrapScoped(Effect.as(
    reader(() => delivery.claim(), () => delivery.release()),
    Stream.repeatEffectChunkOption(Effect.flatMap(
      delivery.pull,
      ({ records }) => tracedPoll(Chunk.unsafeFromArray(records), consumer)
    ))
  ))

/** Each partition once it is assigned and started, with a stream of its records that ends when it is given up. */
export const partitionStream = (
  { delivery }: Source,
  consumer: Reading
): Stream.Stream<PartitionRecords, KafkaError> =>
  Stream.unwrapScoped(Effect.map(
    reader(() => delivery.claim(), () => delivery.release()),
    () => {
      const known = new WeakSet<AssignedPartition>()
      return Stream.repeatEffectChunkOption(
        Effect.map(delivery.pullPartitions(known), (partitions) =>
          Chunk.unsafeFromArray(partitions.map((partition) => ({
            topic: partition.topic,
            partition: partition.partition,
            records: recordsOf(delivery, partition, consumer)
          }))))
      )
    }
  ))

const recordsOf = (
  delivery: Delivery,
  partition: AssignedPartition,
  consumer: Reading
): Stream.Stream<FetchedRecord, KafkaError> => {
  const { reader: owner } = delivery
  return Stream.unwrapScoped(Effect.as(
    reader(() => delivery.claimAlone(partition, owner), () => delivery.releaseAlone(partition, owner)),
    Stream.repeatEffectChunkOption(Effect.flatMap(
      delivery.pullAlone(partition, owner),
      ({ records }) => tracedPoll(Chunk.unsafeFromArray(records), consumer)
    ))
  ))
}
