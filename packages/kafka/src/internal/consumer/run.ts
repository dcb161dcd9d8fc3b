import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"

import type { KafkaError } from "../../KafkaError.ts"
import { bounded, once } from "../fiber.ts"
import { tracedProcess } from "../telemetry/process.ts"
import type { Committer } from "./committer.ts"
import type { Delivery } from "./delivery.ts"
import type { AssignedPartition } from "./partition.ts"
import type { FetchedRecord } from "./record.ts"

/** What a run needs of its consumer. */
export interface RunContext {
  readonly groupId: string
  readonly clientId: string
  readonly delivery: Delivery
  readonly committer: Committer
  readonly owned: () => Iterable<AssignedPartition>
  readonly drainTimeout: Duration.Duration
}

/**
 * A handler over all records: one at a time in each partition, the partitions
 * side by side. It owns its handlers, so that interruption ends none in the
 * middle of a record before the bound has passed.
 */
export class Run {
  readonly #context: RunContext
  readonly #lanes = new Map<AssignedPartition, Fiber.RuntimeFiber<void>>()
  #stopping = false
  #startLane: (partition: AssignedPartition) => void = () => {}
  #drain: Effect.Effect<void> = Effect.void

  constructor(context: RunContext) {
    this.#context = context
  }

  /** A partition was assigned. */
  start(partition: AssignedPartition): void {
    this.#startLane(partition)
  }

  /** The record in hand, if any, is done. */
  laneEnded(partition: AssignedPartition): Effect.Effect<void> {
    return Effect.suspend(() => {
      const lane = this.#lanes.get(partition)
      return lane === undefined ? Effect.void : Effect.asVoid(Fiber.await(lane))
    })
  }

  /** The partition is lost: its handler works in vain. */
  lose(partition: AssignedPartition): Effect.Effect<void> {
    return Effect.suspend(() => {
      const lane = this.#lanes.get(partition)
      return lane === undefined ? Effect.void : Effect.asVoid(bounded(Fiber.interrupt(lane), "1 second"))
    })
  }

  /** Stops the pull, awaits the handlers, commits, and ends what is left: each within its bound. */
  get drain(): Effect.Effect<void> {
    return Effect.suspend(() => this.#drain)
  }

  /** Runs until the consumer closes or something fails; drained when it returns. */
  run<E, R>(
    handler: (record: FetchedRecord) => Effect.Effect<unknown, E, R>
  ): Effect.Effect<void, KafkaError | E, R> {
    const { committer, delivery, drainTimeout, owned } = this.#context
    return Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(Effect.runtime<R>(), (runtime) => {
        const ended = Deferred.unsafeMake<void, KafkaError | E>(FiberId.none)
        const lane = (partition: AssignedPartition): Effect.Effect<void, KafkaError | E, R> =>
          Effect.catchAll(
            Effect.forever(Effect.flatMap(
              this.#stopping ? Effect.fail(Option.none()) : delivery.pullFrom(partition),
              ({ nextOffset, records }) =>
                Effect.mapError(
                  Effect.zipRight(
                    this.#handleAll(partition, records, handler),
                    Effect.sync(() => {
                      if (!this.#stopping && partition.status === "active") committer.settle(partition, nextOffset)
                    })
                  ),
                  Option.some
                )
            )),
            Option.match({ onNone: () => Effect.void, onSome: (error: KafkaError | E) => Effect.fail(error) })
          )
        this.#startLane = (partition) => {
          if (this.#stopping || partition.status !== "active" || this.#lanes.has(partition)) return
          const fiber = Runtime.runFork(runtime)(lane(partition))
          this.#lanes.set(partition, fiber as Fiber.RuntimeFiber<void>)
          fiber.addObserver((exit) => {
            this.#lanes.delete(partition)
            if (Exit.isFailure(exit) && !Cause.isInterruptedOnly(exit.cause)) Deferred.unsafeDone(ended, exit)
          })
        }
        this.#drain = once(
          Effect.gen(this, function*() {
            this.#stopping = true
            delivery.wake()
            const idle = yield* bounded(
              Effect.forEach(Array.from(this.#lanes.values()), Fiber.await, { discard: true }),
              drainTimeout
            )
            if (idle._tag === "None") {
              yield* Effect.logWarning(
                `${this.#lanes.size} handlers did not end within ${Duration.format(drainTimeout)}: interrupted`
              )
            }
            yield* bounded(commitSettled(committer, owned()), drainTimeout)
            yield* bounded(Fiber.interruptAll(this.#lanes.values()), "1 second")
            Deferred.unsafeDone(ended, Exit.void)
          })
        )
        for (const partition of owned()) this.#startLane(partition)
        const stopped = Effect.repeat(delivery.changed, { while: () => delivery.isOpen })
        const awaitEnd = Effect.raceFirst(
          Deferred.await(ended),
          delivery.isOpen ? stopped : Effect.void
        )
        return Effect.flatMap(Effect.exit(restore(awaitEnd)), (exit) =>
          Effect.zipRight(
            this.#drain,
            Effect.suspend(() => {
              const failure = delivery.failure
              return Exit.isSuccess(exit) && failure !== undefined ? Effect.fail(failure) : Effect.asVoid(exit)
            })
          ))
      })
    )
  }

  #handleAll<E, R>(
    partition: AssignedPartition,
    records: ReadonlyArray<FetchedRecord>,
    handler: (record: FetchedRecord) => Effect.Effect<unknown, E, R>
  ): Effect.Effect<void, E, R> {
    const { clientId, committer, groupId } = this.#context
    let index = 0
    return Effect.whileLoop({
      while: () => index < records.length && !this.#stopping && partition.status === "active",
      body: () => tracedProcess(records[index]!, { clientId, groupId }, handler),
      step: () => {
        // Lost meanwhile: another member has it, and will get the record again.
        if (partition.status !== "ended") committer.settle(partition, records[index]!.view.offset + 1)
        index++
      }
    })
  }
}

/** Commits whatever is settled and still owned. */
export const commitSettled = (
  committer: Committer,
  partitions: Iterable<AssignedPartition>
): Effect.Effect<void> =>
  Effect.suspend(() => {
    const targets = Array.from(partitions).flatMap((partition) =>
      partition.commit.position === null || partition.status === "ended"
        ? []
        : [{ partition, offset: partition.commit.position.offset }]
    )
    return targets.length === 0
      ? Effect.void
      : Effect.catchAll(committer.commit(targets), (error) => Effect.logWarning(`not committed: ${error.message}`))
  })
