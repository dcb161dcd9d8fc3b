import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"

import type { KafkaError } from "../../KafkaError.ts"
import type { Committer } from "./committer.ts"
import type { Delivery, Pulled } from "./delivery.ts"
import type { Handler } from "./handling.ts"
import { KeyLanes } from "./keyLanes.ts"
import { PartitionLanes } from "./lanes.ts"
import type { AssignedPartition } from "./partition.ts"
import type { MakeLanes } from "./run.ts"
import type { RunSettings } from "./runOptions.ts"
import { takeOut } from "./takeOut.ts"
import { Turn, Turns } from "./turns.ts"

/** What the lanes of a run work with. */
export interface ProcessingContext {
  readonly delivery: Delivery
  readonly committer: Committer
  /** How many bytes of a partition handlers may have before them. */
  readonly aheadBytes: () => number
}

/** The lanes for handlers that take one record at a time. */
export const recordLanes = <E, R>(
  { aheadBytes, committer, delivery }: ProcessingContext,
  settings: RunSettings,
  handle: Handler<KafkaError | E, R>
): MakeLanes<KafkaError | E, R> =>
(fork, onFailure) => {
  const committedBefore = settings.commit === "before"
  // As many are committed at once, while the others of those that may be ahead are still at work.
  const maxAtOnce = Math.max(1, Math.floor(settings.maxAhead / 2))
  const onProgress = (partition: AssignedPartition, position: number, records: number) => {
    if (committedBefore) return
    partition.settle(position)
    committer.requestSoon(records)
  }
  /** Hands on all that is pulled of a partition; with `commit: "before"` when it is committed. */
  const feed = <E1, R1>(
    partition: AssignedPartition,
    goesOn: () => boolean,
    take: (pulled: Pulled, goesOn: () => boolean) => Effect.Effect<void, E1, R1>
  ) =>
    eachChunk(delivery, partition, goesOn, (pulled, wanted) =>
      committedBefore
        ? eachCommitted(
          committer,
          pulled,
          maxAtOnce,
          wanted,
          (group) => take(group, () => partition.status !== "ended")
        )
        : take(pulled, wanted))
  if (settings.order !== "partition") {
    return new KeyLanes<KafkaError | E, R>(
      {
        concurrency: settings.concurrency ?? 1,
        byKey: settings.order === "key",
        bounds: () => ({
          maxRecords: committedBefore ? settings.maxAhead - maxAtOnce : settings.maxAhead,
          maxBytes: aheadBytes()
        }),
        committedBefore,
        feed,
        handle,
        onProgress
      },
      fork,
      onFailure
    )
  }
  const { concurrency } = settings
  const turns = concurrency === undefined ? undefined : new Turns(concurrency)
  return new PartitionLanes<KafkaError | E, R>(
    fork,
    (partition, goesOn) =>
      feed(partition, goesOn, ({ nextOffset, records }, wanted) => {
        const handleAll = (turn?: Turn) => {
          let index = 0
          let isHandled = true
          return Effect.whileLoop({
            while: () => index < records.length && wanted(),
            body: (): Effect.Effect<unknown, KafkaError | E, R> => {
              if (turn === undefined) return handle(records[index]!)
              isHandled = turn.isHeld
              return isHandled ? handle(records[index]!) : turn.wait
            },
            step: () => {
              if (!isHandled) return
              turn?.stepped()
              const record = takeOut(records, index++)
              // Lost meanwhile: another member has it, and will get the record again. Or it goes on elsewhere.
              if (!partition.isCurrent(record.generation)) return
              onProgress(partition, index === records.length ? nextOffset : record.view.offset + 1, 1)
            }
          })
        }
        if (turns === undefined) return handleAll()
        return Effect.flatMap(Effect.clock, (clock) => {
          const turn = new Turn(turns, clock)
          return Effect.ensuring(handleAll(turn), Effect.sync(() => turn.end()))
        })
      }),
    onFailure
  )
}

/**
 * Does something with each chunk of a partition, one after the other, until nothing more is wanted; of a chunk nothing is
 * once the partition goes on elsewhere.
 */
export const eachChunk = <E, R>(
  delivery: Delivery,
  partition: AssignedPartition,
  goesOn: () => boolean,
  self: (pulled: Pulled, wanted: () => boolean) => Effect.Effect<unknown, E, R>
): Effect.Effect<void, KafkaError | E, R> =>
  Effect.catchAll(
    Effect.forever(Effect.flatMap(
      delivery.pullFrom(partition, goesOn),
      (pulled) => Effect.mapError(self(pulled, () => goesOn() && partition.isCurrent(pulled.generation)), Option.some)
    )),
    Option.match({ onNone: () => Effect.void, onSome: (error: KafkaError | E) => Effect.fail(error) })
  )

/**
 * Commits records in small groups, and does something with each once that is sure. What is committed is handed on,
 * also when the partition goes on elsewhere; nothing is of a partition that was lost.
 */
const eachCommitted = <E, R>(
  committer: Committer,
  { generation, nextOffset, partition, records }: Pulled,
  maxAtOnce: number,
  goesOn: () => boolean,
  self: (group: Pulled) => Effect.Effect<void, E, R>
): Effect.Effect<void, KafkaError | E, R> => {
  let from = 0
  return Effect.whileLoop({
    while: () => from < records.length && goesOn(),
    body: () => {
      const to = Math.min(records.length, from + maxAtOnce)
      const group: Pulled = {
        partition,
        generation,
        records: records.slice(from, to),
        nextOffset: to === records.length ? nextOffset : records[to - 1]!.view.offset + 1
      }
      const target = { ...partition.settle(group.nextOffset), partition, generation }
      return Effect.matchCauseEffect(committer.commit([target]), {
        onSuccess: () => self(group),
        onFailure: (cause) =>
          Option.exists(Cause.failureOption(cause), (error) => error.reason._tag === "NotAssigned")
            ? Effect.void
            : Effect.failCause(cause)
      })
    },
    step: () => {
      from += maxAtOnce
    }
  })
}
