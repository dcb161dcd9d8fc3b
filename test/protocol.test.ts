/**
 * The declarations of the protocol and its codec, against Kafka's own: the message definitions in its jar, and the
 * classes that are generated from them.
 */
import { assert, beforeAll, describe, it } from "@effect/vitest"
import { errors } from "@sluice/kafka/internal/kernel/errors"
import {
  ConsumerProtocolAssignment,
  ConsumerProtocolSubscription,
  decodeVersioned,
  encodeVersioned
} from "@sluice/kafka/internal/protocol/api/consumerProtocol"
import { apis } from "@sluice/kafka/internal/protocol/apis"
import {
  concat,
  decodeMessage,
  decodeRequest,
  decodeResponse,
  defaultOf,
  encodeMessage,
  encodeRequest,
  encodeResponse
} from "@sluice/kafka/internal/protocol/codec"
import type { AnyMessage, Fields, Spec, VersionRange } from "@sluice/kafka/internal/protocol/field"
import {
  requestHeader,
  requestHeaderVersion,
  responseHeader,
  responseHeaderVersion
} from "@sluice/kafka/internal/protocol/header"

import { runJava } from "./support/javaTool.ts"

/** One kind of message, whether of an API or not. */
interface Subject {
  /** The name of Kafka's definition. */
  readonly name: string
  /** What `ProtocolCheck.java` calls it. */
  readonly javaType: string
  readonly key: number | undefined
  readonly versions: VersionRange
  readonly flexible: number
  readonly fields: Fields
  readonly encode: (version: number, value: any) => Uint8Array
  readonly decode: (version: number, bytes: Uint8Array) => any
}

const messageSubject = (message: AnyMessage): Subject => ({
  ...message,
  javaType: message.name,
  key: undefined,
  encode: (version, value) => encodeMessage(message, version, value),
  decode: (version, bytes) => decodeMessage(message, version, bytes)
})

const subjects: ReadonlyArray<Subject> = [
  ...[...apis.values()].flatMap((api): ReadonlyArray<Subject> => [
    {
      ...api,
      name: `${api.name}Request`,
      javaType: `request-${api.key}`,
      fields: api.request,
      encode: (version, value) => concat(encodeRequest(api, version, value)),
      decode: (version, bytes) => decodeRequest(api, version, bytes)
    },
    {
      ...api,
      name: `${api.name}Response`,
      javaType: `response-${api.key}`,
      fields: api.response,
      encode: (version, value) => concat(encodeResponse(api, version, value)),
      decode: (version, bytes) => decodeResponse(api, version, bytes)
    }
  ]),
  messageSubject(ConsumerProtocolSubscription),
  messageSubject(ConsumerProtocolAssignment)
]

const versionsOf = ({ versions: [first, last] }: { readonly versions: VersionRange }): ReadonlyArray<number> =>
  Array.from({ length: last - first + 1 }, (_, i) => first + i)

const includes = (range: VersionRange | undefined, version: number): boolean =>
  range !== undefined && version >= range[0] && version <= range[1]

// ---------------------------------------------------------------------------------------------------------------------
// declarations against definitions

/** What a definition of the jar says of a field. */
interface DefinedField {
  readonly name: string
  readonly type: string
  readonly versions?: string
  readonly nullableVersions?: string
  readonly taggedVersions?: string
  readonly flexibleVersions?: string
  readonly tag?: number
  readonly default?: string | number | boolean | null
  readonly ignorable?: boolean
  readonly fields?: ReadonlyArray<DefinedField>
}

interface Definition {
  readonly apiKey?: number
  readonly validVersions: string
  readonly flexibleVersions: string
  readonly commonStructs?: ReadonlyArray<{ readonly name: string; readonly fields: ReadonlyArray<DefinedField> }>
  readonly fields: ReadonlyArray<DefinedField>
}

/** `3`, `3-5`, `3+` or `none`. */
const parseRange = (text: string | undefined): VersionRange | undefined => {
  const match = /^(\d+)(?:(\+)|-(\d+))?$/.exec(text ?? "")
  if (match === null) return undefined
  const first = Number(match[1])
  return [first, match[2] !== undefined ? Infinity : Number(match[3] ?? first)]
}

/** One field as it is on the wire of one version, as text; a field that the version lacks says what becomes of a value. */
interface Line {
  readonly path: string
  readonly tag: number | undefined
  readonly text: string
}

const line = (
  path: string,
  type: string,
  { flexible, nullable, tag, value }: {
    readonly flexible: boolean
    readonly nullable: boolean
    readonly tag: number | undefined
    readonly value: unknown
  }
): Line => ({
  path,
  tag,
  text: [
    path,
    type,
    nullable ? "nullable" : "never null",
    tag === undefined ? "in order" : `tag ${tag}`,
    flexible ? "compact" : "fixed",
    `default ${typeof value === "object" && value !== null ? "empty" : JSON.stringify(value)}`
  ].join(", ")
})

const absent = (path: string, ignorable: boolean): Line => ({
  path,
  tag: undefined,
  text: `${path}, not in this version, ${ignorable ? "dropped" : "refused"}`
})

const declaredLayout = (fields: Fields, version: number, flexible: boolean, path = ""): ReadonlyArray<Line> =>
  Object.entries(fields).flatMap(([name, { spec }]): ReadonlyArray<Line> => {
    const fieldPath = path + name
    if (!includes(spec.versions, version)) return [absent(fieldPath, spec.ignorable)]
    const type = spec.element === undefined ? spec.kind : `array of ${spec.element.kind}`
    const inner = spec.fields ?? spec.element?.fields
    // Kafka's generated classes start nullable records as null too, without a word of it in the definition.
    const value = spec.kind === "records" ? emptyRecords : defaultOf(spec)
    return [
      line(fieldPath, type, { flexible, nullable: includes(spec.nullable, version), tag: spec.tag, value }),
      ...(inner === undefined ? [] : declaredLayout(inner, version, flexible, `${fieldPath}.`))
    ]
  })

const emptyRecords = {}

const scalars = new Set(["bool", "int8", "int16", "int32", "int64", "uuid", "string", "bytes", "records"])

const definedDefault = (type: string, value: DefinedField["default"]): unknown => {
  if (value === null || value === "null") return null
  const given = value !== undefined && value !== ""
  if (type === "bool") return given && String(value) === "true"
  if (type === "string") return given ? value : ""
  if (type.startsWith("int")) return given ? Number(value) : 0
  return type === "uuid" ? "AAAAAAAAAAAAAAAAAAAAAA" : {}
}

const lowerFirst = (text: string): string => text[0]!.toLowerCase() + text.slice(1)

const definedLayout = (definition: Definition, version: number, declared: VersionRange): ReadonlyArray<Line> => {
  const common = new Map((definition.commonStructs ?? []).map(({ fields, name }) => [name, fields]))
  const layout = (fields: ReadonlyArray<DefinedField>, path: string): ReadonlyArray<Line> =>
    fields.flatMap((field): ReadonlyArray<Line> => {
      const fieldPath = path + lowerFirst(field.name)
      const versions = parseRange(field.versions)!
      if (versions[0] > declared[1] || versions[1] < declared[0]) return []
      if (!includes(versions, version)) return [absent(fieldPath, field.ignorable === true)]
      const isArray = field.type.startsWith("[]")
      const elementType = isArray ? field.type.slice(2) : field.type
      const inner = scalars.has(elementType) ? undefined : field.fields ?? common.get(elementType)!
      const kind = inner === undefined ? elementType : "struct"
      return [
        line(fieldPath, isArray ? `array of ${kind}` : kind, {
          flexible: includes(parseRange(field.flexibleVersions ?? definition.flexibleVersions), version),
          nullable: includes(parseRange(field.nullableVersions), version),
          tag: includes(parseRange(field.taggedVersions), version) ? field.tag : undefined,
          value: isArray ? definedDefault("array", field.default) : definedDefault(field.type, field.default)
        }),
        ...(inner === undefined ? [] : layout(inner, `${fieldPath}.`))
      ]
    })
  return layout(definition.fields, "")
}

/** Order matters on the wire, but not among tagged fields, nor among those that are not there. */
const comparable = (lines: ReadonlyArray<Line>): ReadonlyArray<string> => {
  const isOrdered = ({ tag, text }: Line): boolean => tag === undefined && !text.includes("not in this version")
  return [
    ...lines.filter(isOrdered).map(({ text }) => text),
    ...lines.filter((each) => !isOrdered(each)).map(({ text }) => text).sort()
  ]
}

/** Tagged fields that we leave out on purpose: what only brokers say to each other. */
const omitted = [
  "FetchRequest.clusterId",
  "FetchRequest.replicaState",
  "FetchRequest.topics.partitions.highWatermark",
  "FetchRequest.topics.partitions.replicaDirectoryId"
]

describe("declarations, against the definitions in Kafka's jar", () => {
  const definitions = new Map<string, Definition>()

  beforeAll(async () => {
    const output = await runJava("ProtocolCheck.java", ["definitions", ...subjects.map(({ name }) => name)])
    output.trim().split("\n").forEach((encoded, i) => {
      const text = Buffer.from(encoded, "base64").toString("utf8")
      definitions.set(subjects[i]!.name, JSON.parse(text.replace(/^\s*\/\/.*$/gm, "")))
    })
  })

  it.each(subjects)("$name is laid out as Kafka's, in every version", ({ fields, flexible, key, name, versions }) => {
    const definition = definitions.get(name)!
    assert.strictEqual(definition.apiKey, key)
    for (const version of versionsOf({ versions })) {
      assert.isTrue(includes(parseRange(definition.validVersions), version), `version ${version}`)
      const declared = declaredLayout(fields, version, version >= flexible)
      const defined = definedLayout(definition, version, versions)
        .filter(({ path }) => !omitted.some((one) => `${name}.${path}.`.startsWith(`${one}.`)))
      assert.deepStrictEqual(comparable(declared), comparable(defined), `version ${version}`)
    }
  })

  it("leave out nothing but a few tagged fields", () => {
    const missing = subjects.flatMap(({ fields, flexible, name, versions }) =>
      versionsOf({ versions }).flatMap((version) => {
        const declared = new Set(declaredLayout(fields, version, version >= flexible).map(({ path }) => path))
        const missingHere = definedLayout(definitions.get(name)!, version, versions)
          .filter(({ path }) => !declared.has(path))
        const roots = missingHere.filter(({ path }) => !missingHere.some((other) => path.startsWith(`${other.path}.`)))
        for (const { tag, text } of roots) assert.isTrue(tag !== undefined || text.includes("not in this"), text)
        return roots.map(({ path }) => `${name}.${path}`)
      })
    )
    assert.deepStrictEqual([...new Set(missing)].sort(), omitted)
  })
})

// ---------------------------------------------------------------------------------------------------------------------
// the codec against Java's classes

const messagesOfEachVersion = 100

/** A generator of whole numbers below a bound, the same for the same seed (mulberry32). */
const randomNumbers = (seed: number) => {
  let state = seed
  return (bound: number): number => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * bound)
  }
}

type Random = ReturnType<typeof randomNumbers>

const pick = <A>(random: Random, values: ReadonlyArray<A>): A => values[random(values.length)]!

const randomBytes = (random: Random, length: number): Uint8Array => Uint8Array.from({ length }, () => random(256))

const randomInteger = (random: Random, bits: number): number =>
  pick(random, [0, -1, 1, 2 ** (bits - 1) - 1, -(2 ** (bits - 1)), random(2 ** bits) - 2 ** (bits - 1)])

const randomText = (random: Random): string =>
  Array.from(
    { length: pick(random, [0, 1, 5, 126, 127, 128, random(20)]) },
    () => pick(random, ["a", "Z", "-", ".", "\u0000", "ü", "€", "\u{1f600}"])
  ).join("")

const randomValue = (random: Random, spec: Spec, version: number): unknown => {
  if (includes(spec.nullable, version) && random(4) === 0) return null
  switch (spec.kind) {
    case "bool":
      return random(2) === 1
    case "int8":
      return randomInteger(random, 8)
    case "int16":
      return randomInteger(random, 16)
    case "int32":
      return randomInteger(random, 32)
    case "int64":
      return pick(random, [
        0,
        -1,
        2 ** 63,
        Number.MAX_SAFE_INTEGER,
        Number.MIN_SAFE_INTEGER,
        random(2 ** 32) * 2 ** 20 + random(2 ** 20)
      ])
    case "uuid":
      return Buffer.from(randomBytes(random, 16)).toString("base64url")
    case "string":
      return randomText(random)
    case "bytes":
    case "records":
      return randomBytes(random, pick(random, [0, 1, 126, 127, random(300)]))
    case "array":
      return Array.from({ length: pick(random, [0, 1, 2, 3]) }, () => randomValue(random, spec.element!, version))
    case "struct":
      return randomMessage(random, spec.fields!, version)
  }
}

/** A message with every field of a version, but for those with a default, which are left out at times. */
const randomMessage = (random: Random, fields: Fields, version: number): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(fields).flatMap(([name, { spec }]) => {
      const canBeLeftOut = spec.default !== undefined || spec.tag !== undefined
      if (!includes(spec.versions, version) || (canBeLeftOut && random(3) === 0)) return []
      return [[name, randomValue(random, spec, version)]]
    })
  )

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")

/** Has Java read and write messages, each `type version hex`; gives the complaints, and how many messages there were. */
const javaComplaints = async (lines: ReadonlyArray<string>): Promise<{ complaints: Array<string>; count: number }> => {
  const output = (await runJava("ProtocolCheck.java", ["messages"], { input: `${lines.join("\n")}\n` })).trim().split(
    "\n"
  )
  const count = Number(output.pop())
  return { complaints: output.slice(0, 10), count }
}

describe("messages, through Kafka's own classes", () => {
  it("are the same bytes to Java and to us", async () => {
    const random = randomNumbers(20_251_121)
    const lines: Array<string> = []
    for (const subject of subjects) {
      for (const version of versionsOf(subject)) {
        for (let i = 0; i < messagesOfEachVersion; i++) {
          const bytes = subject.encode(version, randomMessage(random, subject.fields, version))
          lines.push(`${subject.javaType} ${version} ${hex(bytes)}`)
          assert.strictEqual(hex(subject.encode(version, subject.decode(version, bytes))), hex(bytes))
        }
      }
    }
    const expected = subjects.reduce((sum, subject) => sum + versionsOf(subject).length * messagesOfEachVersion, 0)
    assert.deepStrictEqual(await javaComplaints(lines), { complaints: [], count: expected })
  })

  it("of the consumer protocol go after their version", async () => {
    const random = randomNumbers(7)
    const lines: Array<string> = []
    for (const message of [ConsumerProtocolSubscription, ConsumerProtocolAssignment] as ReadonlyArray<AnyMessage>) {
      for (const version of versionsOf(message)) {
        const bytes = encodeVersioned(message, version, randomMessage(random, message.fields, version))
        assert.strictEqual(decodeVersioned(message, bytes).version, version)
        lines.push(`${message.name} ${Buffer.from(bytes).readInt16BE(0)} ${hex(bytes.subarray(2))}`)
      }
    }
    assert.deepStrictEqual(await javaComplaints(lines), { complaints: [], count: 8 })
  })

  it("have the headers that Java gives them", async () => {
    const random = randomNumbers(11)
    const table = new Map(
      (await runJava("ProtocolCheck.java", ["headers"])).trim().split("\n").map((text) => {
        const [key, version, ...headerVersions] = text.split(" ").map(Number)
        return [`${key} ${version}`, headerVersions]
      })
    )
    const lines: Array<string> = []
    for (const api of apis.values()) {
      for (const apiVersion of versionsOf(api)) {
        const headerVersion = requestHeaderVersion(api, apiVersion)
        const responseVersion = responseHeaderVersion(api, apiVersion)
        assert.deepStrictEqual([headerVersion, responseVersion], table.get(`${api.key} ${apiVersion}`), api.name)
        for (const clientId of [null, "", randomText(random)]) {
          const correlationId = randomInteger(random, 32)
          const request = requestHeader({ apiKey: api.key, apiVersion, headerVersion, correlationId, clientId }, 0)
          lines.push(`RequestHeader ${headerVersion} ${hex(request.subarray(4))}`)
          const response = responseHeader(api, apiVersion, correlationId, 0)
          lines.push(`ResponseHeader ${responseVersion} ${hex(response.subarray(4))}`)
        }
      }
    }
    assert.deepStrictEqual(await javaComplaints(lines), { complaints: [], count: lines.length })
  })
})

describe("the error table, against Java's", () => {
  it("has the same codes and names, and differs in what to retry only where it says so", async () => {
    const java = (await runJava("ProtocolCheck.java", ["errors"])).trim().split("\n")
      .map((text) => text.split(" "))
      .filter(([code]) => code !== "0")
    assert.deepStrictEqual(
      errors.map(({ code, name }) => `${code} ${name}`),
      java.map(([code, name]) => `${code} ${name}`)
    )
    const differences = errors.filter(({ retriable }, i) => String(retriable) !== java[i]![2])
    assert.deepStrictEqual(differences.map(({ name, retriable }) => ({ name, retriable })), [
      { name: "BROKER_NOT_AVAILABLE", retriable: true },
      { name: "STALE_CONTROLLER_EPOCH", retriable: true },
      { name: "OPERATION_NOT_ATTEMPTED", retriable: true },
      { name: "ELECTION_NOT_NEEDED", retriable: false },
      { name: "REBOOTSTRAP_REQUIRED", retriable: true }
    ])
  })
})
