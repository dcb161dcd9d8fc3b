import type { Transport } from "@sluice/kafka/Transport"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import type * as Option from "effect/Option"
import type * as Scheduler from "effect/Scheduler"
import * as Scope from "effect/Scope"
import * as Supervisor from "effect/Supervisor"

import { type AnyFiber, Fibers } from "../virtual/fibers.ts"

/** Gives what is ready to another scheduler, but keeps it while its host stalls, and for ever once that is dead. */
class HostScheduler implements Scheduler.Scheduler {
  readonly #scheduler: Scheduler.Scheduler
  #held: Array<[task: Scheduler.Task, priority: number]> | undefined
  #isDead = false

  constructor(scheduler: Scheduler.Scheduler) {
    this.#scheduler = scheduler
  }

  scheduleTask(task: Scheduler.Task, priority: number, fiber?: Fiber.RuntimeFiber<unknown, unknown>): void {
    const run = () => {
      if (this.#isDead) return
      if (this.#held === undefined) task()
      else this.#held.push([task, priority])
    }
    this.#scheduler.scheduleTask(run, priority, fiber)
  }

  shouldYield(fiber: Fiber.RuntimeFiber<unknown, unknown>): number | false {
    return this.#scheduler.shouldYield(fiber)
  }

  hold(): void {
    this.#held ??= []
  }

  release(): void {
    const held = this.#held ?? []
    this.#held = undefined
    for (const [task, priority] of held) this.scheduleTask(task, priority)
  }

  kill(): void {
    this.#isDead = true
    this.#held = undefined
  }
}

/** Knows the fibers of a host. */
class Inhabitants extends Supervisor.AbstractSupervisor<void> {
  readonly value = Effect.void
  readonly #fibers = new Set<AnyFiber>()
  readonly #all: Supervisor.Supervisor<unknown>

  constructor(all: Supervisor.Supervisor<unknown>) {
    super()
    this.#all = all
  }

  override onStart<A, E, R>(
    context: Context.Context<R>,
    effect: Effect.Effect<A, E, R>,
    parent: Option.Option<AnyFiber>,
    fiber: Fiber.RuntimeFiber<A, E>
  ): void {
    this.#fibers.add(fiber)
    this.#all.onStart(context, effect, parent, fiber)
  }

  override onEnd<A, E>(exit: Exit.Exit<A, E>, fiber: Fiber.RuntimeFiber<A, E>): void {
    this.#fibers.delete(fiber)
    this.#all.onEnd(exit, fiber)
  }

  /** They will never end. */
  abandon(): void {
    if (this.#all instanceof Fibers) { for (const fiber of this.#fibers) this.#all.abandon(fiber) }
    this.#fibers.clear()
  }
}

/** Where a client runs: a process that can stand still, and that can be killed. */
export interface Host {
  /** Runs something in it; whoever waits for that, outside, is not held up with it. */
  readonly fork: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<Fiber.RuntimeFiber<A, E>, never, R>
  /** Opens connections that end with it. */
  readonly transport: Transport["Type"]
  /** Nothing happens in it until {@link Host.release}; its connections stay, and what comes waits. */
  readonly hold: Effect.Effect<void>
  readonly release: Effect.Effect<void>
  /** Nothing happens in it ever again: no finalizer runs. Its connections are closed, as an operating system does it. */
  readonly kill: Effect.Effect<void>
}

/** A host on the network of this transport. */
export const makeHost = (transport: Transport["Type"]): Effect.Effect<Host> =>
  Effect.gen(function*() {
    const outerScheduler = yield* FiberRef.get(FiberRef.currentScheduler)
    const outerSupervisor = yield* FiberRef.get(FiberRef.currentSupervisor)
    const scheduler = new HostScheduler(outerScheduler)
    const inhabitants = new Inhabitants(outerSupervisor)
    const connections = yield* Scope.make()
    /** Opens a connection outside: one that comes when its host is dead must be closed. */
    const open = (connection: Scope.CloseableScope, ...args: Parameters<Transport["Type"]["connect"]>) =>
      Effect.forkDaemon(Effect.interruptible(Scope.extend(transport.connect(...args), connection))).pipe(
        Effect.locally(FiberRef.currentSupervisor, outerSupervisor),
        Effect.locally(FiberRef.currentScheduler, outerScheduler)
      )
    return {
      fork: (effect) =>
        Effect.forkDaemon(effect).pipe(
          Effect.locally(FiberRef.currentSupervisor, inhabitants as Supervisor.Supervisor<any>),
          Effect.locally(FiberRef.currentScheduler, scheduler)
        ),
      transport: {
        connect: (...args) =>
          Effect.uninterruptibleMask((restore) =>
            Effect.gen(function*() {
              const connection = yield* Scope.fork(connections, ExecutionStrategy.sequential)
              yield* Effect.addFinalizer((exit) => Scope.close(connection, exit))
              const opening = yield* open(connection, ...args)
              return yield* Effect.onInterrupt(restore(Fiber.join(opening)), () => Fiber.interrupt(opening))
            })
          )
      },
      hold: Effect.sync(() => scheduler.hold()),
      release: Effect.sync(() => scheduler.release()),
      kill: Effect.suspend(() => {
        scheduler.kill()
        inhabitants.abandon()
        return Scope.close(connections, Exit.void)
      })
    }
  })
