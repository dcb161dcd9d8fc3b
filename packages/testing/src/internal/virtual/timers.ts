/** A place in the order of time. */
export interface Timer<A> {
  readonly at: number
  /** Of timers of the same time, the one that was added first comes first. */
  readonly sequence: number
  readonly value: A
  /** False once its turn has come, or it was cancelled. */
  isPending: boolean
}

const isBefore = (one: Timer<unknown>, other: Timer<unknown>): boolean =>
  one.at < other.at || (one.at === other.at && one.sequence < other.sequence)

/** Below this, what was cancelled may stay: to sweep would cost more. */
const sweepAbove = 64

/**
 * Timers in the order of their times: a binary heap. One that is cancelled stays until its turn comes, or until more than
 * half of all are like it, so that a cancellation costs nothing.
 */
export class Timers<A> {
  #heap: Array<Timer<A>> = []
  #size = 0
  #added = 0

  /** How many are pending. */
  get size(): number {
    return this.#size
  }

  /** Adds one. */
  add(at: number, value: A): Timer<A> {
    const timer: Timer<A> = { at, sequence: this.#added++, value, isPending: true }
    this.#size++
    this.#heap.push(timer)
    this.#rise(this.#heap.length - 1)
    return timer
  }

  /** Takes one back, if its turn has not come. */
  cancel(timer: Timer<A>): void {
    if (!timer.isPending) return
    timer.isPending = false
    this.#size--
    if (this.#heap.length > sweepAbove && this.#heap.length > 2 * this.#size) this.#sweep()
  }

  /** Takes out the next one; `undefined` if there is none until `latest`. */
  next(latest: number): Timer<A> | undefined {
    for (;;) {
      const first = this.#heap[0]
      if (first === undefined || (first.isPending && first.at > latest)) return undefined
      const last = this.#heap.pop()!
      if (this.#heap.length > 0) {
        this.#heap[0] = last
        this.#sink(0)
      }
      if (first.isPending) {
        first.isPending = false
        this.#size--
        return first
      }
    }
  }

  /** Those that are pending, in order. */
  pending(): ReadonlyArray<Timer<A>> {
    return this.#heap.filter(({ isPending }) => isPending).sort((one, other) => isBefore(one, other) ? -1 : 1)
  }

  #rise(from: number): void {
    const heap = this.#heap
    const timer = heap[from]!
    let index = from
    while (index > 0) {
      const parent = (index - 1) >> 1
      if (!isBefore(timer, heap[parent]!)) break
      heap[index] = heap[parent]!
      index = parent
    }
    heap[index] = timer
  }

  #sink(from: number): void {
    const heap = this.#heap
    const timer = heap[from]!
    let index = from
    for (;;) {
      let child = 2 * index + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++
      if (!isBefore(heap[child]!, timer)) break
      heap[index] = heap[child]!
      index = child
    }
    heap[index] = timer
  }

  #sweep(): void {
    this.#heap = this.#heap.filter(({ isPending }) => isPending)
    for (let index = (this.#heap.length >> 1) - 1; index >= 0; index--) this.#sink(index)
  }
}
