import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

import { type KafkaError, RetriableError } from "../../KafkaError.ts"
import type { Cluster } from "../cluster/cluster.ts"
import type { ConnectionPool } from "../cluster/pool.ts"
import { pause } from "../cluster/retry.ts"
import { fromCode, isFatal } from "../errors.ts"
import { cancelable } from "../fiber.ts"
import type { Membership } from "../kernel/assignmentDiff.ts"
import {
  acked,
  type CommitPoint,
  type CommitPosition,
  failed,
  hasCommitted,
  refused,
  sent,
  toCommit
} from "../kernel/partitionCommit.ts"
import { OffsetCommit } from "../protocol/api/offsetCommit.ts"
import type { ResponseOf } from "../protocol/field.ts"
import type { Coordinator } from "./coordinator.ts"
import { logRetry } from "./logRetry.ts"
import type { GroupSettings } from "./options.ts"
import type { AssignedPartition } from "./partition.ts"
import type { Troubles } from "./troubles.ts"

const metadataTooLarge = 12
const rebalanceInProgress = 27

/** A partition, and what of it is to be committed at least. */
export interface CommitTarget extends CommitPoint {
  readonly partition: AssignedPartition
  /** In which it was delivered. */
  readonly generation: number
}

/** Why a request did not commit all, if it did not. */
interface Failures {
  /** To be tried again. */
  readonly again?: KafkaError | undefined
  /** It would be in vain, and nobody waits who could be told. */
  readonly untold?: KafkaError | undefined
}

/** When commits are due, and how often one is tried again. */
export interface CommitSettings {
  readonly commitInterval: Duration.Duration
  /** After so many records without waiting for the interval. */
  readonly commitCount: number
  /** How often a request is tried again before those that wait for it fail; the settled positions stay. */
  readonly commitRetries: number
  /** The pause before the first of these, doubled each time up to the other; undefined for the client's own. */
  readonly commitBackoff: Duration.Duration | undefined
  readonly commitBackoffMax: Duration.Duration | undefined
}

interface Waiter {
  readonly targets: ReadonlyArray<CommitTarget>
  readonly resume: (effect: Effect.Effect<void, KafkaError>) => void
}

/** What a committer needs of its consumer. */
export interface CommitContext {
  readonly group: GroupSettings
  readonly cluster: Cluster
  readonly coordinator: Coordinator
  readonly pool: ConnectionPool
  readonly membership: () => Membership
  readonly owned: () => Iterable<AssignedPartition>
  /** A coordinator's answer says that this member, as it was when it sent `sent`, is not in the group. */
  readonly onMembershipError: (code: number, sent: Membership) => void
  /** Offsets were committed. */
  readonly onCommitted: () => void
  readonly troubles: Troubles
}

/**
 * Commits what is settled: one OffsetCommit under way, each with the newest
 * position of every partition, retried while the partitions are owned.
 */
export class Committer {
  readonly #context: CommitContext
  readonly #wanted = Effect.unsafeMakeLatch(false)
  readonly #wantedSoon = Effect.unsafeMakeLatch(false)
  readonly #waiters = new Set<Waiter>()
  /** How many records were settled since the last request went out. */
  #uncommitted = 0

  constructor(context: CommitContext) {
    this.#context = context
  }

  /** Commits what is settled, now. */
  request(): void {
    this.#wanted.unsafeOpen()
  }

  /** So many records more are settled: they are committed with the next interval, or when there are enough of them. */
  requestSoon(records: number): void {
    this.#uncommitted += records
    if (this.#uncommitted >= this.#context.group.commitCount) this.request()
    else this.#wantedSoon.unsafeOpen()
  }

  /** The fiber that commits at intervals, while something was settled in them. */
  readonly runInterval: Effect.Effect<never> = Effect.suspend(() => {
    const { commitInterval } = this.#context.group
    return Effect.forever(Effect.gen(this, function*() {
      yield* this.#wantedSoon.await
      yield* Effect.sleep(commitInterval)
      this.#wantedSoon.unsafeClose()
      this.request()
    }))
  })

  /** Commits what is settled, and waits until these are. Fails where a partition is no longer owned. */
  commit(targets: ReadonlyArray<CommitTarget>): Effect.Effect<void, KafkaError> {
    return cancelable((resume) => {
      const waiter: Waiter = { targets, resume }
      if (!this.#settled(waiter)) {
        this.#waiters.add(waiter)
        this.request()
      }
      return () => this.#waiters.delete(waiter)
    })
  }

  /** Commits whatever of these is settled and still owned, and waits for it. */
  flush(partitions: Iterable<AssignedPartition>): Effect.Effect<void> {
    return Effect.suspend(() => {
      const targets = Array.from(partitions).flatMap((partition) =>
        partition.commit.position === null || partition.status === "ended"
          ? []
          : [{ ...partition.commit.position, partition, generation: partition.generation }]
      )
      return Effect.catchAll(this.commit(targets), (error) => Effect.logWarning(`not committed: ${error.message}`))
    })
  }

  /** Partitions were given up or lost, or go on elsewhere: nobody waits for them any longer. */
  checkWaiters(): void {
    for (const waiter of this.#waiters) if (this.#settled(waiter)) this.#waiters.delete(waiter)
  }

  #settled(waiter: Waiter): boolean {
    let open = false
    for (const target of waiter.targets) {
      const { generation, partition } = target
      const isSame = partition.generation === generation
      if (isSame && hasCommitted(partition.commit, target)) continue
      if (!isSame || partition.status === "ended") {
        waiter.resume(Effect.fail(notAssigned(partition.topic, partition.partition)))
        return true
      }
      open = true
    }
    if (!open) waiter.resume(Effect.void)
    return !open
  }

  /** The fiber that commits. */
  readonly run: Effect.Effect<never> = Effect.suspend(() => {
    const { commitRetries, groupId } = this.#context.group
    let failures = 0
    let attempts = 0
    return Effect.forever(Effect.gen(this, function*() {
      yield* this.#wanted.await
      this.#wanted.unsafeClose()
      this.#uncommitted = 0
      const membership = this.#context.membership()
      const batch: Array<CommitTarget & CommitPosition> = []
      for (const partition of this.#context.owned()) {
        const position = partition.status === "ended" ? null : toCommit(partition.commit)
        if (position !== null) batch.push({ partition, generation: partition.generation, ...position })
      }
      // The group member asks again when it has joined.
      if (batch.length === 0) this.#context.troubles.clear("commit")
      if (batch.length === 0 || membership.memberId === "") return
      for (const { partition } of batch) partition.commit = sent(partition.commit)
      const result = yield* Effect.either(this.#send(membership, batch)).pipe(
        Effect.onInterrupt(() =>
          Effect.sync(() => {
            for (const { partition } of batch) partition.commit = failed(partition.commit)
          })
        )
      )
      const { again, untold } = result._tag === "Left"
        ? this.#allFailed(batch, result.left)
        : this.#answered(batch, result.right, membership)
      this.checkWaiters()
      this.#context.onCommitted()
      const failure = again ?? untold
      failures = failure === undefined ? 0 : failures + 1
      if (failure === undefined) this.#context.troubles.clear("commit")
      else this.#context.troubles.add("commit", failures, failure.message)
      if (untold !== undefined) yield* Effect.logError(`group ${groupId}: not committed: ${untold.message}`)
      if (again === undefined) {
        attempts = 0
        return
      }
      yield* logRetry(failures, `commit failed: ${again.message}`)
      if (++attempts > commitRetries) {
        // What is settled stays so: it goes along with the next request.
        attempts = 0
        this.#wantedSoon.unsafeOpen()
        if (!this.#failWaiters(batch.map(({ partition }) => partition), again)) {
          yield* Effect.logWarning(`group ${groupId}: not committed: ${again.message}`)
        }
        return
      }
      yield* this.#pause(attempts)
      this.request()
    }))
  })

  #pause(failures: number): Effect.Effect<void> {
    const { settings: { retryBackoff, retryBackoffMax } } = this.#context.cluster
    const { commitBackoff = retryBackoff, commitBackoffMax = retryBackoffMax } = this.#context.group
    return pause(
      { retryBackoff: commitBackoff, retryBackoffMax: Duration.max(commitBackoff, commitBackoffMax) },
      failures
    )
  }

  #send(membership: Membership, batch: ReadonlyArray<CommitTarget & CommitPosition>) {
    const topics = new Map<string, Array<any>>()
    for (const { leaderEpoch, metadata, offset, partition } of batch) {
      let partitions = topics.get(partition.topic)
      if (partitions === undefined) topics.set(partition.topic, partitions = [])
      partitions.push({
        partitionIndex: partition.partition,
        committedOffset: offset,
        committedLeaderEpoch: leaderEpoch,
        committedMetadata: metadata
      })
    }
    const { coordinator, group, pool } = this.#context
    return Effect.flatMap(coordinator.connection(pool), (connection) =>
      connection.request(OffsetCommit, {
        groupId: group.groupId,
        groupInstanceId: group.groupInstanceId,
        generationIdOrMemberEpoch: membership.generationId,
        memberId: membership.memberId,
        topics: Array.from(topics, ([name, partitions]) => ({ name, partitions }))
      }))
  }

  #allFailed(batch: ReadonlyArray<CommitTarget>, error: KafkaError): Failures {
    this.#context.coordinator.forgetAfter(error)
    for (const { partition } of batch) partition.commit = failed(partition.commit)
    if (!isFatal(error)) return { again: error }
    return this.#failWaiters(batch.map(({ partition }) => partition), error) ? {} : { untold: error }
  }

  #answered(
    batch: ReadonlyArray<CommitTarget>,
    response: ResponseOf<typeof OffsetCommit>,
    membership: Membership
  ): Failures {
    const codes = new Map<string, number>()
    for (const topic of response.topics) {
      for (const answer of topic.partitions) codes.set(`${topic.name}-${answer.partitionIndex}`, answer.errorCode)
    }
    let again: KafkaError | undefined
    let untold: KafkaError | undefined
    let membershipError: number | undefined
    for (const target of batch) {
      const { partition } = target
      const code = codes.get(partition.key)
      if (code === 0) {
        partition.commit = acked(partition.commit, target)
        continue
      }
      partition.commit = code === metadataTooLarge ? refused(partition.commit) : failed(partition.commit)
      const error = fromCode(code ?? -1, {
        operation: "OffsetCommit",
        scope: "partition",
        topic: partition.topic,
        partition: partition.partition
      })
      this.#context.coordinator.forgetAfter(error)
      // Once the member has joined again the partition may still be its own.
      if (code === undefined || code === rebalanceInProgress || !isFatal(error)) again = error
      else if (code === 22 || code === 25 || code === 82) membershipError = code
      else if (!this.#failWaiters([partition], error)) untold = error
    }
    if (membershipError !== undefined) this.#context.onMembershipError(membershipError, membership)
    return { again, untold }
  }

  /** Says whether anybody waited. */
  #failWaiters(partitions: ReadonlyArray<AssignedPartition>, error: KafkaError): boolean {
    let any = false
    for (const waiter of this.#waiters) {
      if (waiter.targets.some(({ partition }) => partitions.includes(partition))) {
        any = true
        this.#waiters.delete(waiter)
        waiter.resume(Effect.fail(error))
      }
    }
    return any
  }
}

/** The partition is not owned in the generation of the record. */
export const notAssigned = (topic: string, partition: number): RetriableError =>
  new RetriableError({
    reason: { _tag: "NotAssigned", topic, partition },
    scope: "partition",
    message:
      `topic ${topic}, partition ${partition} is no longer assigned to this consumer as it was when the record was delivered; its new owner gets the record again`
  })
