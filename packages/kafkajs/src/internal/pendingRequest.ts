import { requestHeader } from "@sluice/kafka/internal/protocol/header"
import type { RequestFrame, TransportError } from "@sluice/kafka/Transport"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"

import type { RequestEntry } from "./kafkajs.ts"
import type { BrokerSocket } from "./socket.ts"

export const noBytes = new Uint8Array(0)

/**
 * A request that has no answer yet, as kafkajs queues it. Effect refers to it, and to its `Deferred`, by functions that V8 keeps
 * until it collects its old objects, long after the answer. So it lets go of its bytes: of the request's once they are written,
 * of the answer's once they are taken.
 */
export class PendingRequest implements RequestEntry {
  readonly apiKey: number
  readonly apiName = ""
  readonly apiVersion: number
  readonly expectResponse: boolean
  correlationId = 0
  /** To be run once. */
  readonly answer: Effect.Effect<Uint8Array, TransportError>
  readonly #ended = Deferred.unsafeMake<void, TransportError>(FiberId.none)
  readonly #noAnswer: (start: number | undefined) => TransportError
  #frame: RequestFrame | undefined
  #payload: Uint8Array = noBytes
  /** Where its frame starts in all that was written; undefined before. */
  #start: number | undefined

  /** `noAnswer` says what its failure is, from where its frame starts. */
  constructor(frame: RequestFrame, noAnswer: (start: number | undefined) => TransportError) {
    this.apiKey = frame.apiKey
    this.apiVersion = frame.apiVersion
    this.expectResponse = frame.expectResponse
    this.#frame = frame
    this.#noAnswer = noAnswer
    this.answer = Effect.map(Deferred.await(this.#ended), () => {
      const payload = this.#payload
      this.#payload = noBytes
      return payload
    })
  }

  /** Writes it, once. */
  write(socket: BrokerSocket, clientId: string, onWritten?: () => void): void {
    const { apiKey, apiVersion, body, headerVersion } = this.#frame!
    this.#frame = undefined
    let length = 0
    for (const part of body) length += part.byteLength
    const { correlationId } = this
    const header = requestHeader({ apiKey, apiVersion, headerVersion, correlationId, clientId }, length)
    this.#start = socket.writeFrame(header, body, onWritten)
  }

  resolve({ payload }: { readonly payload: Uint8Array }): void {
    this.#payload = payload
    Deferred.unsafeDone(this.#ended, Effect.void)
  }

  /** The connection has failed. */
  reject(): void {
    Deferred.unsafeDone(this.#ended, Effect.fail(this.#noAnswer(this.#start)))
  }
}
