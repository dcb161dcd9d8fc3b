import type { History, HistoryEvent } from "../history.ts"

type Truncated = Extract<HistoryEvent, { readonly _tag: "Truncated" }>

/** Tells of each place in the log whether it was cut off. */
export class Truncations {
  readonly #byPartition = new Map<number, Array<Truncated>>()

  constructor({ events }: History) {
    for (const event of events) {
      if (event._tag !== "Truncated") continue
      const list = this.#byPartition.get(event.partition)
      if (list === undefined) this.#byPartition.set(event.partition, [event])
      else list.push(event)
    }
  }

  /** Whether anything was cut off at this time or later. */
  coversAny(since: number): boolean {
    return Array.from(this.#byPartition.values()).some((cuts) => cuts.some(({ time }) => time >= since))
  }

  /** Whether what was written at this place, at this time or later, may have been cut off. There are few. */
  covers(partition: number, offset: number, since: number): boolean {
    return this.#byPartition.get(partition)?.some((cut) => cut.offset <= offset && cut.time >= since) ?? false
  }
}
