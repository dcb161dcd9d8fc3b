import type { ProduceError } from "../../KafkaError.ts"
import type { AnyRecord } from "../../Topic.ts"
import type { Cluster } from "../cluster/cluster.ts"
import { fromCode } from "../errors.ts"
import type { Accumulator, PendingRecord } from "../kernel/accumulator.ts"
import type { PartitionBuffer } from "../kernel/partitionBuffer.ts"
import { anyPartition, nextInTurn, nextSticky, stickyBytes } from "../kernel/partitioner.ts"
import type { Entry } from "./entry.ts"
import type { Routing } from "./partitioner.ts"

/** A topic's partitions, and where the last record without a key went; -1 before the first. */
interface TopicState {
  readonly name: string
  partitions: ReadonlyArray<PartitionBuffer<Entry>>
  current: number
  /** Bytes that the current one may still get before it is another's turn. */
  left: number
}

/** The topics that a producer sends to: their partitions, who leads them, and which one a record goes to. */
export class Topics {
  readonly #cluster: Cluster
  readonly #accumulator: Accumulator<Entry>
  readonly #partitioner: Routing
  readonly #random: () => number
  /** A partition of this broker, which it did not lead before, has something to send. */
  readonly #onReady: (leader: number) => void
  readonly #topics = new Map<string, TopicState>()
  /** Of the cluster's view that was taken over last. */
  #version = 0

  constructor(
    cluster: Cluster,
    accumulator: Accumulator<Entry>,
    partitioner: Routing,
    random: () => number,
    onReady: (leader: number) => void
  ) {
    this.#cluster = cluster
    this.#accumulator = accumulator
    this.#partitioner = partitioner
    this.#random = random
    this.#onReady = onReady
  }

  has(name: string): boolean {
    return this.#topics.has(name)
  }

  /** The topic is in the cluster's view. */
  add(name: string): void {
    if (!this.#topics.has(name)) this.#topics.set(name, { name, partitions: [], current: -1, left: 0 })
    this.#version = -1
    this.relearn()
  }

  /** By the newest view, of a topic that was added. */
  partitionCount(name: string): number {
    this.relearn()
    return this.#topics.get(name)!.partitions.length
  }

  /** Where a record goes, of a topic that was added: undefined if it asks for a partition that is not known, or there is none. */
  choose(record: AnyRecord, pending: PendingRecord): PartitionBuffer<Entry> | ProduceError | undefined {
    // Nobody may have needed the newest view of the cluster since it came.
    this.relearn()
    const topic = this.#topics.get(record.topic.name)!
    const { partitions } = topic
    if (record.partition !== undefined) return partitions[record.partition]
    const choice = this.#partitioner.choose(record, pending, partitions, this.#random)
    if (choice !== undefined) return typeof choice === "number" ? partitions[choice] : choice
    switch (this.#partitioner.withoutKey) {
      case "sticky":
        return this.#stick(topic, pending)
      case "roundRobin":
        return partitions[topic.current = nextInTurn(topic.current, partitions, this.#random)]
      case "random":
        return partitions[anyPartition(partitions, this.#random)]
    }
  }

  #stick(topic: TopicState, pending: PendingRecord): PartitionBuffer<Entry> | undefined {
    const { partitions } = topic
    const accumulator = this.#accumulator
    const current = partitions[topic.current]
    const isCrowded = (partition: PartitionBuffer<Entry>) => accumulator.isCrowded(partition, pending)
    if (
      current !== undefined && current.leader !== -1 && topic.left > 0 && accumulator.joinsBatch(current, pending) &&
      !isCrowded(current)
    ) {
      topic.left -= pending.size
      return current
    }
    topic.current = nextSticky(topic.current, partitions, isCrowded, this.#random)
    topic.left = stickyBytes - pending.size
    return partitions[topic.current]
  }

  /** Takes over leaders and new partitions from the newest view of the cluster. */
  relearn(): void {
    const metadata = this.#cluster.metadata()
    if (metadata.version === this.#version) return
    this.#version = metadata.version
    for (const state of this.#topics.values()) {
      const topic = metadata.topics.get(state.name)
      const gone = topic === undefined || topic.errorCode !== 0
      if (!gone && topic.partitions.length !== state.partitions.length) {
        state.partitions = topic.partitions.map((_, i) => this.#accumulator.partition(state.name, i))
      }
      const error = gone
        ? fromCode(topic?.errorCode ?? 3, { operation: "Metadata", scope: "topic", topic: state.name })
        : undefined
      for (const partition of state.partitions) {
        const leader = gone ? -1 : topic.partitions[partition.partition]?.leader ?? -1
        if (leader !== partition.leader || error !== undefined) partition.lastError = error
        if (leader === partition.leader) continue
        partition.leader = leader
        if (partition.hasQueued) this.#onReady(leader)
      }
    }
  }
}
