import type { History, PartitionIndex } from "../history.ts"
import { Trouble } from "./trouble.ts"

/** What is deleted of a partition from some time on: all that is before an offset. */
interface Deletion {
  readonly time: number
  readonly offset: number
}

/** Where a group begins, and what was deleted: what nobody has to process. */
export class Beginnings {
  readonly #deletions = new Map<PartitionIndex, Array<Deletion>>()
  /** By partition; `undefined` for a group that begins at the beginning. */
  readonly #starts: Map<PartitionIndex, number> | undefined

  constructor(history: History) {
    const { events, reset = "earliest" } = history
    for (const event of events) {
      // Who moves a partition on does without what is before.
      if (event._tag !== "Deleted" && event._tag !== "Seeking") continue
      const list = this.#deletions.get(event.partition)
      if (list === undefined) this.#deletions.set(event.partition, [event])
      else list.push(event)
    }
    if (reset === "earliest") return
    const starts = this.#starts = new Map<PartitionIndex, number>()
    const trouble = new Trouble(history)
    for (const event of events) {
      if (event._tag !== "EndFound" && event._tag !== "Committed") continue
      const isStart = event._tag === "EndFound"
        // What it is told it commits at once, unless something keeps it from that.
        ? trouble.wasCalm(event.time, event.time)
        : event.errorCode === 0
      if (isStart && !starts.has(event.partition)) starts.set(event.partition, event.offset)
    }
  }

  /** When nobody had to process a record any more: from the start where the group begins after it; `undefined` for never. */
  excusedAt(partition: PartitionIndex, offset: number): number | undefined {
    if (this.#starts !== undefined && offset < (this.#starts.get(partition) ?? Infinity)) return -Infinity
    return this.deletedAt(partition, offset)
  }

  /** When a record was deleted. */
  deletedAt(partition: PartitionIndex, offset: number): number | undefined {
    return this.#deletions.get(partition)?.find((deletion) => offset < deletion.offset)?.time
  }
}
