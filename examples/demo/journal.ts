import type { Producer } from "@sluice/kafka"

/** What one member of the group did. */
export interface MemberJournal {
  records: number
  readonly partitions: Set<number>
}

/** What the producer was told of one partition. */
export interface PartitionJournal {
  acknowledged: number
  /** The offset after the last line that was acknowledged. */
  end: bigint
}

/** Everything that the demo saw happen, to be counted and checked. Lines have numbers from 0. */
export class Journal {
  sent = 0
  acknowledged = 0
  failed = 0
  firstFailure: string | undefined
  /** Different lines that were handled. */
  handled = 0
  /** Times that a line was handled again. */
  repeated = 0
  /** Lines that were handled though they were not sent. */
  unknown = 0
  readonly partitions = new Map<number, PartitionJournal>()
  readonly members = new Map<string, MemberJournal>()
  #wasHandled = new Uint8Array(1 << 16)

  /** A delivery report came. */
  reported(delivery: Producer.Delivery<never>): void {
    if (delivery._tag === "Failed") {
      this.failed++
      this.firstFailure ??= delivery.error.message
      return
    }
    const { offset = -1n, partition } = delivery.metadata
    this.acknowledged++
    const journal = this.partitions.get(partition)
    if (journal === undefined) {
      this.partitions.set(partition, { acknowledged: 1, end: offset + 1n })
    } else {
      journal.acknowledged++
      if (offset >= journal.end) journal.end = offset + 1n
    }
  }

  /** A member handled a line. */
  wasHandled(member: string, partition: number, line: number): void {
    const journal = this.member(member)
    journal.records++
    journal.partitions.add(partition)
    if (!(line < this.sent)) {
      this.unknown++
      return
    }
    if (line >= this.#wasHandled.length) {
      const larger = new Uint8Array(Math.max(line + 1, 2 * this.#wasHandled.length))
      larger.set(this.#wasHandled)
      this.#wasHandled = larger
    }
    if (this.#wasHandled[line] === 0) this.handled++
    else this.repeated++
    this.#wasHandled[line] = 1
  }

  /** What a member did so far. */
  member(name: string): MemberJournal {
    let journal = this.members.get(name)
    if (journal === undefined) this.members.set(name, journal = { records: 0, partitions: new Set() })
    return journal
  }

  /** Whatever is not as it should be, once all is over; `committed` is what the group goes on from, by partition. */
  problems(committed: ReadonlyMap<number, bigint>): ReadonlyArray<string> {
    const problems: Array<string> = []
    const { acknowledged, failed, handled, repeated, sent, unknown } = this
    if (acknowledged + failed !== sent) problems.push(`${sent} records sent, but ${acknowledged + failed} reports`)
    if (failed > 0) problems.push(`${failed} records failed, the first with: ${this.firstFailure}`)
    if (handled < acknowledged) problems.push(`LOST: ${acknowledged - handled} acknowledged records were not handled`)
    if (repeated > 0) problems.push(`DUPLICATED: ${repeated} times a record was handled again`)
    if (unknown > 0) problems.push(`${unknown} records were handled that nobody sent`)
    for (const [partition, { end }] of this.partitions) {
      const next = committed.get(partition)
      if (next === undefined || next < end) {
        problems.push(
          `NOT COMMITTED: partition ${partition} ends at ${end}, and the group goes on at ${next ?? "none"}`
        )
      }
    }
    return problems
  }
}
