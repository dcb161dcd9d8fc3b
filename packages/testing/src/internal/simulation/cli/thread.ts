import { clearTimeout, setTimeout } from "node:timers"
import { Worker } from "node:worker_threads"

import type { ShrinkProgress } from "../shrink.ts"
import type { Job, Message, Results } from "./job.ts"
import type { RunnerModules } from "./runner.ts"

/** What came of a job: a result; or it broke; or it was given up. */
export type Ended<A> =
  | { readonly _tag: "Done"; readonly result: A }
  | { readonly _tag: "Broken"; readonly stack: string }
  | { readonly _tag: "Stopped" }

/** Does jobs, one at a time. */
export interface Thread {
  readonly run: <J extends Job>(
    job: J,
    onProgress?: (progress: ShrinkProgress) => void
  ) => Promise<Ended<Results[J["_tag"]]>>
  /** Ends it; the job that it does is `Stopped`. It starts again with the next job. */
  readonly stop: () => Promise<void>
}

/** The module beside this one: its source, or what was built of it. */
export const besides = (name: string, base: string = import.meta.url): string =>
  new URL(`${name}${base.endsWith(".ts") ? ".ts" : ".js"}`, base).href

const stackOf = (error: unknown): string => error instanceof Error ? error.stack ?? String(error) : String(error)

/** A thread of this process. A job that says nothing for `patience` milliseconds is broken. */
export const makeThread = (modules: RunnerModules, patience: number): Thread => {
  let worker: Worker | undefined
  let end: ((ended: Ended<any>) => void) | undefined
  let progressed: ((progress: ShrinkProgress) => void) | undefined

  const start = (): Worker => {
    const started = new Worker(new URL(besides("./worker")), { workerData: modules })
    const isBroken = (stack: string): void => {
      if (worker !== started) return
      worker = undefined
      end?.({ _tag: "Broken", stack })
    }
    started.on("message", (message: Message) => {
      if (worker !== started) return
      if (message._tag === "Progress") progressed?.(message.progress)
      else if (message._tag === "Done") end?.(message)
      else end?.({ _tag: "Broken", stack: message.stack })
    })
    started.on("error", (error) => isBroken(stackOf(error)))
    started.on("exit", (code) => isBroken(`The thread ended with ${code}.`))
    return started
  }

  const stop = async (): Promise<void> => {
    const stopped = worker
    worker = undefined
    end?.({ _tag: "Stopped" })
    await stopped?.terminate()
  }

  const run: Thread["run"] = (job, onProgress) =>
    new Promise((resolve) => {
      const isLate = () => {
        const late = worker
        worker = undefined
        end?.({ _tag: "Broken", stack: `It has said nothing for ${patience / 1000} s, and was ended.` })
        void late?.terminate()
      }
      let timer = setTimeout(isLate, patience)
      end = (ended) => {
        clearTimeout(timer)
        end = undefined
        resolve(ended)
      }
      progressed = (progress) => {
        clearTimeout(timer)
        timer = setTimeout(isLate, patience)
        onProgress?.(progress)
      }
      worker ??= start()
      worker.postMessage(job)
    })

  return { run, stop }
}
