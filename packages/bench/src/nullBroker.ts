import { ApiVersions } from "@sluice/kafka/internal/protocol/api/apiVersions"
import { InitProducerId } from "@sluice/kafka/internal/protocol/api/initProducerId"
import { Metadata } from "@sluice/kafka/internal/protocol/api/metadata"
import { Produce } from "@sluice/kafka/internal/protocol/api/produce"
import { concat, encodeResponse } from "@sluice/kafka/internal/protocol/codec"
import type { AnyApi, ResponseInput } from "@sluice/kafka/internal/protocol/field"
import { responseHeaderVersion } from "@sluice/kafka/internal/protocol/header"
import { Transport } from "@sluice/kafka/Transport"
import { Effect, Layer } from "effect"

/** What it speaks, in the newest versions that the client has. */
const apis: ReadonlyArray<AnyApi> = [ApiVersions, Metadata, InitProducerId, Produce]

/** Where a record batch says how many records it has. */
const recordCountOffset = 57

/** Reads a body in parts without putting them together. */
class Parts {
  readonly #parts: ReadonlyArray<Uint8Array>
  #part = 0
  #offset = 0

  constructor(parts: ReadonlyArray<Uint8Array>) {
    this.#parts = parts
  }

  byte(): number {
    while (this.#offset >= this.#parts[this.#part]!.length) {
      this.#offset -= this.#parts[this.#part++]!.length
    }
    return this.#parts[this.#part]![this.#offset++]!
  }

  skip(count: number): void {
    this.#offset += count
  }

  int32(): number {
    return this.byte() << 24 | this.byte() << 16 | this.byte() << 8 | this.byte()
  }

  varint(): number {
    let value = 0
    for (let shift = 0;; shift += 7) {
      const byte = this.byte()
      value |= (byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
  }
}

/**
 * A broker without a network, a log, or any work: in the client's own process it answers ApiVersions, Metadata,
 * InitProducerId and Produce, in the next turn of the event loop, as a socket would. What is measured over it is the
 * client. It trusts the client: of a batch it reads nothing but how many records it has.
 */
export class NullBroker {
  readonly address = "null:9092"
  readonly layer: Layer.Layer<Transport>
  /** Records so far. */
  accepted = 0
  readonly #topic: string
  readonly #metadata: ResponseInput<typeof Metadata>
  readonly #nextOffsets: Array<number>
  #answers: Array<() => void> = []

  constructor(topic: string, partitions: number) {
    this.#topic = topic
    this.#nextOffsets = new Array(partitions).fill(0)
    this.#metadata = {
      brokers: [{ nodeId: 1, host: "null", port: 9092 }],
      clusterId: "null",
      controllerId: 1,
      topics: [{
        errorCode: 0,
        name: topic,
        topicId: "AAAAAAAAAAAAAAAAAAAAAQ",
        partitions: Array.from({ length: partitions }, (_, partitionIndex) => ({
          errorCode: 0,
          partitionIndex,
          leaderId: 1,
          leaderEpoch: 0,
          replicaNodes: [1],
          isrNodes: [1],
          offlineReplicas: []
        }))
      }]
    }
    this.layer = Layer.succeed(Transport, {
      connect: () =>
        Effect.succeed({
          send: ({ apiKey, apiVersion, body }) =>
            Effect.sync(() => {
              const response = this.#answer(apiKey, apiVersion, body)
              return Effect.async<Uint8Array>((resume) => this.#later(() => resume(Effect.succeed(response))))
            }),
          closed: Effect.never
        })
    })
  }

  /** What came in a turn of the event loop is answered in the next. */
  #later(answer: () => void): void {
    if (this.#answers.push(answer) > 1) return
    setImmediate(() => {
      const answers = this.#answers
      this.#answers = []
      for (const each of answers) each()
    })
  }

  #answer(apiKey: number, version: number, body: ReadonlyArray<Uint8Array>): Uint8Array {
    switch (apiKey) {
      case Produce.key:
        return response(Produce, version, this.#produce(body))
      case Metadata.key:
        return response(Metadata, version, this.#metadata)
      case InitProducerId.key:
        return response(InitProducerId, version, { errorCode: 0, producerId: 1, producerEpoch: 0 })
      case ApiVersions.key:
        return response(ApiVersions, version, {
          errorCode: 0,
          apiKeys: apis.map(({ key, versions: [minVersion, maxVersion] }) => ({ apiKey: key, minVersion, maxVersion }))
        })
      default:
        throw new Error(`the null broker does not know API ${apiKey}`)
    }
  }

  /** Walks through a flexible version, and takes all batches. */
  #produce(body: ReadonlyArray<Uint8Array>): ResponseInput<typeof Produce> {
    const parts = new Parts(body)
    // The transactional id is null; then acks and the timeout.
    parts.skip(1 + 2 + 4)
    const topics = parts.varint() - 1
    if (topics !== 1) throw new Error(`the null broker has one topic, and was sent ${topics}`)
    parts.skip(parts.varint() - 1)
    const partitionResponses = Array.from({ length: parts.varint() - 1 }, () => {
      const index = parts.int32()
      const length = parts.varint() - 1
      parts.skip(recordCountOffset)
      const records = parts.int32()
      parts.skip(length - recordCountOffset - 4 + 1)
      const baseOffset = this.#nextOffsets[index]!
      this.#nextOffsets[index] = baseOffset + records
      this.accepted += records
      return { index, errorCode: 0, baseOffset, currentLeader: { leaderId: -1, leaderEpoch: -1 } }
    })
    return { responses: [{ name: this.#topic, partitionResponses }], nodeEndpoints: [] }
  }
}

const noTags = new Uint8Array(1)

/** What follows a response's correlation id. */
const response = <A extends AnyApi>(api: A, version: number, body: ResponseInput<A>): Uint8Array => {
  const parts = encodeResponse(api, version, body)
  return concat(responseHeaderVersion(api, version) === 1 ? [noTags, ...parts] : parts)
}
