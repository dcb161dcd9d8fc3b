/** The transport over kafkajs, on a real broker. */
import { inspect } from "node:util"

import { afterAll, assert, beforeAll, describe, inject, it } from "@effect/vitest"
import { ApiVersions } from "@sluice/kafka/internal/protocol/api/apiVersions"
import { decodeResponse, encodeRequest } from "@sluice/kafka/internal/protocol/codec"
import { requestHeaderVersion, responseBody } from "@sluice/kafka/internal/protocol/header"
import { type BrokerAddress, type Connection, type ConnectOptions, Transport } from "@sluice/kafka/Transport"
import { KafkaJs } from "@sluice/kafkajs"
import { Duration, Effect, Fiber, Redacted, Schedule } from "effect"

import { type KafkaCluster, saslUsers, startKafka, unsecuredToken } from "./support/kafka.ts"

const options: ConnectOptions = {
  clientId: "sluice-test",
  connectTimeout: Duration.seconds(10),
  maxFrameBytes: 100 * 1024 * 1024
}

/** Milliseconds after which the broker closes a connection that has not authenticated again. */
const session = 2_500

let secured: KafkaCluster

beforeAll(async () => {
  secured = await startKafka({
    sasl: true,
    properties: {
      "connections.max.reauth.ms": session,
      "listener.name.sasl_plaintext.sasl.enabled.mechanisms": "PLAIN"
    }
  })
})

afterAll(() => secured.stop())

/** The first of some bootstrap servers. */
const addressOf = (servers: string | undefined): BrokerAddress => {
  const [host, port] = servers!.split(",")[0]!.split(":")
  return { host: host!, port: Number(port) }
}

const connect = (
  settings: KafkaJs.TransportOptions,
  servers: string | undefined,
  overrides?: Partial<ConnectOptions>
) =>
  Effect.flatMap(Transport, (transport) => transport.connect(addressOf(servers), { ...options, ...overrides })).pipe(
    Effect.provide(KafkaJs.transport(settings))
  )

const version = 3

/** Asks which APIs the broker speaks, and gives their number. */
const apiVersions = (connection: Connection) =>
  Effect.map(
    Effect.flatten(connection.send({
      apiKey: ApiVersions.key,
      apiVersion: version,
      headerVersion: requestHeaderVersion(ApiVersions, version),
      body: encodeRequest(ApiVersions, version, { clientSoftwareName: "sluice", clientSoftwareVersion: "1" }),
      expectResponse: true
    })),
    (bytes) => {
      const response = decodeResponse(ApiVersions, version, responseBody(ApiVersions, version, bytes))
      assert.strictEqual(response.errorCode, 0)
      return response.apiKeys.length
    }
  )

const password = (text: string) => Redacted.make(text)

const mechanisms: Record<string, KafkaJs.SaslOptions> = {
  "PLAIN": { mechanism: "plain", username: "alice", password: password(saslUsers.alice) },
  "SCRAM-SHA-256": { mechanism: "scram-sha-256", username: "alice", password: password(saslUsers.alice) },
  "SCRAM-SHA-512": { mechanism: "scram-sha-512", username: "alice", password: password(saslUsers.alice) },
  "OAUTHBEARER": {
    mechanism: "oauthbearer",
    oauthBearerProvider: Effect.sync(() => ({ value: Redacted.make(unsecuredToken("alice")) }))
  }
}

describe("a round trip", () => {
  it.scopedLive("without TLS and SASL", () =>
    Effect.gen(function*() {
      const connection = yield* connect({}, inject("kafka").listeners.plaintext)
      const answers = yield* Effect.all(Array.from({ length: 100 }, () => apiVersions(connection)), {
        concurrency: "unbounded"
      })
      assert.isAbove(answers[0]!, 40)
      assert.strictEqual(new Set(answers).size, 1)
    }))

  it.scopedLive("over TLS", () =>
    Effect.gen(function*() {
      const connection = yield* connect({ ssl: { ca: secured.ca } }, secured.listeners.ssl)
      assert.isAbove(yield* apiVersions(connection), 40)
    }))

  for (const [name, sasl] of Object.entries(mechanisms)) {
    it.scopedLive(`over TLS, with ${name}`, () =>
      Effect.gen(function*() {
        const connection = yield* connect({ ssl: { ca: secured.ca }, sasl }, secured.listeners.saslSsl)
        assert.isAbove(yield* apiVersions(connection), 40)
      }))
  }

  it.scopedLive("with PLAIN, without TLS", () =>
    Effect.gen(function*() {
      const connection = yield* connect({ sasl: mechanisms["PLAIN"] }, secured.listeners.saslPlaintext)
      assert.isAbove(yield* apiVersions(connection), 40)
    }))
})

describe("a refusal", () => {
  for (const mechanism of ["plain", "scram-sha-256", "scram-sha-512"] as const) {
    it.scopedLive(`a wrong password, with ${mechanism}`, () =>
      Effect.gen(function*() {
        const sasl = { mechanism, username: "alice", password: password("not-her-secret") }
        const error = yield* Effect.flip(connect({ ssl: { ca: secured.ca }, sasl }, secured.listeners.saslSsl))
        assert.strictEqual(error.reason, "AuthenticationFailed")
        assert.isFalse(error.written)
        assert.notInclude(inspect(error, { depth: null, showHidden: true }), "not-her-secret")
      }))
  }

  it.scopedLive("a token that is not valid any more", () =>
    Effect.gen(function*() {
      const sasl: KafkaJs.SaslOptions = {
        mechanism: "oauthbearer",
        oauthBearerProvider: async () => ({ value: unsecuredToken("alice", -3_600) })
      }
      const error = yield* Effect.flip(connect({ ssl: { ca: secured.ca }, sasl }, secured.listeners.saslSsl))
      assert.strictEqual(error.reason, "AuthenticationFailed")
    }))

  it.scopedLive("a mechanism that is not enabled", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(connect({ sasl: mechanisms["SCRAM-SHA-512"] }, secured.listeners.saslPlaintext))
      assert.strictEqual(error.reason, "AuthenticationFailed")
      assert.include(error.message, "does not support the requested SASL mechanism")
    }))

  it.scopedLive("a listener without SASL", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(connect({ sasl: mechanisms["PLAIN"] }, secured.listeners.plaintext))
      assert.strictEqual(error.reason, "AuthenticationFailed")
    }))

  it.scopedLive("an authority that is not trusted", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(connect({ ssl: true }, secured.listeners.ssl))
      assert.strictEqual(error.reason, "TlsFailed")
    }))
})

describe("the wrong listener", () => {
  it.scopedLive("without TLS to one with TLS", () =>
    Effect.gen(function*() {
      const connection = yield* connect({}, secured.listeners.ssl)
      const error = yield* Effect.flip(apiVersions(connection))
      assert.strictEqual(error.reason, "InvalidFrame")
      assert.include(error.message, "the listener speaks TLS")
    }))

  it.scopedLive("with SASL and without TLS to one with both", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(connect({ sasl: mechanisms["PLAIN"] }, secured.listeners.saslSsl))
      assert.strictEqual(error.reason, "InvalidFrame")
      assert.include(error.message, "the listener speaks TLS")
    }))

  it.scopedLive("with TLS to one without", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(connect({ ssl: true }, secured.listeners.plaintext))
      assert.strictEqual(error.reason, "ConnectFailed")
      assert.include(error.message, "does the listener speak TLS?")
    }))
})

describe("authenticating again", () => {
  it.scopedLive(
    "goes unnoticed, over several sessions, with requests all the time",
    () =>
      Effect.gen(function*() {
        const settings = [
          ...Object.values(mechanisms).map((sasl) => [{ ssl: { ca: secured.ca }, sasl }, "saslSsl"] as const),
          [{ sasl: mechanisms["PLAIN"] }, "saslPlaintext"] as const
        ]
        const rounds = yield* Effect.forEach(settings, ([transport, listener]) =>
          Effect.gen(function*() {
            const connection = yield* connect(transport, secured.listeners[listener])
            const ended = yield* Effect.fork(connection.closed)
            // Always a few in flight.
            const asking = apiVersions(connection).pipe(
              Effect.repeat(
                Schedule.spaced("5 millis").pipe(Schedule.upTo(3 * session), Schedule.intersect(Schedule.count))
              )
            )
            const answered = yield* Effect.all([asking, asking, asking], { concurrency: "unbounded" })
            assert.isNull(ended.unsafePoll())
            yield* Fiber.interrupt(ended)
            return answered
          }), { concurrency: "unbounded" })
        assert.lengthOf(rounds, 5)
      }),
    30_000
  )
})
