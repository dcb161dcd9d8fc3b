import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

import type { Cluster } from "../cluster/cluster.ts"
import { pause } from "../cluster/retry.ts"
import { holdsStill } from "../kernel/readReplica.ts"
import { logRetry } from "./logRetry.ts"
import type { AssignedPartition } from "./partition.ts"
import type { Troubles } from "./troubles.ts"

/** So many newer views of the cluster are awaited that have the leader which a position is of. */
const maxStaleViews = 4

/** Where partitions are to be fetched, as far as it is known; asks the cluster for what is not. */
export class Leaders {
  readonly #cluster: Cluster
  readonly #troubles: Troubles
  readonly #now: () => number
  /** Partitions may be elsewhere now. */
  readonly #onMoved: () => void
  readonly #outdated = Effect.unsafeMakeLatch(false)
  #isOutdated = false

  constructor(cluster: Cluster, troubles: Troubles, now: () => number, onMoved: () => void) {
    this.#cluster = cluster
    this.#troubles = troubles
    this.#now = now
    this.#onMoved = onMoved
  }

  /** -1 for none. */
  leader({ partition, topic }: AssignedPartition): number {
    return this.#cluster.metadata().topics.get(topic)?.partitions[partition]?.leader ?? -1
  }

  /** -1 for unknown. */
  leaderEpoch({ partition, topic }: AssignedPartition): number {
    return this.#cluster.metadata().topics.get(topic)?.partitions[partition]?.leaderEpoch ?? -1
  }

  /** The broker to fetch from: the leader, or the replica that it named (KIP-392); -1 for none. */
  source(partition: AssignedPartition): number {
    const { preferred } = partition
    const leader = this.leader(partition)
    if (preferred === undefined) return leader
    if (this.#cluster.address(preferred.broker) === undefined) {
      this.avoidReplicas(partition)
      this.wantMetadata()
      return leader
    }
    const view = { leader, leaderEpoch: this.leaderEpoch(partition), now: this.#now() }
    if (!this.needsValidation(partition) && holdsStill(preferred, view)) return preferred.broker
    partition.preferred = undefined
    this.#onMoved()
    return leader
  }

  /** The leader, in this epoch, wants the partition to be read from another replica. */
  prefer(partition: AssignedPartition, broker: number, leaderEpoch: number): void {
    partition.preferred = { broker, leaderEpoch, until: this.#now() + this.#maxAge }
    this.#onMoved()
  }

  /**
   * The replica that was read from cannot be: the leader itself is read from for a time, since it would name the same one
   * again until it knows. Says whether there was one.
   */
  avoidReplicas(partition: AssignedPartition): boolean {
    if (partition.preferred === undefined) return false
    partition.preferred = undefined
    partition.leaderOnlyUntil = this.#now() + this.#maxAge
    this.#onMoved()
    return true
  }

  /** Whether the leader may name another replica. */
  mayPrefer(partition: AssignedPartition): boolean {
    return this.#now() >= partition.leaderOnlyUntil
  }

  get #maxAge(): number {
    return Duration.toMillis(this.#cluster.settings.metadataMaxAge)
  }

  /** The position is of a newer leader than the one that is known, which may not have it. */
  isStale(partition: AssignedPartition): boolean {
    const leaderEpoch = this.leaderEpoch(partition)
    const { version } = this.#cluster.metadata()
    if (leaderEpoch < 0 || partition.fetchEpoch <= leaderEpoch) {
      partition.staleSince = undefined
      return false
    }
    partition.staleSince ??= version
    if (version - partition.staleSince >= maxStaleViews) {
      // It is another topic of the name, whose epochs began anew.
      partition.fetchEpoch = -1
      return false
    }
    this.wantMetadata()
    return true
  }

  /** The topic was deleted and made anew since the position was found, which is of a log that is gone (KIP-516). */
  isOfAnotherTopic(partition: AssignedPartition): boolean {
    const topicId = this.#cluster.metadata().topics.get(partition.topic)?.topicId
    if (topicId === undefined || topicId === partition.formerTopicId) return false
    partition.topicId ??= topicId
    if (partition.topicId === topicId) return false
    partition.formerTopicId = partition.topicId
    return true
  }

  /** There is a newer leader than the last that was known to have the log up to the position (KIP-320). */
  needsValidation(partition: AssignedPartition): boolean {
    return partition.fetchEpoch >= 0 && this.leaderEpoch(partition) > partition.validatedEpoch
  }

  /** Has the cluster asked who leads what. */
  wantMetadata(): void {
    this.#isOutdated = true
    this.#outdated.unsafeOpen()
  }

  /** Asks when it is wanted, with pauses. */
  readonly refresh: Effect.Effect<never> = Effect.suspend(() => {
    let attempt = 0
    return Effect.forever(Effect.gen(this, function*() {
      yield* this.#outdated.await
      this.#outdated.unsafeClose()
      this.#isOutdated = false
      attempt++
      const refreshed = yield* Effect.either(this.#cluster.refresh)
      if (refreshed._tag === "Left") {
        this.#troubles.add("metadata", attempt, refreshed.left.message)
        yield* logRetry(attempt, `metadata cannot be refreshed: ${refreshed.left.message}`)
      } else {
        this.#troubles.clear("metadata")
      }
      this.#onMoved()
      yield* pause(this.#cluster.settings, attempt)
      // It may take a while until a partition has a leader again.
      if (!this.#isOutdated) attempt = 0
    }))
  })
}
