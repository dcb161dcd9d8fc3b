import { setTimeout as sleep } from "node:timers/promises"

import type { Load } from "./load.ts"

/**
 * Sends at the load's rate, whether or not the client keeps up: `send` hands over one record and calls back when it is
 * acknowledged. A latency counts from when its record was due, so that a client that stalls is not spared what it delays.
 */
export const openLoop = (
  load: Load,
  send: (index: number, done: (error?: unknown) => void) => void
): Promise<void> =>
  new Promise((resolve, reject) => {
    const start = performance.now()
    let sent = 0
    let acknowledged = 0
    let over = false
    const run = async () => {
      while (!over) {
        const due = Math.floor((performance.now() - start) * load.rate / 1_000)
        while (sent < due && !over) {
          if (load.take(1) === 0) {
            over = true
            break
          }
          const dueAt = start + sent++ * 1_000 / load.rate
          send(load.start, (error) => {
            if (error !== undefined) reject(error)
            load.latencies.add(performance.now() - dueAt)
            acknowledged++
            if (over && acknowledged === sent) resolve()
          })
        }
        if (!over) await sleep(1)
      }
      if (acknowledged === sent) resolve()
    }
    run().catch(reject)
  })
