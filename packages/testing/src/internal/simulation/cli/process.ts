import { mkdirSync, writeFileSync } from "node:fs"
import { availableParallelism } from "node:os"
import { dirname } from "node:path"

import type { RunnerModules } from "./runner.ts"
import type { Output } from "./screen.ts"
import { simulate } from "./simulate.ts"
import { makeThread } from "./thread.ts"

/** How long a thread may say nothing, in milliseconds: longer than any seed takes. */
const patience = 120_000

const outputOf = (stream: NodeJS.WriteStream): Output => ({
  write: (text) => void stream.write(text),
  isTerminal: stream.isTTY === true
})

/** Runs the program in this process, and sets its exit code. */
export const runInProcess = async (modules: RunnerModules): Promise<void> => {
  const stop = new AbortController()
  const interrupt = () => stop.abort()
  // Once: a second Ctrl-C ends it at once.
  process.once("SIGINT", interrupt)
  process.once("SIGTERM", interrupt)
  // Whoever read it has gone.
  process.stdout.on("error", interrupt)
  process.exitCode = await simulate(process.argv.slice(2), {
    stdout: outputOf(process.stdout),
    stderr: outputOf(process.stderr),
    noColour: (process.env["NO_COLOR"] ?? "") !== "",
    now: () => performance.timeOrigin + performance.now(),
    elapsed: () => performance.now(),
    cores: availableParallelism(),
    makeThread: () => makeThread(modules, patience),
    interrupted: stop.signal,
    writeFile: (file, text) => {
      mkdirSync(dirname(file), { recursive: true })
      writeFileSync(file, text)
    }
  })
}
