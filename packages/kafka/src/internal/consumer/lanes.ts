import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"

import type { KafkaError } from "../../KafkaError.ts"
import { bounded } from "../fiber.ts"
import type { AssignedPartition } from "./partition.ts"

/** Where the handlers of a run live, and in which order they are given records. */
export interface Lanes {
  /** Takes a partition's records from now on. */
  start(partition: AssignedPartition): void
  /** No record is begun any more, but those without which what is done could not be committed. */
  stop(): void
  /** Waits until all is done that was begun of a partition that is delivered no more. */
  idle(partition: AssignedPartition): Effect.Effect<void>
  /** The partition is lost: its handlers work in vain, and are interrupted. */
  lose(partition: AssignedPartition): Effect.Effect<void>
  /** Waits until all is done that was begun, after {@link stop}. */
  readonly idleAll: Effect.Effect<void>
  /** How many handlers are at work. */
  readonly busy: number
  /** Interrupts whatever is left. */
  readonly interruptAll: Effect.Effect<void>
}

/** Starts a fiber with the services of whoever asked for the run. */
export type Fork<E, R> = (effect: Effect.Effect<void, E, R>) => Fiber.RuntimeFiber<void, E>

/** Hears of a failure that ends the run. */
export type OnFailure<E> = (exit: Exit.Exit<never, E>) => void

/** How long a handler that was interrupted may take to end. */
export const interruptionBound = "1 second"

/** Interrupts fibers; past the bound they are left to themselves. */
export const interruptAll = (
  fibers: Iterable<Fiber.RuntimeFiber<unknown, unknown>>
): Effect.Effect<void> => Effect.asVoid(bounded(Fiber.interruptAll(fibers), interruptionBound))

/**
 * What a handler failed with after its partition was lost: another member gets the record, so it ends nothing here. That it
 * was interrupted is as it should be.
 */
export const inVain = <E, R>(fork: Fork<E, R>, partition: AssignedPartition, cause: Cause.Cause<unknown>): void => {
  if (Cause.isInterruptedOnly(cause)) return
  fork(
    Effect.logWarning(
      `a handler failed after topic ${partition.topic}, partition ${partition.partition} was lost to this member`,
      cause
    )
  )
}

/** A fiber for each partition, which does one thing after the other. */
export class PartitionLanes<E, R> implements Lanes {
  readonly #fork: Fork<KafkaError | E, R>
  readonly #lane: (partition: AssignedPartition, goesOn: () => boolean) => Effect.Effect<void, KafkaError | E, R>
  readonly #onFailure: OnFailure<KafkaError | E>
  readonly #fibers = new Map<AssignedPartition, Fiber.RuntimeFiber<void, KafkaError | E>>()
  #stopping = false

  /** `lane` ends, after what it has begun, once `goesOn` says no. */
  constructor(
    fork: Fork<KafkaError | E, R>,
    lane: (partition: AssignedPartition, goesOn: () => boolean) => Effect.Effect<void, KafkaError | E, R>,
    onFailure: OnFailure<KafkaError | E>
  ) {
    this.#fork = fork
    this.#lane = lane
    this.#onFailure = onFailure
  }

  start(partition: AssignedPartition): void {
    const goesOn = () => !this.#stopping && partition.status === "active"
    if (!goesOn() || this.#fibers.has(partition)) return
    const fiber = this.#fork(this.#lane(partition, goesOn))
    this.#fibers.set(partition, fiber)
    fiber.addObserver((exit) => {
      this.#fibers.delete(partition)
      if (Exit.isSuccess(exit)) return
      if (partition.status === "ended") {
        inVain(this.#fork, partition, exit.cause)
        return
      }
      // A handler that was interrupted by itself, not by us, leaves its record undone: that is a failure too.
      const byUs = Cause.isInterruptedOnly(exit.cause) && !goesOn()
      if (!byUs) this.#onFailure(Exit.failCause(exit.cause))
    })
  }

  stop(): void {
    this.#stopping = true
  }

  idle(partition: AssignedPartition): Effect.Effect<void> {
    return Effect.suspend(() => {
      const fiber = this.#fibers.get(partition)
      return fiber === undefined ? Effect.void : Effect.asVoid(Fiber.await(fiber))
    })
  }

  lose(partition: AssignedPartition): Effect.Effect<void> {
    return Effect.suspend(() => {
      const fiber = this.#fibers.get(partition)
      return fiber === undefined ? Effect.void : interruptAll([fiber])
    })
  }

  readonly idleAll: Effect.Effect<void> = Effect.suspend(() =>
    Effect.forEach(Array.from(this.#fibers.values()), Fiber.await, { discard: true })
  )

  get busy(): number {
    return this.#fibers.size
  }

  readonly interruptAll: Effect.Effect<void> = Effect.suspend(() => interruptAll(Array.from(this.#fibers.values())))
}
