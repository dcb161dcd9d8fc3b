import { assert, describe, it } from "@effect/vitest"
import { ApiVersions, decodeApiVersionsResponse } from "@sluice/kafka/internal/protocol/api/apiVersions"
import { Fetch } from "@sluice/kafka/internal/protocol/api/fetch"
import { FindCoordinator } from "@sluice/kafka/internal/protocol/api/findCoordinator"
import { JoinGroup } from "@sluice/kafka/internal/protocol/api/joinGroup"
import { Metadata } from "@sluice/kafka/internal/protocol/api/metadata"
import { Produce } from "@sluice/kafka/internal/protocol/api/produce"
import { apis } from "@sluice/kafka/internal/protocol/apis"
import {
  byteLength,
  concat,
  decodeMessage,
  decodeRequest,
  decodeResponse,
  encodeMessage,
  encodeRequest,
  encodeResponse,
  ProtocolError
} from "@sluice/kafka/internal/protocol/codec"
import type { AnyApi, Encodable, Fields, Message } from "@sluice/kafka/internal/protocol/field"
import {
  array,
  arrayOf,
  bool,
  bytes,
  int8,
  int16,
  int32,
  int64,
  maxInt64,
  message,
  records,
  string,
  struct,
  uuid,
  zeroUuid
} from "@sluice/kafka/internal/protocol/field"
import { FastCheck } from "effect"

import { arbitraryMessage, completed } from "./arbitrary.ts"

/** One direction of an API, for tests that treat both alike. */
interface Side {
  readonly title: string
  readonly api: AnyApi
  readonly fields: Fields
  readonly encode: (version: number, body: any) => Uint8Array
  readonly decode: (version: number, bytes: Uint8Array) => any
}

const sides: ReadonlyArray<Side> = [...apis.values()].flatMap((api): ReadonlyArray<Side> => [
  {
    title: `${api.name} requests`,
    api,
    fields: api.request,
    encode: (version, body) => whole(encodeRequest(api, version, body)),
    decode: (version, bytes) => decodeRequest(api, version, bytes)
  },
  {
    title: `${api.name} responses`,
    api,
    fields: api.response,
    encode: (version, body) => whole(encodeResponse(api, version, body)),
    decode: (version, bytes) => decodeResponse(api, version, bytes)
  }
])

const versionsOf = (api: AnyApi): ReadonlyArray<number> =>
  Array.from({ length: api.versions[1] - api.versions[0] + 1 }, (_, i) => api.versions[0] + i)

/** A copy that is no Buffer, so that views of it compare equal to what was encoded. */
const whole = (parts: ReadonlyArray<Uint8Array>): Uint8Array => new Uint8Array(concat(parts))

const refuses = (what: () => unknown, expected: RegExp): ProtocolError => {
  try {
    what()
  } catch (error) {
    assert.instanceOf(error, ProtocolError)
    assert.match((error as ProtocolError).message, expected)
    return error as ProtocolError
  }
  return assert.fail(`was not refused: ${expected}`)
}

/** Versions 0 and 1 with fixed lengths, 2 and 3 flexible. */
const declare = <F extends Fields>(fields: F): Message<F> =>
  message({ name: "Example", versions: [0, 3], flexible: 2, fields })

const encoded = <F extends Fields>(declaration: Message<F>, version: number, value: Encodable<F>): Array<number> => [
  ...encodeMessage(declaration, version, value)
]

describe("messages", () => {
  describe.each(sides)("$title", ({ api, decode, encode, fields }) => {
    it.each(versionsOf(api))("come back as they went, version %i", (version) => {
      FastCheck.assert(
        FastCheck.property(arbitraryMessage(fields, version), (body) => {
          const bytes = encode(version, body)
          assert.deepStrictEqual(decode(version, bytes), completed(fields, body))
          assert.deepStrictEqual(encode(version, decode(version, bytes)), bytes)
        }),
        { numRuns: 25, seed: version }
      )
    })
  })
})

describe("what a decoder does with bytes that are no message", () => {
  /** Nothing but a ProtocolError may come out of it. */
  const survives = (side: Side, version: number, bytes: Uint8Array): void => {
    try {
      side.decode(version, bytes)
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      assert.strictEqual(error.api, side.api.name)
      assert.strictEqual(error.version, version)
      assert.isAtMost(error.position, bytes.length)
    }
  }

  const everyVersion = sides.flatMap((side) => versionsOf(side.api).map((version) => ({ side, version })))

  it("refuses every truncation", () => {
    for (const { side, version } of everyVersion) {
      const [body] = FastCheck.sample(arbitraryMessage(side.fields, version), { numRuns: 1, seed: 7 })
      const bytes = side.encode(version, body)
      for (let length = 0; length < bytes.length; length++) {
        refuses(() => side.decode(version, bytes.subarray(0, length)), /./)
      }
    }
  })

  it("refuses bytes after the message", () => {
    for (const { side, version } of everyVersion) {
      const [body] = FastCheck.sample(arbitraryMessage(side.fields, version), { numRuns: 1, seed: 8 })
      const bytes = side.encode(version, body)
      refuses(() => side.decode(version, concat([bytes, Uint8Array.of(0)])), /1 bytes more than the message/)
    }
  })

  it("ends in a ProtocolError or a message, soon: random bytes, mutations, huge lengths", () => {
    const hostile = FastCheck.oneof(
      FastCheck.constant([0xff, 0xff, 0xff, 0xff]),
      FastCheck.constant([0x7f, 0xff, 0xff, 0xff]),
      FastCheck.constant([0xff, 0xff, 0xff, 0xff, 0x07]),
      FastCheck.constant([0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
      FastCheck.constant([0x80, 0x00]),
      FastCheck.array(FastCheck.integer({ min: 0, max: 255 }), { minLength: 1, maxLength: 3 })
    )
    const started = performance.now()
    let decoded = 0
    for (const { side, version } of everyVersion) {
      FastCheck.assert(
        FastCheck.property(
          arbitraryMessage(side.fields, version),
          FastCheck.array(FastCheck.tuple(FastCheck.double({ min: 0, max: 1, noNaN: true }), hostile), {
            minLength: 1,
            maxLength: 3
          }),
          FastCheck.uint8Array({ maxLength: 60 }),
          (body, mutations, noise) => {
            const bytes = side.encode(version, body)
            for (const [place, replacement] of mutations) {
              const at = Math.floor(place * Math.max(0, bytes.length - replacement.length))
              bytes.set(replacement.slice(0, bytes.length), at)
              survives(side, version, bytes)
            }
            survives(side, version, noise)
            decoded += mutations.length + 1
          }
        ),
        { numRuns: 20, seed: 1000 + version }
      )
    }
    assert.isAbove(decoded, 4000)
    assert.isBelow(performance.now() - started, 10_000)
  })

  // An array's count is the one thing that makes a decoder allocate before it has read: each of these frames claims up to
  // 2^31 elements, and each decoder stands for a field of that kind.
  it("allocates nothing for elements that cannot be there", () => {
    const started = performance.now()
    for (
      const element of [bool, int8, int16, int32, int64, uuid, string, bytes, records, struct({ a: int8 }), array(int8)]
    ) {
      const declaration = declare({ values: array(element as typeof int8) })
      for (let i = 0; i < 200; i++) {
        refuses(
          () => decodeMessage(declaration, 0, Uint8Array.of(0x7f, 0xff, 0xff, 0xff, 0, 0, 0)),
          /values of 2147483647 elements in 3 bytes/
        )
        refuses(
          () => decodeMessage(declaration, 2, Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0x07, 0, 0)),
          /values of 2147483646 elements in 2 bytes/
        )
      }
    }
    assert.isBelow(performance.now() - started, 2_000)
  })

  it("takes time and memory in proportion to the frame, whatever is in it", () => {
    // The smallest elements that there are: two bytes each on the wire, an object and an array each in memory.
    const declaration = declare({ groups: arrayOf({ members: arrayOf({ name: string }) }) })
    const frame = new Uint8Array(1 << 20)
    for (let i = 3; i < frame.length - 1; i += 2) frame[i] = 1
    frame.set([0xff, 0xff, 0x1f])
    const before = process.memoryUsage().heapUsed
    const started = performance.now()
    assert.strictEqual(decodeMessage(declaration, 2, frame).groups.length, (frame.length - 4) / 2)
    assert.isBelow(process.memoryUsage().heapUsed - before, 100 * frame.length)
    // Each element claims as many elements as there is room for.
    for (let i = 3; i < frame.length; i++) frame[i] = [0x80, 0x80, 0x10][i % 3]!
    refuses(() => decodeMessage(declaration, 2, frame), /./)
    // As many tagged fields as a count can say, each empty.
    const tags = new Uint8Array(1 << 20)
    tags.set([0xff, 0xff, 0xff, 0xff, 0x07])
    refuses(() => decodeMessage(declare({}), 2, tags), /a varint without end/)
    assert.isBelow(performance.now() - started, 2_000)
  })

  it("reads nothing past the end: every kind of field", () => {
    const kinds = { bool, int8, int16, int32, int64, uuid, string, bytes, records }
    for (const [kind, field] of Object.entries(kinds)) {
      const declaration = declare({ value: field as typeof int8 })
      for (const version of [0, 2]) {
        assert.strictEqual(refuses(() => decodeMessage(declaration, version, new Uint8Array(0)), /./).position, 0, kind)
      }
    }
    refuses(() => decodeMessage(declare({ value: string }), 0, Uint8Array.of(0, 3, 97, 98)), /3 bytes expected, 2 left/)
    refuses(() => decodeMessage(declare({ value: bytes }), 2, Uint8Array.of(4, 97, 98)), /3 bytes expected, 2 left/)
  })

  it("refuses malformed lengths, nulls and varints", () => {
    const text = declare({ value: string })
    refuses(() => decodeMessage(text, 0, Uint8Array.of(0xff, 0xff)), /value is null/)
    refuses(() => decodeMessage(text, 0, Uint8Array.of(0xff, 0xfe)), /value has length -2/)
    refuses(() => decodeMessage(text, 2, Uint8Array.of(0, 0)), /value is null/)
    refuses(() => decodeMessage(text, 2, Uint8Array.of(0x80)), /a varint without end/)
    refuses(() => decodeMessage(text, 2, Uint8Array.of(0x80, 0x80, 0x80, 0x80, 0x08)), /a varint beyond 31 bits/)
    refuses(() => decodeMessage(text, 2, Uint8Array.of(0x80, 0x80, 0x80, 0x80, 0x80, 1)), /a varint beyond 31 bits/)
    refuses(() => decodeMessage(declare({ value: array(int8) }), 0, Uint8Array.of(0xff, 0xff, 0xff, 0xff)), /is null/)
    refuses(() => decodeMessage(declare({ value: bytes }), 0, Uint8Array.of(0x80, 0, 0, 0)), /length -2147483648/)
  })

  it("refuses a tagged section that does not hold together", () => {
    const declaration = declare({ value: int16.since(2).tagged(0) })
    assert.deepStrictEqual(decodeMessage(declaration, 2, Uint8Array.of(1, 0, 2, 1, 2)), { value: 258 })
    refuses(() => decodeMessage(declaration, 2, Uint8Array.of(1, 0, 1, 1, 2)), /value does not end with its 1 bytes/)
    refuses(() => decodeMessage(declaration, 2, Uint8Array.of(1, 0, 3, 1, 2, 3)), /value does not end with its 3 bytes/)
    refuses(() => decodeMessage(declaration, 2, Uint8Array.of(2, 0, 2, 1, 2)), /a varint without end/)
    refuses(() => decodeMessage(declaration, 2, Uint8Array.of(1, 9, 5, 1, 2)), /5 bytes expected, 2 left/)
  })

  it("skips tagged fields that it does not know", () => {
    const declaration = declare({ value: int8.since(2).tagged(1) })
    assert.deepStrictEqual(decodeMessage(declaration, 2, Uint8Array.of(3, 0, 2, 9, 9, 1, 1, 5, 7, 0)), { value: 5 })
  })
})

describe("what an encoder refuses", () => {
  it("a field that the version has, left out without a default", () => {
    const topic = { partitions: [] }
    const request = { maxWaitMs: 0, minBytes: 1, topics: [topic] }
    refuses(() => encodeRequest(Fetch, 12, request), /topics\.topic is missing/)
    refuses(() => encodeRequest(Fetch, 13, request), /topics\.topicId is missing/)
    // @ts-expect-error: the compiler says so too, where the field is in every version
    refuses(() => encodeRequest(JoinGroup, 9, { groupId: "g", sessionTimeoutMs: 1 }), /memberId is missing/)
  })

  it("a value that the version cannot carry, unless it is the default or may be ignored", () => {
    const request = { groupId: "g", sessionTimeoutMs: 1, memberId: "", protocolType: "consumer", protocols: [] }
    const plain = encodeRequest(JoinGroup, 7, request)
    assert.deepStrictEqual(encodeRequest(JoinGroup, 7, { ...request, reason: "ignored" }), plain)
    refuses(() => encodeRequest(FindCoordinator, 4, { key: "k", coordinatorKeys: [] }), /key is not in this version/)
    assert.deepStrictEqual(
      encodeRequest(FindCoordinator, 4, { key: "", coordinatorKeys: ["k"] }),
      encodeRequest(FindCoordinator, 4, { coordinatorKeys: ["k"] })
    )
    const topic = (lastFetchedEpoch: number) => ({
      maxWaitMs: 0,
      minBytes: 1,
      topics: [{
        topic: "t",
        partitions: [{ partition: 0, fetchOffset: 0, partitionMaxBytes: 1, lastFetchedEpoch }]
      }]
    })
    refuses(() => encodeRequest(Fetch, 11, topic(3)), /topics\.partitions\.lastFetchedEpoch is not in this version/)
    assert.isAbove(byteLength(encodeRequest(Fetch, 11, topic(-1))), 0)
  })

  it("structs, arrays and bytes that a version cannot carry, unless they hold nothing", () => {
    const declaration = declare({
      leader: struct({ id: int32.default(-1), rack: string.default("") }).since(1),
      racks: array(string).since(1),
      data: bytes.since(1)
    })
    const nothing = { leader: { id: -1 }, racks: [], data: new Uint8Array(0) }
    assert.deepStrictEqual(encoded(declaration, 0, nothing), [])
    refuses(() => encodeMessage(declaration, 0, { leader: { id: 0 } }), /leader is not in this version/)
    refuses(() => encodeMessage(declaration, 0, { racks: [""] }), /racks is not in this version/)
    refuses(() => encodeMessage(declaration, 0, { data: Uint8Array.of(0) }), /data is not in this version/)
  })

  it("null where the version has none", () => {
    const topics = [{ name: null }]
    refuses(() => encodeRequest(Metadata, 9, { topics }), /topics\.name is null, not a string/)
    assert.isAbove(byteLength(encodeRequest(Metadata, 10, { topics })), 0)
  })

  it("values of another type or range", () => {
    const wrong = (field: unknown, value: unknown) => () =>
      encodeMessage(declare({ value: field as any }), 0, { value })
    refuses(wrong(int8, 128), /value is 128, not int8/)
    refuses(wrong(int16, -32769), /value is -32769, not int16/)
    refuses(wrong(int32, 2 ** 31), /value is 2147483648, not int32/)
    refuses(wrong(int32, 1.5), /value is 1.5, not int32/)
    refuses(wrong(int32, NaN), /value is NaN, not int32/)
    refuses(wrong(int32, 1n), /value is bigint, not int32/)
    refuses(wrong(int64, 2 ** 53), /value is 9007199254740992, not an int64 within 2\^53/)
    refuses(wrong(int64, 1n), /value is bigint, not an int64 within 2\^53/)
    refuses(wrong(bool, 1), /value is 1, not a bool/)
    refuses(wrong(string, 1), /value is 1, not a string/)
    refuses(wrong(string, "ü".repeat(16_384)), /a string of 32768 bytes/)
    refuses(wrong(uuid, "short"), /"short" is no uuid/)
    refuses(wrong(uuid, "!!!!!!!!!!!!!!!!!!!!!!"), /is no uuid/)
    refuses(wrong(bytes, "text"), /value is string, not a Uint8Array/)
    refuses(wrong(array(int8), { length: 0 }), /value is object, not an array/)
    refuses(wrong(struct({}), null), /value is null, not a struct/)
    refuses(() => encodeMessage(declare({}), 0, null as never), /the message is null, not a struct/)
    refuses(wrong(arrayOf({ a: int8 }), [undefined]), /value is undefined, not a struct/)
  })

  it("versions that are not declared", () => {
    refuses(() => encodeRequest(Produce, 7, { acks: -1, timeoutMs: 1, topicData: [] }), /versions 8 to 12 are known/)
    refuses(() => decodeResponse(Produce, 13, new Uint8Array(0)), /versions 8 to 12 are known/)
    refuses(() => decodeResponse(Produce, 8.5, new Uint8Array(0)), /versions 8 to 12 are known/)
  })
})

describe("defaults", () => {
  it("fill what a version lacks, and say nothing about it", () => {
    const bytes = whole(encodeResponse(FindCoordinator, 4, { coordinators: [] }))
    // The implicit default of a nullable string is "" unless its definition says null: branch on the version.
    assert.deepStrictEqual(decodeResponse(FindCoordinator, 4, bytes), {
      throttleTimeMs: 0,
      errorCode: 0,
      errorMessage: "",
      nodeId: 0,
      host: "",
      port: 0,
      coordinators: []
    })
  })

  it("are shared, and frozen", () => {
    const response = whole(
      encodeResponse(FindCoordinator, 3, { errorCode: 0, errorMessage: null, nodeId: 1, host: "h", port: 1 })
    )
    const decoded = decodeResponse(FindCoordinator, 3, response)
    assert.throws(() => (decoded.coordinators as Array<unknown>).push(1), TypeError)
    const partition = { partitionIndex: 0, errorCode: 0, highWatermark: 0, abortedTransactions: null, records: null }
    const fetched = whole(
      encodeResponse(Fetch, 11, { errorCode: 0, responses: [{ topic: "t", partitions: [partition] }] })
    )
    const [first] = decodeResponse(Fetch, 11, fetched).responses[0]!.partitions
    assert.deepStrictEqual(first!.currentLeader, { leaderId: -1, leaderEpoch: -1 })
    assert.throws(() => Object.assign(first!.currentLeader, { leaderId: 1 }), TypeError)
  })

  it("of tagged fields take no bytes, however they are given", () => {
    const declaration = declare({
      leader: struct({ id: int32.default(-1), at: struct({ host: string }).since(2) }).since(2).tagged(0),
      racks: array(string).since(2).tagged(1),
      data: bytes.since(2).tagged(2),
      name: string.nullable().since(2).tagged(3).default(null)
    })
    const empty = [0]
    assert.deepStrictEqual(encoded(declaration, 2, {}), empty)
    assert.deepStrictEqual(
      encoded(declaration, 2, { leader: { id: -1, at: { host: "" } }, racks: [], data: new Uint8Array(0), name: null }),
      empty
    )
    assert.deepStrictEqual(encoded(declaration, 2, { data: Uint8Array.of(0), name: "" }), [2, 2, 2, 2, 0, 3, 1, 1])
  })

  it("go to the wire in the order of their tags", () => {
    const declaration = declare({ second: int8.since(2).tagged(1), first: int8.since(2).tagged(0) })
    assert.deepStrictEqual(encoded(declaration, 2, { second: 2, first: 1 }), [2, 0, 1, 1, 1, 1, 2])
  })
})

describe("int64", () => {
  const declaration = declare({ value: int64 })

  it("is a safe integer or 2^63-1, in both directions", () => {
    for (const value of [0, -1, 2 ** 32, -(2 ** 32) - 1, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER, maxInt64]) {
      const bytes = encodeMessage(declaration, 0, { value })
      assert.deepStrictEqual(decodeMessage(declaration, 0, bytes), { value })
      assert.strictEqual(Buffer.from(bytes).readBigInt64BE(), value === maxInt64 ? 2n ** 63n - 1n : BigInt(value))
    }
  })

  it("beyond that is refused, never rounded", () => {
    for (const value of [2n ** 53n, -(2n ** 53n), 2n ** 63n - 2n, -(2n ** 63n)]) {
      const bytes = Buffer.alloc(8)
      bytes.writeBigInt64BE(value)
      refuses(() => decodeMessage(declaration, 0, bytes), /an int64 beyond 2\^53/)
    }
  })
})

describe("bytes", () => {
  it("are not copied: records go by reference, and decoding gives views", () => {
    const first = Uint8Array.of(1, 2, 3)
    const second = new Uint8Array(100_000).fill(4)
    const request = {
      acks: -1,
      timeoutMs: 1,
      topicData: [{ name: "t", partitionData: [{ index: 0, records: first }, { index: 1, records: second }] }]
    }
    for (const version of [8, 9]) {
      const parts = encodeRequest(Produce, version, request)
      assert.strictEqual(parts.filter((part) => part === first || part === second).length, 2)
      const frame = whole(parts)
      const partitions = decodeRequest(Produce, version, frame).topicData[0]!.partitionData
      assert.deepStrictEqual(partitions.map(({ records }) => records), [first, second])
      for (const { records } of partitions) assert.strictEqual(records!.buffer, frame.buffer)
    }
  })

  it("in a message larger than the first chunk come out whole and in order", () => {
    const declaration = declare({ names: array(string), data: bytes })
    const value = { names: Array.from({ length: 2000 }, (_, i) => `näme-${i}`), data: new Uint8Array(70_000).fill(9) }
    for (const version of [0, 2]) {
      assert.deepStrictEqual(
        decodeMessage(declaration, version, new Uint8Array(encodeMessage(declaration, version, value))),
        value
      )
    }
  })
})

describe("null structs", () => {
  it("take a byte that says so", () => {
    const declaration = declare({ value: struct({ a: int8 }).nullable() })
    assert.deepStrictEqual(encoded(declaration, 0, { value: null }), [0xff])
    assert.deepStrictEqual(encoded(declaration, 0, { value: { a: 7 } }), [1, 7])
    assert.deepStrictEqual(decodeMessage(declaration, 0, Uint8Array.of(0xff)), { value: null })
    assert.deepStrictEqual(decodeMessage(declaration, 2, Uint8Array.of(1, 7, 0, 0)), { value: { a: 7 } })
  })
})

describe("uuids", () => {
  it("are written as Kafka prints them", () => {
    const declaration = declare({ value: uuid })
    assert.deepStrictEqual(encoded(declaration, 0, { value: zeroUuid }), new Array(16).fill(0))
    const bytes = Uint8Array.from({ length: 16 }, (_, i) => 255 - i)
    assert.deepStrictEqual(decodeMessage(declaration, 0, bytes), { value: "__79_Pv6-fj39vX08_Lx8A" })
  })
})

describe("the response to ApiVersions", () => {
  it("of a broker that lacks the version is error 35 in version 0", () => {
    const body = { errorCode: 35, apiKeys: [{ apiKey: 18, minVersion: 0, maxVersion: 2 }] }
    const refusal = whole(encodeResponse(ApiVersions, 0, body))
    refuses(() => decodeResponse(ApiVersions, 3, refusal), /./)
    const { apiKeys, errorCode } = decodeApiVersionsResponse(3, refusal)
    assert.deepStrictEqual({ apiKeys, errorCode }, body)
  })

  it("is of the version that was asked otherwise", () => {
    const body = { errorCode: 0, apiKeys: [], supportedFeatures: [{ name: "f", minVersion: 1, maxVersion: 2 }] }
    const bytes = whole(encodeResponse(ApiVersions, 3, body))
    assert.deepStrictEqual(decodeApiVersionsResponse(3, bytes).supportedFeatures, body.supportedFeatures)
    refuses(() => decodeApiVersionsResponse(3, new Uint8Array(0)), /./)
  })
})
