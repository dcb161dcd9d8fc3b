import { inspect } from "node:util"

import { assert, describe, it } from "@effect/vitest"
import type { Connection, ConnectOptions, RequestFrame, TransportError } from "@sluice/kafka/Transport"
import { Cause, Chunk, Duration, Effect, Exit, Fiber, Inspectable, Redacted, Scope, TestClock } from "effect"

import { connect } from "../src/internal/connection.ts"
import type { SaslOptions } from "../src/KafkaJs.ts"
import {
  acceptHandshake,
  answerAuthenticate,
  authenticateResponse,
  handshakeResponse,
  type Peer,
  responseFrame,
  scriptedBroker
} from "./scriptedBroker.ts"

const options: ConnectOptions = {
  clientId: "sluice-test",
  connectTimeout: Duration.seconds(10),
  maxFrameBytes: 1024 * 1024
}

const secret = "do-not-print-me"
const plain: SaslOptions = { mechanism: "plain", username: "alice", password: Redacted.make(secret) }
const scram: SaslOptions = { ...plain, mechanism: "scram-sha-256" }
const oauth: SaslOptions = {
  mechanism: "oauthbearer",
  oauthBearerProvider: Effect.succeed({ value: Redacted.make(secret) })
}

const saslHandshake = 17
const saslAuthenticate = 36
const refused = { errorCode: 58, errorMessage: "Authentication failed: Invalid username or password" }

const request: RequestFrame = { apiKey: 3, apiVersion: 12, headerVersion: 2, body: [], expectResponse: true }

/** Opens a connection against a broker that plays its part. */
const opening = <A>(sasl: SaslOptions, script: (peer: Peer) => Effect.Effect<A>) =>
  Effect.gen(function*() {
    const broker = yield* scriptedBroker()
    const connecting = yield* Effect.fork(connect({ sasl })(broker.address, options))
    const peer = yield* broker.accept
    const said = yield* script(peer)
    return { connecting, peer, said }
  })

const opened = <A>(sasl: SaslOptions, script: (peer: Peer) => Effect.Effect<A>) =>
  Effect.flatMap(
    opening(sasl, script),
    ({ connecting, ...rest }) => Effect.map(Fiber.join(connecting), (connection) => ({ connection, ...rest }))
  )

const failed = (sasl: SaslOptions, script: (peer: Peer) => Effect.Effect<unknown>) =>
  Effect.flatMap(
    opening(sasl, script),
    ({ connecting, peer }) => Effect.zipLeft(Effect.flip(Fiber.join(connecting)), peer.closed)
  )

const ask = (connection: Connection, frame = request) =>
  Effect.flatMap(connection.send(frame), (answer) => Effect.fork(answer))

/** Everything that somebody may print. */
const renderings = (error: TransportError): ReadonlyArray<string> => [
  String(error),
  error.message,
  String(error.stack),
  inspect(error, { depth: null, showHidden: true }),
  JSON.stringify(error),
  String(JSON.stringify(error.cause)),
  Inspectable.toStringUnknown(error),
  Cause.pretty(Cause.fail(error), { renderErrorCause: true }),
  Cause.pretty(Cause.die(error.cause), { renderErrorCause: true })
]

const assertSecretFree = (error: TransportError): void => {
  for (const text of renderings(error)) {
    assert.notInclude(text, secret)
    assert.notInclude(text, Buffer.from(secret).toString("base64"))
  }
}

describe("mechanisms", () => {
  it.scoped("PLAIN, in protocol messages", () =>
    Effect.gen(function*() {
      const { connection, peer, said } = yield* opened(plain, (peer) =>
        Effect.gen(function*() {
          const handshake = yield* peer.request
          assert.deepInclude(handshake, { apiKey: saslHandshake, apiVersion: 1, clientId: "sluice-test" })
          peer.respond(handshake.correlationId, handshakeResponse(0, ["PLAIN"]))
          const authenticate = yield* peer.request
          assert.deepInclude(authenticate, { apiKey: saslAuthenticate, apiVersion: 1 })
          peer.respond(authenticate.correlationId, authenticateResponse())
          return authenticate.rest.toString("utf8", 4)
        }))
      assert.strictEqual(said, `\0alice\0${secret}`)
      const answer = yield* ask(connection)
      peer.respond((yield* peer.request).correlationId, Buffer.from("yes"))
      assert.strictEqual(Buffer.from(yield* Fiber.join(answer)).toString(), "yes")
      assert.notInclude(inspect(connection, { depth: null, showHidden: true }), secret)
    }))

  it.scoped("a password as a plain string", () =>
    Effect.gen(function*() {
      const { said } = yield* opened({ mechanism: "plain", username: "bob", password: "bob-secret" }, (peer) =>
        Effect.zipRight(acceptHandshake(peer), answerAuthenticate(peer)))
      assert.strictEqual(said, "\0bob\0bob-secret")
    }))

  it.scoped("AWS", () =>
    Effect.gen(function*() {
      const { said } = yield* opened({
        mechanism: "aws",
        authorizationIdentity: "identity",
        accessKeyId: "key",
        secretAccessKey: Redacted.make("s1"),
        sessionToken: Redacted.make("s2")
      }, (peer) => Effect.zipRight(acceptHandshake(peer), answerAuthenticate(peer)))
      assert.strictEqual(said, "identity\0key\0s1\0s2")
    }))

  it.scoped("OAUTHBEARER, with extensions, from a promise", () =>
    Effect.gen(function*() {
      const sasl: SaslOptions = {
        mechanism: "oauthbearer",
        oauthBearerProvider: async () => ({ value: "token", extensions: { logicalCluster: "c1", pool: "p2" } })
      }
      const { said } = yield* opened(sasl, (peer) => Effect.zipRight(acceptHandshake(peer), answerAuthenticate(peer)))
      assert.strictEqual(said, "n,,\u0001auth=Bearer token\u0001logicalCluster=c1\u0001pool=p2\u0001\u0001")
    }))

  it.scoped("OAUTHBEARER, from an effect", () =>
    Effect.gen(function*() {
      const { said } = yield* opened(oauth, (peer) => Effect.zipRight(acceptHandshake(peer), answerAuthenticate(peer)))
      assert.strictEqual(said, `n,,\u0001auth=Bearer ${secret}\u0001\u0001`)
    }))

  it.scoped("one of the application's own", () =>
    Effect.gen(function*() {
      const sasl: SaslOptions = {
        mechanism: "custom",
        authenticationProvider: ({ host, saslAuthenticate }) => ({
          authenticate: async () => {
            await saslAuthenticate({ request: { encode: () => Buffer.from(`\0\0\0\u0009${host}`) } })
          }
        })
      }
      const { said } = yield* opened(sasl, (peer) =>
        Effect.gen(function*() {
          assert.strictEqual(yield* acceptHandshake(peer), "CUSTOM")
          return yield* answerAuthenticate(peer)
        }))
      assert.strictEqual(said, "127.0.0.1")
    }))
})

describe("refusals", () => {
  it.scoped("a wrong password", () =>
    Effect.gen(function*() {
      const error = yield* failed(plain, (peer) =>
        Effect.zipRight(acceptHandshake(peer), answerAuthenticate(peer, refused)))
      assert.strictEqual(error.reason, "AuthenticationFailed")
      assert.include(error.message, "Invalid username or password")
      assert.isFalse(error.written)
      assertSecretFree(error)
    }))

  it.scoped("a wrong password, and the connection closed with it", () =>
    Effect.gen(function*() {
      const error = yield* failed(plain, (peer) =>
        Effect.gen(function*() {
          yield* acceptHandshake(peer)
          yield* answerAuthenticate(peer, refused)
          peer.socket.end()
        }))
      assert.strictEqual(error.reason, "AuthenticationFailed")
    }))

  it.scoped("a mechanism that is not enabled", () =>
    Effect.gen(function*() {
      for (const errorCode of [33, 0]) {
        const error = yield* failed(scram, (peer) =>
          Effect.map(peer.request, ({ correlationId }) =>
            peer.respond(correlationId, handshakeResponse(errorCode, ["GSSAPI"]))))
        assert.strictEqual(error.reason, "AuthenticationFailed")
        assert.match(error.message, /SCRAM-SHA-256.*mechanism/)
        assertSecretFree(error)
      }
    }))

  it.scoped("a token: the broker's reason is acknowledged, and told", () =>
    Effect.gen(function*() {
      const acknowledged: Array<string> = []
      const error = yield* failed(oauth, (peer) =>
        Effect.gen(function*() {
          yield* acceptHandshake(peer)
          yield* answerAuthenticate(peer, { bytes: "{\"status\":\"invalid_token\"}" })
          acknowledged.push(yield* answerAuthenticate(peer, { errorCode: 58, errorMessage: "invalid_token" }))
        }))
      assert.deepStrictEqual(acknowledged, ["\u0001"])
      assert.strictEqual(error.reason, "AuthenticationFailed")
      assert.include(error.message, "invalid_token")
      assertSecretFree(error)
    }))

  it.scoped("a token, by a broker that does not fail after all", () =>
    Effect.gen(function*() {
      const error = yield* failed(oauth, (peer) =>
        Effect.gen(function*() {
          yield* acceptHandshake(peer)
          yield* answerAuthenticate(peer, { bytes: "{\"status\":\"invalid_token\"}" })
          yield* answerAuthenticate(peer)
        }))
      assert.strictEqual(error.reason, "AuthenticationFailed")
      assert.include(error.message, "{\"status\":\"invalid_token\"}")
    }))

  it.scoped("a server that does not know the password either", () =>
    Effect.gen(function*() {
      const error = yield* failed(scram, (peer) =>
        Effect.gen(function*() {
          yield* acceptHandshake(peer)
          const first = yield* peer.request
          const nonce = /r=(.*)$/.exec(first.rest.toString("utf8"))![1]
          peer.respond(
            first.correlationId,
            authenticateResponse({ bytes: `r=${nonce}server,s=${Buffer.from("salt").toString("base64")},i=4096` })
          )
          yield* answerAuthenticate(peer, { bytes: `v=${Buffer.alloc(32).toString("base64")}` })
        }))
      assert.strictEqual(error.reason, "AuthenticationFailed")
      assert.include(error.message, "Invalid server signature")
      assertSecretFree(error)
    }))
})

describe("what may be tried again", () => {
  it.scoped("a broker that closes", () =>
    Effect.gen(function*() {
      const error = yield* failed(plain, (peer) =>
        Effect.gen(function*() {
          yield* acceptHandshake(peer)
          yield* peer.request
          peer.socket.end()
        }))
      assert.strictEqual(error.reason, "ConnectFailed")
      assert.include(error.message, "closed the connection during SASL authentication")
      assertSecretFree(error)
    }))

  it.scoped("a broker that is silent", () =>
    Effect.gen(function*() {
      const error = yield* failed(plain, (peer) => Effect.zipRight(peer.request, TestClock.adjust("10 seconds")))
      assert.strictEqual(error.reason, "ConnectFailed")
      assert.include(error.message, "no SASL authentication within 10s")
      assertSecretFree(error)
    }))

  it.scoped("a connection that ends before the next message of SASL", () =>
    Effect.gen(function*() {
      const error = yield* failed(plain, (peer) =>
        Effect.map(peer.request, ({ correlationId }) =>
          peer.socket.write(Buffer.concat([
            responseFrame(correlationId, handshakeResponse(0, ["PLAIN"])),
            responseFrame(correlationId, Buffer.alloc(0))
          ]))))
      assert.strictEqual(error.reason, "InvalidFrame")
      assert.include(error.message, "none is in flight")
    }))

  it.scoped("a listener that speaks TLS", () =>
    Effect.gen(function*() {
      const error = yield* failed(plain, (peer) =>
        Effect.map(peer.bytes, () => peer.socket.write(Buffer.from([0x15, 3, 3, 0, 2, 2, 0x50]))))
      assert.strictEqual(error.reason, "InvalidFrame")
      assert.include(error.message, "set `ssl`")
    }))

  it.scoped("a provider of tokens that fails", () =>
    Effect.gen(function*() {
      const cause = new Error("identity provider is down")
      for (const oauthBearerProvider of [Effect.fail(cause), () => Promise.reject(cause)]) {
        const error = yield* failed({ mechanism: "oauthbearer", oauthBearerProvider }, () => Effect.void)
        assert.strictEqual(error.reason, "ConnectFailed")
        assert.include(error.message, "identity provider is down")
        assert.strictEqual(error.cause, cause)
      }
    }))

  it.scoped("a provider of tokens that neither answers nor can be interrupted", () =>
    Effect.gen(function*() {
      const oauthBearerProvider = Effect.uninterruptible(Effect.never)
      const { connecting } = yield* opening({ mechanism: "oauthbearer", oauthBearerProvider }, () => Effect.void)
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual((yield* Effect.flip(Fiber.join(connecting))).reason, "ConnectFailed")
    }))
})

describe("authenticating again (KIP-368)", () => {
  const granted = (sessionLifetime: number) => (peer: Peer) =>
    Effect.zipRight(acceptHandshake(peer), answerAuthenticate(peer, { sessionLifetime }))

  it.scoped("comes at 80 to 90 % of the session, but not within a second", () =>
    Effect.gen(function*() {
      for (const [lifetime, least, most] of [[10_000, 8_000, 9_000], [500, 1_100, 1_100]] as const) {
        const now = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
        yield* opened(plain, granted(lifetime))
        // Which waits until all fibers do.
        yield* TestClock.adjust("1 millis")
        // The connect timeouts of the two connections are at 10 seconds.
        const sleeps = Chunk.toReadonlyArray(yield* TestClock.sleeps()).map((instant) => instant - now)
        const next = sleeps.filter((delay) => delay !== 10_000 && delay <= most)
        assert.lengthOf(next, 1)
        assert.isAtLeast(next[0]!, least)
      }
    }))

  it.scoped("answers what is in flight, and holds what is sent meanwhile", () =>
    Effect.gen(function*() {
      const { connection, peer } = yield* opened(plain, granted(10_000))
      for (let round = 0; round < 3; round++) {
        const before = yield* ask(connection)
        const inFlight = yield* peer.request
        yield* TestClock.adjust("9 seconds")
        const handshake = yield* peer.request
        assert.strictEqual(handshake.apiKey, saslHandshake)
        const during = yield* ask(connection, { ...request, apiKey: 10 })
        const oneWay = yield* ask(connection, { ...request, apiKey: 11, expectResponse: false })
        peer.respond(inFlight.correlationId, Buffer.from("before"))
        assert.strictEqual(Buffer.from(yield* Fiber.join(before)).toString(), "before")
        peer.respond(handshake.correlationId, handshakeResponse(0, ["PLAIN"]))
        const authenticate = yield* peer.request
        assert.strictEqual(authenticate.apiKey, saslAuthenticate)
        assert.isNull(oneWay.unsafePoll())
        peer.respond(authenticate.correlationId, authenticateResponse({ sessionLifetime: 10_000 }))
        const held = yield* peer.request
        assert.strictEqual(held.apiKey, 10)
        assert.strictEqual((yield* peer.request).apiKey, 11)
        yield* Fiber.join(oneWay)
        peer.respond(held.correlationId, Buffer.from("during"))
        assert.strictEqual(Buffer.from(yield* Fiber.join(during)).toString(), "during")
      }
    }))

  it.scoped("a refusal ends the connection, and what was held was not written", () =>
    Effect.gen(function*() {
      const { connection, peer } = yield* opened(plain, granted(10_000))
      const before = yield* ask(connection)
      const inFlight = yield* peer.request
      yield* TestClock.adjust("9 seconds")
      const handshake = yield* peer.request
      const during = yield* ask(connection)
      peer.respond(inFlight.correlationId, Buffer.from("before"))
      yield* Fiber.join(before)
      peer.respond(handshake.correlationId, handshakeResponse(0, ["PLAIN"]))
      yield* answerAuthenticate(peer, refused)
      const error = yield* connection.closed
      assert.strictEqual(error.reason, "AuthenticationFailed")
      assertSecretFree(error)
      const heldError = yield* Effect.flip(Fiber.join(during))
      assert.deepInclude(heldError, { reason: "AuthenticationFailed", written: false })
      yield* peer.closed
    }))

  it.scoped("a broker that does not answer ends the connection", () =>
    Effect.gen(function*() {
      const { connection, peer } = yield* opened(plain, granted(10_000))
      yield* TestClock.adjust("9 seconds")
      yield* peer.request
      const during = yield* ask(connection)
      yield* TestClock.adjust("10 seconds")
      assert.deepInclude(yield* Effect.flip(Fiber.join(during)), { reason: "ConnectionLost", written: false })
      const error = yield* connection.closed
      assert.include(error.message, "SASL could not be repeated within 10s")
      yield* peer.closed
    }))

  it.scoped("a token that cannot be had again ends the connection", () =>
    Effect.gen(function*() {
      let asked = 0
      const oauthBearerProvider = Effect.suspend(() =>
        asked++ === 0 ? Effect.succeed({ value: "token" }) : Effect.fail(new Error("identity provider is down"))
      )
      const { connection } = yield* opened({ mechanism: "oauthbearer", oauthBearerProvider }, granted(10_000))
      yield* TestClock.adjust("9 seconds")
      const error = yield* connection.closed
      assert.strictEqual(error.reason, "ConnectionLost")
      assert.include(error.message, "identity provider is down")
    }))

  it.scoped("stops with the connection", () =>
    Effect.gen(function*() {
      let asked = 0
      const oauthBearerProvider = Effect.sync(() => ({ value: `token ${++asked}` }))
      const { connection, peer } = yield* opened({ mechanism: "oauthbearer", oauthBearerProvider }, granted(10_000))
      peer.socket.end()
      yield* connection.closed
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(asked, 1)
    }))

  it.scoped("stops with the scope, at once, also half-way", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const { connection, peer } = yield* Scope.extend(opened(plain, granted(10_000)), scope)
      yield* TestClock.adjust("9 seconds")
      yield* peer.request
      const during = yield* ask(connection)
      yield* Scope.close(scope, Exit.void)
      assert.deepInclude(yield* Effect.flip(Fiber.join(during)), { reason: "Closed", written: false })
      yield* peer.closed
    }))
})
