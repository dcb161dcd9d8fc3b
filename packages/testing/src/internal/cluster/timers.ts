/** Something to be done at a time, unless it is cancelled before. */
export class Timer {
  /** In milliseconds. */
  readonly at: number
  private readonly sequence: number
  private readonly timers: Timers
  private readonly action: (now: number) => void

  /** Made by {@link Timers.schedule}. */
  constructor(at: number, sequence: number, timers: Timers, action: (now: number) => void) {
    this.at = at
    this.sequence = sequence
    this.timers = timers
    this.action = action
  }

  /** Does nothing if it has run or was cancelled. */
  cancel(): void {
    this.timers.remove(this)
  }

  /** Whether this one runs before another: by time, then in the order of scheduling. */
  isBefore(other: Timer): boolean {
    return this.at < other.at || (this.at === other.at && this.sequence < other.sequence)
  }

  /** Called once by {@link Timers.runDue}. */
  run(now: number): void {
    this.action(now)
  }
}

/** What is to be done later, in the order of time and then of scheduling: the one source of time's passing in the model. */
export class Timers {
  // Sorted. A cluster has tens of timers, rarely hundreds: inserting in the middle of an array is cheaper than a heap
  // that must also forget what was cancelled.
  private readonly pending: Array<Timer> = []
  private sequence = 0

  /** How many are waiting. */
  get size(): number {
    return this.pending.length
  }

  /** Runs `action` when the time has come. */
  schedule(at: number, action: (now: number) => void): Timer {
    const timer = new Timer(at, this.sequence++, this, action)
    this.pending.splice(this.indexOf(timer), 0, timer)
    return timer
  }

  /** When the next one is due; `undefined` if none waits. */
  nextDeadline(): number | undefined {
    return this.pending[0]?.at
  }

  /** Runs everything that is due, also what it schedules for now. */
  runDue(now: number): void {
    while (this.pending.length > 0 && this.pending[0]!.at <= now) this.pending.shift()!.run(now)
  }

  /** Called by {@link Timer.cancel}. */
  remove(timer: Timer): void {
    const index = this.indexOf(timer)
    if (this.pending[index] === timer) this.pending.splice(index, 1)
  }

  private indexOf(timer: Timer): number {
    let low = 0
    let high = this.pending.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.pending[middle]!.isBefore(timer)) low = middle + 1
      else high = middle
    }
    return low
  }
}
