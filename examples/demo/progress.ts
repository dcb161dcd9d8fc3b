import { Clock, Effect, type Scope } from "effect"

/** Where the program tells what it does. */
export interface Progress {
  /** Prints a line for good. */
  readonly say: (line: string) => void
}

/**
 * Shows `status` while the scope is open: in one line that is written over ten times a second on a terminal, else in
 * lines further and further apart, at most one in five seconds in the end.
 */
export const makeProgress = (status: () => string): Effect.Effect<Progress, never, Scope.Scope> =>
  Effect.gen(function*() {
    const { stdout } = process
    if (!stdout.isTTY) {
      const start = yield* Clock.currentTimeMillis
      let shown = ""
      const show = (pause: number): Effect.Effect<never> =>
        Effect.sleep(pause).pipe(
          Effect.zipRight(Clock.currentTimeMillis),
          Effect.map((now) => {
            const text = status()
            if (text !== shown) console.log(`${((now - start) / 1_000).toFixed(1)} s: ${text}`)
            shown = text
          }),
          Effect.zipRight(Effect.suspend(() => show(Math.min(5_000, 2 * pause))))
        )
      yield* Effect.forkScoped(show(250))
      return { say: (line) => console.log(line) }
    }
    const clear = () => stdout.write("\r\x1b[K")
    // One column stays free: some terminals wrap after the last one.
    const draw = () => stdout.write(`\r${status().slice(0, (stdout.columns || 80) - 1)}\x1b[K`)
    yield* Effect.addFinalizer(() => Effect.sync(clear))
    yield* Effect.forkScoped(Effect.forever(Effect.zipRight(Effect.sync(draw), Effect.sleep("100 millis"))))
    return {
      say: (line) => {
        clear()
        console.log(line)
      }
    }
  })
