import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as FiberRef from "effect/FiberRef"
import * as FiberStatus from "effect/FiberStatus"
import * as HashMap from "effect/HashMap"
import * as HashSet from "effect/HashSet"
import type * as Option from "effect/Option"
import * as Supervisor from "effect/Supervisor"
import * as Tracer from "effect/Tracer"

/** A fiber of whatever types. */
export type AnyFiber = Fiber.RuntimeFiber<any, any>

/**
 * Knows the fibers of a run that have not ended. It numbers them in the order of their starts: Effect's ids go on from run
 * to run, so that they are not the same again.
 */
export class Fibers extends Supervisor.AbstractSupervisor<void> {
  readonly value = Effect.void
  readonly #numbers = new Map<AnyFiber, number>()
  readonly #abandoned = new WeakSet<AnyFiber>()
  #started = 0

  /** Those that have not ended, in the order of their starts. */
  get running(): ReadonlyArray<AnyFiber> {
    return Array.from(this.#numbers.keys())
  }

  override onStart<A, E, R>(
    _context: Context.Context<R>,
    _effect: Effect.Effect<A, E, R>,
    _parent: Option.Option<AnyFiber>,
    fiber: Fiber.RuntimeFiber<A, E>
  ): void {
    this.#numbers.set(fiber, ++this.#started)
  }

  override onEnd<A, E>(_exit: Exit.Exit<A, E>, fiber: Fiber.RuntimeFiber<A, E>): void {
    this.#numbers.delete(fiber)
  }

  /** A fiber that will not run again, and is nobody's fault: that of a process that was killed. */
  abandon(fiber: AnyFiber): void {
    this.#numbers.delete(fiber)
    this.#abandoned.add(fiber)
  }

  isAbandoned(fiber: AnyFiber): boolean {
    return this.#abandoned.has(fiber)
  }

  /** A fiber that runs, and what it does: `status` is its own answer, `sleepsUntil` what the clock knows. */
  describe(fiber: AnyFiber, status: FiberStatus.FiberStatus | undefined, sleepsUntil: number | undefined): string {
    const name = this.#name(fiber)
    if (sleepsUntil !== undefined) return `${name} sleeps until ${sleepsUntil} ms`
    if (status === undefined) return name
    if (!FiberStatus.isSuspended(status)) return `${name} is ready`
    const others = this.running.filter((other) => other !== fiber && isAmong(other.id(), status.blockingOn))
    return others.length === 0 ? `${name} waits` : `${name} waits for ${others.map(this.#name).join(", ")}`
  }

  /** What it is called: its number, its span, and the annotations of its logs. */
  readonly #name = (fiber: AnyFiber): string =>
    [`fiber ${this.#numbers.get(fiber)}`, ...spanName(fiber), ...annotations(fiber)].join(" ")
}

/** One that waits for nobody in particular may tell `null`. */
const isAmong = (id: FiberId.FiberId, ids: FiberId.FiberId | null): boolean =>
  ids !== null && HashSet.isSubset(FiberId.toSet(id), FiberId.toSet(ids))

const spanName = (fiber: AnyFiber): ReadonlyArray<string> => {
  const span = Context.getOption(
    fiber.getFiberRef(FiberRef.currentContext) as Context.Context<Tracer.ParentSpan>,
    Tracer.ParentSpan
  )
  return span._tag === "Some" && span.value._tag === "Span" ? [`"${span.value.name}"`] : []
}

const annotations = (fiber: AnyFiber): ReadonlyArray<string> => {
  const entries = HashMap.toEntries(fiber.getFiberRef(FiberRef.currentLogAnnotations))
  if (entries.length === 0) return []
  return [`(${entries.map(([key, value]) => `${key}: ${String(value)}`).sort().join(", ")})`]
}
