import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"

import type { ErrorScope, KafkaErrorProps, Persisted, ProduceError, Reason } from "../KafkaError.ts"
import { FatalError, type KafkaError, RetriableError } from "../KafkaError.ts"
import type { BrokerAddress, TransportError } from "../Transport.ts"
import { errorOf } from "./kernel/errors.ts"

/** `host:port`, with brackets around an IPv6 address. */
export const formatAddress = (address: BrokerAddress): string =>
  address.host.includes(":") ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`

/** An option or an argument is not valid; nothing was sent. */
export const invalidArgument = (message: string): FatalError =>
  new FatalError({ reason: { _tag: "InvalidArgument" }, scope: "client", message })

/** A fiber of the client died, and nothing takes its place. */
export const defect = (owner: string, cause: Cause.Cause<unknown>): FatalError =>
  new FatalError({
    reason: { _tag: "ClientDefect" },
    scope: "client",
    message: `${owner}: a fiber of the client died: this is a bug`,
    cause: Cause.squash(cause)
  })

/** The error of a protocol error code. */
export const fromCode = (
  code: number,
  options: {
    readonly operation: string
    readonly scope: ErrorScope
    readonly topic?: string | undefined
    readonly partition?: number | undefined
    readonly broker?: string | undefined
    readonly detail?: string | null | undefined
    readonly persisted?: Persisted | undefined
  }
): KafkaError => {
  const entry = errorOf(code)
  const place = options.topic === undefined
    ? ""
    : options.partition === undefined
    ? ` (topic ${options.topic})`
    : ` (topic ${options.topic}, partition ${options.partition})`
  const props: KafkaErrorProps = {
    reason: {
      _tag: entry.tag,
      code,
      topic: options.topic,
      partition: options.partition,
      broker: options.broker
    },
    scope: options.scope,
    message: `${options.operation}: ${entry.name}${place}${options.detail ? `: ${options.detail}` : ""}`,
    persisted: options.persisted
  }
  return entry.retriable ? new RetriableError(props) : new FatalError(props)
}

/** The engine's view of a failed connection. */
export const fromTransport = (error: TransportError): KafkaError => {
  const broker = formatAddress(error.address)
  const props = (tag: Reason["_tag"]): KafkaErrorProps => ({
    reason: { _tag: tag, broker, written: error.written },
    scope: "client",
    message: error.message,
    cause: error
  })
  switch (error.reason) {
    case "AuthenticationFailed":
      return new FatalError(props("AuthenticationFailed"))
    case "TlsFailed":
      return new FatalError(props("TlsFailed"))
    case "InvalidFrame":
      return new RetriableError(props("InvalidResponse"))
    case "ConnectFailed":
    case "ConnectionLost":
    case "Closed":
      return new RetriableError(props("ConnectionLost"))
  }
}

/** A broker did not answer in time. */
export const requestTimeout = (
  api: string,
  address: BrokerAddress,
  after: Duration.Duration,
  written: boolean
): RetriableError =>
  new RetriableError({
    reason: { _tag: "RequestTimeout", broker: formatAddress(address), written },
    scope: "client",
    message: `${api}: no answer from ${formatAddress(address)} within ${Duration.format(after)}`
  })

/** The instance is closed or closing. */
export const closed = (what: string): FatalError =>
  new FatalError({ reason: { _tag: "Closed" }, scope: "client", message: `the ${what} is closed` })

/** The same error, as the outcome of a produced record. */
export const withPersisted = (error: KafkaError, persisted: Persisted): ProduceError => {
  const props: KafkaErrorProps = {
    reason: error.reason,
    scope: error.scope,
    message: error.message,
    cause: error.cause,
    persisted
  }
  return (error._tag === "RetriableError" ? new RetriableError(props) : new FatalError(props)) as ProduceError
}

/** Whether trying again with the same settings cannot help. */
export const isFatal = (error: KafkaError): boolean => error._tag === "FatalError"

/** Another member of the group, or a broker, sent what cannot be read. */
export const malformed = (groupId: string, what: string, cause: unknown): FatalError =>
  new FatalError({
    reason: { _tag: "InvalidResponse" },
    scope: "client",
    message: `group ${groupId}: ${what} is malformed: ${cause instanceof Error ? cause.message : String(cause)}`,
    cause
  })
