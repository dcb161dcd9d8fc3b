/** Gives numbers from 0 up to, and not including, 1. */
export type RandomStream = () => number

/** Mixes all bits of a 32-bit number: close ones come out far apart. */
const mix = (bits: number): number => {
  let mixed = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
  return mixed ^ (mixed >>> 16)
}

/**
 * A stream of numbers that a seed and the number of the stream decide (SplitMix32). Streams of one seed know nothing of
 * each other: how much one is used does not shift another.
 */
export const makeRandomStream = (seed: number, stream: number): RandomStream => {
  let state = mix(mix(seed) ^ mix(Math.floor(seed / 2 ** 32) + 0x7f4a7c15) ^ Math.imul(stream + 1, 0x9e3779b9))
  return () => {
    state = (state + 0x9e3779b9) | 0
    return (mix(state) >>> 0) / 2 ** 32
  }
}

/** Chance that a seed decides, in a stream of its own: nothing else that draws changes what comes next. */
export class SeededRandom {
  /** From 0 up to, but without, 1. */
  readonly next: () => number

  constructor(seed: number, stream: number) {
    this.next = makeRandomStream(seed, stream)
  }

  /** A whole number from `low` to `high`, both included. */
  between(low: number, high: number): number {
    return low + Math.floor(this.next() * (high - low + 1))
  }

  /** One of several; there must be one. */
  pick<A>(choices: ReadonlyArray<A>): A {
    return choices[this.between(0, choices.length - 1)]!
  }

  /** The same in another order. */
  shuffle<A>(items: ReadonlyArray<A>): ReadonlyArray<A> {
    const shuffled = Array.from(items)
    for (let last = shuffled.length - 1; last > 0; last--) {
      const other = this.between(0, last)
      const kept = shuffled[last]!
      shuffled[last] = shuffled[other]!
      shuffled[other] = kept
    }
    return shuffled
  }
}
