import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DefaultServices from "effect/DefaultServices"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"

import { isKafkaError, type KafkaError } from "../../KafkaError.ts"
import { errorOf } from "../kernel/errors.ts"
import type { Header } from "../kernel/header.ts"
import { formatTraceparent, headerValue, parseTraceparent, traceparent, tracestate } from "../kernel/traceContext.ts"
import { attribute } from "./semconv.ts"

/** The tracer of a fiber, with what a span of it needs. */
export interface ActiveTracer {
  readonly tracer: Tracer.Tracer
  readonly parent: Option.Option<Tracer.AnySpan>
  readonly clock: Clock.Clock
}

const nativeTracer = Context.get(DefaultServices.liveServices, Tracer.Tracer)
const noLinks: ReadonlyArray<Tracer.SpanLink> = []

/**
 * The fiber's tracer if one is installed and enabled there: Effect's own, which
 * exports nothing, does not count. A span costs microseconds even if nobody
 * sees it, so none is made then.
 */
export const activeTracer = (fiber: Fiber.RuntimeFiber<any, any>): ActiveTracer | undefined => {
  const services = fiber.getFiberRef(DefaultServices.currentServices)
  const tracer = Context.get(services, Tracer.Tracer)
  if (tracer === nativeTracer || !fiber.getFiberRef(FiberRef.currentTracerEnabled)) return undefined
  return {
    tracer,
    parent: Context.getOption(fiber.currentContext as Context.Context<any>, Tracer.ParentSpan),
    clock: Context.get(services, Clock.Clock)
  }
}

/** A span with the attributes that all of ours have. */
export const startSpan = (
  active: ActiveTracer,
  options: {
    readonly name: string
    readonly kind: Tracer.SpanKind
    readonly parent?: Option.Option<Tracer.AnySpan>
    readonly links?: ReadonlyArray<Tracer.SpanLink>
    readonly attributes: Record<string, unknown>
  }
): Tracer.Span => {
  const span = active.tracer.span(
    options.name,
    options.parent ?? active.parent,
    Context.empty(),
    options.links ?? noLinks,
    active.clock.unsafeCurrentTimeNanos(),
    options.kind
  )
  span.attribute(attribute.system, "kafka")
  for (const key in options.attributes) {
    const value = options.attributes[key]
    if (value !== undefined) span.attribute(key, value)
  }
  return span
}

/** `error.type`: the protocol's name of the error, else ours. */
export const errorType = (error: KafkaError): string =>
  error.reason.code === undefined ? error.reason._tag : errorOf(error.reason.code).name

/** The same of whatever a handler may fail with: its tag, or its name. */
export const errorTypeOf = (error: unknown): string =>
  isKafkaError(error)
    ? errorType(error)
    : typeof error === "object" && error !== null && "_tag" in error && typeof error._tag === "string"
    ? error._tag
    : error instanceof Error
    ? error.name
    : "_OTHER"

/** Backends and SDKs keep so many links of a span. */
const maxLinks = 128

/** Links to the spans that produced records. */
export const linksTo = (
  records: Iterable<{ readonly headers: ReadonlyArray<Header> }>
): ReadonlyArray<Tracer.SpanLink> => {
  const links: Array<Tracer.SpanLink> = []
  for (const { headers } of records) {
    if (links.length === maxLinks) break
    const origin = spanOfHeaders(headers)
    if (origin !== undefined) links.push(linkTo(origin))
  }
  return links
}

/** Ends a span that failed, or succeeded if `error` is undefined. */
export const endSpan = (span: Tracer.Span, endTime: bigint, error: KafkaError | undefined): void => {
  if (error !== undefined) span.attribute(attribute.errorType, errorType(error))
  span.end(endTime, error === undefined ? Exit.void : Exit.fail(error))
}

const encoder = new TextEncoder()

/**
 * The headers with the span's context added, unless the record brings a context
 * of its own, which is not to be changed. The span's own state comes along.
 */
export const withTraceHeaders = (headers: ReadonlyArray<Header>, span: Tracer.Span): ReadonlyArray<Header> => {
  if (headerValue(headers, traceparent) !== undefined) return headers
  const added: Array<Header> = headers.slice()
  added.push({ key: traceparent, value: encoder.encode(formatTraceparent(span)) })
  const state = traceState(span)
  if (state !== undefined) added.push({ key: tracestate, value: encoder.encode(state) })
  return added
}

// The tags by which @effect/opentelemetry's tracer keeps a context's flags and state; by their keys, so that it is not
// needed here. Without the flags it would take an unsampled parent for a sampled one.
const traceFlagsTag = Context.GenericTag<number>("@effect/opentelemetry/Tracer/OtelTraceFlags")
const traceStateTag = Context.GenericTag<{ readonly serialize?: () => string }>(
  "@effect/opentelemetry/Tracer/OtelTraceState"
)

const traceState = (span: Tracer.AnySpan): string | undefined => {
  const state = Option.getOrUndefined(Context.getOption(span.context as Context.Context<any>, traceStateTag))
  const text = state?.serialize?.()
  return text === undefined || text === "" ? undefined : text
}

const decoder = new TextDecoder()

/** The span that the record's headers name; undefined without a valid one. */
export const spanOfHeaders = (headers: ReadonlyArray<Header>): Tracer.ExternalSpan | undefined => {
  const value = headerValue(headers, traceparent)
  const parent = value === undefined ? undefined : parseTraceparent(decoder.decode(value))
  if (parent === undefined) return undefined
  return Tracer.externalSpan({
    ...parent,
    context: Context.make(traceFlagsTag, parent.sampled ? 1 : 0) as Context.Context<never>
  })
}

/** A link to another span. */
export const linkTo = (span: Tracer.AnySpan): Tracer.SpanLink => ({ _tag: "SpanLink", span, attributes: {} })

const strictDecoder = new TextDecoder("utf-8", { fatal: true })

/** A key as an attribute: only if it is text. */
export const keyAttribute = (key: Uint8Array | null): string | undefined => {
  if (key === null || key.length > 256) return undefined
  try {
    return strictDecoder.decode(key)
  } catch {
    return undefined
  }
}
