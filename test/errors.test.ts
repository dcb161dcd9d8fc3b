/** What a client says when it meets something else than the cluster it was told of: on real sockets, in bounded time. */
import { inspect } from "node:util"

import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import type { Kafka } from "@sluice/kafka"
import { Admin, Consumer, type KafkaError, Producer, Serde, Topic } from "@sluice/kafka"
import type { KafkaJs } from "@sluice/kafkajs"
import * as Conformance from "@sluice/testing/Conformance"
import { Cause, Duration, Effect, Redacted, type Scope, Stream } from "effect"
import { inject } from "vitest"

import { activeResources, client } from "./support/client.ts"
import { reportDuration } from "./support/duration.ts"
import { type KafkaAddresses, type KafkaCluster, type Listeners, saslUsers, startKafka } from "./support/kafka.ts"
import { babblingServer, closingServer, httpServer, proxy, silentServer, unusedAddress } from "./support/servers.ts"
import { uniqueName } from "./support/topics.ts"

reportDuration("Errors on real networks")

/** A cluster with TLS and SASL: that of the run, unless it is somebody's own and has none. */
let secured: KafkaAddresses
let own: KafkaCluster | undefined

beforeAll(async () => {
  const given = inject("kafka")
  if (given.ca === undefined) own = await startKafka({ sasl: true })
  secured = own ?? given
})

afterAll(() => own?.stop())

const deadline = 1_500

/** What comes on top of a deadline on a busy machine. */
const grace = 1_500

/** Short deadlines, and pauses as they are by default. */
const short: Partial<Kafka.KafkaOptions> = {
  apiTimeout: deadline,
  connectTimeout: "400 millis",
  requestTimeout: "1 second",
  retryBackoff: "100 millis"
}

/** Deadlines that nobody waits for, if what is final is seen to be. */
const long: Partial<Kafka.KafkaOptions> = { ...short, apiTimeout: "30 seconds", connectTimeout: "15 seconds" }

/** At the pauses above, and a jitter of a fifth, there is no room for more attempts before the deadline. */
const mostAttempts = 10

const secret = "not-her-secret"

const topic = Topic.make(uniqueName("errors"), { key: Serde.string, value: Serde.string })

/** Each of these is the first that a program does. */
const firsts: Record<string, Effect.Effect<unknown, KafkaError.KafkaError, Kafka.Kafka>> = {
  "a producer": Effect.scoped(Producer.make()),
  "a member of a group": Effect.scoped(Consumer.make({ groupId: topic.name, topics: [topic] })),
  "a consumer without a group": Effect.scoped(Consumer.assign({ topics: [topic] })),
  "a change of topics": Admin.createTopic(topic.name)
}

/** Everything that can be found in an error. */
const allText = (error: unknown): string =>
  [
    inspect(error, { depth: null, showHidden: true }),
    String(error),
    JSON.stringify(error),
    Cause.pretty(Cause.fail(error))
  ]
    .join("\n")

interface Expected {
  readonly tag: KafkaError.KafkaError["_tag"]
  readonly reason: KafkaError.ReasonTag
  /** In its message: for whoever has to find out what is wrong. */
  readonly message: string | RegExp
  /** Whether it must come at once, since trying again cannot help. */
  readonly atOnce?: boolean
}

/** Whatever is tried first fails as it should, in time, without a word about the password. */
const failsWith = (
  brokers: string,
  options: KafkaJs.TransportOptions,
  { atOnce = false, message, reason, tag }: Expected
) =>
  Effect.gen(function*() {
    const outcomes = yield* Effect.forEach(Object.entries(firsts), ([name, first]) =>
      first.pipe(
        Effect.provide(client(brokers, { ...(atOnce ? long : short), ...options })),
        Effect.flip,
        Effect.timed,
        Effect.map(([duration, error]) => ({ name, duration, error }))
      ), { concurrency: "unbounded" })
    assert.deepStrictEqual(
      outcomes.map(({ error, name }) => [name, error._tag, error.reason._tag, error.scope]),
      outcomes.map(({ name }) => [name, tag, reason, "client"])
    )
    for (const { duration, error, name } of outcomes) {
      if (typeof message === "string") assert.include(error.message, message, name)
      else assert.match(error.message, message, name)
      assert.notInclude(allText(error), secret, name)
      assert.isBelow(Duration.toMillis(duration), atOnce ? 10_000 : deadline + grace, name)
    }
  })

const memory = (): number => {
  const { arrayBuffers, heapUsed } = process.memoryUsage()
  return arrayBuffers + heapUsed
}

/** One test, that leaves nothing behind and takes no memory to speak of. */
const test = (name: string, self: Effect.Effect<void, unknown>) =>
  it.live(name, () =>
    Effect.gen(function*() {
      const before = memory()
      yield* Conformance.nothingLeft({ leftovers: activeResources })(self)
      assert.isBelow(memory() - before, 64 * 1024 * 1024)
    }))

describe("something else than a broker", () => {
  test(
    "nothing listens on the port",
    Effect.flatMap(unusedAddress, (address) =>
      failsWith(address, {}, {
        tag: "RetriableError",
        reason: "BrokersUnavailable",
        message: `ECONNREFUSED ${address}`
      }))
  )

  test(
    "no host has that name",
    // A label of more than 63 characters: no resolver asks the network about it.
    failsWith(`${"h".repeat(64)}.invalid:9092`, {}, {
      tag: "RetriableError",
      reason: "BrokersUnavailable",
      message: "ENOTFOUND"
    })
  )

  const servers = {
    "a server that speaks HTTP": {
      start: httpServer,
      expected: { tag: "FatalError", reason: "InvalidResponse", message: "an HTTP server answered", atOnce: true }
    },
    "a server that says nothing": {
      start: silentServer,
      expected: { tag: "RetriableError", reason: "BrokersUnavailable", message: /no answer|within/ }
    },
    "a server that hangs up": {
      start: closingServer,
      expected: { tag: "RetriableError", reason: "BrokersUnavailable", message: /closed the connection|ECONNRESET/ }
    },
    "a server that greets": {
      start: babblingServer(Buffer.from("220 mail.example.com ESMTP\r\n")),
      expected: { tag: "FatalError", reason: "InvalidResponse", message: "not Kafka's", atOnce: true }
    },
    "a server whose answer has no end": {
      start: babblingServer(Buffer.from([0x06, 0x00, 0x00, 0x00, 0, 0, 0, 0])),
      expected: { tag: "RetriableError", reason: "BrokersUnavailable", message: /no answer|within/ }
    }
  } as const
  for (const [name, { expected, start }] of Object.entries(servers)) {
    test(
      name,
      Effect.scoped(Effect.gen(function*() {
        const server = yield* start
        yield* failsWith(server.address, {}, expected)
        assert.isAtLeast(server.connections(), Object.keys(firsts).length)
        assert.isAtMost(
          server.connections(),
          Object.keys(firsts).length * ("atOnce" in expected ? 1 : mostAttempts)
        )
      }))
    )
  }
})

test(
  "deadlines hold where nothing can be interrupted",
  Effect.scoped(Effect.gen(function*() {
    const server = yield* silentServer
    const exits = yield* Effect.forEach(Object.values(firsts), (first) =>
      first.pipe(
        Effect.provide(client(server.address, short)),
        Effect.flip,
        Effect.uninterruptible,
        Effect.timed
      ), { concurrency: "unbounded" })
    for (const [duration, error] of exits) {
      assert.deepStrictEqual([error._tag, error.reason._tag], ["RetriableError", "BrokersUnavailable"])
      assert.isBelow(Duration.toMillis(duration), deadline + grace)
    }
  }))
)

describe("a broker that wants something else", () => {
  const password = Redacted.make(secret)
  const alice = { mechanism: "plain", username: "alice", password: Redacted.make(saslUsers.alice) } as const
  const cases: Record<
    string,
    {
      readonly listener: keyof Listeners
      readonly options: (ca: string | undefined) => KafkaJs.TransportOptions
      readonly expected: Expected
    }
  > = {
    "a wrong password, with PLAIN": {
      listener: "saslSsl",
      options: (ca) => ({ ssl: { ca }, sasl: { ...alice, password } }),
      expected: { tag: "FatalError", reason: "AuthenticationFailed", message: "SASL PLAIN", atOnce: true }
    },
    "a wrong password, with SCRAM": {
      listener: "saslPlaintext",
      options: () => ({ sasl: { ...alice, mechanism: "scram-sha-512", password } }),
      expected: { tag: "FatalError", reason: "AuthenticationFailed", message: "SASL SCRAM-SHA-512", atOnce: true }
    },
    "a user who is not known": {
      listener: "saslSsl",
      options: (ca) => ({ ssl: { ca }, sasl: { ...alice, mechanism: "scram-sha-256", username: "mallory", password } }),
      expected: { tag: "FatalError", reason: "AuthenticationFailed", message: "SASL SCRAM-SHA-256", atOnce: true }
    },
    "a SASL mechanism that is not enabled": {
      listener: "saslSsl",
      options: (ca) => ({
        ssl: { ca },
        sasl: {
          mechanism: "aws",
          authorizationIdentity: "alice",
          accessKeyId: "alice",
          secretAccessKey: password
        }
      }),
      expected: { tag: "FatalError", reason: "AuthenticationFailed", message: "SASL", atOnce: true }
    },
    "SASL where there is none": {
      listener: "plaintext",
      options: () => ({ sasl: { ...alice, password } }),
      expected: { tag: "FatalError", reason: "AuthenticationFailed", message: "SASL", atOnce: true }
    },
    "no SASL where it is wanted": {
      listener: "saslPlaintext",
      options: () => ({}),
      expected: { tag: "RetriableError", reason: "BrokersUnavailable", message: "does the listener want SASL?" }
    },
    "no TLS where it is wanted": {
      listener: "ssl",
      options: () => ({}),
      expected: { tag: "FatalError", reason: "InvalidResponse", message: "the listener speaks TLS", atOnce: true }
    },
    "TLS where there is none": {
      listener: "plaintext",
      options: (ca) => ({ ssl: { ca } }),
      expected: { tag: "RetriableError", reason: "BrokersUnavailable", message: "does the listener speak TLS?" }
    },
    "an authority that is not trusted": {
      listener: "ssl",
      options: () => ({ ssl: true }),
      expected: { tag: "FatalError", reason: "TlsFailed", message: /certificate/, atOnce: true }
    }
  }
  for (const [name, { expected, listener, options }] of Object.entries(cases)) {
    test(
      name,
      Effect.scoped(Effect.gen(function*() {
        // The proxy has another port, and the name that the certificate is for.
        const server = yield* proxy(secured.listeners[listener]!.replace("localhost", "127.0.0.1"))
        yield* failsWith(server.address.replace("127.0.0.1", "localhost"), options(secured.ca), expected)
        const attempts = server.connections() / Object.keys(firsts).length
        assert.isAtLeast(attempts, 1)
        assert.isAtMost(attempts, expected.atOnce === true ? 1 : mostAttempts)
      }))
    )
  }
})

describe("a cluster with something missing", () => {
  test(
    "one bootstrap address that works is enough",
    Effect.scoped(Effect.gen(function*() {
      const addresses = [
        yield* unusedAddress,
        (yield* silentServer).address,
        (yield* httpServer).address,
        inject("kafka").brokers
      ]
      const name = uniqueName("errors")
      const lines = Topic.make(name, { key: Serde.string, value: Serde.string })
      const program = Effect.gen(function*() {
        yield* Admin.createTopic(name)
        const producer = yield* Producer.make()
        yield* producer.send(lines.record({ value: "arrived" }))
        const consumer = yield* Consumer.assign({ topics: [lines] })
        const [record] = yield* Stream.runCollect(Stream.take(consumer.records, 1))
        return record!.value
      })
      const read = yield* Effect.forEach(
        [addresses, [...addresses].reverse()],
        (brokers) =>
          Effect.scoped(program).pipe(
            Effect.catchIf((error) => error.reason._tag === "TopicAlreadyExists", () => Effect.succeed("arrived")),
            Effect.provide(client(brokers.join(","), { ...short, apiTimeout: "20 seconds" }))
          )
      )
      assert.deepStrictEqual(read, ["arrived", "arrived"])
    }))
  )

  test(
    "an unknown topic",
    Effect.gen(function*() {
      const unknown = Topic.make(uniqueName("unknown"), { key: Serde.string, value: Serde.string })
      const uses: Record<string, Effect.Effect<unknown, KafkaError.KafkaError, Kafka.Kafka | Scope.Scope>> = {
        send: Effect.flatMap(Producer.make(), (producer) => producer.send(unknown.record({ value: "v" }))),
        make: Consumer.make({ groupId: unknown.name, topics: [unknown] }),
        assign: Consumer.assign({ topics: [unknown] })
      }
      yield* Effect.forEach(Object.entries(uses), ([name, use]) =>
        Effect.gen(function*() {
          const [duration, error] = yield* Effect.timed(Effect.flip(Effect.scoped(use)))
          assert.deepStrictEqual(
            [error._tag, error.reason._tag, error.reason.topic, error.scope],
            ["RetriableError", "UnknownTopicOrPartition", unknown.name, "topic"],
            name
          )
          assert.strictEqual(error.persisted, name === "send" ? "no" : undefined)
          assert.isBelow(Duration.toMillis(duration), deadline + grace, name)
        }), { concurrency: "unbounded", discard: true })
    }).pipe(Effect.provide(client(inject("kafka").brokers, short)))
  )
})
