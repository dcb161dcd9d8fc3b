import { byteLength } from "@sluice/kafka/internal/protocol/codec"
import { requestHeader } from "@sluice/kafka/internal/protocol/header"
import type { BrokerAddress, Connection, ConnectOptions, RequestFrame } from "@sluice/kafka/Transport"
import { TransportError } from "@sluice/kafka/Transport"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"

import type { Timer } from "../cluster/timers.ts"
import type { Driver } from "./driver.ts"
import type { Link, LinkClient } from "./link.ts"

/** Size and correlation id. */
const headerBytes = 8
const noBytes = new Uint8Array(0)

/** A request whose response has not come. */
interface Outstanding {
  readonly correlationId: number
  readonly response: Deferred.Deferred<Uint8Array, TransportError>
}

const readInt32 = (bytes: Uint8Array, position: number): number =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getInt32(position)

interface Connecting {
  readonly done: (failure?: TransportError) => void
  readonly timeout: Timer | undefined
}

/** The client's end of a link. */
export class MemoryConnection implements Connection, LinkClient {
  readonly closed: Effect.Effect<TransportError>
  private readonly address: BrokerAddress
  private readonly options: ConnectOptions
  private readonly touch: Driver["touch"]
  private readonly ended: Deferred.Deferred<TransportError>
  private readonly outstanding: Array<Outstanding> = []
  private link: Link | undefined
  private connecting: Connecting | undefined
  private failure: TransportError | undefined
  private correlationId = 0

  constructor(address: BrokerAddress, options: ConnectOptions, touch: Driver["touch"]) {
    this.address = address
    this.options = options
    this.touch = touch
    this.ended = Deferred.unsafeMake(FiberId.none)
    this.closed = Deferred.await(this.ended)
  }

  /** Connects to a broker; `done` is called once: when it is open, or has failed. Called once. */
  open(brokerId: number, done: (failure?: TransportError) => void): void {
    const timeout = Duration.toMillis(this.options.connectTimeout)
    this.touch((network) => {
      const giveUp = () => this.refuse(`not connected after ${timeout} ms`)
      this.connecting = {
        done,
        timeout: Number.isFinite(timeout) ? network.schedule(network.now + timeout, giveUp) : undefined
      }
      this.link = network.connect(brokerId, this.options.clientId, this)
    })
  }

  readonly onOpen = (): void => this.connected()

  readonly onRefused = (message: string): void => this.refuse(message)

  private refuse(message: string): void {
    if (this.failure !== undefined) return
    this.end("ConnectFailed", message)
    this.link?.leave()
    this.connected(this.error("ConnectFailed", message, false, undefined))
  }

  private connected(failure?: TransportError): void {
    this.connecting?.timeout?.cancel()
    this.connecting?.done(failure)
    this.connecting = undefined
  }

  readonly send: Connection["send"] = (request) =>
    Effect.suspend(() => {
      if (this.failure !== undefined) {
        return Effect.fail(this.error(this.failure.reason, this.failure.message, false, this.failure.cause))
      }
      const correlationId = this.correlationId
      this.correlationId = (correlationId + 1) & 0x7fff_ffff
      const frame = this.frame(request, correlationId)
      if (!request.expectResponse) {
        this.touch(() => this.link!.send(frame))
        return Effect.succeed(Effect.succeed(noBytes))
      }
      const response = Deferred.unsafeMake<Uint8Array, TransportError>(FiberId.none)
      this.outstanding.push({ correlationId, response })
      this.touch(() => this.link!.send(frame))
      return Effect.succeed(Deferred.await(response))
    })

  /** The frame is a copy: the parts may change once they are written. */
  private frame({ apiKey, apiVersion, body, headerVersion }: RequestFrame, correlationId: number): Uint8Array {
    const { clientId } = this.options
    const header = { apiKey, apiVersion, headerVersion, correlationId, clientId }
    return Buffer.concat([requestHeader(header, byteLength(body)), ...body])
  }

  readonly onFrame = (frame: Uint8Array): void => {
    if (this.failure !== undefined) return
    const length = frame.length - 4
    if (length > this.options.maxFrameBytes) {
      return this.abort("InvalidFrame", `a response of ${length} bytes is longer than ${this.options.maxFrameBytes}`)
    }
    const correlationId = readInt32(frame, 4)
    const next = this.outstanding[0]
    if (next?.correlationId !== correlationId) {
      return this.abort("InvalidFrame", `the response to correlation id ${correlationId} is not the one that is next`)
    }
    this.outstanding.shift()
    Deferred.unsafeDone(next.response, Effect.succeed(frame.subarray(headerBytes)))
  }

  readonly onClosed = (message: string, cause: unknown): void => this.end("ConnectionLost", message, cause)

  /** Closes it on this side. */
  close(): void {
    this.abort("Closed", "the connection was closed")
  }

  private abort(reason: TransportError["reason"], message: string): void {
    if (this.failure !== undefined) return
    this.end(reason, message)
    this.touch(() => {
      this.connecting?.timeout?.cancel()
      this.connecting = undefined
      this.link?.leave()
    })
  }

  private end(reason: TransportError["reason"], message: string, cause?: unknown): void {
    if (this.failure !== undefined) return
    const failure = this.failure = this.error(reason, message, true, cause)
    const unanswered = this.outstanding.splice(0)
    for (const { response } of unanswered) Deferred.unsafeDone(response, Effect.fail(failure))
    Deferred.unsafeDone(this.ended, Effect.succeed(failure))
  }

  private error(reason: TransportError["reason"], message: string, written: boolean, cause: unknown): TransportError {
    return new TransportError({
      reason,
      address: this.address,
      message,
      written,
      ...(cause !== undefined && { cause })
    })
  }
}
