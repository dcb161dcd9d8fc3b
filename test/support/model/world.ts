import { CreateTopics } from "@sluice/kafka/internal/protocol/api/createTopics"

import type { Random } from "./random.ts"
import { type Step, step } from "./script.ts"

/** A partition, as far as the answers tell. */
export interface KnownPartition {
  start: number
  end: number
}

/** What one idempotent producer has done in one partition. */
export interface ProducerHistory {
  epoch: number
  nextSequence: number
  /** What was appended, the newest last. */
  readonly appended: Array<{ readonly epoch: number; readonly sequence: number; readonly count: number }>
}

/** A member of a group, as far as the answers tell. */
export interface KnownMember {
  readonly slot: string
  readonly group: string
  readonly connection: number
  readonly instanceId: string | null
  phase: "new" | "named" | "joined" | "stable" | "gone"
  protocolName: string | null
  isLeader: boolean
}

/** What the writer of a script knows when it writes the next step. */
export class World {
  readonly random: Random
  readonly topics = new Map<string, Array<KnownPartition>>()
  readonly producers = new Map<string, ProducerHistory>()
  /** By group, the ids that were given out and with which nobody was let in yet; and whose they are. */
  private readonly unusedIds = new Map<string, Map<string, string>>()
  readonly members: ReadonlyArray<KnownMember>

  constructor(random: Random) {
    this.random = random
    this.members = Array.from({ length: 5 }, (_, index) => ({
      slot: `m${index + 1}`,
      group: index < 3 || random.percent(60) ? "g1" : "g2",
      connection: index + 1,
      instanceId: index === 2 || index === 4 ? `static${index + 1}` : null,
      phase: "new",
      protocolName: null,
      isLeader: false
    }))
  }

  /** A topic that is there, for the most part. */
  topicSlot(): string {
    const known = Array.from(this.topics.keys())
    return known.length > 0 && this.random.percent(93) ? this.random.pick(known) : this.random.pick(["t1", "t2", "t7"])
  }

  /** A partition that is there, for the most part. */
  partitionOf(topic: string): number {
    const count = this.topics.get(topic)?.length ?? 1
    return this.random.percent(94) ? this.random.below(count) : this.random.pick([count, -1, 17])
  }

  known(topic: string, partition: number): KnownPartition | undefined {
    return this.topics.get(topic)?.[partition]
  }

  history(producer: string, topic: string, partition: number): ProducerHistory {
    const key = `${producer} ${topic} ${partition}`
    let history = this.producers.get(key)
    if (history === undefined) this.producers.set(key, history = { epoch: 0, nextSequence: 0, appended: [] })
    return history
  }

  /** A member was given an id to join with. */
  addUnusedId({ group, slot }: KnownMember, memberId: string): void {
    const ids = this.unusedIds.get(group) ?? new Map<string, string>()
    this.unusedIds.set(group, ids.set(memberId, slot))
  }

  /** Somebody was let in with an id, or has left with it. */
  removeUnusedId(group: string, memberId: string): void {
    this.unusedIds.get(group)?.delete(memberId)
  }

  /** Who has an id that nobody was let in with yet: one slot for each id. */
  slotsOfUnusedIds(group: string): ReadonlyArray<string> {
    return Array.from(this.unusedIds.get(group)?.values() ?? [])
  }

  addTopic(topic: string, partitions: number): void {
    this.topics.set(topic, Array.from({ length: partitions }, () => ({ start: 0, end: 0 })))
  }

  removeTopic(topic: string): void {
    this.topics.delete(topic)
    for (const key of this.producers.keys()) if (key.includes(` ${topic} `)) this.producers.delete(key)
  }
}

/** The settings of the topics that each script begins with: large batches are small enough to be sent often. */
export const maxMessageBytes = 700

/** The topics that a script begins with. */
export const firstSteps = (world: World): ReadonlyArray<Step> =>
  [["t1", 2], ["t2", 1]].map(([slot, numPartitions]) =>
    step(0, CreateTopics, 7, (names) => ({
      topics: [{
        name: names.of(slot as string),
        numPartitions: numPartitions as number,
        replicationFactor: 1,
        configs: [{ name: "max.message.bytes", value: String(maxMessageBytes) }]
      }]
    }), { observe: () => world.addTopic(slot as string, numPartitions as number) })
  )
