import type { AnyApi } from "@sluice/kafka/internal/protocol/field"

import type { Answer, Reply } from "../cluster/reply.ts"
import { type ReadRequest, readRequest, writeResponse } from "./frames.ts"
import type { Network } from "./network.ts"

/** The client's end of a connection. */
export interface LinkClient {
  /** A whole frame has come, with its size. */
  readonly onFrame: (frame: Uint8Array) => void
  /** The broker's end is closed: nothing comes any more. Called once at most. */
  readonly onClosed: (message: string, cause: unknown) => void
}

/**
 * One connection between a client and a broker. As in TCP, bytes keep their order, and a frame that is lost is not
 * followed by others. The broker serves one request after the other: what comes while one is parked waits behind it.
 */
export class Link {
  readonly id: number
  readonly brokerId: number
  private readonly network: Network
  private readonly client: LinkClient
  /** Frames that have come to the broker and wait to be served. */
  private readonly inbox: Array<Uint8Array> = []
  private serving: { readonly request: ReadRequest; readonly reply: Reply<unknown> } | undefined
  private isOpen = true
  /** Nothing gets through to the broker any more. */
  private isDeaf = false
  /** Nothing gets through to the client any more. */
  private isMute = false

  constructor(network: Network, id: number, brokerId: number, client: LinkClient) {
    this.network = network
    this.id = id
    this.brokerId = brokerId
    this.client = client
  }

  /** The client writes a frame, which must not change any more. */
  send(frame: Uint8Array): void {
    this.network.travel(() => {
      if (!this.isOpen || this.isDeaf) return
      this.inbox.push(frame)
      this.pump()
    })
  }

  /** The client closes the connection: the broker still gets what was written before. */
  leave(): void {
    this.network.forget(this)
    this.network.travel(() => this.end())
  }

  /** The broker closes the connection, or dies. */
  hangUp(message: string, cause?: unknown): void {
    if (!this.isOpen) return
    this.end()
    this.network.travel(() => this.client.onClosed(message, cause))
  }

  /** Serves what waits, as far as the broker can. */
  pump(): void {
    try {
      while (this.isOpen && !this.network.isPaused(this.brokerId)) {
        if (this.serving !== undefined) {
          const { reply, request } = this.serving
          if (reply.answer === undefined) return
          this.serving = undefined
          this.answer(request, reply.answer)
        } else {
          const frame = this.inbox.shift()
          if (frame === undefined) return
          this.read(frame)
        }
      }
    } catch (error) {
      this.hangUp(error instanceof Error ? error.message : String(error), error)
    }
  }

  private read(frame: Uint8Array): void {
    const result = readRequest(frame)
    switch (result._tag) {
      case "Request":
        return this.serve(result.request)
      case "Answer":
        return this.write(result.frame)
      case "Unsupported":
        return this.hangUp(result.message)
    }
  }

  private serve(request: ReadRequest): void {
    switch (this.network.judge(this, request)) {
      case "dropRequest":
        this.isDeaf = true
        this.inbox.length = 0
        return
      case "disconnect":
        return this.hangUp("the connection was reset")
      case "dropResponse":
        this.isMute = true
        break
      case "deliver":
        break
    }
    const reply = this.network.handle(this.brokerId, request)
    this.serving = { request, reply }
    // Later, not now: the cluster is in the middle of something else when it answers a parked request.
    if (reply.answer === undefined) reply.whenAnswered(() => this.network.later(() => this.pump()))
  }

  private answer({ api, correlationId, version }: ReadRequest, answer: Answer<unknown>): void {
    switch (answer._tag) {
      case "Response":
        return this.write(writeResponse<AnyApi>(api, version, correlationId, answer.body as any))
      case "NoResponse":
        return
      case "Disconnect":
        return this.hangUp("the broker could not do a request that expects no response")
    }
  }

  private write(frame: Uint8Array): void {
    if (!this.isMute) this.network.travel(() => this.client.onFrame(frame))
  }

  private end(): void {
    this.isOpen = false
    this.inbox.length = 0
    this.serving?.reply.abandon()
    this.serving = undefined
    this.network.forget(this)
  }
}
