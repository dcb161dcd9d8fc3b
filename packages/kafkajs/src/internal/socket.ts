import { EventEmitter } from "node:events"
import * as net from "node:net"
import * as tls from "node:tls"

import type { BrokerAddress, TransportError } from "@sluice/kafka/Transport"

import { describeSize, FrameReader } from "./frames.ts"
import type { KafkaJsSocket } from "./kafkajs.ts"

/** Why a connection ended: the first cause, whatever followed from it. */
export interface SocketFailure {
  readonly reason: TransportError["reason"]
  readonly message: string
  readonly cause?: unknown
}

/** How far a connection has come; what an error means depends on it. */
export type Phase = "TCP" | "TLS" | "SASL" | "open"

/** Milliseconds of silence before the system asks whether the broker is still there. */
const keepAliveDelay = 60_000

/** The socket of one connection, as kafkajs and the driver see it. It gives out whole frames and fails once. */
export class BrokerSocket extends EventEmitter implements KafkaJsSocket {
  /** Set before anybody is told. */
  failure: SocketFailure | undefined = undefined
  phase: Phase = "TCP"

  readonly #address: BrokerAddress
  readonly #tls: tls.ConnectionOptions | undefined
  readonly #maxFrameBytes: number
  readonly #frames: FrameReader
  readonly #onFailure: (failure: SocketFailure) => void
  #socket: net.Socket | undefined
  #bytesQueued = 0
  #bytesDispatched = 0

  constructor(options: {
    readonly address: BrokerAddress
    /** Undefined for a connection without TLS. */
    readonly tls: tls.ConnectionOptions | undefined
    /** A longer frame fails the connection before it is buffered. */
    readonly maxFrameBytes: number
    /** Called with each frame, without its size. */
    readonly onFrame: (frame: Buffer) => void
    /** Called once, after kafkajs was told. */
    readonly onFailure: (failure: SocketFailure) => void
  }) {
    super()
    this.#address = options.address
    this.#tls = options.tls
    this.#maxFrameBytes = options.maxFrameBytes
    this.#frames = new FrameReader(options.maxFrameBytes, options.onFrame)
    this.#onFailure = options.onFailure
    // kafkajs listens from `open` on; a failure before that must not throw.
    this.on("error", () => {})
  }

  /** Starts to connect. Whatever goes wrong is told later. */
  open(onConnect: () => void): void {
    const { host, port } = this.#address
    const opened = () => {
      this.phase = "open"
      onConnect()
    }
    try {
      // Node reads straight into what the frames are made of.
      const onread: net.OnReadOpts = {
        buffer: () => this.#frames.buffer,
        callback: (count) => {
          this.#receive(count)
          return true
        }
      }
      // Not on a socket of somebody else's, which would not be read so.
      const broker = { host, port, onread, socket: undefined }
      const socket = this.#tls === undefined
        ? net.connect(broker, opened)
        : tls.connect({ ...(net.isIP(host) === 0 ? { servername: host } : {}), ...this.#tls, ...broker }, opened)
      this.#socket = socket
      if (this.#tls !== undefined) {
        socket.once("connect", () => {
          this.phase = "TLS"
        })
      }
      socket.setNoDelay(true)
      socket.setKeepAlive(true, keepAliveDelay)
      socket.on("error", (error) => this.fail(this.#describe(error)))
      socket.on("end", () => this.fail(this.#describe(undefined)))
      socket.on("close", () => this.fail(this.#describe(undefined)))
    } catch (cause) {
      // Such as a port out of range, or a key that cannot be read. kafkajs listens once this has returned.
      const reason = this.#tls === undefined || cause instanceof RangeError ? "ConnectFailed" : "TlsFailed"
      queueMicrotask(() => this.fail({ reason, message: messageOf(cause), cause }))
    }
  }

  /** For kafkajs: the frames of SASL. Throws after a failure: the request would otherwise stay in its queue for ever. */
  write(bytes: Uint8Array): void {
    if (this.failure !== undefined) throw new Error(this.failure.message)
    this.#bytesQueued += bytes.byteLength
    this.#socket!.write(bytes)
  }

  /**
   * Writes a frame in its parts, without copying them together, and returns where it starts. `onWritten` is called once
   * the system has taken all of it, and never after the connection has failed.
   */
  writeFrame(header: Uint8Array, body: ReadonlyArray<Uint8Array>, onWritten?: () => void): number {
    const socket = this.#socket!
    const start = this.#bytesQueued
    const last = body.length - 1
    // After `destroy`, Node calls back without an error too.
    const written = onWritten === undefined ? undefined : (error?: Error | null) => {
      if (!error && !socket.destroyed) onWritten()
    }
    socket.cork()
    this.#bytesQueued += header.byteLength
    socket.write(header, last < 0 ? written : undefined)
    for (let index = 0; index <= last; index++) {
      const part = body[index]!
      this.#bytesQueued += part.byteLength
      socket.write(part, index === last ? written : undefined)
    }
    socket.uncork()
    return start
  }

  /**
   * After a failure: whether any byte of the frame that starts there may have left. Node still holds what the system did
   * not take; under TLS nobody can tell what went out in records.
   */
  mayHaveLeft(start: number): boolean {
    return this.#tls !== undefined || start < this.#bytesDispatched
  }

  /** Ends the connection at once. Only the first call counts. */
  fail(failure: SocketFailure): void {
    if (this.failure !== undefined) return
    this.failure = failure
    this.#bytesDispatched = dispatched(this.#socket)
    this.#frames.stop()
    this.#socket?.destroy()
    // Node's socket holds what it was to read into: a frame that is not to be complete.
    this.#socket = undefined
    this.emit("error", failure.cause instanceof Error ? failure.cause : new Error(failure.message))
    this.#onFailure(failure)
  }

  /** For kafkajs, which closes once we have failed: there is nothing left to close. */
  end(): void {}

  /** For kafkajs, as `end`. */
  unref(): void {}

  #receive(count: number): void {
    const invalid = this.#frames.filled(count)
    if (invalid === undefined) return
    this.fail({ reason: "InvalidFrame", message: describeSize(invalid, this.#maxFrameBytes) })
  }

  /** What an error of the socket means; without one, the broker closed the connection. */
  #describe(error: Error | undefined): SocketFailure {
    const code = codeOf(error)
    const message = error === undefined ? "the broker closed the connection" : messageOf(error)
    const failure = (reason: SocketFailure["reason"], message: string): SocketFailure =>
      error === undefined ? { reason, message } : { reason, message, cause: error }
    // TLS 1.3 refuses a client's certificate after the handshake.
    if (/^ERR_SSL_.*ALERT/.test(code)) return failure("TlsFailed", `the broker refused TLS: ${message}`)
    switch (this.phase) {
      case "TCP":
        return failure("ConnectFailed", message)
      case "TLS":
        // A listener without TLS closes without a word, but so does a broker that stops, or a proxy without a broker:
        // only what is sure to stay so is a failure of TLS.
        return error === undefined || brokenOff.has(code)
          ? failure("ConnectFailed", `${message} during the TLS handshake: does the listener speak TLS?`)
          : failure("TlsFailed", `TLS handshake: ${message}`)
      case "SASL":
        return failure("ConnectFailed", `${message} during SASL authentication`)
      case "open":
        if (this.#frames.inFrame) return failure("ConnectionLost", `${message} in the middle of a response`)
        if (this.#bytesQueued === 0) return failure("ConnectionLost", message)
        // A listener that wants SASL tells its versions, and closes at the next request.
        return this.#frames.frames === 0
          ? failure("ConnectionLost", `${message} before it answered: does the listener want TLS or SASL?`)
          : this.#frames.frames === 1
          ? failure("ConnectionLost", `${message} after one answer: does the listener want SASL?`)
          : failure("ConnectionLost", message)
    }
  }
}

/** Codes of a connection that was cut. */
const brokenOff: ReadonlySet<string> = new Set(["ECONNRESET", "EPIPE", "ECONNABORTED", "ETIMEDOUT"])

const codeOf = (error: unknown): string => String((error as { readonly code?: unknown } | undefined)?.code ?? "")

/** The message of anything that was thrown. */
export const messageOf = (error: unknown): string => {
  // All addresses of a host were tried: the error that holds the errors has no message.
  if (error instanceof AggregateError && error.message === "") return error.errors.map(messageOf).join("; ")
  return error instanceof Error ? error.message : String(error)
}

/** Bytes that Node has given to the system, which `bytesWritten` is not: it counts what waits. Unknown counts as all. */
const dispatched = (socket: net.Socket | undefined): number =>
  (socket as { readonly _bytesDispatched?: number } | undefined)?._bytesDispatched ?? Infinity
