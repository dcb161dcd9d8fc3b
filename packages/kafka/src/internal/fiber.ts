import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as FiberRef from "effect/FiberRef"
import * as HashMap from "effect/HashMap"
import * as List from "effect/List"
import type * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"

import { suspended } from "./suspended.ts"

/**
 * Runs `self` for at most `duration` and returns then, whatever `self` does:
 * also if it is uninterruptible, and also if the caller is interrupted twice.
 * None if it did not end in time; it is interrupted then, in the background.
 */
export const bounded = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  duration: Duration.DurationInput
): Effect.Effect<Option.Option<A>, E, R> =>
  Effect.uninterruptible(
    Effect.flatMap(
      Effect.forkDaemon(self.pipe(Effect.disconnect, Effect.interruptible, Effect.timeoutOption(duration))),
      Fiber.join
    )
  )

/** Runs `self` once, on a fiber of its own; whoever comes later awaits the same end. */
export const once = <A, E>(self: Effect.Effect<A, E>): Effect.Effect<A, E> => {
  const done = Deferred.unsafeMake<A, E>(FiberId.none)
  let started = false
  return Effect.uninterruptible(Effect.suspend(() => {
    if (started) return Deferred.await(done)
    started = true
    return Effect.zipRight(Effect.forkDaemon(Effect.intoDeferred(self, done)), Deferred.await(done))
  }))
}

/**
 * Waits until `register` calls `resume`; the function that it gives back undoes
 * it when the wait is interrupted. `Effect.async` would forget to, where the
 * interruption comes right after the registration.
 */
export const cancelable = <A, E>(
  register: (resume: (effect: Effect.Effect<A, E>) => void) => () => void
): Effect.Effect<A, E> =>
  Effect.suspend(() => {
    let cancel: (() => void) | undefined
    return Effect.onInterrupt(
      suspended<A, E>((resume) => {
        cancel = register(resume)
      }),
      () => Effect.sync(() => cancel?.())
    )
  })

/**
 * Runs both until one has ended, and ends as that one did; the other is interrupted, and has ended then, too. One of Effect's
 * own races waits for ever if it is interrupted while it is being set up: for fibers that were never started.
 */
export const firstOf = <A, E, R, B, E2, R2>(
  one: Effect.Effect<A, E, R>,
  other: Effect.Effect<B, E2, R2>
): Effect.Effect<A | B, E | E2, R | R2> =>
  Effect.acquireUseRelease(
    Effect.zip(Effect.forkDaemon(Effect.interruptible(one)), Effect.forkDaemon(Effect.interruptible(other))),
    ([first, second]) =>
      cancelable<A | B, E | E2>((resume) => {
        first.addObserver(resume)
        second.addObserver(resume)
        return () => {
          first.removeObserver(resume)
          second.removeObserver(resume)
        }
      }),
    (fibers) => Fiber.interruptAll(fibers)
  )

/** Whether a fiber has ended or was interrupted: it waits for nothing any more, but what it does not let be interrupted. */
export const hasStopped = (fiber: Fiber.RuntimeFiber<unknown, unknown>): boolean =>
  fiber.unsafePoll() !== null || !Cause.isEmpty(fiber.getFiberRef(FiberRef.interruptedCause))

/** Without the span, the log annotations and the log spans of whoever happened to start it. */
export const detached = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  // A fiber that a detached one starts has nothing of that: to set it all again costs more than most of them do.
  Effect.withFiberRuntime((fiber) => isDetached(fiber) ? self : stripped(self))

const isDetached = (fiber: Fiber.RuntimeFiber<unknown, unknown>): boolean =>
  !fiber.getFiberRef(FiberRef.currentContext).unsafeMap.has(Tracer.ParentSpan.key) &&
  HashMap.isEmpty(fiber.getFiberRef(FiberRef.currentLogAnnotations)) &&
  List.isNil(fiber.getFiberRef(FiberRef.currentLogSpan)) &&
  Chunk.isEmpty(fiber.getFiberRef(FiberRef.currentTracerSpanLinks)) &&
  HashMap.isEmpty(fiber.getFiberRef(FiberRef.currentTracerSpanAnnotations))

const stripped = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  self.pipe(
    Effect.mapInputContext((context: Context.Context<R>) =>
      Context.omit(Tracer.ParentSpan)(context) as Context.Context<R>
    ),
    Effect.locally(FiberRef.currentLogAnnotations, HashMap.empty()),
    Effect.locally(FiberRef.currentLogSpan, List.empty()),
    Effect.locally(FiberRef.currentTracerSpanLinks, emptyLinks),
    Effect.locally(FiberRef.currentTracerSpanAnnotations, HashMap.empty())
  )

/** Gives an effect of the application what there was where it was handed over, but for the span of that place. */
export const inContext = <R>(context: Context.Context<R>) => {
  const own = Context.omit(Tracer.ParentSpan)(context as Context.Context<R | Tracer.ParentSpan>) as Context.Context<R>
  return <A, E>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E> =>
    Effect.mapInputContext(self, (current: Context.Context<never>) => Context.merge(own, current))
}

const emptyLinks: Chunk.Chunk<Tracer.SpanLink> = Chunk.empty()

/** A defect of the engine is never silent. */
const logDefect = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.tapDefect(self, (cause) => Effect.logError("a fiber of the client died: this is a bug", cause))

/**
 * The fibers of one engine: interruptible wherever they were started from,
 * without their starter's span, and known, so that they can be ended.
 */
export class Fibers {
  readonly #running = new Set<Fiber.RuntimeFiber<unknown, unknown>>()
  readonly #onDefect: (cause: Cause.Cause<unknown>) => void

  /** `onDefect` hears of one that died. */
  constructor(onDefect: (cause: Cause.Cause<unknown>) => void = () => {}) {
    this.#onDefect = onDefect
  }

  /** Starts a fiber. */
  fork<A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<Fiber.RuntimeFiber<A, E>, never, R> {
    // Uninterruptible, so that no fiber runs that is not known here.
    return Effect.uninterruptible(
      Effect.map(Effect.forkDaemon(Effect.interruptible(detached(logDefect(self)))), (fiber) => {
        this.#running.add(fiber)
        fiber.addObserver((exit) => {
          this.#running.delete(fiber)
          if (Exit.isFailure(exit) && Cause.isDie(exit.cause)) this.#onDefect(exit.cause)
        })
        return fiber
      })
    )
  }

  /** How many run. */
  get size(): number {
    return this.#running.size
  }

  /** Interrupts those that run, and those that they start meanwhile, and awaits their end, for at most `duration`. */
  interruptAll(duration: Duration.DurationInput): Effect.Effect<void> {
    const all: Effect.Effect<void> = Effect.suspend(() =>
      this.size === 0 ? Effect.void : Effect.zipRight(Fiber.interruptAll(Array.from(this.#running)), all)
    )
    return Effect.asVoid(bounded(all, duration))
  }
}
