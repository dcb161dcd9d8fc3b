import type { ChildProcess } from "node:child_process"
import { setTimeout as sleep } from "node:timers/promises"

/** What a process says, and the wait for it. */
export const watching = <A>(child: ChildProcess) => {
  const said: Array<A> = []
  let ended = false
  child.on("message", (message) => said.push(message as A))
  child.once("exit", () => {
    ended = true
  })
  const until = async (what: string, isSo: (last: A) => boolean, patience: number): Promise<A> => {
    const deadline = performance.now() + patience
    for (;;) {
      const last = said.at(-1)
      if (last !== undefined && isSo(last)) return last
      if (ended || performance.now() > deadline) {
        throw new Error(`${what}: ${ended ? "the process has ended" : "not in time"}; last ${JSON.stringify(last)}`)
      }
      await sleep(20)
    }
  }
  return { said, until }
}
