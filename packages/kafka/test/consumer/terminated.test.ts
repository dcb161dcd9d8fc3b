/** A service in a process of its own, under `NodeRuntime.runMain`, that is sent real signals. */
import { spawn } from "node:child_process"
import { join } from "node:path"

import { assert, describe, it } from "@effect/vitest"

const example = join(import.meta.dirname, "..", "..", "..", "..", "examples", "gracefulService.ts")

/** Runs the service to its end, and sends it a signal when it says `when`. */
const service = (signal?: NodeJS.Signals, when?: string): Promise<{ lines: Array<string>; code: number | null }> =>
  new Promise((resolve) => {
    const child = spawn(process.execPath, [example], { stdio: ["ignore", "pipe", "inherit"] })
    let output = ""
    let sent = false
    child.stdout.on("data", (data: Buffer) => {
      output += data.toString()
      if (signal === undefined || sent || !output.includes(`${when}\n`)) return
      sent = true
      child.kill(signal)
    })
    child.on("close", (code) => resolve({ lines: output.trimEnd().split("\n"), code }))
  })

describe("a process that is told to stop", { timeout: 60_000 }, () => {
  it("CL-24: by SIGTERM finishes the job in hand, delivers what it made of it, commits it, leaves, and ends with 0", async () => {
    assert.deepStrictEqual(await service(), {
      lines: [
        "job 1 begins",
        "job 1 is done",
        "job 2 begins",
        "job 2 is done",
        "job 3 begins",
        "job 3 is done",
        "the service has stopped",
        "the next one begins with job 4"
      ],
      code: 0
    })
  })

  it("CL-24: by SIGINT, from another process, does the same", async () => {
    assert.deepStrictEqual(await service("SIGINT", "job 2 begins"), {
      lines: [
        "job 1 begins",
        "job 1 is done",
        "job 2 begins",
        "job 2 is done",
        "the service has stopped",
        "the next one begins with job 3"
      ],
      code: 0
    })
  })
})
