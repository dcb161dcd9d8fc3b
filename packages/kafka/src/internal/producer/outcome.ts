import * as Effect from "effect/Effect"
import * as Effectable from "effect/Effectable"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"

import type { ProduceError } from "../../KafkaError.ts"
import type { RecordMetadata } from "../../Producer.ts"
import { hasStopped } from "../fiber.ts"
import { suspended } from "../suspended.ts"

/** The outcome of a batch, shared by its records. */
export interface BatchOutcome {
  readonly topic: string
  readonly partition: number
  /** -1 if the broker did not tell. */
  readonly baseOffset: number
  /** When the broker appended it, if that is the topic's kind of timestamp; else -1. */
  readonly logAppendTime: number
  readonly error: ProduceError | undefined
}

/** Who wants to know what became of a record. Called exactly once for each slot, outside of any fiber. */
export interface Completion {
  readonly succeed: (slot: number, metadata: RecordMetadata) => void
  readonly fail: (slot: number, error: ProduceError) => void
  /** Whether anybody waits for it. */
  readonly isAwaited: () => boolean
}

/** One record, awaited by any number of fibers, or none: the effect that waits for its outcome. */
export class SingleCompletion extends Effectable.Class<RecordMetadata, ProduceError> implements Completion {
  #exit: Exit.Exit<RecordMetadata, ProduceError> | undefined
  #waiting: Array<Waiter> | undefined

  succeed(_slot: number, metadata: RecordMetadata): void {
    this.#done(Exit.succeed(metadata))
  }

  fail(_slot: number, error: ProduceError): void {
    this.#done(Exit.fail(error))
  }

  isAwaited(): boolean {
    return this.#waiting !== undefined && this.#waiting.some(({ fiber }) => !hasStopped(fiber))
  }

  override commit(): Effect.Effect<RecordMetadata, ProduceError> {
    return this.#exit ?? Effect.withFiberRuntime((fiber) =>
      // Nothing undoes it at an interruption, which would cost as much as half of a `send`: the fiber knows of it.
      this.#exit ?? suspended((resume) => {
        if (this.#exit === undefined) (this.#waiting ??= []).push({ fiber, resume })
        else resume(this.#exit)
      })
    )
  }

  #done(exit: Exit.Exit<RecordMetadata, ProduceError>): void {
    this.#exit = exit
    const waiting = this.#waiting
    this.#waiting = undefined
    if (waiting !== undefined) { for (const { resume } of waiting) resume(exit) }
  }
}

/** A fiber that waits for an outcome, or was interrupted meanwhile. */
interface Waiter {
  readonly fiber: Fiber.RuntimeFiber<unknown, unknown>
  readonly resume: (exit: Exit.Exit<RecordMetadata, ProduceError>) => void
}

/** A known number of records, with a result for each. */
export class AllCompletion implements Completion {
  readonly metadata: Array<RecordMetadata | undefined>
  /** The errors by index; undefined while there is none. */
  errors: Map<number, ProduceError> | undefined
  #left: number
  #isAbandoned = false
  #resume: ((effect: Effect.Effect<void>) => void) | undefined

  constructor(size: number) {
    this.metadata = new Array(size)
    this.#left = size
  }

  succeed(slot: number, metadata: RecordMetadata): void {
    this.metadata[slot] = metadata
    if (--this.#left === 0) this.#resume?.(Effect.void)
  }

  fail(slot: number, error: ProduceError): void {
    this.errors ??= new Map()
    this.errors.set(slot, error)
    if (--this.#left === 0) this.#resume?.(Effect.void)
  }

  isAwaited(): boolean {
    return !this.#isAbandoned
  }

  /** Nobody waits for it any more. */
  abandon(): void {
    this.#isAbandoned = true
  }

  /** Every record has its result. */
  readonly await: Effect.Effect<void> = Effect.async((resume) => {
    if (this.#left === 0) resume(Effect.void)
    else this.#resume = resume
  })
}

/** An open number of records, of which only the first failure is kept. */
export class StreamCompletion implements Completion {
  firstError: ProduceError | undefined
  #left = 0
  #isAbandoned = false
  #resume: ((effect: Effect.Effect<void>) => void) | undefined

  /** So many more records are on their way. */
  expect(count: number): void {
    this.#left += count
  }

  succeed(): void {
    if (--this.#left === 0) this.#resume?.(Effect.void)
  }

  fail(_slot: number, error: ProduceError): void {
    this.firstError ??= error
    if (--this.#left === 0) this.#resume?.(Effect.void)
  }

  isAwaited(): boolean {
    return !this.#isAbandoned
  }

  /** Nobody waits for it any more. */
  abandon(): void {
    this.#isAbandoned = true
  }

  /** Every record expected so far has its result. */
  readonly await: Effect.Effect<void> = Effect.async((resume) => {
    if (this.#left === 0) resume(Effect.void)
    else this.#resume = resume
  })
}
