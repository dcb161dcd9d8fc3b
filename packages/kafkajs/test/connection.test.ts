import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"

import { assert, describe, it } from "@effect/vitest"
import type { Connection, ConnectOptions, RequestFrame } from "@sluice/kafka/Transport"
import { TransportError } from "@sluice/kafka/Transport"
import { Duration, Effect, Exit, Fiber, Scope, TestClock } from "effect"

import { connect } from "../src/internal/connection.ts"
import type { TransportOptions } from "../src/KafkaJs.ts"
import { certificate } from "./certificate.ts"
import { type Peer, responseFrame, type ScriptedBroker, scriptedBroker, unusedPort } from "./scriptedBroker.ts"

const options: ConnectOptions = {
  clientId: "sluice-test",
  connectTimeout: Duration.seconds(10),
  maxFrameBytes: 1024 * 1024
}

const trusted: TransportOptions = { ssl: { ca: certificate } }

const open = (broker: ScriptedBroker, settings: TransportOptions = {}) => connect(settings)(broker.address, options)

/** An open connection and the broker's side of it. */
const openPair = (settings: TransportOptions = {}, brokerOptions: Parameters<typeof scriptedBroker>[0] = {}) =>
  Effect.gen(function*() {
    const broker = yield* scriptedBroker(brokerOptions)
    const connection = yield* open(broker, settings)
    const peer = yield* broker.accept
    return { broker, connection, peer }
  })

const request = (...body: ReadonlyArray<Uint8Array>): RequestFrame => ({
  apiKey: 3,
  apiVersion: 12,
  headerVersion: 2,
  body,
  expectResponse: true
})

const oneWay = (...body: ReadonlyArray<Uint8Array>): RequestFrame => ({ ...request(...body), expectResponse: false })

const numbered = (number: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(number)
  return bytes
}

/** Sends and starts to wait. */
const ask = (connection: Connection, frame: RequestFrame = request()) =>
  Effect.flatMap(connection.send(frame), (answer) => Effect.fork(Effect.either(answer)))

/** Collects the young objects alone. */
const collector = (): () => void => {
  setFlagsFromString("--expose-gc")
  const collect = runInNewContext("gc") as (options: { readonly type: "minor" }) => void
  return () => collect({ type: "minor" })
}

const failureOf = <A>(effect: Effect.Effect<A, TransportError, Scope.Scope>) => Effect.scoped(Effect.flip(effect))

const codeOf = (error: TransportError): unknown => (error.cause as { readonly code?: unknown } | undefined)?.code

describe("opening", () => {
  it.effect("refused", () =>
    Effect.gen(function*() {
      const port = yield* unusedPort
      const error = yield* failureOf(connect({})({ host: "127.0.0.1", port }, options))
      assert.instanceOf(error, TransportError)
      assert.strictEqual(error.reason, "ConnectFailed")
      assert.strictEqual(codeOf(error), "ECONNREFUSED")
      assert.deepStrictEqual(error.address, { host: "127.0.0.1", port })
      assert.include(error.message, `127.0.0.1:${port}: connect ECONNREFUSED`)
      assert.isFalse(error.written)
    }))

  it.effect("refused at every address of a host", () =>
    Effect.gen(function*() {
      const port = yield* unusedPort
      const error = yield* failureOf(connect({})({ host: "localhost", port }, options))
      assert.strictEqual(error.reason, "ConnectFailed")
      assert.match(error.message, /^localhost:\d+: connect ECONNREFUSED/)
    }))

  it.effect("unknown host", () =>
    Effect.gen(function*() {
      // A label of more than 63 characters: no resolver asks the network about it.
      const error = yield* failureOf(connect({})({ host: `${"x".repeat(64)}.invalid`, port: 9092 }, options))
      assert.strictEqual(error.reason, "ConnectFailed")
      assert.strictEqual((error.cause as { readonly syscall?: string }).syscall, "getaddrinfo")
    }))

  it.effect("a port that does not exist", () =>
    Effect.gen(function*() {
      const error = yield* failureOf(connect({})({ host: "127.0.0.1", port: 70_000 }, options))
      assert.strictEqual(error.reason, "ConnectFailed")
      assert.strictEqual(codeOf(error), "ERR_SOCKET_BAD_PORT")
    }))

  it.scoped("times out on Effect's clock, and closes", () =>
    Effect.gen(function*() {
      const broker = yield* scriptedBroker()
      const opening = yield* Effect.fork(failureOf(open(broker, { ssl: true })))
      const peer = yield* broker.accept
      yield* peer.bytes
      yield* TestClock.adjust("9999 millis")
      assert.isNull(opening.unsafePoll())
      yield* TestClock.adjust("1 millis")
      const error = yield* Fiber.join(opening)
      assert.strictEqual(error.reason, "ConnectFailed")
      assert.include(error.message, "no TLS handshake within 10s")
      yield* peer.closed
    }))

  it.scoped("times out although the caller cannot be interrupted", () =>
    Effect.gen(function*() {
      const broker = yield* scriptedBroker()
      const opening = yield* Effect.fork(Effect.uninterruptible(failureOf(open(broker, { ssl: true }))))
      const peer = yield* broker.accept
      yield* peer.bytes
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual((yield* Fiber.join(opening)).reason, "ConnectFailed")
      yield* peer.closed
    }))

  it.scoped("closes when it is interrupted", () =>
    Effect.gen(function*() {
      const broker = yield* scriptedBroker()
      const opening = yield* Effect.fork(failureOf(open(broker, { ssl: true })))
      const peer = yield* broker.accept
      yield* Fiber.interrupt(opening)
      yield* peer.closed
      assert.isTrue(Exit.isInterrupted(yield* Fiber.await(opening)))
    }))

  it.scoped("interrupted before it began", () =>
    Effect.gen(function*() {
      const broker = yield* scriptedBroker()
      const opening = yield* Effect.fork(failureOf(open(broker)))
      const exit = yield* Fiber.interrupt(opening)
      assert.isTrue(Exit.isInterrupted(exit))
    }))
})

describe("TLS", () => {
  it.scoped("a trusted certificate, and requests over it", () =>
    Effect.gen(function*() {
      const { connection, peer } = yield* openPair(trusted, { tls: true })
      const answer = yield* ask(connection, request(numbered(7)))
      const received = yield* peer.request
      peer.respond(received.correlationId, numbered(8))
      assert.deepStrictEqual(yield* Effect.flatten(Fiber.join(answer)), numbered(8))
    }))

  it.scoped("a certificate that is not trusted", () =>
    Effect.gen(function*() {
      const error = yield* failureOf(openPair({ ssl: true }, { tls: true }))
      assert.strictEqual(error.reason, "TlsFailed")
      assert.strictEqual(codeOf(error), "DEPTH_ZERO_SELF_SIGNED_CERT")
    }))

  it.scoped("a certificate of another host", () =>
    Effect.gen(function*() {
      const settings = { ssl: { ca: certificate, servername: "broker.invalid" } }
      const error = yield* failureOf(openPair(settings, { tls: true }))
      assert.strictEqual(error.reason, "TlsFailed")
      assert.strictEqual(codeOf(error), "ERR_TLS_CERT_ALTNAME_INVALID")
    }))

  it.scoped("a broker that wants the client's certificate", () =>
    Effect.gen(function*() {
      const broker = yield* scriptedBroker({ tls: { requestCert: true, ca: certificate } })
      const connection = yield* open(broker, trusted)
      const error = yield* connection.closed
      assert.strictEqual(error.reason, "TlsFailed")
      assert.strictEqual(codeOf(error), "ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED")
    }))

  it.scoped("a listener that answers without TLS", () =>
    Effect.gen(function*() {
      const broker = yield* scriptedBroker()
      const opening = yield* Effect.fork(failureOf(open(broker, { ssl: true })))
      const peer = yield* broker.accept
      peer.socket.write("HTTP/1.1 400 Bad Request\r\n\r\n")
      assert.strictEqual((yield* Fiber.join(opening)).reason, "TlsFailed")
    }))

  it.scoped("a listener that closes without a word may be a broker that stops", () =>
    Effect.gen(function*() {
      for (const end of ["resetAndDestroy", "end"] as const) {
        const broker = yield* scriptedBroker()
        const opening = yield* Effect.fork(failureOf(open(broker, { ssl: true })))
        const peer = yield* broker.accept
        yield* peer.bytes
        peer.socket[end]()
        const error = yield* Fiber.join(opening)
        assert.strictEqual(error.reason, "ConnectFailed")
        assert.include(error.message, "does the listener speak TLS?")
      }
    }))

  it.scoped("a client without TLS, at a listener that answers with an alert", () =>
    Effect.gen(function*() {
      const { connection, peer } = yield* openPair()
      const answer = yield* ask(connection)
      yield* peer.bytes
      peer.socket.write(Buffer.from([0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x50]))
      const error = yield* Effect.flip(Effect.flatten(Fiber.join(answer)))
      assert.strictEqual(error.reason, "InvalidFrame")
      assert.include(error.message, "set `ssl`")
    }))

  it.scoped("a client without TLS, at a listener that closes", () =>
    Effect.gen(function*() {
      const broker = yield* scriptedBroker({ tls: true })
      const connection = yield* open(broker)
      const answer = yield* ask(connection)
      const error = yield* Effect.flip(Effect.flatten(Fiber.join(answer)))
      assert.strictEqual(error.reason, "ConnectionLost")
      assert.include(error.message, "does the listener want TLS or SASL?")
    }))

  it.effect("a key that cannot be read", () =>
    Effect.gen(function*() {
      const error = yield* failureOf(connect({ ssl: { key: "no key" } })({ host: "127.0.0.1", port: 1 }, options))
      assert.strictEqual(error.reason, "TlsFailed")
    }))
})

describe("requests", () => {
  it.scoped("are framed with their header, in parts, and answered by what follows the correlation id", () =>
    Effect.gen(function*() {
      const { connection, peer } = yield* openPair()
      const answer = yield* ask(connection, request(Buffer.from("one "), Buffer.from("two "), Buffer.from("three")))
      const received = yield* peer.request
      assert.deepInclude(received, { apiKey: 3, apiVersion: 12, clientId: "sluice-test" })
      assert.strictEqual(received.rest.toString("latin1"), "\0one two three")
      peer.respond(received.correlationId, Buffer.from("answer"))
      assert.strictEqual(Buffer.from(yield* Effect.flatten(Fiber.join(answer))).toString(), "answer")
    }))

  it.scoped("have no tagged fields in header version 1, and may have no body", () =>
    Effect.gen(function*() {
      const { connection, peer } = yield* openPair()
      yield* connection.send({ ...request(), headerVersion: 1 })
      assert.strictEqual((yield* peer.request).rest.length, 0)
    }))

  it.scoped("are written in the order of the calls, with and without an answer", () =>
    Effect.gen(function*() {
      const { connection, peer } = yield* openPair()
      yield* Effect.forEach(
        Array.from({ length: 500 }, (_, number) => number),
        (number) => connection.send(number % 3 === 0 ? oneWay(numbered(number)) : request(numbered(number))),
        { concurrency: "unbounded" }
      )
      for (let number = 0; number < 500; number++) {
        assert.strictEqual((yield* peer.request).rest.readInt32BE(1), number)
      }
    }))

  it.scoped("are answered in order, in chunks of any size", () =>
    Effect.gen(function*() {
      const { connection, peer } = yield* openPair()
      const answers = yield* Effect.forEach([1, 2, 3, 4], (number) => ask(connection, request(numbered(number))))
      const responses: Array<Buffer> = []
      for (const size of [0, 5, 100_000, 1]) {
        responses.push(responseFrame((yield* peer.request).correlationId, Buffer.alloc(size, size)))
      }
      const bytes = Buffer.concat(responses)
      // One byte, then another, then what is left, in turns.
      for (let offset = 0, cut = 1; offset < bytes.length; offset += cut) {
        cut = offset < 40 ? 1 : 30_011
        yield* Effect.async<void>((resume) => {
          peer.socket.write(bytes.subarray(offset, offset + cut), () => setImmediate(() => resume(Effect.void)))
        })
      }
      const lengths = yield* Effect.forEach(answers, (answer) => Effect.flatten(Fiber.join(answer)))
      assert.deepStrictEqual(lengths.map((answer) => answer.length), [0, 5, 100_000, 1])
      assert.isTrue(lengths[2]!.every((byte) => byte === (100_000 & 0xff)))
    }))

  it.scoped("an interrupted wait drops its response, and no other", () =>
    Effect.gen(function*() {
      const { connection, peer } = yield* openPair()
      const first = yield* ask(connection, request(numbered(1)))
      yield* connection.send(request(numbered(2)))
      const third = yield* ask(connection, request(numbered(3)))
      yield* Fiber.interrupt(first)
      for (let number = 1; number <= 3; number++) {
        const { correlationId, rest } = yield* peer.request
        assert.strictEqual(rest.readInt32BE(1), number)
        peer.respond(correlationId, numbered(10 * number))
      }
      assert.deepStrictEqual(yield* Effect.flatten(Fiber.join(third)), numbered(30))
    }))

  it.scoped("can be awaited late", () =>
    Effect.gen(function*() {
      const { connection, peer } = yield* openPair()
      const early = yield* connection.send(request())
      const late = yield* ask(connection)
      peer.respond((yield* peer.request).correlationId, numbered(1))
      peer.respond((yield* peer.request).correlationId, numbered(2))
      yield* Fiber.join(late)
      assert.deepStrictEqual(yield* early, numbered(1))
    }))

  it.scoped("keep nothing of an answer that was taken: its memory is free once the young objects are collected", () =>
    Effect.gen(function*() {
      const { connection, peer } = yield* openPair()
      const body = Buffer.alloc(1024 * 1024 - 8)
      const collectYoung = collector()
      const memory = () => process.memoryUsage().arrayBuffers
      const before = memory()
      for (let number = 0; number < 20; number++) {
        const answer = yield* connection.send(request())
        const { correlationId } = yield* peer.request
        peer.socket.write(Buffer.concat([numbered(body.length + 4), numbered(correlationId)]))
        peer.socket.write(body)
        // As the client waits: what masks interruption becomes old, with all that it leads to. Chai would keep the bytes.
        const { length } = yield* Effect.uninterruptibleMask(() => Effect.interruptible(answer))
        assert.strictEqual(length, body.length)
        collectYoung()
      }
      // What has just come may still be on the stack.
      assert.isBelow(memory() - before, 6 * 1024 * 1024)
    }))

  it.scoped("without an answer are done when the system has taken them", () =>
    Effect.gen(function*() {
      const { connection, peer } = yield* openPair()
      for (const body of [[], [numbered(1)], [Buffer.alloc(100_000), numbered(2)]]) {
        const done = yield* Effect.flatten(connection.send(oneWay(...body)))
        assert.strictEqual(done.length, 0)
        yield* peer.request
      }
      // None of them is in flight: the next response belongs to the next request.
      const answer = yield* ask(connection)
      peer.respond((yield* peer.request).correlationId, numbered(3))
      assert.deepStrictEqual(yield* Effect.flatten(Fiber.join(answer)), numbered(3))
    }))

  it.scoped("without an answer wait while the broker does not read, and fail with the connection", () =>
    Effect.gen(function*() {
      const { connection, peer } = yield* openPair({}, { deaf: true })
      const part = Buffer.alloc(1024 * 1024)
      const waits = yield* Effect.forEach(Array.from({ length: 48 }), () => ask(connection, oneWay(part)))
      peer.socket.resetAndDestroy()
      const results = yield* Effect.forEach(waits, Fiber.join)
      const failures = results.flatMap((result) => result._tag === "Left" ? [result.left] : [])
      assert.isAbove(failures.length, 0)
      assert.isTrue(failures.every(({ reason }) => reason === "ConnectionLost"))
      assert.isFalse(failures.at(-1)!.written)
    }))
})

describe("what is not a response", () => {
  const badly = (name: string, bytes: (correlationId: number) => Buffer, message: RegExp) =>
    it.scoped(name, () =>
      Effect.gen(function*() {
        const { connection, peer } = yield* openPair()
        const answers = yield* Effect.forEach([1, 2], () => ask(connection))
        peer.socket.write(bytes((yield* peer.request).correlationId))
        for (const answer of answers) {
          const error = yield* Effect.flip(Effect.flatten(Fiber.join(answer)))
          assert.strictEqual(error.reason, "InvalidFrame")
          assert.match(error.message, message)
          assert.isTrue(error.written)
        }
        assert.strictEqual((yield* connection.closed).reason, "InvalidFrame")
        yield* peer.closed
      }))

  badly("longer than the maximum", () => numbered(1024 * 1024 + 1), /1048577 bytes: more than the 1048576/)
  badly("a negative size", () => numbered(-1), /a frame of -1 bytes/)
  badly("too short for a correlation id", () => numbered(3), /a frame of 3 bytes/)
  badly("HTTP", () => Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n"), /HTTP server/)
  badly("the answer to another request", (id) => responseFrame(id + 1, numbered(0)), /is the oldest in flight/)

  it.scoped("an answer to nothing", () =>
    Effect.gen(function*() {
      const { connection, peer } = yield* openPair()
      peer.respond(0, numbered(0))
      const error = yield* connection.closed
      assert.strictEqual(error.reason, "InvalidFrame")
      assert.include(error.message, "none is in flight")
    }))
})

describe("the end of a connection", () => {
  const lost = (name: string, end: (peer: Peer, correlationId: number) => void, message: RegExp) =>
    it.scoped(name, () =>
      Effect.gen(function*() {
        const { connection, peer } = yield* openPair()
        const answers = yield* Effect.forEach(Array.from({ length: 50 }), () => ask(connection))
        end(peer, (yield* peer.request).correlationId)
        for (const answer of answers) {
          const error = yield* Effect.flip(Effect.flatten(Fiber.join(answer)))
          assert.strictEqual(error.reason, "ConnectionLost")
          assert.match(error.message, message)
          assert.isTrue(error.written)
        }
        assert.strictEqual((yield* connection.closed).reason, "ConnectionLost")
        const after = yield* Effect.flip(connection.send(request()))
        assert.strictEqual(after.reason, "ConnectionLost")
        assert.isFalse(after.written)
      }))

  const half = (correlationId: number) => responseFrame(correlationId, Buffer.alloc(100)).subarray(0, 20)

  lost("the broker closes", (peer) => peer.socket.end(), /the broker closed the connection before it answered/)
  lost("the broker resets", (peer) => peer.socket.resetAndDestroy(), /ECONNRESET/)
  lost(
    "the broker closes inside a response",
    (peer, correlationId) => peer.socket.end(half(correlationId)),
    /in the middle of a response/
  )
  lost(
    "the broker resets inside a response",
    (peer, correlationId) => peer.socket.write(half(correlationId), () => peer.socket.resetAndDestroy()),
    /ECONNRESET/
  )

  it.scoped("the scope closes: everything in flight fails at once", () =>
    Effect.gen(function*() {
      const broker = yield* scriptedBroker()
      const scope = yield* Scope.make()
      const connection = yield* Scope.extend(open(broker), scope)
      const peer = yield* broker.accept
      const answers = yield* Effect.forEach(Array.from({ length: 200 }), () => ask(connection))
      const watcher = yield* Effect.fork(connection.closed)
      yield* Scope.close(scope, Exit.void)
      for (const answer of answers) {
        assert.strictEqual((yield* Effect.flip(Effect.flatten(Fiber.join(answer)))).reason, "Closed")
      }
      assert.strictEqual((yield* Fiber.join(watcher)).reason, "Closed")
      const after = yield* Effect.flip(connection.send(request()))
      assert.deepInclude(after, { reason: "Closed", written: false })
      yield* peer.closed
    }))

  it.scoped("tells what surely was not written", () =>
    Effect.gen(function*() {
      const { connection, peer } = yield* openPair({}, { deaf: true })
      // More than the buffers of both sides hold.
      const part = Buffer.alloc(1024 * 1024)
      const answers = yield* Effect.forEach(Array.from({ length: 48 }), () => ask(connection, request(part)))
      peer.socket.resetAndDestroy()
      const written = yield* Effect.forEach(
        answers,
        (answer) => Effect.map(Effect.flip(Effect.flatten(Fiber.join(answer))), (error) => error.written)
      )
      const firstUnwritten = written.indexOf(false)
      assert.isAbove(firstUnwritten, 0)
      assert.deepStrictEqual(written, written.map((_, index) => index < firstUnwritten))
    }))

  it.scoped("under TLS everything may have been written", () =>
    Effect.gen(function*() {
      const { connection, peer } = yield* openPair(trusted, { tls: true })
      peer.socket.pause()
      const part = Buffer.alloc(1024 * 1024)
      const answers = yield* Effect.forEach(Array.from({ length: 48 }), () => ask(connection, request(part)))
      peer.socket.destroy()
      for (const answer of answers) {
        assert.isTrue((yield* Effect.flip(Effect.flatten(Fiber.join(answer)))).written)
      }
    }))

  it.live("leaves no socket and no timer: the process ends by itself", () =>
    Effect.gen(function*() {
      const script = fileURLToPath(new URL("lifecycle.ts", import.meta.url))
      const child = spawn(process.execPath, [script], { stdio: ["ignore", "ignore", "pipe"] })
      let errors = ""
      child.stderr.on("data", (chunk) => {
        errors += chunk
      })
      const code = yield* Effect.async<number | null>((resume) => {
        child.once("close", (code) => resume(Effect.succeed(code)))
        return Effect.sync(() => child.kill("SIGKILL"))
      }).pipe(Effect.timeout("15 seconds"))
      assert.strictEqual(code, 0, errors)
      assert.strictEqual(errors, "")
    }))
})
