import * as Effect from "effect/Effect"

import type { PositionReset } from "../../Consumer.ts"
import { FatalError, type KafkaError } from "../../KafkaError.ts"
import type { BrokerAddress } from "../../Transport.ts"
import type { Cluster } from "../cluster/cluster.ts"
import type { ConnectionPool } from "../cluster/pool.ts"
import { pauseMillis } from "../cluster/retry.ts"
import { fromCode, isFatal } from "../errors.ts"
import { type LogPosition } from "../kernel/endPosition.ts"
import { topicPartitionKey } from "../kernel/topicPartition.ts"
import { OffsetForLeaderEpoch } from "../protocol/api/offsetForLeaderEpoch.ts"
import type { Leaders } from "./leaders.ts"
import { logRetry } from "./logRetry.ts"
import type { FetchSettings } from "./options.ts"
import type { AssignedPartition } from "./partition.ts"
import { type KnownPosition, listOffset } from "./positions.ts"
import type { Troubles } from "./troubles.ts"

const unknownServerError = -1
const offsetOutOfRange = 1

/** What recovery needs of its fetcher. */
export interface RecoveryContext {
  readonly cluster: Cluster
  readonly lookups: ConnectionPool
  readonly settings: FetchSettings
  readonly leaders: Leaders
  readonly troubles: Troubles
  readonly now: () => number
  readonly random: () => number
  readonly fork: (effect: Effect.Effect<void>) => Effect.Effect<unknown>
  readonly onFatal: (error: KafkaError) => void
  readonly onReset: (reset: PositionReset) => void
  /** Bytes of a partition are no longer held, and it may be fetched on. */
  readonly consumed: (partition: AssignedPartition, bytes: number) => void
}

/**
 * What becomes of a partition that cannot simply be fetched on: errors, offsets
 * that its log does not have, logs that a new leader cut off. Each touches that
 * partition alone.
 */
export class Recovery {
  readonly #context: RecoveryContext

  constructor(context: RecoveryContext) {
    this.#context = context
  }

  /** The broker gave no error. */
  works(partition: AssignedPartition): void {
    if (partition.failures > 0) this.#context.troubles.clear(troubleOf(partition))
    partition.failures = 0
  }

  /** Nothing more is to be said of a partition. */
  forget(partition: AssignedPartition): void {
    this.#context.troubles.clear(troubleOf(partition))
  }

  /** Trouble with one partition, which touches that partition alone. */
  failed(partition: AssignedPartition, offset: number, code: number, operation = "Fetch"): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { leaders, onFatal, settings } = this.#context
      if (partition.status !== "active" || partition.fetchOffset !== offset) return Effect.void
      const error = fromCode(code, {
        operation,
        scope: "partition",
        topic: partition.topic,
        partition: partition.partition,
        detail: code === offsetOutOfRange ? `offset ${offset}` : undefined
      })
      // Whatever is wrong at another replica, the leader knows better.
      if (leaders.avoidReplicas(partition)) return this.#backOff(partition, error)
      if (code === offsetOutOfRange) {
        if (settings.reset === "fail") {
          onFatal(error)
          return Effect.void
        }
        // Not fetched meanwhile.
        partition.fetchOffset = undefined
        return Effect.asVoid(this.#context.fork(this.#reset(partition, offset)))
      }
      if (isFatal(error) && code !== unknownServerError) {
        onFatal(error)
        return Effect.void
      }
      leaders.wantMetadata()
      return this.#backOff(partition, error)
    })
  }

  /** Its topic was deleted and made anew: the position says nothing of the log that is there now. */
  recreated(partition: AssignedPartition): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { fetchOffset: offset, topic } = partition
      if (offset === undefined) return Effect.void
      const { fork, onFatal, settings } = this.#context
      if (settings.reset === "fail") {
        onFatal(fromCode(offsetOutOfRange, {
          operation: "Fetch",
          scope: "partition",
          topic,
          partition: partition.partition,
          detail: `offset ${offset} is of a topic that was deleted and made anew since`
        }))
        return Effect.void
      }
      partition.fetchOffset = undefined
      return Effect.asVoid(fork(this.#reset(partition, offset, "OffsetOutOfRange", "is of a topic that was deleted")))
    })
  }

  #backOff(partition: AssignedPartition, error: KafkaError): Effect.Effect<void> {
    const { cluster, now, random, troubles } = this.#context
    partition.failures++
    troubles.add(troubleOf(partition), partition.failures, error.message)
    partition.retryAt = now() + pauseMillis(cluster.settings, partition.failures, random())
    return logRetry(partition.failures, error.message)
  }

  /** Asks the new leader of partitions whether its log has what was read of the old ones'. */
  validate(address: BrokerAddress, partitions: ReadonlyArray<AssignedPartition>): Effect.Effect<void, KafkaError> {
    return Effect.gen(this, function*() {
      const { leaders, lookups } = this.#context
      const asked = partitions.map((partition) => ({
        partition,
        offset: partition.fetchOffset!,
        epoch: partition.fetchEpoch,
        leaderEpoch: leaders.leaderEpoch(partition)
      }))
      const connection = yield* lookups.get(address)
      // A broker without it can only be believed.
      if (connection.version(OffsetForLeaderEpoch) === undefined) {
        for (const { leaderEpoch, partition } of asked) partition.validatedEpoch = leaderEpoch
        return
      }
      const byTopic = new Map<string, Array<any>>()
      for (const { epoch, leaderEpoch, partition } of asked) {
        const wanted = { partition: partition.partition, currentLeaderEpoch: leaderEpoch, leaderEpoch: epoch }
        const others = byTopic.get(partition.topic)
        if (others === undefined) byTopic.set(partition.topic, [wanted])
        else others.push(wanted)
      }
      const { topics } = yield* connection.request(OffsetForLeaderEpoch, {
        replicaId: -1,
        topics: Array.from(byTopic, ([topic, partitions]) => ({ topic, partitions }))
      })
      const answers = new Map(
        topics.flatMap(({ partitions, topic }) =>
          partitions.map((answer) => [topicPartitionKey({ topic, partition: answer.partition }), answer] as const)
        )
      )
      yield* Effect.forEach(asked, ({ epoch, leaderEpoch, offset, partition }) => {
        if (partition.status !== "active" || partition.fetchOffset !== offset || partition.fetchEpoch !== epoch) {
          return Effect.void
        }
        const answer = answers.get(partition.key)
        if (answer === undefined || answer.errorCode !== 0) {
          return this.failed(partition, offset, answer?.errorCode ?? unknownServerError, "OffsetForLeaderEpoch")
        }
        partition.validatedEpoch = leaderEpoch
        return answer.endOffset >= offset
          ? Effect.void
          : this.#truncated(partition, offset, {
            offset: answer.endOffset,
            leaderEpoch: answer.leaderEpoch,
            validatedEpoch: leaderEpoch
          })
      }, { discard: true })
    })
  }

  /** A new leader's log ends, or goes on otherwise, before what was fetched. Never silent. */
  #truncated(partition: AssignedPartition, offset: number, end: KnownPosition): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { consumed, fork, onFatal, settings } = this.#context
      const { position, topic } = partition
      // Nothing that was delivered is concerned: only what was fetched ahead.
      if (end.offset >= position) {
        consumed(partition, partition.truncate(end))
        return Effect.void
      }
      if (settings.reset === "fail") {
        onFatal(
          new FatalError({
            reason: { _tag: "LogTruncated", topic, partition: partition.partition },
            scope: "partition",
            message: `topic ${topic}, partition ${partition.partition}: ${truncation(end)} before offset ${position}`
          })
        )
        return Effect.void
      }
      if (end.offset < 0) {
        // The leader does not know any such epoch.
        partition.fetchOffset = undefined
        return Effect.asVoid(fork(this.#reset(partition, offset, "LogTruncated")))
      }
      consumed(partition, partition.truncate(end))
      const why = `offset ${position} is past ${end.offset}, where a new leader cut the log off`
      return this.#tellReset(partition, "LogTruncated", position, partition.position, why, "as far as all is processed")
    })
  }

  /** The log does not have the offset: it was deleted, or never written. Never silent. */
  #reset(
    partition: AssignedPartition,
    offset: number,
    reason: "OffsetOutOfRange" | "LogTruncated" = "OffsetOutOfRange",
    why = reason === "OffsetOutOfRange" ? "is out of range" : "is not in the log of a new leader"
  ): Effect.Effect<void> {
    const { cluster, consumed, leaders, lookups, onFatal, settings: { readCommitted, reset } } = this.#context
    // The topic may be another one by now: its id is to be known with the position, or that is reset again for it.
    return Effect.ignore(cluster.refresh).pipe(
      Effect.zipRight(listOffset(cluster, lookups, partition, readCommitted, reset as "earliest" | "latest")),
      Effect.flatMap((start) => {
        // Another reader may have begun elsewhere.
        if (partition.status !== "active" || partition.fetchOffset !== undefined) return Effect.void
        const { from, released } = partition.reset(offset, start)
        consumed(partition, released)
        return this.#tellReset(partition, reason, from, start.offset, `offset ${offset} ${why}`, reset)
      }),
      Effect.catchAll((error) => {
        if (isFatal(error)) {
          onFatal(error)
          return Effect.void
        }
        partition.fetchOffset ??= offset
        leaders.wantMetadata()
        return Effect.zipRight(this.#backOff(partition, error), Effect.sync(() => consumed(partition, 0)))
      })
    )
  }

  #tellReset(
    { partition, topic }: AssignedPartition,
    reason: PositionReset["reason"],
    from: number,
    to: number,
    why: string,
    policy: string
  ): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.#context.onReset({
        _tag: "PositionReset",
        topic,
        partition,
        reason,
        from: BigInt(from),
        to: BigInt(to)
      })
      const skipped = to > from ? `; offsets ${from} to ${to - 1} are skipped` : ""
      return Effect.logWarning(
        `topic ${topic}, partition ${partition}: ${why}; goes on at ${to} (${policy})${skipped}`
      )
    })
  }
}

const truncation = ({ leaderEpoch, offset }: LogPosition): string =>
  offset < 0 ? "a new leader has another log" : `a new leader cut the log off at ${offset} (epoch ${leaderEpoch}),`

const troubleOf = (partition: AssignedPartition): string =>
  `fetch of topic ${partition.topic}, partition ${partition.partition}`
