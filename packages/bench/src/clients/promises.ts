import type { Client } from "../client.ts"
import type { Load } from "../load.ts"
import { openLoop } from "../openLoop.ts"
import { batchesInFlight, chunkSize, recordsInFlight } from "../records.ts"

/** Each acknowledgement that is timed stands for so many, where there are a thousand under way. */
export const sampleEvery = 16

/** The modes of a client whose one call is `send(messages): Promise`. */
export const promiseModes = <M>(
  message: (index: number) => M,
  send: (messages: Array<M>) => Promise<unknown>
): Client["modes"] => {
  const lanes = (count: number, lane: () => Promise<void>): Promise<unknown> =>
    Promise.all(Array.from({ length: count }, lane))
  const oneByOne = (load: Load, every: number) => async (): Promise<void> => {
    while (load.take(1) > 0) {
      const index = load.start
      const start = performance.now()
      await send([message(index)])
      if (index % every === 0) load.latencies.add(performance.now() - start)
    }
  }
  return {
    "sendAll": async (load) => {
      await lanes(batchesInFlight, async () => {
        for (let count = load.take(chunkSize); count > 0; count = load.take(chunkSize)) {
          const first = load.start
          const messages = Array.from({ length: count }, (_, i) => message(first + i))
          const start = performance.now()
          await send(messages)
          load.latencies.add(performance.now() - start, count)
        }
      })
    },
    "send-1000": async (load) => {
      await lanes(recordsInFlight, oneByOne(load, sampleEvery))
    },
    "send-1": (load) => oneByOne(load, 1)(),
    "rate": (load) =>
      openLoop(load, (index, done) => {
        send([message(index)]).then(() => done(), done)
      })
  }
}
