import type { TextOptions } from "../report/text.ts"
import type { Ended, Thread } from "./thread.ts"
import { crashInvariant, type SeedResult } from "./trySeed.ts"

/** How seeds are run. */
export interface RunSeedsOptions {
  readonly text: TextOptions | undefined
  readonly keepGoing: boolean
  /** No further seed is started then. */
  readonly isOver: () => boolean
  /** Is told of each seed, in the order of the seeds. */
  readonly onResult: (result: SeedResult) => void
}

const resultOf = (seed: number, ended: Exclude<Ended<SeedResult>, { readonly _tag: "Stopped" }>): SeedResult =>
  ended._tag === "Done" ? ended.result : {
    seed,
    violations: [{ invariant: crashInvariant, message: ended.stack.split("\n", 1)[0]!, time: undefined }],
    stack: ended.stack,
    records: 0,
    faults: 0,
    faultKinds: [],
    time: 0,
    text: undefined
  }

/**
 * Runs seeds on threads. Without `keepGoing` it ends with the first of them that fails, however many threads there are:
 * those before it are run to their end, and those after it are not told of.
 */
export const runSeeds = async (
  seeds: Iterable<number>,
  threads: ReadonlyArray<Thread>,
  options: RunSeedsOptions
): Promise<void> => {
  const iterator = seeds[Symbol.iterator]()
  const working = new Map<Thread, number>()
  const held = new Map<number, SeedResult>()
  let started = 0
  let told = 0
  let firstFailure = Infinity

  const tell = (index: number): void => {
    const result = held.get(index)!
    held.delete(index)
    options.onResult(result)
  }

  const keep = (index: number, result: SeedResult): void => {
    held.set(index, result)
    if (result.violations.length > 0 && !options.keepGoing && index < firstFailure) {
      firstFailure = index
      for (const [thread, other] of working) if (other > index) void thread.stop()
    }
    while (told <= firstFailure && held.has(told)) tell(told++)
  }

  const work = async (thread: Thread): Promise<void> => {
    while (!options.isOver() && firstFailure === Infinity) {
      const { done, value: seed } = iterator.next()
      if (done === true) return
      const index = started++
      working.set(thread, index)
      const ended = await thread.run({ _tag: "Try", seed, text: options.text })
      working.delete(thread)
      if (ended._tag === "Stopped") return
      keep(index, resultOf(seed, ended))
    }
  }

  await Promise.all(threads.map(work))
  // Some before these were stopped.
  for (const index of [...held.keys()].sort((a, b) => a - b)) if (index <= firstFailure) tell(index)
}
