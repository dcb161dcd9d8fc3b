/** Members of a group, each a process of its own (`member.ts`), and what they tell of themselves. */
import { type ChildProcess, fork } from "node:child_process"
import { mkdtempSync, openSync, readSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

import { Cause, Duration, Effect, type Scope } from "effect"

import type { MemberOptions, Told } from "./member.ts"

/** A process with a member. */
export interface MemberProcess {
  readonly name: string
  /** What it has told so far. */
  readonly told: ReadonlyArray<Told>
  /** Makes it a member of the group; done when its consumer is made, which does not wait for the group. */
  readonly join: Effect.Effect<void>
  /** Closes its consumer; done when that is closed. */
  readonly leave: Effect.Effect<void>
  /** SIGKILL, and the wait for its end. */
  readonly kill: Effect.Effect<void>
  /** SIGSTOP. */
  readonly pause: Effect.Effect<void>
  /** SIGCONT. */
  readonly resume: Effect.Effect<void>
  /** Sends a signal, and waits for the end of the process: its exit code. */
  readonly end: (signal: NodeJS.Signals) => Effect.Effect<number | null>
  /** What it has written to its standard output: its log. */
  readonly output: () => string
}

/** Members of one group. */
export interface Members {
  readonly groupId: string
  /** Names of all that were started. */
  readonly names: ReadonlyArray<string>
  /** What all have told, in the order of time. */
  readonly told: () => ReadonlyArray<Told>
  /** Starts a process and, unless it is told not to, has it join. */
  readonly start: (
    name: string,
    options?: Partial<MemberOptions> & { readonly joins?: boolean }
  ) => Effect.Effect<MemberProcess, never, Scope.Scope>
  /** Waits until what they have told is so. */
  readonly until: (what: string, isSo: (told: ReadonlyArray<Told>) => boolean) => Effect.Effect<void>
}

const patience = Duration.seconds(90)

/** A defect, instead of waiting for ever. */
export const within = <A, E, R>(
  what: string | (() => string),
  self: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.timeoutFailCause(self, {
    duration: patience,
    onTimeout: () =>
      Cause.die(new Error(`${typeof what === "string" ? what : what()}: not within ${Duration.format(patience)}`))
  })

/** Waits until something is so, looking again and again. */
export const poll = (what: string | (() => string), isSo: () => boolean): Effect.Effect<void> =>
  within(
    what,
    Effect.gen(function*() {
      while (!isSo()) yield* Effect.sleep("10 millis")
    })
  )

const running = new Set<ChildProcess>()
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL")
})

/** The lines of a file, as they are written. */
const lineReader = (file: string): () => ReadonlyArray<string> => {
  const opened = openSync(file, "a+")
  const buffer = Buffer.alloc(1 << 16)
  let position = 0
  let rest = ""
  return () => {
    let text = rest
    for (;;) {
      const count = readSync(opened, buffer, 0, buffer.length, position)
      if (count === 0) break
      position += count
      text += buffer.toString("latin1", 0, count)
    }
    const lines = text.split("\n")
    rest = lines.pop()!
    return lines
  }
}

/** Members of a group of its own; their processes end with the scope. */
export const makeMembers = (
  common: Omit<MemberOptions, "name" | "file">
): Effect.Effect<Members, never, Scope.Scope> =>
  Effect.gen(function*() {
    const folder = yield* Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "sluice-members-"))),
      (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
    )
    const processes: Array<MemberProcess> = []
    const readers: Array<() => void> = []
    const told: Array<Told> = []
    const readAll = (): void => {
      const before = told.length
      for (const read of readers) read()
      // What came before is earlier: each was read up to its last line.
      const fresh = told.splice(before).sort((one, other) => one.time - other.time)
      for (const each of fresh) told.push(each)
    }
    const seen = () => {
      const all = told.slice(-6).map((event) => JSON.stringify(event))
      return `the last of ${told.length} events: ${all.join(", ")}`
    }
    const until: Members["until"] = (what, isSo) =>
      poll(() => `${what} (${seen()})`, () => {
        readAll()
        return isSo(told)
      })

    const start: Members["start"] = (name, { joins = true, ...options } = {}) =>
      Effect.gen(function*() {
        const file = join(folder, name)
        const child = yield* Effect.acquireRelease(
          Effect.sync(() => {
            const child = fork(join(import.meta.dirname, "member.ts"), [
              JSON.stringify({ ...common, ...options, name, file } satisfies MemberOptions)
            ], { execArgv: ["--no-warnings"], stdio: ["ignore", "pipe", "inherit", "ipc"] })
            running.add(child)
            child.once("exit", () => running.delete(child))
            return child
          }),
          (child) =>
            Effect.async<void>((resume) => {
              if (child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
              child.once("close", () => resume(Effect.void))
              child.kill("SIGKILL")
            })
        )
        let output = ""
        child.stdout!.setEncoding("utf8").on("data", (text: string) => {
          output += text
        })
        const own: Array<Told> = []
        const read = lineReader(file)
        readers.push(() => {
          for (const line of read()) {
            const event = JSON.parse(line) as Told
            own.push(event)
            told.push(event)
          }
        })
        const says = (what: string, tag: Told["_tag"], message: string) =>
          Effect.suspend(() => {
            readAll()
            const before = own.filter(({ _tag }) => _tag === tag).length
            child.send(message)
            return poll(() => `${name} ${what}; its log ends: ${output.slice(-2_000)}`, () => {
              readAll()
              return own.filter(({ _tag }) => _tag === tag).length > before
            })
          })
        const end = (signal: NodeJS.Signals) =>
          Effect.async<number | null>((resume) => {
            child.once("close", (code) => resume(Effect.succeed(code)))
            child.kill(signal)
          })
        const member: MemberProcess = {
          name,
          told: own,
          join: says("joins", "MemberStarted", "join"),
          leave: says("leaves", "MemberClosed", "leave"),
          kill: Effect.zipRight(end("SIGKILL"), Effect.sync(readAll)),
          pause: Effect.sync(() => child.kill("SIGSTOP")),
          resume: Effect.sync(() => child.kill("SIGCONT")),
          end: (signal) => within(`${name} ends`, Effect.tap(end(signal), () => Effect.sync(readAll))),
          output: () => output
        }
        processes.push(member)
        if (joins) yield* member.join
        return member
      })

    return {
      groupId: common.groupId,
      get names() {
        return processes.map(({ name }) => name)
      },
      told: () => {
        readAll()
        return told
      },
      start,
      until
    }
  })
