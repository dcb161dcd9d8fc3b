/** Delivered offsets without a gap between them, of one leader epoch; `ordinal` counts all delivered ones before it. */
interface Run {
  readonly first: number
  readonly ordinal: number
  readonly leaderEpoch: number
  end: number
}

const INITIAL_BITS = 1024
/** A window that grew past this many bits (8 KiB) is given back when it is empty. */
const RETAINED_BITS = 65_536

/**
 * Which records of one partition were delivered, and which of them are done, in whatever order. The `watermark` may be
 * committed: everything before it is done.
 *
 * Compaction, aborted transactions and control records leave gaps between delivered offsets; the watermark steps over
 * them. Records done ahead of the watermark take one bit each, counted from it, so memory follows how far records
 * overtake each other and not how many there are; it is no matter how wide the gaps are. Delivered offsets are kept as
 * runs.
 */
export class OffsetTracker {
  private runs: Array<Run> = []
  /** Index of the run of the watermark, while anything is pending. */
  private head = 0
  private deliveredEnd: number
  private deliveredCount = 0
  private low: number
  private lowOrdinal = 0
  private lowEpoch: number
  /** Ring of bits by ordinal: done, though something before it is not. */
  private doneAhead = new Uint32Array(0)
  private doneAheadMask = -1
  private doneAheadCount = 0

  /**
   * @param position the first offset that will be fetched
   * @param leaderEpoch the leader epoch of the record before it, -1 when unknown
   */
  constructor(position: number, leaderEpoch = -1) {
    this.deliveredEnd = position
    this.low = position
    this.lowEpoch = leaderEpoch
  }

  /** The offset to commit: the first that is delivered and not done, or else the end of what was delivered or skipped. */
  get watermark(): number {
    return this.low
  }

  /** The leader epoch of the last record before the watermark, for the commit (KIP-320); -1 when unknown. */
  get leaderEpoch(): number {
    return this.lowEpoch
  }

  /** The number of records delivered and not done. */
  get pending(): number {
    return this.deliveredCount - this.lowOrdinal - this.doneAheadCount
  }

  /** Takes note of one record that is given to the application. */
  deliver(offset: number, leaderEpoch = -1): void {
    this.deliverRange(offset, offset, leaderEpoch)
  }

  /** Takes note of the records from `first` to `last`, both included, with every offset between them. */
  deliverRange(first: number, last: number, leaderEpoch = -1): void {
    if (first < this.deliveredEnd || last < first) {
      throw new RangeError(`offsets ${first} to ${last} do not follow offset ${this.deliveredEnd - 1}`)
    }
    const nothingPending = this.lowOrdinal === this.deliveredCount
    const tail = this.runs[this.runs.length - 1]
    if (tail !== undefined && tail.end === first && tail.leaderEpoch === leaderEpoch) {
      tail.end = last + 1
    } else {
      if (nothingPending) this.dropRuns(this.runs.length)
      this.runs.push({ first, ordinal: this.deliveredCount, leaderEpoch, end: last + 1 })
    }
    if (nothingPending) this.low = first
    this.deliveredCount += last + 1 - first
    this.deliveredEnd = last + 1
  }

  /** Takes note that no record before `offset` will be delivered any more: only a gap or control records were left. */
  skipTo(offset: number): void {
    if (offset <= this.deliveredEnd) return
    if (this.lowOrdinal === this.deliveredCount) this.low = offset
    this.deliveredEnd = offset
  }

  /**
   * Takes note that a record is done, and says whether the watermark moved. An offset that was not delivered, or is done
   * already, changes nothing.
   */
  done(offset: number): boolean {
    if (offset < this.low || offset >= this.deliveredEnd) return false
    if (offset > this.low) {
      this.markAhead(offset)
      return false
    }
    this.stepOver()
    while (this.doneAheadCount > 0 && this.takeAhead(this.lowOrdinal)) this.stepOver()
    return true
  }

  private stepOver(): void {
    const run = this.runs[this.head]!
    this.lowOrdinal++
    this.low++
    this.lowEpoch = run.leaderEpoch
    if (this.low < run.end) return
    const next = this.runs[this.head + 1]
    if (next === undefined) {
      this.low = this.deliveredEnd
      return
    }
    this.low = next.first
    this.head++
    if (this.head >= 64 && this.head * 2 >= this.runs.length) this.dropRuns(this.head)
  }

  private dropRuns(count: number): void {
    this.runs.splice(0, count)
    this.head = 0
  }

  /** The ordinal of a delivered offset; -1 of an offset in a gap. */
  private ordinalOf(offset: number): number {
    let run = this.runs[this.head]!
    if (offset >= run.end) {
      let from = this.head + 1
      let to = this.runs.length
      while (from < to) {
        const middle = (from + to) >>> 1
        if (this.runs[middle]!.first <= offset) from = middle + 1
        else to = middle
      }
      run = this.runs[from - 1]!
    }
    return offset < run.end ? run.ordinal + (offset - run.first) : -1
  }

  private markAhead(offset: number): void {
    const ordinal = this.ordinalOf(offset)
    if (ordinal === -1) return
    if (ordinal - this.lowOrdinal > this.doneAheadMask) this.grow(ordinal - this.lowOrdinal + 1)
    const position = ordinal & this.doneAheadMask
    const bit = 1 << (position & 31)
    const word = this.doneAhead[position >>> 5]!
    if ((word & bit) !== 0) return
    this.doneAhead[position >>> 5] = word | bit
    this.doneAheadCount++
  }

  /** Clears the bit of an ordinal, and says whether it was set. */
  private takeAhead(ordinal: number): boolean {
    const position = ordinal & this.doneAheadMask
    const bit = 1 << (position & 31)
    const word = this.doneAhead[position >>> 5]!
    if ((word & bit) === 0) return false
    this.doneAhead[position >>> 5] = word & ~bit
    this.doneAheadCount--
    if (this.doneAheadCount === 0 && this.doneAheadMask >= RETAINED_BITS) this.resize(0)
    return true
  }

  private grow(bits: number): void {
    let size = Math.max(INITIAL_BITS, this.doneAheadMask + 1)
    while (size < bits) size *= 2
    const old = this.doneAhead
    const oldMask = this.doneAheadMask
    this.resize(size)
    for (let ordinal = this.lowOrdinal; ordinal <= this.lowOrdinal + oldMask; ordinal++) {
      const from = ordinal & oldMask
      const to = ordinal & this.doneAheadMask
      if ((old[from >>> 5]! & (1 << (from & 31))) !== 0) this.doneAhead[to >>> 5]! |= 1 << (to & 31)
    }
  }

  private resize(bits: number): void {
    this.doneAhead = new Uint32Array(bits / 32)
    this.doneAheadMask = bits - 1
  }
}
