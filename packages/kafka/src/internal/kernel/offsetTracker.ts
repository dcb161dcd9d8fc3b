/** How far the records that were begun may be ahead of the watermark. */
export interface TrackerBounds {
  readonly maxRecords: number
  readonly maxBytes: number
}

/** A ring starts with this many places, and doubles as it has to. */
const firstCapacity = 64

/**
 * What of a partition was begun and what of that is done, in whatever order: {@link OffsetTracker.watermark} is what may be
 * committed, the end of the longest run of records that are done from the first one on.
 *
 * A record is known by its ticket, a number that counts up in the order of the log. How far the records that were begun
 * may be ahead of the watermark is bounded, in records and in bytes; so one that never ends stops its partition in the
 * end, instead of leaving ever more to be done again after a crash.
 */
export class OffsetTracker {
  private maxRecords = 0
  private maxBytes = 0
  /** By ticket, modulo the length (a power of two): what may be committed once this record and all before it are done. */
  private ends: Float64Array = new Float64Array(firstCapacity)
  private sizes: Float64Array = new Float64Array(firstCapacity)
  private isDone: Uint8Array = new Uint8Array(firstCapacity)
  /** The oldest ticket that is not done. */
  private head = 0
  /** The next ticket. */
  private tail = 0
  private bytes = 0
  private mark: number

  /** `start` is the watermark before anything is done; at least one record can be begun, whatever the bounds. */
  constructor(start: number, bounds: TrackerBounds) {
    this.mark = start
    this.limit(bounds)
  }

  /** Changes the bounds for what is begun from now on. */
  limit({ maxBytes, maxRecords }: TrackerBounds): void {
    this.maxRecords = maxRecords
    this.maxBytes = maxBytes
  }

  /** The position that may be committed: everything before it is done. */
  get watermark(): number {
    return this.mark
  }

  /** How many records were begun from the watermark on, done ones among them. */
  get ahead(): number {
    return this.tail - this.head
  }

  /** Their bytes. */
  get bytesAhead(): number {
    return this.bytes
  }

  /** The ticket of the oldest record that is not done: with all before it done, those below this one are. */
  get oldest(): number {
    return this.head
  }

  /** Whether another record may be begun. */
  get hasRoom(): boolean {
    return this.ahead === 0 || (this.ahead < this.maxRecords && this.bytes < this.maxBytes)
  }

  /** Whether there is room for a quarter of all: enough to wake whoever waits for it. */
  get hasAmpleRoom(): boolean {
    return this.ahead === 0 || (this.ahead <= this.maxRecords * 0.75 && this.bytes <= this.maxBytes * 0.75)
  }

  /**
   * Begins the next record, and gives its ticket. Its caller minds {@link hasRoom}.
   *
   * @param end the position after it, past whatever follows in the log without records
   */
  begin(end: number, bytes: number): number {
    if (this.ahead === this.ends.length) this.grow()
    const ticket = this.tail++
    const place = ticket & (this.ends.length - 1)
    this.ends[place] = end
    this.sizes[place] = bytes
    this.isDone[place] = 0
    this.bytes += bytes
    return ticket
  }

  /** A record is done. Says whether the watermark moved; done twice is done once. */
  complete(ticket: number): boolean {
    if (ticket < this.head || ticket >= this.tail) return false
    const mask = this.ends.length - 1
    this.isDone[ticket & mask] = 1
    if (ticket !== this.head) return false
    do {
      const place = this.head & mask
      this.mark = this.ends[place]!
      this.bytes -= this.sizes[place]!
      this.head++
    } while (this.head < this.tail && this.isDone[this.head & mask] === 1)
    return true
  }

  private grow(): void {
    const { ends, isDone, sizes } = this
    const capacity = ends.length
    this.ends = new Float64Array(capacity * 2)
    this.sizes = new Float64Array(capacity * 2)
    this.isDone = new Uint8Array(capacity * 2)
    const mask = capacity * 2 - 1
    for (let ticket = this.head; ticket < this.tail; ticket++) {
      const from = ticket & (capacity - 1)
      this.ends[ticket & mask] = ends[from]!
      this.sizes[ticket & mask] = sizes[from]!
      this.isDone[ticket & mask] = isDone[from]!
    }
  }
}
