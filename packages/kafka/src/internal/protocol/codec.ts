import { ProtocolError } from "./error.ts"
import type {
  AnyApi,
  AnyMessage,
  Fields,
  MessageInput,
  MessageOf,
  RequestInput,
  RequestOf,
  ResponseInput,
  ResponseOf,
  Spec,
  VersionRange
} from "./field.ts"
import { maxInt64, zeroUuid } from "./field.ts"
import { Reader } from "./reader.ts"
import { Writer } from "./writer.ts"

export { ProtocolError } from "./error.ts"

type Read = (reader: Reader) => any
type Write = (writer: Writer, value: any) => void

const includes = (range: VersionRange | undefined, version: number): boolean =>
  range !== undefined && version >= range[0] && version <= range[1]

const emptyArray: ReadonlyArray<never> = Object.freeze([])
const emptyBytes = new Uint8Array(0)

/**
 * What a field is where nothing says otherwise: its declared default, else its type's. Many messages share it, so arrays
 * and structs are frozen.
 */
export const defaultOf = (spec: Spec): unknown => {
  if (spec.default !== undefined) return Array.isArray(spec.default) ? Object.freeze(spec.default) : spec.default
  switch (spec.kind) {
    case "bool":
      return false
    case "int8":
    case "int16":
    case "int32":
    case "int64":
      return 0
    case "uuid":
      return zeroUuid
    case "string":
      return ""
    case "bytes":
      return emptyBytes
    case "records":
      return spec.nullable === undefined ? emptyBytes : null
    case "array":
      return emptyArray
    case "struct": {
      const value: Record<string, unknown> = {}
      for (const [name, field] of Object.entries(spec.fields!)) value[name] = defaultOf(field.spec)
      return Object.freeze(value)
    }
  }
}

/** Whether leaving the value out loses nothing: structs, arrays and bytes are compared by what they hold. */
const isDefault = (spec: Spec, value: any): boolean => {
  if (value === undefined) return true
  if (spec.kind === "struct" && spec.default === undefined && value !== null) {
    for (const name in spec.fields!) if (!isDefault(spec.fields[name]!.spec, value[name])) return false
    return true
  }
  const expected: any = defaultOf(spec)
  if (value === expected) return true
  if (value === null || expected === null) return false
  return typeof expected === "object" && expected.length === 0 && value.length === 0
}

/** The fewest bytes that a value takes: what an array's count is checked against before anything is allocated. */
const smallestSize = (spec: Spec, version: number, flexible: boolean): number => {
  switch (spec.kind) {
    case "bool":
    case "int8":
      return 1
    case "int16":
      return 2
    case "int32":
      return 4
    case "int64":
      return 8
    case "uuid":
      return 16
    case "string":
      return flexible ? 1 : 2
    case "bytes":
    case "records":
    case "array":
      return flexible ? 1 : 4
    case "struct": {
      if (includes(spec.nullable, version)) return 1
      let size = flexible ? 1 : 0
      for (const field of Object.values(spec.fields!)) {
        const inner = field.spec
        if (includes(inner.versions, version) && inner.tag === undefined) size += smallestSize(inner, version, flexible)
      }
      return size
    }
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// decoding

/** Reads the length of a string, or the size of bytes or an array; null gives -1. */
const lengthReader = (
  flexible: boolean,
  nullable: boolean,
  short: boolean,
  path: string
): (reader: Reader) => number => {
  const check = (reader: Reader, length: number): number => {
    if (length < -1) reader.fail(`${path} has length ${length}`)
    if (length === -1 && !nullable) reader.fail(`${path} is null`)
    return length
  }
  if (flexible) return (reader) => check(reader, reader.varint() - 1)
  if (short) return (reader) => check(reader, reader.int16())
  return (reader) => check(reader, reader.int32())
}

const valueReader = (spec: Spec, version: number, flexible: boolean, path: string): Read => {
  const nullable = includes(spec.nullable, version)
  switch (spec.kind) {
    case "bool":
      return (reader) => reader.bool()
    case "int8":
      return (reader) => reader.int8()
    case "int16":
      return (reader) => reader.int16()
    case "int32":
      return (reader) => reader.int32()
    case "int64":
      return (reader) => reader.int64()
    case "uuid":
      return (reader) => reader.uuid()
    case "string": {
      const readLength = lengthReader(flexible, nullable, true, path)
      return (reader) => {
        const length = readLength(reader)
        return length < 0 ? null : reader.string(length)
      }
    }
    case "bytes":
    case "records": {
      const readLength = lengthReader(flexible, nullable, false, path)
      return (reader) => {
        const length = readLength(reader)
        return length < 0 ? null : reader.slice(length)
      }
    }
    case "array": {
      const readLength = lengthReader(flexible, nullable, false, path)
      const element = spec.element!
      const readElement = valueReader(element, version, flexible, path)
      const smallest = smallestSize(element, version, flexible)
      return (reader) => {
        const length = readLength(reader)
        if (length < 0) return null
        if (length * smallest > reader.remaining) {
          reader.fail(`${path} of ${length} elements in ${reader.remaining} bytes`)
        }
        const values = new Array(length)
        for (let i = 0; i < length; i++) values[i] = readElement(reader)
        return values
      }
    }
    case "struct": {
      const readStruct = structReader(spec.fields!, version, flexible, path)
      if (!nullable) return readStruct
      return (reader) => reader.int8() < 0 ? null : readStruct(reader)
    }
  }
}

interface TaggedReader {
  readonly name: string
  readonly read: Read
}

const structReader = (fields: Fields, version: number, flexible: boolean, path: string): Read => {
  const names: Array<string> = []
  const readers: Array<Read> = []
  const tagged = new Map<number, TaggedReader>()
  const template: Record<string, unknown> = {}
  for (const [name, { spec }] of Object.entries(fields)) {
    template[name] = defaultOf(spec)
    if (!includes(spec.versions, version)) continue
    const read = valueReader(spec, version, flexible, path === "" ? name : `${path}.${name}`)
    if (spec.tag === undefined) {
      names.push(name)
      readers.push(read)
    } else {
      tagged.set(spec.tag, { name, read })
    }
  }
  const count = names.length
  return (reader) => {
    // A copy of one template keeps every result in one hidden class.
    const value = { ...template }
    for (let i = 0; i < count; i++) value[names[i]!] = readers[i]!(reader)
    if (flexible) {
      if (tagged.size === 0) reader.skipTags()
      else readTags(reader, value, tagged)
    }
    return value
  }
}

const readTags = (reader: Reader, value: Record<string, unknown>, tagged: ReadonlyMap<number, TaggedReader>): void => {
  for (let count = reader.varint(); count > 0; count--) {
    const field = tagged.get(reader.varint())
    const length = reader.varint()
    if (field === undefined) {
      reader.skip(length)
      continue
    }
    const end = reader.position + length
    value[field.name] = field.read(reader)
    if (reader.position !== end) reader.fail(`tagged field ${field.name} does not end with its ${length} bytes`)
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// encoding

/** Refuses a value of the wrong type, which no compiler saw: written as it is, it would corrupt the message. */
const mismatch = (writer: Writer, path: string, value: unknown, expected: string): never => {
  const given = value === null || typeof value === "number" ? value : typeof value
  return writer.fail(`${path === "" ? "the message" : path} is ${given}, not ${expected}`)
}

const integerWriter =
  (path: string, kind: "int8" | "int16" | "int32", unusedBits: number): Write => (writer, value) => {
    if (typeof value !== "number" || value << unusedBits >> unusedBits !== value) mismatch(writer, path, value, kind)
    writer[kind](value)
  }

const valueWriter = (spec: Spec, version: number, flexible: boolean, path: string): Write => {
  const nullable = includes(spec.nullable, version)
  switch (spec.kind) {
    case "bool":
      return (writer, value) => {
        if (typeof value !== "boolean") mismatch(writer, path, value, "a bool")
        writer.int8(value ? 1 : 0)
      }
    case "int8":
      return integerWriter(path, "int8", 24)
    case "int16":
      return integerWriter(path, "int16", 16)
    case "int32":
      return integerWriter(path, "int32", 0)
    case "int64":
      return (writer, value) => {
        if (!Number.isSafeInteger(value) && value !== maxInt64) mismatch(writer, path, value, "an int64 within 2^53")
        writer.int64(value)
      }
    case "uuid":
      return (writer, value) => {
        if (typeof value !== "string") mismatch(writer, path, value, "a uuid")
        writer.uuid(value)
      }
    case "string":
      return (writer, value) => {
        if (value === null && nullable) {
          if (flexible) writer.varint(0)
          else writer.int16(-1)
          return
        }
        if (typeof value !== "string") mismatch(writer, path, value, nullable ? "a string or null" : "a string")
        writer.string(value, flexible)
      }
    case "bytes":
    case "records": {
      const byReference = spec.kind === "records"
      return (writer, value) => {
        if (value === null && nullable) return writeLength(writer, flexible, -1)
        if (!(value instanceof Uint8Array)) mismatch(writer, path, value, "a Uint8Array")
        writeLength(writer, flexible, value.length)
        if (byReference) writer.reference(value)
        else writer.copy(value)
      }
    }
    case "array": {
      const writeElement = valueWriter(spec.element!, version, flexible, path)
      return (writer, value) => {
        if (value === null && nullable) return writeLength(writer, flexible, -1)
        if (!Array.isArray(value)) mismatch(writer, path, value, "an array")
        const length = value.length
        writeLength(writer, flexible, length)
        for (let i = 0; i < length; i++) writeElement(writer, value[i])
      }
    }
    case "struct": {
      const writeStruct = structWriter(spec.fields!, version, flexible, path)
      if (!nullable) return writeStruct
      return (writer, value) => {
        if (value === null) return writer.int8(-1)
        writer.int8(1)
        writeStruct(writer, value)
      }
    }
  }
}

const writeLength = (writer: Writer, flexible: boolean, length: number): void => {
  if (flexible) writer.varint(length + 1)
  else writer.int32(length)
}

interface TaggedWriter {
  readonly name: string
  readonly spec: Spec
  readonly tag: number
  readonly write: Write
}

const structWriter = (fields: Fields, version: number, flexible: boolean, path: string): Write => {
  const names: Array<string> = []
  const defaults: Array<unknown> = []
  const writers: Array<Write> = []
  const refused: Array<{ readonly name: string; readonly spec: Spec }> = []
  const pathOf = (name: string): string => path === "" ? name : `${path}.${name}`
  const tagged: Array<TaggedWriter> = []
  for (const [name, { spec }] of Object.entries(fields)) {
    if (!includes(spec.versions, version)) {
      if (!spec.ignorable) refused.push({ name, spec })
      continue
    }
    const write = valueWriter(spec, version, flexible, pathOf(name))
    if (spec.tag === undefined) {
      names.push(name)
      defaults.push(spec.default)
      writers.push(write)
    } else {
      tagged.push({ name, spec, tag: spec.tag, write })
    }
  }
  tagged.sort((left, right) => left.tag - right.tag)
  const count = names.length
  return (writer, struct) => {
    if (typeof struct !== "object" || struct === null) mismatch(writer, path, struct, "a struct")
    for (let i = 0; i < refused.length; i++) {
      const { name, spec } = refused[i]!
      if (!isDefault(spec, struct[name])) writer.fail(`${pathOf(name)} is not in this version`)
    }
    for (let i = 0; i < count; i++) {
      let value = struct[names[i]!]
      if (value === undefined) {
        value = defaults[i]
        if (value === undefined) writer.fail(`${pathOf(names[i]!)} is missing`)
      }
      writers[i]!(writer, value)
    }
    if (flexible) writeTags(writer, struct, tagged)
  }
}

const writeTags = (writer: Writer, struct: Record<string, unknown>, tagged: ReadonlyArray<TaggedWriter>): void => {
  if (tagged.length === 0) return writer.int8(0)
  const present = tagged.filter(({ name, spec }) => !isDefault(spec, struct[name]))
  writer.varint(present.length)
  for (const { name, tag, write } of present) {
    const content = writer.fork()
    write(content, struct[name])
    writer.varint(tag)
    writer.varint(content.length)
    for (const part of content.finish()) writer.copy(part)
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// messages

interface StructCodec {
  readonly read: Read
  readonly write: Write
}

type Part = "request" | "response" | "message"

/** By version. */
type Codecs = { readonly [P in Part]: Array<StructCodec | undefined> }

interface Declaration {
  readonly name: string
  readonly versions: VersionRange
  readonly flexible: number
}

const codecs = new WeakMap<Declaration, Codecs>()

/** Interpreting a declaration costs more than many messages: it is done once for each version that is met. */
const codecOf = (declaration: Declaration, part: Part, fields: Fields, version: number): StructCodec => {
  let known = codecs.get(declaration)
  if (known === undefined) {
    known = { request: [], response: [], message: [] }
    codecs.set(declaration, known)
  }
  const versions = known[part]
  const codec = versions[version]
  if (codec !== undefined) return codec
  if (!Number.isInteger(version) || !includes(declaration.versions, version)) {
    const [first, last] = declaration.versions
    throw new ProtocolError(`versions ${first} to ${last} are known`, declaration.name, version, 0)
  }
  const flexible = version >= declaration.flexible
  return versions[version] = {
    read: structReader(fields, version, flexible, ""),
    write: structWriter(fields, version, flexible, "")
  }
}

const encode = (
  declaration: Declaration,
  part: Part,
  fields: Fields,
  version: number,
  value: unknown
): ReadonlyArray<Uint8Array> => {
  const codec = codecOf(declaration, part, fields, version)
  const writer = new Writer(declaration.name, version)
  codec.write(writer, value)
  return writer.finish()
}

const decode = (
  declaration: Declaration,
  part: Part,
  fields: Fields,
  version: number,
  bytes: Uint8Array
): any => {
  const codec = codecOf(declaration, part, fields, version)
  const reader = new Reader(bytes, declaration.name, version)
  const value = codec.read(reader)
  if (reader.remaining > 0) reader.fail(`${reader.remaining} bytes more than the message`)
  return value
}

/**
 * Encodes the body of a request. The result is the body in parts, in order: `records` fields are the very arrays that
 * were given. Throws {@link ProtocolError} if a field is missing or the version cannot carry a value.
 */
export const encodeRequest = <A extends AnyApi>(
  api: A,
  version: number,
  body: RequestInput<A>
): ReadonlyArray<Uint8Array> => encode(api, "request", api.request, version, body)

/**
 * Decodes the body of a request. Byte fields are views of `bytes`. Throws {@link ProtocolError} if the bytes are not
 * exactly one such body.
 */
export const decodeRequest = <A extends AnyApi>(api: A, version: number, bytes: Uint8Array): RequestOf<A> =>
  decode(api, "request", api.request, version, bytes)

/** Encodes the body of a response, as {@link encodeRequest} does that of a request. */
export const encodeResponse = <A extends AnyApi>(
  api: A,
  version: number,
  body: ResponseInput<A>
): ReadonlyArray<Uint8Array> => encode(api, "response", api.response, version, body)

/** Decodes the body of a response, as {@link decodeRequest} does that of a request. */
export const decodeResponse = <A extends AnyApi>(api: A, version: number, bytes: Uint8Array): ResponseOf<A> =>
  decode(api, "response", api.response, version, bytes)

/** Encodes a message that is no API. */
export const encodeMessage = <M extends AnyMessage>(message: M, version: number, value: MessageInput<M>): Uint8Array =>
  concat(encode(message, "message", message.fields, version, value))

/** Decodes a message that is no API. */
export const decodeMessage = <M extends AnyMessage>(message: M, version: number, bytes: Uint8Array): MessageOf<M> =>
  decode(message, "message", message.fields, version, bytes)

/** Decodes a message that later versions may have made longer: bytes after the fields that are known are ignored. */
export const decodePrefix = <M extends AnyMessage>(message: M, version: number, bytes: Uint8Array): MessageOf<M> =>
  codecOf(message, "message", message.fields, version).read(new Reader(bytes, message.name, version)) as MessageOf<M>

/** The length of a body in parts. */
export const byteLength = (parts: ReadonlyArray<Uint8Array>): number => {
  let length = 0
  for (const part of parts) length += part.length
  return length
}

/** A body in parts as one array. */
export const concat = (parts: ReadonlyArray<Uint8Array>): Uint8Array =>
  parts.length === 1 ? parts[0]! : Buffer.concat(parts)
