/** A clock that ticks in a thread of its own: the event loop's timers come up to a millisecond and more late. */
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads"

/** Milliseconds of a clock that all threads share. */
const sharedNow = (): number => {
  const [seconds, nanos] = process.hrtime()
  return seconds * 1_000 + nanos / 1e6
}

/**
 * Calls back at each tick, until it is ended, with when that was due by `performance.now()`. Ticks that come while the
 * event loop is busy are not lost, but late.
 */
export const startPacer = (interval: number, onTick: (dueAt: number) => void): () => void => {
  const thread = new Worker(new URL(import.meta.url), { workerData: { interval } })
  const offset = sharedNow() - performance.now()
  const tick = (dueAt: number) => onTick(dueAt - offset)
  thread.on("message", tick)
  return () => {
    thread.off("message", tick)
    void thread.terminate()
  }
}

if (!isMainThread && typeof (workerData as { readonly interval?: unknown } | null)?.interval === "number") {
  const { interval } = workerData as { readonly interval: number }
  const never = new Int32Array(new SharedArrayBuffer(4))
  const start = sharedNow()
  for (let tick = 1;; tick++) {
    const dueAt = start + tick * interval
    const left = dueAt - sharedNow()
    if (left > 0) Atomics.wait(never, 0, 0, left)
    parentPort!.postMessage(dueAt)
  }
}
