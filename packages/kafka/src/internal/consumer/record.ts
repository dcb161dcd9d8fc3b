import type { ConsumerRecord } from "../../ConsumerRecord.ts"
import { FatalError } from "../../KafkaError.ts"
import * as Serde from "../../Serde.ts"
import type * as Topic from "../../Topic.ts"
import type { RecordView } from "../kernel/recordView.ts"

/** A consumed record over the bytes of its response. Keys and values that are more than bytes are decoded once. */
export class FetchedRecord implements ConsumerRecord<string, any, any> {
  readonly partition: number
  readonly generation: number
  readonly view: RecordView
  readonly definition: Topic.Any
  /** Why key or value cannot be had, where that is for whoever handles the record to judge. */
  readonly failure: FatalError | undefined
  #key: unknown = undefined
  #value: unknown = undefined

  constructor(
    definition: Topic.Any,
    partition: number,
    generation: number,
    view: RecordView,
    failure: FatalError | undefined = undefined
  ) {
    this.failure = failure
    this.definition = definition
    this.partition = partition
    this.generation = generation
    this.view = view
  }

  get topic(): string {
    return this.definition.name
  }

  get offset(): bigint {
    return BigInt(this.view.offset)
  }

  get timestamp(): number {
    return this.view.timestamp
  }

  get headers(): ReadonlyArray<Topic.Header> {
    return this.view.headers
  }

  get key(): unknown {
    if (this.#key === undefined) {
      const { key } = this.view
      this.#key = key === null ? null : this.definition.key.deserialize(key, this.definition.name)
    }
    return this.#key
  }

  get value(): unknown {
    if (this.#value === undefined) {
      const { value } = this.view
      this.#value = value === null ? null : this.definition.value.deserialize(value, this.definition.name)
    }
    return this.#value
  }

  /** Whether both are of one partition, delivered in the same generation. */
  isBeside({ definition, generation, partition }: FetchedRecord): boolean {
    return this.partition === partition && this.generation === generation && this.definition === definition
  }

  toJSON(): unknown {
    const { generation, headers, key, offset, partition, timestamp, topic, value } = this
    return { topic, partition, offset: offset.toString(), generation, timestamp, key, value, headers }
  }
}

/** A record whose parts are known to decode, or why they do not. */
export const decodeRecord = (
  definition: Topic.Any,
  partition: number,
  generation: number,
  view: RecordView
): FetchedRecord | FatalError => {
  const record = new FetchedRecord(definition, partition, generation, view)
  if (!view.hasValue && !definition.tombstones) {
    return undecodable(definition, partition, view, nullValue)
  }
  if (definition.key === Serde.bytes && definition.value === Serde.bytes) return record
  try {
    void record.key
    void record.value
  } catch (cause) {
    const problem = `a deserializer threw: ${cause instanceof Error ? cause.message : String(cause)}`
    return undecodable(definition, partition, view, problem, cause)
  }
  return record
}

/** What is wrong with a value that is null. */
export const nullValue = "the value is null, and the topic has no `tombstones`"

/** A record that cannot be delivered. */
export const undecodable = (
  definition: Topic.Any,
  partition: number,
  view: RecordView,
  problem: string,
  cause?: unknown
): FatalError =>
  new FatalError({
    reason: { _tag: "DeserializationFailed", topic: definition.name, partition },
    scope: "record",
    message: `record at offset ${view.offset} of topic ${definition.name}, partition ${partition}: ${problem}`,
    cause
  })
