import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"

import { FatalError, type KafkaError } from "../../KafkaError.ts"
import type { Cluster } from "../cluster/cluster.ts"
import { untilFatal } from "../cluster/retry.ts"
import type { Fibers } from "../fiber.ts"
import { type TopicPartition, topicPartitionKey } from "../kernel/topicPartition.ts"
import type { Committer } from "./committer.ts"
import type { Coordinator } from "./coordinator.ts"
import type { FetchSettings, GroupSettings } from "./options.ts"
import { AssignedPartition } from "./partition.ts"
import { committedOffsets, listOffset } from "./positions.ts"
import type { Run } from "./run.ts"
import type { Source } from "./source.ts"

/** What ownership needs of its consumer. */
export interface OwnershipContext {
  readonly group: GroupSettings
  readonly fetch: FetchSettings
  readonly cluster: Cluster
  readonly source: Source
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

  /** `owned` is what it keeps up to date. */
  constructor(context: OwnershipContext, owned: Map<string, AssignedPartition>) {
    this.#context = context
    this.#owned = owned
  }

  /** Takes partitions, and starts them in the background. */
  assign(added: ReadonlyArray<TopicPartition>, generationId: number): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (added.length === 0) return Effect.void
      const { fetch, fibers, source } = this.#context
      const partitions = added.map(({ partition, topic }) =>
        new AssignedPartition(fetch.subscription.definition(topic), partition, generationId)
      )
      for (const partition of partitions) {
        this.#owned.set(partition.key, partition)
        // Not fetched before it is started, but counted: the first that starts must not take the others' share.
        source.fetcher.add(partition)
      }
      return Effect.asVoid(fibers.fork(Effect.catchAll(
        this.#start(partitions),
        (error) => Effect.sync(() => this.#context.source.delivery.stop(error))
      )))
    })
  }

  /** Finds where each partition starts, and starts it. */
  #start(partitions: ReadonlyArray<AssignedPartition>): Effect.Effect<void, KafkaError> {
    const { cluster, committer, coordinator, fetch, group, source } = this.#context
    const { delivery, fetcher, lookups } = source
    const startAt = (partition: AssignedPartition, offset: number, committed: number | null) => {
      if (partition.status !== "active") return
      partition.start(offset, committed)
      if (committed === null && fetch.reset === "latest") {
        // Else a restart before the first commit would skip what came meanwhile.
        partition.settle(offset)
        committer.request()
      }
      delivery.add(partition)
      fetcher.add(partition)
      this.#context.run()?.start(partition)
    }
    return Effect.gen(function*() {
      const committed = yield* untilFatal(
        cluster.settings,
        committedOffsets(group.groupId, coordinator, lookups, partitions)
      )
      yield* Effect.forEach(partitions, (partition) => {
        const offset = committed.get(partition.key)
        if (offset !== undefined) return Effect.sync(() => startAt(partition, offset, offset))
        if (fetch.reset === "fail") return Effect.fail(noOffset(group.groupId, partition))
        // A partition whose leader does not answer holds up no other.
        const start = Effect.suspend(() =>
          partition.status === "active" ? listOffset(cluster, lookups, partition, fetch) : Effect.succeed(0)
        )
        return Effect.map(untilFatal(cluster.settings, start), (offset) => startAt(partition, offset, null))
      }, { concurrency: "unbounded", discard: true })
    })
  }

  /** Lets what was delivered be processed and committed, up to the bound; nothing of it is delivered afterwards. */
  revoke(revoked: ReadonlyArray<TopicPartition>): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { committer, group, source } = this.#context
      const partitions = revoked.flatMap((each) => this.#owned.get(topicPartitionKey(each)) ?? [])
      if (partitions.length === 0) return Effect.void
      for (const partition of partitions) {
        source.fetcher.remove(partition, partition.drain())
        source.delivery.remove(partition)
      }
      // Without time left to join, this member would be out of the group.
      const bound = Duration.min(group.drainTimeout, Duration.times(group.rebalanceTimeout, 0.5))
      return Effect.zipRight(this.#processed(partitions), committer.flush(partitions)).pipe(
        Effect.interruptible,
        Effect.timeoutOption(bound),
        Effect.flatMap((done) =>
          Option.isSome(done) ? Effect.void : Effect.logWarning(
            `${partitions.length} revoked partitions were not drained within ${
              Duration.format(bound)
            }: what was delivered and not committed is delivered again`
          )
        ),
        Effect.ensuring(Effect.suspend(() => this.end(partitions)))
      )
    })
  }

  /** Waits until all that was delivered of these is processed, as far as that can be seen. */
  #processed(partitions: ReadonlyArray<AssignedPartition>): Effect.Effect<void> {
    const run = this.#context.run()
    if (run !== undefined) return Effect.forEach(partitions, (partition) => run.laneEnded(partition), { discard: true })
    const { delivery } = this.#context.source
    const committed = Effect.suspend(() => {
      if (!this.#context.commitsByHand() || !delivery.hasReader) return Effect.void
      const delivered = partitions.flatMap((partition) =>
        partition.deliveredEnd === undefined ? [] : [{ partition, offset: partition.deliveredEnd }]
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
    return Effect.suspend(() => {
      const partitions = Array.from(this.#owned.values()).filter(which)
      return partitions.length === 0 ? Effect.void : Effect.zipRight(
        Effect.logWarning(`group ${this.#context.group.groupId}: ${why(partitions.length)}`),
        this.end(partitions)
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
      committer.checkWaiters()
      const run = this.#context.run()
      return run === undefined
        ? Effect.void
        : Effect.forEach(partitions, (partition) => run.lose(partition), { concurrency: "unbounded", discard: true })
    })
  }
}

const noOffset = (groupId: string, { partition, topic }: AssignedPartition): FatalError =>
  new FatalError({
    reason: { _tag: "OffsetOutOfRange", topic, partition },
    scope: "partition",
    message: `group ${groupId} has no offset for topic ${topic}, partition ${partition}, and \`reset\` is "fail"`
  })
