import { ProtocolError } from "@sluice/kafka/internal/protocol/error"
import type { AnyApi } from "@sluice/kafka/internal/protocol/field"

import { type Answer, Reply } from "../cluster/reply.ts"
import type { Exchange } from "./event.ts"
import { apiKeyOf, type ReadRequest, readRequest, writeResponse } from "./frames.ts"
import type { Network } from "./network.ts"
import { refuse } from "./refusal.ts"
import { throttled, type Treatment } from "./treatment.ts"
import { Wire } from "./wire.ts"

/** The client's end of a connection. */
export interface LinkClient {
  /** The broker has taken the connection. */
  readonly onOpen: () => void
  /** Nobody listens there. */
  readonly onRefused: (message: string) => void
  /** A whole frame has come, with its size. */
  readonly onFrame: (frame: Uint8Array) => void
  /** The broker's end is closed: nothing comes any more. Called once at most. */
  readonly onClosed: (message: string, cause: unknown) => void
}

/** A frame that has come to the broker. */
interface ReceivedFrame {
  readonly frame: Uint8Array
  readonly sentAt: number
}

/** A request that the broker is busy with. */
interface Serving {
  readonly exchange: Exchange
  readonly reply: Reply<unknown>
  readonly treatment: Treatment | undefined
}

/**
 * One connection between a client and a broker. The broker serves one request after the other: what comes while one is
 * parked waits behind it.
 */
export class Link {
  readonly id: number
  readonly brokerId: number
  /** The client id. */
  readonly clientName: string
  private readonly network: Network
  private readonly client: LinkClient
  private readonly toBroker: Wire
  private readonly toClient: Wire
  /** What the broker's kernel holds until the broker reads it. */
  private readonly inbox: Array<ReceivedFrame> = []
  private serving: Serving | undefined
  /** The broker's side: before its kernel has taken the connection, and after either end was closed. */
  private brokerEnd: "connecting" | "open" | "closed" = "connecting"
  /** Behind what is in the inbox, the client has closed the connection. */
  private hasClientLeft = false
  private clientEnd: "connecting" | "open" | "closed" = "connecting"
  private quietUntil = 0

  constructor(network: Network, id: number, brokerId: number, clientName: string, client: LinkClient) {
    this.network = network
    this.id = id
    this.brokerId = brokerId
    this.clientName = clientName
    this.client = client
    this.toBroker = new Wire(network, this)
    this.toClient = new Wire(network, this)
  }

  /** Whether it is up, and neither end has closed it. */
  get isOpen(): boolean {
    return this.clientEnd === "open" && this.brokerEnd === "open"
  }

  /** The client asks for a connection. The broker's kernel answers, even if the broker hangs. */
  open(): void {
    this.toBroker.send(0, () => {
      if (this.network.isRunning(this.brokerId)) {
        this.brokerEnd = "open"
        this.toClient.send(0, () => {
          this.clientEnd = "open"
          this.network.tell?.({ _tag: "Connected", time: this.network.now, connection: this.id, broker: this.brokerId })
          this.client.onOpen()
        })
      } else {
        this.endBroker()
        this.toClient.send(0, () => {
          this.endClient()
          this.client.onRefused("connection refused")
        })
      }
    })
  }

  /** The client writes a frame, which must not change any more. */
  send(frame: Uint8Array): void {
    const { brokerId: broker, clientName: client, id: connection } = this
    const sentAt = this.network.now
    this.network.tell?.({ _tag: "Sent", time: sentAt, connection, broker, client, apiKey: apiKeyOf(frame) })
    this.toBroker.send(frame.length, () => {
      if (this.brokerEnd !== "open") return
      this.inbox.push({ frame, sentAt })
      this.pump()
    })
  }

  /** The client closes the connection: the broker still gets what was written before. */
  leave(): void {
    if (this.clientEnd === "closed") return
    if (this.isOpen) this.tellDisconnected("client", "the client has closed it")
    this.endClient()
    if (this.brokerEnd === "closed") return
    if (this.toBroker.isLossy) return this.endBroker()
    this.toBroker.send(0, () => {
      this.hasClientLeft = true
      // As Kafka does: what was read is served, but nobody waits for what is parked, and nothing is read after it.
      if (this.brokerEnd === "connecting" || this.serving !== undefined) this.endBroker()
      else this.pump()
    })
  }

  /** The broker closes the connection, or dies. */
  hangUp(message: string, cause?: unknown): void {
    if (this.brokerEnd !== "open") return
    if (this.isOpen) this.tellDisconnected("broker", message)
    this.endBroker()
    this.toClient.send(0, () => {
      this.endClient()
      this.client.onClosed(message, cause)
    })
  }

  /** Nothing gets through any more, in either direction, and neither end is told. */
  goSilent(): void {
    this.toBroker.cut()
    this.toClient.cut()
  }

  /** The network lets through what it held up. */
  recover(): void {
    this.toBroker.recover()
    this.toClient.recover()
  }

  /** The broker keeps quiet no longer, if it did. */
  speak(): void {
    this.quietUntil = 0
    this.pump()
  }

  /** Serves what waits, as far as the broker can. */
  pump(): void {
    while (this.brokerEnd === "open" && this.network.isServing(this.brokerId)) {
      if (this.serving !== undefined) {
        const { exchange, reply, treatment } = this.serving
        if (reply.answer === undefined) return
        this.serving = undefined
        this.answer(exchange, reply.answer, treatment)
      } else {
        if (this.network.now < this.quietUntil) return
        const received = this.inbox.shift()
        if (received === undefined) {
          if (this.hasClientLeft) this.endBroker()
          return
        }
        this.read(received)
      }
    }
  }

  /** What others make fail is their fault: the client's bytes, or an interceptor. Anything else is a bug in the brokers. */
  private orHangUp<A>(action: () => A, isTheirs: (error: unknown) => boolean): A | "failed" {
    try {
      return action()
    } catch (error) {
      if (!isTheirs(error)) throw error
      this.hangUp(error instanceof Error ? error.message : String(error), error)
      return "failed"
    }
  }

  private read({ frame, sentAt }: ReceivedFrame): void {
    const result = this.orHangUp(() => readRequest(frame), (error) => error instanceof ProtocolError)
    if (result === "failed") return
    switch (result._tag) {
      case "Request":
        return this.serve(result.request, frame.length, sentAt)
      case "Answer":
        return this.write(result.frame, undefined)
      case "Unsupported":
        return this.hangUp(result.message)
    }
  }

  private serve(request: ReadRequest, requestBytes: number, sentAt: number): void {
    const { api, clientId, correlationId, version } = request
    const { network } = this
    const whole = network.whole(this.brokerId, request)
    const exchange: Exchange = {
      id: network.nextExchangeId(),
      connection: this.id,
      broker: this.brokerId,
      client: clientId ?? "",
      api,
      version,
      correlationId,
      requestBytes,
      sentAt,
      servedAt: network.now,
      request: whole.body,
      response: undefined,
      responseBytes: 0,
      answeredAt: undefined,
      receivedAt: undefined
    }
    const verdict = this.orHangUp(() => network.intercept(exchange, clientId), () => true)
    if (verdict === "failed") return
    const treatment = network.faults.treat(exchange, verdict)
    // What came with the request may have broken the connection, or killed the broker.
    if (this.brokerEnd !== "open") return
    if (treatment?.isRequestLost === true) return this.goDeaf()
    if (treatment?.reset === "request") return this.hangUp("the connection was reset")
    if (treatment?.isResponseLost === true) this.toClient.close()
    network.tell?.({ _tag: "Served", time: network.now, exchange })
    const serve = () => network.handle(this.brokerId, request)
    const reply = treatment?.error === undefined
      ? serve()
      : Reply.settled(refuse(whole, treatment.error, () => serve().answer!))
    this.serving = { exchange, reply, treatment }
    if (reply.answer !== undefined) return
    if (this.hasClientLeft) return this.endBroker()
    // Later, not now: the cluster is in the middle of something else when it answers a parked request.
    reply.whenAnswered(() => network.later(() => this.pump()))
  }

  private goDeaf(): void {
    this.toBroker.cut()
    this.inbox.length = 0
    if (this.clientEnd === "closed") this.endBroker()
  }

  private answer(exchange: Exchange, answer: Answer<unknown>, treatment: Treatment | undefined): void {
    const { api, correlationId, version } = exchange
    const { now } = this.network
    if (treatment !== undefined && treatment.throttleMs > 0) {
      this.quietUntil = Math.max(this.quietUntil, now + treatment.throttleMs)
      this.network.schedule(this.quietUntil, () => this.pump())
    }
    if (answer._tag === "Disconnect") {
      return this.hangUp("the broker could not do a request that expects no response")
    }
    if (answer._tag === "Response") {
      const body = treatment === undefined ? answer.body : throttled(exchange, answer.body, treatment.throttleMs)
      exchange.response = body
      const frame = writeResponse<AnyApi>(api, version, correlationId, body as any)
      exchange.responseBytes = frame.length
      this.tellAnswered(exchange)
      if (treatment?.reset !== "response") this.write(frame, exchange)
    } else {
      this.tellAnswered(exchange)
    }
    if (treatment?.reset === "response") this.hangUp("the connection was reset")
  }

  private tellAnswered(exchange: Exchange): void {
    const time = exchange.answeredAt = this.network.now
    this.network.tell?.({ _tag: "Answered", time, exchange })
  }

  private write(frame: Uint8Array, exchange: Exchange | undefined): void {
    this.toClient.send(frame.length, () => {
      if (exchange !== undefined) {
        const time = exchange.receivedAt = this.network.now
        this.network.tell?.({ _tag: "Received", time, exchange })
      }
      this.client.onFrame(frame)
    })
  }

  private tellDisconnected(by: "client" | "broker", message: string): void {
    this.network.tell?.({ _tag: "Disconnected", time: this.network.now, connection: this.id, by, message })
  }

  private endClient(): void {
    this.clientEnd = "closed"
    this.toClient.cut()
    if (this.brokerEnd === "closed") this.network.forget(this)
  }

  private endBroker(): void {
    this.brokerEnd = "closed"
    this.inbox.length = 0
    this.serving?.reply.abandon()
    this.serving = undefined
    if (this.clientEnd === "closed") this.network.forget(this)
  }
}
