/** Latencies in buckets of 3 %: counting one costs nanoseconds, however many there are. */

const bucketsEach = 32
const powers = 32

/** What is told of latencies, in microseconds. */
export interface Percentiles {
  readonly p50: number
  readonly p99: number
  readonly p999: number
}

/** Counts latencies of up to an hour. */
export class Latencies {
  readonly #counts = new Float64Array(powers * bucketsEach)
  #total = 0

  /** So many records had that latency, in milliseconds. */
  add(millis: number, count = 1): void {
    const micros = Math.max(1, millis * 1_000)
    const power = 31 - Math.clz32(micros)
    const bucket = power * bucketsEach + Math.floor((micros / 2 ** power - 1) * bucketsEach)
    this.#counts[bucket]! += count
    this.#total += count
  }

  /** Undefined if there are none. */
  get percentiles(): Percentiles | undefined {
    return this.#total === 0 ? undefined : { p50: this.#at(0.5), p99: this.#at(0.99), p999: this.#at(0.999) }
  }

  /** The middle of the bucket that has this share of all below its end. */
  #at(share: number): number {
    let rest = share * this.#total
    for (let bucket = 0; bucket < this.#counts.length; bucket++) {
      rest -= this.#counts[bucket]!
      if (rest <= 0) {
        const within = (bucket % bucketsEach + 0.5) / bucketsEach
        return 2 ** Math.floor(bucket / bucketsEach) * (1 + within)
      }
    }
    return Infinity
  }
}
