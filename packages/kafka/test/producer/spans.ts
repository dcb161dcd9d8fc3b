import type { Exit } from "effect"
import { Context, Option, Tracer } from "effect"

/** A span that remembers what was done to it. */
export class TestSpan implements Tracer.Span {
  readonly _tag = "Span"
  readonly spanId: string
  readonly traceId: string
  readonly sampled: boolean = true
  readonly attributes = new Map<string, unknown>()
  readonly links: Array<Tracer.SpanLink> = []
  readonly ends: Array<Exit.Exit<unknown, unknown>> = []
  readonly name: string
  readonly parent: Option.Option<Tracer.AnySpan>
  readonly context: Context.Context<never> = Context.empty()
  readonly kind: Tracer.SpanKind
  status: Tracer.SpanStatus

  constructor(
    id: number,
    name: string,
    parent: Option.Option<Tracer.AnySpan>,
    startTime: bigint,
    kind: Tracer.SpanKind
  ) {
    this.name = name
    this.parent = parent
    this.kind = kind
    this.spanId = id.toString(16).padStart(16, "0")
    this.traceId = Option.match(parent, { onNone: () => `${id}`.padStart(32, "a"), onSome: ({ traceId }) => traceId })
    this.status = { _tag: "Started", startTime }
  }

  attribute(key: string, value: unknown): void {
    this.attributes.set(key, value)
  }

  event(): void {}

  addLinks(links: ReadonlyArray<Tracer.SpanLink>): void {
    for (const link of links) this.links.push(link)
  }

  end(endTime: bigint, exit: Exit.Exit<unknown, unknown>): void {
    this.ends.push(exit)
    this.status = { _tag: "Ended", startTime: this.status.startTime, endTime, exit }
  }
}

/** A tracer that keeps its spans; `onEnd` is called when one has ended. */
export const rememberingTracer = (onEnd: () => void = () => {}) => {
  const spans: Array<TestSpan> = []
  const tracer = Tracer.make({
    span: (name, parent, _context, _links, startTime, kind) => {
      const span = new TestSpan(spans.length + 1, name, parent, startTime, kind)
      const end = span.end.bind(span)
      span.end = (endTime, exit) => {
        end(endTime, exit)
        onEnd()
      }
      spans.push(span)
      return span
    },
    context: (execution) => execution()
  })
  return { spans, producing: () => spans.filter(({ kind }) => kind === "producer"), tracer }
}
