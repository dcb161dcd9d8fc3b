/** A broker of the cluster, where clients reach it. */
export interface Broker {
  readonly id: number
  readonly host: string
  readonly port: number
}

/** What is known of a partition. */
export interface PartitionMetadata {
  readonly partition: number
  /** The leader's broker id; -1 while there is none. */
  readonly leader: number
  /** Grows with each election; -1 if not known. */
  readonly leaderEpoch: number
}

/** What is known of a topic: its partitions by index, or the error that the cluster gave. */
export interface TopicMetadata {
  readonly name: string
  /** Tells a topic from a deleted one of its name (KIP-516); undefined if the broker does not know ids. */
  readonly topicId?: string | undefined
  /** 0 if there is none; else the protocol's code, such as UNKNOWN_TOPIC_OR_PARTITION. */
  readonly errorCode: number
  readonly partitions: ReadonlyArray<PartitionMetadata>
}

/** One view of the cluster. `version` grows with every update. */
export interface ClusterMetadata {
  readonly version: number
  /** The broker that takes changes to topics; -1 if not known. */
  readonly controller: number
  readonly brokers: ReadonlyMap<number, Broker>
  readonly topics: ReadonlyMap<string, TopicMetadata>
}

/** Nothing is known yet. */
export const empty: ClusterMetadata = { version: 0, controller: -1, brokers: new Map(), topics: new Map() }

/**
 * The view after an answer. Topics that the answer does not name stay. A broker
 * that lags behind may answer with an old leader: a partition's leader epoch
 * never goes back (KIP-320), unless the topic is another one by the same name,
 * which shows in its id, or in a partition count that shrank.
 */
export const update = (
  known: ClusterMetadata,
  controller: number,
  brokers: ReadonlyArray<Broker>,
  answered: ReadonlyArray<TopicMetadata>
): ClusterMetadata => {
  const topics = new Map(known.topics)
  for (const topic of answered) {
    const before = topics.get(topic.name)
    topics.set(
      topic.name,
      before !== undefined && isSameTopic(before, topic)
        ? { ...topic, partitions: topic.partitions.map((fresh, i) => newest(before.partitions[i], fresh)) }
        : topic
    )
  }
  return {
    version: known.version + 1,
    controller,
    brokers: new Map(brokers.map((broker) => [broker.id, broker])),
    topics
  }
}

const isSameTopic = (before: TopicMetadata, fresh: TopicMetadata): boolean =>
  before.partitions.length <= fresh.partitions.length &&
  (before.topicId === undefined || fresh.topicId === undefined || before.topicId === fresh.topicId)

const newest = (before: PartitionMetadata | undefined, fresh: PartitionMetadata): PartitionMetadata =>
  before !== undefined && fresh.leaderEpoch !== -1 && before.leaderEpoch > fresh.leaderEpoch ? before : fresh
