import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"

import type { Committable } from "../../ConsumerRecord.ts"
import type { FatalError, KafkaError } from "../../KafkaError.ts"
import { pause } from "../cluster/retry.ts"
import type { Settings } from "../cluster/settings.ts"
import { invalidArgument } from "../errors.ts"
import { Permits } from "../permits.ts"
import { tracedBatch } from "../telemetry/process.ts"
import type { Pulled } from "./delivery.ts"
import { type Handled, skip } from "./handling.ts"
import { PartitionLanes } from "./lanes.ts"
import { eachChunk, type ProcessingContext } from "./processing.ts"
import { FetchedRecord } from "./record.ts"
import type { MakeLanes } from "./run.ts"
import type { RunBatchSettings } from "./runOptions.ts"

/** Records of one partition, in their order. */
export interface FetchedBatch {
  readonly topic: string
  readonly partition: number
  readonly records: ReadonlyArray<FetchedRecord>
}

/** What the application does with a batch: it gives what of it is done. */
export type BatchHandler<E, R> = (
  batch: FetchedBatch
) => Effect.Effect<Committable | Iterable<Committable>, E, R>

/** The lanes for handlers that take batches. */
export const batchLanes = <E, R>(
  { committer, delivery }: ProcessingContext,
  settings: RunBatchSettings,
  pauses: Settings,
  consumer: Handled,
  handler: BatchHandler<E, R>
): MakeLanes<KafkaError | E, R> =>
(fork, onFailure) => {
  const permits = settings.concurrency === undefined ? undefined : new Permits(settings.concurrency)
  const inTurn = <A, E1, R1>(self: Effect.Effect<A, E1, R1>) => permits === undefined ? self : permits.use(self)
  const skips = settings.onFailure === "skip"

  /** Gives how many of the records are done. */
  const handle = (records: ReadonlyArray<FetchedRecord>): Effect.Effect<number, KafkaError | E, R> => {
    const { failure, partition, topic } = records[0]!
    const batch = { topic, partition, records }
    const one = failure !== undefined
      ? Effect.fail(failure)
      : Effect.flatMap(tracedBatch(batch, consumer, handler), (settled) => doneOf(batch, settled))
    if (!skips) return one
    return Effect.catchAllCause(one, (cause) =>
      Cause.isInterrupted(cause)
        ? Effect.failCause(cause)
        : Effect.as(skip(records, cause, consumer), records.length))
  }

  const handleAll = ({ generation, nextOffset, partition, records }: Pulled, goesOn: () => boolean) => {
    let from = 0
    let attempts = 0
    return Effect.whileLoop({
      while: () => from < records.length && goesOn(),
      body: () =>
        inTurn(Effect.suspend((): Effect.Effect<number, KafkaError | E, R> =>
          // Its turn may come too late.
          goesOn() ? handle(records.slice(from, endOfBatch(records, from, settings.maxRecords))) : Effect.succeed(0)
        )).pipe(
          // Nothing is done of it, and nothing has failed: not again at once.
          Effect.tap((done) => done === 0 && goesOn() ? pause(pauses, ++attempts) : Effect.void)
        ),
      step: (done) => {
        if (done === 0) return
        attempts = 0
        from += done
        // Lost meanwhile: another member has it, and will get the records again. Or it goes on elsewhere.
        if (!partition.isCurrent(generation)) return
        partition.settle(from === records.length ? nextOffset : records[from - 1]!.view.offset + 1)
        committer.requestSoon(done)
      }
    })
  }

  return new PartitionLanes<KafkaError | E, R>(
    fork,
    (partition, goesOn) => eachChunk(delivery, partition, goesOn, handleAll),
    onFailure
  )
}

/** Where a batch that begins at `from` ends. One that does not decode is alone. */
const endOfBatch = (records: ReadonlyArray<FetchedRecord>, from: number, maxRecords: number): number => {
  const limit = Math.min(records.length, from + maxRecords)
  let end = from + 1
  if (records[from]!.failure !== undefined) return end
  while (end < limit && records[end]!.failure === undefined) end++
  return end
}

/** How many records of a batch are done, if these are: settling one settles all before it. */
const doneOf = (
  { partition, records, topic }: FetchedBatch,
  settled: Committable | Iterable<Committable>
): Effect.Effect<number, FatalError> => {
  if (settled === records) return Effect.succeed(records.length)
  const first = records[0]!
  let furthest = -1
  for (const each of Symbol.iterator in settled ? settled : [settled]) {
    const { generation, offset } = each
    if (each.topic !== topic || each.partition !== partition || generation !== first.generation) {
      return Effect.fail(
        invalidArgument(
          `Consumer.runBatch: the handler of a batch of topic ${topic}, partition ${partition} gave a record of topic ${each.topic}, partition ${each.partition}, generation ${generation}`
        )
      )
    }
    furthest = Math.max(furthest, each instanceof FetchedRecord ? each.view.offset : Number(offset))
  }
  let done = 0
  while (done < records.length && records[done]!.view.offset <= furthest) done++
  return Effect.succeed(done)
}
