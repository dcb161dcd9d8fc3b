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
import type { Delivery, Pulled } from "./delivery.ts"
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
  readonly closeTimeout: Duration.Duration
}

type Handler<E, R> = (record: FetchedRecord) => Effect.Effect<unknown, E, R>

/**
 * A handler over all records: one at a time in each partition, the partitions
 * side by side. It owns its handlers, so that interruption ends none in the
 * middle of a record before the bound has passed.
 */
export class Run {
  readonly #context: RunContext
  readonly #lanes = new Map<AssignedPartition, Fiber.RuntimeFiber<void, unknown>>()
  readonly #ended = Deferred.unsafeMake<void, unknown>(FiberId.none)
  #stopping = false
  #startLane: (partition: AssignedPartition) => void = () => {}

  constructor(context: RunContext) {
    this.#context = context
  }

  /** A partition was started. */
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
  readonly drain: Effect.Effect<void> = once(Effect.gen(this, function*() {
    const { closeTimeout, committer, delivery, drainTimeout, owned } = this.#context
    this.#stopping = true
    delivery.wake()
    const idle = yield* bounded(
      Effect.suspend(() => Effect.forEach(Array.from(this.#lanes.values()), Fiber.await, { discard: true })),
      drainTimeout
    )
    if (Option.isNone(idle)) {
      yield* Effect.logWarning(
        `${this.#lanes.size} handlers did not end within ${Duration.format(drainTimeout)}: interrupted`
      )
    }
    const committed = yield* bounded(committer.flush(owned()), closeTimeout)
    if (Option.isNone(committed)) {
      yield* Effect.logWarning(`not all was committed within ${Duration.format(closeTimeout)}`)
    }
    yield* bounded(Effect.suspend(() => Fiber.interruptAll(Array.from(this.#lanes.values()))), "1 second")
    Deferred.unsafeDone(this.#ended, Exit.void)
  }))

  /**
   * Runs until the delivery stops or something fails; drained when it returns.
   * To be run uninterruptibly: `restore` makes the wait interruptible.
   */
  run<E, R>(
    handler: Handler<E, R>,
    restore: <A, E1, R1>(effect: Effect.Effect<A, E1, R1>) => Effect.Effect<A, E1, R1>
  ): Effect.Effect<void, KafkaError | E, R> {
    const { delivery } = this.#context
    return Effect.flatMap(Effect.runtime<R>(), (runtime) => {
      const fork = Runtime.runFork(runtime)
      this.#startLane = (partition) => {
        if (this.#stopping || partition.status !== "active" || this.#lanes.has(partition)) return
        // The runtime was made where nothing is interruptible.
        const fiber = fork(Effect.interruptible(this.#lane(partition, handler)))
        this.#lanes.set(partition, fiber)
        fiber.addObserver((exit) => {
          this.#lanes.delete(partition)
          if (Exit.isSuccess(exit)) return
          // A handler that was interrupted by itself, not by us, leaves its record undone: that is a failure too.
          const byUs = Cause.isInterruptedOnly(exit.cause) && (this.#stopping || partition.status !== "active")
          if (!byUs) Deferred.unsafeDone(this.#ended, exit)
        })
      }
      const stopListening = delivery.onStop(() =>
        Deferred.unsafeDone(this.#ended, delivery.failure === undefined ? Exit.void : Exit.fail(delivery.failure))
      )
      for (const partition of delivery.partitions) this.#startLane(partition)
      return Effect.flatMap(
        Effect.exit(restore(Deferred.await(this.#ended as Deferred.Deferred<void, KafkaError | E>))),
        (exit) => Effect.zipRight(Effect.zipRight(Effect.sync(stopListening), this.drain), exit)
      )
    })
  }

  #lane<E, R>(partition: AssignedPartition, handler: Handler<E, R>): Effect.Effect<void, KafkaError | E, R> {
    const pull = this.#context.delivery.pullFrom(partition, () => !this.#stopping)
    return Effect.catchAll(
      Effect.forever(Effect.flatMap(
        pull,
        (pulled) => Effect.mapError(this.#handleAll(pulled, handler), Option.some)
      )),
      Option.match({ onNone: () => Effect.void, onSome: (error: KafkaError | E) => Effect.fail(error) })
    )
  }

  #handleAll<E, R>({ nextOffset, partition, records }: Pulled, handler: Handler<E, R>): Effect.Effect<void, E, R> {
    const { clientId, committer, groupId } = this.#context
    const consumer = { clientId, groupId }
    let index = 0
    return Effect.whileLoop({
      while: () =>
        index < records.length && !this.#stopping && partition.status === "active" &&
        partition.generation === records[index]!.generation,
      body: () => tracedProcess(records[index]!, consumer, handler),
      step: () => {
        const record = records[index++]!
        // Lost meanwhile: another member has it, and will get the record again. Or it goes on elsewhere.
        if (partition.status === "ended" || partition.generation !== record.generation) return
        partition.settle(index === records.length ? nextOffset : record.view.offset + 1)
        committer.requestSoon()
      }
    })
  }
}
