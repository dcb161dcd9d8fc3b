/**
 * How the keys and values of a topic become bytes, and come back.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
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
 * A pair of functions that may take time: to ask a schema registry, a key
 * service, a worker thread. It needs nothing from the environment: what it uses,
 * it closes over.
 *
 * Serializing, it runs before the record is accepted, in the order in which
 * records are given; whatever it fails with, also a defect, fails that record
 * alone (`SerializationFailed`, `persisted: "no"`). Deserializing, it runs before
 * the record is delivered, one after the other in each partition; its failure is
 * a `DeserializationFailed` with the record's place. It is not timed: give it a
 * timeout of its own. A producer or consumer that closes interrupts it.
 *
 * @since 0.1.0
 * @category models
 */
export interface EffectSerde<in out A> {
  readonly _tag: "EffectSerde"
  readonly serialize: (value: A, topic: string) => Effect.Effect<Uint8Array, unknown>
  readonly deserialize: (bytes: Uint8Array, topic: string) => Effect.Effect<A, unknown>
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
 * A serde from two functions that give effects. What is known without waiting
 * is best given with `Effect.succeed`, which costs no fiber.
 *
 * @example
 * ```ts
 * import { Serde, Topic } from "@sluice/kafka"
 * import { Effect } from "effect"
 *
 * declare const seal: (text: string) => Effect.Effect<Uint8Array, Error>
 * declare const open: (bytes: Uint8Array) => Effect.Effect<string, Error>
 *
 * const sealed = Serde.makeEffect({ serialize: seal, deserialize: open })
 * export const Secrets = Topic.make("secrets", { key: Serde.string, value: sealed })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const makeEffect = <A>(options: {
  readonly serialize: (value: A, topic: string) => Effect.Effect<Uint8Array, unknown>
  readonly deserialize: (bytes: Uint8Array, topic: string) => Effect.Effect<A, unknown>
}): EffectSerde<A> => ({ _tag: "EffectSerde", serialize: options.serialize, deserialize: options.deserialize })

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

/** Of so many bytes, big-endian as Kafka's own serializers write. */
const number = <A>(
  size: number,
  write: (view: DataView, value: A) => void,
  read: (view: DataView) => A
): Serde<A> =>
  make({
    serialize: (value) => {
      const bytes = new Uint8Array(size)
      write(new DataView(bytes.buffer), value)
      return bytes
    },
    deserialize: (bytes) => {
      if (bytes.length !== size) throw new RangeError(`${size} bytes were expected, and there are ${bytes.length}`)
      return read(new DataView(bytes.buffer, bytes.byteOffset, size))
    }
  })

const integer = (value: number, bits: 16 | 32): number => {
  const limit = 2 ** (bits - 1)
  if (!Number.isInteger(value) || value < -limit || value >= limit) {
    throw new RangeError(`not a whole number of ${bits} bits: ${String(value)}`)
  }
  return value
}

const float = (value: number): number => {
  if (typeof value !== "number") throw new TypeError(`not a number: ${String(value)}`)
  return value
}

/**
 * A whole number from -32,768 to 32,767 in 2 bytes, as Kafka's `ShortSerializer`.
 * Others fail to serialize, and any other length to deserialize.
 *
 * @since 0.1.0
 * @category numbers
 */
export const int16: Serde<number> = number(
  2,
  (view, value) => view.setInt16(0, integer(value, 16)),
  (view) => view.getInt16(0)
)

/**
 * A whole number from -2^31 to 2^31 - 1 in 4 bytes, as Kafka's
 * `IntegerSerializer`. Others fail to serialize, and any other length to
 * deserialize.
 *
 * @since 0.1.0
 * @category numbers
 */
export const int32: Serde<number> = number(
  4,
  (view, value) => view.setInt32(0, integer(value, 32)),
  (view) => view.getInt32(0)
)

const minInt64 = -(2n ** 63n)
const maxInt64 = 2n ** 63n - 1n

/**
 * A whole number from -2^63 to 2^63 - 1 in 8 bytes, as Kafka's `LongSerializer`;
 * a `bigint`, since a `number` does not hold them all. Others fail to serialize,
 * and any other length to deserialize.
 *
 * @since 0.1.0
 * @category numbers
 */
export const int64: Serde<bigint> = number(
  8,
  (view, value) => {
    if (typeof value !== "bigint" || value < minInt64 || value > maxInt64) {
      throw new RangeError(`not a bigint of 64 bits: ${String(value)}`)
    }
    view.setBigInt64(0, value)
  },
  (view) => view.getBigInt64(0)
)

/**
 * A number in 4 bytes (IEEE 754 single precision), as Kafka's
 * `FloatSerializer`, rounded to the nearest; one that is too large for it fails
 * to serialize. Any other length fails to deserialize.
 *
 * @since 0.1.0
 * @category numbers
 */
export const float32: Serde<number> = number(
  4,
  (view, value) => {
    if (Number.isFinite(float(value)) && !Number.isFinite(Math.fround(value))) {
      throw new RangeError(`too large for 32 bits: ${value}`)
    }
    view.setFloat32(0, value)
  },
  (view) => view.getFloat32(0)
)

/**
 * A number in 8 bytes (IEEE 754 double precision), as Kafka's
 * `DoubleSerializer`. Any other length fails to deserialize.
 *
 * @since 0.1.0
 * @category numbers
 */
export const float64: Serde<number> = number(
  8,
  (view, value) => view.setFloat64(0, float(value)),
  (view) => view.getFloat64(0)
)
