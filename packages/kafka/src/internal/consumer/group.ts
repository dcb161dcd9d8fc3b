import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

import { FatalError, type KafkaError } from "../../KafkaError.ts"
import type { Cluster } from "../cluster/cluster.ts"
import type { ConnectionPool } from "../cluster/pool.ts"
import { pause, retrying } from "../cluster/retry.ts"
import { fromCode, isFatal, malformed } from "../errors.ts"
import { firstOf } from "../fiber.ts"
import {
  diffAssignment,
  losesAssignment,
  type Membership,
  missedGenerations,
  rejoinsAfterSync,
  revokedBeforeJoin
} from "../kernel/assignmentDiff.ts"
import { protocolOf } from "../kernel/assignors.ts"
import type { TopicPartition } from "../kernel/topicPartition.ts"
import { Heartbeat } from "../protocol/api/heartbeat.ts"
import { JoinGroup } from "../protocol/api/joinGroup.ts"
import { LeaveGroup } from "../protocol/api/leaveGroup.ts"
import { SyncGroup } from "../protocol/api/syncGroup.ts"
import type { Coordinator } from "./coordinator.ts"
import { GroupLeader, type MemberAssignment } from "./groupLeader.ts"
import { decodeAssignment, encodeSubscription, type Subscriber } from "./groupProtocol.ts"
import { logRetry } from "./logRetry.ts"
import type { GroupSettings } from "./options.ts"
import type { Subscription } from "./subscription.ts"
import type { Troubles } from "./troubles.ts"

const protocolType = "consumer"
/** A coordinator may say so often in a row, without a pause, that this member is to join once more. */
const maxRejoins = 3

const code = {
  illegalGeneration: 22,
  unknownMemberId: 25,
  rebalanceInProgress: 27,
  memberIdRequired: 79,
  fencedInstanceId: 82
} as const

/** What a group member tells its consumer. */
export interface GroupEvents {
  /** What it holds now. */
  readonly owned: () => ReadonlyArray<TopicPartition>
  /** To be drained, committed and given up, within the bound that the consumer sets. */
  readonly revoke: (partitions: ReadonlyArray<TopicPartition>) => Effect.Effect<void>
  /** To be started. */
  readonly assign: (partitions: ReadonlyArray<TopicPartition>) => Effect.Effect<void>
  /** All is lost: others may own it already. */
  readonly lose: () => Effect.Effect<void>
  /** It is about to join. */
  readonly onJoining: () => void
  /** It joined: what waits for a generation may go on. */
  readonly onJoined: () => void
  /** What fails, and is tried again. */
  readonly troubles: Troubles
}

/**
 * One member of a consumer group of the classic protocol: joins, takes its
 * assignment, and joins again when the group rebalances. The heartbeat has a
 * fiber and a connection of its own, so that no handler can hold it up.
 */
export class GroupMember {
  readonly #cluster: Cluster
  readonly #settings: GroupSettings
  readonly #subscription: Subscription
  readonly #coordinator: Coordinator
  /** For JoinGroup and SyncGroup, which wait for the other members, and what a leader asks between them. */
  readonly #joinPool: ConnectionPool
  /** For heartbeats, commits and leaving. */
  readonly #pool: ConnectionPool
  readonly #events: GroupEvents
  readonly #leader: GroupLeader
  #memberId = ""
  #generationId = -1
  /** In the group and not joining: heartbeats are due. */
  #inGroup = false
  /** Open when the group rebalances, or this member must join again. */
  readonly #rejoin = Effect.unsafeMakeLatch(false)
  /** Open when the assignment is gone; whoever learns of it opens it, and the member's fiber acts on it. */
  readonly #lost = Effect.unsafeMakeLatch(false)
  #isLost = false
  /** Another member has the name of this one. */
  #fenced: FatalError | undefined
  #missedBeats = 0
  /** What the leader was told that it owns. */
  #claimed: ReadonlyArray<TopicPartition> = []
  /** It gives up partitions that the leader gave to nobody yet: their next owners wait until it joins again. */
  #owesJoin = false
  /** What it was given last, and in which generation: told to a sticky assignor, also after it is given up. */
  #assigned: ReadonlyArray<TopicPartition> = []
  #assignedIn = -1

  constructor(
    cluster: Cluster,
    settings: GroupSettings,
    subscription: Subscription,
    coordinator: Coordinator,
    joinPool: ConnectionPool,
    pool: ConnectionPool,
    events: GroupEvents
  ) {
    this.#cluster = cluster
    this.#settings = settings
    this.#subscription = subscription
    this.#coordinator = coordinator
    this.#joinPool = joinPool
    this.#pool = pool
    this.#events = events
    this.#leader = new GroupLeader(cluster, settings, coordinator, joinPool)
  }

  get membership(): Membership {
    return { memberId: this.#memberId, generationId: this.#generationId }
  }

  /** Joins again: it subscribes to other topics. */
  rejoin(): void {
    this.#rejoin.unsafeOpen()
  }

  /** A coordinator's answer says that this member, as it was when it sent `sent`, is not in the group. */
  membershipError(errorCode: number, sent: Membership): void {
    // While it joins, the next generation may have begun without its knowledge: what the join is answered decides.
    if (!this.#inGroup || !losesAssignment(errorCode, sent, this.membership)) return
    // To join again would put the other one out.
    if (errorCode === code.fencedInstanceId) this.#fenced = fenced(this.#settings)
    else if (errorCode !== code.illegalGeneration) this.#memberId = ""
    this.#inGroup = false
    this.#isLost = true
    this.#lost.unsafeOpen()
    this.#rejoin.unsafeOpen()
  }

  /** The member's fiber. Ends only by a fatal error. */
  readonly run: Effect.Effect<never, FatalError> = Effect.suspend(() => {
    let failures = 0
    let rejoins = 0
    return Effect.forever(
      Effect.gen(this, function*() {
        this.#events.onJoining()
        yield* this.#revoke(
          revokedBeforeJoin(protocolOf(this.#settings.assignors), this.#events.owned(), this.#subscription.names)
        )
        if (this.#isLost) yield* this.#lose
        if (this.#fenced !== undefined) return yield* Effect.fail(this.#fenced)
        const joined = yield* Effect.either(this.#joinAndSync)
        if (joined._tag === "Left") {
          if (isFatal(joined.left)) {
            yield* this.#lose
            return yield* Effect.fail(joined.left)
          }
          this.#coordinator.forgetAfter(joined.left)
          failures++
          this.#events.troubles.add("join", failures, joined.left.message)
          yield* logRetry(failures, `joining group ${this.#settings.groupId} failed: ${joined.left.message}`)
          return yield* pause(this.#cluster.settings, failures)
        }
        failures = 0
        this.#events.troubles.clear("join")
        if (joined.right === "again") {
          return yield* ++rejoins > maxRejoins ? pause(this.#cluster.settings, rejoins - maxRejoins) : Effect.void
        }
        rejoins = 0
        const claimed = diffAssignment(this.#claimed, joined.right)
        const diff = diffAssignment(this.#events.owned(), joined.right)
        // Of what it claimed, too, and has lost since.
        this.#owesJoin = rejoinsAfterSync(protocolOf(this.#settings.assignors), claimed)
        yield* Effect.logDebug(
          `group ${this.#settings.groupId}, generation ${this.#generationId}: ${diff.kept.length} partitions kept, ${diff.added.length} added, ${claimed.revoked.length} revoked`
        )
        yield* this.#events.assign(diff.added)
        this.#events.onJoined()
        yield* this.#revoke(diff.revoked)
        if (!this.#owesJoin) yield* firstOf(this.#rejoin.await, this.#leader.untilUnowned)
      }) as Effect.Effect<void, FatalError>
    )
  })

  /** The heartbeat's fiber. */
  readonly heartbeat: Effect.Effect<never> = Effect.suspend(() =>
    Effect.forever(
      Effect.zipRight(
        // One that was missed is made up for soon: the session goes on.
        Effect.suspend(() =>
          this.#inGroup && this.#missedBeats > 0
            ? pause(this.#cluster.settings, this.#missedBeats)
            : Effect.sleep(this.#settings.heartbeatInterval)
        ),
        Effect.suspend(() => this.#inGroup ? this.#beat : Effect.void)
      )
    )
  )

  /** Leaves the group, so that its partitions find their next owners at once. Where its coordinator is found, one attempt. */
  readonly leave: Effect.Effect<void, KafkaError> = Effect.suspend(() => {
    this.#inGroup = false
    const { groupInstanceId } = this.#settings
    // A static member's place waits for it to come back; but what it owed to others waits for no one.
    if (this.#memberId === "" || groupInstanceId !== null && !this.#owesJoin) return Effect.void
    const memberId = this.#memberId
    this.#memberId = ""
    this.#generationId = -1
    const { settings } = this.#cluster
    const connected = retrying(
      settings,
      { operation: "LeaveGroup", deadline: settings.apiTimeout },
      () => this.#coordinator.connection(this.#pool)
    )
    return Effect.flatMap(connected, (connection) =>
      Effect.flatMap(
        connection.request(LeaveGroup, {
          groupId: this.#settings.groupId,
          members: [{ memberId, groupInstanceId, reason: "the consumer is closing" }]
        }),
        (response) =>
          response.errorCode === 0 ? Effect.void : Effect.fail(this.#error("LeaveGroup", response.errorCode))
      ))
  })

  /** Cut short when all is lost: what is not committed by then cannot be any more. */
  #revoke(partitions: ReadonlyArray<TopicPartition>): Effect.Effect<void> {
    return partitions.length === 0
      ? Effect.void
      : firstOf(this.#events.revoke(partitions), this.#lost.await)
  }

  readonly #lose: Effect.Effect<void> = Effect.suspend(() => {
    this.#isLost = false
    this.#lost.unsafeClose()
    this.#inGroup = false
    this.#owesJoin = false
    this.#generationId = -1
    return this.#events.lose()
  })

  readonly #beat: Effect.Effect<void> = Effect.suspend(() => {
    const sent = this.membership
    if (this.#leader.hasOtherCounts()) this.#rejoin.unsafeOpen()
    return Effect.flatMap(this.#coordinator.connection(this.#pool), (connection) =>
      connection.request(Heartbeat, {
        groupId: this.#settings.groupId,
        generationId: sent.generationId,
        memberId: sent.memberId,
        groupInstanceId: this.#settings.groupInstanceId
      }, { timeout: beatTimeout(this.#settings) })).pipe(
        Effect.flatMap((response) => {
          if (response.errorCode !== 0) return Effect.fail(this.#error("Heartbeat", response.errorCode))
          if (this.#missedBeats > 0) this.#events.troubles.clear("heartbeat")
          this.#missedBeats = 0
          return Effect.void
        }),
        Effect.catchAll((error) => {
          const errorCode = error.reason.code
          this.#coordinator.forgetAfter(error)
          if (errorCode === code.rebalanceInProgress) {
            // An answer that is older than the last join says nothing new.
            if (this.#inGroup && sent.generationId === this.#generationId) this.#rejoin.unsafeOpen()
            return Effect.void
          }
          if (errorCode !== undefined) this.membershipError(errorCode, sent)
          this.#missedBeats++
          this.#events.troubles.add("heartbeat", this.#missedBeats, error.message)
          return logRetry(this.#missedBeats, `heartbeat failed: ${error.message}`)
        })
      )
  })

  /** "again" where the group wants this member to join once more at once. */
  readonly #joinAndSync: Effect.Effect<ReadonlyArray<TopicPartition> | "again", KafkaError> = Effect.gen(
    this,
    function*() {
      this.#rejoin.unsafeClose()
      this.#inGroup = false
      this.#claimed = this.#events.owned()
      const self: Subscriber = {
        topics: this.#subscription.names,
        owned: this.#claimed,
        generationId: this.#generationId,
        assigned: this.#assigned,
        assignedIn: this.#assignedIn
      }
      const { assignors, groupId, groupInstanceId, rebalanceTimeout, sessionTimeout } = this.#settings
      const connection = yield* this.#coordinator.connection(this.#joinPool)
      const joined = yield* connection.request(JoinGroup, {
        groupId,
        sessionTimeoutMs: Duration.toMillis(sessionTimeout),
        rebalanceTimeoutMs: Duration.toMillis(rebalanceTimeout),
        memberId: this.#memberId,
        groupInstanceId,
        protocolType,
        protocols: assignors.map(({ name }) => ({ name, metadata: encodeSubscription(name, self) }))
      }, { timeout: Duration.sum(rebalanceTimeout, Duration.seconds(5)), closeOnInterrupt: true })
      switch (joined.errorCode) {
        case 0:
          break
        case code.memberIdRequired:
          this.#memberId = joined.memberId
          return "again"
        case code.unknownMemberId:
        case code.illegalGeneration:
          this.#memberId = ""
          yield* this.#lose
          return "again"
        case code.rebalanceInProgress:
          return "again"
        case code.fencedInstanceId:
          return yield* Effect.fail(fenced(this.#settings))
        default:
          return yield* Effect.fail(this.#error("JoinGroup", joined.errorCode))
      }
      if (groupInstanceId !== null && missedGenerations(this.#generationId, joined.generationId)) yield* this.#lose
      this.#memberId = joined.memberId
      this.#generationId = joined.generationId
      this.#owesJoin = false
      this.#inGroup = true
      this.#leader.resign()
      const assignor = assignors.find(({ name }) => name === joined.protocolName)
      if (assignor === undefined) {
        const problem = `an assignor that was not offered: ${joined.protocolName}`
        return yield* Effect.fail(malformed(groupId, "the answer to JoinGroup", problem))
      }
      let assignments: ReadonlyArray<MemberAssignment> = []
      if (joined.leader === joined.memberId) {
        if (joined.skipAssignment) yield* this.#leader.comeBack(assignor, joined.members)
        else assignments = yield* this.#leader.assign(assignor, joined.members)
      }
      const synced = yield* connection.request(SyncGroup, {
        groupId,
        generationId: joined.generationId,
        memberId: joined.memberId,
        groupInstanceId,
        protocolType,
        protocolName: assignor.name,
        assignments
      }, { timeout: Duration.sum(rebalanceTimeout, Duration.seconds(5)), closeOnInterrupt: true })
      switch (synced.errorCode) {
        case 0:
          this.#assigned = yield* this.#readAssignment(synced.assignment)
          this.#assignedIn = joined.generationId
          return this.#assigned
        case code.rebalanceInProgress:
          return "again"
        case code.unknownMemberId:
        case code.illegalGeneration:
          if (synced.errorCode === code.unknownMemberId) this.#memberId = ""
          yield* this.#lose
          return "again"
        case code.fencedInstanceId:
          return yield* Effect.fail(fenced(this.#settings))
        default:
          return yield* Effect.fail(this.#error("SyncGroup", synced.errorCode))
      }
    }
  )

  #readAssignment(bytes: Uint8Array): Effect.Effect<ReadonlyArray<TopicPartition>, FatalError> {
    return Effect.try({
      try: () => decodeAssignment(bytes).filter(({ topic }) => this.#subscription.names.has(topic)),
      catch: (cause) => malformed(this.#settings.groupId, "the assignment", cause)
    })
  }

  #error(operation: string, errorCode: number): KafkaError {
    return fromCode(errorCode, { operation: `${operation} of group ${this.#settings.groupId}`, scope: "client" })
  }
}

const fenced = ({ groupId, groupInstanceId }: GroupSettings): FatalError =>
  new FatalError({
    reason: { _tag: "FencedInstanceId", code: code.fencedInstanceId },
    scope: "client",
    message: `group ${groupId}: another member has joined as ${groupInstanceId}: each needs a name of its own`
  })

/** Short enough for a second heartbeat, over another connection, within the session: the first one may be in a silent one. */
const beatTimeout = ({ heartbeatInterval, sessionTimeout }: GroupSettings): Duration.Duration => {
  const session = Duration.toMillis(sessionTimeout)
  return Duration.millis(Math.max(session / 4, session / 2 - Duration.toMillis(heartbeatInterval)))
}
