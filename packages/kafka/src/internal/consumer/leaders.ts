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
    const leaderEpoch = this.leaderEpoch(partition)
    const isThere = (broker: number): boolean => this.#cluster.address(broker) !== undefined
    if (
      !this.needsValidation(partition) && holdsStill(preferred, { leader, leaderEpoch, now: this.#now(), isThere })
    ) return preferred.broker
    this.unprefer(partition)
    return leader
  }

  /** The leader, in this epoch, wants the partition to be read from another replica. */
  prefer(partition: AssignedPartition, broker: number, leaderEpoch: number): void {
    const until = this.#now() + Duration.toMillis(this.#cluster.settings.metadataMaxAge)
    partition.preferred = { broker, leaderEpoch, until }
    this.#onMoved()
  }

  /** The leader is asked again. Says whether another replica was read from. */
  unprefer(partition: AssignedPartition): boolean {
    if (partition.preferred === undefined) return false
    partition.preferred = undefined
    this.#onMoved()
    return true
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
