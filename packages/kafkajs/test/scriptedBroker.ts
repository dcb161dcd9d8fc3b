/** Brokers on 127.0.0.1 that do what a test tells them, byte by byte. */
import * as net from "node:net"
import * as tls from "node:tls"

import { Deferred, Effect, FiberId, Queue, type Scope } from "effect"

import { FrameReader } from "../src/internal/frames.ts"
import { certificate, key } from "./certificate.ts"
import { feed } from "./feed.ts"

/** A request as the broker got it. */
export interface ScriptedRequest {
  readonly apiKey: number
  readonly apiVersion: number
  readonly correlationId: number
  readonly clientId: string
  /** What follows the client id. */
  readonly rest: Buffer
}

/** One connection, from the broker's side. */
export interface Peer {
  readonly socket: net.Socket
  /** The next request. */
  readonly request: Effect.Effect<ScriptedRequest>
  /** The first bytes, whatever they are. */
  readonly bytes: Effect.Effect<void>
  /** Completes when the connection is gone. */
  readonly closed: Effect.Effect<void>
  /** Requests that came and that nobody took. */
  readonly waiting: () => number
  readonly respond: (correlationId: number, body: Uint8Array) => void
}

/** A listening broker. */
export interface ScriptedBroker {
  readonly address: { readonly host: string; readonly port: number }
  /** The next connection. */
  readonly accept: Effect.Effect<Peer>
}

/** A response with its size and correlation id. */
export const responseFrame = (correlationId: number, body: Uint8Array): Buffer => {
  const frame = Buffer.alloc(8 + body.length)
  frame.writeInt32BE(4 + body.length, 0)
  frame.writeInt32BE(correlationId, 4)
  frame.set(body, 8)
  return frame
}

const parse = (frame: Buffer): ScriptedRequest => {
  const end = 10 + frame.readInt16BE(8)
  return {
    apiKey: frame.readInt16BE(0),
    apiVersion: frame.readInt16BE(2),
    correlationId: frame.readInt32BE(4),
    clientId: frame.toString("utf8", 10, end),
    rest: Buffer.from(frame.subarray(end))
  }
}

const makePeer = (socket: net.Socket, reads: boolean): Peer => {
  const requests = Effect.runSync(Queue.unbounded<ScriptedRequest>())
  const bytes = Deferred.unsafeMake<void>(FiberId.none)
  const closed = Deferred.unsafeMake<void>(FiberId.none)
  const frames = new FrameReader(2 ** 30, (frame) => Queue.unsafeOffer(requests, parse(frame)))
  if (reads) {
    socket.on("data", (chunk) => {
      Deferred.unsafeDone(bytes, Effect.void)
      feed(frames, chunk)
    })
  }
  socket.on("error", () => {})
  socket.on("close", () => Deferred.unsafeDone(closed, Effect.void))
  return {
    socket,
    request: Queue.take(requests),
    bytes: Deferred.await(bytes),
    closed: Deferred.await(closed),
    waiting: () => Effect.runSync(Queue.size(requests)),
    respond: (correlationId, body) => socket.write(responseFrame(correlationId, body))
  }
}

/** Listens until the scope closes. */
export const scriptedBroker = (
  options: {
    /** Speaks TLS, with a certificate that signs itself. */
    readonly tls?: boolean | tls.TlsOptions
    /** Reads nothing, ever. */
    readonly deaf?: boolean
  } = {}
): Effect.Effect<ScriptedBroker, never, Scope.Scope> =>
  Effect.gen(function*() {
    const peers = yield* Queue.unbounded<Peer>()
    const sockets = new Set<net.Socket>()
    const accept = (socket: net.Socket) => Queue.unsafeOffer(peers, makePeer(socket, options.deaf !== true))
    const server = options.tls
      ? tls.createServer({ key, cert: certificate, ...(options.tls === true ? {} : options.tls) }, accept)
      : net.createServer({ pauseOnConnect: options.deaf === true }, accept)
    server.on("connection", (socket: net.Socket) => {
      sockets.add(socket)
      socket.on("error", () => {})
    })
    server.on("tlsClientError", () => {})
    yield* Effect.async<void>((resume) => {
      server.listen(0, "127.0.0.1", () => resume(Effect.void))
    })
    yield* Effect.addFinalizer(() =>
      Effect.async<void>((resume) => {
        server.close(() => resume(Effect.void))
        for (const socket of sockets) socket.destroy()
      })
    )
    const { port } = server.address() as net.AddressInfo
    return { address: { host: "127.0.0.1", port }, accept: Queue.take(peers) }
  })

/** A port of 127.0.0.1 that nothing listens on. */
export const unusedPort: Effect.Effect<number> = Effect.map(
  Effect.scoped(scriptedBroker()),
  ({ address }) => address.port
)

// --- SASL ---------------------------------------------------------------------------------------------------------

const string = (text: string | null): Buffer => {
  const bytes = Buffer.from(text ?? "")
  const size = Buffer.alloc(2)
  size.writeInt16BE(text === null ? -1 : bytes.length)
  return Buffer.concat([size, bytes])
}

const int = (value: number, bytes: 2 | 4 | 8): Buffer => {
  const buffer = Buffer.alloc(bytes)
  if (bytes === 8) buffer.writeBigInt64BE(BigInt(value))
  else buffer.writeIntBE(value, 0, bytes)
  return buffer
}

/** The body of a SaslHandshake response, version 1. */
export const handshakeResponse = (errorCode: number, mechanisms: ReadonlyArray<string>): Buffer =>
  Buffer.concat([int(errorCode, 2), int(mechanisms.length, 4), ...mechanisms.map(string)])

/** The body of a SaslAuthenticate response, version 1. */
export const authenticateResponse = (
  answer: {
    readonly errorCode?: number
    readonly errorMessage?: string
    readonly bytes?: string
    readonly sessionLifetime?: number
  } = {}
): Buffer => {
  const bytes = Buffer.from(answer.bytes ?? "")
  return Buffer.concat([
    int(answer.errorCode ?? 0, 2),
    string(answer.errorMessage ?? null),
    int(bytes.length, 4),
    bytes,
    int(answer.sessionLifetime ?? 0, 8)
  ])
}

/** Takes a SaslHandshake, accepts its mechanism and gives it back. */
export const acceptHandshake = (peer: Peer): Effect.Effect<string> =>
  Effect.map(peer.request, (request) => {
    const mechanism = request.rest.toString("utf8", 2)
    peer.respond(request.correlationId, handshakeResponse(0, [mechanism]))
    return mechanism
  })

/** Takes a SaslAuthenticate, answers it and gives back what the client said. */
export const answerAuthenticate = (
  peer: Peer,
  answer?: Parameters<typeof authenticateResponse>[0]
): Effect.Effect<string> =>
  Effect.map(peer.request, (request) => {
    peer.respond(request.correlationId, authenticateResponse(answer))
    return request.rest.toString("utf8", 4)
  })
