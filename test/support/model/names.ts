import { CreateTopics } from "@sluice/kafka/internal/protocol/api/createTopics"
import { InitProducerId } from "@sluice/kafka/internal/protocol/api/initProducerId"
import { JoinGroup } from "@sluice/kafka/internal/protocol/api/joinGroup"
import { Metadata } from "@sluice/kafka/internal/protocol/api/metadata"
import type { AnyApi, ResponseOf } from "@sluice/kafka/internal/protocol/field"
import { zeroUuid } from "@sluice/kafka/internal/protocol/field"

/** What a member is called that nobody has ever met. */
export const nobody = "nobody-1"

/** The groups of a script that offsets are stored for. */
export const groupSlots = ["g1", "g2", "g3"]

/** The id of no topic that there is. */
export const strangeTopicId = "c3RyYW5nZS10b3BpYy0wMA"

/**
 * What each cluster calls the things of a script: a script says "the id of member m1", and each cluster has given its own.
 * Names of topics and groups are the same on both, and no other script has them.
 */
export class Names {
  readonly suffix: string
  private readonly memberIds = new Map<string, string>()
  private readonly generations = new Map<string, number>()
  private readonly producerIds = new Map<string, number>()
  private readonly topicIds = new Map<string, string>()
  /** By what the cluster says, what the script says. */
  private readonly labels = new Map<string | number, string>()

  constructor(suffix: string) {
    this.suffix = suffix
  }

  /** The name of a topic or group. */
  of(slot: string): string {
    return `${slot}-${this.suffix}`
  }

  isOwn(name: string | null): boolean {
    return name !== null && name.endsWith(`-${this.suffix}`)
  }

  memberId(slot: string): string {
    return this.memberIds.get(slot) ?? nobody
  }

  /** The last generation that a member was let into; 0 before. */
  generation(slot: string): number {
    return this.generations.get(slot) ?? 0
  }

  producerId(slot: string): number {
    return this.producerIds.get(slot) ?? 900_000_000 + Number(slot.slice(1))
  }

  topicId(slot: string): string {
    return this.topicIds.get(this.of(slot)) ?? strangeTopicId
  }

  /** What the script calls an id; the id itself if it has none for it. */
  label<Id extends string | number>(id: Id): Id | string {
    return this.labels.get(id) ?? id
  }

  /** Learns the ids in an answer. `slot` is the member or producer that asked. */
  learn(api: AnyApi, slot: string | undefined, answer: unknown): void {
    if (api === JoinGroup && slot !== undefined) {
      const { errorCode, generationId, memberId } = answer as ResponseOf<typeof JoinGroup>
      // A refusal may name an id, too, that was never told before: of a JoinGroup that was parked.
      if (memberId === "" || memberId === nobody) return
      if (!this.labels.has(memberId)) this.labels.set(memberId, this.nextLabel(`id of ${slot}`))
      if (errorCode !== 0 && errorCode !== memberIdRequired) return
      this.memberIds.set(slot, memberId)
      if (errorCode === 0) this.generations.set(slot, generationId)
    }
    if (api === InitProducerId && slot !== undefined) {
      const { errorCode, producerId } = answer as ResponseOf<typeof InitProducerId>
      if (errorCode !== 0) return
      this.labels.set(producerId, this.nextLabel(`id of ${slot}`))
      this.producerIds.set(slot, producerId)
    }
    if (api === CreateTopics || api === Metadata) {
      for (const { name, topicId } of (answer as ResponseOf<typeof Metadata | typeof CreateTopics>).topics) {
        if (!this.isOwn(name) || topicId === zeroUuid || this.labels.has(topicId)) continue
        this.labels.set(topicId, this.nextLabel(`id of ${name}`))
        this.topicIds.set(name!, topicId)
      }
    }
  }

  private nextLabel(text: string): string {
    const used = new Set(this.labels.values())
    let label = text
    for (let count = 2; used.has(label); count++) label = `${text}, ${count}`
    return label
  }
}

const memberIdRequired = 79
