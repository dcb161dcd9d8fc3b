import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"

import type { KafkaError } from "../../KafkaError.ts"
import type { Cluster } from "../cluster/cluster.ts"
import { untilFatal } from "../cluster/retry.ts"
import { bounded, type Fibers, firstOf } from "../fiber.ts"
import { type TopicPartition, topicPartitionKey } from "../kernel/topicPartition.ts"
import { Permits } from "../permits.ts"
import type { Committer } from "./committer.ts"
import type { Coordinator } from "./coordinator.ts"
import type { FetchSettings, GroupSettings } from "./options.ts"
import { AssignedPartition } from "./partition.ts"
import { committedOffsets, type FoundPosition, type KnownPosition } from "./positions.ts"
import type { Run } from "./run.ts"
import type { Sight } from "./sight.ts"
import type { Source } from "./source.ts"
import { logNoOffset, noOffsetReset, startOtherwise, storedOffsets } from "./start.ts"

/** What ownership needs of its consumer. */
export interface OwnershipContext {
  readonly group: GroupSettings
  readonly fetch: FetchSettings
  readonly cluster: Cluster
  readonly source: Source
  readonly sight: Sight
  readonly coordinator: Coordinator
  readonly committer: Committer
  /** For finding start positions. */
  readonly fibers: Fibers
  /** The handlers, while there are any. */
  readonly run: () => Run | undefined
  /** Whether the application commits what its stream is given. */
  readonly commitsByHand: () => boolean
}

/** The partitions that a group member owns: how it takes them, and how it gives them up or loses them. */
export class Ownership {
  readonly #context: OwnershipContext
  readonly #owned: Map<string, AssignedPartition>
  /** Taking, giving up and losing are told of one after the other, hooks included. */
  readonly #turn = new Permits(1)
  #isClosing = false
  /** The consumer has waited for what is in hand, to close: a revocation leaves its partitions to it. */
  #isGivenUp = false
  /** Open then. */
  readonly #closed = Effect.unsafeMakeLatch(false)
  /** Of what `onRevoked` has heard. */
  readonly #told = new WeakSet<AssignedPartition>()

  /** `owned` is what it keeps up to date. */
  constructor(context: OwnershipContext, owned: Map<string, AssignedPartition>) {
    this.#context = context
    this.#owned = owned
  }

  /** Takes partitions, and starts them in the background. */
  assign(added: ReadonlyArray<TopicPartition>, generationId: number): Effect.Effect<void> {
    return this.#inTurn(() => {
      if (added.length === 0 || this.#isClosing) return Effect.void
      const { fetch, fibers, source } = this.#context
      const partitions = added.map(({ partition, topic }) =>
        new AssignedPartition(fetch.subscription.definition(topic), partition, generationId)
      )
      for (const partition of partitions) {
        this.#owned.set(partition.key, partition)
        // Not fetched before it is started, but counted: the first that starts must not take the others' share.
        source.fetcher.add(partition)
      }
      this.#context.sight.assigned()
      this.#context.sight.publish({ _tag: "Assigned", partitions: plain(partitions), generation: generationId })
      return Effect.zipRight(
        this.#runHook("onAssigned", partitions),
        fibers.fork(Effect.catchAll(
          this.#start(partitions),
          (error) => Effect.sync(() => this.#context.source.delivery.stop(error))
        ))
      )
    })
  }

  /** Finds where each partition starts, and starts it. */
  #start(partitions: ReadonlyArray<AssignedPartition>): Effect.Effect<void, KafkaError> {
    const { cluster, committer, coordinator, fetch, group, sight, source } = this.#context
    const { delivery, fetcher, lookups } = source
    const { load, otherwise } = fetch.start
    const whose = load === undefined ? `group ${group.groupId}` : "the store"
    const startAt = (partition: AssignedPartition, position: KnownPosition, committed: number | null) => {
      if (partition.status !== "active") return
      const { sought } = partition
      // After a seek everything is committed again as it is processed, also where that is before the last commit.
      if (sought === undefined) partition.start(position, committed)
      else partition.start(sought, null)
      sight.onProgress()
      delivery.add(partition)
      fetcher.add(partition)
      this.#context.run()?.start(partition)
    }
    const startByPolicy = (partition: AssignedPartition, found: FoundPosition) => {
      startAt(partition, found, null)
      if (found.atEnd) {
        // Else a restart before the first commit would skip what came meanwhile.
        partition.settle(found.offset)
        committer.request()
      }
      sight.onReset(noOffsetReset(partition, found))
      return logNoOffset(partition, found, otherwise, whose)
    }
    return Effect.gen(function*() {
      const known = yield* (load === undefined
        ? untilFatal(cluster.settings, committedOffsets(group.groupId, coordinator, lookups, partitions))
        : storedOffsets(load, partitions))
      yield* Effect.forEach(partitions, (partition) => {
        const position = known.get(partition.key)
        if (position !== undefined) {
          return Effect.sync(() => startAt(partition, position, load === undefined ? position.offset : null))
        }
        // A partition whose leader does not answer holds up no other. Where the application has sought, no policy decides.
        const start: Effect.Effect<FoundPosition | undefined, KafkaError> = Effect.suspend(() =>
          partition.status === "active" && partition.sought === undefined
            ? startOtherwise(cluster, lookups, partition, fetch, otherwise, whose)
            : Effect.succeed(undefined)
        )
        return Effect.flatMap(untilFatal(cluster.settings, start), (found) => {
          if (partition.status !== "active") return Effect.void
          const { sought } = partition
          if (sought === undefined && found !== undefined) return startByPolicy(partition, found)
          if (sought !== undefined) startAt(partition, sought, null)
          return Effect.void
        })
      }, { concurrency: "unbounded", discard: true })
    })
  }

  /**
   * Lets what was delivered be processed and committed, up to the bound; nothing of it is delivered afterwards. Does not end
   * where the consumer closes meanwhile: it must not join again, or its last commit could come after a new owner's.
   */
  revoke(revoked: ReadonlyArray<TopicPartition>): Effect.Effect<void> {
    return Effect.flatMap(
      this.#inTurn(() => this.#isGivenUp ? Effect.succeed("left to a close") : this.#revoke(revoked)),
      (how) => how === "left to a close" ? Effect.never : Effect.void
    )
  }

  #revoke(revoked: ReadonlyArray<TopicPartition>): Effect.Effect<"given up" | "left to a close"> {
    const { committer, source } = this.#context
    const partitions = revoked.flatMap((each) => this.#owned.get(topicPartitionKey(each)) ?? [])
    if (partitions.length === 0) return Effect.succeed("given up")
    for (const partition of partitions) {
      source.fetcher.remove(partition, partition.drain())
      source.delivery.remove(partition)
    }
    const untilClose = (self: Effect.Effect<void>): Effect.Effect<void> =>
      Effect.interruptible(firstOf(self, this.#closed.await))
    // Without time left to join, this member would be out of the group.
    const bound = this.#withinRebalance(0.5)
    const drained = untilClose(this.#processed(partitions)).pipe(
      Effect.timeoutOption(bound),
      Effect.flatMap((done) =>
        Option.isSome(done) ? Effect.void : Effect.logWarning(
          `${partitions.length} revoked partitions were not drained within ${
            Duration.format(bound)
          }: what was delivered and not committed is delivered again`
        )
      )
    )
    const commitBound = this.#withinRebalance(0.2)
    const flushed = untilClose(committer.flush(partitions)).pipe(
      Effect.timeoutOption(commitBound),
      Effect.flatMap((done) =>
        Option.isSome(done) ? Effect.void : Effect.logWarning(
          `not all of ${partitions.length} revoked partitions was committed within ${Duration.format(commitBound)}`
        )
      )
    )
    return Effect.gen(this, function*() {
      yield* drained
      if (this.#isGivenUp) return "left to a close" as const
      for (const partition of partitions) this.#told.add(partition)
      yield* this.#runHook("onRevoked", partitions)
      yield* flushed
      return this.#isGivenUp ? "left to a close" as const : "given up" as const
    }).pipe(
      Effect.onExit((exit) => {
        if (Exit.isSuccess(exit) && exit.value === "left to a close") return Effect.void
        // Cut short: all is lost.
        const _tag = Exit.isSuccess(exit) ? "Revoked" : "Lost"
        this.#context.sight.publish({ _tag, partitions: plain(partitions) })
        return Effect.zipRight(
          this.end(partitions),
          _tag === "Lost" ? this.#runHook("onLost", partitions) : Effect.void
        )
      })
    )
  }

  /** The consumer closes: nothing more is taken. */
  beginClose(): void {
    this.#isClosing = true
  }

  /** The consumer closes, and gives all up: what was processed of it is to be committed after this. */
  readonly revokedByClose: Effect.Effect<void> = Effect.suspend(() => {
    this.#isGivenUp = true
    this.#closed.unsafeOpen()
    return this.#givenUpByClose
  })

  readonly #givenUpByClose: Effect.Effect<void> = this.#inTurn(() => {
    const partitions = Array.from(this.#owned.values())
    if (partitions.length === 0) return Effect.void
    const untold = partitions.filter((partition) => !this.#told.has(partition))
    return Effect.zipRight(
      untold.length === 0 ? Effect.void : this.#runHook("onRevoked", untold),
      Effect.sync(() => this.#context.sight.publish({ _tag: "Revoked", partitions: plain(partitions) }))
    )
  })

  #inTurn<A>(self: () => Effect.Effect<A>): Effect.Effect<A> {
    return this.#turn.use(Effect.suspend(self))
  }

  #withinRebalance(share: number): Duration.Duration {
    const { drainTimeout, rebalanceTimeout } = this.#context.group
    return Duration.min(drainTimeout, Duration.times(rebalanceTimeout, share))
  }

  /** The application's own, which may neither fail nor hold up a rebalance. */
  #runHook(
    name: "onAssigned" | "onRevoked" | "onLost",
    partitions: ReadonlyArray<AssignedPartition>
  ): Effect.Effect<void> {
    const { groupId, hooks } = this.#context.group
    const hook = { onAssigned: hooks.assigned, onRevoked: hooks.revoked, onLost: hooks.lost }[name]
    if (hook === undefined) return Effect.void
    const bound = this.#withinRebalance(0.25)
    return Effect.suspend(() => bounded(Effect.exit(hook(plain(partitions))), bound)).pipe(
      Effect.flatMap(Option.match({
        onNone: () => Effect.logError(`group ${groupId}: ${name} did not end within ${Duration.format(bound)}`),
        onSome: (exit) =>
          Exit.isSuccess(exit) ? Effect.void : Effect.logError(`group ${groupId}: ${name} failed`, exit.cause)
      }))
    )
  }

  /** Waits until all that was delivered of these is processed, as far as that can be seen. */
  #processed(partitions: ReadonlyArray<AssignedPartition>): Effect.Effect<void> {
    const run = this.#context.run()
    if (run !== undefined) return Effect.forEach(partitions, (partition) => run.idle(partition), { discard: true })
    const { delivery } = this.#context.source
    const committed = Effect.suspend(() => {
      if (!this.#context.commitsByHand()) return Effect.void
      const delivered = partitions.flatMap((partition) =>
        partition.deliveredEnd === undefined || !delivery.isRead(partition)
          ? []
          : [{ partition, generation: partition.generation, offset: partition.deliveredEnd, revision: 0 }]
      )
      return Effect.ignore(this.#context.committer.commit(delivered))
    })
    // What a stream is up to shows when it has done with its first chunk.
    return this.#context.commitsByHand() ? committed : Effect.zipRight(delivery.idle(partitions), committed)
  }

  /** All is lost: others may own it already. */
  lose(): Effect.Effect<void> {
    return this.#lose(() => true, (count) => `this member is no longer in it; ${count} partitions are lost`)
  }

  /** Topics were deleted: nothing of them can be processed or committed any more. */
  loseTopics(topics: ReadonlyArray<string>): Effect.Effect<void> {
    return this.#lose(
      ({ topic }) => topics.includes(topic),
      (count) => `${topics.join(", ")}: there is no such topic any more; ${count} partitions are lost`
    )
  }

  #lose(which: (partition: AssignedPartition) => boolean, why: (count: number) => string): Effect.Effect<void> {
    return this.#inTurn(() => {
      const partitions = Array.from(this.#owned.values()).filter(which)
      if (partitions.length === 0) return Effect.void
      this.#context.sight.publish({ _tag: "Lost", partitions: plain(partitions) })
      return Effect.zipRight(
        Effect.logWarning(`group ${this.#context.group.groupId}: ${why(partitions.length)}`),
        Effect.zipRight(this.end(partitions), this.#runHook("onLost", partitions))
      )
    })
  }

  /** Ends partitions at once: nothing of them is delivered, processed or committed any more. */
  end(partitions: ReadonlyArray<AssignedPartition>): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { committer, source } = this.#context
      for (const partition of partitions) {
        source.fetcher.remove(partition, partition.end())
        source.delivery.remove(partition)
        if (this.#owned.get(partition.key) === partition) this.#owned.delete(partition.key)
      }
      this.#context.sight.assigned()
      committer.checkWaiters()
      const run = this.#context.run()
      return run === undefined
        ? Effect.void
        : Effect.forEach(partitions, (partition) => run.lose(partition), { concurrency: "unbounded", discard: true })
    })
  }
}

const plain = (partitions: ReadonlyArray<AssignedPartition>): ReadonlyArray<TopicPartition> =>
  partitions.map(({ partition, topic }) => ({ topic, partition }))
