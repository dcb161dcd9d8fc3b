import type { History, LoggedRecord } from "../history.ts"

/** The log in the end, by partition and offset. */
export class LogIndex {
  readonly #partitions = new Map<number, Array<LoggedRecord>>()

  /** By partition and position: that of the next record with the same key. Made when it is asked for. */
  readonly #followers = new Map<number, ReadonlyArray<number | undefined>>()

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

  /** The position of the next record of the partition that has the same key; records without a key have none. */
  nextOfKey(partition: number, position: number): number | undefined {
    let followers = this.#followers.get(partition)
    if (followers === undefined) {
      const next = new Map<string, number>()
      const found: Array<number | undefined> = []
      const records = this.of(partition)
      for (let index = records.length - 1; index >= 0; index--) {
        const key = records[index]!.key ?? undefined
        found[index] = key === undefined ? undefined : next.get(key)
        if (key !== undefined) next.set(key, index)
      }
      this.#followers.set(partition, followers = found)
    }
    return followers[position]
  }
}
