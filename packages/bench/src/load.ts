import { Latencies } from "./latencies.ts"

/** How many records are taken between two looks at the clock. */
const takenUnseen = 64

/** What a client has to send: so many records, or for so long, whichever ends first. */
export class Load {
  readonly latencies = new Latencies()
  /** Records a second, for the open loop. */
  readonly rate: number
  /** Hears of each record of the open loop, before it is sent. */
  onSend: ((index: number, dueAt: number) => void) | undefined
  /** Number of the first record that was taken last. */
  start: number
  #next: number
  readonly #first: number
  readonly #end: number
  readonly #deadline: number
  #unseen = 0

  constructor(
    options: { readonly first: number; readonly records: number; readonly seconds: number; readonly rate: number }
  ) {
    this.start = this.#next = this.#first = options.first
    this.#end = options.first + options.records
    this.rate = options.rate
    this.#deadline = performance.now() + options.seconds * 1_000
  }

  /** How many were taken. */
  get taken(): number {
    return this.#next - this.#first
  }

  /** Takes the next records, up to that many: how many they are, from `start` on; 0 when it is over. */
  take(most: number): number {
    this.#unseen += most
    if (this.#unseen >= takenUnseen) {
      this.#unseen = 0
      if (performance.now() >= this.#deadline) return 0
    }
    const count = Math.min(most, this.#end - this.#next)
    this.start = this.#next
    this.#next += count
    return count
  }
}
