import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"

import type { KafkaError } from "../../KafkaError.ts"
import { bounded, once } from "../fiber.ts"
import type { Committer } from "./committer.ts"
import type { Delivery } from "./delivery.ts"
import type { Fork, Lanes, OnFailure } from "./lanes.ts"
import type { AssignedPartition } from "./partition.ts"

/** What a run needs of its consumer. */
export interface RunContext {
  readonly delivery: Delivery
  readonly committer: Committer
  readonly owned: () => Iterable<AssignedPartition>
  readonly drainTimeout: Duration.Duration
  readonly closeTimeout: Duration.Duration
}

/** Makes the lanes of a run; each fiber is started by `fork`, and each failure that ends the run told to `onFailure`. */
export type MakeLanes<E, R> = (fork: Fork<E, R>, onFailure: OnFailure<E>) => Lanes

/**
 * A run of handlers over all records. It owns them, so that interruption ends none in the middle of a record before the
 * bound has passed; which runs when is for its lanes to say.
 */
export class Run {
  readonly #context: RunContext
  readonly #ended = Deferred.unsafeMake<void, unknown>(FiberId.none)
  #lanes: Lanes | undefined

  constructor(context: RunContext) {
    this.#context = context
  }

  /** A partition was started. */
  start(partition: AssignedPartition): void {
    this.#lanes?.start(partition)
  }

  /** Waits until what was begun of a partition is done; it is delivered no more. */
  idle(partition: AssignedPartition): Effect.Effect<void> {
    return Effect.suspend(() => this.#lanes?.idle(partition) ?? Effect.void)
  }

  /** The partition is lost: its handlers work in vain. */
  lose(partition: AssignedPartition): Effect.Effect<void> {
    return Effect.suspend(() => this.#lanes?.lose(partition) ?? Effect.void)
  }

  /** Stops the pull, awaits the handlers, commits, and ends what is left: each within its bound. */
  readonly drain: Effect.Effect<void> = once(Effect.gen(this, function*() {
    const { closeTimeout, committer, delivery, drainTimeout, owned } = this.#context
    const lanes = this.#lanes
    if (lanes !== undefined) {
      lanes.stop()
      delivery.wake()
      const idle = yield* bounded(lanes.idleAll, drainTimeout)
      if (Option.isNone(idle)) {
        yield* Effect.logWarning(
          `${lanes.busy} handlers did not end within ${Duration.format(drainTimeout)}: interrupted`
        )
      }
    }
    const committed = yield* bounded(committer.flush(owned()), closeTimeout)
    if (Option.isNone(committed)) {
      yield* Effect.logWarning(`not all was committed within ${Duration.format(closeTimeout)}`)
    }
    if (lanes !== undefined) yield* lanes.interruptAll
    Deferred.unsafeDone(this.#ended, Exit.void)
  }))

  /**
   * Runs until the delivery stops or something fails; drained when it returns.
   * To be run uninterruptibly: `restore` makes the wait interruptible.
   */
  run<E, R>(
    makeLanes: MakeLanes<KafkaError | E, R>,
    restore: <A, E1, R1>(effect: Effect.Effect<A, E1, R1>) => Effect.Effect<A, E1, R1>
  ): Effect.Effect<void, KafkaError | E, R> {
    const { delivery } = this.#context
    return Effect.flatMap(Effect.runtime<R>(), (runtime) => {
      const runFork = Runtime.runFork(runtime)
      const lanes = this.#lanes = makeLanes(
        // The runtime was made where nothing is interruptible. Later, or it would run inside whoever starts it.
        (effect) => runFork(Effect.interruptible(effect), { immediate: false }),
        (exit) => {
          lanes.stop()
          delivery.wake()
          Deferred.unsafeDone(this.#ended, exit)
        }
      )
      const stopListening = delivery.onStop(() =>
        Deferred.unsafeDone(this.#ended, delivery.failure === undefined ? Exit.void : Exit.fail(delivery.failure))
      )
      for (const partition of delivery.partitions) lanes.start(partition)
      return Effect.flatMap(
        Effect.exit(restore(Deferred.await(this.#ended as Deferred.Deferred<void, KafkaError | E>))),
        (exit) => Effect.zipRight(Effect.zipRight(Effect.sync(stopListening), this.drain), exit)
      )
    })
  }
}
