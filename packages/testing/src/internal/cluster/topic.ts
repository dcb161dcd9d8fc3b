import type { PartitionLog } from "./log.ts"
import { ProducerState } from "./producerState.ts"
import type { Timer } from "./timers.ts"

/** The id of no topic. */
export const noTopicId = "AAAAAAAAAAAAAAAAAAAAAA"

/** No broker leads the partition. */
export const noLeader = -1

/** A fetch of a follower that is under way. */
export interface FollowerFetch {
  /** Where the leader's log ended when it began: what it brings. */
  readonly upTo: number
  readonly begunAt: number
  readonly dueAt: number
}

/** How far a replica has come. It has of the partition's log what is before `endOffset`. */
export class Replica {
  readonly brokerId: number
  endOffset = 0
  fetch: FollowerFetch | undefined
  /** When it last had all that its leader had; whether it has it now, its end says. */
  caughtUpAt = 0

  constructor(brokerId: number) {
    this.brokerId = brokerId
  }
}

/**
 * One partition: who leads it, and its log. That is the leader's. Since only an in-sync replica may follow a leader, and
 * the log is cut down to what that one has, the log of each replica that ever leads is a beginning of it.
 */
export class Partition {
  readonly topicName: string
  readonly index: number
  /** Broker ids; the first is the preferred leader. */
  readonly replicas: ReadonlyArray<number>
  readonly replicaStates: ReadonlyArray<Replica>
  /** `min.insync.replicas`, of which there can be no more than there are replicas. */
  readonly minInSyncReplicas: number
  /** `unclean.leader.election.enable`: whether a replica that is not in sync leads where no other can. */
  readonly electsUnclean: boolean
  /** The replicas that may become leader. The last one stays in it when its broker stops. */
  inSyncReplicas: ReadonlyArray<number>
  /** {@link noLeader} if no broker can lead it. */
  leader: number
  leaderEpoch = 0
  /** Where the log ended when this leader began. */
  epochStartOffset = 0
  /** All in-sync replicas have what is before it, and consumers see no more. Truncated, and so less, only where one leads that was not in sync. */
  highWatermark = 0
  /** The next time that something happens by itself between leader and followers. */
  replicationTimer: Timer | undefined
  readonly log: PartitionLog
  readonly producers = new ProducerState()
  private readonly watchers = new Set<() => void>()
  private isHeld = false
  private hasChanged = false

  constructor(options: {
    readonly topicName: string
    readonly index: number
    readonly replicas: ReadonlyArray<number>
    readonly inSyncReplicas: ReadonlyArray<number>
    readonly minInSyncReplicas: number
    readonly electsUnclean: boolean
    readonly log: PartitionLog
  }) {
    this.topicName = options.topicName
    this.index = options.index
    this.replicas = options.replicas
    this.replicaStates = options.replicas.map((id) => new Replica(id))
    this.inSyncReplicas = options.inSyncReplicas
    this.minInSyncReplicas = Math.min(options.minInSyncReplicas, options.replicas.length)
    this.electsUnclean = options.electsUnclean
    this.leader = options.inSyncReplicas[0] ?? noLeader
    this.log = options.log
  }

  /** Whether so many replicas are in sync that something can be committed. */
  get hasEnoughReplicas(): boolean {
    return this.inSyncReplicas.length >= this.minInSyncReplicas
  }

  /** Where the log of one of the replicas ends. */
  endOffsetOf(brokerId: number): number {
    if (brokerId === this.leader) return this.log.endOffset
    return this.replicaStates.find((replica) => replica.brokerId === brokerId)!.endOffset
  }

  /** Calls `onChange` whenever the high watermark, the log's start or the leader changes; the result stops that. */
  watch(onChange: () => void): () => void {
    this.watchers.add(onChange)
    return () => this.watchers.delete(onChange)
  }

  /** Those who watch learn of nothing until {@link release}. */
  hold(): void {
    this.isHeld = true
  }

  /** Ends {@link hold}. */
  release(): void {
    const { hasChanged } = this
    this.isHeld = false
    this.hasChanged = false
    if (hasChanged) this.notify()
  }

  /** To be called after a change that those who watch wait for. */
  notify(): void {
    if (this.isHeld) {
      this.hasChanged = true
      return
    }
    if (this.watchers.size > 0) { for (const onChange of Array.from(this.watchers)) onChange() }
  }
}

/** A topic. */
export interface Topic {
  readonly name: string
  /** As the protocol prints it: 22 characters of base64url. */
  readonly id: string
  readonly isInternal: boolean
  /** They only become more. */
  readonly partitions: Array<Partition>
  /** `max.message.bytes`. */
  readonly maxMessageBytes: number
  /** `min.insync.replicas`. */
  readonly minInsyncReplicas: number
  /** `unclean.leader.election.enable`. */
  readonly electsUnclean: boolean
  /** `segment.bytes`. */
  readonly segmentBytes: number
  /** `retention.ms` and `retention.bytes`; -1 for ever and for any size, also for a topic that is not to be deleted from. */
  readonly retentionMs: number
  readonly retentionBytes: number
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
