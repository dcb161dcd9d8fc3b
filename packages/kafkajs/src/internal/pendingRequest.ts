import { requestHeader } from "@sluice/kafka/internal/protocol/header"
import { suspended } from "@sluice/kafka/internal/suspended"
import type { RequestFrame, TransportError } from "@sluice/kafka/Transport"
import * as Effect from "effect/Effect"

import type { RequestEntry } from "./kafkajs.ts"
import type { BrokerSocket } from "./socket.ts"

export const noBytes = new Uint8Array(0)

/**
 * A request that has no answer yet, as kafkajs queues it. Effect refers to it by functions that V8 keeps until it collects its
 * old objects, long after the answer. So it lets go of its bytes: of the request's once they are written, of the answer's once
 * they are taken.
 */
export class PendingRequest implements RequestEntry {
  readonly apiKey: number
  readonly apiName = ""
  readonly apiVersion: number
  readonly expectResponse: boolean
  correlationId = 0
  /** To be run once. */
  readonly answer: Effect.Effect<Uint8Array, TransportError>
  readonly #noAnswer: (start: number | undefined) => TransportError
  #frame: RequestFrame | undefined
  #result: Effect.Effect<Uint8Array, TransportError> | undefined
  #resume: ((effect: Effect.Effect<void>) => void) | undefined
  /** Where its frame starts in all that was written; undefined before. */
  #start: number | undefined

  /** `noAnswer` says what its failure is, from where its frame starts. */
  constructor(frame: RequestFrame, noAnswer: (start: number | undefined) => TransportError) {
    this.apiKey = frame.apiKey
    this.apiVersion = frame.apiVersion
    this.expectResponse = frame.expectResponse
    this.#frame = frame
    this.#noAnswer = noAnswer
    this.answer = Effect.zipRight(
      // Nothing undoes it at an interruption: nobody else waits.
      suspended<void>((resume) => {
        if (this.#result === undefined) this.#resume = resume
        else resume(Effect.void)
      }),
      Effect.suspend(() => {
        const result = this.#result!
        this.#result = undefined
        return result
      })
    )
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
    this.#done(Effect.succeed(payload))
  }

  /** The connection has failed. */
  reject(): void {
    this.#done(Effect.fail(this.#noAnswer(this.#start)))
  }

  #done(result: Effect.Effect<Uint8Array, TransportError>): void {
    this.#result = result
    this.#resume?.(Effect.void)
  }
}
