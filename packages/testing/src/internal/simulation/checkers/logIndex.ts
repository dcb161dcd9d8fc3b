import type { History, LoggedRecord } from "../history.ts"

/** The log in the end, by partition and offset. */
export class LogIndex {
  readonly #partitions = new Map<number, Array<LoggedRecord>>()

  constructor({ log }: History) {
    for (const logged of log) {
      const records = this.#partitions.get(logged.partition)
      if (records === undefined) this.#partitions.set(logged.partition, [logged])
      else records.push(logged)
    }
    for (const records of this.#partitions.values()) records.sort((a, b) => a.offset - b.offset)
  }

  get partitions(): Iterable<[partition: number, records: ReadonlyArray<LoggedRecord>]> {
    return this.#partitions
  }

  /** Records of a partition, by offset. */
  of(partition: number): ReadonlyArray<LoggedRecord> {
    return this.#partitions.get(partition) ?? []
  }

  /** How many records of a partition are before an offset: the position of the record that is at it, or follows. */
  positionOf(partition: number, offset: number): number {
    const records = this.of(partition)
    let low = 0
    let high = records.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (records[middle]!.offset < offset) low = middle + 1
      else high = middle
    }
    return low
  }

  /** The record that is at this place. */
  at(partition: number, offset: number): LoggedRecord | undefined {
    const record = this.of(partition)[this.positionOf(partition, offset)]
    return record?.offset === offset ? record : undefined
  }
}
