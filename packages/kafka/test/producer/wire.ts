import { readBatchHeader } from "@sluice/kafka/internal/kernel/batchHeader"
import { ApiVersions } from "@sluice/kafka/internal/protocol/api/apiVersions"
import { InitProducerId } from "@sluice/kafka/internal/protocol/api/initProducerId"
import { Metadata } from "@sluice/kafka/internal/protocol/api/metadata"
import { Produce } from "@sluice/kafka/internal/protocol/api/produce"
import { apis } from "@sluice/kafka/internal/protocol/apis"
import { decodeRequest, encodeResponse } from "@sluice/kafka/internal/protocol/codec"
import type { AnyApi, RequestOf, ResponseInput } from "@sluice/kafka/internal/protocol/field"
import { responseHeader } from "@sluice/kafka/internal/protocol/header"
import * as Kafka from "@sluice/kafka/Kafka"
import { type Connection, type RequestFrame, Transport, TransportError } from "@sluice/kafka/Transport"
import { MemoryCluster } from "@sluice/testing/MemoryCluster"
import { Context, Effect, Layer, Option, Tracer } from "effect"

/** A request as it was written to a connection. */
export interface WrittenRequest {
  readonly api: string
  readonly version: number
  /** `host:port`. */
  readonly address: string
  readonly body: unknown
}

/** What a broker gets to answer in the place of the cluster. */
export type Answer =
  | { readonly _tag: "Body"; readonly api: AnyApi; readonly body: unknown; readonly version?: number }
  /** The connection is there, and nothing comes. */
  | { readonly _tag: "Silence" }
  /** The driver says so at once. */
  | { readonly _tag: "Failure"; readonly error: TransportError }

/** The wires between the client and the cluster in memory: what was written, and who answers. */
export interface Wire {
  /** Addresses, in the order in which connections were asked for. */
  readonly connects: Array<string>
  readonly requests: Array<WrittenRequest>
  /** The span of the fiber that wrote each request. */
  readonly spans: Array<{ readonly api: string; readonly span: Tracer.AnySpan | undefined }>
  /** Why a connection cannot be made; undefined if it can. */
  refuse: (address: string) => TransportError["reason"] | undefined
  /** Replaces the cluster for the requests that it gives an answer to. */
  answer: (request: WrittenRequest) => Answer | undefined
  /** Sees what the cluster answers, and may give something else. */
  edit: (request: WrittenRequest, response: Uint8Array) => Uint8Array
  /** Keeps what the cluster answers from the client until it is done. */
  hold: (request: WrittenRequest) => Effect.Effect<void>
}

export class Wires extends Context.Tag("test/Wires")<Wires, Wire>() {}

const encode = (api: AnyApi, version: number, body: unknown): Uint8Array => {
  const header = responseHeader(api, version, 0, 0).subarray(8)
  return Buffer.concat([header, ...encodeResponse(api, version, body as never)])
}

/** The bytes of an answer, as they come in. */
export const encodeAnswer = (version: number, answer: Answer): Uint8Array => {
  if (answer._tag !== "Body") throw new Error(`${answer._tag} has no bytes`)
  return encode(answer.api, version, answer.body)
}

const tap = (transport: Transport["Type"], wire: Wire): Transport["Type"] => ({
  connect: (address, options) =>
    Effect.suspend(() => {
      const at = `${address.host}:${address.port}`
      wire.connects.push(at)
      const reason = wire.refuse(at)
      if (reason !== undefined) {
        return Effect.fail(new TransportError({ reason, address, message: `refused: ${reason}`, written: false }))
      }
      return Effect.map(transport.connect(address, options), (connection): Connection => ({
        closed: connection.closed,
        send: (frame: RequestFrame) =>
          Effect.withFiberRuntime((fiber) => {
            const api = apis.get(frame.apiKey)!
            const body = decodeRequest(api, frame.apiVersion, Buffer.concat(frame.body))
            const request = { api: api.name, version: frame.apiVersion, address: at, body }
            wire.requests.push(request)
            const parent = Context.getOption(fiber.currentContext as Context.Context<any>, Tracer.ParentSpan)
            wire.spans.push({ api: api.name, span: Option.getOrUndefined(parent) })
            const answer = wire.answer(request)
            switch (answer?._tag) {
              case undefined:
                return Effect.map(
                  connection.send(frame),
                  (response) =>
                    Effect.zipLeft(
                      Effect.map(response, (bytes) => wire.edit(request, bytes)),
                      Effect.suspend(() => wire.hold(request))
                    )
                )
              case "Body":
                return Effect.succeed(
                  Effect.succeed(encode(answer.api, answer.version ?? frame.apiVersion, answer.body))
                )
              case "Silence":
                return Effect.succeed(Effect.flatMap(connection.closed, Effect.fail))
              case "Failure":
                return Effect.fail(answer.error)
            }
          })
      }))
    })
})

/** The cluster in memory, its wires and a client of it. */
export const wired = (
  cluster: Parameters<typeof MemoryCluster.layer>[0] = {},
  client: Partial<Kafka.KafkaOptions> = {}
) => {
  const wires = Layer.effectContext(Effect.map(Transport, (transport) => {
    const wire: Wire = {
      connects: [],
      requests: [],
      spans: [],
      refuse: () => undefined,
      answer: () => undefined,
      edit: (_, response) => response,
      hold: () => Effect.void
    }
    return Context.make(Wires, wire).pipe(Context.add(Transport, tap(transport, wire)))
  }))
  return Kafka.layer({ brokers: "broker-1.memory:9092", clientId: "test", ...client }).pipe(
    Layer.provideMerge(wires),
    Layer.provideMerge(MemoryCluster.layer(cluster))
  )
}

/** A batch of a Produce request, by what its header says. */
export interface WrittenBatch {
  readonly topic: string
  readonly partition: number
  readonly address: string
  readonly producerId: number
  readonly epoch: number
  readonly sequence: number
  readonly count: number
  readonly bytes: Uint8Array
}

/** The batches of a Produce request; none of any other. */
export const batchesOf = (request: WrittenRequest): ReadonlyArray<WrittenBatch> => {
  if (request.api !== "Produce") return []
  const { topicData } = request.body as RequestOf<typeof Produce>
  return topicData.flatMap(({ name, partitionData }) =>
    partitionData.map(({ index, records }) => {
      const header = readBatchHeader(records!, 0)
      return {
        topic: name,
        partition: index,
        address: request.address,
        producerId: header.producerId,
        epoch: header.producerEpoch,
        sequence: header.baseSequence,
        count: header.recordCount,
        bytes: records!
      }
    })
  )
}

/** Every batch that was written so far. */
export const written = (wire: Wire): ReadonlyArray<WrittenBatch> => wire.requests.flatMap(batchesOf)

/** Answers a Produce request: each of its partitions with a code, success at offset 0 by default. */
export const produceAnswer = (
  request: WrittenRequest,
  codeOf: (batch: WrittenBatch) => number = () => 0,
  throttleTimeMs = 0
): Answer => {
  const responses = new Map<
    string,
    Array<ResponseInput<typeof Produce>["responses"][number]["partitionResponses"][number]>
  >()
  for (const batch of batchesOf(request)) {
    const errorCode = codeOf(batch)
    const partitions = responses.get(batch.topic) ?? []
    responses.set(batch.topic, partitions)
    partitions.push({ index: batch.partition, errorCode, baseOffset: errorCode === 0 ? 0 : -1 })
  }
  return {
    _tag: "Body",
    api: Produce,
    body: {
      throttleTimeMs,
      responses: Array.from(responses, ([name, partitionResponses]) => ({ name, partitionResponses }))
    }
  }
}

/** Answers the first requests of an API with these, one after the other; the cluster answers the rest. */
export const answerFirst = (
  wire: Wire,
  api: string,
  ...answers: ReadonlyArray<(request: WrittenRequest) => Answer | undefined>
): void => {
  let count = 0
  const before = wire.answer
  wire.answer = (request) =>
    request.api === api && count < answers.length ? answers[count++]!(request) : before(request)
}

export const silence = (): Answer => ({ _tag: "Silence" })

export { ApiVersions, InitProducerId, Metadata, Produce }
