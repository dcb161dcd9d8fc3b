import { type Context, type Exit, type Option, Tracer } from "effect"

/** Random digits, eight at a time. */
const hex = (digits: number): string => {
  let text = ""
  while (text.length < digits) text += Math.floor(Math.random() * 2 ** 32).toString(16).padStart(8, "0")
  return text
}

const noAttributes: ReadonlyMap<string, unknown> = new Map()

/** A span that is kept in memory. One that is not sampled only carries its ids on. */
export class CollectedSpan implements Tracer.Span {
  readonly _tag = "Span"
  readonly spanId = hex(16)
  readonly traceId: string
  readonly sampled: boolean
  readonly name: string
  readonly parent: Option.Option<Tracer.AnySpan>
  readonly context: Context.Context<never>
  readonly kind: Tracer.SpanKind
  readonly #attributes: Map<string, unknown> | undefined
  links: ReadonlyArray<Tracer.SpanLink>
  status: Tracer.SpanStatus

  constructor(
    name: string,
    parent: Option.Option<Tracer.AnySpan>,
    context: Context.Context<never>,
    links: ReadonlyArray<Tracer.SpanLink>,
    startTime: bigint,
    kind: Tracer.SpanKind,
    sampled: boolean
  ) {
    this.name = name
    this.parent = parent
    this.context = context
    this.links = links
    this.kind = kind
    this.status = { _tag: "Started", startTime }
    this.traceId = parent._tag === "Some" ? parent.value.traceId : hex(32)
    this.sampled = sampled
    if (sampled) this.#attributes = new Map()
  }

  get attributes(): ReadonlyMap<string, unknown> {
    return this.#attributes ?? noAttributes
  }

  end(endTime: bigint, exit: Exit.Exit<unknown, unknown>): void {
    this.status = { _tag: "Ended", startTime: this.status.startTime, endTime, exit }
  }

  attribute(key: string, value: unknown): void {
    this.#attributes?.set(key, value)
  }

  event(): void {}

  addLinks(links: ReadonlyArray<Tracer.SpanLink>): void {
    this.links = [...this.links, ...links]
  }

  /** Nanoseconds. */
  get duration(): bigint {
    return this.status._tag === "Ended" ? this.status.endTime - this.status.startTime : 0n
  }
}

/**
 * A tracer that keeps in memory the spans of one trace in `every`, as an exporter with head sampling would send them:
 * whoever starts a trace decides, and the headers of the record carry that to whoever goes on with it.
 */
export class SpanCollector {
  readonly #spans: Array<CollectedSpan> = []
  #roots = 0
  readonly tracer: Tracer.Tracer

  constructor(every: number, maxSpans = 1_000) {
    this.tracer = Tracer.make({
      context: (execute) => execute(),
      span: (name, parent, context, links, startTime, kind) => {
        const wanted = parent._tag === "Some" ? parent.value.sampled : ++this.#roots % every === 0
        const sampled = wanted && this.#spans.length < maxSpans
        const span = new CollectedSpan(name, parent, context, links, startTime, kind, sampled)
        if (sampled) this.#spans.push(span)
        return span
      }
    })
  }

  /** Every span that was kept. */
  get spans(): ReadonlyArray<CollectedSpan> {
    return this.#spans
  }

  /** Traces that have at least so many spans, each with its spans in the order of their start. */
  traces(minSpans: number): ReadonlyArray<ReadonlyArray<CollectedSpan>> {
    const byId = new Map<string, Array<CollectedSpan>>()
    for (const span of this.#spans) {
      const trace = byId.get(span.traceId)
      if (trace === undefined) byId.set(span.traceId, [span])
      else trace.push(span)
    }
    return Array.from(byId.values()).filter((trace) => trace.length >= minSpans)
  }
}

const milliseconds = (nanoseconds: bigint): string => `${(Number(nanoseconds) / 1e6).toFixed(2)} ms`

/** The spans of a trace as a tree, a line for each span and each of its attributes. */
export const formatTrace = (trace: ReadonlyArray<CollectedSpan>): string => {
  const begin = trace.reduce((first, { status }) => status.startTime < first ? status.startTime : first, 1n << 63n)
  const ids = new Set(trace.map((span) => span.spanId))
  const lines = [`trace ${trace[0]!.traceId}`]
  const show = (span: CollectedSpan, indent: string): void => {
    const start = milliseconds(span.status.startTime - begin)
    lines.push(`${indent}${span.name}  (${span.kind}, at ${start}, took ${milliseconds(span.duration)})`)
    for (const [name, value] of span.attributes) lines.push(`${indent}    ${name} = ${String(value)}`)
    for (const child of trace) {
      if (child.parent._tag === "Some" && child.parent.value.spanId === span.spanId) show(child, `${indent}  `)
    }
  }
  for (const span of trace) {
    if (span.parent._tag === "None" || !ids.has(span.parent.value.spanId)) show(span, "  ")
  }
  return lines.join("\n")
}
