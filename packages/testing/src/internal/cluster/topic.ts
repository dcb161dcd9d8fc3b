import type { PartitionLog } from "./log.ts"
import { ProducerState } from "./producerState.ts"

/** The id of no topic. */
export const noTopicId = "AAAAAAAAAAAAAAAAAAAAAA"

/** No broker leads the partition. */
export const noLeader = -1

/** One partition: who leads it, and its log, which all replicas share since followers are never behind here. */
export class Partition {
  readonly topicName: string
  readonly index: number
  /** Broker ids; the first is the preferred leader. */
  readonly replicas: ReadonlyArray<number>
  /** The replicas that may become leader. The last one stays in it when its broker stops. */
  inSyncReplicas: ReadonlyArray<number>
  /** {@link noLeader} if no broker can lead it. */
  leader: number
  leaderEpoch = 0
  readonly log: PartitionLog
  readonly producers = new ProducerState()
  private readonly watchers = new Set<() => void>()

  constructor(options: {
    readonly topicName: string
    readonly index: number
    readonly replicas: ReadonlyArray<number>
    readonly inSyncReplicas: ReadonlyArray<number>
    readonly log: PartitionLog
  }) {
    this.topicName = options.topicName
    this.index = options.index
    this.replicas = options.replicas
    this.inSyncReplicas = options.inSyncReplicas
    this.leader = options.inSyncReplicas[0] ?? noLeader
    this.log = options.log
  }

  /** Calls `onChange` whenever the log grows or the leader changes; the result stops that. */
  watch(onChange: () => void): () => void {
    this.watchers.add(onChange)
    return () => this.watchers.delete(onChange)
  }

  /** To be called after a change that those who watch wait for. */
  notify(): void {
    if (this.watchers.size > 0) { for (const onChange of Array.from(this.watchers)) onChange() }
  }
}

/** A topic. */
export interface Topic {
  readonly name: string
  /** As the protocol prints it: 22 characters of base64url. */
  readonly id: string
  readonly isInternal: boolean
  readonly partitions: ReadonlyArray<Partition>
  /** `max.message.bytes`. */
  readonly maxMessageBytes: number
  /** `min.insync.replicas`. */
  readonly minInsyncReplicas: number
}

/** The topics of a cluster, by name and by id. */
export class Topics {
  private readonly byName = new Map<string, Topic>()
  private readonly namesById = new Map<string, string>()

  get(name: string): Topic | undefined {
    return this.byName.get(name)
  }

  getById(id: string): Topic | undefined {
    const name = this.namesById.get(id)
    return name === undefined ? undefined : this.byName.get(name)
  }

  partition(name: string, index: number): Partition | undefined {
    return this.byName.get(name)?.partitions[index]
  }

  add(topic: Topic): void {
    this.byName.set(topic.name, topic)
    this.namesById.set(topic.id, topic.name)
  }

  delete(topic: Topic): void {
    this.byName.delete(topic.name)
    this.namesById.delete(topic.id)
  }

  /** In the order of their creation. */
  all(): IterableIterator<Topic> {
    return this.byName.values()
  }
}
