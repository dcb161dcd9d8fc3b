/** Opens connections that end in every way; nothing must then keep this process alive. */
import { Duration, Effect, Fiber } from "effect"

import { connect } from "../src/internal/connection.ts"
import { acceptHandshake, answerAuthenticate, scriptedBroker, unusedPort } from "./scriptedBroker.ts"

const options = { clientId: "sluice-test", connectTimeout: Duration.seconds(10), maxFrameBytes: 1024 }
const request = { apiKey: 3, apiVersion: 12, headerVersion: 2, body: [], expectResponse: true } as const
const sasl = { mechanism: "plain", username: "alice", password: "alice-secret" } as const

await Effect.runPromise(Effect.scoped(Effect.gen(function*() {
  const broker = yield* scriptedBroker()

  // Used, and closed with a request in flight.
  yield* Effect.scoped(Effect.gen(function*() {
    const connection = yield* connect({})(broker.address, options)
    const peer = yield* broker.accept
    const answer = yield* connection.send(request)
    peer.respond((yield* peer.request).correlationId, Buffer.alloc(4))
    yield* answer
    yield* connection.send(request)
  }))

  // Closed while it waits to authenticate again.
  yield* Effect.scoped(Effect.gen(function*() {
    const opening = yield* Effect.fork(connect({ sasl })(broker.address, options))
    const peer = yield* broker.accept
    yield* acceptHandshake(peer)
    yield* answerAuthenticate(peer, { sessionLifetime: 3_600_000 })
    yield* Fiber.join(opening)
  }))

  // Interrupted while it opens.
  const opening = yield* Effect.fork(Effect.scoped(connect({ ssl: true })(broker.address, options)))
  const peer = yield* broker.accept
  yield* peer.bytes
  yield* Fiber.interrupt(opening)

  // Timed out, and refused.
  const soon = { ...options, connectTimeout: Duration.millis(20) }
  yield* Effect.flip(Effect.scoped(connect({ sasl })(broker.address, soon)))
  yield* Effect.flip(Effect.scoped(connect({})({ host: "127.0.0.1", port: yield* unusedPort }, options)))
})))
