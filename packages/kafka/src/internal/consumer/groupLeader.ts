import * as Effect from "effect/Effect"

import type { KafkaError } from "../../KafkaError.ts"
import type { Cluster } from "../cluster/cluster.ts"
import type { ConnectionPool } from "../cluster/pool.ts"
import { pause } from "../cluster/retry.ts"
import { fromCode, malformed } from "../errors.ts"
import { ownershipOf, type Share } from "../kernel/assignmentDiff.ts"
import type { Assignor, GroupMember } from "../kernel/assignor.ts"
import type { TopicPartition } from "../kernel/topicPartition.ts"
import { DescribeGroups } from "../protocol/api/describeGroups.ts"
import type { JoinGroup } from "../protocol/api/joinGroup.ts"
import type { ResponseOf } from "../protocol/field.ts"
import type { Coordinator } from "./coordinator.ts"
import { decodeAssignment, decodeSubscription, encodeAssignment } from "./groupProtocol.ts"
import { logRetry } from "./logRetry.ts"
import type { GroupSettings } from "./options.ts"

type JoinedMembers = ResponseOf<typeof JoinGroup>["members"]

/** What the coordinator hands to a member. */
export interface MemberAssignment {
  readonly memberId: string
  readonly assignment: Uint8Array
}

/** What a member does as the leader of its group: it shares out the partitions, and sees to it that each has an owner. */
export class GroupLeader {
  readonly #cluster: Cluster
  readonly #settings: GroupSettings
  readonly #coordinator: Coordinator
  readonly #pool: ConnectionPool
  /** The partition counts that the group's assignment is of; undefined while another member leads. */
  #counts: ReadonlyMap<string, number> | undefined
  #untilUnowned: Effect.Effect<void> = Effect.never

  /** `pool` is for requests of which each may keep a connection to itself. */
  constructor(cluster: Cluster, settings: GroupSettings, coordinator: Coordinator, pool: ConnectionPool) {
    this.#cluster = cluster
    this.#settings = settings
    this.#coordinator = coordinator
    this.#pool = pool
  }

  /** Until the partitions are to be shared out again, since some have no owner, and no member is to ask for them. */
  get untilUnowned(): Effect.Effect<void> {
    return this.#untilUnowned
  }

  /** Another member may lead. */
  resign(): void {
    this.#counts = undefined
    this.#untilUnowned = Effect.never
  }

  /** What each member gets. */
  assign(assignor: Assignor, members: JoinedMembers): Effect.Effect<ReadonlyArray<MemberAssignment>, KafkaError> {
    return Effect.gen(this, function*() {
      const described = yield* this.#read(assignor, members)
      const counts = yield* this.#lookUp(described)
      const assignment = assignor.assign(described, counts)
      const shares = described.map((member) => shareOf(assignor, member, assignment.get(member.memberId) ?? []))
      this.#counts = counts
      // Who gives up what was held back joins again then. But one that died before, and was back within its session, knows
      // nothing of it.
      if (ownershipOf(counts, shares) !== "owned") this.#untilUnowned = this.#askLater(assignor, counts)
      return Array.from(assignment, ([memberId, partitions]) => ({
        memberId,
        assignment: encodeAssignment(partitions)
      }))
    })
  }

  /**
   * A static leader that came back leaves everything as it is (KIP-814): it is told neither what was assigned nor by which
   * counts, so it asks.
   */
  comeBack(assignor: Assignor, members: JoinedMembers): Effect.Effect<void, KafkaError> {
    return Effect.gen(this, function*() {
      const counts = yield* this.#lookUp(yield* this.#read(assignor, members))
      this.#counts = counts
      this.#untilUnowned = this.#ask(assignor, counts)
    })
  }

  /** Whether topics have other partition counts than the group's assignment is of. */
  hasOtherCounts(): boolean {
    if (this.#counts === undefined) return false
    const { topics } = this.#cluster.metadata()
    for (const [topic, count] of this.#counts) {
      const known = topics.get(topic)
      if (known !== undefined && known.errorCode === 0 && known.partitions.length !== count) return true
    }
    return false
  }

  #read(assignor: Assignor, members: JoinedMembers): Effect.Effect<ReadonlyArray<GroupMember>, KafkaError> {
    return Effect.try({
      try: () => members.map((member) => decodeSubscription(assignor.name, member)),
      catch: (cause) => malformed(this.#settings.groupId, "a member's subscription", cause)
    })
  }

  /** How many partitions the members' topics have. */
  #lookUp(members: ReadonlyArray<GroupMember>): Effect.Effect<ReadonlyMap<string, number>, KafkaError> {
    return Effect.gen(this, function*() {
      const counts = new Map<string, number>()
      for (const topic of new Set(members.flatMap((member) => member.topics))) {
        const metadata = yield* Effect.either(this.#cluster.topic(topic))
        if (metadata._tag === "Left") {
          // Only what the cluster itself says of a topic may take its partitions from the members.
          if (metadata.left.reason.code === undefined) return yield* Effect.fail(metadata.left)
          yield* Effect.logWarning(`group ${this.#settings.groupId}: ${metadata.left.message}`)
        }
        counts.set(topic, metadata._tag === "Right" ? metadata.right.partitions.length : 0)
      }
      return counts
    })
  }

  /** Asks the coordinator, again and again while members are to give something up. */
  #ask(assignor: Assignor, counts: ReadonlyMap<string, number>, failures = 0): Effect.Effect<void> {
    return Effect.matchEffect(this.#ownership(assignor, counts), {
      onSuccess: (ownership) => {
        switch (ownership) {
          case "owned":
            return Effect.never
          case "claimed":
            return this.#askLater(assignor, counts)
          case "unowned":
            return Effect.logDebug(`group ${this.#settings.groupId}: partitions have no owner; the leader joins again`)
        }
      },
      onFailure: (error) => {
        this.#coordinator.forgetAfter(error)
        return Effect.zipRight(
          logRetry(failures + 1, `group ${this.#settings.groupId}: not known what was assigned: ${error.message}`),
          Effect.zipRight(
            pause(this.#cluster.settings, failures + 1),
            Effect.suspend(() => this.#ask(assignor, counts, failures + 1))
          )
        )
      }
    })
  }

  #askLater(assignor: Assignor, counts: ReadonlyMap<string, number>): Effect.Effect<void> {
    return Effect.delay(Effect.suspend(() => this.#ask(assignor, counts)), this.#settings.rebalanceTimeout)
  }

  #ownership(
    assignor: Assignor,
    counts: ReadonlyMap<string, number>
  ): Effect.Effect<ReturnType<typeof ownershipOf>, KafkaError> {
    return Effect.gen(this, function*() {
      const { groupId } = this.#settings
      const connection = yield* this.#coordinator.connection(this.#pool)
      const { groups: [group] } = yield* connection.request(DescribeGroups, { groups: [groupId] }, {
        closeOnInterrupt: true
      })
      if (group === undefined) return yield* Effect.fail(malformed(groupId, "the answer to DescribeGroups", "no group"))
      if (group.errorCode !== 0) {
        const operation = `DescribeGroups of group ${groupId}`
        return yield* Effect.fail(fromCode(group.errorCode, { operation, scope: "client" }))
      }
      // In a rebalance nobody has anything yet: this member will hear of it by its heartbeat.
      if (group.groupState !== "Stable") return "claimed"
      return yield* Effect.try({
        try: () =>
          ownershipOf(
            counts,
            group.members.map(({ memberAssignment, memberMetadata, ...member }) => {
              const described = decodeSubscription(assignor.name, { ...member, metadata: memberMetadata })
              return shareOf(assignor, described, decodeAssignment(memberAssignment))
            })
          ),
        catch: (cause) => malformed(groupId, "what a member said, or was given", cause)
      })
    })
  }
}

/** Under the eager protocol a member holds nothing as it joins, whatever it says that it had before. */
const shareOf = (
  { protocol }: Assignor,
  { ownedPartitions, topics }: GroupMember,
  assigned: ReadonlyArray<TopicPartition>
): Share => ({ topics, claimed: protocol === "eager" ? [] : ownedPartitions, assigned })
