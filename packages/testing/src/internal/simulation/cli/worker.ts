/** A thread that runs seeds, one at a time. */
import { parentPort, workerData } from "node:worker_threads"

import { doJob, type Job, type Message } from "./job.ts"
import { loadRunner, type RunnerModules } from "./runner.ts"

const port = parentPort!
const tell = (message: Message): void => port.postMessage(message)
const runner = loadRunner(workerData as RunnerModules)

port.on("message", async (job: Job) => {
  try {
    tell({ _tag: "Done", result: doJob(await runner, job, (progress) => tell({ _tag: "Progress", progress })) })
  } catch (error) {
    tell({ _tag: "Failed", stack: error instanceof Error ? error.stack ?? String(error) : String(error) })
  }
})
