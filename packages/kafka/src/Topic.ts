/**
 * A topic with its name and the types of its keys and values.
 *
 * @since 0.1.0
 */
import type * as Serde from "./Serde.ts"

/**
 * A header of a record. Headers keep their order, and a key may occur more than
 * once.
 *
 * @since 0.1.0
 * @category models
 */
export interface Header {
  readonly key: string
  readonly value: Uint8Array | null
}

/**
 * How keys and values become bytes, and bytes keys and values.
 *
 * @since 0.1.0
 * @category models
 */
export interface Serdes<in out K, in out V> {
  readonly key: Serde.Serde<K> | Serde.EffectSerde<K>
  readonly value: Serde.Serde<V> | Serde.EffectSerde<V>
}

/**
 * A topic; `Name` is a literal type, so that records of several topics can be
 * told apart.
 *
 * @since 0.1.0
 * @category models
 */
export interface Topic<out Name extends string, in out K, in out V> extends Serdes<K, NonNullable<V>> {
  readonly name: Name
  /** Whether a null value is a `V`. Else producing one does not compile, and consuming one is a deserialization failure. */
  readonly tombstones: boolean
  /** A record to be produced. */
  readonly record: (fields: RecordFields<K, V>) => ProducerRecord<Name, K, V>
}

/**
 * Any topic.
 *
 * @since 0.1.0
 * @category models
 */
export type Any = Topic<string, any, any>

/**
 * All topics whose names a regular expression finds, with the types of their
 * keys and values: to subscribe to topics that are not known yet.
 *
 * @since 0.1.0
 * @category models
 */
export interface TopicPattern<in out K, in out V> extends Serdes<K, NonNullable<V>> {
  readonly pattern: RegExp
  /** Whether a null value is a `V`. */
  readonly tombstones: boolean
}

/**
 * What a consumer can subscribe to: a topic, or a pattern.
 *
 * @since 0.1.0
 * @category models
 */
export type AnySource = Any | TopicPattern<any, any>

/**
 * What a record to be produced is made of.
 *
 * @since 0.1.0
 * @category models
 */
export interface RecordFields<K, V> {
  /**
   * Chooses the partition, by the producer's `partitioner`: Kafka's murmur2 by default, with which records without a key
   * stick to one partition for the length of a batch.
   */
  readonly key?: K | null | undefined
  readonly value: V
  /** A string is written in UTF-8. */
  readonly headers?: ReadonlyArray<{ readonly key: string; readonly value: Uint8Array | string | null }> | undefined
  /** Overrules the key. */
  readonly partition?: number | undefined
  /** Milliseconds since the epoch; now by default. */
  readonly timestamp?: number | undefined
}

/**
 * A record to be produced, not yet serialized.
 *
 * @since 0.1.0
 * @category models
 */
export interface ProducerRecord<out Name extends string, in out K, in out V> extends RecordFields<K, V> {
  readonly topic: Topic<Name, K, V>
}

/**
 * Any record to be produced.
 *
 * @since 0.1.0
 * @category models
 */
export type AnyRecord = ProducerRecord<string, any, any>

/**
 * A topic. Its name is checked when it is first used: 1 to 249 of
 * `[a-zA-Z0-9._-]`, not `.` or `..`.
 *
 * With `tombstones: true` a value may be null, which marks its key as deleted
 * in a compacted topic.
 *
 * @example
 * ```ts
 * import { Serde, Topic } from "@sluice/kafka"
 *
 * const Lines = Topic.make("lines", { key: Serde.string, value: Serde.string })
 *
 * export const record = Lines.record({ key: "app.log", value: "started" })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make: {
  <const Name extends string, K, V>(
    name: Name,
    options: Serdes<K, V> & { readonly tombstones: true }
  ): Topic<Name, K, V | null>
  <const Name extends string, K, V>(
    name: Name,
    options: Serdes<K, V> & { readonly tombstones?: false | undefined }
  ): Topic<Name, K, V>
} = (
  name: string,
  options: Serdes<any, any> & { readonly tombstones?: boolean | undefined }
): Any => {
  const self: Any = {
    name,
    key: options.key,
    value: options.value,
    tombstones: options.tombstones === true,
    record: (fields) => ({
      topic: self,
      key: fields.key,
      value: fields.value,
      headers: fields.headers,
      partition: fields.partition,
      timestamp: fields.timestamp
    })
  }
  return self
}

/**
 * All topics whose names a regular expression finds, those that are created
 * later too; Kafka's internal topics are left out. As with `RegExp.test` a part
 * of the name is enough: use `^` and `$` for the whole.
 *
 * @example
 * ```ts
 * import { Consumer, Serde, Topic } from "@sluice/kafka"
 * import { Effect } from "effect"
 *
 * const Audits = Topic.pattern(/^audit\./, { key: Serde.string, value: Serde.string })
 *
 * export const Auditor = Consumer.layer(
 *   { groupId: "auditor", topics: [Audits] },
 *   (record) => Effect.log(record.topic, record.value)
 * )
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const pattern: {
  <K, V>(
    pattern: RegExp,
    options: Serdes<K, V> & { readonly tombstones: true }
  ): TopicPattern<K, V | null>
  <K, V>(
    pattern: RegExp,
    options: Serdes<K, V> & { readonly tombstones?: false | undefined }
  ): TopicPattern<K, V>
} = (
  pattern: RegExp,
  options: Serdes<any, any> & { readonly tombstones?: boolean | undefined }
): TopicPattern<any, any> => ({
  pattern,
  key: options.key,
  value: options.value,
  tombstones: options.tombstones === true
})
