import type { Header } from "./header.ts"

/** What a W3C `traceparent` header says. */
export interface TraceParent {
  readonly traceId: string
  readonly spanId: string
  readonly sampled: boolean
}

/** The name of the header that carries the trace. */
export const traceparent = "traceparent"
/** The name of the header with what vendors add; passed on as it is. */
export const tracestate = "tracestate"

const pattern = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/

/** Reads a `traceparent` value; undefined if it is not valid (W3C Trace Context, §3.2). */
export const parseTraceparent = (value: string): TraceParent | undefined => {
  const match = pattern.exec(value)
  if (match === null) return undefined
  const [, version, traceId, spanId, flags, rest] = match
  if (version === "ff" || (version === "00" && rest !== undefined)) return undefined
  if (/^0+$/.test(traceId!) || /^0+$/.test(spanId!)) return undefined
  return { traceId: traceId!, spanId: spanId!, sampled: (parseInt(flags!, 16) & 1) === 1 }
}

/** Writes a `traceparent` value. */
export const formatTraceparent = (parent: TraceParent): string =>
  `00-${parent.traceId}-${parent.spanId}-${parent.sampled ? "01" : "00"}`

/** The first header of a name, whatever its case; undefined if there is none or it is null. */
export const headerValue = (headers: ReadonlyArray<Header>, name: string): Uint8Array | undefined => {
  for (const header of headers) {
    if (header.value !== null && header.key.length === name.length && header.key.toLowerCase() === name) {
      return header.value
    }
  }
  return undefined
}
