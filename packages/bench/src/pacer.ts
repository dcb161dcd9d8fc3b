/** A clock that ticks in a thread of its own: the event loop's timers come up to a millisecond and more late. */
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads"

/** Calls back at each tick, until it is ended. Ticks that come while the event loop is busy are not lost, but late. */
export const startPacer = (interval: number, onTick: () => void): () => void => {
  const thread = new Worker(new URL(import.meta.url), { workerData: { interval }, stdout: false })
  thread.on("message", onTick)
  return () => {
    thread.off("message", onTick)
    void thread.terminate()
  }
}

if (!isMainThread && typeof (workerData as { readonly interval?: unknown } | null)?.interval === "number") {
  const { interval } = workerData as { readonly interval: number }
  const never = new Int32Array(new SharedArrayBuffer(4))
  const start = performance.now()
  for (let tick = 1;; tick++) {
    const left = start + tick * interval - performance.now()
    if (left > 0) Atomics.wait(never, 0, 0, left)
    parentPort!.postMessage(0)
  }
}
