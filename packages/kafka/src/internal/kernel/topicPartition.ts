/** One partition of one topic. */
export interface TopicPartition {
  readonly topic: string
  readonly partition: number
}

/** A key that tells partitions apart in maps and sets: no two partitions share one, as a number has no dash. */
export const topicPartitionKey = (topicPartition: TopicPartition): string =>
  `${topicPartition.topic}-${topicPartition.partition}`

/** Orders partitions by topic, then by number. */
export const compareTopicPartitions = (left: TopicPartition, right: TopicPartition): number =>
  left.topic < right.topic ? -1 : left.topic > right.topic ? 1 : left.partition - right.partition
