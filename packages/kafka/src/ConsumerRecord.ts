/**
 * A record as it was consumed, and what it takes to commit it.
 *
 * @since 0.1.0
 */
import type * as Topic from "./Topic.ts"

/**
 * The place of a record, in the generation of the group in which it was
 * delivered: a plain value that can be kept, sent and committed later.
 *
 * @since 0.1.0
 * @category models
 */
export interface Committable {
  readonly topic: string
  readonly partition: number
  readonly offset: bigint
  /** When the partition was assigned: what was delivered before a partition was lost cannot be committed after it. */
  readonly generation: number
}

/**
 * A consumed record. Bytes are views of the fetched response: copy them
 * (`slice`) to keep them for long.
 *
 * @since 0.1.0
 * @category models
 */
export interface ConsumerRecord<out Name extends string, out K, out V> extends Committable {
  readonly topic: Name
  readonly key: K | null
  readonly value: V
  /** In their order; keys may occur more than once. */
  readonly headers: ReadonlyArray<Topic.Header>
  /** Milliseconds since the epoch: the producer's, or the broker's where the topic says `LogAppendTime`; -1 for none. */
  readonly timestamp: number
}

/**
 * The records of a topic, or of the topics of a pattern; of several, their union.
 *
 * @since 0.1.0
 * @category models
 */
export type Of<T extends Topic.AnySource> = T extends Topic.Topic<infer Name, infer K, infer V>
  ? ConsumerRecord<Name, K, V>
  : T extends Topic.TopicPattern<infer K, infer V> ? ConsumerRecord<string, K, V>
  : never
