import * as Effect from "effect/Effect"

import type { KafkaError } from "../../KafkaError.ts"
import type { Cluster } from "../cluster/cluster.ts"
import type { ConnectionPool } from "../cluster/pool.ts"
import { untilFatal } from "../cluster/retry.ts"
import { fromCode, malformed } from "../errors.ts"
import { leavesUnowned } from "../kernel/assignmentDiff.ts"
import type { Assignor, GroupMember } from "../kernel/assignor.ts"
import { DescribeGroups } from "../protocol/api/describeGroups.ts"
import type { JoinGroup } from "../protocol/api/joinGroup.ts"
import type { ResponseOf } from "../protocol/field.ts"
import type { Coordinator } from "./coordinator.ts"
import { decodeAssignment, decodeSubscription, encodeAssignment } from "./groupProtocol.ts"
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
  #leavesUnowned: Effect.Effect<boolean> | undefined

  constructor(cluster: Cluster, settings: GroupSettings, coordinator: Coordinator, pool: ConnectionPool) {
    this.#cluster = cluster
    this.#settings = settings
    this.#coordinator = coordinator
    this.#pool = pool
  }

  /**
   * Whether partitions are without an owner although the rebalance is over, for as long as it takes to know; undefined
   * where each has one.
   */
  get leavesUnowned(): Effect.Effect<boolean> | undefined {
    return this.#leavesUnowned
  }

  /** Another member may lead. */
  resign(): void {
    this.#counts = undefined
    this.#leavesUnowned = undefined
  }

  /** What each member gets. */
  assign(assignor: Assignor, members: JoinedMembers): Effect.Effect<ReadonlyArray<MemberAssignment>, KafkaError> {
    return Effect.gen(this, function*() {
      const described = yield* this.#read(assignor, members)
      const counts = yield* this.#lookUp(described)
      const assignment = assignor.assign(described, counts)
      this.#counts = counts
      // What is held back is asked for by its owner, when it has given it up. One that died before, and was back within its
      // session, knows nothing of that.
      this.#leavesUnowned = leavesUnowned(counts, Array.from(assignment.values()).flat())
        ? Effect.as(Effect.sleep(this.#settings.rebalanceTimeout), true)
        : undefined
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
      this.#leavesUnowned = this.#findUnowned(counts)
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

  #findUnowned(counts: ReadonlyMap<string, number>): Effect.Effect<boolean> {
    const { groupId } = this.#settings
    const described = Effect.flatMap(
      this.#coordinator.connection(this.#pool),
      (connection) => connection.request(DescribeGroups, { groups: [groupId] })
    )
    const asked = Effect.flatMap(described, ({ groups: [group] }) => {
      if (group === undefined) return Effect.fail(malformed(groupId, "the answer to DescribeGroups", "no group"))
      if (group.errorCode !== 0) {
        return Effect.fail(
          fromCode(group.errorCode, { operation: `DescribeGroups of group ${groupId}`, scope: "client" })
        )
      }
      // In a rebalance nobody has anything; of that a member hears by its heartbeat.
      if (group.groupState !== "Stable") return Effect.succeed(false)
      return Effect.try({
        try: () =>
          leavesUnowned(counts, group.members.flatMap(({ memberAssignment }) => decodeAssignment(memberAssignment))),
        catch: (cause) => malformed(groupId, "a member's assignment", cause)
      })
    })
    return untilFatal(
      this.#cluster.settings,
      Effect.tapError(asked, (error) => Effect.sync(() => this.#coordinator.forgetAfter(error)))
    ).pipe(
      Effect.catchAll((error) => Effect.as(Effect.logWarning(`group ${groupId}: ${error.message}`), false))
    )
  }
}
