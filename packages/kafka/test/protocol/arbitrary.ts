import { defaultOf } from "@sluice/kafka/internal/protocol/codec"
import type { Fields, Spec } from "@sluice/kafka/internal/protocol/field"
import { FastCheck } from "effect"

const text = FastCheck.oneof(
  FastCheck.string({ maxLength: 12 }),
  FastCheck.fullUnicodeString({ maxLength: 12 }),
  FastCheck.string({ minLength: 100, maxLength: 300 })
)

const byteArray = FastCheck.uint8Array({ maxLength: 40 })

const value = (spec: Spec, version: number): FastCheck.Arbitrary<any> => {
  switch (spec.kind) {
    case "bool":
      return FastCheck.boolean()
    case "int8":
      return FastCheck.integer({ min: -0x80, max: 0x7f })
    case "int16":
      return FastCheck.integer({ min: -0x8000, max: 0x7fff })
    case "int32":
      return FastCheck.integer()
    case "int64":
      return FastCheck.oneof(FastCheck.maxSafeInteger(), FastCheck.integer(), FastCheck.constant(2 ** 63))
    case "uuid":
      return FastCheck.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) =>
        Buffer.from(bytes).toString("base64url")
      )
    case "string":
      return text
    case "bytes":
    case "records":
      return byteArray
    case "array":
      return FastCheck.array(nullable(spec.element!, version), { maxLength: 4 })
    case "struct":
      return arbitraryMessage(spec.fields!, version)
  }
}

const includes = (range: readonly [number, number] | undefined, version: number): boolean =>
  range !== undefined && version >= range[0] && version <= range[1]

const nullable = (spec: Spec, version: number): FastCheck.Arbitrary<any> =>
  includes(spec.nullable, version)
    ? FastCheck.oneof({ arbitrary: FastCheck.constant(null), weight: 1 }, {
      arbitrary: value(spec, version),
      weight: 3
    })
    : value(spec, version)

/** Random messages of one version. A field that may be left out is left out at times, and always if the version lacks it. */
export const arbitraryMessage = (fields: Fields, version: number): FastCheck.Arbitrary<Record<string, unknown>> => {
  const present = Object.entries(fields).filter(([, { spec }]) => includes(spec.versions, version))
  const model = Object.fromEntries(present.map(([name, { spec }]) => [name, nullable(spec, version)]))
  const requiredKeys = present
    .filter(([, { spec }]) => spec.default === undefined && spec.tag === undefined)
    .map(([name]) => name)
  return FastCheck.record(model, { requiredKeys, noNullPrototype: true })
}

/** A message as decoding gives it back: what was left out has its default. */
export const completed = (fields: Fields, message: any): any =>
  Object.fromEntries(
    Object.entries(fields).map(([name, { spec }]) => [name, completedValue(spec, message[name])])
  )

const completedValue = (spec: Spec, given: any): unknown => {
  if (given === undefined) return defaultOf(spec)
  if (given === null) return null
  if (spec.kind === "array") return given.map((element: unknown) => completedValue(spec.element!, element))
  if (spec.kind === "struct") return completed(spec.fields!, given)
  return given
}
