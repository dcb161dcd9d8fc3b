/**
 * How the keys and values of a topic become bytes, and come back.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * A synchronous pair of functions. Either may throw: serializing, the record
 * alone fails (`SerializationFailed`); deserializing, it is a
 * `DeserializationFailed` with the record's place.
 *
 * @since 0.1.0
 * @category models
 */
export interface Serde<in out A> {
  readonly serialize: (value: A, topic: string) => Uint8Array
  readonly deserialize: (bytes: Uint8Array, topic: string) => A
}

/**
 * A serde from two functions.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <A>(options: {
  readonly serialize: (value: A, topic: string) => Uint8Array
  readonly deserialize: (bytes: Uint8Array, topic: string) => A
}): Serde<A> => options

/**
 * Bytes as they are. What is read is a view of the buffer of the fetched
 * response: copy it (`slice`) to keep it for long.
 *
 * @since 0.1.0
 * @category constructors
 */
export const bytes: Serde<Uint8Array> = make({ serialize: (value) => value, deserialize: (bytes) => bytes })

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
const encoder = new TextEncoder()

/**
 * UTF-8. Bytes that are not valid UTF-8 fail to deserialize.
 *
 * @since 0.1.0
 * @category constructors
 */
export const string: Serde<string> = make({
  serialize: (value) => encoder.encode(value),
  deserialize: (bytes) => decoder.decode(bytes)
})

/**
 * JSON text in UTF-8, checked by a schema in both directions.
 *
 * @example
 * ```ts
 * import { Serde, Topic } from "@sluice/kafka"
 * import { Schema } from "effect"
 *
 * const Order = Schema.Struct({ id: Schema.Number, total: Schema.NumberFromString })
 * export const Orders = Topic.make("orders", { key: Serde.string, value: Serde.json(Order) })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const json = <A, I>(schema: Schema.Schema<A, I>): Serde<A> => {
  const text = Schema.parseJson(schema)
  const encode = Schema.encodeSync(text)
  const decode = Schema.decodeSync(text)
  return make({
    serialize: (value) => encoder.encode(encode(value)),
    deserialize: (bytes) => decode(decoder.decode(bytes))
  })
}
