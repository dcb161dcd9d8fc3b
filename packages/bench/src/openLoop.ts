import type { Load } from "./load.ts"
import { startPacer } from "./pacer.ts"

/** What floating point may do to a number of records. */
const rounding = 1e-3

/**
 * Sends at the load's rate, whether or not the client keeps up: `send` hands over one record and calls back when it is
 * acknowledged. A latency counts from when its record was due, so that a client that stalls is not spared what it delays.
 */
export const openLoop = (
  load: Load,
  send: (index: number, done: (error?: unknown) => void) => void
): Promise<void> =>
  new Promise((resolve, reject) => {
    const interval = 1_000 / load.rate
    let start: number | undefined
    let sent = 0
    let acknowledged = 0
    let over = false
    const end = (settle: () => void) => {
      over = true
      stopPacer()
      settle()
    }
    const sendNext = () => {
      if (load.take(1) === 0) {
        over = true
        if (acknowledged === sent) end(resolve)
        return
      }
      const dueAt = start! + sent++ * interval
      load.onSend?.(load.start, dueAt)
      send(load.start, (error) => {
        if (error !== undefined) return end(() => reject(error))
        load.latencies.add(performance.now() - dueAt)
        acknowledged++
        if (over && acknowledged === sent) end(resolve)
      })
    }
    // The first is due at the first tick.
    const stopPacer = startPacer(Math.max(1, interval), (now) => {
      start ??= now
      while (!over && start + (sent - rounding) * interval <= now) sendNext()
    })
  })
