import { assert, describe, it } from "@effect/vitest"
import { Check } from "@sluice/kafka/internal/cluster/settings"
import { codecLookup, gzip } from "@sluice/kafka/internal/kernel/compression"
import { parseCompression } from "@sluice/kafka/internal/producer/compression"
import * as Kafka from "@sluice/kafka/Kafka"
import * as Producer from "@sluice/kafka/Producer"
import * as Serde from "@sluice/kafka/Serde"
import * as Topic from "@sluice/kafka/Topic"
import { Duration, Effect, Layer } from "effect"

import { allValues, count, line } from "./lines.ts"
import { wired, Wires } from "./wire.ts"

const badDurations: ReadonlyArray<unknown> = [
  -1,
  NaN,
  Infinity,
  "soon",
  "-5 seconds",
  "",
  null,
  {},
  [-1, 0],
  -5n,
  Duration.infinity,
  true
]
const badBytes: ReadonlyArray<unknown> = [0, -1, 1.5, NaN, Infinity, "1", null, 2 ** 60]

const each = (options: Record<string, ReadonlyArray<unknown>>): ReadonlyArray<readonly [string, unknown]> =>
  Object.entries(options).flatMap(([option, values]) => values.map((value) => [option, value] as const))

const show = (value: unknown): string => {
  if (typeof value === "bigint") return `${value}n`
  return typeof value === "object" || typeof value === "string" ? JSON.stringify(value) : String(value)
}

describe("the client's options", () => {
  const bad = each({
    brokers: [
      "",
      ",",
      " , ",
      [],
      [""],
      "localhost",
      "localhost:",
      ":9092",
      "localhost:0",
      "localhost:65536",
      "localhost:9092x",
      "localhost:-1",
      "kafka://localhost:9092",
      "user@host:9092",
      "::1:9092",
      "[::1]",
      "[nonsense]:9092",
      "a b:9092",
      "good:9092,bad",
      ["good:9092", "bad:"],
      [9092],
      [null],
      undefined,
      null,
      9092
    ],
    clientId: [7, "x".repeat(250), null, {}].filter((id) => id !== null),
    connectTimeout: [...badDurations, 0],
    requestTimeout: [...badDurations, 0],
    apiTimeout: [...badDurations, 0],
    retryBackoff: [...badDurations, 0],
    retryBackoffMax: [...badDurations, 99],
    metadataMaxAge: [...badDurations, 99],
    maxFrameBytes: [...badBytes, 1023]
  })

  for (const [option, value] of bad) {
    it.effect(`${option} ${show(value)}`, () =>
      Effect.gen(function*() {
        const { connects } = yield* Wires
        const layer = Kafka.layer({ brokers: "localhost:9092", [option]: value })
        const error = yield* Effect.flip(Effect.scoped(Layer.build(layer)))
        assert.strictEqual(error._tag, "FatalError")
        assert.deepStrictEqual(error.reason, { _tag: "InvalidArgument" })
        assert.match(error.message, new RegExp(`^Kafka: ${option} `))
        assert.deepStrictEqual(connects, [])
      }).pipe(Effect.provide(wired())))
  }

  it.effect("are taken as they should be", () =>
    Effect.gen(function*() {
      for (const brokers of ["a:1", " a:1 , b:2 ", ["a:1", "[::1]:9092"], "10.0.0.1:65535"]) {
        const layer = Kafka.layer({ brokers, connectTimeout: [1, 5], requestTimeout: "2 hours", apiTimeout: 10n ** 9n })
        assert.isDefined(yield* Effect.scoped(Layer.build(layer)))
      }
    }).pipe(Effect.provide(wired())))
})

describe("a producer's options", () => {
  const bad = each({
    acks: ["1", 1, -1, true, null, "ALL"],
    idempotent: ["yes", 1, null],
    compression: ["zip", true, 1, null, 4],
    linger: [...badDurations, "2 minutes", "1 hour"],
    batchBytes: badBytes,
    batchRecords: [0, -1, 1.5, "1", NaN],
    maxInFlight: [0, 6, 1.5, "5"],
    ackTimeout: [...badDurations, 0, "1000 days"],
    retries: [-1, 0.5, "3", NaN],
    maxRecordBytes: badBytes,
    bufferBytes: [...badBytes, 1024 * 1024 - 1],
    deliveryTimeout: [...badDurations, 0],
    closeTimeout: badDurations
  })

  for (const [option, value] of bad) {
    it.effect(`${option} ${show(value)}`, () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(Producer.make({ [option]: value }))
        assert.strictEqual(error._tag, "FatalError")
        assert.deepStrictEqual(error.reason, { _tag: "InvalidArgument" })
        assert.match(error.message, new RegExp(`^Producer: ${option} `))
        assert.deepStrictEqual((yield* Wires).connects, [])
      }).pipe(Effect.scoped, Effect.provide(wired())))
  }

  for (
    const [what, compression, message] of [
      ["no type", {}, "compression.type must be"],
      ["a type without levels", { type: "lz4", level: 1 }, "compression.type must be"],
      [
        "level 0 of gzip",
        { type: "gzip", level: 0 },
        "compression.level must be a whole number between 1 and 9, got 0"
      ],
      ["level 10 of gzip", { type: "gzip", level: 10 }, "compression.level must be a whole number between 1 and 9"],
      [
        "level 23 of zstd",
        { type: "zstd", level: 23 },
        "compression.level must be a whole number between -131072 and 22"
      ],
      ["half a level", { type: "zstd", level: 1.5 }, "compression.level must be a whole number"],
      ["a level of text", { type: "gzip", level: "9" }, "compression.level must be a whole number"]
    ] as const
  ) {
    it.effect(`compression with ${what}`, () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(Producer.make({ compression: compression as any }))
        assert.deepStrictEqual([error._tag, error.reason], ["FatalError", { _tag: "InvalidArgument" }])
        assert.include(error.message, `Producer: ${message}`)
      }).pipe(Effect.scoped, Effect.provide(wired())))
  }

  it.effect("compression that this Node lacks", () =>
    Effect.gen(function*() {
      const lacks = codecLookup([gzip])
      for (const compression of ["zstd", { type: "zstd", level: 1 }] as const) {
        const error = yield* Effect.flip(parseCompression(new Check("Producer"), compression, lacks))
        assert.deepStrictEqual([error._tag, error.reason], ["FatalError", { _tag: "InvalidArgument" }])
        assert.include(error.message, "Producer: compression is \"zstd\", and zstd needs Node 22.15 or 23.8, or newer")
      }
    }))

  const badDelivery = each({
    handler: [undefined, "no", {}],
    concurrency: [0, -1, 1.5, 10_001, "2"],
    maxPending: [0, -1, 1.5, Infinity],
    closeTimeout: badDurations
  })

  for (const [option, value] of badDelivery) {
    it.effect(`onDelivery.${option} ${show(value)}`, () =>
      Effect.gen(function*() {
        const onDelivery = { handler: () => Effect.void, [option]: value }
        const error = yield* Effect.flip(Producer.make({ onDelivery: onDelivery as never }))
        assert.deepStrictEqual(error.reason, { _tag: "InvalidArgument" })
        assert.match(error.message, new RegExp(`^Producer: onDelivery\\.${option} `))
        assert.deepStrictEqual((yield* Wires).connects, [])
      }).pipe(Effect.scoped, Effect.provide(wired())))
  }

  it.effect("exclude each other: idempotent and acks leader", () =>
    Effect.gen(function*() {
      for (const acks of ["leader", "none"] as const) {
        const error = yield* Effect.flip(Producer.make({ acks, idempotent: true }))
        assert.include(error.message, "idempotent needs acks \"all\"")
      }
      assert.deepStrictEqual((yield* Wires).connects, [])
    }).pipe(Effect.scoped, Effect.provide(wired())))
})

describe("a record", () => {
  const throwing = (thrown: unknown) =>
    Serde.make<string>({
      serialize: () => {
        throw thrown
      },
      deserialize: String
    })
  const giving = (bytes: unknown) => Serde.make<string>({ serialize: () => bytes as Uint8Array, deserialize: String })
  const named = (name: unknown) => Topic.make(name as string, { key: Serde.string, value: Serde.string })
  const serde = (part: "key" | "value", serde: Serde.Serde<string>) =>
    Topic.make("lines", { key: Serde.string, value: Serde.string, [part]: serde }).record({ key: "k", value: "v" })

  const bad: ReadonlyArray<readonly [problem: string, record: Topic.AnyRecord, tag: string]> = [
    ...["", ".", "..", "a/b", "a b", "ü", "x".repeat(250), "a\n", undefined, null, 7].map((name) =>
      [`for topic ${show(name).slice(0, 20)}`, named(name).record({ value: "v" }), "InvalidTopicException"] as const
    ),
    ...[-1, 1.5, NaN, 2 ** 31, Infinity, "1", null].map((partition) =>
      [`for partition ${show(partition)}`, line("v", { partition: partition as never }), "InvalidArgument"] as const
    ),
    ...[-1, 1.5, NaN, 2 ** 60, "1", new Date()].map((timestamp) =>
      [`with timestamp ${show(timestamp)}`, line("v", { timestamp: timestamp as never }), "InvalidArgument"] as const
    ),
    ...[1, undefined, {}, ["a"], true].map((value) =>
      [
        `with header value ${show(value)}`,
        line("v", { headers: [{ key: "h", value: value as never }] }),
        "InvalidArgument"
      ] as const
    ),
    ...[1, undefined, null].map((key) =>
      [
        `with header key ${show(key)}`,
        line("v", { headers: [{ key: key as never, value: "v" }] }),
        "InvalidArgument"
      ] as const
    ),
    ...[{ a: "b" }, "ab", 1, null, [null], ["ab"], [undefined]].map((headers) =>
      [`with headers ${show(headers)}`, line("v", { headers: headers as never }), "InvalidArgument"] as const
    ),
    ...[new Error("no"), "no", null, undefined].map((thrown) =>
      [`whose key's serializer throws ${thrown}`, serde("key", throwing(thrown)), "SerializationFailed"] as const
    ),
    ["whose value's serializer throws", serde("value", throwing(new Error("no"))), "SerializationFailed"],
    ["whose key's serializer gives a string", serde("key", giving("text")), "SerializationFailed"],
    ["whose value's serializer gives undefined", serde("value", giving(undefined)), "SerializationFailed"],
    ["whose value's serializer gives null", serde("value", giving(null)), "SerializationFailed"],
    ["whose value is too large", line("x".repeat(1001)), "MessageTooLarge"],
    ["whose key is too large", line("", { key: "x".repeat(1001) }), "MessageTooLarge"],
    [
      "whose headers are too large",
      line("", { headers: count(200).map((key) => ({ key, value: "value" })) }),
      "MessageTooLarge"
    ]
  ]

  for (const [problem, record, tag] of bad) {
    it.effect(`${problem} is refused by itself, and nothing is sent`, () =>
      Effect.gen(function*() {
        const wire = yield* Wires
        const producer = yield* Producer.make({ maxRecordBytes: 1000 })
        yield* producer.send(line("0"))
        const requests = wire.requests.length
        const errors = [
          yield* Effect.flip(producer.send(record)),
          yield* Effect.flip(producer.enqueue(record)),
          yield* Effect.flip(producer.sendAll([record])).pipe(
            Effect.map(({ results: [result] }) => result?._tag === "Failed" ? result.error : undefined)
          )
        ]
        for (const error of errors) {
          assert.deepInclude(error, { _tag: "FatalError", persisted: "no" })
          assert.strictEqual(error?.reason._tag, tag)
          assert.strictEqual(error?.reason.topic, record.topic.name)
        }
        assert.strictEqual(wire.requests.length, requests)
        yield* producer.send(line("1"))
        assert.deepStrictEqual(yield* allValues(), ["0", "1"])
      }).pipe(Effect.scoped, Effect.provide(wired({ topics: { lines: 1 } }))))
  }

  it.effect("for a partition that is not there is refused after one look", () =>
    Effect.gen(function*() {
      const wire = yield* Wires
      const producer = yield* Producer.make()
      yield* producer.send(line("0"))
      const requests = wire.requests.length
      const error = yield* Effect.flip(producer.send(line("v", { partition: 1 })))
      assert.deepInclude(error, { _tag: "RetriableError", scope: "record", persisted: "no" })
      assert.deepInclude(error.reason, { _tag: "UnknownTopicOrPartition", topic: "lines", partition: 1 })
      assert.include(error.message, "the topic has 1 partitions")
      assert.deepStrictEqual(wire.requests.slice(requests).map(({ api }) => api), ["Metadata"])
    }).pipe(Effect.scoped, Effect.provide(wired({ topics: { lines: 1 } }))))
})
