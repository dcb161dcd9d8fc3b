import { counted } from "../report/format.ts"
import type { Ended, Thread } from "./thread.ts"
import type { ExplainOptions, Explanation } from "./trySeed.ts"

/** A seed to look into. */
export interface Subject {
  readonly seed: number
  /** That of its first violation; `undefined` where nothing is wrong with it. */
  readonly invariant: string | undefined
  /** The file that its page goes to. */
  readonly page: string
}

/** How seeds are looked into. */
export interface ExplainSeedsOptions extends Omit<ExplainOptions, "onProgress"> {
  readonly isOver: () => boolean
  /** Is told how it goes, in words, by seed. */
  readonly onProgress: (progress: ReadonlyMap<number, string>) => void
  /** Is told of each seed, in their order. */
  readonly onEnded: (subject: Subject, ended: Ended<Explanation>) => void
}

/** Looks into seeds: each thread into its own, one after the other. */
export const explainSeeds = async (
  subjects: ReadonlyArray<Subject>,
  threads: ReadonlyArray<Thread>,
  { isOver, onEnded, onProgress, shrinkRuns, text }: ExplainSeedsOptions
): Promise<void> => {
  const progress = new Map<number, string>()

  const explain = async ({ invariant, seed }: Subject, thread: Thread): Promise<Ended<Explanation>> => {
    if (isOver()) return { _tag: "Stopped" }
    const say = (what: string) => onProgress(progress.set(seed, `looking into seed ${seed}${what}`))
    say("")
    const ended = await thread.run(
      { _tag: "Explain", seed, invariant, options: { shrinkRuns, text } },
      ({ left, runs }) => say(`: ${counted(left, "fault")} left after ${counted(runs, "run")}`)
    )
    progress.delete(seed)
    return ended
  }

  const idle: Array<Promise<unknown>> = threads.map(() => Promise.resolve())
  const explaining = subjects.map((subject, index) => {
    const lane = index % threads.length
    const ended = idle[lane]!.then(() => explain(subject, threads[lane]!))
    idle[lane] = ended
    return ended
  })
  for (const [index, subject] of subjects.entries()) onEnded(subject, await explaining[index]!)
}
