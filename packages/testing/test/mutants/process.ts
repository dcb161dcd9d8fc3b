import { spawn } from "node:child_process"
import { createInterface } from "node:readline"
import { clearTimeout, setTimeout } from "node:timers"

/** The lines that are kept of what a process says. */
const lastLines = 40

/**
 * Runs Node to its end, or kills it and what it has started after `timeout` milliseconds. Gives how it ended, with the
 * last lines that it wrote to standard error and that `onLine` wants kept.
 */
export const runNode = (
  args: ReadonlyArray<string>,
  options: {
    readonly directory: string
    readonly timeout: number
    readonly onLine: (line: string) => boolean
  }
): Promise<string> =>
  new Promise((resolve) => {
    const { directory, onLine, timeout } = options
    // A process group of its own, which can be killed as a whole.
    const child = spawn(process.execPath, [...args], {
      cwd: directory,
      detached: true,
      stdio: ["ignore", "ignore", "pipe"]
    })
    const kill = () => {
      try {
        process.kill(-child.pid!, "SIGKILL")
      } catch {
        // It has ended.
      }
    }
    process.once("exit", kill)
    const said: Array<string> = []
    createInterface({ input: child.stderr }).on("line", (line) => {
      if (onLine(line) && said.push(line) > lastLines) said.shift()
    })
    let ended = ""
    const timer = setTimeout(() => {
      ended = `was killed after ${timeout / 60_000} minutes`
      kill()
    }, timeout)
    child.on("close", (code) => {
      clearTimeout(timer)
      process.off("exit", kill)
      resolve([ended || `ended with ${code ?? "a signal"}`, ...said].join("\n"))
    })
  })
