import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"

import type { KafkaError } from "../../KafkaError.ts"
import { cancelable } from "../fiber.ts"
import { fnv1a } from "../kernel/fnv1a.ts"
import { type Keyed, KeyedQueue } from "../kernel/keyedQueue.ts"
import { OffsetTracker, type TrackerBounds } from "../kernel/offsetTracker.ts"
import type { Pulled } from "./delivery.ts"
import type { Handler } from "./handling.ts"
import { type Fork, interruptAll, inVain, type Lanes, type OnFailure, PartitionLanes } from "./lanes.ts"
import type { AssignedPartition } from "./partition.ts"
import type { FetchedRecord } from "./record.ts"
import { takeOut } from "./takeOut.ts"

/** Where chunks of a partition are handed in, and whether more is wanted. */
export type Feed<E, R> = (
  partition: AssignedPartition,
  goesOn: () => boolean,
  take: (pulled: Pulled, goesOn: () => boolean) => Effect.Effect<void>
) => Effect.Effect<void, KafkaError | E, R>

/** What lanes by key need to know. */
export interface KeyLanesOptions<E, R> {
  readonly concurrency: number
  /** Without it, records wait for none. */
  readonly byKey: boolean
  /** How far a partition may be ahead of what can be committed of it. */
  readonly bounds: () => TrackerBounds
  /** What was handed in is committed already: it is handled whatever comes, but the loss of the partition. */
  readonly committedBefore: boolean
  readonly feed: Feed<E, R>
  readonly handle: Handler<KafkaError | E, R>
  /** Everything before this position is done, by so many records more. */
  readonly onProgress: (partition: AssignedPartition, position: number, records: number) => void
}

/** A partition in a run of this kind. */
class Progress {
  readonly partition: AssignedPartition
  readonly seed: number
  /** Those of the generation that was handed in last. */
  tracker!: OffsetTracker
  #generation: number | undefined
  /** The last ticket whose handler was begun. */
  begun = -1
  /** No later ticket is begun; undefined while any is. */
  limit: number | undefined
  /** What is queued, or at work. */
  outstanding = 0
  /** A feed waits for room. */
  isFull = false

  constructor(partition: AssignedPartition) {
    this.partition = partition
    this.seed = fnv1a(new TextEncoder().encode(partition.topic))
  }

  /** What is handed in is of this generation: what came before counts no more once it is another one. */
  enter(generation: number, bounds: () => TrackerBounds): void {
    if (generation === this.#generation) {
      // A partition's part of the buffer changes with their number.
      this.tracker.limit(bounds())
      return
    }
    this.#generation = generation
    this.tracker = new OffsetTracker(-1, bounds())
    this.begun = -1
  }

  /** Whether a record is one of those that the tracker has. */
  tracks({ generation }: FetchedRecord): boolean {
    return generation === this.#generation
  }
}

/** A record on its way to a handler. */
class Work implements Keyed<Work> {
  nextReady: Work | undefined = undefined
  nextOfKey: Work | undefined = undefined
  readonly key: number | undefined
  readonly progress: Progress
  readonly ticket: number
  #record: FetchedRecord | undefined

  constructor(record: FetchedRecord, key: number | undefined, progress: Progress, ticket: number) {
    this.#record = record
    this.key = key
    this.progress = progress
    this.ticket = ticket
  }

  get record(): FetchedRecord {
    return this.#record!
  }

  /** The record is done with: as {@link takeOut}, for what the queue's map keeps. */
  end(): void {
    this.#record = undefined
  }
}

/** A fiber that handles one record after the other, of any partition. */
interface Worker<E> {
  current: Work | undefined
  fiber: Fiber.RuntimeFiber<void, E> | undefined
  /** Resumes it where it waits for work. */
  wake: (() => void) | undefined
  /** It is being interrupted in what it does, and begins nothing else: that would be interrupted too. */
  isRetired: boolean
}

/**
 * So many handlers at a time, over all partitions: a fixed number of fibers that take records from one queue. Records of
 * one key are handled one after the other, whatever their partition; no record waits for another key.
 *
 * When a partition is to be given up, handlers that have begun are not all that is awaited: an older record may still be
 * queued behind them, and without it nothing after it can be committed. So records older than the newest that was begun
 * are still handled, and newer ones are not.
 */
export class KeyLanes<E, R> implements Lanes {
  readonly #options: KeyLanesOptions<E, R>
  readonly #fork: Fork<KafkaError | E, R>
  readonly #onFailure: OnFailure<KafkaError | E>
  readonly #feeds: PartitionLanes<E, R>
  readonly #partitions = new Map<AssignedPartition, Progress>()
  readonly #queue = new KeyedQueue<Work>()
  readonly #workers: Array<Worker<KafkaError | E>> = []
  readonly #idle: Array<Worker<KafkaError | E>> = []
  #stopping = false
  #ended = false

  constructor(options: KeyLanesOptions<E, R>, fork: Fork<KafkaError | E, R>, onFailure: OnFailure<KafkaError | E>) {
    this.#options = options
    this.#fork = fork
    this.#onFailure = onFailure
    this.#feeds = new PartitionLanes(
      fork,
      (partition, goesOn) => {
        const progress = new Progress(partition)
        this.#partitions.set(partition, progress)
        return options.feed(partition, goesOn, (pulled, wanted) => {
          progress.enter(pulled.generation, options.bounds)
          return this.#offer(progress, pulled, 0, wanted)
        })
      },
      onFailure
    )
  }

  start(partition: AssignedPartition): void {
    this.#feeds.start(partition)
  }

  stop(): void {
    this.#stopping = true
    this.#feeds.stop()
    for (const progress of this.#partitions.values()) this.#finish(progress)
  }

  idle(partition: AssignedPartition): Effect.Effect<void> {
    return Effect.suspend(() => {
      const progress = this.#partitions.get(partition)
      if (progress === undefined) return this.#feeds.idle(partition)
      this.#finish(progress)
      return Effect.zipRight(this.#feeds.idle(partition), this.#untilDone(progress))
    })
  }

  lose(partition: AssignedPartition): Effect.Effect<void> {
    return Effect.suspend(() => {
      const progress = this.#partitions.get(partition)
      if (progress !== undefined) this.#finish(progress)
      const lost: Array<Fiber.RuntimeFiber<void, KafkaError | E>> = []
      for (const worker of this.#workers) {
        if (worker.fiber === undefined || worker.current === undefined || worker.current.progress !== progress) continue
        worker.isRetired = true
        lost.push(worker.fiber)
      }
      return Effect.zipRight(
        Effect.zipRight(this.#feeds.lose(partition), interruptAll(lost)),
        Effect.sync(() => this.#partitions.delete(partition))
      )
    })
  }

  readonly idleAll: Effect.Effect<void> = Effect.suspend(() =>
    Effect.forEach(Array.from(this.#partitions.keys()), (partition) => this.idle(partition), { discard: true })
  )

  get busy(): number {
    return this.#workers.reduce((count, { current }) => current === undefined ? count : count + 1, 0)
  }

  readonly interruptAll: Effect.Effect<void> = Effect.suspend(() => {
    this.#ended = true
    const workers = this.#workers.flatMap(({ fiber }) => fiber === undefined ? [] : [fiber])
    return Effect.zipRight(this.#feeds.interruptAll, interruptAll(workers))
  })

  /** Hands records over one by one, as far as there is room, and waits for more. */
  #offer(progress: Progress, pulled: Pulled, from: number, goesOn: () => boolean): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { nextOffset, records } = pulled
      const { partition: { changed }, seed, tracker } = progress
      const { version } = changed
      const { byKey } = this.#options
      for (let index = from; index < records.length; index++) {
        if (!goesOn()) return Effect.void
        if (!tracker.hasRoom) {
          progress.isFull = true
          this.#wakeOne()
          return Effect.zipRight(changed.wait(version), this.#offer(progress, pulled, index, goesOn))
        }
        const record = takeOut(records, index)
        const { view } = record
        const ticket = tracker.begin(index === records.length - 1 ? nextOffset : view.offset + 1, view.size)
        progress.outstanding++
        this.#queue.offer(new Work(record, byKey ? view.keyHash(seed) : undefined, progress, ticket))
      }
      this.#wakeOne()
      // The workers' turn: what is queued is bounded by the tracker only.
      return Effect.yieldNow()
    })
  }

  #wakeOne(): void {
    if (this.#queue.ready === 0) return
    const worker = this.#idle.pop() ?? this.#newWorker()
    worker?.wake?.()
  }

  #newWorker(): undefined {
    if (this.#workers.length >= this.#options.concurrency || this.#ended) return
    const worker: Worker<KafkaError | E> = { current: undefined, fiber: undefined, wake: undefined, isRetired: false }
    this.#workers.push(worker)
    this.#runWorker(worker)
  }

  #runWorker(worker: Worker<KafkaError | E>): void {
    const { handle } = this.#options
    worker.isRetired = false
    const fiber = this.#fork(Effect.whileLoop({
      while: () => !this.#ended && !worker.isRetired,
      body: (): Effect.Effect<unknown, KafkaError | E, R> => {
        const work = this.#take()
        if (work === undefined) return this.#waitForWork(worker)
        worker.current = work
        return handle(work.record)
      },
      step: () => {
        const work = worker.current
        if (work === undefined) return
        worker.current = undefined
        this.#queue.release(work)
        this.#done(work)
        work.end()
      }
    }))
    worker.fiber = fiber
    fiber.addObserver((exit) => {
      const work = worker.current
      worker.current = undefined
      worker.fiber = undefined
      if (work !== undefined && Exit.isFailure(exit)) this.#unfinished(work, exit.cause)
      if (!this.#ended) this.#runWorker(worker)
    })
  }

  #unfinished(work: Work, cause: Cause.Cause<KafkaError | E>): void {
    const { partition } = work.progress
    this.#dropped(work.progress)
    if (this.#ended || partition.status === "ended") {
      this.#queue.release(work)
      if (!this.#ended) inVain(this.#fork, partition, cause)
      return
    }
    // What follows it in the order of its key must not be handled either.
    for (const behind of this.#queue.abandon(work)) this.#dropped(behind.progress)
    this.#onFailure(Exit.failCause(cause))
  }

  #waitForWork(worker: Worker<KafkaError | E>): Effect.Effect<void> {
    return cancelable((resume) => {
      worker.wake = () => {
        worker.wake = undefined
        resume(Effect.void)
      }
      // Something may have come since it looked.
      if (this.#queue.ready > 0) worker.wake()
      else this.#idle.push(worker)
      return () => {
        const at = this.#idle.indexOf(worker)
        if (at >= 0) this.#idle.splice(at, 1)
      }
    })
  }

  /** The next record to be handled; those that are to be left are not. */
  #take(): Work | undefined {
    for (let work = this.#queue.take(); work !== undefined; work = this.#queue.take()) {
      const { progress, ticket } = work
      if (this.#mayBegin(work)) {
        if (ticket > progress.begun) progress.begun = ticket
        // Whoever takes one looks whether there is something for another one to do.
        this.#wakeOne()
        return work
      }
      this.#queue.release(work)
      this.#dropped(progress)
    }
    return undefined
  }

  #mayBegin({ progress, record, ticket }: Work): boolean {
    const { partition } = progress
    if (partition.status === "ended" || this.#ended) return false
    if (this.#options.committedBefore) return true
    if (!partition.isCurrent(record.generation)) return false
    if (partition.status === "active" && !this.#stopping) return true
    return ticket <= (progress.limit ??= progress.begun)
  }

  /** No newer record of the partition is begun. */
  #finish(progress: Progress): void {
    this.#queue.drop((work) => {
      if (work.progress !== progress || this.#mayBegin(work)) return false
      this.#dropped(progress)
      return true
    })
    this.#wakeOne()
    progress.partition.changed.notify()
  }

  #untilDone(progress: Progress): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { changed } = progress.partition
      const { version } = changed
      return progress.outstanding === 0
        ? Effect.void
        : Effect.zipRight(changed.wait(version), this.#untilDone(progress))
    })
  }

  #done({ progress, record, ticket }: Work): void {
    const { partition, tracker } = progress
    if (progress.tracks(record)) {
      const before = tracker.oldest
      // Lost meanwhile: another member has it, and will get the record again. Or it goes on elsewhere.
      if (tracker.complete(ticket) && partition.isCurrent(record.generation)) {
        this.#options.onProgress(partition, tracker.watermark, tracker.oldest - before)
      }
    }
    this.#dropped(progress)
    if (progress.isFull && tracker.hasAmpleRoom) {
      progress.isFull = false
      partition.changed.notify()
    }
  }

  #dropped(progress: Progress): void {
    if (--progress.outstanding === 0) progress.partition.changed.notify()
  }
}
