import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"

import { assert, describe, it } from "@effect/vitest"

const main = fileURLToPath(new URL("../../src/internal/simulation/cli/main.ts", import.meta.url))

const timelineOf = (...args: ReadonlyArray<string>): Promise<string> =>
  new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ["--no-warnings", main, ...args], { stdio: ["ignore", "pipe", "ignore"] })
    const chunks: Array<Buffer> = []
    child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk))
    child.on("error", reject)
    child.on("close", () => resolve(Buffer.concat(chunks).toString("latin1")))
  })

/** Where two texts part, in a few words: a whole timeline is too much to show. */
const difference = (one: string, other: string): string | undefined => {
  if (one === other) return undefined
  const [lines, others] = [one.split("\n"), other.split("\n")]
  const index = lines.findIndex((line, at) => line !== others[at])
  return `line ${index + 1}: ${lines[index]} and ${others[index]}`
}

describe("a seed", () => {
  // The first with timers that overtake ready work, the other with extra yields and fibers picked at random.
  it("comes to the same timeline in another process, byte for byte", { timeout: 60_000 }, async () => {
    const args = ["--seeds", "2..3", "--timeline", "--verbose", "--keep-going", "--no-shrink"]
    const [one, other] = await Promise.all([
      timelineOf(...args, "--workers", "1"),
      timelineOf(...args, "--workers", "1")
    ])
    for (const seed of [2, 3]) assert.match(one, new RegExp(`^seed ${seed}: `, "m"))
    assert.isAbove(one.split("\n").length, 2 * 2000)
    assert.isUndefined(difference(one, other))
  })
})
